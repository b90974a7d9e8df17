// A group in flat memory, as workers read it (OpenFlow 1.5 §5.10).
//
// Thread: made by control, then changed only in its versions and in which buckets are alive; workers read. Memory: one
// block with the buckets behind, and the buckets' code; freed by `FlowTables` a grace period after it was replaced.

import Glibc
import Synchronization

@safe struct GroupRecord: ~Copyable {
  /// First: `IDTable`.
  let head: RecordHead
  let kind: GroupDescription.Kind
  let usesPacketHash: Bool
  let bucketCount: Int
  let selectionParameter: UInt64
  /// Of a select group by hash; nil: all fields that tell a flow.
  let hashFields: UnsafeMutablePointer<FlowMask>?
}

struct BucketRecord: ~Copyable {
  let code: RuleCode
  let slot: UInt32
  let weight: UInt16
  let isAlive: Atomic<Bool>
  let id: UInt32
}

/// Handle of a group; a worker may keep it until its next quiescent point.
@safe public struct Group: @unchecked Sendable {
  let record: UnsafeMutablePointer<GroupRecord>

  @inline(__always) init(_ record: UnsafeMutablePointer<GroupRecord>) { unsafe self.record = record }
  /// - Parameter address: what `address` said.
  @inline(__always) public init?(address: UInt) {
    guard let record = unsafe UnsafeMutablePointer<GroupRecord>(bitPattern: address) else { return nil }
    unsafe self.record = record
  }
  @inline(__always) public var address: UInt { unsafe UInt(bitPattern: record) }
  @inline(__always) public var id: UInt32 { unsafe record.pointee.head.id }
  @inline(__always) public var kind: GroupDescription.Kind { unsafe record.pointee.kind }
  @inline(__always) public var slot: CounterSlot { unsafe CounterSlot(index: record.pointee.head.slot) }
  @inline(__always) public var bucketCount: Int { unsafe record.pointee.bucketCount }
  /// A select group goes by the hash that is kept with the packet (`dp_hash`).
  @inline(__always) public var usesPacketHash: Bool { unsafe record.pointee.usesPacketHash }
  /// Basis of the hash.
  @inline(__always) public var selectionParameter: UInt64 { unsafe record.pointee.selectionParameter }
  /// The fields that a select group hashes; nil: all that tell a flow.
  public var hashFields: FlowMask? { unsafe record.pointee.hashFields?.pointee }

  var buckets: UnsafeMutablePointer<BucketRecord> {
    unsafe UnsafeMutableRawPointer(record + 1).assumingMemoryBound(to: BucketRecord.self)
  }

  /// - Returns: nil past the last bucket.
  @inline(__always) public func bucket(_ index: Int) -> GroupBucket? {
    guard index >= 0, index < bucketCount else { return nil }
    return unsafe GroupBucket(record: buckets + index)
  }

  var versioned: VersionedRecord? { VersionedRecord(address: address) }

  /// - Parameters:
  ///   - codes: one for each bucket; the group's from here on.
  ///   - slots: likewise.
  init(_ description: GroupDescription, codes: [RuleCode], slot: UInt32, slots: [UInt32], version: UInt64) {
    let byteCount = MemoryLayout<GroupRecord>.stride + codes.count * MemoryLayout<BucketRecord>.stride
    let memory = unsafe memoryBlock(byteCount: byteCount)
    unsafe record = memory.bindMemory(to: GroupRecord.self, capacity: 1)
    var fields: UnsafeMutablePointer<FlowMask>?
    var usesPacketHash = false
    switch description.selectionMethod {
    case .standard: break
    case .dpHash: usesPacketHash = true
    case .hash(let mask):
      if mask != FlowMask() {
        let copy = UnsafeMutablePointer<FlowMask>.allocate(capacity: 1)
        unsafe copy.initialize(to: mask)
        unsafe fields = copy
      }
    }
    unsafe record.initialize(
      to: GroupRecord(
        head: RecordHead(id: description.id, slot: slot, version: version), kind: description.kind,
        usesPacketHash: usesPacketHash, bucketCount: codes.count,
        selectionParameter: description.selectionParameter, hashFields: fields))
    for (index, bucket) in description.buckets.enumerated() {
      unsafe (buckets + index).initialize(
        to: BucketRecord(
          code: codes[index], slot: slots[index], weight: bucket.weight, isAlive: Atomic(true), id: bucket.id ?? 0))
    }
  }

  func deallocate() {
    for index in 0..<bucketCount { unsafe buckets[index].code.deallocate() }
    unsafe record.pointee.hashFields?.deallocate()
    unsafe buckets.deinitialize(count: bucketCount)
    unsafe record.deinitialize(count: 1)
    unsafe free(record)
  }
}

/// Handle of a bucket; valid as long as its group.
@safe public struct GroupBucket: @unchecked Sendable {
  let record: UnsafeMutablePointer<BucketRecord>

  /// An action set.
  @inline(__always) public var code: RuleCode { unsafe record.pointee.code }
  @inline(__always) public var slot: CounterSlot { unsafe CounterSlot(index: record.pointee.slot) }
  /// Share of a select group; 0: takes no packets.
  @inline(__always) public var weight: UInt16 { unsafe record.pointee.weight }
  /// What it watches is alive, or it watches nothing.
  @inline(__always) public var isAlive: Bool { unsafe record.pointee.isAlive.load(ordering: .relaxed) }
  @inline(__always) public var id: UInt32 { unsafe record.pointee.id }
}
