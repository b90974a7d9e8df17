// Groups and meters by their number, each with its versions: a hash table that workers read while control changes it.
//
// Thread: control changes, workers read at the same time. Memory: the bucket array is the table's; the records are their
// owners', and start with a `RecordHead`. A bucket is the address of the newest record of a number (0: untouched, 1:
// emptied), the older ones that a reader may still look for follow as `next`.

import Glibc
import Synchronization

/// What a group and a meter start with.
struct RecordHead: ~Copyable {
  /// Address of the record that this one takes the place of; 0: none.
  let next: Atomic<UInt>
  let addedVersion: Atomic<UInt64>
  let removedVersion: Atomic<UInt64>
  let id: UInt32
  /// Where packets are counted.
  let slot: UInt32

  init(id: UInt32, slot: UInt32, version: UInt64) {
    next = Atomic(0)
    addedVersion = Atomic(version)
    removedVersion = Atomic(RuleRecord.never)
    self.id = id
    self.slot = slot
  }
}

/// Handle of a record's head.
@safe struct VersionedRecord {
  let head: UnsafeMutablePointer<RecordHead>

  /// - Parameter address: of a record, 0 or 1.
  @inline(__always) init?(address: UInt) {
    guard address > 1, let head = unsafe UnsafeMutablePointer<RecordHead>(bitPattern: address) else { return nil }
    unsafe self.head = head
  }
  @inline(__always) var address: UInt { unsafe UInt(bitPattern: head) }
  @inline(__always) var id: UInt32 { unsafe head.pointee.id }
  @inline(__always) var next: VersionedRecord? {
    get { VersionedRecord(address: unsafe head.pointee.next.load(ordering: .acquiring)) }
    nonmutating set { unsafe head.pointee.next.store(newValue?.address ?? 0, ordering: .releasing) }
  }
  @inline(__always) func isVisible(at version: UInt64) -> Bool {
    unsafe head.pointee.addedVersion.load(ordering: .relaxed) <= version
      && version < head.pointee.removedVersion.load(ordering: .relaxed)
  }
  func setAdded(_ version: UInt64) { unsafe head.pointee.addedVersion.store(version, ordering: .relaxed) }
  func setRemoved(_ version: UInt64) { unsafe head.pointee.removedVersion.store(version, ordering: .relaxed) }
}

/// Handle of a table: copies name the same.
@safe struct IDTable: @unchecked Sendable {
  struct State: ~Copyable {
    /// Address of the `BucketArray`.
    let buckets: Atomic<UInt>
    /// Buckets that are not untouched.
    let usedCount = ControlWord(0)
    init() { buckets = Atomic(BucketArray(count: 16).address) }
  }
  private let state: UnsafeMutablePointer<State>

  init() {
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(to: State())
  }

  /// Frees the table, not the records.
  func deallocate() {
    if let buckets { unsafe free(buckets.base) }
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }

  @inline(__always) private var buckets: BucketArray? {
    BucketArray(address: unsafe state.pointee.buckets.load(ordering: .acquiring))
  }
  @inline(__always) private static func hash(_ id: UInt32) -> Int { Int((UInt64(id) &* 0x9e37_79b9_7f4a_7c15) &>> 40) }

  /// The record with a number that a reader of a version sees.
  @inline(__always)
  func record(_ id: UInt32, version: UInt64) -> VersionedRecord? {
    guard let buckets else { return nil }
    var index = IDTable.hash(id) & buckets.indexMask
    while true {
      let bucket = buckets.load(index)
      if bucket == 0 { return nil }
      if let newest = VersionedRecord(address: UInt(bucket)), newest.id == id {
        var candidate: VersionedRecord? = newest
        while let record = candidate {
          if record.isVisible(at: version) { return record }
          candidate = record.next
        }
        return nil
      }
      index = (index &+ 1) & buckets.indexMask
    }
  }

  // MARK: control's side

  /// Puts a record before the older ones with its number.
  func insert(_ record: VersionedRecord, retire: (UnsafeMutableRawPointer) -> Void) {
    guard let buckets else { return }
    var index = IDTable.hash(record.id) & buckets.indexMask
    var free: Int?
    while true {
      let bucket = buckets.load(index)
      if bucket == 0 { break }
      if let newest = VersionedRecord(address: UInt(bucket)) {
        if newest.id == record.id {
          record.next = newest
          buckets.store(UInt64(record.address), at: index)
          return
        }
      } else if free == nil {
        free = index
      }
      index = (index &+ 1) & buckets.indexMask
    }
    buckets.store(UInt64(record.address), at: free ?? index)
    guard free == nil else { return }
    unsafe state.pointee.usedCount.add(1)
    if unsafe state.pointee.usedCount.value * 4 > (buckets.indexMask + 1) * 3 {
      unsafe rebuild(buckets, retire: retire)
    }
  }

  /// Takes a record out.
  func remove(_ record: VersionedRecord) {
    guard let buckets else { return }
    var index = IDTable.hash(record.id) & buckets.indexMask
    while true {
      let bucket = buckets.load(index)
      if bucket == 0 { return }
      if let newest = VersionedRecord(address: UInt(bucket)), newest.id == record.id {
        if newest.address == record.address {
          buckets.store(UInt64(record.next?.address ?? 1), at: index)
        } else {
          var before = newest
          while let next = before.next, next.address != record.address { before = next }
          before.next = record.next
        }
        return
      }
      index = (index &+ 1) & buckets.indexMask
    }
  }

  private func rebuild(_ old: BucketArray, retire: (UnsafeMutableRawPointer) -> Void) {
    let inUse = (0...old.indexMask).count { old.load($0) > 1 }
    var count = 16
    while count < inUse * 2 { count *= 2 }
    let new = BucketArray(count: count)
    for index in 0...old.indexMask {
      guard let record = VersionedRecord(address: UInt(old.load(index))) else { continue }
      var place = IDTable.hash(record.id) & new.indexMask
      while new.load(place) != 0 { place = (place + 1) & new.indexMask }
      new.store(old.load(index), at: place)
    }
    unsafe state.pointee.usedCount.set(inUse)
    unsafe state.pointee.buckets.store(new.address, ordering: .releasing)
    unsafe retire(UnsafeMutableRawPointer(old.base))
  }
}
