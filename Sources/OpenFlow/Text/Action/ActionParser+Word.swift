// One word of a list of actions: its name says how its value is read.

import VSwitchCore

extension ActionParser {
  mutating func meaning(_ pair: KeyValue) throws(FlowTextError) -> ParsedAction {
    let key = pair.key.string.lowercased()
    let value = pair.value
    switch key {
    case "drop": return .drop
    case "meter":
      narrow(.from13, at: pair.key, "meter is there from OpenFlow 1.3 on", remedy: "use OpenFlow 1.3 or later")
      return .meter(try value.number("meter", in: 1...MeterMod.maximumMeter))
    case "clear_actions": return .clearActions
    case "write_actions":
      try requireFlow(pair)
      // An action set runs later: what the packet is then nobody knows here.
      let outer = (state, versions, narrowest)
      let actions = try self.actions(value, place: .nested)
      (state, versions, narrowest) = outer
      return .writeActions(actions)
    case "write_metadata": return .writeMetadata(try metadata(value))
    case "goto_table":
      let target = try names.table(value)
      let current = table ?? 0
      guard target > current, target < 254 else {
        throw value.error(
          "goto_table can't go to table \(target) from table \(current)", remedy: "go to a higher table, up to 253")
      }
      return .gotoTable(target)
    case "apply_actions":
      throw pair.key.error("apply_actions is what actions are without it", remedy: "write the actions alone")
    default: break
    }
    if let action = try outputAction(key, pair) { return .action(action) }
    if let action = try fieldAction(key, pair) { return .action(action) }
    if let action = try headerAction(key, pair) { return .action(action) }
    if let action = try pipelineAction(key, pair) { return .action(action) }
    // A port alone.
    if let port = names.port(pair.key) {
      return .action(try output(to: port, at: pair.key))
    }
    throw pair.key.error(
      "there is no action \(pair.key.quoted), and no port of this name",
      remedy: "see ovs-actions(7), or give a port number")
  }

  private func requireFlow(_ pair: KeyValue) throws(FlowTextError) {
    guard place == .flow else {
      throw pair.key.error(
        "the instruction \(pair.key.string) can't stand here", remedy: "move it to the end of the rule's actions")
    }
  }

  private func metadata(_ value: TextSlice) throws(FlowTextError) -> Instructions.MaskedMetadata {
    if let (first, second) = value.split(at: UInt8(ascii: "/")) {
      return .init(value: try first.number("metadata"), mask: try second.number("mask of metadata"))
    }
    return .init(value: try value.number("metadata"), mask: .max)
  }
}
