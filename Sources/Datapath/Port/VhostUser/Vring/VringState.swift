// One virtqueue as the device keeps it, for both layouts, and the handle by which the worker uses it.
//
// Thread: made by control code, then used by one worker until control code has taken it back. Memory: the state is freed by
// `deallocate`; ring pointers are into guest memory that whoever made the state keeps mapped. Invariants: pointers and size
// were checked together, so that every slot below `size` is inside; indices of ours are never read back from the ring.
// Between two bursts everything fetched has been given back, in order: so one position says where the ring stands.
// Standard: virtio 1.2 §2.7 (split), §2.8 (packed).

import COFlow

/// Where a ring stands: the next descriptor to take, which between two bursts is also the next to give back.
struct VringPosition: Equatable, Sendable {
  /// Split: free-running index. Packed: slot.
  var next: UInt16 = 0
  /// Packed: the wrap counter.
  var wrap = true
}

/// A virtqueue's parts and what was negotiated for it.
@safe struct VringState {
  /// Descriptor table or ring.
  var descriptors: UnsafeMutableRawPointer
  /// Available ring, or the driver's event suppression.
  var driverArea: UnsafeMutableRawPointer
  /// Used ring, or the device's event suppression.
  var deviceArea: UnsafeMutableRawPointer
  /// 1 to 32768; a power of two if split.
  var size: UInt32
  var isPacked = false
  var hasIndirect = false
  var hasEventIndex = false

  /// First descriptor that is not given back yet.
  var position = VringPosition()
  /// First descriptor that is not fetched yet.
  var cursor = VringPosition()
  /// The first rule broken; nothing is fetched any more.
  var fault: VhostUserFault?
  /// A virtual IOMMU took pages of the ring itself away: nothing of it is touched until `move`.
  var isSuspended = false
  /// Split with event index: the used index at the last decision about a call; nil: always call.
  var signalledUsed: UInt16?

  var addresses: GuestAddressSpace
  var log: DirtyLogView?
  /// Guest addresses of what the device writes, for the log.
  var descriptorsAddress: UInt64 = 0
  var deviceAreaAddress: UInt64 = 0
  /// Packed: where the position is kept for a switch that starts again.
  var record: UnsafeMutableRawPointer?
  /// The front-end's record of buffers in flight.
  var inflight: InflightRecord?
  /// What another process had taken; nil: nothing.
  var resubmissions: UnsafeMutablePointer<Resubmissions>?

  init(
    descriptors: UnsafeMutableRawPointer, driverArea: UnsafeMutableRawPointer, deviceArea: UnsafeMutableRawPointer,
    size: UInt32, addresses: GuestAddressSpace
  ) {
    unsafe self.descriptors = descriptors
    unsafe self.driverArea = driverArea
    unsafe self.deviceArea = deviceArea
    self.size = size
    self.addresses = addresses
  }
}

/// Where a ring's parts are, each of them checked whole.
@safe struct VringPlace: @unchecked Sendable {
  /// Descriptor table or ring.
  var descriptors: UnsafeMutableRawPointer
  /// Available ring, or the driver's event suppression.
  var driverArea: UnsafeMutableRawPointer
  /// Used ring, or the device's event suppression.
  var deviceArea: UnsafeMutableRawPointer
  /// Guest-physical addresses of what the device writes.
  var descriptorsAddress: UInt64
  var deviceAreaAddress: UInt64
}

/// Which way a queue's buffers go.
enum VringDirection {
  /// The guest sends: the device reads.
  case deviceReads
  /// The guest receives: the device writes.
  case deviceWrites
}

/// Handle of a virtqueue: copies name the same state.
@safe struct Vring {
  let state: UnsafeMutablePointer<VringState>

  init(_ initial: VringState) {
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(to: initial)
    unsafe state.pointee.cursor = state.pointee.position
  }

  func deallocate() {
    dropResubmissions()
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }

  var fault: VhostUserFault? { @inline(__always) get { unsafe state.pointee.fault } }
  var position: VringPosition { unsafe state.pointee.position }
  var size: Int { unsafe Int(state.pointee.size) }

  /// Copies up to `wanted` more chains to the end of `batch`, as far as there are any and none breaks a rule.
  @inline(__always)
  func fetch(_ wanted: Int, into batch: ChainBatch, _ direction: VringDirection) {
    if unsafe state.pointee.isSuspended { return }
    if unsafe state.pointee.resubmissions != nil {
      fetchResubmitted(wanted, into: batch, direction)
    } else {
      fetchAvailable(wanted, into: batch, direction)
    }
  }

  @inline(__always)
  func fetchAvailable(_ wanted: Int, into batch: ChainBatch, _ direction: VringDirection) {
    let before = batch.count
    if unsafe state.pointee.isPacked {
      fetchPacked(wanted, into: batch, direction)
    } else {
      fetchSplit(wanted, into: batch, direction)
    }
    if unsafe state.pointee.addresses.iotlb != nil { noteMisses(wanted &- (batch.count &- before)) }
  }

