// From the guest: its transmit queues' packets into the pool, short ones whole, of long ones the first bytes (the others are
// copied once, into their receiver: Memory/ExternalPart.swift). Thread: the worker. Every chain taken is given back before
// the round ends, in order.
// Standard: virtio 1.2 §5.1.6.2.

import COFlow
import VSwitchCore

extension VhostUserPort {
  func receiveBurst(_ worker: Worker) {
    if !injected.isEmpty { receiveInjected(worker) }
    if isHolding, transmitQueues.contains(where: { $0.vring.hasAvailable }) { worker.burst.markDirty(slot) }
    let count = receiveQueues.count
    guard count > 0 else { return }
    let burst = worker.burst
    var left = min(burstLimit, unsafe Burst.packetLimit &- burst.state.pointee.pendingCount)
    var position = nextQueue < count ? nextQueue : 0
    nextQueue = position &+ 1
    for _ in 0..<count {
      guard left > 0 else { return }
      left &-= receive(receiveQueues[position], left, worker)
      position = position &+ 1 == count ? 0 : position &+ 1
    }
  }

  /// Takes up to `limit` packets of one queue.
  /// - Returns: how many came.
  @inline(__always)
  private func receive(_ queue: GuestQueue, _ limit: Int, _ worker: Worker) -> Int {
    let vring = queue.vring
    guard let batch = queue.batch, queue.lentCount == 0 else { return 0 }
    vring.fetch(limit, into: batch, .deviceReads)
    let count = batch.count
    guard count > 0 else {
      if vring.fault != nil || queue.iotlb != nil { report(queue, worker.burst) }
      return 0
    }
    if queue.isDiscarding {
      discard(queue, batch, count, worker.burst)
      return count
    }
    var hasLent = false
    let taken = takeChains(queue, batch, count, vring, worker.burst, hasLent: &hasLent)
    if hasLent {
      queue.lentCount = taken
      worker.finishLater(self)
    } else {
      giveBack(queue, batch, taken, worker.burst)
    }
    return taken
  }

  @inline(__always)
  private func giveBack(_ queue: GuestQueue, _ batch: ChainBatch, _ count: Int, _ burst: Burst) {
    let vring = queue.vring
    vring.complete(batch, count: count)
    if count > 0, queue.call != nil, vring.wantsCall(completed: count) { call(queue) }
    if queue.memory.view.isShrunk { vring.fail(.memoryShrunk) }
    if vring.fault != nil || queue.iotlb != nil { report(queue, burst) }
  }

  /// What a disabled queue's driver sends nevertheless is not let in (vhost-user, "Ring states").
  @inline(never)
  private func discard(_ queue: GuestQueue, _ batch: ChainBatch, _ count: Int, _ burst: Burst) {
    let counters = unsafe burst.counters + Int(slot)
    for position in 0..<count {
      let byteCount = unsafe UInt64(max(Int(batch.chains[position].byteCount) - queue.headerByteCount, 0))
      unsafe counters.pointee.receivedPackets &+= 1
      unsafe counters.pointee.receivedBytes &+= byteCount
      unsafe counters.pointee.receiveDrops[Int(DropReason.queueDisabled.rawValue)] &+= 1
      unsafe burst.ruleCounts[Int(slot)].packets &+= 1
      unsafe burst.ruleCounts[Int(slot)].bytes &+= byteCount
    }
    giveBack(queue, batch, count, burst)
  }

  func giveBackLent(_ worker: Worker) {
    let pool = worker.burst.pool
    for queue in receiveQueues where queue.lentCount > 0 {
      guard let batch = queue.batch else { continue }
      // What waits for a slow receiver can't keep its sender's buffers.
      for position in 0..<queue.lentCount {
        let index = unsafe queue.lent[position]
        guard index != Packet.none, pool[index].references > 0, pool[index].externalByteCount > 0,
          unsafe isOf(pool.externals[Int(index)], batch, position)
        else { continue }
        pool.gather(index)
      }
      let count = queue.lentCount
      queue.lentCount = 0
      giveBack(queue, batch, count, worker.burst)
    }
  }

