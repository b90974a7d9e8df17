// Reading the learn action (NXAST_LEARN, NXAST_LEARN2).

import VSwitchCore

enum LearnDecoder {
  static func learn(_ subtype: UInt16, _ version: OpenFlowVersion, _ body: inout WireReader) throws(ErrorCode)
    -> LearnAction
  {
    guard body.remaining >= (subtype == NiciraAction.learn2 ? 30 : 22) else { throw .badActionBadLength }
    let idle = try body.u16()
    let hard = try body.u16()
    let priority = try body.u16()
    let cookie = try body.u64()
    let flags = LearnAction.Flags(rawValue: try body.u16())
    var learn = LearnAction(table: try body.u8())
    learn.idleTimeoutSeconds = idle
    learn.hardTimeoutSeconds = hard
    learn.priority = priority
    learn.cookie = cookie
    learn.flags = flags
    guard learn.table != 0xff, flags.rawValue & ~(subtype == NiciraAction.learn2 ? 7 : 3) == 0 else {
      throw .badActionBadArgument
    }
    guard try body.u8() == 0 else { throw .badActionBadArgument }
    learn.finIdleTimeoutSeconds = try body.u16()
    learn.finHardTimeoutSeconds = try body.u16()
    if subtype == NiciraAction.learn2 {
      learn.limit = try body.u32()
      let bit = Int(try body.u16())
      guard try body.u16() == 0 else { throw .badActionBadArgument }
      if flags.contains(.writeResult) {
        let field = try body.fieldName(version)
        learn.result = try ActionDecoder.destination(field, firstBit: bit, bitCount: 1)
      }
    }
    while body.remaining >= 2 {
      let header = try body.u16()
      if header == 0 { break }
      learn.specifications.append(try specification(header, version, &body))
    }
    guard try body.zeros(body.remaining) else { throw .badActionBadArgument }
    return learn
  }

  /// Header: bit 13 immediate source, bits 11 and 12 what is made, the low 10 how many bits.
  private static func specification(_ header: UInt16, _ version: OpenFlowVersion, _ body: inout WireReader)
    throws(ErrorCode) -> LearnAction.Specification
  {
    let bitCount = Int(header & 0x3ff)
    let isImmediate = header & 0x2000 != 0
    let kind = header >> 11 & 3
    guard header & 0xc400 == 0, kind < 3, !(isImmediate && kind == 2) else { throw .badActionBadArgument }
    var read: (name: FieldName, bit: Int)?
    var value: UInt128 = 0
    if isImmediate {
      guard (1...128).contains(bitCount) else { throw .badActionBadSetLength }
      value = try body.unsigned(byteCount: (bitCount + 15) / 16 * 2, .badActionBadLength)
      guard bitCount == 128 || value >> UInt128(bitCount) == 0 else { throw .badActionBadArgument }
    } else {
      read = try place(version, &body)
    }
    if kind == 2 {
      guard let read else { throw .badActionBadArgument }
      return .output(try ActionDecoder.source(read.name, firstBit: read.bit, bitCount: bitCount))
    }
    let (name, bit) = try place(version, &body)
    let lost = ActionDecoder.lostBitCount(name, firstBit: bit, bitCount: bitCount)
    let count = bitCount - lost
    let source: LearnAction.Source =
      if let read {
        .field(try ActionDecoder.source(read.name, firstBit: read.bit + lost, bitCount: count))
      } else {
        .immediate(value >> UInt128(lost), bitCount: count)
      }
    if kind == 0 {
      return .match(source, to: try ActionDecoder.source(name, firstBit: bit + lost, bitCount: count))
    }
    return .load(source, to: try ActionDecoder.destination(name, firstBit: bit + lost, bitCount: count))
  }

  private static func place(_ version: OpenFlowVersion, _ body: inout WireReader) throws(ErrorCode) -> (
    name: FieldName, bit: Int
  ) {
    let field = try body.fieldName(version)
    return (field, Int(try body.u16(.badActionBadLength)))
  }
}