  /// Gives the first `count` chains of `batch` back, in order and in one step; the rest will be fetched again.
  @inline(__always)
  func complete(_ batch: ChainBatch, count: Int) {
    if count > 0 {
      if unsafe state.pointee.isPacked {
        completePacked(batch, count: count)
      } else {
        completeSplit(batch, count: count)
      }
    }
    if unsafe state.pointee.resubmissions != nil { countResubmitted(count) }
    unsafe state.pointee.cursor = state.pointee.position
    batch.removeAll()
  }

  /// Whether the guest wants to be told of what was given back since the last question.
  @inline(__always)
  func wantsCall(completed count: Int) -> Bool {
    unsafe state.pointee.isPacked ? wantsCallPacked(completed: count) : wantsCallSplit()
  }

  /// There is something to fetch.
  @inline(__always)
  var hasAvailable: Bool {
    if unsafe state.pointee.isSuspended { return false }
    if unsafe state.pointee.resubmissions != nil { return true }
    return unsafe state.pointee.isPacked ? hasAvailablePacked : hasAvailableSplit
  }

  /// Asks the guest not to kick.
  @inline(__always)
  func suppressKicks() {
    if unsafe state.pointee.isSuspended { return }
    if unsafe state.pointee.isPacked { suppressKicksPacked() } else { suppressKicksSplit() }
  }

  /// Asks the guest to kick when it makes something available.
  /// - Returns: true if there is something already: no kick may come for it.
  @inline(__always)
  func requestKicks() -> Bool {
    if unsafe state.pointee.isSuspended { return false }
    if unsafe state.pointee.isPacked { requestKicksPacked() } else { requestKicksSplit() }
    return hasAvailable
  }

  // MARK: a virtual IOMMU

  /// Nothing of the ring is touched.
  var isSuspended: Bool { unsafe state.pointee.isSuspended }

  /// Touches nothing of the ring until `move`: where it lies is not known any more. Between two bursts.
  func suspend() { unsafe state.pointee.isSuspended = true }

  /// The ring's parts lie here now; it goes on where it stood.
  func move(_ place: VringPlace) {
    unsafe state.pointee.descriptors = place.descriptors
    unsafe state.pointee.driverArea = place.driverArea
    unsafe state.pointee.deviceArea = place.deviceArea
    unsafe state.pointee.descriptorsAddress = place.descriptorsAddress
    unsafe state.pointee.deviceAreaAddress = place.deviceAreaAddress
    unsafe state.pointee.isSuspended = false
  }

  // MARK: chains

  /// Notes a broken rule.
  @inline(never)
  func fail(_ fault: VhostUserFault) { if unsafe state.pointee.fault == nil { unsafe state.pointee.fault = fault } }

  /// Puts a descriptor's buffer at the end of `batch`; a buffer that crosses regions becomes several segments.
  /// - Returns: the segments added; 0 if the buffer is not inside the guest's memory, or is empty.
  @inline(__always)
  func append(_ address: UInt64, _ byteCount: UInt32, to batch: ChainBatch, room: Int, writes: Bool) -> Int {
    let segment = unsafe batch.segments + batch.counts.pointee.segments
    if let host = unsafe state.pointee.addresses.translate(address, byteCount: UInt64(byteCount), writes: writes) {
      unsafe segment.initialize(to: GuestSegment(host: host, address: address, byteCount: byteCount))
      unsafe batch.counts.pointee.segments &+= 1
      return 1
    }
    return appendPieces(address, byteCount, to: batch, room: room, writes: writes)
  }

  @inline(never)
  private func appendPieces(
    _ address: UInt64, _ byteCount: UInt32, to batch: ChainBatch, room: Int, writes: Bool
  ) -> Int {
    var address = address
    var left = UInt64(byteCount)
    var added = 0
    while left > 0 {
      guard added < room, let piece = unsafe state.pointee.addresses.translatePrefix(address, writes: writes) else {
        return 0
      }
      let count = unsafe min(left, piece.byteCount)
      unsafe (batch.segments + batch.counts.pointee.segments).initialize(
        to: GuestSegment(host: piece.host, address: address, byteCount: UInt32(truncatingIfNeeded: count)))
      unsafe batch.counts.pointee.segments &+= 1
      added &+= 1
      left &-= count
      // Does not wrap before `left` is 0: the region holds these bytes.
      address &+= count
    }
    return added
  }

  /// Marks what the device wrote into a chain.
  @inline(never)
  func logWrites(_ batch: ChainBatch, count: Int, _ log: DirtyLogView) {
    for position in 0..<count {
      let chain = unsafe batch.chains[position]
      var left = UInt64(chain.writtenByteCount)
      var segment = Int(chain.firstSegment)
      while left > 0, segment < Int(chain.firstSegment) + Int(chain.segmentCount) {
        let piece = unsafe batch.segments[segment]
        let written = min(left, UInt64(piece.byteCount))
        if let address = unsafe state.pointee.addresses.guestAddress(piece.address) {
          log.mark(address, byteCount: written)
        }
        left -= written
        segment += 1
      }
    }
  }
}
