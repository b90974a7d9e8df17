// An existing link (a veth end, a NIC) by a packet socket: bursts by recvmmsg and sendmmsg, with virtio header, and
// the VLAN tag that the kernel took off put back from the control message. Standard: packet(7).

import COFlow
import Glibc
import VSwitchCore

/// The rx and tx queue of a packet socket.
@safe final class SystemPort: PortIO {
  private let calls: UnsafeMutablePointer<coflow_burst>
  private let lengths: UnsafeMutablePointer<UInt32>
  private let tags: UnsafeMutablePointer<UInt64>
  private let indices: UnsafeMutablePointer<PacketIndex>
  /// Buffers that wait for packets, filled up before each call.
  private var waiting = 0

  override init(slot: UInt16, descriptor: Int32, capabilities: OffloadCapabilities) {
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
    let pool = worker.burst.pool
    var wanted = 0
    let target = min(max(readTarget, 8), Int(COFLOW_BURST))
    while wanted < target, let index = pool.allocate() {
      let room = unsafe pool.roomWithHeader(index)
      unsafe indices[wanted] = index
      unsafe calls.pointee.vectors[wanted] = unsafe iovec(iov_base: room.baseAddress, iov_len: room.count)
      wanted &+= 1
    }
    let result = unsafe coflow_packet_receive(descriptor, calls, UInt32(wanted), lengths, tags)
    let received = max(Int(result), 0)
    for position in 0..<received {
      let index = unsafe indices[position]
      let length = unsafe lengths[position]
      if length == UInt32.max {
        pool.recycle(index)
        unsafe worker.burst.counters[Int(slot)].receiveErrors &+= 1
        continue
      }
      let tag = unsafe tags[position]
      if tag != 0, length >= 10 + 12 {
        restoreTag(pool, index, tag: UInt32(truncatingIfNeeded: tag))
        unsafe lengths[position] = length &+ 4
      }
      unsafe worker.readDone(index, slot: slot, result: Int(lengths[position]))
      if tag != 0 { pool[index].offload.moveHeaders(by: 4) }
    }
    // Newest first, so that the same buffers are used again.
    var position = wanted
    while position > received {
      position &-= 1
      pool.recycle(unsafe indices[position])
    }
    if result < 0, result != -EAGAIN { worker.readFailed(slot: slot, result: Int(result)) }
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
    // Segments of one packet may be more than a call takes: gather, send, go on.
    let pool = worker.burst.pool
    var taken = 0
    let count = queue.count
    var staged = 0
    while taken < count {
      worker.forExit(queue[taken], self) { index in
        if staged == Int(COFLOW_BURST) { staged = send(worker, queue, staged) }
        let bytes = unsafe pool.bytesWithHeader(index)
        unsafe indices[staged] = index
        unsafe calls.pointee.vectors[staged] = unsafe iovec(
          iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
        staged &+= 1
      }
      taken &+= 1
    }
    queue.removeFirst(count)
    if staged > 0 { _ = send(worker, queue, staged) }
  }

  /// Sends what is staged; what the kernel has no room for now goes back to the queue.
  /// - Returns: 0, how many are staged afterwards.
  private func send(_ worker: Worker, _ queue: TransmitQueue, _ staged: Int) -> Int {
    var done = 0
    var rest = staged
    while rest > 0 {
      let result = unsafe coflow_packet_send(descriptor, calls, UInt32(rest))
      let sent = max(Int(result), 0)
      for position in 0..<sent { worker.burst.transmitted(unsafe indices[done &+ position], slot: slot) }
      done &+= sent
      rest &-= sent
      if result <= 0, rest > 0 {
        let index = unsafe indices[done]
        if result == -EAGAIN || result == -ENOBUFS {
          for position in done..<(done &+ rest) {
            let kept = unsafe indices[position]
            if !queue.append(kept) { worker.burst.transmitFailed(kept, slot: slot, .transmitQueueFull) }
          }
          if result == -EAGAIN { worker.waitToSend(self) } else { worker.burst.markDirty(slot) }
          return 0
        }
        worker.burst.transmitFailed(index, slot: slot, DropReason(transmitErrno: -Int(result)))
        done &+= 1
        rest &-= 1
      }
      // The call always takes from the front of its vectors.
      if rest > 0 {
        for position in 0..<rest { unsafe calls.pointee.vectors[position] = calls.pointee.vectors[done &+ position] }
        for position in 0..<rest { unsafe indices[position] = indices[done &+ position] }
        done = 0
      }
    }
    return 0
  }

  override func close() { _ = Glibc.close(descriptor) }
}
