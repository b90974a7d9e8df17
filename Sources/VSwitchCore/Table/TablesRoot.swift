// The memory that workers find everything from.
//
// Thread: control writes, workers read; each word is published whole. Memory: made and freed by `FlowTables`.

import Glibc
import Synchronization

@safe struct TablesRoot: ~Copyable {
  /// What a new reader looks up at.
  let version: Atomic<UInt64>
  /// By table number: address of its `TableHead`, 0 if it never had a rule.
  let tables: UnsafeMutablePointer<Atomic<UInt>>
  /// By `TableDependency`.
  let changedVersions: UnsafeMutablePointer<Atomic<UInt64>>
  /// Address of the `LearnedCountList`, 0 if nobody asks.
  let learnedCounts: Atomic<UInt>
  let counters: CounterSlots
  let groups: IDTable
  let meters: IDTable

  init(workerCount: Int) {
    version = Atomic(0)
    unsafe tables = zeroedMemory(256)
    unsafe changedVersions = zeroedMemory(256)
    learnedCounts = Atomic(0)
    counters = CounterSlots(workerCount: workerCount)
    groups = IDTable()
    meters = IDTable()
  }

  func deallocate() {
    counters.deallocate()
    groups.deallocate()
    meters.deallocate()
    unsafe free(UnsafeMutableRawPointer(bitPattern: learnedCounts.load(ordering: .relaxed)))
    unsafe free(tables)
    unsafe free(changedVersions)
  }
}
