// One connection's state: what the front-end has told so far, and what follows from each message. A message gives a reply
// and calls of `VhostUserDevice`, nothing else: no socket, no thread, no time. Here is what is not about rings
// (VhostUserSession+Rings.swift) or memory (VhostUserSession+Memory.swift).
//
// Thread: the one of its port's control code. A queue runs when its ring is set up and started (SET_VRING_KICK), enabled, and
// there is memory; whatever a running queue rests on may change: it is stopped, changed and started where it stood.
// A message that can't be done is refused, if the front-end asked to be told (NEED_REPLY), and nothing has changed; what is no
// message, or is refused unasked, is a fault thrown, which ends the connection. One of a ring alone ends that queue (`queueFaults`).
// Standard: QEMU docs/interop/vhost-user.rst; what QEMU and DPDK really send is told beside the message it is about.

import COFlow
import VSwitchCore

/// Who has the queues: a port, or a test.
protocol VhostUserDevice: AnyObject {
  /// Starts a queue.
  func attach(_ queue: GuestQueue)
  /// Stops a queue; when it returns nobody uses it any more.
  func detach(_ queue: GuestQueue)
  /// Runs `body` while no queue is looked at.
  func pause(_ body: @escaping @Sendable () -> Void)
  /// Another way to tell the guest, or the front-end, of something.
  func replace(_ queue: GuestQueue, call: OwnedDescriptor?)
  func replace(_ queue: GuestQueue, error: OwnedDescriptor?)
  /// Lets a frame come in as if the guest had sent it.
  func inject(_ frame: [UInt8])
}

/// A connection's state machine.
struct VhostUserSession {
  static let queueLimit = VringRecord.queueLimit

  /// One ring as the front-end described it.
  struct Ring {
    var size: UInt32 = 0
    /// Where it stands, as SET_VRING_BASE and GET_VRING_BASE say it.
    var base: UInt32 = 0
    /// What the front-end said last, or was told.
    var toldBase: UInt32 = 0
    /// `base` is the front-end's word, which may be older than the ring.
    var isBaseTold = false
    var addresses: VringAddresses?
    var kick: OwnedDescriptor?
    var call: OwnedDescriptor?
    var error: OwnedDescriptor?
    var isStarted = false
    var isEnabled = false
    /// Disabled while it ran: a transmit queue is emptied.
    var isDiscarding = false
    /// It runs, but a virtual IOMMU took pages of it away.
    var isSuspended = false
    /// Stopped while buffers that another process had taken were not all given back.
    var hasResubmissions = false
    var running: GuestQueue?
    var fault: VhostUserFault?
  }

  unowned let device: any VhostUserDevice
  /// Where packed rings' positions outlive the process.
  let record: VringRecord?
  var rings = Array(repeating: Ring(), count: VhostUserSession.queueLimit)
  var memory: GuestMemory?
  var log: DirtyLog?
  var iotlb: IOTLB?
  /// Pages of rings that can't start without them, and whether the front-end has been asked.
  var ringMisses: [IOTLB.Miss: Bool] = [:]
  var features: VirtioFeatures = []
  private(set) var protocolFeatures: VhostUserProtocolFeatures = []
  var hasFeatures = false
  private(set) var status: UInt64 = 0
  /// What the front-end says the guest was told, bytes.
  private(set) var mtu: Int?
  /// The back-end's own channel to the front-end.
  private(set) var backendRequests: OwnedDescriptor?
  /// Where the front-end has noted for us what is in flight.
  var inflight: InflightArea?
  /// The last request that was refused.
  private(set) var refusal: VhostUserFault?
  /// The MTU that the port's configuration asks for.
  var mtuRequest: Int?

  init(device: any VhostUserDevice, record: VringRecord?, mtuRequest: Int? = nil) {
    self.device = device
    self.record = record
    self.mtuRequest = mtuRequest
  }

