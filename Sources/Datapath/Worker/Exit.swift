// Between a transmit queue and its port: work that the port can't take is done here, in software, so that what a
// receiver gets is right whatever sender and receiver can do. Thread: worker.

import VSwitchCore

extension Burst {
  /// Most packets that `exit` holds: a full queue and the segments that the pool has room for.
  static var exitLimit: Int { 4096 }

  /// Moves what has to leave through a port from its queue to `exit`: mostly the packets themselves, else copies with
  /// their checksum finished, or their segments. Each carries a reference.
  /// - Parameter takesExternal: the port sends external bytes from where they are; for others they are gathered.
  /// - Returns: how many are in `exit`.
  @inline(__always)
  func takeExit(
    _ queue: TransmitQueue, slot: UInt16, capabilities: OffloadCapabilities, takesExternal: Bool = false
  ) -> Int {
    let count = queue.count
    var taken = 0
    for position in 0..<count {
      let index = queue[position]
      if !takesExternal, pool[index].externalByteCount != 0 { pool.gather(index) }
      if pool[index].offload.isComplete {
        unsafe exit[taken] = index
        taken &+= 1
      } else {
        taken = finishForExit(index, slot: slot, capabilities, taken)
      }
    }
    queue.removeFirst(count)
    return taken
  }

  @inline(never)
  private func finishForExit(
    _ index: PacketIndex, slot: UInt16, _ capabilities: OffloadCapabilities, _ taken: Int
  ) -> Int {
    let metadata = pool[index].offload
    if pool[index].externalByteCount != 0 {
      // Untouched segments are what external bytes are for; all other work needs them here. Headers that go on behind
      // what is here can't be looked at either.
      let verdict = unsafe classify(
        frame: UnsafeRawBufferPointer(pool.bytes(index)), metadata: metadata, exit: capabilities)
      if verdict != .passThrough || Int(metadata.checksumStart) &+ 64 > pool.linearByteCount(index) {
        pool.gather(index)
      }
    }
    switch unsafe classify(
      frame: UnsafeRawBufferPointer(pool.bytes(index)), metadata: metadata, exit: capabilities)
    {
    case .passThrough:
      unsafe exit[taken] = index
      return taken &+ 1
    case .finishChecksum:
      guard let own = exclusive(index, slot: slot) else { return taken }
      guard unsafe finishChecksum(frame: pool.bytes(own), metadata: &pool[own].offload) else {
        transmitFailed(own, slot: slot, .badOffload)
        return taken
      }
      unsafe exit[taken] = own
      return taken &+ 1
    case .segment: return segment(index, slot: slot, taken)
    case .drop:
      transmitFailed(index, slot: slot, .badOffload)
      return taken
    }
  }

  /// The packet itself if no other queue needs it, else a copy that may be changed.
  private func exclusive(_ index: PacketIndex, slot: UInt16) -> PacketIndex? {
    if pool[index].references == 1 { return index }
    guard let copy = copy(index) else {
      transmitFailed(index, slot: slot, .noBuffer)
      return nil
    }
    release(index)
    return copy
  }

  private func segment(_ index: PacketIndex, slot: UInt16, _ taken: Int) -> Int {
    let frame = unsafe UnsafeRawBufferPointer(pool.bytes(index))
    let metadata = pool[index].offload
    if metadata.segmentationType == OffloadMetadata.gsoUFO {
      guard var cutter = unsafe Fragmenter(frame: frame, metadata: metadata, identification: nextIdentification())
      else { return refuse(index, slot: slot, taken) }
      return cut(index, &cutter, slot: slot, taken)
    }
    guard var cutter = unsafe Segmenter(frame: frame, metadata: metadata) else {
      return refuse(index, slot: slot, taken)
    }
    return cut(index, &cutter, slot: slot, taken)
  }

  private func refuse(_ index: PacketIndex, slot: UInt16, _ taken: Int) -> Int {
    transmitFailed(index, slot: slot, .badOffload)
    return taken
  }

  /// A number for a datagram in fragments, which others can't guess (RFC 7739).
  private func nextIdentification() -> UInt32 {
    // splitmix64 over a seed of this run's.
    unsafe state.pointee.identificationState &+= 0x9e37_79b9_7f4a_7c15
    var value = unsafe state.pointee.identificationState
    value = (value ^ value &>> 30) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ value &>> 27) &* 0x94d0_49bb_1331_11eb
    return UInt32(truncatingIfNeeded: value ^ value &>> 31)
  }

  private func cut<Cutter: FrameCutter>(
    _ index: PacketIndex, _ segments: inout Cutter, slot: UInt16, _ taken: Int
  ) -> Int {
    guard segments.largestSegmentByteCount <= PacketPool.frameLimit else {
      return refuse(index, slot: slot, taken)
    }
    // Half a TCP segment helps nobody: all or nothing.
    guard pool.available > segments.segmentCount, taken &+ segments.segmentCount < Burst.exitLimit / 2 else {
      transmitFailed(index, slot: slot, .noBuffer)
      return taken
    }
    var end = taken
    for _ in 0..<segments.segmentCount {
      guard let segment = allocateFollower(of: index) else { break }
      let byteCount = unsafe segments.next(into: pool.room(segment)) ?? 0
      pool[segment].byteCount = UInt32(truncatingIfNeeded: byteCount)
      unsafe exit[end] = segment
      end &+= 1
    }
    release(index)
    return end
  }
}
