// The packets of one worker: buffers for whole frames (a 64 KB TCP segment fits in one) and a record for each.
//
// Thread: one worker. Memory: one mapping made by `init` and unmapped by `deallocate`; pages are resident only once
// touched, and the free list hands out the most recently used buffer first, so that an idle or small-packet switch
// stays small. Invariant: a packet index is either in the free list with no references or in use with at least one.

import Glibc
import VSwitchCore

/// Number of a packet in its worker's pool.
public typealias PacketIndex = UInt32

/// What the switch knows of one packet.
public struct Packet {
  /// Where the frame begins in its buffer, bytes.
  @usableFromInline var start: UInt32 = 0
  /// Length of the frame, bytes.
  @usableFromInline var byteCount: UInt32 = 0
  /// How many of them, the last ones, are not in the buffer but still in a guest's memory (ExternalPart.swift).
  @usableFromInline var externalByteCount: UInt32 = 0
  /// Work that is left to do on the frame: checksum, segmentation.
  @usableFromInline var offload = OffloadMetadata()
  /// Slot of the port where it came in.
  @usableFromInline var inPort: UInt16 = 0
  /// Queues and steps that still need the packet.
  @usableFromInline var references: UInt32 = 0
  /// For a copy with other tags or a segment: the packet received, which waits for the copy's outcome; or `none`.
  @usableFromInline var origin: PacketIndex = Packet.none
  /// `undecided`, `delivered`, or the raw value of a DropReason.
  @usableFromInline var outcome: UInt8 = Packet.undecided
  /// Patch ports crossed.
  @usableFromInline var patchHops: UInt8 = 0
  /// Where patch ports were crossed: slot of the device's port where it came in first. (With it a packet's last eight bytes are reset
  /// by one store.)
  @usableFromInline var device: UInt16 = 0
  /// `pkt_mark`: what an action has set, here or in a bridge that the packet has come through; 0 as it comes from a device.
  @usableFromInline var mark: UInt32 = 0

  @usableFromInline static var none: PacketIndex { .max }
  @usableFromInline static var undecided: UInt8 { 0xff }
  @usableFromInline static var delivered: UInt8 { 0xfe }

  @usableFromInline init() {}
}

/// Handle of a pool: copies name the same pool.
@safe public struct PacketPool {
  /// Bytes free in front of a received frame: virtio header, VLAN tags.
  @usableFromInline static var headroom: Int { 128 }
  /// Longest frame: a 64 KB IP packet with Ethernet header and tags.
  @usableFromInline static var frameLimit: Int { 65_536 + 64 }
  /// Odd number of cache lines, so that the frames' first lines spread over the cache's sets.
  @usableFromInline static var stride: Int { 65_536 + 64 + 128 + 64 * 3 }

  @usableFromInline let memory: UnsafeMutableRawPointer
  @usableFromInline let packets: UnsafeMutablePointer<Packet>
  @usableFromInline let free: UnsafeMutablePointer<PacketIndex>
  @usableFromInline let freeCount: UnsafeMutablePointer<Int>
  /// Of packets with external bytes.
  let externals: UnsafeMutablePointer<ExternalPart>
  /// Packets in the pool.
  public let count: Int

  /// Maps a pool of `count` packets.
  init(count: Int) throws(ConfigError) {
    let byteCount = count * PacketPool.stride
    guard let mapped = unsafe LazyPages.map(byteCount: byteCount) else {
      throw ConfigError(cause: "no memory for \(count) packet buffers", remedy: "raise the memory limit of the service")
    }
    // Huge pages would make the whole pool resident at its first use.
    unsafe madvise(mapped, byteCount, MADV_NOHUGEPAGE)
    unsafe memory = mapped
    unsafe packets = .allocate(capacity: count)
    unsafe packets.initialize(repeating: Packet(), count: count)
    unsafe free = .allocate(capacity: count)
    unsafe freeCount = .allocate(capacity: 1)
    unsafe freeCount.initialize(to: count)
    unsafe externals = .allocate(capacity: count)
    for i in 0..<count { unsafe free[i] = PacketIndex(count - 1 - i) }
    self.count = count
  }

