// What a session is told without asking: which of it, how much of it, and nothing while it does not read
// (OpenFlow 1.5 §6.3.5, §7.3.10, §7.4).

import Datapath
import OpenFlow
import VSwitchCore

extension AsyncConfiguration {
  /// What a session is told before it asks for other things; Open vSwitch's (ofp-connection.c).
  static func standard(_ version: OpenFlowVersion) -> AsyncConfiguration {
    var configuration = nothing
    let invalidTTL = UInt32(1) << UInt32(ControllerAction.Reason.invalidTTL.rawValue)
    configuration.primary.packetIn = (version >= .v14 ? 0b11_1111 : 0b111) & ~invalidTTL
    configuration.primary.flowRemoved = version >= .v14 ? 0b11_1111 : 0b1111
    configuration.primary.portStatus = 0b111
    configuration.secondary.portStatus = 0b111
    return configuration
  }

  /// Nothing at all.
  static var nothing: AsyncConfiguration {
    var masks = Masks()
    masks.packetIn = 0
    masks.portStatus = 0
    masks.flowRemoved = 0
    masks.roleStatus = 0
    masks.tableStatus = 0
    masks.requestForward = 0
    masks.controllerStatus = 0
    var configuration = AsyncConfiguration()
    configuration.primary = masks
    configuration.secondary = masks
    return configuration
  }

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

extension ControllerSession {
  /// Whether it wants to be told of something for a reason.
  func wants(_ kind: KeyPath<AsyncConfiguration.Masks, UInt32?>, _ reason: UInt8) -> Bool {
    // A program is told nothing before it says how much of a packet it wants.
    if settings.isService, missSendByteCount == 0 { return false }
    let masks = role == .secondary ? async.secondary : async.primary
    return (masks[keyPath: kind] ?? 0) >> UInt32(reason) & 1 != 0
  }

  private func tell(_ body: MessageBody) {
    guard let connection, !connection.isCongested else { return }
    connection.send(Message(version, body))
  }

  func tell(_ removed: FlowRemoved) {
    if wants(\.flowRemoved, removed.reason.rawValue) { tell(.flowRemoved(removed, form: .standard)) }
  }

  /// - Parameter isOwn: the session's own request has changed the port.
  func tell(_ status: PortStatus, isOwn: Bool) {
    // Before 1.5 a port mod is not to cause one (OpenFlow 1.5 §7.4.3).
    if isOwn, version < .v15 { return }
    if wants(\.portStatus, status.reason.rawValue) { tell(.portStatus(status)) }
  }

  func tell(_ status: TableStatus) {
    if version >= .v14, wants(\.tableStatus, status.reason.rawValue) { tell(.tableStatus(status)) }
  }

  func tell(_ request: RequestForward) {
    guard version >= .v14 else { return }
    var own = request
    own.request.version = version
    let reason: UInt8 = if case .meterMod = request.request.body { 1 } else { 0 }
    if wants(\.requestForward, reason) { tell(.requestForward(own)) }
  }

  func wantsControllerStatus(_ reason: ControllerStatus.Reason) -> Bool {
    version >= .v15 && wants(\.controllerStatus, reason.rawValue)
  }

  func tell(_ status: ControllerStatus, _ reason: ControllerStatus.Reason) {
    guard wantsControllerStatus(reason) else { return }
    var status = status
    status.reason = reason
    tell(.controllerStatus(status))
  }

  // MARK: packets

  /// Sends a packet, if this session is told of such; one that does not read loses it.
  /// - Parameter now: nanoseconds of the rules' clock.
  func tell(_ packet: ControllerPacket, now: UInt64) {
    guard packet.controllerID == controllerID else { return }
    // In 1.0 a rule that misses is a rule like others.
    let reason = packet.reason == .noMatch && version == .v10 ? .action : packet.reason
    // Before 1.4 the newer reasons are all "action".
    let told = version < .v14 && reason.rawValue > ControllerAction.Reason.invalidTTL.rawValue ? .action : reason
    guard wants(\.packetIn, told.rawValue) else { return }
    let message = PacketIn(packet, reason: reason)
    guard packets != nil else { return send(message) }
    if let due = packets?.add(message, port: packet.inPort, now: now) { send(due) }
    sendLater()
  }

  private func send(_ packet: PacketIn) {
    connection?.send(Message(version, .packetIn(packet, format: packetInFormat)), unlessWaiting: settings.queueLimit)
  }

  /// Sends what waits when its time has come.
  private func sendLater() {
    guard !isSendingLater, let delay = packets?.delay else { return }
    isSendingLater = true
    Task { [weak self] in
      try? await Task.sleep(for: .nanoseconds(max(delay, 1_000_000)))
      await self?.sendDue()
    }
  }

  private func sendDue() {
    isSendingLater = false
    guard connection?.channel.isActive == true else { return }
    while let packet = packets?.next(now: bridge.plane.flowClock) { send(packet) }
    sendLater()
  }
}

extension PacketIn {
  init(_ packet: ControllerPacket, reason: ControllerAction.Reason) {
    self.init()
    data = packet.data
    totalByteCount = packet.totalByteCount
    self.reason = reason
    table = packet.table
    cookie = packet.cookie
    userData = packet.userData
    continuation = packet.continuation?.bytes
    inPort = PortNumber(packet.inPort)
    // What is said of a connection is read by the kind of packet.
    if packet.pipeline.etherType != 0 { metadata.set(.etherType, UInt128(packet.pipeline.etherType)) }
    for field in Field.allCases where packet.pipeline[field] != 0 && field.layout.wordIndex >= 15 {
      // Registers once, in their smallest form.
      if !(Field.xreg0.rawValue...Field.xxreg3.rawValue).contains(field.rawValue) {
        metadata.set(field, packet.pipeline[field])
      }
    }
  }
}
