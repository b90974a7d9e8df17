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
    if !result.isNone { set(result, mayLearn(code) ? 1 : 0) }
  }

  /// Whether the limit leaves room for the rule, or it is there already.
  private mutating func mayLearn(_ code: CodeStep) -> Bool {
    let limit = UInt32(truncatingIfNeeded: code[2] >> 32)
    guard limit != 0 else { return true }
    let table = UInt8(truncatingIfNeeded: code.argument)
    result.dependencies.add(table: table)
    var match = FlowKey()
    var mask = FlowMask()
    for i in 0..<Int(code[5]) {
      let (kind, value, destination) = specification(code, 6 + 3 * i)
      guard kind == .match else { continue }
      let bits = destination.mask
      match[destination.field] =
        match[destination.field] & ~bits | value &<< UInt128(destination.firstBit) & bits
      mask[destination.field] |= bits
    }
    return reader.mayLearn(
      table: table, cookie: code[3], limit: limit, priority: UInt16(truncatingIfNeeded: code[1]), match: match,
      mask: mask, version: version)
  }

  /// A part of the rule, with the value that the packet gives it.
  private mutating func specification(_ code: CodeStep, _ position: Int)
    -> (kind: LearnSpecificationKind, value: UInt128, destination: PackedSubfield)
  {
    let head = code[position]
    let source = PackedSubfield(bits: UInt32(truncatingIfNeeded: code[position &+ 2]))
    return (
      LearnSpecificationKind(rawValue: UInt8(truncatingIfNeeded: head)) ?? .match,
      head & 1 << 8 != 0 ? code.wide(position &+ 1) : read(source),
      PackedSubfield(bits: UInt32(truncatingIfNeeded: head >> 32))
    )
  }

  private mutating func specify(_ code: CodeStep, _ position: Int) {
    let (kind, value, destination) = specification(code, position)
    switch kind {
    case .match: append(.learnMatch, value, to: destination)
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
