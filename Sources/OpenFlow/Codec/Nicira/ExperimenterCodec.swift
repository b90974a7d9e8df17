// Messages of Open vSwitch (NXT, vendor 0x00002320) and, for 1.3, of the Open Networking Foundation (bundles).

import VSwitchCore

/// Numbers of Open vSwitch's messages.
enum NiciraMessage {
  static let roleRequest: UInt32 = 10
  static let roleReply: UInt32 = 11
  static let setFlowFormat: UInt32 = 12
  static let flowMod: UInt32 = 13
  static let flowRemoved: UInt32 = 14
  static let flowModTableID: UInt32 = 15
  static let setPacketInFormat: UInt32 = 16
  static let packetIn: UInt32 = 17
  static let flowAge: UInt32 = 18
  static let setAsync: UInt32 = 19
  static let setControllerID: UInt32 = 20
  static let flowMonitorCancel: UInt32 = 21
  static let flowMonitorPaused: UInt32 = 22
  static let flowMonitorResumed: UInt32 = 23
  static let tlvTableMod: UInt32 = 24
  static let tlvTableRequest: UInt32 = 25
  static let tlvTableReply: UInt32 = 26
  static let setAsync2: UInt32 = 27
  static let resume: UInt32 = 28
  static let conntrackFlushZone: UInt32 = 29
  static let packetIn2: UInt32 = 30
  static let groupMod: UInt32 = 31
  static let conntrackFlush: UInt32 = 32
}

enum ExperimenterCodec {
  private static let onfBundleControl: UInt32 = 2300
  private static let onfBundleAdd: UInt32 = 2301
  private static let onfMonitorCancel: UInt32 = 1870
  private static let onfMonitorPaused: UInt32 = 1871
  private static let onfMonitorResumed: UInt32 = 1872

  static func decode(
    _ reader: inout WireReader, _ version: OpenFlowVersion, decoder: MessageDecoder, xid: UInt32
  ) throws(ErrorCode) -> MessageBody {
    let experimenter = try reader.u32()
    guard experimenter == Experimenter.nicira || experimenter == Experimenter.onf else {
      throw .badRequestBadExperimenter
    }
    let type = try reader.u32()
    let body: MessageBody
    if experimenter == Experimenter.onf {
      guard version == .v13 else { throw .badRequestBadExperimenterType }
      switch type {
      case onfBundleControl: body = .bundleControl(try BundleCodec.decodeControl(&reader))
      case onfBundleAdd: return .bundleAdd(try BundleCodec.decodeAdd(&reader, version, xid: xid))
      case onfMonitorCancel: body = .flowMonitorCancel(try reader.u32())
      case onfMonitorPaused: body = .flowMonitorPaused
      case onfMonitorResumed: body = .flowMonitorResumed
      default: throw .badRequestBadExperimenterType
      }
    } else {
      body = try decodeNicira(type, version, &reader, flowModTableID: decoder.flowModTableID)
    }
    guard reader.isAtEnd else { throw .badRequestBadLength }
    return body
  }

