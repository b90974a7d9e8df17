// To the guest: packets into the buffers of its receive queues, spread over several where it takes that. Thread: the worker.
// Invariant: every packet of a flush ends as sent, dropped for a reason, or kept for the next flush, of which there are few.
// Standard: virtio 1.2 §5.1.6.3, §5.1.6.4.

import COFlow
import VSwitchCore

extension VhostUserPort {
  func transmitBurst(_ worker: Worker, _ queue: TransmitQueue) {
    let burst = worker.burst
    guard let first = transmitQueues.first else {
      for position in 0..<queue.count { burst.transmitFailed(queue[position], slot: slot, .transmitLinkDown) }
      queue.removeFirst(queue.count)
      return
    }
    let count = burst.takeExit(queue, slot: slot, capabilities: first.capabilities, takesExternal: true)
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
    steering.sort(burst, count: count, queueCount: queueCount)
    var start = 0
    var progressed = false
    var hasHeld = false
    for choice in 0..<queueCount {
      let end = steering.end(choice)
      let sent = send(transmitQueues[choice], from: start, to: end, burst)
      if sent > start { progressed = true }
      if sent < end { hasHeld = true }
      steering.setSent(choice, sent)
      start = end
    }
    guard hasHeld else {
      stalledSince = nil
      return
    }
    for choice in 0..<queueCount {
      hold(queue, from: steering.sent(choice), to: steering.end(choice), progressed: progressed, worker)
    }
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
      report(queue, burst)
      return to
    }
    vring.fetch(to &- from, into: batch, .deviceWrites)
    for position in 0..<batch.count {
      let start = unsafe batch.segments[Int(batch.chains[position].firstSegment)].host
      unsafe coflow_prefetch_write(start)
      guard position < to &- from else { continue }
      let byteCount = unsafe Int(burst.pool[burst.exit[from &+ position]].byteCount) &+ header
      if byteCount > VhostUserPort.copyLimit {
        for line in 1...3 { unsafe coflow_prefetch_write(start + line * 64) }
      } else {
        unsafe coflow_prefetch_write(start + (byteCount &- 1))
      }
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
      if burst.pool[index].externalByteCount == 0 {
        unsafe VhostUserPort.fill(batch, from: used, to: end, start, Int(needed))
      } else {
        unsafe VhostUserPort.fillExternal(
          batch, from: used, to: end, start, linear: burst.pool.linearByteCount(index) &+ header, Int(needed),
          burst.pool.externals[Int(index)])
      }
      used = end
      position &+= 1
      burst.transmitted(index, slot: slot)
    }
    vring.complete(batch, count: used)
    completed &+= used
    if completed > 0, queue.call != nil, vring.wantsCall(completed: completed) { call(queue) }
    if queue.memory.view.isShrunk { vring.fail(.memoryShrunk) }
    if vring.fault != nil || queue.iotlb != nil { report(queue, burst) }
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

  /// The same for a packet of which the last bytes are still in its sender's segments: the one copy.
  @inline(never)
  private static func fillExternal(
    _ batch: ChainBatch, from: Int, to: Int, _ bytes: UnsafeMutableRawPointer, linear: Int, _ byteCount: Int,
    _ part: ExternalPart
  ) {
    let first = unsafe batch.chains + from
    let external = byteCount &- linear
    // Mostly one buffer is given and one is taken.
    if to &- from == 1, unsafe first.pointee.segmentCount == 1,
      unsafe external <= Int(part.segment.pointee.byteCount) &- Int(part.offset)
    {
      let place = unsafe batch.segments[Int(first.pointee.firstSegment)].host
      unsafe coflow_copy(place, bytes, UInt64(linear))
      unsafe coflow_copy(place + linear, part.segment.pointee.host + Int(part.offset), UInt64(external))
      unsafe first.pointee.writtenByteCount = UInt32(truncatingIfNeeded: byteCount)
      return
    }
    var source = UnsafeRawPointer(bytes)
    var sourceLeft = linear
    var next = unsafe part.segment
    var nextOffset = Int(part.offset)
    var left = byteCount
    for position in from..<to {
      let chain = unsafe batch.chains + position
      var written = 0
      var segment = unsafe batch.segments + Int(chain.pointee.firstSegment)
      for _ in 0..<(unsafe chain.pointee.segmentCount) where left > 0 {
        var room = unsafe Int(segment.pointee.byteCount)
        var place = unsafe segment.pointee.host
        while room > 0, left > 0 {
          if sourceLeft == 0 {
            unsafe source = UnsafeRawPointer(next.pointee.host + nextOffset)
            unsafe sourceLeft = Int(next.pointee.byteCount) &- nextOffset
            nextOffset = 0
            unsafe next += 1
          }
          let count = min(room, sourceLeft, left)
          unsafe coflow_copy(place, source, UInt64(count))
          unsafe source += count
          unsafe place += count
          sourceLeft &-= count
          room &-= count
          left &-= count
          written &+= count
        }
        unsafe segment += 1
      }
      unsafe chain.pointee.writtenByteCount = UInt32(truncatingIfNeeded: written)
    }
  }
}
