// One controller or management program on a bridge: what it may do, and its requests. An actor; the connection hands it one
// message at a time. What it is told without asking: ControllerSession+Notices; other requests are in files of their own.

import Datapath
import OpenFlow
import VSwitchCore

/// State of one connection (OpenFlow 1.5 §6.3).
actor ControllerSession: OpenFlowHandler {
  let bridge: BridgeAgent
  /// In the bridge.
  let number: Int
  let settings: ControllerPlan.Settings
  private(set) var version = OpenFlowVersion.v10
  private(set) var connection: OpenFlowConnection?
  private(set) var role = ControllerRole.equal {
    didSet { work.setMayChange(role != .secondary) }
  }
  /// What is done without this actor.
  nonisolated let work: ImmediateSession
  nonisolated var immediate: (any ImmediateOpenFlowHandler)? { work }
  /// Bytes of a packet that misses, and for a program whether it is told anything.
  var missSendByteCount: UInt16
  var sendsInvalidTTL = false
  /// For packets to the controller.
  var packetInFormat = PacketInFormat.standard
  private(set) var controllerID: UInt16 = 0
  /// What it wants to be told.
  var async = AsyncConfiguration()
  var monitors = FlowMonitors()
  var packets: PacketInScheduler<PacketIn>?
  /// Packets wait for their time.
  var isSendingLater = false
  private var hasCommanded = false
  private let onConnected: @Sendable (Int, ControllerSession) -> Void

  /// - Parameter onConnected: called when a version is agreed on.
  init(
    _ bridge: BridgeAgent, number: Int, _ settings: ControllerPlan.Settings,
    onConnected: @escaping @Sendable (Int, ControllerSession) -> Void
  ) {
    self.bridge = bridge
    self.number = number
    self.settings = settings
    self.onConnected = onConnected
    work = ImmediateSession(bridge, isService: settings.isService)
    // OFP_DEFAULT_MISS_SEND_LEN.
    missSendByteCount = settings.isService ? 0 : 128
    if let rate = settings.packetsPerSecond {
      packets = PacketInScheduler(packetsPerSecond: rate, burstLimit: settings.burstLimit, now: bridge.plane.flowClock)
    }
  }

  // MARK: the connection

  func connected(_ connection: OpenFlowConnection, version: OpenFlowVersion) async {
    self.connection = connection
    self.version = version
    async = settings.isTold ? .standard(version) : .nothing
    await bridge.began(self, number: number)
    onConnected(number, self)
    guard !settings.isService else { return }
    // One that says nothing for so long commands, too (rconn.c): its rules are there already.
    Task { [weak self] in
      try? await Task.sleep(for: .seconds(30))
      await self?.command()
    }
  }

  func refused(_ error: OpenFlowError) {}

  func handle(_ received: ReceivedMessage, from connection: OpenFlowConnection) async {
    let message = received.message
    do throws(ErrorCode) {
      for reply in try await replies(to: message, connection) { connection.send(reply) }
    } catch {
      refuse(received, error)
    }
    if message.body.isCommand { await command() }
    // Long answers go at the pace at which they are read.
    await connection.drain()
  }

  /// Changes of rules that came together: each is made or refused by itself, but the worker is waited for once.
  func handle(flowMods messages: [ReceivedMessage], from connection: OpenFlowConnection) async {
    // Whoever watches rules is told of each change by itself.
    guard role != .secondary, await !bridge.isWatched else {
      for received in messages { await handle(received, from: connection) }
      return
    }
    var changes: [TableChange] = []
    var made: [ReceivedMessage] = []
    for received in messages {
      do throws(ErrorCode) {
        changes.append(try TableChange(received.message.body))
        made.append(received)
      } catch {
        refuse(received, error)
      }
    }
    for refusal in await bridge.changeEach(changes) { refuse(made[refusal.index], refusal.code) }
    await command()
    await connection.drain()
  }

  /// Refuses a message, with what was received.
  func refuse(_ received: ReceivedMessage, _ error: ErrorCode) {
    let message = received.message
    connection?.send(Message(message.version, xid: message.xid, .error(ErrorMessage(error, data: received.bytes))))
  }

  private func command() async {
    guard !hasCommanded, !settings.isService, connection?.channel.isActive == true else { return }
    hasCommanded = true
    work.setIsAdmitted()
    await bridge.admitted(number)
  }

  // MARK: requests

  /// What a message is answered with.
  private func replies(to message: Message, _ connection: OpenFlowConnection) async throws(ErrorCode) -> [Message] {
    func reply(_ body: MessageBody) -> [Message] { [Message(message.version, xid: message.xid, body)] }
    switch message.body {
    case .hello, .echoReply, .error, .barrierReply: return []
    case .echoRequest(let data): return reply(.echoReply(data))
    case .featuresRequest: return reply(.featuresReply(await bridge.features(message.version)))
    case .getConfigRequest: return reply(.getConfigReply(await configuration()))
    case .setConfig(let wanted):
      try await configure(wanted)
      return []
    case .barrierRequest: return reply(.barrierReply)
    case .flowMod, .groupMod, .meterMod:
      try mayChange()
      try await change(message)
      return []
    case .portMod(let change):
      try mayChange()
      try await bridge.modify(change, by: self)
      return []
    case .tableMod(let change):
      try mayChange()
      try await bridge.modify(change)
      return []
    case .packetOut(let packet):
      try mayChange()
      try await bridge.send(packet)
      return []
    case .multipartRequest(let request):
      guard !request.hasMore else { return [] }
      if let parts = try await flowParts(request, message) {
        for part in parts {
          connection.send([part])
          await connection.drain()
        }
        return []
      }
      return reply(.multipartReply(try await answer(request, message.version)))
    case .roleRequest(let wanted, let form):
      let granted = try await bridge.grant(wanted, to: self)
      return reply(.roleReply(granted, form: form))
    case .getAsyncRequest: return reply(.getAsyncReply(async))
    case .setAsync(let wanted, _):
      async.merge(wanted)
      return []
    case .bundleControl(let control): return reply(.bundleControl(try await handle(control)))
    case .bundleAdd(let add):
      try work.add(add)
      return []
    case .flowMonitorCancel(let id):
      try await cancelMonitor(id)
      return []
    case .queueConfigRequest(let port):
      return reply(.queueConfigReply(port, try await bridge.queues(port)))
    case .tlvTableRequest:
      return reply(.tlvTableReply(TLVTable(maximumByteCount: 0, maximumFieldCount: 0, mappings: [])))
    // There is room for none: no field stands for an option.
    case .tlvTableMod(let change):
      guard change.command == .add, !change.mappings.isEmpty else { return [] }
      throw .niciraTLVTableTableFull
    case .resume(let packet):
      try mayChange()
      try await bridge.resume(packet)
      return []
    case .conntrackFlush(let flush):
      await bridge.flushConnections(ConnectionFilter(flush))
      return []
    case .conntrackFlushZone(let zone):
      await bridge.flushConnections(ConnectionFilter(zone: zone))
      return []
    default: return try set(message.body, connection)
    }
  }

  /// Settings of this session alone.
  private func set(_ body: MessageBody, _ connection: OpenFlowConnection) throws(ErrorCode) -> [Message] {
    switch body {
    case .setFlowFormat, .flowAge: break
    case .flowModTableID(let isOn): connection.setFlowModTableID(isOn)
    case .setPacketInFormat(let format): packetInFormat = format
    case .setControllerID(let id): controllerID = id
    default: throw .badRequestBadType
    }
    return []
  }

  private func configuration() async -> SwitchConfiguration {
    var configuration = SwitchConfiguration()
    configuration.fragments = await bridge.fragmentHandling
    configuration.missSendByteCount = missSendByteCount
    configuration.sendsInvalidTTL = sendsInvalidTTL
    return configuration
  }

  private func configure(_ wanted: SwitchConfiguration) async throws(ErrorCode) {
    guard wanted.fragments != .reassemble else { throw .switchConfigFailedBadFlags }
    // Fragments are the switch's, the rest is the session's.
    if role != .secondary, await bridge.fragmentHandling != wanted.fragments {
      await bridge.setFragmentHandling(wanted.fragments)
    }
    missSendByteCount = wanted.missSendByteCount
    sendsInvalidTTL = wanted.sendsInvalidTTL
    if version == .v10 {
      let bit = UInt32(1) << UInt32(ControllerAction.Reason.invalidTTL.rawValue)
      let mask = async.primary.packetIn ?? 0
      async.primary.packetIn = wanted.sendsInvalidTTL ? mask | bit : mask & ~bit
    }
  }

  func mayChange() throws(ErrorCode) {
    if role == .secondary { throw .badRequestIsSlave }
  }

  private func change(_ message: Message) async throws(ErrorCode) {
    let change = try TableChange(message.body)
    do throws(BridgeAgent.Refusal) {
      try await bridge.change(TableChangeList([change]), BridgeAgent.Cause(session: number, xid: message.xid))
    } catch {
      throw error.code
    }
    if case .flowMod = message.body { return }
    await bridge.forward(message, from: self)
  }

  // MARK: roles

  func become(_ role: ControllerRole) { self.role = role }

  /// Another one has become primary.
  func demote(generationID: UInt64) {
    role = .secondary
    guard version >= .v14, wants(\.roleStatus, RoleStatus.Reason.primaryRequest.rawValue) else { return }
    let status = RoleStatus(role: .secondary, reason: .primaryRequest, generationID: generationID)
    connection?.send(Message(version, .roleStatus(status)))
  }

  /// Column `role` of Controller.
  var roleName: String {
    switch role {
    case .primary: "master"
    case .secondary: "slave"
    case .equal, .noChange: "other"
    }
  }
}

extension TableChange {
  /// A request that changes tables.
  init(_ body: MessageBody) throws(ErrorCode) {
    switch body {
    case .flowMod(let change): self = .flow(change)
    case .groupMod(let change): self = .group(change)
    case .meterMod(let change): self = .meter(change)
    default: throw .bundleFailedMessageUnsupported
    }
  }
}

extension MessageBody {
  /// Whether a controller that sends it has taken up its work, beyond making itself known (rconn.c, is_admitted_msg).
  fileprivate var isCommand: Bool {
    switch self {
    case .hello, .error, .echoRequest, .echoReply, .featuresRequest, .getConfigRequest, .setConfig, .setAsync,
      .getAsyncRequest, .setFlowFormat, .flowModTableID, .setPacketInFormat, .setControllerID, .flowAge:
      false
    default: true
    }
  }
}