  private static func decodeNicira(
    _ type: UInt32, _ version: OpenFlowVersion, _ reader: inout WireReader, flowModTableID: Bool
  ) throws(ErrorCode) -> MessageBody {
    switch type {
    case NiciraMessage.roleRequest: return .roleRequest(try RoleCodec.decodeNicira(&reader), form: .extension)
    case NiciraMessage.roleReply: return .roleReply(try RoleCodec.decodeNicira(&reader), form: .extension)
    case NiciraMessage.setFlowFormat where version == .v10:
      guard let format = FlowFormat(rawValue: try reader.u32()) else { throw .badRequestPermission }
      return .setFlowFormat(format)
    case NiciraMessage.flowMod where version == .v10:
      return .flowMod(try FlowModCodec.decodeNicira(&reader, flowModTableID: flowModTableID))
    case NiciraMessage.groupMod where version == .v10: return .groupMod(try GroupCodec.decodeMod(&reader, version))
    case NiciraMessage.flowRemoved:
      return .flowRemoved(try FlowRemovedCodec.decodeNicira(&reader), form: .extension)
    case NiciraMessage.flowModTableID:
      let isOn = try reader.u8() != 0
      try reader.skip(7)
      return .flowModTableID(isOn)
    case NiciraMessage.setPacketInFormat:
      guard let format = PacketInFormat(rawValue: try reader.u32()) else { throw .badRequestPermission }
      return .setPacketInFormat(format)
    case NiciraMessage.packetIn: return .packetIn(try PacketInCodec.decodeNXM(&reader), format: .nxm)
    case NiciraMessage.packetIn2:
      return .packetIn(try PacketInCodec.decodeProperties(&reader, version), format: .packetIn2)
    case NiciraMessage.resume: return .resume(try PacketInCodec.decodeProperties(&reader, version))
    case NiciraMessage.flowAge: return .flowAge
    case NiciraMessage.setAsync: return .setAsync(try AsyncCodec.decodeFixed(&reader), form: .nicira)
    case NiciraMessage.setAsync2 where version < .v14:
      return .setAsync(try AsyncCodec.decodeProperties(&reader), form: .nicira2)
    case NiciraMessage.setControllerID:
      guard try reader.zeros(6) else { throw .niciraRequestMustBeZero }
      return .setControllerID(try reader.u16())
    case NiciraMessage.flowMonitorCancel where version == .v10: return .flowMonitorCancel(try reader.u32())
    case NiciraMessage.flowMonitorPaused where version == .v10: return .flowMonitorPaused
    case NiciraMessage.flowMonitorResumed where version == .v10: return .flowMonitorResumed
    case NiciraMessage.tlvTableMod: return .tlvTableMod(try ExtensionCodec.decodeTLVMod(&reader))
    case NiciraMessage.tlvTableRequest: return .tlvTableRequest
    case NiciraMessage.tlvTableReply: return .tlvTableReply(try ExtensionCodec.decodeTLVTable(&reader))
    case NiciraMessage.conntrackFlushZone:
      guard try reader.zeros(6) else { throw .niciraRequestMustBeZero }
      return .conntrackFlushZone(try reader.u16())
    case NiciraMessage.conntrackFlush: return .conntrackFlush(try ConntrackFlushCodec.decode(&reader))
    default: throw .badRequestBadExperimenterType
    }
  }

  static func encode(_ message: Message, flowModTableID: Bool, to writer: inout WireWriter) throws(EncodeError) {
    let version = message.version
    func header(_ type: UInt32, _ experimenter: UInt32 = Experimenter.nicira) {
      writer.u32(experimenter)
      writer.u32(type)
    }
    /// From 1.4 on these are parts of multipart messages.
    func monitor(_ nicira: UInt32, _ onf: UInt32) {
      if version == .v10 { header(nicira) } else { header(onf, Experimenter.onf) }
    }
    switch message.body {
    case .bundleControl(let control):
      header(onfBundleControl, Experimenter.onf)
      BundleCodec.encode(control, to: &writer)
    case .bundleAdd(let add):
      header(onfBundleAdd, Experimenter.onf)
      try BundleCodec.encode(add, message, to: &writer)
    case .roleRequest(let role, _):
      header(NiciraMessage.roleRequest)
      try RoleCodec.encodeNicira(role, to: &writer)
    case .roleReply(let role, _):
      header(NiciraMessage.roleReply)
      try RoleCodec.encodeNicira(role, to: &writer)
    case .setFlowFormat(let format):
      header(NiciraMessage.setFlowFormat)
      writer.u32(format.rawValue)
    case .flowMod(let mod):
      header(NiciraMessage.flowMod)
      try FlowModCodec.encodeNicira(mod, flowModTableID: flowModTableID, to: &writer)
    case .groupMod(let mod):
      header(NiciraMessage.groupMod)
      try GroupCodec.encode(mod, version, to: &writer)
    case .flowRemoved(let removed, _):
      header(NiciraMessage.flowRemoved)
      try FlowRemovedCodec.encodeNicira(removed, version, to: &writer)
    case .flowModTableID(let isOn):
      header(NiciraMessage.flowModTableID)
      writer.u8(isOn ? 1 : 0)
      writer.zeros(7)
    case .setPacketInFormat(let format):
      header(NiciraMessage.setPacketInFormat)
      writer.u32(format.rawValue)
    case .packetIn(let packet, .packetIn2):
      header(NiciraMessage.packetIn2)
      try PacketInCodec.encodeProperties(packet, version, to: &writer)
    case .packetIn(let packet, _):
      header(NiciraMessage.packetIn)
      try PacketInCodec.encodeNXM(packet, version, to: &writer)
    case .resume(let packet):
      header(NiciraMessage.resume)
      try PacketInCodec.encodeProperties(packet, version, to: &writer)
    case .flowAge: header(NiciraMessage.flowAge)
    case .setAsync(let configuration, .nicira2):
      header(NiciraMessage.setAsync2)
      AsyncCodec.encodeProperties(configuration, to: &writer)
    case .setAsync(let configuration, _):
      header(NiciraMessage.setAsync)
      AsyncCodec.encodeFixed(configuration, to: &writer)
    case .setControllerID(let id):
      header(NiciraMessage.setControllerID)
      writer.zeros(6)
      writer.u16(id)
    case .flowMonitorCancel(let id) where version < .v14:
      monitor(NiciraMessage.flowMonitorCancel, onfMonitorCancel)
      writer.u32(id)
    case .flowMonitorPaused where version < .v14: monitor(NiciraMessage.flowMonitorPaused, onfMonitorPaused)
    case .flowMonitorResumed where version < .v14: monitor(NiciraMessage.flowMonitorResumed, onfMonitorResumed)
    case .tlvTableMod(let mod):
      header(NiciraMessage.tlvTableMod)
      ExtensionCodec.encode(mod, to: &writer)
    case .tlvTableRequest: header(NiciraMessage.tlvTableRequest)
    case .tlvTableReply(let table):
      header(NiciraMessage.tlvTableReply)
      ExtensionCodec.encode(table, to: &writer)
    case .conntrackFlushZone(let zone):
      header(NiciraMessage.conntrackFlushZone)
      writer.zeros(6)
      writer.u16(zone)
    case .conntrackFlush(let flush):
      header(NiciraMessage.conntrackFlush)
      ConntrackFlushCodec.encode(flush, to: &writer)
    default:
      throw EncodeError(cause: "OpenFlow \(version.name) cannot say this message", remedy: "use a later version")
    }
  }
}

