// An existing link (a veth end, a NIC) by a packet socket: bursts from the ring that the kernel writes to (long frames by
// recvmmsg) and by sendmmsg, with virtio header, and the VLAN tag that the kernel took off put back. Standard: packet(7).

import COFlow
import Glibc
import VSwitchCore

/// The rx and tx queue of a packet socket.
@safe final class SystemPort: PortIO {
  @safe @exclusivity(unchecked) private var ring: PacketRing
  private let calls: UnsafeMutablePointer<coflow_burst>
  private let lengths: UnsafeMutablePointer<UInt32>
  private let tags: UnsafeMutablePointer<UInt64>
  private let indices: UnsafeMutablePointer<PacketIndex>
  /// Sends in a row that the kernel refused for want of room.
  private var refusalCount = 0
  /// How many of the next sends leave no offload to the link.
  private var softwareSendCount = 0
  // A link whose own offloads are off (ethtool) refuses frames that need them just as if it had no room, for a socket
  // that bypasses the queueing discipline also bypasses the kernel's segmentation. So after a few refusals the work is
  // done here, for a while: the link may have been full after all, or get its offloads back.
  private static let refusalsUntilSoftware = 16
  private static let softwareSends = 1024
  /// A link that takes nothing for so many sends loses a packet of the queue each time.
  private static let refusalsUntilDrop = 4096

  init(slot: UInt16, descriptor: Int32, ring: PacketRing, capabilities: OffloadCapabilities) {
    self.ring = ring
    let limit = Int(COFLOW_BURST)
    unsafe calls = .allocate(capacity: 1)
    unsafe calls.initialize(to: coflow_burst())
    unsafe coflow_burst_create(calls)
    unsafe lengths = .allocate(capacity: limit)
    unsafe tags = .allocate(capacity: limit)
    unsafe indices = .allocate(capacity: limit)
    super.init(slot: slot, descriptor: descriptor, capabilities: capabilities)
  }

  deinit {
    unsafe coflow_burst_destroy(calls)
    unsafe calls.deallocate()
    unsafe lengths.deallocate()
    unsafe tags.deallocate()
    unsafe indices.deallocate()
  }

  override func receive(_ worker: Worker) {
    let target = min(max(readTarget, 8), burstLimit, Int(COFLOW_BURST))
    if ring.isOpen { receiveFromRing(worker, target) } else { _ = receiveFromQueue(worker, target) }
  }

  private func receiveFromRing(_ worker: Worker, _ target: Int) {
    let pool = worker.burst.pool
    var position = 0
    while position < target, let index = pool.allocate() {
      let taken = unsafe ring.take(into: pool.roomWithHeader(index))
      if case .frame(let byteCount, let tag) = taken {
        received(worker, index, byteCount: byteCount, tag: tag)
        position &+= 1
        continue
      }
      pool.recycle(index)
      switch taken {
      case .queued:
        let count = receiveFromQueue(worker, ring.queuedCount(limit: target &- position))
        guard count > 0 else { return }
        for _ in 0..<count { ring.release() }
        position &+= count
      case .lost:
        unsafe worker.burst.counters[Int(slot)].receiveErrors &+= 1
        position &+= 1
      case .nothing, .frame:
        // The ring does not tell of a link that has gone; asked for once each time when packets cease to come.
        if position == 0, emptyRounds == 0 {
          let result = coflow_packet_error(descriptor)
          if result < 0 { worker.readFailed(slot: slot, result: Int(result)) }
        }
        return
      }
    }
  }

