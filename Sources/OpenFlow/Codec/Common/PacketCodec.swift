// Packets to and from controllers in each version and in Open vSwitch's forms (1.0 §5.3.6, §5.4.1, 1.5 §7.3.6, §7.4.1).

import VSwitchCore

enum PacketInCodec {
  private static let noBuffer: UInt32 = 0xffff_ffff

  /// The version's own message.
  static func decode(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode) -> PacketIn {
    var packet = PacketIn()
    packet.bufferID = buffer(try reader.u32())
    packet.totalByteCount = Int(try reader.u16())
    if version == .v10 {
      packet.inPort = PortNumber(wire10: try reader.u16())
      packet.reason = try reason(try reader.u8())
      try reader.skip(1)
    } else {
      packet.reason = try reason(try reader.u8())
      packet.table = try reader.u8()
      packet.cookie = try reader.u64()
      packet.metadata = try MatchDecoder.oxm(&reader, version)
      try reader.skip(2)
    }
    packet.data = reader.rest()
    return packet
  }

  static func encode(_ packet: PacketIn, _ version: OpenFlowVersion, to writer: inout WireWriter) throws(EncodeError) {
    writer.u32(packet.bufferID ?? noBuffer)
    writer.u16(UInt16(clamping: packet.totalByteCount))
    if version == .v10 {
      writer.u16(packet.inPort.wire10)
      writer.u8(reason(packet.reason, version))
      writer.zeros(1)
    } else {
      writer.u8(reason(packet.reason, version))
      writer.u8(packet.table)
      writer.u64(packet.cookie)
      try MatchEncoder.oxm(packet.metadata, version, to: &writer)
      writer.zeros(2)
    }
    writer.array(packet.data)
  }

  /// NXT_PACKET_IN.
  static func decodeNXM(_ reader: inout WireReader) throws(ErrorCode) -> PacketIn {
    var packet = PacketIn()
    packet.bufferID = buffer(try reader.u32())
    packet.totalByteCount = Int(try reader.u16())
    packet.reason = try reason(try reader.u8())
    packet.table = try reader.u8()
    packet.cookie = try reader.u64()
    let matchByteCount = Int(try reader.u16())
    try reader.skip(6)
    var cookie: FlowMod.CookieFilter?
    packet.metadata = try MatchDecoder.nxm(&reader, byteCount: matchByteCount, cookie: &cookie)
    try reader.skip(2)
    packet.data = reader.rest()
    return packet
  }

  static func encodeNXM(_ packet: PacketIn, _ version: OpenFlowVersion, to writer: inout WireWriter)
    throws(EncodeError)
  {
    writer.u32(packet.bufferID ?? noBuffer)
    writer.u16(UInt16(clamping: packet.totalByteCount))
    writer.u8(reason(packet.reason, version))
    writer.u8(packet.table)
    writer.u64(packet.cookie)
    let lengthAt = writer.count
    writer.zeros(8)
    let count = try MatchEncoder.nxm(packet.metadata, to: &writer)
    writer.patch16(count, at: lengthAt)
    writer.zeros(2)
    writer.array(packet.data)
  }

  /// NXT_PACKET_IN2 and NXT_RESUME.
  static func decodeProperties(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode) -> PacketIn {
    var packet = PacketIn()
    var total: Int?
    while !reader.isAtEnd {
      var type: UInt16 = 0
      var value = try reader.property(&type)
      switch type {
      case 0: packet.data = value.rest()
      case 1: total = Int(try value.u32(.badPropertyBadLength))
      case 2: packet.bufferID = buffer(try value.u32(.badPropertyBadLength))
      case 3: packet.table = try value.u8(.badPropertyBadLength)
      case 4:
        try value.skip(4, .badPropertyBadLength)
        packet.cookie = try value.u64(.badPropertyBadLength)
      case 5: packet.reason = try reason(try value.u8(.badPropertyBadLength))
      case 6:
        var cookie: FlowMod.CookieFilter?
        packet.metadata = try MatchDecoder.match(&value, version, cookie: &cookie)
      case 7: packet.userData = value.rest()
      case 8:
        // Nested properties, from a multiple of eight bytes on.
        try value.skip(4, .badPropertyBadLength)
        packet.continuation = value.rest()
      default: throw .badPropertyBadType
      }
    }
    packet.totalByteCount = total ?? packet.data.count
    return packet
  }