enum ExtensionCodec {
  static func decodeTLVMod(_ reader: inout WireReader) throws(ErrorCode) -> TLVTableMod {
    guard let command = TLVTableMod.Command(rawValue: try reader.u16()) else { throw .niciraTLVTableBadCommand }
    try reader.skip(6)
    return TLVTableMod(command, try mappings(&reader))
  }

  static func decodeTLVTable(_ reader: inout WireReader) throws(ErrorCode) -> TLVTable {
    let maximumByteCount = try reader.u32()
    let maximumFieldCount = try reader.u16()
    try reader.skip(10)
    return TLVTable(
      maximumByteCount: maximumByteCount, maximumFieldCount: maximumFieldCount, mappings: try mappings(&reader))
  }

  private static func mappings(_ reader: inout WireReader) throws(ErrorCode) -> [TLVMapping] {
    var mappings: [TLVMapping] = []
    while !reader.isAtEnd {
      let optionClass = try reader.u16()
      let optionType = try reader.u8()
      let byteCount = try reader.u8()
      let index = try reader.u16()
      try reader.skip(2)
      guard byteCount > 0, byteCount % 4 == 0, byteCount <= 124 else { throw .niciraTLVTableBadOptionLength }
      guard index < 64 else { throw .niciraTLVTableBadFieldIndex }
      mappings.append(
        TLVMapping(optionClass: optionClass, optionType: optionType, byteCount: byteCount, fieldIndex: index))
    }
    return mappings
  }

  static func encode(_ mod: TLVTableMod, to writer: inout WireWriter) {
    writer.u16(mod.command.rawValue)
    writer.zeros(6)
    encode(mod.mappings, to: &writer)
  }

  static func encode(_ table: TLVTable, to writer: inout WireWriter) {
    writer.u32(table.maximumByteCount)
    writer.u16(table.maximumFieldCount)
    writer.zeros(10)
    encode(table.mappings, to: &writer)
  }

  private static func encode(_ mappings: [TLVMapping], to writer: inout WireWriter) {
    for mapping in mappings {
      writer.u16(mapping.optionClass)
      writer.u8(mapping.optionType)
      writer.u8(mapping.byteCount)
      writer.u16(mapping.fieldIndex)
      writer.zeros(2)
    }
  }
}
