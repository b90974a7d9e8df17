// Matches as sequences of fields: OXM (OpenFlow 1.5 §7.2.3) and NXM in 1.0. A field whose prerequisite is not before it,
// a field given twice, bits outside a mask: each is refused as the standard says.

import VSwitchCore

enum MatchDecoder {
  /// Reads an OXM match with its header and padding.
  static func oxm(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode) -> Match {
    let type = try reader.u16(.badMatchBadLength)
    let length = Int(try reader.u16(.badMatchBadLength))
    switch type {
    case 1:
      guard length >= 4 else { throw .badMatchBadLength }
      var fields = try reader.part(length - 4, .badMatchBadLength)
      try reader.skip((8 - length % 8) % 8, .badMatchBadLength)
      var cookie: FlowMod.CookieFilter?
      return try match(&fields, version, cookie: &cookie)
    case 0:
      // 1.1's fixed match has 88 bytes; another length is what is wrong first.
      throw length == 88 && reader.remaining >= 84 ? .badMatchBadType : .badMatchBadLength
    default: throw .badMatchBadType
    }
  }

  /// Reads an NXM match of `byteCount` bytes and its padding.
  /// - Parameter cookie: nil if a cookie may not be asked for, else what was.
  static func nxm(_ reader: inout WireReader, byteCount: Int, cookie: inout FlowMod.CookieFilter?) throws(ErrorCode)
    -> Match
  {
    var fields = try reader.part(byteCount, .badMatchBadLength)
    try reader.skip((8 - byteCount % 8) % 8, .badMatchBadLength)
    return try match(&fields, .v10, cookie: &cookie)
  }

  /// Reads fields to the end.
  static func match(_ reader: inout WireReader, _ version: OpenFlowVersion, cookie: inout FlowMod.CookieFilter?)
    throws(ErrorCode) -> Match
  {
    var match = Match()
    while !reader.isAtEnd {
      let header = try FieldHeader(&reader)
      var payload = try reader.part(header.payloadByteCount, .badMatchBadLength)
      if header.isCookie, let filter = cookie {
        guard filter.mask == 0 else { throw .badMatchDuplicateField }
        let value = try payload.u64()
        let mask = header.hasMask ? try payload.u64() : .max
        guard value & ~mask == 0 else { throw .badMatchBadWildcards }
        cookie = FlowMod.CookieFilter(value: value, mask: mask)
        continue
      }
      guard let code = header.code(version) else {
        throw header.isTunnelOption ? .niciraMatchInvalidTLVField : .badMatchBadField
      }
      let (value, mask) = try self.value(code, hasMask: header.hasMask, &payload)
      guard match.satisfies(code.field.prerequisite) else { throw .badMatchBadPrerequisite }
      guard match.add(code.field, value & mask, mask: mask) else { throw .badMatchDuplicateField }
    }
    return match
  }

  /// Reads value and mask behind a header.
  static func value(_ code: FieldCode, hasMask: Bool, _ payload: inout WireReader) throws(ErrorCode)
    -> (value: UInt128, mask: UInt128)
  {
    let value = try payload.unsigned(byteCount: code.byteCount, .badMatchBadLength)
    guard hasMask else { return try code.model(value, mask: nil) }
    let mask = try payload.unsigned(byteCount: code.byteCount, .badMatchBadLength)
    guard value & ~mask == 0 else { throw .badMatchBadWildcards }
    return try code.model(value, mask: mask)
  }
}
