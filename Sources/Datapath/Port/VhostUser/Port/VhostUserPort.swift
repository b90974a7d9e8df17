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
  /// A guest that gave no buffer for so long gets nothing kept.
  static let stallSeconds: UInt32 = 2

  /// The guest's transmit queues.
  private var receiveQueues: [GuestQueue] = []
  /// The guest's receive queues.
  private var transmitQueues: [GuestQueue] = []
  private let batch = ChainBatch()
  /// An eventfd by which control code is told of a broken rule or a missing translation.
  private let notice: Int32
  /// Where the next round of `receive` begins.
  private var nextQueue = 0
  /// Kicks are on: the worker waits.
  private var isParked = false
  /// Packets wait in the transmit queue for buffers of the guest.
  private var isHolding = false
  /// When the guest began to give no buffers; seconds.
  private var stalledSince: UInt32?
  private var injected: [[UInt8]] = []

  /// - Parameters:
  ///   - descriptor: an epoll descriptor, which the port closes.
  ///   - notice: an eventfd of control code's.
  init(slot: UInt16, descriptor: Int32, notice: Int32) {
    self.notice = notice
    super.init(slot: slot, descriptor: descriptor, capabilities: [])
  }

  deinit { batch.deallocate() }

  override func close() { _ = Glibc.close(descriptor) }

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

  func detach(_ queue: GuestQueue) {
    if let kick = queue.kick { _ = coflow_epoll_remove(descriptor, kick.number) }
    transmitQueues.removeAll { $0 === queue }
    receiveQueues.removeAll { $0 === queue }
  }

  /// A frame that comes in with the next round as if the guest had sent it.
  func inject(_ frame: [UInt8]) { injected.append(frame) }

  /// The queues whose guest broke a rule, and what is missing of a virtual IOMMU's translations.
  func notices() -> (faults: [(queue: Int, fault: VhostUserFault)], miss: IOTLB.Miss?) {
    var faults: [(queue: Int, fault: VhostUserFault)] = []
    var miss: IOTLB.Miss?
    for queue in transmitQueues + receiveQueues {
      if let fault = queue.vring.fault { faults.append((queue.index, fault)) }
      if let iotlb = queue.iotlb { unsafe miss = iotlb.state.pointee.miss }
    }
    return (faults, miss)
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

  // MARK: from the guest

  override func receive(_ worker: Worker) {
    if isParked { unpark() }
    if !injected.isEmpty { receiveInjected(worker) }
    if isHolding, transmitQueues.contains(where: { $0.vring.hasAvailable }) { worker.burst.markDirty(slot) }
    let count = receiveQueues.count
    guard count > 0 else { return }
    let burst = worker.burst
    var left = min(readTarget, unsafe Burst.packetLimit &- burst.state.pointee.pendingCount)
    var position = nextQueue < count ? nextQueue : 0
    nextQueue = position &+ 1
    for _ in 0..<count {
      guard left > 0 else { return }
      left &-= receive(receiveQueues[position], left, burst)
      position = position &+ 1 == count ? 0 : position &+ 1
    }
  }

  /// Takes up to `limit` packets of one queue.
  /// - Returns: how many came.
  @inline(__always)
  private func receive(_ queue: GuestQueue, _ limit: Int, _ burst: Burst) -> Int {
    let vring = queue.vring
    let batch = batch
    vring.fetch(limit, into: batch, .deviceReads)
    let count = batch.count
    if count > 0 {
      let taken = takeChains(batch, count, header: queue.headerByteCount, vring, burst)
      vring.complete(batch, count: taken)
      if taken > 0, let call = queue.call, vring.wantsCall(completed: taken) { coflow_event_signal(call.number) }
      if queue.memory.view.isShrunk { vring.fail(.memoryShrunk) }
      if vring.fault != nil || queue.iotlb != nil { report(queue) }
      return taken
    }
    if vring.fault != nil || queue.iotlb != nil { report(queue) }
    return 0
  }

  /// Copies the packets of the batch's chains into the pool.
  /// - Returns: how many chains are done with; the rest had no buffer, or broke a rule.
  @inline(__always)
  private func takeChains(_ batch: ChainBatch, _ count: Int, header: Int, _ vring: Vring, _ burst: Burst) -> Int {
    let slot = slot
    let pool = burst.pool
    for position in 0..<count {
      unsafe coflow_prefetch(batch.segments[Int(batch.chains[position].firstSegment)].host)
    }
    for position in 0..<count {
      let chain = unsafe batch.chains + position
      let byteCount = unsafe Int(chain.pointee.byteCount)
      guard byteCount > header, byteCount <= header &+ PacketPool.frameLimit else {
        vring.fail(byteCount > header ? .frameTooLong : .headerIncomplete)
        return position
      }
      guard let index = pool.allocate() else { return position }
      // Header and frame behind each other, so that a packet in one buffer is one copy.
      let start = unsafe pool.frame(index) - header
      var segment = unsafe batch.segments + Int(chain.pointee.firstSegment)
      if unsafe chain.pointee.segmentCount == 1 {
        unsafe coflow_copy(start, segment.pointee.host, UInt64(byteCount))
      } else {
        var offset = 0
        for _ in 0..<(unsafe chain.pointee.segmentCount) {
          let part = unsafe Int(segment.pointee.byteCount)
          unsafe coflow_copy(start + offset, segment.pointee.host, UInt64(part))
          offset &+= part
          unsafe segment += 1
        }
      }
      pool[index].byteCount = UInt32(truncatingIfNeeded: byteCount &- header)
      var offload = unsafe OffloadMetadata(decoding: UnsafeRawPointer(start))
      // "Checksum verified" is not a guest's to say.
      offload.flags &= OffloadMetadata.needsChecksum
      pool[index].offload = offload
      burst.received(index, slot: slot)
    }
    return count
  }

  @inline(never)
  private func receiveInjected(_ worker: Worker) {
    for frame in injected {
      guard let index = worker.burst.pool.allocate() else { break }
      let room = unsafe worker.burst.pool.room(index)
      for (position, byte) in frame.prefix(room.count).enumerated() { unsafe room[position] = byte }
      worker.burst.pool[index].byteCount = UInt32(min(frame.count, room.count))
      worker.burst.received(index, slot: slot)
    }
    injected = []
  }

  /// Tells control code of what the worker can't settle, once.
  @inline(never)
  private func report(_ queue: GuestQueue) {
    if queue.vring.fault != nil, !queue.isFaultReported {
      queue.isFaultReported = true
      if let error = queue.error { coflow_event_signal(error.number) }
      coflow_event_signal(notice)
    }
    if let iotlb = queue.iotlb, iotlb.isMissing, unsafe !iotlb.state.pointee.isAsked {
      unsafe iotlb.state.pointee.isAsked = true
      coflow_event_signal(notice)
    }
  }

  // MARK: to the guest

  override func transmit(_ worker: Worker, _ queue: TransmitQueue) {
    let burst = worker.burst
    guard let first = transmitQueues.first else {
      for position in 0..<queue.count { burst.transmitFailed(queue[position], slot: slot, .transmitLinkDown) }
      queue.removeFirst(queue.count)
      return
    }
    let count = burst.takeExit(queue, slot: slot, capabilities: first.capabilities)
    isHolding = false
    if transmitQueues.count == 1 {
      let sent = send(first, from: 0, to: count, burst)
      if sent < count { hold(queue, from: sent, to: count, progressed: sent > 0, worker) } else { stalledSince = nil }
      return
    }
    transmitSteered(worker, queue, count)
  }

  /// Several queues: each flow keeps to one of them.
  @inline(never)
  private func transmitSteered(_ worker: Worker, _ queue: TransmitQueue, _ count: Int) {
    let burst = worker.burst
    let queueCount = transmitQueues.count
    // Stable partition by queue, over the array that `exit` is followed by.
    var order: [PacketIndex] = []
    order.reserveCapacity(count)
    var ends: [Int] = []
    let choices = (0..<count).map { position in
      unsafe TransmitSteering.hash(UnsafeRawBufferPointer(burst.pool.bytes(burst.exit[position]))) % UInt32(queueCount)
    }
    for choice in 0..<queueCount {
      for position in 0..<count where choices[position] == UInt32(choice) { unsafe order.append(burst.exit[position]) }
      ends.append(order.count)
    }
    for position in 0..<count { unsafe burst.exit[position] = order[position] }
    var start = 0
    var progressed = false
    var held: [(Int, Int)] = []
    for (choice, end) in ends.enumerated() {
      let sent = send(transmitQueues[choice], from: start, to: end, burst)
      if sent > start { progressed = true }
      if sent < end { held.append((sent, end)) }
      start = end
    }
    if held.isEmpty { stalledSince = nil }
    for (from, to) in held { hold(queue, from: from, to: to, progressed: progressed, worker) }
  }

  /// Keeps packets until the guest has buffers, if it is worth it.
  @inline(never)
  private func hold(_ queue: TransmitQueue, from: Int, to: Int, progressed: Bool, _ worker: Worker) {
    let burst = worker.burst
    let now = unsafe burst.state.pointee.now
    if progressed || stalledSince == nil { stalledSince = now }
    let isStalled = now &- (stalledSince ?? now) >= VhostUserPort.stallSeconds
    for position in from..<to {
      let index = unsafe burst.exit[position]
      // Not more than half of the pool waits for guests that don't read, however many they are.
      let mayWait = !isStalled && queue.count < VhostUserPort.heldLimit && burst.pool.available > burst.pool.count / 2
      if mayWait, queue.append(index) {
        isHolding = true
      } else {
        burst.transmitFailed(index, slot: slot, .transmitQueueFull)
      }
    }
    // Kicks of receive rings matter now; if the port waits already it has to ask for them.
    if isHolding, !isHot { worker.wake(self) }
  }

  /// Puts packets of `exit` into one queue's buffers.
  /// - Returns: the position of the first packet that found no buffer.
  @inline(__always)
  private func send(_ queue: GuestQueue, from: Int, to: Int, _ burst: Burst) -> Int {
    let vring = queue.vring
    let batch = batch
    let slot = slot
    let header = queue.headerByteCount
    let mergeable = queue.hasMergeableBuffers
    let flagMask: UInt8 = queue.capabilities.contains(.checksum) ? 3 : 0
    guard vring.fault == nil else {
      for position in from..<to { burst.transmitFailed(unsafe burst.exit[position], slot: slot, .transmitLinkDown) }
      report(queue)
      return to
    }
    vring.fetch(to &- from, into: batch, .deviceWrites)
    for position in 0..<batch.count {
      unsafe coflow_prefetch_write(batch.segments[Int(batch.chains[position].firstSegment)].host)
    }
    var used = 0
    var completed = 0
    var position = from
    while position < to {
      let index = unsafe burst.exit[position]
      let needed = UInt64(burst.pool[index].byteCount) &+ UInt64(header)
      var end = used
      var room: UInt64 = 0
      while room < needed {
        if end == batch.count {
          vring.fetch(16, into: batch, .deviceWrites)
          guard end < batch.count else { break }
        }
        room &+= unsafe UInt64(batch.chains[end].byteCount)
        end &+= 1
        if !mergeable { break }
      }
      if room < needed {
        if end > used, !mergeable || end &- used >= vring.size {
          // No buffer of this guest will ever be large enough.
          burst.transmitFailed(index, slot: slot, .transmitTooLong)
          position &+= 1
          continue
        }
        if !batch.hasRoom, used > 0 {
          // The batch is full, not the ring: give back what is filled and go on.
          vring.complete(batch, count: used)
          completed &+= used
          used = 0
          continue
        }
        break
      }
      let start = unsafe burst.pool.frame(index) - header
      var offload = burst.pool[index].offload
      offload.flags &= flagMask
      unsafe offload.encode(to: start)
      if header == 12 {
        unsafe start.storeBytes(of: UInt16(truncatingIfNeeded: end &- used), toByteOffset: 10, as: UInt16.self)
      }
      unsafe VhostUserPort.fill(batch, from: used, to: end, start, Int(needed))
      used = end
      position &+= 1
      burst.transmitted(index, slot: slot)
    }
    vring.complete(batch, count: used)
    completed &+= used
    if completed > 0, let call = queue.call, vring.wantsCall(completed: completed) { coflow_event_signal(call.number) }
    if queue.memory.view.isShrunk { vring.fail(.memoryShrunk) }
    if vring.fault != nil || queue.iotlb != nil { report(queue) }
    return position
  }

  /// Copies `byteCount` bytes into chains that have room for them, and notes what each got.
  @inline(__always)
  private static func fill(
    _ batch: ChainBatch, from: Int, to: Int, _ bytes: UnsafeMutableRawPointer, _ byteCount: Int
  ) {
    let first = unsafe batch.chains + from
    if to &- from == 1, unsafe first.pointee.segmentCount == 1 {
      unsafe coflow_copy(batch.segments[Int(first.pointee.firstSegment)].host, bytes, UInt64(byteCount))
      unsafe first.pointee.writtenByteCount = UInt32(truncatingIfNeeded: byteCount)
      return
    }
    var offset = 0
    for position in from..<to {
      let chain = unsafe batch.chains + position
      var written = 0
      var segment = unsafe batch.segments + Int(chain.pointee.firstSegment)
      for _ in 0..<(unsafe chain.pointee.segmentCount) {
        let part = unsafe min(Int(segment.pointee.byteCount), byteCount &- offset)
        if part <= 0 { break }
        unsafe coflow_copy(segment.pointee.host, bytes + offset, UInt64(part))
        offset &+= part
        written &+= part
        unsafe segment += 1
      }
      unsafe chain.pointee.writtenByteCount = UInt32(truncatingIfNeeded: written)
    }
  }
}
