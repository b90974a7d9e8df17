// Writing settings of fields: each version has its own way, with bits of a field or without.

import VSwitchCore

extension ActionEncoder {
  mutating func setField(_ field: Field, _ value: UInt128, _ mask: UInt128) throws(EncodeError) {
    let mask = mask & field.fullMask
    let value = value & mask
    if mask == 0 { return }
    if version == .v10, setField10(field, value, mask) { return }
    guard let code = FieldCode.code(field, version) else { throw EncodeError.field(field) }
    if version == .v15 || version > .v10 && mask == field.fullMask {
      let start = writer.count
      writer.u16(25)
      writer.u16(0)
      writer.field(code, value, mask: mask)
      finish(start)
    } else if let code = FieldCode.niciraCode(Subfield(field), version), code.headerByteCount == 4, let run = Run(mask),
      run.bitCount <= 64
    {
      niciraHeader(NiciraAction.registerLoad)
      writer.u16(UInt16(truncatingIfNeeded: run.firstBit << 6 | (run.bitCount - 1)))
      writer.fieldHeader(code)
      writer.u64(UInt64(truncatingIfNeeded: value >> UInt128(run.firstBit)))
      writer.patch16(24, at: writer.count - 22)
    } else {
      let start = writer.count
      niciraHeader(NiciraAction.registerLoad2)
      writer.field(code, value, mask: mask)
      finish(start)
    }
  }

  /// 1.0's own actions.
  /// - Returns: false if there is none.
  private mutating func setField10(_ field: Field, _ value: UInt128, _ mask: UInt128) -> Bool {
    let word = UInt32(truncatingIfNeeded: value)
    guard mask == field.fullMask else {
      guard field == .vlanID, mask == 0xfff else { return false }
      standard(1, word << 16)
      return true
    }
    switch field {
    case .vlanID where value & 0x1000 != 0: standard(1, (word & 0xfff) << 16)
    case .vlanPriority: standard(2, word << 24)
    case .ethernetSource, .ethernetDestination:
      writer.u16(field == .ethernetSource ? 4 : 5)
      writer.u16(16)
      writer.u48(UInt64(truncatingIfNeeded: value))
      writer.zeros(6)
    case .ipv4Source: standard(6, word)
    case .ipv4Destination: standard(7, word)
    case .ipDSCP: standard(8, word << 26)
    case .tcpSource, .udpSource, .sctpSource: standard(9, word << 16)
    case .tcpDestination, .udpDestination, .sctpDestination: standard(10, word << 16)
    case .tunnelID where value <= UInt128(UInt32.max): niciraWord(NiciraAction.setTunnel, word)
    case .tunnelID:
      niciraHeader(NiciraAction.setTunnel64)
      writer.zeros(6)
      writer.u64(UInt64(truncatingIfNeeded: value))
      writer.patch16(24, at: writer.count - 22)
    default: return false
    }
    return true
  }

  /// A mask whose ones are one run.
  struct Run {
    let firstBit: Int
    let bitCount: Int

    init?(_ mask: UInt128) {
      guard mask != 0 else { return nil }
      firstBit = mask.trailingZeroBitCount
      bitCount = mask.nonzeroBitCount
      guard 128 - mask.leadingZeroBitCount - firstBit == bitCount else { return nil }
    }
  }
}
