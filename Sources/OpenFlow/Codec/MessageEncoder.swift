// From messages to bytes in the message's version. What a version has no words for is refused with an `EncodeError`;
// what may be left out is listed in Docs/openflow.md. Answers that are longer than a message are split (§7.3.5).

import VSwitchCore

/// Writes messages.
package struct MessageEncoder: Sendable {
  /// Largest message: its length is 16 bits.
  static let byteLimit = 65535

  /// Whether flow changes of 1.0 have a table's number in the upper byte of their command (NXT_FLOW_MOD_TABLE_ID).
  package var flowModTableID = false

  package init() {}

  /// Writes a message, or the several that an answer is split into, one behind the other.
  package func encode(_ message: Message) throws(EncodeError) -> [UInt8] {
    switch message.body {
    case .multipartReply, .multipartRequest: return Array(try encodeParts(message).joined())
    default:
      var writer = WireWriter()
      try write(message, to: &writer)
      return writer.bytes
    }
  }

  /// Writes a message, split into parts below 64 KB if it is a long question or answer.
  package func encodeParts(_ message: Message) throws(EncodeError) -> [[UInt8]] {
    switch message.body {
    case .multipartReply(let reply): return try MultipartReplyCodec.encode(reply, message.version, message.xid)
    case .multipartRequest(let request):
      return try MultipartRequestCodec.encode(request, message.version, message.xid)
    default: return [try encode(message)]
    }
  }

  /// Writes one message that is not split.
  func write(_ message: Message, to writer: inout WireWriter) throws(EncodeError) {
    let version = message.version
    let start = writer.count
    let type = try MessageEncoder.type(message.body, version)
    MessageEncoder.header(type, version, message.xid, to: &writer)
    try body(message, to: &writer)
    try MessageEncoder.finish(start, &writer)
  }

  static func header(_ type: UInt8, _ version: OpenFlowVersion, _ xid: UInt32, to writer: inout WireWriter) {
    writer.u8(version.rawValue)
    writer.u8(type)
    writer.u16(0)
    writer.u32(xid)
  }

  /// Writes the length of the message that began at `start`.
  static func finish(_ start: Int, _ writer: inout WireWriter) throws(EncodeError) {
    guard writer.count - start <= byteLimit else { throw EncodeError.tooLong }
    writer.patch16(UInt16(truncatingIfNeeded: writer.count - start), at: start + 2)
  }

  /// The message type in a version; 4 for those that are extensions there.
  private static func type(_ body: MessageBody, _ version: OpenFlowVersion) throws(EncodeError) -> UInt8 {
    let is10 = version == .v10
    switch body {
    case .hello: return 0
    case .error: return 1
    case .echoRequest: return 2
    case .echoReply: return 3
    case .featuresRequest: return 5
    case .featuresReply: return 6
    case .getConfigRequest: return 7
    case .getConfigReply: return 8
    case .setConfig: return 9
    case .packetIn(_, let format): return format == .standard ? 10 : 4
    case .flowRemoved(_, let form): return form == .standard ? 11 : 4
    case .portStatus: return 12
    case .packetOut: return 13
    case .flowMod(let mod): return is10 && !FlowModCodec.fits10(mod) ? 4 : 14
    case .groupMod: return is10 ? 4 : 15
    case .portMod: return is10 ? 15 : 16
    case .tableMod: return try from(.v13, version, 17, "table settings")
    case .barrierRequest: return is10 ? 18 : 20
    case .barrierReply: return is10 ? 19 : 21
    case .queueConfigRequest, .queueConfigReply:
      guard version < .v14 else {
        throw EncodeError(
          cause: "OpenFlow \(version.name) has no queue configuration message", remedy: "ask for queue descriptions")
      }
      if case .queueConfigRequest = body { return is10 ? 20 : 22 }
      return is10 ? 21 : 23
    case .roleRequest(_, let form): return is10 || form == .extension ? 4 : 24
    case .roleReply(_, let form): return is10 || form == .extension ? 4 : 25
    case .getAsyncRequest: return try from(.v13, version, 26, "question for asynchronous messages")
    case .getAsyncReply: return try from(.v13, version, 27, "answer on asynchronous messages")
    case .setAsync(_, let form): return is10 || form != .standard && version == .v13 ? 4 : 28
    case .meterMod: return try from(.v13, version, 29, "meters")
    case .roleStatus: return try from(.v14, version, 30, "role status")
    case .tableStatus: return try from(.v14, version, 31, "table status")
    case .requestForward: return try from(.v14, version, 32, "forwarded requests")
    case .bundleControl: return version == .v13 ? 4 : try from(.v13, version, 33, "bundles")
    case .bundleAdd: return version == .v13 ? 4 : try from(.v13, version, 34, "bundles")
    case .controllerStatus: return try from(.v15, version, 35, "controller status")
    case .setFlowFormat, .setPacketInFormat, .flowModTableID, .flowAge, .setControllerID, .flowMonitorCancel,
      .flowMonitorPaused, .flowMonitorResumed, .tlvTableMod, .tlvTableRequest, .tlvTableReply, .resume,
      .conntrackFlush, .conntrackFlushZone:
      return 4
    case .multipartRequest: return is10 ? 16 : 18
    case .multipartReply: return is10 ? 17 : 19
    }
  }

  private static func from(_ first: OpenFlowVersion, _ version: OpenFlowVersion, _ type: UInt8, _ what: String)
    throws(EncodeError) -> UInt8
  {
    if version < first { throw EncodeError.version(what, version, needs: first) }
    return type
  }

  private func body(_ message: Message, to writer: inout WireWriter) throws(EncodeError) {
    let version = message.version
    switch message.body {
    case .hello(let hello): HelloCodec.encode(hello, to: &writer)
    case .error(let error): ErrorCodec.encode(error, version, to: &writer)
    case .echoRequest(let bytes), .echoReply(let bytes): writer.array(bytes)
    case .featuresRequest, .getConfigRequest, .barrierRequest, .barrierReply, .getAsyncRequest: break
    case .featuresReply(let features): try FeaturesCodec.encode(features, version, to: &writer)
    case .getConfigReply(let configuration), .setConfig(let configuration):
      ConfigurationCodec.encode(configuration, version, to: &writer)
    case .packetIn(let packet, .standard): try PacketInCodec.encode(packet, version, to: &writer)
    case .flowRemoved(let removed, .standard): try FlowRemovedCodec.encode(removed, version, to: &writer)
    case .portStatus(let status): PortCodec.encode(status, version, to: &writer)
    case .packetOut(let packet): try PacketOutCodec.encode(packet, version, to: &writer)
    case .flowMod(let mod) where version != .v10 || FlowModCodec.fits10(mod):
      try FlowModCodec.encode(mod, version, flowModTableID: flowModTableID, to: &writer)
    case .groupMod(let mod) where version != .v10: try GroupCodec.encode(mod, version, to: &writer)
    case .portMod(let mod): PortCodec.encode(mod, version, to: &writer)
    case .tableMod(let table): TableCodec.encodeMod(table, version, to: &writer)
    case .queueConfigRequest(let port):
      if version == .v10 { writer.u16(port.wire10) } else { writer.u32(port.rawValue) }
      writer.zeros(version == .v10 ? 2 : 4)
    case .queueConfigReply(let port, let queues): QueueCodec.encodeConfig(port, queues, version, to: &writer)
    case .roleRequest(let role, .standard) where version != .v10, .roleReply(let role, .standard) where version != .v10:
      RoleCodec.encode(role, to: &writer)
    case .getAsyncReply(let configuration): AsyncCodec.encode(configuration, version, to: &writer)
    case .setAsync(let configuration, let form) where version > .v13 || version == .v13 && form == .standard:
      AsyncCodec.encode(configuration, version, to: &writer)
    case .meterMod(let mod): try MeterCodec.encode(mod, to: &writer)
    case .roleStatus(let status): RoleCodec.encode(status, to: &writer)
    case .tableStatus(let status): TableCodec.encode(status, to: &writer)
    case .requestForward(let forward): try BundleCodec.encode(forward, to: &writer)
    case .bundleControl(let control) where version > .v13: BundleCodec.encode(control, to: &writer)
    case .bundleAdd(let add) where version > .v13: try BundleCodec.encode(add, message, to: &writer)
    case .controllerStatus(let status): ControllerStatusCodec.encode(status, to: &writer)
    case .multipartRequest, .multipartReply: throw EncodeError.tooLong
    default: try ExperimenterCodec.encode(message, flowModTableID: flowModTableID, to: &writer)
    }
  }
}
