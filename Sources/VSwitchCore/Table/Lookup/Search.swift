// One lookup: what is looked for, the best rule so far, and how subtables and the tree are asked for a better one.
//
// Thread: a worker's, on its stack. Each bit of the packet that decides which way the lookup goes is added to the mask
// before it is used; skipping what can't hold a better rule depends on rules found, so on bits that are in the mask.

import Synchronization

struct Search {
  let version: UInt64
  /// Only rules below this priority.
  var bound: UInt32 = 1 << 16
  /// Leaves out rules that are clauses of conjunctions.
  var skipsClauses = false
  var best: Rule?
  /// Priority of `best` and half a step if it is no clause, so that a rule which is none goes first: 2 × priority + 1; 0
  /// for none.
  private var rank: UInt32 = 0

  init(version: UInt64) { self.version = version }

  /// Whether a rule of this priority could be better.
  @inline(__always)
  func isWorth(_ priority: UInt16) -> Bool { UInt32(priority) &* 2 &+ 2 > rank }

  @inline(__always)
  private func accepts(_ rule: Rule) -> Bool {
    UInt32(rule.priority) < bound && rule.isVisible(at: version) && !(skipsClauses && rule.isClause)
      && Search.rank(rule) > rank
  }

  @inline(__always)
  private static func rank(_ rule: Rule) -> UInt32 { UInt32(rule.priority) &* 2 &+ (rule.isClause ? 1 : 2) }

  @inline(__always)
  private mutating func take(_ rule: Rule) {
    best = rule
    rank = Search.rank(rule)
  }

  /// Looks in the rules of one mask.
  @inline(__always)
  mutating func visit(_ subtable: Subtable, key: KeyWords, mask: MaskWords) {
    subtable.mask.add(to: mask)
    var candidate = subtable.first(subtable.hash(key))
    while let rule = candidate {
      guard isWorth(rule.priority) else { return }
      // All bits that are compared are in the mask already.
      if accepts(rule), rule.firstDifference(key) == nil { take(rule) }
      candidate = rule.next
    }
  }

  /// Looks in a part of the tree.
  mutating func visit(_ start: UInt, key: KeyWords, mask: MaskWords) {
    var child = TreeChild(start)
    while true {
      if let leaf = child.leaf {
        visit(leaf, key: key, mask: mask)
        return
      }
      guard let node = unsafe child.node else { return }
      let any = unsafe node.pointee.any.load(ordering: .acquiring)
      let anyMaximum = unsafe node.pointee.anyMaximum.load(ordering: .relaxed)
      let zero = unsafe node.pointee.zero.load(ordering: .acquiring)
      let zeroMaximum = unsafe node.pointee.zeroMaximum.load(ordering: .relaxed)
      let one = unsafe node.pointee.one.load(ordering: .acquiring)
      let oneMaximum = unsafe node.pointee.oneMaximum.load(ordering: .relaxed)
      let isAnyWorth = any != 0 && isWorth(anyMaximum)
      guard zero != 0 && isWorth(zeroMaximum) || one != 0 && isWorth(oneMaximum) else {
        guard isAnyWorth else { return }
        child = TreeChild(any)
        continue
      }
      let index = unsafe Int(node.pointee.wordIndex)
      unsafe mask.add(node.pointee.examined, at: index)
      let isOne = unsafe key[index] &>> UInt64(node.pointee.bit) & 1 == 1
      let side = isOne ? one : zero
      let sideMaximum = isOne ? oneMaximum : zeroMaximum
      let isSideWorth = side != 0 && isWorth(sideMaximum)
      guard isAnyWorth else {
        guard isSideWorth else { return }
        child = TreeChild(side)
        continue
      }
      guard isSideWorth else {
        child = TreeChild(any)
        continue
      }
      // The one that may hold the better rule goes first; the other is on its way meanwhile.
      let isAnyFirst = anyMaximum > sideMaximum
      TreeChild(isAnyFirst ? side : any).prefetch()
      visit(isAnyFirst ? any : side, key: key, mask: mask)
      guard isWorth(isAnyFirst ? sideMaximum : anyMaximum) else { return }
      child = TreeChild(isAnyFirst ? side : any)
    }
  }

  private mutating func visit(_ leaf: TreeLeaf, key: KeyWords, mask: MaskWords) {
    for i in 0..<leaf.count {
      let entry = leaf.entry(i)
      guard isWorth(entry.priority) else { return }
      if (key[entry.wordIndex] ^ entry.value) & entry.mask != 0 {
        // That these bits are not the rule's is enough to know that it does not match.
        mask.add(entry.mask, at: entry.wordIndex)
        continue
      }
      if (key[entry.secondWordIndex] ^ entry.secondValue) & entry.secondMask != 0 {
        mask.add(entry.secondMask, at: entry.secondWordIndex)
        continue
      }
      guard let rule = entry.rule, accepts(rule) else { continue }
      if let difference = rule.firstDifference(key) {
        mask.add(difference.mask, at: difference.index)
      } else {
        rule.mask.add(to: mask)
        take(rule)
      }
    }
  }
}
