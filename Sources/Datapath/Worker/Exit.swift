// Between a transmit queue and its port: work that the port can't take is done here, in software, so that what a
// receiver gets is right whatever sender and receiver can do. Thread: worker.

import VSwitchCore

extension Worker {
  /// Calls `send` with what has to leave through `port` for one queued packet: mostly the packet itself, else a copy
  /// with its checksum finished, or its segments. Each packet that `send` gets carries a reference.
  @inline(__always)
  func forExit(_ index: PacketIndex, _ port: PortIO, _ send: (PacketIndex) -> Void) {
    if burst.pool[index].offload.isComplete { send(index) } else { finishForExit(index, port, send) }
  }

  @inline(never)
  private func finishForExit(_ index: PacketIndex, _ port: PortIO, _ send: (PacketIndex) -> Void) {
    let pool = burst.pool
    let metadata = pool[index].offload
    switch unsafe classify(
      frame: UnsafeRawBufferPointer(pool.bytes(index)), metadata: metadata, exit: port.capabilities)
    {
    case .passThrough: send(index)
    case .finishChecksum:
      guard let own = exclusive(index, port) else { return }
      if unsafe finishChecksum(frame: pool.bytes(own), metadata: &pool[own].offload) {
        send(own)
      } else {
        burst.transmitFailed(own, slot: port.slot, .badOffload)
      }
    case .segment: sendSegments(index, port, send)
    case .drop: burst.transmitFailed(index, slot: port.slot, .badOffload)
    }
  }

  /// The packet itself if no other queue needs it, else a copy that may be changed.
  private func exclusive(_ index: PacketIndex, _ port: PortIO) -> PacketIndex? {
    if burst.pool[index].references == 1 { return index }
    guard let copy = burst.copy(index) else {
      burst.transmitFailed(index, slot: port.slot, .noBuffer)
      return nil
    }
    burst.release(index)
    return copy
  }

  private func sendSegments(_ index: PacketIndex, _ port: PortIO, _ send: (PacketIndex) -> Void) {
    let pool = burst.pool
    guard
      var segments = unsafe Segmenter(
        frame: UnsafeRawBufferPointer(pool.bytes(index)), metadata: pool[index].offload)
    else {
      burst.transmitFailed(index, slot: port.slot, .badOffload)
      return
    }
    // Half a TCP segment helps nobody: all or nothing.
    guard pool.available > segments.segmentCount else {
      burst.transmitFailed(index, slot: port.slot, .noBuffer)
      return
    }
    while let segment = burst.allocateFollower(of: index) {
      guard let byteCount = unsafe segments.next(into: pool.room(segment)) else {
        pool[segment].outcome = pool[index].outcome
        burst.release(segment)
        break
      }
      pool[segment].byteCount = UInt32(truncatingIfNeeded: byteCount)
      send(segment)
    }
    burst.release(index)
  }
}