  /// Queues that run.
  var runningQueues: [GuestQueue] { rings.compactMap(\.running).filter { !$0.isDiscarding } }
  /// The guest's driver works: some queue runs.
  var isUp: Bool { !runningQueues.isEmpty }
  var regionCount: Int { memory?.regions.count ?? 0 }
  /// Size of each ring that was set up.
  var ringSizes: [Int: UInt32] {
    Dictionary(
      uniqueKeysWithValues: rings.enumerated().filter { $0.element.size > 0 }.map { ($0.offset, $0.element.size) })
  }
  /// Queues that broke a rule, with the rule.
  var queueFaults: [Int: VhostUserFault] {
    var faults: [Int: VhostUserFault] = [:]
    for (index, ring) in rings.enumerated() { faults[index] = ring.fault }
    return faults
  }

  /// What the front-end is to be asked so that rings can start; each page once until something is said of translations.
  mutating func takeRingMisses() -> [IOTLB.Miss] {
    let new = ringMisses.filter { !$0.value }.map(\.key).sorted { $0.address < $1.address }
    for miss in new { ringMisses[miss] = true }
    return new
  }

  /// A queue's rule was broken while it ran: it is stopped until its driver starts it anew.
  mutating func queueFailed(_ index: Int, _ fault: VhostUserFault) {
    stop(index)
    rings[index].fault = fault
  }

  /// The connection has ended: every queue is stopped, nothing of the guest is used afterwards.
  mutating func end() {
    for index in rings.indices { stop(index) }
    rings = Array(repeating: Ring(), count: VhostUserSession.queueLimit)
    memory = nil
    log = nil
    iotlb?.deallocate()
    iotlb = nil
    backendRequests = nil
  }

  // MARK: messages

  /// Takes a message.
  /// - Throws: what is no message, or was refused although the front-end would not hear of it.
  mutating func handle(_ message: VhostUserMessage) throws(VhostUserFault) -> VhostUserReply {
    guard protocolFeatures.isSuperset(of: message.request.needs) else { throw .messageNotNegotiated }
    let isAcknowledged = message.wantsReply && protocolFeatures.contains(.replyAcknowledge)
    do throws(VhostUserFault) {
      if let reply = try answer(message) { return reply }
    } catch {
      // A reply with a body of its own can't say that there is none.
      guard isAcknowledged, !message.request.hasOwnReply else { throw error }
      refusal = error
      return VhostUserReply(to: message.request, bytes(UInt64(1)))
    }
    return isAcknowledged ? VhostUserReply(to: message.request, bytes(UInt64(0))) : VhostUserReply()
  }

  /// Does what a message says.
  /// - Returns: the message's own answer; nil if it has none.
  private mutating func answer(_ message: VhostUserMessage) throws(VhostUserFault) -> VhostUserReply? {
    func reply(_ payload: [UInt8]) -> VhostUserReply { VhostUserReply(to: message.request, payload) }
    switch message.request {
    case .getFeatures: return reply(bytes(VirtioFeatures.offered.rawValue))
    case .setFeatures: try setFeatures(message.number)
    case .getProtocolFeatures: return reply(bytes(VhostUserProtocolFeatures.offered.rawValue))
    case .setProtocolFeatures:
      let chosen = VhostUserProtocolFeatures(rawValue: message.number)
      guard VhostUserProtocolFeatures.offered.isSuperset(of: chosen) else { throw .featuresNotOffered }
      protocolFeatures = chosen
    case .getQueueCount: return reply(bytes(UInt64(VhostUserSession.queueLimit / 2)))
    case .getMemorySlotLimit: return reply(bytes(UInt64(GuestMemory.regionLimit)))
    case .setOwner: break
    // Some front-ends mean more by it, others less; disabling the rings is what the specification recommends.
    case .resetOwner: disableRings()
    case .resetDevice: resetDevice()
    case .setMemoryTable: try setMemoryTable(message)
    case .addMemoryRegion: try addRegion(message)
    case .removeMemoryRegion: try removeRegion(message.memoryRegion)
    case .setLogBase:
      try setLog(message)
      // QEMU waits for a reply although it does not ask for one, and takes one without content, as DPDK's is.
      return reply([])
    case .setLogDescriptor: break
    case .setVringSize, .setVringBase, .setVringAddress, .getVringBase, .setVringKick, .setVringCall, .setVringError,
      .setVringEnable:
      return try answerRing(message).map(reply)
    case .sendRARP: device.inject(rarpFrame(address: message.payload))
    case .setMTU:
      guard (68...65535).contains(message.number) else { throw .mtuWrong }
      mtu = Int(message.number)
    case .setBackendRequestDescriptor: backendRequests = message.descriptors.first
    case .iotlb: try updateIOTLB(message)
    case .getConfig: return reply(config.answer(message))
    case .setConfig: try NetworkDeviceConfig.checkWrite(message)
    case .getInflightDescriptor:
      let (description, file) = try InflightArea.make(message.inflight, isPacked: features.contains(.packedRing))
      return VhostUserReply(to: message.request, description.encoded, descriptor: file)
    case .setInflightDescriptor:
      guard let file = message.descriptors.first else { throw .messageDescriptorCountWrong }
      let area = try InflightArea(message.inflight, file: file)
      rebuild { $0.inflight = area }
    // QEMU sets 0 before it asks where the rings stand: they have to survive it.
    case .setStatus: status = message.number & 0xff
    case .getStatus: return reply(bytes(status))
    }
    return nil
  }

