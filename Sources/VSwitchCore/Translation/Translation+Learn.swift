// The learn action: resolved here to the match and actions of the new rule; made when a packet runs the program. Thread and
// memory: as `Translation`. Standard: ovs-actions(7), `learn`.

extension Translation {
  mutating func learn(_ code: CodeStep) {
    let index = program.count
    var step = ActionStep(
      .learn, number: UInt32(truncatingIfNeeded: code[2] >> 32), half: UInt16(truncatingIfNeeded: code[1]),
      field: UInt8(truncatingIfNeeded: code.argument))
    step.low = code[3]
    step.high = code[1] >> 16 | (code[2] & 0xffff) << 48
    step.maskLow = code[2] >> 16 & 0xffff
    step.maskHigh = unsafe UInt64(top.pointee.ruleSlot)
    append(step)
    for i in 0..<Int(code[5]) { specify(code, 6 + 3 * i) }
    if !isReplaying { program.closeBlock(at: index) }
    // The rule is made later: that it can be is what a packet sees of it.
    let result = PackedSubfield(bits: UInt32(truncatingIfNeeded: code[4]))
    if !result.isNone { set(result, 1) }
  }

  private mutating func specify(_ code: CodeStep, _ position: Int) {
    let head = code[position]
    let destination = PackedSubfield(bits: UInt32(truncatingIfNeeded: head >> 32))
    let source = PackedSubfield(bits: UInt32(truncatingIfNeeded: code[position &+ 2]))
    let value = head & 1 << 8 != 0 ? code.wide(position &+ 1) : read(source)
    switch LearnSpecificationKind(rawValue: UInt8(truncatingIfNeeded: head)) {
    case .match, nil: append(.learnMatch, value, to: destination)
    case .load: append(.learnLoad, value, to: destination)
    case .output:
      guard value <= UInt128(UInt32.max) else { return }
      append(ActionStep(.learnOutput, number: UInt32(truncatingIfNeeded: value)))
    }
  }

  private mutating func append(_ operation: ActionStep.Operation, _ value: UInt128, to destination: PackedSubfield) {
    append(
      ActionStep(
        operation, field: destination.field, value: value &<< UInt128(destination.firstBit) & destination.mask,
        mask: destination.mask))
  }
}
