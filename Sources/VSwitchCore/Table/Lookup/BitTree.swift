// The rules of a table that are in no subtable, whatever their masks: a tree that asks for one bit at each node, with a
// child for rules that want it 0, one for those that want it 1 and one for those that don't care. For prefixes it is a
// trie; rules with many different masks, which would make as many subtables, are told apart by the bits in which they
// differ.
//
// Thread: control changes, workers read at the same time. Memory: nodes and leaves, of the `Classifier` that owns the
// tree; replaced ones are freed a grace period later.
// A leaf is never changed but replaced by another. A child is 0 (none), the address of a leaf + 1, or that of a node.
// Invariants: a node's `…Maximum` is at least the highest priority below that child; a leaf has its rules by falling
// priority; a rule is where the bits of its own match lead.

import COFlow
import Glibc
import Synchronization

struct TreeNode: ~Copyable {
  // First, so that they can be found by number.
  let zero: Atomic<UInt>
  let one: Atomic<UInt>
  let any: Atomic<UInt>
  /// What of the word a lookup counts as read: the bit, and those of its byte that rules here ask for, so that masks of
  /// cached flows are not all different.
  let examined: UInt64
  let zeroMaximum: Atomic<UInt16>
  let oneMaximum: Atomic<UInt16>
  let anyMaximum: Atomic<UInt16>
  let wordIndex: UInt8
  let bit: UInt8

  init(bit: TreeBit, zero: UInt, one: UInt, any: UInt) {
    self.zero = Atomic(zero)
    self.one = Atomic(one)
    self.any = Atomic(any)
    zeroMaximum = Atomic(0)
    oneMaximum = Atomic(0)
    anyMaximum = Atomic(0)
    examined = bit.examined
    wordIndex = UInt8(truncatingIfNeeded: bit.wordIndex)
    self.bit = UInt8(truncatingIfNeeded: bit.bit)
  }
}

/// A bit of the flow key that a node asks for.
struct TreeBit {
  var wordIndex: Int
  var bit: Int
  var examined: UInt64
}

/// Entries behind their number.
@safe struct TreeLeaf {
  let base: UnsafeMutablePointer<UInt64>

  @inline(__always) var count: Int { unsafe Int(base.pointee) }
  /// - Parameter i: below `count`.
  @inline(__always) func entry(_ i: Int) -> TreeEntry {
    unsafe UnsafeMutableRawPointer(base + 1).assumingMemoryBound(to: TreeEntry.self)[i]
  }
  var reference: UInt { unsafe UInt(bitPattern: base) + 1 }
  static func byteCount(_ entryCount: Int) -> Int { 8 + entryCount * MemoryLayout<TreeEntry>.stride }

  /// Rules by falling priority.
  init(_ entries: [TreeEntry]) {
    let memory = unsafe memoryBlock(byteCount: TreeLeaf.byteCount(entries.count))
    unsafe base = memory.bindMemory(to: UInt64.self, capacity: 1)
    unsafe base.initialize(to: UInt64(entries.count))
    let places = unsafe (memory + 8).bindMemory(to: TreeEntry.self, capacity: entries.count)
    for (i, entry) in entries.enumerated() { unsafe (places + i).initialize(to: entry) }
  }
  @inline(__always) init(base: UnsafeMutablePointer<UInt64>) { unsafe self.base = base }

  var entries: [TreeEntry] { (0..<count).map { entry($0) } }
}

/// A rule of a leaf, with the two words of its match that tell most packets from it: enough to pass over most rules without
/// going to where they and their masks are.
struct TreeEntry {
  /// 16 bits of priority, 48 of address.
  private let bits: UInt64
  let mask: UInt64
  let value: UInt64
  /// 0 if the match has one word.
  let secondMask: UInt64
  let secondValue: UInt64
  private let wordIndices: (UInt32, UInt32)

  init(_ rule: Rule) {
    // Addresses of user space are below 2^48 on the platforms of this switch.
    precondition(rule.address >> 48 == 0)
    bits = UInt64(rule.address) | UInt64(rule.priority) &<< 48
    let sparse = rule.mask
    var first: (place: Int, weight: Int)?
    var second: (place: Int, weight: Int)?
    for i in 0..<sparse.count {
      let weight = TreeEntry.weight(sparse[i])
      if first.map({ weight > $0.weight }) ?? true {
        second = first
        first = (i, weight)
      } else if second.map({ weight > $0.weight }) ?? true {
        second = (i, weight)
      }
    }
    mask = first.map { sparse[$0.place].mask } ?? 0
    value = first.map { unsafe rule.values[$0.place] } ?? 0
    secondMask = second.map { sparse[$0.place].mask } ?? 0
    secondValue = second.map { unsafe rule.values[$0.place] } ?? 0
    func index(_ word: (place: Int, weight: Int)?) -> UInt32 {
      UInt32(truncatingIfNeeded: word.map { sparse[$0.place].index } ?? 0)
    }
    wordIndices = (index(first), index(second))
  }
  /// How well a word tells packets apart: by its bits, but an EtherType alone is nearly every packet's.
  private static func weight(_ word: MaskWord) -> Int {
    word.index == 1 && word.mask <= 0xffff ? 0 : word.mask.nonzeroBitCount
  }
  @inline(__always) var wordIndex: Int { Int(wordIndices.0) }
  @inline(__always) var secondWordIndex: Int { Int(wordIndices.1) }
  @inline(__always) var priority: UInt16 { UInt16(truncatingIfNeeded: bits &>> 48) }
  @inline(__always) var rule: Rule? { Rule(address: UInt(bits & 0xffff_ffff_ffff)) }
}

/// What a node or the tree's root points to.
@safe struct TreeChild {
  let reference: UInt
  /// Has what it points to fetched into the processor's caches.
  @inline(__always) func prefetch() { unsafe coflow_prefetch(UnsafeRawPointer(bitPattern: reference)) }
  @inline(__always) init(_ reference: UInt) { self.reference = reference }
  @inline(__always) var leaf: TreeLeaf? {
    guard reference & 1 == 1, let base = unsafe UnsafeMutablePointer<UInt64>(bitPattern: reference &- 1) else {
      return nil
    }
    return unsafe TreeLeaf(base: base)
  }
  @inline(__always) var node: UnsafeMutablePointer<TreeNode>? {
    reference & 1 == 0 ? unsafe UnsafeMutablePointer(bitPattern: reference) : nil
  }
}