  /// Unmaps the pool; no copy of the handle may be used afterwards.
  func deallocate() {
    unsafe LazyPages.unmap(memory, byteCount: count * PacketPool.stride)
    unsafe packets.deallocate()
    unsafe free.deallocate()
    unsafe freeCount.deallocate()
    unsafe externals.deallocate()
  }

  /// Packets not in use.
  @inlinable public var available: Int { unsafe freeCount.pointee }

  /// Takes a packet with one reference and an empty frame at `headroom`; nil when all are in use.
  @inlinable @inline(__always)
  func allocate() -> PacketIndex? {
    let left = unsafe freeCount.pointee
    guard left > 0 else { return nil }
    unsafe freeCount.pointee = left &- 1
    let index = unsafe free[left &- 1]
    unsafe packets[Int(index)] = Packet()
    unsafe packets[Int(index)].start = UInt32(truncatingIfNeeded: PacketPool.headroom)
    unsafe packets[Int(index)].references = 1
    return index
  }

  /// Puts a packet back whose last reference is gone.
  @inlinable @inline(__always)
  func recycle(_ index: PacketIndex) {
    unsafe free[freeCount.pointee] = index
    unsafe freeCount.pointee &+= 1
  }

  /// The record of a packet in use.
  @inlinable subscript(_ index: PacketIndex) -> Packet {
    @inline(__always) unsafeAddress { unsafe UnsafePointer(packets + Int(index)) }
    @inline(__always) nonmutating unsafeMutableAddress { unsafe packets + Int(index) }
  }

  /// The frame's first byte.
  @inlinable @inline(__always)
  func frame(_ index: PacketIndex) -> UnsafeMutableRawPointer {
    unsafe memory + Int(index) &* PacketPool.stride + Int(packets[Int(index)].start)
  }

  /// The whole frame; of a packet with external bytes only `linearByteCount` are there.
  @inlinable @inline(__always)
  func bytes(_ index: PacketIndex) -> UnsafeMutableRawBufferPointer {
    unsafe UnsafeMutableRawBufferPointer(start: frame(index), count: Int(packets[Int(index)].byteCount))
  }

  /// Room for a frame from its start to the end of the buffer.
  @inlinable @inline(__always)
  func room(_ index: PacketIndex) -> UnsafeMutableRawBufferPointer {
    unsafe UnsafeMutableRawBufferPointer(start: frame(index), count: PacketPool.frameLimit)
  }

  /// Room for a header and the frame behind it, where ports with a virtio header read to.
  @inlinable @inline(__always)
  func roomWithHeader(_ index: PacketIndex) -> UnsafeMutableRawBufferPointer {
    unsafe UnsafeMutableRawBufferPointer(
      start: frame(index) - OffloadMetadata.wireByteCount,
      count: OffloadMetadata.wireByteCount + PacketPool.frameLimit)
  }

  /// Takes the header that a port read in front of the frame.
  /// - Parameter byteCount: bytes read, with the header.
  /// - Returns: false if the header is incomplete.
  @inlinable @inline(__always)
  func accept(_ index: PacketIndex, byteCount: Int) -> Bool {
    guard byteCount >= OffloadMetadata.wireByteCount else { return false }
    unsafe packets[Int(index)].byteCount = UInt32(truncatingIfNeeded: byteCount &- OffloadMetadata.wireByteCount)
    unsafe packets[Int(index)].offload = unsafe OffloadMetadata(
      decoding: UnsafeRawPointer(frame(index) - OffloadMetadata.wireByteCount))
    return true
  }

  /// Writes the header in front of the frame and returns both, for ports with a virtio header.
  @inlinable @inline(__always)
  func bytesWithHeader(_ index: PacketIndex) -> UnsafeRawBufferPointer {
    let start = unsafe frame(index) - OffloadMetadata.wireByteCount
    unsafe packets[Int(index)].offload.encode(to: start)
    return unsafe UnsafeRawBufferPointer(
      start: start, count: OffloadMetadata.wireByteCount &+ Int(packets[Int(index)].byteCount))
  }
}
