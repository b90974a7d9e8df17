// A tap device: what the kernel's stack (or a QEMU with a tap) sends comes in as reads, what is written reaches it,
// with a virtio header, so that 64 KB segments cross whole.
//
// Many packets go through the worker's engine, in one system call; a few are read and written directly: in io_uring a
// read that finds nothing costs a microsecond (measured: five times a read(2) that finds nothing). A long packet of a guest's
// is written at once from where it is: headers from the pool, where nobody can change them any more, the rest from the guest's
// memory, which the kernel copies before it looks at anything.
// Standard: Documentation/networking/tuntap.rst.

import COFlow
import Glibc
import VSwitchCore

/// The rx and tx queue of a tap.
@safe final class TapPort: PortIO {
  /// External bytes from which on a packet is worth a system call of its own instead of a copy.
  private static let partsLimit: UInt32 = 4096
  private static let partCountLimit = 64
  /// Of the packet that is written.
  private let parts: UnsafeMutablePointer<iovec>

  override init(slot: UInt16, descriptor: Int32, capabilities: OffloadCapabilities) {
    unsafe parts = .allocate(capacity: TapPort.partCountLimit)
    super.init(slot: slot, descriptor: descriptor, capabilities: capabilities)
  }

  deinit { unsafe parts.deallocate() }

  override var readsByEngine: Bool { true }

  override func receive(_ worker: Worker) {
    guard readTarget <= PortIO.fewPackets else {
      worker.engine.stageReads(self, count: readTarget, worker)
      return
    }
    let pool = worker.burst.pool
    for _ in 0..<readTarget {
      guard let index = pool.allocate() else { return }
      let room = unsafe pool.roomWithHeader(index)
      let result = unsafe coflow_read(descriptor, room.baseAddress, UInt(room.count))
      worker.readDone(index, slot: slot, result: result)
      if result < 0 { return }
    }
  }

  override func transmit(_ worker: Worker, _ queue: TransmitQueue) {
    // A write that has to wait comes back to the queue.
    var count = worker.burst.takeExit(queue, slot: slot, capabilities: capabilities, takesExternal: true)
    count = writeExternal(worker, count)
    guard count <= PortIO.fewPackets else {
      worker.engine.stageWrites(self, count: count, worker)
      return
    }
    for position in 0..<count {
      let index = unsafe worker.burst.exit[position]
      let bytes = unsafe worker.burst.pool.bytesWithHeader(index)
      let result = unsafe coflow_write(descriptor, bytes.baseAddress, UInt(bytes.count))
      worker.writeDone(index, slot: slot, result: result)
    }
  }

  /// Writes the long packets of `exit` that are in parts; of others the parts are put together.
  /// - Returns: how many are left in `exit`.
  @inline(__always)
  private func writeExternal(_ worker: Worker, _ count: Int) -> Int {
    let burst = worker.burst
    var left = 0
    for position in 0..<count {
      let index = unsafe burst.exit[position]
      let external = burst.pool[index].externalByteCount
      if external != 0 {
        // One that waits already must not be passed by its followers.
        if external >= TapPort.partsLimit, left == 0, !isWaitingToSend, let result = writeParts(burst.pool, index) {
          worker.writeDone(index, slot: slot, result: result)
          continue
        }
        burst.pool.gather(index)
      }
      unsafe burst.exit[left] = index
      left &+= 1
    }
    return left
  }

  /// - Returns: nil if there are too many parts.
  @inline(never)
  private func writeParts(_ pool: PacketPool, _ index: PacketIndex) -> Int? {
    var left = Int(pool[index].externalByteCount)
    let head = unsafe pool.bytesWithHeader(index)
    unsafe parts[0] = iovec(
      iov_base: UnsafeMutableRawPointer(mutating: head.baseAddress), iov_len: head.count &- left)
    let part = unsafe pool.externals[Int(index)]
    var segment = unsafe part.segment
    var offset = Int(part.offset)
    var count = 1
    while left > 0 {
      guard count < TapPort.partCountLimit else { return nil }
      let byteCount = unsafe min(left, Int(segment.pointee.byteCount) &- offset)
      unsafe parts[count] = iovec(iov_base: segment.pointee.host + offset, iov_len: byteCount)
      count &+= 1
      left &-= byteCount
      offset = 0
      unsafe segment += 1
    }
    return unsafe coflow_write_parts(descriptor, parts, Int32(count))
  }

  override func close() { _ = Glibc.close(descriptor) }
}