  static func encodeProperties(_ packet: PacketIn, _ version: OpenFlowVersion, to writer: inout WireWriter)
    throws(EncodeError)
  {
    // A property's length is 16 bits; whoever has more has no valid message anyway.
    writer.property(0, exactLength: true) { $0.array(packet.data.prefix(0xfff0)) }
    if packet.totalByteCount != packet.data.count {
      writer.property(1) { $0.u32(UInt32(clamping: packet.totalByteCount)) }
    }
    if let buffer = packet.bufferID { writer.property(2) { $0.u32(buffer) } }
    writer.property(3, exactLength: true) { $0.u8(packet.table) }
    if packet.cookie != .max {
      writer.property(4) {
        $0.zeros(4)
        $0.u64(packet.cookie)
      }
    }
    writer.property(5, exactLength: true) { $0.u8(reason(packet.reason, version)) }
    var fields = WireWriter()
    try MatchEncoder.fields(packet.metadata, version, to: &fields)
    writer.property(6, exactLength: true) { $0.array(fields.bytes) }
    if !packet.userData.isEmpty { writer.property(7, exactLength: true) { $0.array(packet.userData.prefix(0xfff0)) } }
    if let continuation = packet.continuation {
      writer.property(8, exactLength: true) {
        $0.zeros(4)
        $0.array(continuation.prefix(0xffe8))
      }
    }
  }

  private static func buffer(_ number: UInt32) -> UInt32? { number == noBuffer ? nil : number }

  private static func reason(_ number: UInt8) throws(ErrorCode) -> ControllerAction.Reason {
    guard let reason = ControllerAction.Reason(rawValue: number) else { throw .niciraRequestBadReason }
    return reason
  }

  /// Before 1.4 what an action set, a group or a packet-out sent is "action".
  private static func reason(_ reason: ControllerAction.Reason, _ version: OpenFlowVersion) -> UInt8 {
    version < .v14 && reason.rawValue > 2 ? ControllerAction.Reason.action.rawValue : reason.rawValue
  }
}

enum PacketOutCodec {
  private static let noBuffer: UInt32 = 0xffff_ffff

  static func decode(_ reader: inout WireReader, _ version: OpenFlowVersion) throws(ErrorCode) -> PacketOut {
    var packet = PacketOut()
    let buffer = try reader.u32()
    let actionsByteCount: Int
    switch version {
    case .v10:
      packet.inPort = PortNumber(wire10: try reader.u16())
      actionsByteCount = Int(try reader.u16())
    case .v13, .v14:
      packet.inPort = PortNumber(try reader.u32())
      actionsByteCount = Int(try reader.u16())
      try reader.skip(6)
    case .v15:
      actionsByteCount = Int(try reader.u16())
      try reader.skip(2)
      packet.metadata = try MatchDecoder.oxm(&reader, version)
      guard let port = packet.metadata.value(.inPort) else { throw .badRequestBadPort }
      packet.inPort = PortNumber(UInt32(truncatingIfNeeded: port.value))
      packet.metadata.set(.inPort, 0, mask: 0)
      guard packet.metadata.isPipelineOnly else { throw .badRequestPipelineFieldsOnly }
    }
    guard packet.inPort.isPhysical || packet.inPort.rawValue == 0 || packet.inPort >= .controller else {
      throw .badRequestBadPort
    }
    var actions = try reader.part(actionsByteCount)
    var decoder = ActionDecoder(version)
    packet.actions = try decoder.list(&actions)
    guard decoder.metadata == nil else { throw .badActionBadType }
    packet.data = reader.rest()
    guard buffer == noBuffer else { throw .badRequestBufferUnknown }
    return packet
  }

  static func encode(_ packet: PacketOut, _ version: OpenFlowVersion, to writer: inout WireWriter) throws(EncodeError) {
    writer.u32(noBuffer)
    let lengthAt: Int
    switch version {
    case .v10:
      writer.u16(packet.inPort.wire10)
      lengthAt = writer.count
      writer.u16(0)
    case .v13, .v14:
      writer.u32(packet.inPort.rawValue)
      lengthAt = writer.count
      writer.zeros(8)
    case .v15:
      lengthAt = writer.count
      writer.zeros(4)
      var metadata = packet.metadata
      metadata.set(.inPort, UInt128(packet.inPort.rawValue))
      try MatchEncoder.oxm(metadata, version, to: &writer)
    }
    let start = writer.count
    try ActionEncoder.write(packet.actions, version, to: &writer)
    guard writer.count - start <= 0xffff else { throw EncodeError.tooLong }
    writer.patch16(UInt16(truncatingIfNeeded: writer.count - start), at: lengthAt)
    writer.array(packet.data)
  }
}

extension Match {
  /// Whether no field of the packet's bytes is asked for.
  var isPipelineOnly: Bool {
    // Word 0 is the entry port; up to 14 the packet brings the words.
    (1..<FlowKey.packetWordCount).allSatisfy { mask.words[$0] == 0 }
  }
}
