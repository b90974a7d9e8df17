// The header of a field on the wire (OpenFlow 1.5 §7.2.3.2): class 16, number 7, has-mask 1, length 8 bits, and for
// experimenters a 32-bit id. It stands before values in matches and set-field, and alone as a field's name in actions.

import VSwitchCore

/// A header as read.
struct FieldHeader {
  /// NXM_NX_COOKIE, which stands for the cookie in NXM matches.
  static let cookieNumber: UInt8 = 30

  let fieldClass: UInt16
  let number: UInt8
  let hasMask: Bool
  /// Of what follows the header.
  let payloadByteCount: Int
  let experimenter: UInt32?

  /// - Throws: badMatchBadLength if the header is cut off or its length is less than the experimenter's id.
  init(_ reader: inout WireReader) throws(ErrorCode) {
    let header = try reader.u32(.badMatchBadLength)
    fieldClass = UInt16(truncatingIfNeeded: header >> 16)
    number = UInt8(truncatingIfNeeded: header >> 9) & 0x7f
    hasMask = header & 0x100 != 0
    let length = Int(header & 0xff)
    if fieldClass == FieldCode.experimenterClass {
      experimenter = try reader.u32(.badMatchBadLength)
      guard length >= 4 else { throw .badMatchBadLength }
      payloadByteCount = length - 4
    } else {
      experimenter = nil
      payloadByteCount = length
    }
  }

  /// The field, if it is known and the length is right.
  func code(_ version: OpenFlowVersion) -> FieldCode? {
    let code =
      if let experimenter { FieldCodeTable.code(experimenter: experimenter, number: number) } else {
        FieldCodeTable.code(fieldClass: fieldClass, number: number, version: version)
      }
    guard let code, payloadByteCount == code.byteCount * (hasMask ? 2 : 1) else { return nil }
    return code
  }

  var isCookie: Bool {
    fieldClass == 1 && number == FieldHeader.cookieNumber && payloadByteCount == (hasMask ? 16 : 8)
  }

  /// A field for tunnel options, of which none is mapped.
  var isTunnelOption: Bool { fieldClass == 1 && (40...103).contains(number) }
}

/// A field as actions name it.
struct FieldName {
  var code: FieldCode
  var field: Field { code.field }
  /// Bits that the name has below the field's own: NXM_OF_IP_TOS is 8 bits wide, of which the field has the upper 6.
  var offset: Int { code.isShiftedDSCP ? 2 : 0 }
  /// NXM_OF_IN_PORT, which has 16 bits.
  var isInPort10: Bool { code.fieldClass == 0 && code.field == .inPort }
}

extension WireReader {
  /// Reads the name of a field, as actions have it.
  mutating func fieldName(_ version: OpenFlowVersion) throws(ErrorCode) -> FieldName {
    guard remaining >= 4 else { throw .badActionBadLength }
    let header = try FieldHeader(&self)
    guard let code = header.code(version) else {
      throw header.isTunnelOption ? .niciraMatchInvalidTLVField : .badMatchBadField
    }
    guard !header.hasMask else { throw .badActionBadSetMask }
    return FieldName(code: code)
  }
}

extension WireWriter {
  /// Writes a header; a mask doubles the length.
  mutating func fieldHeader(_ code: FieldCode, hasMask: Bool = false) {
    let isExperimenter = code.fieldClass == FieldCode.experimenterClass
    let length = code.byteCount * (hasMask ? 2 : 1) + (isExperimenter ? 4 : 0)
    u32(
      UInt32(code.fieldClass) << 16 | UInt32(code.number) << 9 | (hasMask ? 0x100 : 0)
        | UInt32(truncatingIfNeeded: length))
    if isExperimenter { u32(FieldCode.onf) }
  }

  /// Writes header, value and, unless all bits count, mask.
  mutating func field(_ code: FieldCode, _ value: UInt128, mask: UInt128) {
    let hasMask = mask != code.field.fullMask
    fieldHeader(code, hasMask: hasMask)
    unsigned(code.wire(value), byteCount: code.byteCount)
    if hasMask { unsigned(code.wire(mask, isMask: true), byteCount: code.byteCount) }
  }

  /// Writes the name of a field as Open vSwitch's actions do.
  mutating func niciraFieldName(_ bits: Subfield, _ version: OpenFlowVersion) throws(EncodeError) {
    guard let code = FieldCode.niciraCode(bits, version) else { throw EncodeError.field(bits.field) }
    fieldHeader(code)
  }

  /// Writes a field's name.
  mutating func fieldName(_ field: Field, _ version: OpenFlowVersion) throws(EncodeError) {
    guard let code = FieldCode.code(field, version) else { throw EncodeError.field(field) }
    fieldHeader(code)
  }
}
