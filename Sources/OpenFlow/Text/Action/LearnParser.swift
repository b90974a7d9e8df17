// The learn action: which rule to make from a packet (ovs-actions(7), "The learn action").

import VSwitchCore

struct LearnParser {
  private let names: NumberNames
  /// What is known of the packet that is learned from.
  private let source: ActionParser
  /// What the learned rule will match.
  private var learned: ActionParser

  init(names: NumberNames, state: Match) {
    self.names = names
    source = ActionParser(names: names, match: state)
    learned = ActionParser(names: names)
  }

  mutating func parse(_ text: TextSlice) throws(FlowTextError) -> LearnAction {
    var action = LearnAction(table: 1)
    var reader = KeyValueReader(text)
    while let pair = try reader.next() {
      let value = pair.value
      switch pair.key.string {
      case "table":
        action.table = try names.table(value)
        guard action.table != 255 else { throw value.error("255 is no table for learn", remedy: "give 0 to 253") }
      case "priority": action.priority = try value.number("priority")
      case "idle_timeout": action.idleTimeoutSeconds = try value.number("idle_timeout")
      case "hard_timeout": action.hardTimeoutSeconds = try value.number("hard_timeout")
      case "fin_idle_timeout": action.finIdleTimeoutSeconds = try value.number("fin_idle_timeout")
      case "fin_hard_timeout": action.finHardTimeoutSeconds = try value.number("fin_hard_timeout")
      case "cookie": action.cookie = try value.number("cookie")
      case "send_flow_rem": action.flags.insert(.sendFlowRemoved)
      case "delete_learned": action.flags.insert(.deleteLearned)
      case "limit": action.limit = try value.number("limit")
      case "result_dst":
        let part = try SubfieldText.parse(value)
        guard part.bitCount == 1 else { throw value.error("result_dst is not one bit", remedy: "write FIELD[BIT]") }
        try source.requireWritable(part, at: value)
        action.result = part
        action.flags.insert(.writeResult)
      case "output":
        let part = try SubfieldText.parse(value)
        try source.requireReadable(part, at: value)
        action.specifications.append(.output(part))
      case "load": action.specifications.append(try load(value))
      default: action.specifications.append(try match(pair))
      }
      if action.specifications.count > 1024 {
        throw pair.key.error("learn has too many parts", remedy: "give at most 1024")
      }
    }
    return action
  }

  /// `FIELD=VALUE`, `FIELD[BITS]=FIELD[BITS]`, or `FIELD[BITS]` for the same of both.
  private mutating func match(_ pair: KeyValue) throws(FlowTextError) -> LearnAction.Specification {
    let name = pair.key.firstIndex(of: UInt8(ascii: "[")).map { pair.key.from(pair.key.lower, to: $0) } ?? pair.key
    guard NamedField(name.string) != nil else {
      throw pair.key.error(
        "learn has no \(pair.key.quoted)", remedy: "give a field, load, output, or a key of ovs-actions(7)")
    }
    let part = try SubfieldText.parse(pair.key)
    try learned.requireReadable(part, at: pair.key)
    guard pair.hasValue else {
      try source.requireReadable(part, at: pair.key)
      return .match(.field(part), to: part)
    }
    let value = pair.value
    if let other = try? SubfieldText.parse(value) {
      guard other.bitCount == part.bitCount else {
        throw value.error(
          "\(value.quoted) has \(other.bitCount) bits, \(pair.key.string) has \(part.bitCount)",
          remedy: "give as many bits to both")
      }
      try source.requireReadable(other, at: value)
      return .match(.field(other), to: part)
    }
    let number: UInt128
    if part.isWhole || part == SubfieldText.vlanID || part == SubfieldText.inPort {
      var tos = UInt128(0)
      switch NamedField(name.string) {
      case .tos:
        tos = UInt128(try value.number("TOS", UInt8.self))
        number = tos >> 2
      case .vlan: number = UInt128(try value.number("VLAN", UInt16.self, in: 0...4095))
      default: number = try FieldValueParser(names: names).value(part.field, value)
      }
    } else {
      guard let plain = value.integer() else {
        throw value.error("\(value.quoted) is neither a number nor a field", remedy: "give a number, or FIELD[BITS]")
      }
      guard part.bitCount == 128 || plain >> UInt128(part.bitCount) == 0 else {
        throw value.error("\(value.quoted) does not fit into \(part.bitCount) bits", remedy: "give a smaller number")
      }
      number = plain
    }
    let before = learned.state.value(part.field) ?? (value: 0, mask: 0)
    learned.state.set(
      part.field, before.value & ~part.mask | number << UInt128(part.firstBit), mask: before.mask | part.mask)
    return .match(.immediate(number & (part.mask >> UInt128(part.firstBit)), bitCount: part.bitCount), to: part)
  }

  private func load(_ text: TextSlice) throws(FlowTextError) -> LearnAction.Specification {
    guard let (first, second) = text.split(at: "->") else {
      throw text.error("\"->\" is missing", remedy: "write load:VALUE->FIELD[BITS] or load:FIELD[BITS]->FIELD[BITS]")
    }
    let destination = try SubfieldText.parse(second)
    try learned.requireWritable(destination, at: second)
    if let number = first.integer() {
      guard destination.bitCount == 128 || number >> UInt128(destination.bitCount) == 0 else {
        throw first.error(
          "\(first.quoted) does not fit into \(destination.bitCount) bits", remedy: "give a smaller number")
      }
      return .load(.immediate(number, bitCount: destination.bitCount), to: destination)
    }
    let part = try SubfieldText.parse(first)
    guard part.bitCount == destination.bitCount else {
      throw text.error(
        "the source has \(part.bitCount) bits, the destination \(destination.bitCount)",
        remedy: "give as many bits to both")
    }
    try source.requireReadable(part, at: first)
    return .load(.field(part), to: destination)
  }
}
