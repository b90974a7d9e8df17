// From bytes to messages. Any bytes end as a message, as a refusal with the standard's type and code, or as the end of the
// connection (where there is nobody to answer: no header, no version). Lengths nest: no part reads past the one around
// it. Nothing recurses deeper than a fixed limit. Thread: a value; any.
// A refusal's data is the whole request, as Open vSwitch sends it, not only its first 64 bytes.

import VSwitchCore

/// Why bytes are no message.
package enum DecodeFailure: Error, Equatable, Sendable {
  /// To be answered (unless what was received is itself an error message: that one closes).
  case refused(OpenFlowError)
  /// Nothing can be answered.
  case close(String)
}

/// Reads messages.
package struct MessageDecoder: Sendable {
  /// Whether flow changes of 1.0 have a table's number in the upper byte of their command (NXT_FLOW_MOD_TABLE_ID).
  package var flowModTableID = false

  package init() {}

  /// Bytes of the next message, header included.
  /// - Parameter bytes: what has come so far, from a message's first byte.
  /// - Returns: nil if less than 4 bytes have come.
  package static func messageByteCount(_ bytes: some RandomAccessCollection<UInt8>) throws(DecodeFailure) -> Int? {
    guard bytes.count >= 4 else { return nil }
    let first = bytes.startIndex
    guard bytes[first] != 0 else { throw .close("version 0") }
    let count = Int(bytes[bytes.index(first, offsetBy: 2)]) << 8 | Int(bytes[bytes.index(first, offsetBy: 3)])
    guard count >= 8 else { throw .close("message of \(count) bytes") }
    return count
  }

  /// Reads one message.
  /// - Parameter bytes: the message exactly.
  package func decode(_ bytes: [UInt8]) throws(DecodeFailure) -> Message { try decode(bytes[...]) }

  /// Reads one message.
  /// - Parameter bytes: the message exactly.
  package func decode(_ bytes: ArraySlice<UInt8>) throws(DecodeFailure) -> Message {
    guard bytes.count >= 8, try MessageDecoder.messageByteCount(bytes) == bytes.count else {
      throw .close("length of the message is not that of its header")
    }
    let type = bytes[bytes.startIndex + 1]
    let xid = bytes[(bytes.startIndex + 4)..<(bytes.startIndex + 8)].reduce(0) { $0 << 8 | UInt32($1) }
    guard let version = OpenFlowVersion(rawValue: bytes[bytes.startIndex]) else {
      return try otherVersion(bytes, type: type, xid: xid)
    }
    var reader = unsafe WireReader(bytes.span.bytes)
    do {
      try reader.skip(8)
      return Message(version, xid: xid, try body(type, version, xid: xid, &reader))
    } catch {
      if type == 1 { throw .close("error message that cannot be read") }
      throw .refused(OpenFlowError(error, version: version, xid: xid, data: Array(bytes)))
    }
  }

  /// A hello may be of any version; nothing else may.
  private func otherVersion(_ bytes: ArraySlice<UInt8>, type: UInt8, xid: UInt32) throws(DecodeFailure) -> Message {
    let answerVersion: OpenFlowVersion = bytes[bytes.startIndex] > OpenFlowVersion.v15.rawValue ? .v15 : .v10
    guard type == 0 else {
      throw .refused(OpenFlowError(.badRequestBadVersion, version: answerVersion, xid: xid, data: Array(bytes)))
    }
    var reader = unsafe WireReader(bytes.span.bytes)
    do {
      try reader.skip(8)
      return Message(answerVersion, xid: xid, .hello(HelloCodec.decode(&reader, version: bytes[bytes.startIndex])))
    } catch { throw .close("hello that cannot be read") }
  }

  /// Reads what is behind the header.
  func body(_ type: UInt8, _ version: OpenFlowVersion, xid: UInt32, _ reader: inout WireReader) throws(ErrorCode)
    -> MessageBody
  {
    let body: MessageBody
    switch type {
    case 0: return .hello(HelloCodec.decode(&reader, version: version.rawValue))
    case 1: return .error(try ErrorCodec.decode(&reader, version))
    case 2: return .echoRequest(reader.rest())
    case 3: return .echoReply(reader.rest())
    case 4: return try ExperimenterCodec.decode(&reader, version, decoder: self, xid: xid)
    case 5: body = .featuresRequest
    case 6: return .featuresReply(try FeaturesCodec.decode(&reader, version))
    case 7: body = .getConfigRequest
    case 8: body = .getConfigReply(try ConfigurationCodec.decode(&reader, version))
    case 9: body = .setConfig(try ConfigurationCodec.decode(&reader, version))
    case 10: return .packetIn(try PacketInCodec.decode(&reader, version), format: .standard)
    case 11: body = .flowRemoved(try FlowRemovedCodec.decode(&reader, version), form: .standard)
    case 12: body = .portStatus(try PortCodec.decodeStatus(&reader, version))
    case 13: return .packetOut(try PacketOutCodec.decode(&reader, version))
    case 14: body = .flowMod(try FlowModCodec.decode(&reader, version, flowModTableID: flowModTableID))
    default:
      body =
        version == .v10
        ? try body10(type, &reader) : try body13(type, version, xid: xid, &reader)
    }
    guard reader.isAtEnd else { throw .badRequestBadLength }
    return body
  }

  /// Types 15 and up of 1.0.
  private func body10(_ type: UInt8, _ reader: inout WireReader) throws(ErrorCode) -> MessageBody {
    switch type {
    case 15: return .portMod(try PortCodec.decodeMod10(&reader))
    case 16: return .multipartRequest(try MultipartRequestCodec.decode(&reader, .v10))
    case 17: return .multipartReply(try MultipartReplyCodec.decode(&reader, .v10))
    case 18: return .barrierRequest
    case 19: return .barrierReply
    case 20:
      let port = PortNumber(wire10: try reader.u16())
      try reader.skip(2)
      return .queueConfigRequest(port)
    case 21: return try QueueCodec.decodeConfig(&reader, .v10)
    default: throw .badRequestBadType
    }
  }

  /// Types 15 and up of 1.3 and later.
  private func body13(_ type: UInt8, _ version: OpenFlowVersion, xid: UInt32, _ reader: inout WireReader)
    throws(ErrorCode) -> MessageBody
  {
    switch type {
    case 15: return .groupMod(try GroupCodec.decodeMod(&reader, version))
    case 16: return .portMod(try PortCodec.decodeMod13(&reader, version))
    case 17: return .tableMod(try TableCodec.decodeMod(&reader, version))
    case 18: return .multipartRequest(try MultipartRequestCodec.decode(&reader, version))
    case 19: return .multipartReply(try MultipartReplyCodec.decode(&reader, version))
    case 20: return .barrierRequest
    case 21: return .barrierReply
    case 22 where version == .v13:
      let port = PortNumber(try reader.u32())
      try reader.skip(4)
      return .queueConfigRequest(port)
    case 23 where version == .v13: return try QueueCodec.decodeConfig(&reader, version)
    case 24: return .roleRequest(try RoleCodec.decode(&reader), form: .standard)
    case 25: return .roleReply(try RoleCodec.decode(&reader), form: .standard)
    case 26: return .getAsyncRequest
    case 27: return .getAsyncReply(try AsyncCodec.decode(&reader, version))
    case 28: return .setAsync(try AsyncCodec.decode(&reader, version), form: .standard)
    case 29: return .meterMod(try MeterCodec.decodeMod(&reader))
    case 30 where version > .v13: return .roleStatus(try RoleCodec.decodeStatus(&reader))
    case 31 where version > .v13: return .tableStatus(try TableCodec.decodeStatus(&reader))
    case 32 where version > .v13: return .requestForward(try BundleCodec.decodeForward(&reader, version))
    case 33 where version > .v13: return .bundleControl(try BundleCodec.decodeControl(&reader))
    case 34 where version > .v13: return .bundleAdd(try BundleCodec.decodeAdd(&reader, version, xid: xid))
    case 35 where version == .v15: return .controllerStatus(try ControllerStatusCodec.decode(&reader))
    default: throw .badRequestBadType
    }
  }
}
