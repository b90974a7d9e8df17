// Writing the learn action.

import VSwitchCore

enum LearnEncoder {
  static func write(_ learn: LearnAction, _ encoder: inout ActionEncoder) throws(EncodeError) {
    let isSecond = learn.limit != 0 || learn.result != nil
    let version = encoder.version
    try encoder.nicira(isSecond ? NiciraAction.learn2 : NiciraAction.learn) { (writer) throws(EncodeError) in
      writer.u16(learn.idleTimeoutSeconds)
      writer.u16(learn.hardTimeoutSeconds)
      writer.u16(learn.priority)
      writer.u64(learn.cookie)
      var flags = learn.flags.rawValue & 3
      if learn.result != nil { flags |= LearnAction.Flags.writeResult.rawValue }
      writer.u16(flags)
      writer.u8(learn.table)
      writer.u8(0)
      writer.u16(learn.finIdleTimeoutSeconds)
      writer.u16(learn.finHardTimeoutSeconds)
      if isSecond {
        writer.u32(learn.limit)
        writer.u16(UInt16(truncatingIfNeeded: learn.result?.firstBit ?? 0))
        writer.u16(0)
        if let result = learn.result { try writer.niciraFieldName(result, version) }
      }
      for specification in learn.specifications {
        switch specification {
        case .match(let source, let to): try write(source, to, kind: 0, version, &writer)
        case .load(let source, let to): try write(source, to, kind: 1 << 11, version, &writer)
        case .output(let bits):
          writer.u16(2 << 11 | UInt16(truncatingIfNeeded: bits.bitCount))
          try place(bits, version, &writer)
        }
      }
    }
  }

  private static func write(
    _ source: LearnAction.Source, _ to: Subfield, kind: UInt16, _ version: OpenFlowVersion,
    _ writer: inout WireWriter
  ) throws(EncodeError) {
    switch source {
    case .field(let bits):
      writer.u16(kind | UInt16(truncatingIfNeeded: bits.bitCount))
      try place(bits, version, &writer)
    case .immediate(let value, let bitCount):
      let bitCount = min(max(bitCount, 1), 128)
      writer.u16(kind | 0x2000 | UInt16(truncatingIfNeeded: bitCount))
      writer.unsigned(value, byteCount: (bitCount + 15) / 16 * 2)
    }
    try place(to, version, &writer)
  }

  private static func place(_ bits: Subfield, _ version: OpenFlowVersion, _ writer: inout WireWriter)
    throws(EncodeError)
  {
    try writer.niciraFieldName(bits, version)
    writer.u16(UInt16(truncatingIfNeeded: bits.firstBit))
  }
}
