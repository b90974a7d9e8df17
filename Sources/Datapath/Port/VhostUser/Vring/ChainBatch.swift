// Descriptor chains of one burst, copied out of the ring: what the guest writes there afterwards changes nothing here.
//
// Thread: one worker, or a test. Memory: fixed arrays, made by `init` and freed by `deallocate`. Invariant: every segment
// was translated whole, address and length, when it was put in.

/// Part of a guest's buffer in our address space.
@safe struct GuestSegment {
  var host: UnsafeMutableRawPointer
  /// Guest-physical address (or I/O virtual address), for the log of changed pages.
  var address: UInt64
  var byteCount: UInt32
}

/// One chain of descriptors.
struct GuestChain {
  /// What the used ring calls it.
  var identifier: UInt16
  /// Slots of the ring that it takes: 1 in a split ring.
  var slotCount: UInt16
  /// Bytes written into it by the device.
  var writtenByteCount: UInt32 = 0
  var firstSegment: UInt32
  var segmentCount: UInt32
  /// Of all its buffers.
  var byteCount: UInt32
}

/// Handle of a batch: copies name the same arrays.
@safe struct ChainBatch {
  static var chainLimit: Int { 1024 }
  static var segmentLimit: Int { 8192 }
  /// Most segments of one chain. Linux sends 19, DPDK's drivers fewer.
  static var chainSegmentLimit: Int { 1024 }

  struct Counts {
    var chains = 0
    var segments = 0
  }

  let chains: UnsafeMutablePointer<GuestChain>
  let segments: UnsafeMutablePointer<GuestSegment>
  let counts: UnsafeMutablePointer<Counts>

  init() {
    unsafe chains = .allocate(capacity: ChainBatch.chainLimit)
    unsafe segments = .allocate(capacity: ChainBatch.segmentLimit)
    unsafe counts = .allocate(capacity: 1)
    unsafe counts.initialize(to: Counts())
  }

  func deallocate() {
    unsafe chains.deallocate()
    unsafe segments.deallocate()
    unsafe counts.deallocate()
  }

  var count: Int { @inline(__always) get { unsafe counts.pointee.chains } }

  @inline(__always)
  func removeAll() { unsafe counts.pointee = Counts() }

  /// Room for one more chain of any length.
  @inline(__always)
  var hasRoom: Bool {
    unsafe counts.pointee.chains < ChainBatch.chainLimit
      && counts.pointee.segments <= ChainBatch.segmentLimit &- ChainBatch.chainSegmentLimit
  }
}
