// Frames that the kernel writes where the switch can read them, without a call for each burst. The sender's core does the
// copy then, and an empty ring costs a load. Frames longer than a place of the ring (segments that are still to be cut)
// are in the socket's queue; their place says when it is their turn. Standard: packet(7), PACKET_RX_RING.
//
// Thread: the worker that owns the port. Memory: shared with the kernel, which is trusted; unmapped by `close`.

import COFlow

/// The receive ring of a packet socket.
@safe struct PacketRing {
  /// What came of a look at the front of the ring.
  enum Taken {
    case nothing
    /// Bytes of virtio header and frame; `tag`: TPID << 16 | TCI if the kernel took a VLAN tag off.
    case frame(byteCount: Int, tag: UInt32?)
    /// It is the next frame of the socket's queue, from which it is to be read before `release`.
    case queued
    /// It fitted nowhere.
    case lost
  }

  private var ring: coflow_packet_ring
  private var next: UInt32 = 0

  init(_ ring: coflow_packet_ring) { unsafe self.ring = unsafe ring }

  /// False if the kernel gave no ring: everything comes by the socket's queue.
  var isOpen: Bool { unsafe ring.memory != nil }

  /// Copies the frame at the front to `room`, header first, and gives its place back; what is queued stays at the front.
  @inline(__always)
  mutating func take(into room: UnsafeMutableRawBufferPointer) -> Taken {
    var bytes: UnsafePointer<UInt8>?
    var byteCount: UInt32 = 0
    var tag: UInt64 = 0
    switch unsafe coflow_packet_ring_look(&ring, next, &bytes, &byteCount, &tag) {
    case COFLOW_FRAME_NONE: return .nothing
    case COFLOW_FRAME_QUEUED: return .queued
    case COFLOW_FRAME_WHOLE:
      guard let bytes = unsafe bytes, let place = room.baseAddress, Int(byteCount) <= room.count else { break }
      unsafe coflow_copy(place, bytes, UInt64(byteCount))
      release()
      return .frame(byteCount: Int(byteCount), tag: tag == 0 ? nil : UInt32(truncatingIfNeeded: tag))
    default: break
    }
    release()
    return .lost
  }

  /// How many frames from the front on, `limit` at most, are in the socket's queue.
  mutating func queuedCount(limit: Int) -> Int {
    var count = 0
    var bytes: UnsafePointer<UInt8>?
    var byteCount: UInt32 = 0
    var tag: UInt64 = 0
    while count < limit,
      unsafe coflow_packet_ring_look(&ring, next &+ UInt32(count), &bytes, &byteCount, &tag) == COFLOW_FRAME_QUEUED
    { count &+= 1 }
    return count
  }

  /// Gives the front back to the kernel.
  @inline(__always)
  mutating func release() {
    unsafe coflow_packet_ring_release(&ring, next)
    next &+= 1
  }

  mutating func close() { unsafe coflow_packet_ring_close(&ring) }
}
