// A vhost-user port as the worker drives it: the guest's transmit rings are read, its receive rings filled.
//
// Thread: made by control code; queues are attached and detached by commands that the worker runs between two bursts, all
// else is called by the worker. Memory: ring and buffer pointers are the queues', which stay mapped until after `detach`.
// While the port is asked every round its guest is asked not to kick; before the worker waits it asks for kicks again. The
// kicks of all queues come together in one epoll descriptor, which is what the worker's engine waits for.
// Standard: virtio 1.2 §5.1.6.

import COFlow
import Glibc
import VSwitchCore

/// All queues of one guest's device.
@safe final class VhostUserPort: PortIO {
  /// Packets kept for a guest whose receive ring is full; more are dropped.
  static let heldLimit = 64
  /// Header and frame of packets up to this length are copied whole into the pool; of longer ones the first
  /// `linearLimit` bytes, the others once and straight into the receiver's buffers.
  static let copyLimit = 256
  static let linearLimit = 192
  /// A guest that gave no buffer for so long gets nothing kept.
  static let stallSeconds: UInt32 = 2

  // One thread alone uses these, and no access to them lasts beyond a statement: checks of that at run time would be a tenth of a
  // short packet's instructions.
  /// The guest's transmit queues.
  @safe @exclusivity(unchecked) var receiveQueues: [GuestQueue] = []
  /// The guest's receive queues.
  @safe @exclusivity(unchecked) var transmitQueues: [GuestQueue] = []
  let batch = ChainBatch()
  let steering = TransmitSteering()
  /// An eventfd by which control code is told of a broken rule or a missing translation.
  private let notice: Int32
  /// Where the next round of `receive` begins.
  @safe @exclusivity(unchecked) var nextQueue = 0
  /// Kicks are on: the worker waits.
  @safe @exclusivity(unchecked) private var isParked = false
  /// Packets wait in the transmit queue for buffers of the guest.
  @safe @exclusivity(unchecked) var isHolding = false
  /// When the guest began to give no buffers; seconds.
  @safe @exclusivity(unchecked) var stalledSince: UInt32?
  @safe @exclusivity(unchecked) var injected: [[UInt8]] = []

  /// - Parameters:
  ///   - descriptor: an epoll descriptor, which the port closes.
  ///   - notice: an eventfd of control code's.
  init(slot: UInt16, descriptor: Int32, notice: Int32) {
    self.notice = notice
    super.init(slot: slot, descriptor: descriptor, capabilities: [])
  }

  deinit {
    batch.deallocate()
    steering.deallocate()
  }

  override func close() { _ = Glibc.close(descriptor) }

  /// For who has opened `notice` for this port alone.
  func closeNotice() { _ = Glibc.close(notice) }

  override var isAskedWithoutSystemCall: Bool { true }

  // MARK: queues, from the mailbox

  func attach(_ queue: GuestQueue) {
    if let kick = queue.kick {
      // Edges are enough: what a kick says is seen in the ring.
      _ = coflow_epoll_add(descriptor, kick.number, EPOLLIN.rawValue | EPOLLET.rawValue, UInt64(queue.index))
    }
    if queue.isGuestReceive { transmitQueues.append(queue) } else { receiveQueues.append(queue) }
    // The same order whatever the order of messages: which queue a flow takes depends on it.
    transmitQueues.sort { $0.index < $1.index }
    receiveQueues.sort { $0.index < $1.index }
    queue.vring.suppressKicks()
    stalledSince = nil
  }

  func detach(_ queue: GuestQueue, _ worker: Worker) {
    if let kick = queue.kick { _ = coflow_epoll_remove(descriptor, kick.number) }
    transmitQueues.removeAll { $0 === queue }
    receiveQueues.removeAll { $0 === queue }
    if transmitQueues.isEmpty, isHolding {
      // What waits for buffers waits in vain: the next flush drops it.
      isHolding = false
      worker.burst.markDirty(slot)
    }
  }

  /// A frame that comes in with the next round as if the guest had sent it.
  func inject(_ frame: [UInt8]) { injected.append(frame) }

  /// The queues whose guest broke a rule, and what the front-end is to be asked of a virtual IOMMU's translations.
  func notices(now: UInt32) -> (faults: [(queue: Int, fault: VhostUserFault)], misses: [IOTLB.Miss]) {
    var faults: [(queue: Int, fault: VhostUserFault)] = []
    var misses: [IOTLB.Miss] = []
    for queue in transmitQueues + receiveQueues {
      if let fault = queue.vring.fault { faults.append((queue.index, fault)) }
      // All queues share one cache.
      if let iotlb = queue.iotlb { misses += iotlb.takeQuestions(now: now) }
    }
    return (faults, misses)
  }

  // MARK: waiting

  override func prepareToWait(_ worker: Worker) -> Bool {
    var hasWork = false
    for queue in receiveQueues where queue.vring.fault == nil {
      if queue.vring.requestKicks(), !(queue.iotlb?.isMissing ?? false) { hasWork = true }
      if queue.kick == nil { hasWork = true }
    }
    for queue in transmitQueues where isHolding && queue.vring.fault == nil {
      if queue.vring.requestKicks() {
        worker.burst.markDirty(slot)
        hasWork = true
      }
    }
    isParked = true
    if hasWork { unpark() }
    return !hasWork
  }

  private func unpark() {
    isParked = false
    var tokens = InlineArray<32, UInt64>(repeating: 0)
    var events = InlineArray<32, UInt32>(repeating: 0)
    var tokenSpan = tokens.mutableSpan
    var eventSpan = events.mutableSpan
    unsafe tokenSpan.withUnsafeMutableBufferPointer { tokens in
      unsafe eventSpan.withUnsafeMutableBufferPointer { events in
        _ = unsafe coflow_epoll_wait(descriptor, tokens.baseAddress, events.baseAddress, 32, 0)
      }
    }
    for queue in receiveQueues { queue.vring.suppressKicks() }
    for queue in transmitQueues { queue.vring.suppressKicks() }
  }

  // MARK: bursts

  override func receive(_ worker: Worker) {
    if isParked { unpark() }
    receiveBurst(worker)
  }

  override func finishBurst(_ worker: Worker) { giveBackLent(worker) }

  override func transmit(_ worker: Worker, _ queue: TransmitQueue) { transmitBurst(worker, queue) }

  /// Tells the guest that buffers were given back.
  @inline(never)
  func call(_ queue: GuestQueue) {
    guard let call = queue.call else { return }
    if coflow_event_signal_peer(call.number) == -EINTR { queue.vring.fail(.callBlocks) }
  }

  /// Tells control code of what the worker can't settle, once.
  @inline(never)
  func report(_ queue: GuestQueue, _ burst: Burst) {
    if queue.vring.fault != nil, !queue.isFaultReported {
      queue.isFaultReported = true
      if let error = queue.error { _ = coflow_event_signal_peer(error.number) }
      coflow_event_signal(notice)
    }
    if let iotlb = queue.iotlb, iotlb.isMissing {
      unsafe iotlb.expireQuestions(now: burst.state.pointee.now)
      if iotlb.takeNews() { coflow_event_signal(notice) }
    }
  }
}
