// Values of fields on the wire and in the model: most are equal; NXM has 16-bit port numbers and the DSCP in the upper
// six bits of its byte.

import VSwitchCore

extension FieldCode {
  var isShiftedDSCP: Bool { fieldClass == 0 && number == 5 }
  private var is16BitPort: Bool { fieldClass == 0 && number == 0 }
  private var wireOnes: UInt128 { byteCount == 16 ? .max : (1 << UInt128(8 * byteCount)) - 1 }

  /// Reads a value and its mask; nil mask: all bits.
  /// - Throws: what the standard says of bits that the field has not.
  func model(_ value: UInt128, mask: UInt128?) throws(ErrorCode) -> (value: UInt128, mask: UInt128) {
    if isPlain, mask == nil { return (value, wireOnes) }
    if is16BitPort {
      guard mask == nil || mask == 0xffff || mask == 0 else { throw .badMatchBadMask }
      guard mask != 0 else { return (0, 0) }
      return (UInt128(PortNumber(wire10: UInt16(truncatingIfNeeded: value)).rawValue), field.fullMask)
    }
    var value = value
    var bits = mask ?? wireOnes
    if isShiftedDSCP {
      if value & 3 != 0 { throw .badMatchBadValue }
      value >>= 2
      bits >>= 2
    }
    let valid = validBits
    if value & ~valid != 0 { throw .badMatchBadValue }
    bits &= field.fullMask
    if !field.isMaskable, bits != 0, bits != field.fullMask { throw .badMatchBadMask }
    if field == .inPort, bits != 0, !PortNumber(UInt32(truncatingIfNeeded: value)).isSaneInput {
      throw .badMatchBadValue
    }
    return (value, bits)
  }

  /// Bits that a value can have; the others have to be 0.
  private var validBits: UInt128 {
    switch field {
    case .ctState: 0xff
    case .arpOperation: 0xff
    default: field.fullMask
    }
  }

  /// Reads a mask that stands where a value does (fields that a group hashes): any bits that the field has.
  func modelMask(_ mask: UInt128) throws(ErrorCode) -> UInt128 {
    if is16BitPort { return mask == 0xffff ? field.fullMask : mask }
    let bits = isShiftedDSCP ? mask >> 2 : mask
    guard bits & ~field.fullMask == 0 else { throw .badMatchBadMask }
    return bits
  }

  /// A value or mask as it is written.
  func wire(_ value: UInt128, isMask: Bool = false) -> UInt128 {
    if isShiftedDSCP { return value << 2 }
    if is16BitPort {
      return isMask ? 0xffff : UInt128(PortNumber(UInt32(truncatingIfNeeded: value)).wire10)
    }
    return value
  }
}

extension PortNumber {
  /// OpenFlow 1.0's 16-bit number: reserved ones from 0xfff8 up.
  init(wire10 number: UInt16) { self.init(number >= 0xff00 ? 0xffff_0000 | UInt32(number) : UInt32(number)) }

  /// The number in OpenFlow 1.0; one that it has no room for becomes "none".
  var wire10: UInt16 {
    if rawValue < 0xff00 { return UInt16(rawValue) }
    return rawValue >= 0xffff_ff00 ? UInt16(truncatingIfNeeded: rawValue) : 0xffff
  }

  /// Whether a packet could have come in there, or a match ask for it.
  var isSaneInput: Bool { rawValue <= PortNumber.maximum || rawValue >= PortNumber.unset.rawValue }

  /// Whether an output can name it.
  var isOutput: Bool {
    rawValue <= PortNumber.maximum || (PortNumber.inPort.rawValue...PortNumber.local.rawValue).contains(rawValue)
  }
}
