// Whether a table has a rule with exactly a match and a priority, as workers ask it (control: `Classifier.find`).
//
// Thread: a worker's. Memory: as `TableHead`. Nothing is allocated.

import Synchronization

extension Table {
  /// - Parameters:
  ///   - match: bits outside of the mask are 0.
  ///   - version: at which the table is read.
  func hasRule(_ match: borrowing FlowKey, _ mask: borrowing FlowMask, priority: UInt16, version: UInt64) -> Bool {
    guard let places = PlaceList(address: unsafe head.pointee.places.load(ordering: .acquiring)) else { return false }
    for i in 0..<places.count where places[i].maximumPriority >= priority {
      if let subtable = Subtable(address: places[i].subtable) {
        guard subtable.mask.isMask(mask) else { continue }
        var candidate = KeyWords.with(match) { subtable.first(subtable.hash($0)) }
        while let rule = candidate, rule.priority >= priority {
          if rule.isExactly(match, mask, priority, version) { return true }
          candidate = rule.next
        }
      } else if treeHasRule(match, mask, priority: priority, version: version) {
        return true
      }
    }
    return false
  }

  /// A rule is where the bits of its own match lead.
  private func treeHasRule(
    _ match: borrowing FlowKey, _ mask: borrowing FlowMask, priority: UInt16, version: UInt64
  ) -> Bool {
    var child = TreeChild(unsafe head.pointee.treeRoot.load(ordering: .acquiring))
    while let node = unsafe child.node {
      let (index, bit) = unsafe (Int(node.pointee.wordIndex), UInt64(1) &<< UInt64(node.pointee.bit))
      let reference =
        if mask.words[index] & bit == 0 {
          unsafe node.pointee.any.load(ordering: .acquiring)
        } else if match.words[index] & bit == 0 {
          unsafe node.pointee.zero.load(ordering: .acquiring)
        } else {
          unsafe node.pointee.one.load(ordering: .acquiring)
        }
      child = TreeChild(reference)
    }
    guard let leaf = child.leaf else { return false }
    for i in 0..<leaf.count {
      let entry = leaf.entry(i)
      guard entry.priority >= priority else { return false }
      if let rule = entry.rule, rule.isExactly(match, mask, priority, version) { return true }
    }
    return false
  }
}

extension SparseMask {
  /// Whether it has the same bits as one with all words.
  func isMask(_ mask: borrowing FlowMask) -> Bool {
    var count = 0
    for index in 0..<FlowKey.wordCount where mask.words[index] != 0 { count &+= 1 }
    guard count == self.count else { return false }
    for i in 0..<count where mask.words[self[i].index] != self[i].mask { return false }
    return true
  }
}

extension Rule {
  fileprivate func isExactly(
    _ match: borrowing FlowKey, _ mask: borrowing FlowMask, _ priority: UInt16, _ version: UInt64
  ) -> Bool {
    guard self.priority == priority, isVisible(at: version), self.mask.isMask(mask) else { return false }
    for i in 0..<self.mask.count where unsafe values[i] != match.words[self.mask[i].index] { return false }
    return true
  }
}