  /// The device's configuration space.
  private var config: NetworkDeviceConfig {
    NetworkDeviceConfig(
      queuePairLimit: UInt16(VhostUserSession.queueLimit / 2), mtu: UInt16(clamping: mtu ?? mtuRequest ?? 1500))
  }

  /// The message by which the front-end is told that the configuration space has changed, if it wants to know.
  var configChange: [UInt8]? {
    protocolFeatures.isSuperset(of: [.config, .backendRequests]) ? BackendRequest.configChange.message() : nil
  }

  private mutating func disableRings() {
    for index in rings.indices {
      stop(index)
      rings[index].isStarted = false
      rings[index].isEnabled = false
      rings[index].isDiscarding = false
      rings[index].fault = nil
    }
  }

  /// As after the connection was made; memory, its log and the ways to tell of events stay, which the front-end owns.
  private mutating func resetDevice() {
    disableRings()
    for index in rings.indices {
      var ring = Ring()
      ring.call = rings[index].call
      ring.error = rings[index].error
      rings[index] = ring
      record?.forget(queue: index)
    }
    features = []
    hasFeatures = false
    inflight = nil
    status = 0
    mtu = nil
    iotlb?.deallocate()
    iotlb = nil
  }

  private mutating func setFeatures(_ bits: UInt64) throws(VhostUserFault) {
    // What front-ends answer for themselves and DPDK's hands on nevertheless: control queue, MAC.
    let harmless: UInt64 = 1 << 2 | 1 << 5 | 0b1111 << 17 | 1 << 23
    let chosen = VirtioFeatures(rawValue: bits & ~(harmless & ~VirtioFeatures.offered.rawValue))
    guard VirtioFeatures.offered.isSuperset(of: chosen) else { throw .featuresNotOffered }
    guard chosen != features || !hasFeatures else { return }
    rebuild { session in
      session.features = chosen
      session.hasFeatures = true
      let hasIOTLB = chosen.contains(.accessPlatform)
      if hasIOTLB, session.iotlb == nil { session.iotlb = IOTLB() }
      if !hasIOTLB, let old = session.iotlb {
        old.deallocate()
        session.iotlb = nil
      }
    }
  }
}

/// The broadcast by which switches learn where a guest lives now: a reverse ARP request of its own address (RFC 903).
private func rarpFrame(address: ArraySlice<UInt8>) -> [UInt8] {
  let address = Array(address.prefix(6))
  var frame = [UInt8](repeating: 0xff, count: 6) + address + [0x80, 0x35]
  frame += [0, 1, 8, 0, 6, 4, 0, 3] + address + [0, 0, 0, 0] + address + [0, 0, 0, 0]
  return frame + [UInt8](repeating: 0, count: 60 - frame.count)
}
