// The clauses of one priority that a packet matches: for the conjunction with the lowest id above a given one, which of
// its clauses. Called once for each id, so that nothing has to be kept of the others.
//
// Thread: a worker's, on its stack.

import Synchronization

/// A conjunction and which of its clauses are matched.
struct Conjunction {
  var id: UInt32
  var clauseCount: UInt8
  /// Bit n: clause n, from 0.
  var clauses: UInt64

  var isComplete: Bool { clauseCount > 0 && clauses.nonzeroBitCount >= Int(clauseCount) }
}

struct ClauseCollector {
  let version: UInt64
  let priority: UInt16
  let previous: UInt32?
  private(set) var lowest: Conjunction?

  init(version: UInt64, priority: UInt16, previous: UInt32?) {
    self.version = version
    self.priority = priority
    self.previous = previous
  }

  private mutating func add(_ rule: Rule) {
    let actions = unsafe rule.record.pointee.actions
    guard let clauses = unsafe actions.pointee.clauses else { return }
    for i in 0..<(unsafe actions.pointee.clauseCount) {
      let clause = unsafe clauses[i]
      if let previous, clause.id <= previous { continue }
      if let lowest, clause.id > lowest.id { continue }
      var conjunction = lowest ?? Conjunction(id: clause.id, clauseCount: 0, clauses: 0)
      if conjunction.id != clause.id { conjunction = Conjunction(id: clause.id, clauseCount: 0, clauses: 0) }
      // Rules that disagree on the number of clauses: the largest counts, so that none is met too early.
      conjunction.clauseCount = max(conjunction.clauseCount, clause.clauseCount)
      conjunction.clauses |= 1 &<< UInt64(clause.clause & 63)
      lowest = conjunction
    }
  }

  private func isCandidate(_ rule: Rule) -> Bool {
    rule.priority == priority && rule.isClause && rule.isVisible(at: version)
  }

  mutating func visit(_ subtable: Subtable, key: KeyWords, mask: MaskWords) {
    subtable.mask.add(to: mask)
    var candidate = subtable.first(subtable.hash(key))
    while let rule = candidate, rule.priority >= priority {
      if isCandidate(rule), rule.firstDifference(key) == nil { add(rule) }
      candidate = rule.next
    }
  }

  mutating func visit(_ start: UInt, key: KeyWords, mask: MaskWords) {
    let child = TreeChild(start)
    if let leaf = child.leaf {
      for i in 0..<leaf.count {
        let entry = leaf.entry(i)
        guard entry.priority >= priority else { return }
        if (key[entry.wordIndex] ^ entry.value) & entry.mask != 0 {
          // That these bits are not the rule's is enough to know that it does not match.
          mask.add(entry.mask, at: entry.wordIndex)
          continue
        }
        guard let rule = entry.rule, isCandidate(rule) else { continue }
        if let difference = rule.firstDifference(key) {
          mask.add(difference.mask, at: difference.index)
        } else {
          rule.mask.add(to: mask)
          add(rule)
        }
      }
    } else if let node = unsafe child.node {
      let index = unsafe Int(node.pointee.wordIndex)
      unsafe mask.add(node.pointee.examined, at: index)
      if unsafe key[index] &>> UInt64(node.pointee.bit) & 1 == 1 {
        unsafe visit(node.pointee.one.load(ordering: .acquiring), key: key, mask: mask)
      } else {
        unsafe visit(node.pointee.zero.load(ordering: .acquiring), key: key, mask: mask)
      }
      unsafe visit(node.pointee.any.load(ordering: .acquiring), key: key, mask: mask)
    }
  }
}
