// Switches and rules as tests of flow tables write them.

import VSwitchCore

@testable import Datapath

extension DatapathHarness {
  /// A bridge br0 with ports p1, p2 and so on, numbered so, and these changes to its tables.
  static func bridge(portCount: Int = 4, _ changes: [TableChange] = []) throws -> DatapathHarness {
    var bridge = BridgeConfig(name: "br0")
    for number in 1...portCount {
      var interface = InterfaceConfig(name: "p\(number)", kind: .tap)
      interface.portNumberRequest = UInt16(number)
      bridge.ports.append(PortConfig(name: "p\(number)", interface: interface))
    }
    var config = SwitchConfig()
    config.bridges = [bridge]
    let harness = try DatapathHarness(config)
    if !changes.isEmpty { try harness.changeFlows(bridge: "br0", changes) }
    return harness
  }
}

/// Adds a rule whose match is these fields, each whole.
func rule(
  table: UInt8 = 0, priority: UInt16 = 100, _ fields: [(Field, UInt128)] = [], _ actions: [Action],
  goto next: UInt8? = nil
) -> TableChange {
  var match = Match()
  for (field, value) in fields { match.set(field, value) }
  return rule(table: table, priority: priority, match, actions, goto: next)
}

func rule(
  table: UInt8, priority: UInt16, _ match: Match, _ actions: [Action] = [], goto next: UInt8? = nil
) -> TableChange {
  var change = FlowMod()
  change.table = table
  change.priority = priority
  change.match = match
  change.instructions = Instructions(apply: actions)
  change.instructions.gotoTable = next
  return .flow(change)
}

/// Deletes all rules.
var clear: TableChange {
  var change = FlowMod()
  change.command = .delete
  change.table = FlowMod.allTables
  return .flow(change)
}

/// Output of the whole packet.
func output(_ port: UInt32) -> Action { .output(PortNumber(port), maximumByteCount: 0xffff) }
