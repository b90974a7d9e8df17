// One connection's state: what the front-end has told so far, and what follows from each message. A message gives a reply
// and calls of `VhostUserDevice`, nothing else: no socket, no thread, no time.
//
// Thread: the one of its port's control code. A queue runs when its ring is set up and started (SET_VRING_KICK), enabled, and
// there is memory; whatever a running queue rests on may change: it is stopped, changed and started where it stood.
// A fault thrown ends the connection; one of a ring alone ends that queue (`queueFaults`).
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
  private struct Ring {
    var size: UInt32 = 0
    var base: UInt32 = 0
    var addresses: VringAddresses?
    var kick: OwnedDescriptor?
    var call: OwnedDescriptor?
    var error: OwnedDescriptor?
    var isStarted = false
    var isEnabled = false
    var running: GuestQueue?
    var fault: VhostUserFault?
  }

  private unowned let device: any VhostUserDevice
  /// Where packed rings' positions outlive the process.
  private let record: VringRecord?
  private var rings = Array(repeating: Ring(), count: VhostUserSession.queueLimit)
  private var memory: GuestMemory?
  private var log: DirtyLog?
  private var iotlb: IOTLB?
  private(set) var features: VirtioFeatures = []
  private(set) var protocolFeatures: VhostUserProtocolFeatures = []
  private var hasFeatures = false
  private(set) var status: UInt64 = 0
  /// What the front-end says the guest was told, bytes.
  private(set) var mtu: Int?
  /// The back-end's own channel to the front-end.
  private(set) var backendRequests: OwnedDescriptor?

  init(device: any VhostUserDevice, record: VringRecord?) {
    self.device = device
    self.record = record
  }

  /// Queues that run.
  var runningQueues: [GuestQueue] { rings.compactMap(\.running) }
  /// The guest's driver works: some queue runs.
  var isUp: Bool { rings.contains { $0.running != nil } }
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

  /// A translation that a ring's start waits for.
  var pendingMiss: IOTLB.Miss? {
    guard let iotlb, rings.contains(where: { $0.isStarted && $0.running == nil && $0.fault == nil }) else { return nil }
    return unsafe iotlb.state.pointee.miss
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
  /// - Returns: the bytes to answer with; none if the message has no answer.
  mutating func handle(_ message: VhostUserMessage) throws(VhostUserFault) -> [UInt8] {
    guard protocolFeatures.isSuperset(of: message.request.needs) else { throw .messageNotNegotiated }
    do throws(VhostUserFault) {
      if let answer = try answer(message) { return VhostUserHeader.reply(to: message.request, answer) }
    } catch {
      // The front-end gets to know before the connection ends.
      throw error
    }
    guard message.wantsReply, protocolFeatures.contains(.replyAcknowledge) else { return [] }
    return VhostUserHeader.reply(to: message.request, bytes(UInt64(0)))
  }

  /// Does what a message says.
  /// - Returns: the payload of the message's own answer; nil if it has none.
  private mutating func answer(_ message: VhostUserMessage) throws(VhostUserFault) -> [UInt8]? {
    switch message.request {
    case .getFeatures: return bytes(VirtioFeatures.offered.rawValue)
    case .setFeatures: try setFeatures(message.number)
    case .getProtocolFeatures: return bytes(VhostUserProtocolFeatures.offered.rawValue)
    case .setProtocolFeatures:
      let chosen = VhostUserProtocolFeatures(rawValue: message.number)
      guard VhostUserProtocolFeatures.offered.isSuperset(of: chosen) else { throw .featuresNotOffered }
      protocolFeatures = chosen
    case .getQueueCount: return bytes(UInt64(VhostUserSession.queueLimit / 2))
    case .getMemorySlotLimit: return bytes(UInt64(GuestMemory.regionLimit))
    case .setOwner: break
    case .resetOwner, .resetDevice:
      for index in rings.indices {
        stop(index)
        rings[index].isStarted = false
        rings[index].isEnabled = false
        rings[index].fault = nil
      }
      status = 0
    case .setMemoryTable: try setMemoryTable(message)
    case .addMemoryRegion: try addRegion(message)
    case .removeMemoryRegion: try removeRegion(message.memoryRegion)
    case .setLogBase:
      let (byteCount, offset) = message.logBase
      guard let file = message.descriptors.first else { throw .messageDescriptorCountWrong }
      let log = try DirtyLog(file: file, byteCount: byteCount, offset: offset)
      rebuild { $0.log = log }
      // QEMU waits for a reply although it does not ask for one, and takes one without content, as DPDK's is.
      return []
    case .setLogDescriptor: break
    case .setVringSize, .setVringBase, .setVringAddress, .getVringBase, .setVringKick, .setVringCall, .setVringError,
      .setVringEnable:
      return try answerRing(message)
    case .sendRARP: device.inject(rarpFrame(address: message.payload))
    case .setMTU:
      guard (68...65535).contains(message.number) else { throw .mtuWrong }
      mtu = Int(message.number)
    case .setBackendRequestDescriptor: backendRequests = message.descriptors.first
    case .iotlb: try updateIOTLB(message)
    // QEMU sets 0 before it asks where the rings stand: they have to survive it.
    case .setStatus: status = message.number & 0xff
    case .getStatus: return bytes(status)
    }
    return nil
  }

  private mutating func answerRing(_ message: VhostUserMessage) throws(VhostUserFault) -> [UInt8]? {
    // KICK, CALL and ERR have the index in 8 bits and "no descriptor" in the ninth.
    let isEvent = [.setVringKick, .setVringCall, .setVringError].contains(message.request)
    let index = Int(isEvent ? UInt32(message.number & 0xff) : message.queueNumber.index)
    let value = message.queueNumber.value
    guard index < VhostUserSession.queueLimit else { throw .queueIndexWrong }
    if isEvent {
      let isWithout = message.number & 0x100 != 0
      guard message.number >> 9 == 0 else { throw .queueIndexWrong }
      guard isWithout == message.descriptors.isEmpty else { throw .messageDescriptorCountWrong }
      if let event = message.descriptors.first, coflow_event_check(event.number) < 0 { throw .descriptorIsNoEvent }
    }
    switch message.request {
    case .setVringSize:
      guard rings[index].running == nil else { throw .ringStartedTwice }
      guard (1...32768).contains(value) else { throw .ringSizeWrong }
      rings[index].size = value
    case .setVringBase:
      guard rings[index].running == nil else { throw .ringStartedTwice }
      rings[index].base = value
      rings[index].fault = nil
    case .setVringAddress:
      let addresses = message.vringAddresses.addresses
      guard addresses.flags & ~VringAddresses.logged == 0 else { throw .ringFlagsWrong }
      // Migration switches the log on for rings that run.
      restart(index) { $0.addresses = addresses }
    case .getVringBase:
      let isPacked = features.contains(.packedRing)
      stop(index)
      // DPDK's virtio-user begins a new connection by asking for rings that it never set up.
      rings[index].isStarted = false
      rings[index].kick = nil
      let base = isPacked ? rings[index].base : rings[index].base & 0xffff
      return bytes(UInt32(index)) + bytes(base)
    case .setVringKick:
      restart(index) {
        $0.kick = message.descriptors.first
        $0.isStarted = true
      }
    case .setVringCall:
      rings[index].call = message.descriptors.first
      if let queue = rings[index].running { device.replace(queue, call: message.descriptors.first) }
    case .setVringError:
      rings[index].error = message.descriptors.first
      if let queue = rings[index].running { device.replace(queue, error: message.descriptors.first) }
    case .setVringEnable:
      guard value <= 1 else { throw .ringFlagsWrong }
      // QEMU repeats this at each step of the driver, and sends it before there are features.
      if rings[index].isEnabled != (value == 1) { restart(index) { $0.isEnabled = value == 1 } }
    default: break
    }
    return nil
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

  // MARK: memory

  private mutating func setMemoryTable(_ message: VhostUserMessage) throws(VhostUserFault) {
    var regions: [GuestRegion] = []
    for (position, description) in try message.memoryTable().enumerated() {
      regions.append(try region(description, message.descriptors[position]))
    }
    try replaceMemory(regions)
  }

  private mutating func addRegion(_ message: VhostUserMessage) throws(VhostUserFault) {
    guard let file = message.descriptors.first else { throw .messageDescriptorCountWrong }
    let new = message.memoryRegion
    var regions = memory?.regions ?? []
    // Every queue pair of QEMU's sends the same regions again.
    if regions.contains(where: { $0.description == new }) { return }
    regions.append(try GuestRegion(new, file: file))
    try replaceMemory(regions)
  }

  private mutating func removeRegion(_ description: GuestRegionDescription) throws(VhostUserFault) {
    var regions = memory?.regions ?? []
    let before = regions.count
    regions.removeAll {
      $0.description.guestAddress == description.guestAddress && $0.description.userAddress == description.userAddress
        && $0.description.byteCount == description.byteCount
    }
    guard regions.count == before - 1 else { throw .regionUnknown }
    try replaceMemory(regions)
  }

  private func region(_ description: GuestRegionDescription, _ file: OwnedDescriptor) throws(VhostUserFault)
    -> GuestRegion
  {
    try GuestRegion(description, file: file)
  }

  private mutating func replaceMemory(_ regions: [GuestRegion]) throws(VhostUserFault) {
    let memory = try GuestMemory(regions)
    rebuild { session in
      if let iotlb = session.iotlb { iotlb.removeAll() }
      session.memory = memory
    }
  }

  private mutating func updateIOTLB(_ message: VhostUserMessage) throws(VhostUserFault) {
    guard let entry = message.iotlb, let iotlb, let memory else { return }
    switch entry.kind {
    case .update:
      let (_, overflow) = entry.userAddress.addingReportingOverflow(entry.byteCount)
      guard !overflow, let guestAddress = memory.guestAddress(user: entry.userAddress) else {
        throw .bufferOutsideMemory
      }
      let view = memory.view
      device.pause {
        iotlb.insert(
          address: entry.address, byteCount: entry.byteCount, guestAddress: guestAddress,
          permission: IOTLB.Permission(rawValue: entry.permission), view)
      }
      // Rings whose own pages were missing.
      for index in rings.indices where rings[index].running == nil && rings[index].fault == nil { start(index) }
    case .invalidate:
      device.pause { iotlb.remove(address: entry.address, byteCount: entry.byteCount) }
    case .miss, .accessFailure: break
    }
  }

  // MARK: running

  /// Stops all queues, makes a change that concerns all, and lets them go on.
  private mutating func rebuild(_ change: (inout Self) -> Void) {
    for index in rings.indices { stop(index) }
    change(&self)
    for index in rings.indices { start(index) }
  }

  /// The same for one queue.
  private mutating func restart(_ index: Int, _ change: (inout Ring) -> Void) {
    stop(index)
    change(&rings[index])
    start(index)
  }

  private mutating func stop(_ index: Int) {
    guard let queue = rings[index].running else { return }
    device.detach(queue)
    rings[index].running = nil
    if rings[index].fault == nil { rings[index].fault = queue.vring.fault }
    let position = queue.vring.position
    let isPacked = unsafe queue.vring.state.pointee.isPacked
    rings[index].base = isPacked ? UInt32(position.packedBits) * 0x1_0001 : UInt32(position.next)
  }

  /// Starts a queue if all is there that it needs.
  private mutating func start(_ index: Int) {
    let isEnabled = rings[index].isEnabled || !features.contains(.protocolFeatures)
    guard rings[index].isStarted, isEnabled, hasFeatures, rings[index].fault == nil, rings[index].running == nil,
      rings[index].size > 0, let addresses = rings[index].addresses, let memory
    else { return }
    do throws(VhostUserFault) {
      guard let vring = try makeVring(index, addresses, memory) else { return }
      let queue = GuestQueue(
        index: index, vring: vring, features: features, memory: memory, log: log, record: record, iotlb: iotlb,
        kick: rings[index].kick, call: rings[index].call, error: rings[index].error)
      rings[index].running = queue
      device.attach(queue)
    } catch {
      rings[index].fault = error
    }
  }

  /// - Returns: nil if a virtual IOMMU has not told yet where the ring is.
  private func makeVring(
    _ index: Int, _ addresses: VringAddresses, _ memory: GuestMemory
  ) throws(VhostUserFault) -> Vring? {
    let size = rings[index].size
    let isPacked = features.contains(.packedRing)
    guard isPacked || size & (size - 1) == 0 else { throw .ringSizeWrong }
    let parts = VringPart.all(addresses, size: size, isPacked: isPacked)
    var found: [(host: UnsafeMutableRawPointer, guestAddress: UInt64)] = unsafe []
    let space = GuestAddressSpace(memory: memory.view, iotlb: iotlb)
    for part in parts {
      guard part.address % part.alignment == 0 else { throw .ringMisaligned }
      if let iotlb {
        guard let host = unsafe space.translate(part.address, byteCount: part.byteCount, writes: true),
          let guestAddress = iotlb.guestAddress(part.address)
        else {
          if iotlb.isMissing { return nil }
          throw .ringOutsideMemory
        }
        unsafe found.append((host, guestAddress))
      } else {
        guard let guestAddress = memory.guestAddress(user: part.address),
          let host = unsafe memory.view.translate(guestAddress, byteCount: part.byteCount),
          UInt64(UInt(bitPattern: host)) % min(part.alignment, 8) == 0
        else { throw .ringOutsideMemory }
        unsafe found.append((host, guestAddress))
      }
    }
    var state = unsafe VringState(
      descriptors: found[0].host, driverArea: found[1].host, deviceArea: found[2].host, size: size, addresses: space)
    state.isPacked = isPacked
    state.hasIndirect = features.contains(.indirectDescriptors)
    state.hasEventIndex = features.contains(.eventIndex)
    unsafe state.descriptorsAddress = found[0].guestAddress
    unsafe state.deviceAreaAddress = found[2].guestAddress
    if features.contains(.logAll) { state.log = log?.view }
    unsafe state.position = try position(
      index, isPacked: isPacked, descriptors: found[0].host, ringAddress: found[0].guestAddress)
    if isPacked, let record {
      unsafe record.begin(queue: index, ringAddress: found[0].guestAddress, size: size, position: state.position)
      unsafe state.record = record.word(queue: index)
    }
    return Vring(state)
  }

  private func position(
    _ index: Int, isPacked: Bool, descriptors: UnsafeMutableRawPointer, ringAddress: UInt64
  ) throws(VhostUserFault) -> VringPosition {
    let base = rings[index].base
    guard isPacked else {
      guard base <= 0xffff else { throw .ringPositionWrong }
      return VringPosition(next: UInt16(base))
    }
    // Low half: next to take, high half: next to give back, which is where it stands. DPDK leaves the high half out.
    let high = UInt16(base >> 16)
    let position = VringPosition(packedBits: high == 0 ? UInt16(base & 0xffff) : high)
    let size = rings[index].size
    guard UInt32(position.next) < size else { throw .ringPositionWrong }
    // After a lost connection QEMU begins at the start again, where only a new ring does.
    guard position == VringPosition(), unsafe VringRecord.isRingUsed(descriptors: descriptors, size: size) else {
      return position
    }
    if let recovered = unsafe record?.recover(
      queue: index, ringAddress: ringAddress, size: size, descriptors: descriptors)
    {
      return recovered
    }
    // It may really stand there (a guest that came from another host); if its first descriptor was given back in this
    // lap it does not, and serving it again would hand out old buffers.
    let flags = unsafe coflow_load_16(descriptors + 14)
    guard flags & PackedFlag.used == 0 else { throw .ringPositionUnknown }
    return position
  }
}

/// The broadcast by which switches learn where a guest lives now: a reverse ARP request of its own address (RFC 903).
private func rarpFrame(address: ArraySlice<UInt8>) -> [UInt8] {
  let address = Array(address.prefix(6))
  var frame = [UInt8](repeating: 0xff, count: 6) + address + [0x80, 0x35]
  frame += [0, 1, 8, 0, 6, 4, 0, 3] + address + [0, 0, 0, 0] + address + [0, 0, 0, 0]
  return frame + [UInt8](repeating: 0, count: 60 - frame.count)
}

/// One of a ring's three parts, in the front-end's addresses.
private struct VringPart {
  var address: UInt64
  var byteCount: UInt64
  var alignment: UInt64

  /// Descriptors, driver area, device area.
  static func all(_ addresses: VringAddresses, size: UInt32, isPacked: Bool) -> [VringPart] {
    if isPacked {
      let event = Vring.packedEventByteCount
      return [
        VringPart(
          address: addresses.descriptors, byteCount: Vring.packedDescriptorsByteCount(size: size), alignment: 16),
        VringPart(address: addresses.driverArea, byteCount: event, alignment: 4),
        VringPart(address: addresses.deviceArea, byteCount: event, alignment: 4),
      ]
    }
    return [
      VringPart(address: addresses.descriptors, byteCount: Vring.splitDescriptorsByteCount(size: size), alignment: 16),
      VringPart(address: addresses.driverArea, byteCount: Vring.splitDriverAreaByteCount(size: size), alignment: 2),
      VringPart(address: addresses.deviceArea, byteCount: Vring.splitDeviceAreaByteCount(size: size), alignment: 4),
    ]
  }
}
