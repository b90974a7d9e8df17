// The parts of a flow's description before its actions.

import VSwitchCore

struct FlowAttributeReader {
  private let names: NumberNames
  private let command: FlowMod.Command
  private let isFilter: Bool
  private var flow: ParsedFlow
  private var match: MatchParser

  init(names: NumberNames, command: FlowMod.Command, isFilter: Bool) {
    self.names = names
    self.command = command
    self.isFilter = isFilter
    match = MatchParser(names: names)
    var mod = FlowMod()
    mod.command = command
    if command == .delete || command == .deleteStrict { mod.table = FlowMod.allTables }
    if command == .modify || command == .modifyStrict { mod.cookie = nil }
    flow = ParsedFlow(mod: mod, namesTable: false, versions: .all)
  }

  var takesActions: Bool { command == .add || command == .modify || command == .modifyStrict }
  private var isDelete: Bool { !takesActions }

  mutating func take(_ pair: KeyValue) throws(FlowTextError) {
    let value = pair.value
    switch pair.key.string {
    case "send_flow_rem" where takesActions: flow.mod.flags.insert(.sendFlowRemoved)
    case "check_overlap" where takesActions: flow.mod.flags.insert(.checkOverlap)
    case "reset_counts" where takesActions:
      flow.mod.flags.insert(.resetCounts)
      flow.versions.formIntersection(.from13)
    case "no_packet_counts" where takesActions:
      flow.mod.flags.insert(.noPacketCounts)
      flow.versions.formIntersection(.from13)
    case "no_byte_counts" where takesActions:
      flow.mod.flags.insert(.noByteCounts)
      flow.versions.formIntersection(.from13)
    case "no_readonly_table", "allow_hidden_fields": break
    case "table":
      let table = try names.table(value)
      flow.namesTable = table != 255
      flow.mod.table = table == 255 && takesActions ? 0 : table
    case "out_port" where isDelete: flow.mod.outPort = try names.port(value, for: "out_port")
    case "out_group" where isDelete:
      flow.mod.outGroup = try value.number("group")
      flow.versions.formIntersection(.from13)
    case "priority" where command != .delete: flow.mod.priority = try value.number("priority")
    case "idle_timeout" where takesActions: flow.mod.idleTimeoutSeconds = try value.number("idle_timeout")
    case "hard_timeout" where takesActions: flow.mod.hardTimeoutSeconds = try value.number("hard_timeout")
    case "importance" where command == .add: flow.mod.importance = try value.number("importance")
    case "cookie": try takeCookie(pair)
    // What dump-flows prints beside the flow, so that its output can be read again.
    case "duration", "n_packets", "n_bytes", "idle_age", "hard_age": break
    default:
      guard try !match.take(pair) else { return }
      throw pair.key.error(
        "there is no field \(pair.key.quoted) \(isFilter ? "of a filter" : isDelete ? "of a delete" : "of a flow")",
        remedy: "see ovs-ofctl(8), Flow Syntax")
    }
  }

  private mutating func takeCookie(_ pair: KeyValue) throws(FlowTextError) {
    let value = pair.value
    if let (first, second) = value.split(at: UInt8(ascii: "/")) {
      guard command != .add else {
        throw value.error("a new flow's cookie has no mask", remedy: "leave /\(second.string) out")
      }
      let mask = try cookie(second, "mask of the cookie")
      flow.mod.cookieFilter = .init(value: try cookie(first, "cookie") & mask, mask: mask)
    } else {
      guard takesActions else {
        throw value.error("a delete sets no cookie", remedy: "write cookie=\(value.string)/-1 to choose flows by it")
      }
      flow.mod.cookie = try cookie(value, "cookie")
    }
  }

  /// A number; -1 is all ones.
  private func cookie(_ text: TextSlice, _ what: String) throws(FlowTextError) -> UInt64 {
    text.equals("-1") ? .max : try text.number(what)
  }

  mutating func finish() throws(FlowTextError) -> ParsedFlow {
    flow.mod.match = try match.finish(notes: &flow.notes)
    return flow
  }
}
