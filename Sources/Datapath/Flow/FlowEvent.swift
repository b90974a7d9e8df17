// What rules ask control code for, as the worker writes it into the event ring (`EventRing`).

import VSwitchCore

/// A record of the event ring.
enum FlowEvent {
  case controllerPacket(ControllerPacket)
  case learn(bridge: UInt32, rule: FlowMod, limit: UInt32)
  case finTimeout(bridge: UInt32, slot: UInt32, idleSeconds: UInt16, hardSeconds: UInt16)

  /// Nil for a record that is not whole.
  init?(_ record: [UInt8]) {
    func number(_ offset: Int) -> UInt32 {
      (0..<4).reduce(0) { $0 | UInt32(record[offset + $1]) << UInt32(8 * $1) }
    }
    guard record.count >= 8 else { return nil }
    switch number(0) {
    case EventKind.controllerPacket:
      guard let packet = ControllerPacket(record) else { return nil }
      self = .controllerPacket(packet)
    case EventKind.learn:
      let steps = FlowEvent.steps(record[8...])
      guard let head = steps.first else { return nil }
      self = .learn(bridge: number(4), rule: FlowEvent.rule(head, steps.dropFirst()), limit: head.number)
    case EventKind.finTimeout:
      guard record.count >= 16 else { return nil }
      self = .finTimeout(
        bridge: number(4), slot: number(8), idleSeconds: UInt16(truncatingIfNeeded: number(12)),
        hardSeconds: UInt16(truncatingIfNeeded: number(12) >> 16))
    default: return nil
    }
  }

  private static func steps(_ bytes: ArraySlice<UInt8>) -> [ActionStep] {
    let stride = MemoryLayout<ActionStep>.stride
    return (0..<bytes.count / stride).map { index in
      var step = ActionStep(.drop)
      let start = bytes.startIndex + index * stride
      unsafe withUnsafeMutableBytes(of: &step) {
        unsafe $0.copyBytes(from: bytes[start..<start + MemoryLayout<ActionStep>.size])
      }
      return step
    }
  }

  /// The rule that a learn step describes: see `ActionStep.Operation.learn`.
  private static func rule(_ head: ActionStep, _ parts: ArraySlice<ActionStep>) -> FlowMod {
    var rule = FlowMod()
    rule.table = head.field
    rule.priority = head.half
    rule.cookie = head.low
    rule.idleTimeoutSeconds = UInt16(truncatingIfNeeded: head.high)
    rule.hardTimeoutSeconds = UInt16(truncatingIfNeeded: head.high >> 16)
    let flags = LearnAction.Flags(rawValue: UInt16(truncatingIfNeeded: head.maskLow))
    if flags.contains(.sendFlowRemoved) { rule.flags.insert(.sendFlowRemoved) }
    let finIdle = UInt16(truncatingIfNeeded: head.high >> 32)
    let finHard = UInt16(truncatingIfNeeded: head.high >> 48)
    if finIdle != 0 || finHard != 0 {
      rule.instructions.apply.append(.finTimeout(idleSeconds: finIdle, hardSeconds: finHard))
    }
    for part in parts {
      switch part.operation {
      case .learnMatch:
        guard let field = Field(rawValue: part.field) else { continue }
        // Several parts may name bits of one field.
        let known = rule.match.value(field) ?? (0, 0)
        rule.match.set(field, known.value & ~part.mask | part.value, mask: known.mask | part.mask)
      case .learnLoad:
        guard let field = Field(rawValue: part.field) else { continue }
        rule.instructions.apply.append(.setField(field, value: part.value, mask: part.mask))
      case .learnOutput:
        rule.instructions.apply.append(.output(PortNumber(part.number), maximumByteCount: 0xffff))
      default: continue
      }
    }
    return rule
  }
}
