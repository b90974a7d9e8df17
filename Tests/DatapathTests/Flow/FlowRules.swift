// Rules as tests of flow tables write them.

import VSwitchCore

@testable import Datapath

/// Adds a rule whose match is these fields, each whole.
func rule(
  table: UInt8 = 0, priority: UInt16 = 100, _ fields: [(Field, UInt128)] = [], _ actions: [Action],
  goto next: UInt8? = nil
) -> TableChange {
  var match = Match()
  for (field, value) in fields { match.set(field, value) }
  return .rule(table: table, priority: priority, match, actions, goto: next)
}

func rule(
  table: UInt8, priority: UInt16, _ match: Match, _ actions: [Action] = [], goto next: UInt8? = nil
) -> TableChange { .rule(table: table, priority: priority, match, actions, goto: next) }

/// Deletes all rules.
var clear: TableChange { .clear }

/// Output of the whole packet.
func output(_ port: UInt32) -> Action { .output(PortNumber(port), maximumByteCount: 0xffff) }
