// A rule in flat memory: what a lookup compares, then what only control code needs; the words of its match that are not
// masked out lie behind it, in the order of its `SparseMask`.
//
// Thread: made by control code; after that workers read it, and only `next` and the versions change, by control.
// Memory: one block, owned by `FlowTables`, freed a grace period after no worker can find it any more.
// Versions: a rule is there for a reader of version v if added <= v < removed.

import Glibc
import Synchronization

@safe struct RuleRecord: ~Copyable {
  // What lookups read.
  /// Address of the next rule of the same bucket, of the same or a lower priority; 0: none.
  let next: Atomic<UInt>
  let addedVersion: Atomic<UInt64>
  let removedVersion: Atomic<UInt64>
  let mask: SparseMask
  /// The rule's instructions, shared with the rules that have the same.
  let actions: ActionsPointer
  /// Where its packets are counted; what control code knows a rule by, also when it is modified.
  let slot: UInt32
  /// In a subtable: hash of the masked values.
  let hash: UInt32
  let priority: UInt16
  let table: UInt8
  /// Whether it is in a subtable, else in the tree.
  let isHashed: Bool
  /// Only a clause of a conjunction, and so no result of a lookup by itself.
  let isClause: Bool

  // Control's.
  let flags: FlowMod.Flags
  let importance: UInt16
  let idleTimeoutSeconds: UInt16
  let hardTimeoutSeconds: UInt16
  let cookie: UInt64
  /// Nanoseconds of control's clock.
  let createdAt: UInt64
  let modifiedAt: UInt64

  /// Version in which a rule that is not removed will be.
  static var never: UInt64 { .max }
}

/// Handle of a rule; a worker may keep it until its next quiescent point, and its slot as `CounterSlot` says.
@safe public struct Rule: @unchecked Sendable, Equatable {
  let record: UnsafeMutablePointer<RuleRecord>

  @inline(__always) init(_ record: UnsafeMutablePointer<RuleRecord>) { unsafe self.record = record }

  /// - Parameter address: of a record, or 0.
  @inline(__always) init?(address: UInt) {
    guard let record = unsafe UnsafeMutablePointer<RuleRecord>(bitPattern: address) else { return nil }
    unsafe self.record = record
  }

  @inline(__always) public var code: RuleCode { unsafe record.pointee.actions.pointee.code }
  @inline(__always) public var slot: CounterSlot { unsafe CounterSlot(index: record.pointee.slot) }
  @inline(__always) public var table: UInt8 { unsafe record.pointee.table }
  @inline(__always) public var priority: UInt16 { unsafe record.pointee.priority }
  @inline(__always) public var cookie: UInt64 { unsafe record.pointee.cookie }
  @inline(__always) public var flags: FlowMod.Flags { unsafe record.pointee.flags }
  /// Whether it is the rule for what no other matches (OpenFlow 1.5 §5.4).
  @inline(__always) public var isTableMiss: Bool { priority == 0 && mask.count == 0 }

  @inline(__always) public static func == (a: Rule, b: Rule) -> Bool { unsafe a.record == b.record }

  // MARK: what lookups use

  @inline(__always) var address: UInt { unsafe UInt(bitPattern: record) }
  @inline(__always) var mask: SparseMask { unsafe record.pointee.mask }
  @inline(__always) var isClause: Bool { unsafe record.pointee.isClause }
  @inline(__always) var hash: UInt32 { unsafe record.pointee.hash }

  /// The words of the match.
  @inline(__always) var values: UnsafeMutablePointer<UInt64> {
    unsafe UnsafeMutableRawPointer(record + 1).assumingMemoryBound(to: UInt64.self)
  }

  @inline(__always) var next: Rule? {
    get { Rule(address: unsafe record.pointee.next.load(ordering: .acquiring)) }
    nonmutating set { unsafe record.pointee.next.store(newValue?.address ?? 0, ordering: .releasing) }
  }

  @inline(__always) func isVisible(at version: UInt64) -> Bool {
    unsafe record.pointee.addedVersion.load(ordering: .relaxed) <= version
      && version < record.pointee.removedVersion.load(ordering: .relaxed)
  }

  /// The first word in which a packet is not what the rule asks for; nil if it matches.
  @inline(__always) func firstDifference(_ key: KeyWords) -> MaskWord? {
    let mask = self.mask
    let values = unsafe self.values
    for i in 0..<mask.count {
      let word = mask[i]
      if unsafe (key[word.index] ^ values[i]) & word.mask != 0 { return word }
    }
    return nil
  }
}
