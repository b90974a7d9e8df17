// One controller or management program on a bridge: what it may do, what it wants to be told, and its requests.
// An actor; the connection hands it one message at a time. The requests themselves are in the files beside this one.

import Datapath
import OpenFlow
import VSwitchCore

/// State of one connection (OpenFlow 1.5 §6.3).
actor ControllerSession: OpenFlowHandler {
  let bridge: BridgeAgent
  private(set) var version = OpenFlowVersion.v10
  private(set) var connection: OpenFlowConnection?
  var role = ControllerRole.equal
  var configuration = SwitchConfiguration()
  /// For packets to the controller.
  var packetInFormat = PacketInFormat.standard
  var controllerID: UInt16 = 0
  var async = AsyncConfiguration()
  /// Whether `async` says anything: else what a session of its kind is told.
  var hasAsync = false
  var bundles: [UInt32: Bundle] = [:]
  private let number: Int

  init(_ bridge: BridgeAgent, number: Int) {
    self.bridge = bridge
    self.number = number
  }

  func connected(_ connection: OpenFlowConnection, version: OpenFlowVersion) {
    self.connection = connection
    self.version = version
  }

  func refused(_ error: OpenFlowError) {}

  func handle(_ message: Message, from connection: OpenFlowConnection) async {
    do throws(ErrorCode) {
      for reply in try await replies(to: message) { connection.send(reply) }
    } catch {
      let data = (try? MessageEncoder().encode(message)) ?? []
      connection.send(Message(message.version, xid: message.xid, .error(ErrorMessage(error, data: data))))
    }
  }

  /// What a message is answered with.
  private func replies(to message: Message) async throws(ErrorCode) -> [Message] {
    func reply(_ body: MessageBody) -> [Message] { [Message(message.version, xid: message.xid, body)] }
    switch message.body {
    case .hello, .echoReply, .error, .barrierReply: return []
    case .echoRequest(let data): return reply(.echoReply(data))
    case .featuresRequest: return reply(.featuresReply(await bridge.features(message.version)))
    case .getConfigRequest: return reply(.getConfigReply(configuration))
    case .setConfig(let wanted):
      guard wanted.fragments == .normal || wanted.fragments == .drop || wanted.fragments == .nxMatch else {
        throw .switchConfigFailedBadFlags
      }
      configuration = wanted
      return []
    case .barrierRequest: return reply(.barrierReply)
    case .flowMod, .groupMod, .meterMod:
      try mayChange()
      try await bridge.change([change(message.body)])
      return []
    case .packetOut(let packet):
      try mayChange()
      try await bridge.send(packet)
      return []
    case .multipartRequest(let request):
      guard !request.hasMore else { return [] }
      return reply(.multipartReply(try await answer(request, message.version)))
    case .roleRequest(let wanted, let form):
      let granted = try await bridge.grant(wanted, to: self)
      return reply(.roleReply(granted, form: form))
    case .getAsyncRequest: return reply(.getAsyncReply(async))
    case .setAsync(let wanted, _):
      async.merge(wanted)
      hasAsync = true
      return []
    case .bundleControl(let control): return reply(.bundleControl(try await handle(control, xid: message.xid)))
    case .bundleAdd(let add):
      try addToBundle(add)
      return []
    case .setFlowFormat, .flowAge: return []
    case .flowModTableID(let isOn):
      connection?.setFlowModTableID(isOn)
      return []
    case .setPacketInFormat(let format):
      packetInFormat = format
      return []
    case .setControllerID(let id):
      controllerID = id
      return []
    case .queueConfigRequest(let port): return reply(.queueConfigReply(port, []))
    default: throw .badRequestBadType
    }
  }

  func mayChange() throws(ErrorCode) {
    if role == .secondary { throw .badRequestIsSlave }
  }

  /// A request that changes tables.
  func change(_ body: MessageBody) throws(ErrorCode) -> TableChange {
    switch body {
    case .flowMod(let change):
      // The datapath tracks no connections yet: better no rule than one that does half of what it says.
      if needsConntrack(change.instructions.apply + change.instructions.write) { throw .badActionBadType }
      return .flow(change)
    case .groupMod(let change): return .group(change)
    case .meterMod(let change): return .meter(change)
    default: throw .bundleFailedMessageUnsupported
    }
  }

  private func needsConntrack(_ actions: [Action]) -> Bool {
    actions.contains { action in
      switch action {
      case .conntrack, .conntrackClear: true
      case .clone(let nested): needsConntrack(nested)
      default: false
      }
    }
  }

  /// Sends a packet, if this session is told of such; one that does not read loses it.
  func tell(_ packet: ControllerPacket) {
    guard let connection, packet.controllerID == controllerID, wantsPacket(packet.reason), !connection.isCongested
    else {
      return
    }
    var message = PacketIn()
    message.data = packet.data
    message.totalByteCount = packet.totalByteCount
    message.reason = packet.reason
    message.table = packet.table
    message.cookie = packet.cookie
    message.userData = packet.userData
    message.inPort = PortNumber(packet.inPort)
    for field in Field.allCases where packet.pipeline[field] != 0 && field.layout.wordIndex >= 15 {
      // Registers once, in their smallest form.
      if !(Field.xreg0.rawValue...Field.xxreg3.rawValue).contains(field.rawValue) {
        message.metadata.set(field, packet.pipeline[field])
      }
    }
    if packet.reason == .noMatch, configuration.missSendByteCount != 0xffff, version == .v10 {
      message.data = Array(message.data.prefix(Int(configuration.missSendByteCount)))
    }
    connection.send(Message(version, .packetIn(message, format: packetInFormat)))
  }

  private func wantsPacket(_ reason: ControllerAction.Reason) -> Bool {
    // A management program is told nothing before it asks (SET_CONFIG with miss_send_len, SET_ASYNC).
    if !hasAsync { return configuration.missSendByteCount > 0 && role != .secondary }
    let masks = role == .secondary ? async.secondary : async.primary
    let bit = UInt32(1) << UInt32(reason.rawValue)
    return masks.packetIn.map { $0 & bit != 0 } ?? (role != .secondary)
  }

  /// Tells of a rule that is gone.
  func tell(_ removed: FlowRemoved) {
    guard let connection, !connection.isCongested else { return }
    let masks = role == .secondary ? async.secondary : async.primary
    let isWanted = hasAsync ? (masks.flowRemoved ?? 0) & 1 << UInt32(removed.reason.rawValue) != 0 : role != .secondary
    if isWanted { connection.send(Message(version, .flowRemoved(removed, form: .standard))) }
  }

  func become(_ role: ControllerRole) { self.role = role }
}

extension AsyncConfiguration {
  /// Takes over what another one mentions.
  mutating func merge(_ other: AsyncConfiguration) {
    func merge(_ masks: inout Masks, _ other: Masks) {
      masks.packetIn = other.packetIn ?? masks.packetIn
      masks.portStatus = other.portStatus ?? masks.portStatus
      masks.flowRemoved = other.flowRemoved ?? masks.flowRemoved
      masks.roleStatus = other.roleStatus ?? masks.roleStatus
      masks.tableStatus = other.tableStatus ?? masks.tableStatus
      masks.requestForward = other.requestForward ?? masks.requestForward
      masks.controllerStatus = other.controllerStatus ?? masks.controllerStatus
    }
    merge(&primary, other.primary)
    merge(&secondary, other.secondary)
  }
}
