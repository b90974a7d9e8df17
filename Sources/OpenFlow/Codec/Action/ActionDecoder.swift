// Reading lists of actions: the frame around each action, and which reader it goes to. Actions of 1.0 are in `V10/`,
// those of later versions in `V13/` and `V15/`, Open vSwitch's extensions in `Nicira/`. Nesting has a limit, so that no
// message can exhaust the stack.

import VSwitchCore

struct ActionDecoder {
  /// Actions within actions (clone, ct) beyond this are refused.
  static let depthLimit = 16

  let version: OpenFlowVersion
  let depth: Int
  /// The match that the actions are for: tells of which protocol 1.0's "transport port" is.
  let match: Match?
  /// What NXAST_WRITE_METADATA said, which is an instruction in other versions.
  private(set) var metadata: Instructions.MaskedMetadata?

  init(_ version: OpenFlowVersion, match: Match? = nil, depth: Int = 0) {
    self.version = version
    self.match = match
    self.depth = depth
  }

  /// Reads actions to the end.
  mutating func list(_ reader: inout WireReader) throws(ErrorCode) -> [Action] {
    var actions: [Action] = []
    while !reader.isAtEnd {
      if let action = try action(&reader) { actions.append(action) }
    }
    return actions
  }

  /// Reads one action; nil for one that is kept elsewhere (`metadata`).
  mutating func action(_ reader: inout WireReader) throws(ErrorCode) -> Action? {
    guard depth <= ActionDecoder.depthLimit else { throw .badActionTooMany }
    guard reader.remaining >= 8 else { throw .badActionBadLength }
    let type = try reader.u16()
    let length = Int(try reader.u16())
    guard length >= 8, length % 8 == 0 else { throw .badActionBadLength }
    var body = try reader.part(length - 4, .badActionBadLength)
    if type == 0xffff { return try experimenter(&body) }
    return version == .v10 ? try action10(type, &body) : try action13(type, &body)
  }

  private mutating func experimenter(_ body: inout WireReader) throws(ErrorCode) -> Action? {
    let experimenter = try body.u32(.badActionBadLength)
    switch experimenter {
    case Experimenter.nicira:
      guard body.remaining >= 8 else { throw .badActionBadLength }
      let subtype = try body.u16()
      if subtype == NiciraAction.writeMetadata {
        try ActionDecoder.expect(&body, 22)
        try ActionDecoder.expectZeros(&body, 6)
        let value = try body.u64()
        metadata = Instructions.MaskedMetadata(value: value, mask: try body.u64())
        return nil
      }
      return try niciraAction(subtype, &body)
    case Experimenter.onf:
      guard body.remaining >= 8 else { throw .badActionBadLength }
      guard try body.u16() == 3200, version == .v13 || version == .v14 else { throw .badActionBadExperimenterType }
      try body.skip(2, .badActionBadLength)
      return try copyField(&body)
    default: throw .badActionBadExperimenter
    }
  }

  /// Throws unless so many bytes are left.
  static func expect(_ body: inout WireReader, _ byteCount: Int) throws(ErrorCode) {
    guard body.remaining == byteCount else { throw .badActionBadLength }
  }

  /// Goes past bytes that Open vSwitch wants to be 0.
  static func expectZeros(_ body: inout WireReader, _ byteCount: Int) throws(ErrorCode) {
    guard try body.zeros(byteCount, .badActionBadLength) else { throw .niciraActionMustBeZero }
  }

  /// A port that can be output to.
  static func outputPort(_ port: PortNumber) throws(ErrorCode) -> PortNumber {
    guard port.isOutput else { throw .badActionBadOutPort }
    return port
  }

  /// Bits of a field that are read.
  static func source(_ name: FieldName, firstBit: Int, bitCount: Int) throws(ErrorCode) -> Subfield {
    guard let subfield = Subfield(name.field, firstBit: firstBit - name.offset, bitCount: bitCount) else {
      throw .badActionBadSetLength
    }
    return subfield
  }

  /// Bits of a field that are written.
  static func destination(_ name: FieldName, firstBit: Int, bitCount: Int) throws(ErrorCode) -> Subfield {
    guard name.field.isWritable else { throw .badActionBadSetArgument }
    return try source(name, firstBit: firstBit, bitCount: bitCount)
  }

  /// The lowest bits of what is written to these bits that the field has not, and that are lost.
  static func lostBitCount(_ name: FieldName, firstBit: Int, bitCount: Int) -> Int {
    min(max(name.offset - firstBit, 0), bitCount)
  }

  /// Bits that are read and written.
  static func move(
    from: FieldName, firstBit sourceBit: Int, to: FieldName, firstBit destinationBit: Int, bitCount: Int
  ) throws(ErrorCode) -> (from: Subfield, to: Subfield) {
    let lost = lostBitCount(to, firstBit: destinationBit, bitCount: bitCount)
    return (
      try source(from, firstBit: sourceBit + lost, bitCount: bitCount - lost),
      try destination(to, firstBit: destinationBit + lost, bitCount: bitCount - lost)
    )
  }

  /// Open Networking Foundation's and 1.5's copy-field, from its number of bits on.
  func copyField(_ body: inout WireReader) throws(ErrorCode) -> Action {
    let bitCount = Int(try body.u16(.badActionBadLength))
    let sourceBit = Int(try body.u16(.badActionBadLength))
    let destinationBit = Int(try body.u16(.badActionBadLength))
    try body.skip(2, .badActionBadLength)
    let from = try copyName(&body)
    let to = try copyName(&body)
    guard body.remaining < 8 else { throw .badActionBadLength }
    let bits = try ActionDecoder.move(
      from: from, firstBit: sourceBit, to: to, firstBit: destinationBit, bitCount: bitCount)
    return .move(from: bits.from, to: bits.to)
  }

  private func copyName(_ body: inout WireReader) throws(ErrorCode) -> FieldName {
    do { return try body.fieldName(version) } catch {
      throw error == .badMatchBadField ? .badActionBadSetType : error
    }
  }

  /// Set-field and its like: a field with value and perhaps mask, then padding.
  func setField(_ body: inout WireReader, mayMask: Bool) throws(ErrorCode) -> Action {
    let header: FieldHeader
    do { header = try FieldHeader(&body) } catch { throw .badActionBadSetLength }
    guard let code = header.code(version) else {
      throw header.isTunnelOption ? .niciraMatchInvalidTLVField : .badActionBadSetType
    }
    var payload = try body.part(header.payloadByteCount, .badActionBadSetLength)
    let value: UInt128
    let mask: UInt128
    do { (value, mask) = try MatchDecoder.value(code, hasMask: header.hasMask, &payload) } catch {
      switch error {
      case .badMatchBadMask: throw .badActionBadSetMask
      case .badMatchBadValue: throw .badActionBadSetArgument
      default: throw error
      }
    }
    guard mayMask || !header.hasMask else { throw .badActionBadSetMask }
    let padding = body.remaining
    guard padding < 8 else { throw .badActionBadLength }
    guard try body.zeros(padding), code.field.isWritable, code.field != .inPort || version == .v10 else {
      throw .badActionBadSetArgument
    }
    return .setField(code.field, value: value & mask, mask: mask)
  }
}

/// Numbers of those who have extensions that are spoken here.
enum Experimenter {
  static let nicira: UInt32 = 0x0000_2320
  static let onf: UInt32 = 0x4f4e_4600
}
