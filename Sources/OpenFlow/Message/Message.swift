// Every message of OpenFlow 1.0, 1.3, 1.4 and 1.5 and of Open vSwitch's extensions, free of any version. The codecs
// (`Codec/`) bring it to and from bytes; what a version cannot say is refused or left out there, and said there.
// Thread: values; any.

import VSwitchCore

/// A message with its header.
package struct Message: Equatable, Sendable {
  /// The version that it is, or is to be, written in.
  package var version: OpenFlowVersion
  /// Transaction: a reply has that of its request; 0 in messages that nobody asked for.
  package var xid: UInt32
  package var body: MessageBody

  package init(_ version: OpenFlowVersion, xid: UInt32 = 0, _ body: MessageBody) {
    self.version = version
    self.xid = xid
    self.body = body
  }
}

/// What a message says.
package indirect enum MessageBody: Equatable, Sendable {
  // Connection (1.5 §7.5)
  case hello(Hello)
  case error(ErrorMessage)
  case echoRequest([UInt8])
  case echoReply([UInt8])

  // Switch (§7.3.1, §7.3.2)
  case featuresRequest
  case featuresReply(SwitchFeatures)
  case getConfigRequest
  case getConfigReply(SwitchConfiguration)
  case setConfig(SwitchConfiguration)

  // Told without being asked (§7.4)
  case packetIn(PacketIn, format: PacketInFormat)
  case flowRemoved(FlowRemoved, form: MessageForm)
  case portStatus(PortStatus)
  case roleStatus(RoleStatus)
  case tableStatus(TableStatus)
  /// A group or meter change of another controller.
  case requestForward(RequestForward)
  case controllerStatus(ControllerStatus)

  // Changes (§7.3.4, §7.3.5)
  case packetOut(PacketOut)
  case flowMod(FlowMod)
  case groupMod(GroupMod)
  case portMod(PortMod)
  case tableMod(TableDescription)
  case meterMod(MeterMod)
  case barrierRequest
  case barrierReply
  /// Queues of a port; `PortNumber.any` for all. Before 1.4; then a multipart message.
  case queueConfigRequest(PortNumber)
  case queueConfigReply(PortNumber, [QueueDescription])
  case multipartRequest(MultipartRequest)
  case multipartReply(MultipartReply)
  case bundleControl(BundleControl)
  case bundleAdd(BundleAdd)

  // Controllers (§7.3.8, §7.3.10)
  case roleRequest(RoleMessage, form: MessageForm)
  case roleReply(RoleMessage, form: MessageForm)
  case getAsyncRequest
  case getAsyncReply(AsyncConfiguration)
  case setAsync(AsyncConfiguration, form: AsyncForm)

  // Open vSwitch's extensions (vendor 0x00002320)
  case setFlowFormat(FlowFormat)
  case setPacketInFormat(PacketInFormat)
  /// Whether the `command` of 1.0's flow changes has a table number in its upper byte.
  case flowModTableID(Bool)
  /// Asks for idle_age and hard_age in flow statistics.
  case flowAge
  case setControllerID(UInt16)
  case flowMonitorCancel(UInt32)
  case flowMonitorPaused
  case flowMonitorResumed
  case tlvTableMod(TLVTableMod)
  case tlvTableRequest
  case tlvTableReply(TLVTable)
  /// Goes on with a packet that `controller(pause)` stopped.
  case resume(PacketIn)
  case conntrackFlush(ConntrackFlush)
  case conntrackFlushZone(UInt16)
}

/// How a message is written where a version has two forms for it: as the standard says, or as Open vSwitch's extension
/// (vendor 0x00002320, or the Open Networking Foundation's 0x4f4e4600). A reply has the form of its request.
package enum MessageForm: Sendable, CaseIterable {
  case standard, `extension`
}

/// Greeting: which versions the sender speaks (§7.5.1).
package struct Hello: Equatable, Sendable {
  package var versions: VersionSet

  package init(versions: VersionSet) { self.versions = versions }
}

/// A refusal, as it is sent (§7.5.4).
package struct ErrorMessage: Equatable, Sendable {
  package enum Reason: Equatable, Sendable {
    case known(ErrorCode)
    /// Numbers that this switch has no name for.
    case unknown(experimenter: UInt32?, type: UInt16, code: UInt16)
  }
  package var reason: Reason
  /// The refused message from its first byte on; of a failed hello a text.
  package var data: [UInt8]

  package init(_ reason: Reason, data: [UInt8]) {
    self.reason = reason
    self.data = data
  }

  package init(_ code: ErrorCode, data: [UInt8]) { self.init(.known(code), data: data) }
}

/// Why a message could not be read or obeyed, with what is needed for the answer.
package struct OpenFlowError: Error, Equatable, Sendable {
  package var code: ErrorCode
  /// The version of the answer.
  package var version: OpenFlowVersion
  /// The request's transaction.
  package var xid: UInt32
  /// The whole request.
  package var data: [UInt8]

  package init(_ code: ErrorCode, version: OpenFlowVersion, xid: UInt32, data: [UInt8]) {
    self.code = code
    self.version = version
    self.xid = xid
    self.data = data
  }

  /// The answer.
  package var message: Message { Message(version, xid: xid, .error(ErrorMessage(code, data: data))) }
}