  /// Whether an external part is in a chain: the packet's number may have been used again for another packet.
  private func isOf(_ part: ExternalPart, _ batch: ChainBatch, _ position: Int) -> Bool {
    let chain = unsafe batch.chains + position
    let first = unsafe batch.segments + Int(chain.pointee.firstSegment)
    return unsafe part.segment >= first && part.segment < first + Int(chain.pointee.segmentCount)
  }

  /// Takes the packets of the batch's chains into the pool: short ones whole, of long ones the first bytes.
  /// - Returns: how many chains are done with; the rest had no buffer, or broke a rule.
  @inline(__always)
  private func takeChains(
    _ queue: GuestQueue, _ batch: ChainBatch, _ count: Int, _ vring: Vring, _ burst: Burst, hasLent: inout Bool
  ) -> Int {
    let header = queue.headerByteCount
    let slot = slot
    let pool = burst.pool
    let lent = unsafe queue.lent
    for position in 0..<count {
      let start = unsafe batch.segments[Int(batch.chains[position].firstSegment)].host
      let byteCount = unsafe Int(batch.chains[position].byteCount)
      unsafe coflow_prefetch(start)
      // A short one's header mostly ends one line and its frame begins the next. A long one's other lines are fetched by the
      // processor itself, once it has seen a few in a row.
      if byteCount > VhostUserPort.copyLimit {
        for line in 1...3 { unsafe coflow_prefetch(start + line * 64) }
      } else if byteCount > 0 {
        unsafe coflow_prefetch(start + (byteCount &- 1))
      }
    }
    for position in 0..<count {
      let chain = unsafe batch.chains + position
      let byteCount = unsafe Int(chain.pointee.byteCount)
      guard byteCount > header, byteCount <= header &+ PacketPool.frameLimit else {
        vring.fail(byteCount > header ? .frameTooLong : .headerIncomplete)
        return position
      }
      guard let index = pool.allocate() else { return position }
      unsafe lent[position] = Packet.none
      // Header and frame behind each other, so that a packet in one buffer is one copy.
      let start = unsafe pool.frame(index) - header
      let segment = unsafe batch.segments + Int(chain.pointee.firstSegment)
      pool[index].byteCount = UInt32(truncatingIfNeeded: byteCount &- header)
      if byteCount > VhostUserPort.copyLimit {
        unsafe takeLong(index, start, segment, byteCount, pool)
        unsafe lent[position] = index
        hasLent = true
      } else if unsafe chain.pointee.segmentCount == 1 {
        unsafe coflow_copy(start, segment.pointee.host, UInt64(byteCount))
      } else {
        unsafe VhostUserPort.copyOut(segment, start, byteCount)
      }
      var offload = unsafe OffloadMetadata(decoding: UnsafeRawPointer(start))
      // "Checksum verified" is not a guest's to say.
      offload.flags &= OffloadMetadata.needsChecksum
      pool[index].offload = offload
      burst.received(index, slot: slot)
    }
    return count
  }

  /// Copies the first bytes of a long packet and leaves the others where they are.
  @inline(never)
  private func takeLong(
    _ index: PacketIndex, _ start: UnsafeMutableRawPointer, _ first: UnsafeMutablePointer<GuestSegment>,
    _ byteCount: Int, _ pool: PacketPool
  ) {
    let linear = VhostUserPort.linearLimit
    var segment = unsafe first
    var offset = 0
    while true {
      let count = unsafe min(Int(segment.pointee.byteCount), linear &- offset)
      unsafe coflow_copy(start + offset, segment.pointee.host, UInt64(count))
      offset &+= count
      if offset == linear {
        let isAll = unsafe count == Int(segment.pointee.byteCount)
        let part = unsafe ExternalPart(
          segment: isAll ? segment + 1 : segment, offset: isAll ? 0 : UInt32(truncatingIfNeeded: count))
        pool.setExternal(index, part, byteCount: byteCount &- linear)
        return
      }
      unsafe segment += 1
    }
  }

  @inline(never)
  private static func copyOut(
    _ first: UnsafeMutablePointer<GuestSegment>, _ start: UnsafeMutableRawPointer, _ byteCount: Int
  ) {
    var segment = unsafe first
    var offset = 0
    while offset < byteCount {
      let part = unsafe Int(segment.pointee.byteCount)
      unsafe coflow_copy(start + offset, segment.pointee.host, UInt64(part))
      offset &+= part
      unsafe segment += 1
    }
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
}
