// The rest of a long packet that is still in its sender's memory: a guest's buffers are copied once, straight into the
// receiver's, if that is a guest too. What is parsed is always in the pool's buffer, where nobody else can change it.
//
// Thread: one worker. Memory: the segments are those of a burst's descriptor chains, which are given back to the sender at
// the end of the round in which they came; until then whoever needs the bytes elsewhere calls `gather`, and at the end
// the port does for every packet that is still waiting. So no packet has an external part between two rounds.

import COFlow

/// Where the last bytes of a packet are.
@safe struct ExternalPart {
  /// The segment in which they begin; the others follow it.
  var segment: UnsafeMutablePointer<GuestSegment>
  /// Bytes of that segment that are not theirs.
  var offset: UInt32
}

extension PacketPool {
  /// Bytes of the frame that are in the buffer: from its start, all but the external ones.
  @inline(__always)
  func linearByteCount(_ index: PacketIndex) -> Int {
    unsafe Int(packets[Int(index)].byteCount &- packets[Int(index)].externalByteCount)
  }

  /// Notes that the last `byteCount` bytes of a frame are elsewhere.
  @inline(__always)
  func setExternal(_ index: PacketIndex, _ part: ExternalPart, byteCount: Int) {
    unsafe externals[Int(index)] = part
    unsafe packets[Int(index)].externalByteCount = UInt32(truncatingIfNeeded: byteCount)
  }

  /// Copies a packet's external bytes behind the others, so that the frame is whole in its buffer.
  @inline(never)
  func gather(_ index: PacketIndex) {
    var left = unsafe Int(packets[Int(index)].externalByteCount)
    var place = unsafe frame(index) + linearByteCount(index)
    let part = unsafe externals[Int(index)]
    var segment = unsafe part.segment
    var offset = Int(part.offset)
    while left > 0 {
      let count = unsafe min(left, Int(segment.pointee.byteCount) &- offset)
      unsafe coflow_copy(place, segment.pointee.host + offset, UInt64(count))
      unsafe place += count
      left &-= count
      offset = 0
      unsafe segment += 1
    }
    unsafe packets[Int(index)].externalByteCount = 0
  }
}
