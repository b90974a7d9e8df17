// Statistics of rules, groups, buckets and meters: for each a slot in every worker's own memory. A worker adds to its
// slots without locks; control code sums them up.
//
// Thread: of a slot, one worker writes; control reads at any time (each word whole; a sum may be between two packets).
// Taking and releasing slots: control. Memory: chunks of slots by worker, freed with the whole; pages that no worker
// has touched cost nothing.
// Invariant: a slot is used again only after every worker has passed a quiescent point since its rule was removed, so a
// worker that adds only for decisions that it found valid since its last quiescent point can't add to somebody else's.

import Glibc
import Synchronization

/// What was counted, and when the latest packet came: nanoseconds of the clock that the workers pass in; 0: none yet.
public struct Statistics: Equatable, Sendable {
  public var packetCount: UInt64 = 0
  public var byteCount: UInt64 = 0
  public var lastUsed: UInt64 = 0
  public init() {}
}

/// Handle of all slots: copies name the same.
@safe struct CounterSlots: @unchecked Sendable {
  struct Slot: ~Copyable {
    let packetCount: Atomic<UInt64>
    let byteCount: Atomic<UInt64>
    let lastUsed: Atomic<UInt64>
  }
  static let slotsPerChunkLog2: UInt32 = 13
  static let chunkLimit = 1 << 12
  /// Most slots: 32 million.
  static var slotLimit: UInt32 { UInt32(chunkLimit) << slotsPerChunkLog2 }

  /// Addresses of chunks, `chunkLimit` by worker; 0: not made yet.
  private let chunks: UnsafeMutablePointer<Atomic<UInt>>
  let workerCount: Int

  init(workerCount: Int) {
    self.workerCount = max(workerCount, 1)
    unsafe chunks = zeroedMemory(self.workerCount * CounterSlots.chunkLimit)
  }

  /// Frees all; no worker may use a copy of the handle afterwards.
  func deallocate() {
    for i in 0..<workerCount * CounterSlots.chunkLimit {
      let address = unsafe chunks[i].load(ordering: .relaxed)
      if address != 0 { unsafe free(UnsafeMutableRawPointer(bitPattern: address)) }
    }
    unsafe free(chunks)
  }

  @inline(__always)
  private func slot(_ index: UInt32, worker: Int) -> UnsafeMutablePointer<Slot>? {
    let chunk = Int(index >> CounterSlots.slotsPerChunkLog2)
    guard worker < workerCount, chunk < CounterSlots.chunkLimit else { return nil }
    let address = unsafe chunks[worker &* CounterSlots.chunkLimit &+ chunk].load(ordering: .acquiring)
    guard let base = unsafe UnsafeMutablePointer<Slot>(bitPattern: address) else { return nil }
    return unsafe base + Int(index & (1 << CounterSlots.slotsPerChunkLog2 - 1))
  }

  // MARK: the worker's side

  /// Adds to a slot, on the thread of `worker` alone.
  @inline(__always)
  func add(_ index: UInt32, worker: Int, packetCount: UInt64, byteCount: UInt64, now: UInt64) {
    guard let slot = unsafe slot(index, worker: worker) else { return }
    // One writer: a load and a store are enough.
    unsafe slot.pointee.packetCount.store(
      slot.pointee.packetCount.load(ordering: .relaxed) &+ packetCount, ordering: .relaxed)
    unsafe slot.pointee.byteCount.store(
      slot.pointee.byteCount.load(ordering: .relaxed) &+ byteCount, ordering: .relaxed)
    unsafe slot.pointee.lastUsed.store(now, ordering: .relaxed)
  }

  // MARK: control's side

  /// Makes the memory of a slot, all zeros, for a slot that no worker uses.
  func prepare(_ index: UInt32) {
    for worker in 0..<workerCount {
      let chunk = worker * CounterSlots.chunkLimit + Int(index >> CounterSlots.slotsPerChunkLog2)
      if unsafe chunks[chunk].load(ordering: .relaxed) == 0 {
        let base: UnsafeMutablePointer<Slot> = unsafe zeroedMemory(1 << Int(CounterSlots.slotsPerChunkLog2))
        unsafe chunks[chunk].store(UInt(bitPattern: base), ordering: .releasing)
      } else if let slot = unsafe slot(index, worker: worker),
        unsafe slot.pointee.lastUsed.load(ordering: .relaxed) != 0
          || slot.pointee.packetCount.load(ordering: .relaxed) != 0
      {
        unsafe slot.pointee.packetCount.store(0, ordering: .relaxed)
        unsafe slot.pointee.byteCount.store(0, ordering: .relaxed)
        unsafe slot.pointee.lastUsed.store(0, ordering: .relaxed)
      }
    }
  }

  /// What all workers counted.
  func sum(_ index: UInt32) -> Statistics {
    var sum = Statistics()
    for worker in 0..<workerCount {
      guard let slot = unsafe slot(index, worker: worker) else { continue }
      sum.packetCount &+= unsafe slot.pointee.packetCount.load(ordering: .relaxed)
      sum.byteCount &+= unsafe slot.pointee.byteCount.load(ordering: .relaxed)
      sum.lastUsed = unsafe max(sum.lastUsed, slot.pointee.lastUsed.load(ordering: .relaxed))
    }
    return sum
  }
}
