// Chains that another process had taken from a ring when it died, in the order in which it took them: they are served before anything
// that the ring makes available, and given back like all others. They take the places of the ring between what was given back
// and what is taken next, so that position and cursor mean what they always mean.
//
// Thread: made by control code, used by one worker. Not on the hot path: a queue without any asks one pointer a burst.

import COFlow

/// A chain in flight.
struct Resubmission: Equatable, Sendable {
  /// A packed descriptor, which may be overwritten in the ring by then.
  struct Descriptor: Equatable, Sendable {
    var address: UInt64
    var byteCount: UInt32
    var flags: UInt16
  }

  /// Where the record has it; in a split ring the head descriptor.
  var entry: UInt16
  /// Packed: the record's entry of its last descriptor.
  var lastEntry: UInt16 = 0
  /// Packed: what the used descriptor calls it.
  var identifier: UInt16 = 0
  /// Packed only.
  var descriptors: [Descriptor] = []
}

/// A ring's chains in flight.
struct Resubmissions {
  let chains: [Resubmission]
  /// Copied into the burst under way.
  var taken = 0
  /// Given back.
  var done = 0

  /// Those that go with the first `count` chains of a burst.
  func given(_ count: Int) -> ArraySlice<Resubmission> { chains[done..<min(done + count, chains.count)] }
}

extension Vring {
  /// Chains are still to be served that another process had taken.
  var hasResubmissions: Bool { unsafe state.pointee.resubmissions != nil }

  func resubmit(_ chains: [Resubmission]) {
    guard !chains.isEmpty else { return }
    let waiting = UnsafeMutablePointer<Resubmissions>.allocate(capacity: 1)
    unsafe waiting.initialize(to: Resubmissions(chains: chains))
    unsafe state.pointee.resubmissions = waiting
  }

  func dropResubmissions() {
    guard let waiting = unsafe state.pointee.resubmissions else { return }
    unsafe state.pointee.resubmissions = nil
    unsafe waiting.deinitialize(count: 1)
    unsafe waiting.deallocate()
  }

  /// `fetch` of a ring with chains in flight: those first.
  @inline(never)
  func fetchResubmitted(_ wanted: Int, into batch: ChainBatch, _ direction: VringDirection) {
    guard unsafe state.pointee.fault == nil, let waiting = unsafe state.pointee.resubmissions else { return }
    var left = wanted
    while unsafe waiting.pointee.taken < waiting.pointee.chains.count {
      guard left > 0, batch.hasRoom else { return }
      let chain = unsafe waiting.pointee.chains[waiting.pointee.taken]
      if unsafe state.pointee.isPacked {
        guard gatherResubmitted(chain, into: batch, direction) else { return }
      } else {
        guard gatherSplit(chain.entry, into: batch, direction) else { return }
        unsafe state.pointee.cursor.next &+= 1
      }
      unsafe waiting.pointee.taken += 1
      left -= 1
    }
    fetchAvailable(left, into: batch, direction)
  }

  private func gatherResubmitted(_ chain: Resubmission, into batch: ChainBatch, _ direction: VringDirection) -> Bool {
    let firstSegment = unsafe batch.counts.pointee.segments
    let writes = direction == .deviceWrites
    var total: UInt64 = 0
    for descriptor in chain.descriptors {
      if descriptor.flags & DescriptorFlag.indirect != 0 {
        guard chain.descriptors.count == 1 else { return failChain(.nestedIndirect, batch, firstSegment) }
        guard
          addPackedTable(descriptor.address, descriptor.byteCount, &total, batch, firstSegment, writes)
        else { return false }
      } else {
        guard
          addPacked(descriptor.address, descriptor.byteCount, descriptor.flags, &total, batch, firstSegment, writes)
        else { return false }
      }
    }
    unsafe state.pointee.cursor.advance(
      UInt16(truncatingIfNeeded: chain.descriptors.count), size: state.pointee.size)
    return finish(chain.identifier, slots: chain.descriptors.count, firstSegment, total, batch)
  }

  /// The front-end's record, before the store by which `count` chains are given back, and after it.
  @inline(never)
  func noteInflight(_ count: Int, to position: VringPosition) {
    guard let inflight = unsafe state.pointee.inflight else { return }
    let given = unsafe state.pointee.resubmissions?.pointee.given(count) ?? []
    inflight.note(given, from: unsafe state.pointee.position, to: position)
  }

  @inline(never)
  func settleInflight(_ count: Int, _ position: VringPosition) {
    guard let inflight = unsafe state.pointee.inflight else { return }
    let given = unsafe state.pointee.resubmissions?.pointee.given(count) ?? []
    inflight.settle(given, position)
  }

  /// `count` chains were given back; what was only taken will be taken again.
  @inline(never)
  func countResubmitted(_ count: Int) {
    guard let waiting = unsafe state.pointee.resubmissions else { return }
    unsafe waiting.pointee.done = min(waiting.pointee.done + count, waiting.pointee.chains.count)
    unsafe waiting.pointee.taken = waiting.pointee.done
    if unsafe waiting.pointee.done == waiting.pointee.chains.count { dropResubmissions() }
  }
}
