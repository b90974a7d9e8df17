// What the messages about rings do, and how queues are started and stopped. Thread: the session's.
// Standard: QEMU docs/interop/vhost-user.rst, "Ring states".

import COFlow
import VSwitchCore

extension VhostUserSession {
  mutating func answerRing(_ message: VhostUserMessage) throws(VhostUserFault) -> [UInt8]? {
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
      rings[index].toldBase = value
      rings[index].isBaseTold = true
      rings[index].fault = nil
    case .setVringAddress:
      let addresses = message.vringAddresses.addresses
      guard addresses.flags & ~VringAddresses.logged == 0 else { throw .ringFlagsWrong }
      // Migration switches the log on for rings that run.
      restart(index) { $0.addresses = addresses }
    // DPDK's virtio-user begins a new connection by asking for rings that it never set up.
    case .getVringBase: return bytes(UInt32(index)) + bytes(takeBase(index))
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
      if rings[index].isEnabled != (value == 1) {
        restart(index) {
          $0.isEnabled = value == 1
          $0.isDiscarding = $0.isStarted && value == 0
        }
      }
    default: break
    }
    return nil
  }

  /// Stops all queues, makes a change that concerns all, and lets them go on.
  mutating func rebuild(_ change: (inout Self) -> Void) {
    for index in rings.indices { stop(index) }
    change(&self)
    for index in rings.indices { start(index) }
  }

  /// The same for one queue.
  mutating func restart(_ index: Int, _ change: (inout Ring) -> Void) {
    stop(index)
    change(&rings[index])
    start(index)
  }

  mutating func stop(_ index: Int) {
    guard let queue = rings[index].running else { return }
    device.detach(queue)
    rings[index].running = nil
    rings[index].isSuspended = false
    if rings[index].fault == nil { rings[index].fault = queue.vring.fault }
    let position = queue.vring.position
    let isPacked = unsafe queue.vring.state.pointee.isPacked
    rings[index].base = isPacked ? UInt32(position.packedBits) * 0x1_0001 : UInt32(position.next)
    rings[index].isBaseTold = false
    rings[index].hasResubmissions = queue.vring.hasResubmissions
  }

  /// Stops a ring for good: where it stands is the front-end's to remember now.
  private mutating func takeBase(_ index: Int) -> UInt32 {
    stop(index)
    let wasStarted = rings[index].isStarted
    rings[index].isStarted = false
    rings[index].isDiscarding = false
    rings[index].kick = nil
    let isPacked = features.contains(.packedRing)
    if !rings[index].hasResubmissions { inflight?.record(queue: index, isPacked: isPacked)?.end() }
    let base = isPacked ? rings[index].base : rings[index].base & 0xffff
    rings[index].toldBase = base
    if isPacked, wasStarted { record?.stop(queue: index, base: base) }
    return base
  }

  /// Starts a queue if all is there that it needs.
  mutating func start(_ index: Int) {
    let isEnabled = rings[index].isEnabled || !features.contains(.protocolFeatures)
    let isDiscarding = !isEnabled && rings[index].isDiscarding && index & 1 == 1
    guard rings[index].isStarted, isEnabled || isDiscarding, hasFeatures, rings[index].fault == nil,
      rings[index].running == nil,
      rings[index].size > 0, let addresses = rings[index].addresses, let memory
    else { return }
    do throws(VhostUserFault) {
      guard let vring = try makeVring(index, addresses, memory) else { return }
      let queue = GuestQueue(
        index: index, vring: vring, features: features, memory: memory, log: log, record: record,
        inflight: inflight, iotlb: iotlb, isDiscarding: isDiscarding, kick: rings[index].kick, call: rings[index].call,
        error: rings[index].error)
      rings[index].running = queue
      rings[index].hasResubmissions = false
      device.attach(queue)
    } catch {
      rings[index].fault = error
    }
  }
}