  /// - Returns: how many frames were taken from the socket's queue.
  private func receiveFromQueue(_ worker: Worker, _ target: Int) -> Int {
    let pool = worker.burst.pool
    var wanted = 0
    while wanted < target, let index = pool.allocate() {
      let room = unsafe pool.roomWithHeader(index)
      unsafe indices[wanted] = index
      unsafe calls.pointee.vectors[wanted] = unsafe iovec(iov_base: room.baseAddress, iov_len: room.count)
      wanted &+= 1
    }
    let result = unsafe coflow_packet_receive(descriptor, calls, UInt32(wanted), lengths, tags)
    let count = max(Int(result), 0)
    for position in 0..<count {
      let index = unsafe indices[position]
      let length = unsafe lengths[position]
      if length == UInt32.max {
        pool.recycle(index)
        unsafe worker.burst.counters[Int(slot)].receiveErrors &+= 1
        continue
      }
      let tag = unsafe tags[position]
      received(worker, index, byteCount: Int(length), tag: tag == 0 ? nil : UInt32(truncatingIfNeeded: tag))
    }
    // Newest first, so that the same buffers are used again.
    var position = wanted
    while position > count {
      position &-= 1
      pool.recycle(unsafe indices[position])
    }
    if result < 0, result != -EAGAIN { worker.readFailed(slot: slot, result: Int(result)) }
    return count
  }

  /// Takes a frame that was read, header first; `tag` is the one that the kernel keeps beside it.
  @inline(__always)
  private func received(_ worker: Worker, _ index: PacketIndex, byteCount: Int, tag: UInt32?) {
    guard let tag, byteCount >= OffloadMetadata.wireByteCount + 12 else {
      worker.readDone(index, slot: slot, result: byteCount)
      return
    }
    restoreTag(worker.burst.pool, index, tag: tag)
    worker.readDone(index, slot: slot, result: byteCount &+ 4)
    worker.burst.pool[index].offload.moveHeaders(by: 4)
  }

  /// Puts the tag back that the kernel keeps beside the frame: header and addresses move towards the headroom.
  private func restoreTag(_ pool: PacketPool, _ index: PacketIndex, tag: UInt32) {
    let room = unsafe pool.roomWithHeader(index)
    guard let header = room.baseAddress else { return }
    unsafe memmove(header - 4, header, OffloadMetadata.wireByteCount + 12)
    unsafe header.storeBytes(
      of: tag.bigEndian, toByteOffset: OffloadMetadata.wireByteCount + 12 - 4, as: UInt32.self)
    pool[index].start &-= 4
  }

  override func transmit(_ worker: Worker, _ queue: TransmitQueue) {
    let burst = worker.burst
    let count = burst.takeExit(queue, slot: slot, capabilities: softwareSendCount > 0 ? [] : capabilities)
    if softwareSendCount > 0 { softwareSendCount &-= 1 }
    var done = 0
    while done < count {
      let wanted = min(count &- done, Int(COFLOW_BURST))
      for position in 0..<wanted {
        let bytes = unsafe burst.pool.bytesWithHeader(burst.exit[done &+ position])
        unsafe calls.pointee.vectors[position] = unsafe iovec(
          iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
      }
      let result = unsafe coflow_packet_send(descriptor, calls, UInt32(wanted))
      let sent = max(Int(result), 0)
      for position in 0..<sent { burst.transmitted(unsafe burst.exit[done &+ position], slot: slot) }
      done &+= sent
      guard result <= 0 else {
        refusalCount = 0
        continue
      }
      if result == -EAGAIN || result == -ENOBUFS {
        if result == -ENOBUFS {
          refusalCount &+= 1
          if refusalCount == SystemPort.refusalsUntilSoftware, unsafe !burst.pool[burst.exit[done]].offload.isComplete {
            softwareSendCount = SystemPort.softwareSends
          }
          if refusalCount >= SystemPort.refusalsUntilDrop {
            refusalCount = 0
            burst.transmitFailed(unsafe burst.exit[done], slot: slot, .transmitQueueFull)
            done &+= 1
            continue
          }
        }
        keep(worker, queue, from: done, to: count)
        if result == -EAGAIN { worker.waitToSend(self) } else { burst.markDirty(slot) }
        return
      }
      burst.transmitFailed(unsafe burst.exit[done], slot: slot, DropReason(transmitErrno: -Int(result)))
      done &+= 1
    }
  }

  /// Puts back what the kernel has no room for now.
  private func keep(_ worker: Worker, _ queue: TransmitQueue, from first: Int, to end: Int) {
    for position in first..<end {
      let index = unsafe worker.burst.exit[position]
      if !queue.append(index) { worker.burst.transmitFailed(index, slot: slot, .transmitQueueFull) }
    }
  }

  override func close() {
    ring.close()
    _ = Glibc.close(descriptor)
  }
}
