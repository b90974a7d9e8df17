// Changing a tree: control's side. A leaf that gets too long becomes a node; a node that has one child left becomes it.
// For the invariants see BitTree.swift.

import Glibc
import Synchronization

/// Handle of a tree's root, and what control code knows of the tree.
@safe struct BitTree {
  /// Rules that a leaf may have before it is split.
  static let leafLimit = 8
  /// Nodes on one way; leaves below that are not split.
  static let depthLimit = 96

  /// Where the reference of the topmost node or leaf is.
  let root: UnsafeMutablePointer<Atomic<UInt>>
  private(set) var ruleCount = 0
  /// Memory of nodes and leaves.
  private(set) var byteCount = 0
  /// At least the highest priority of a rule.
  private(set) var maximumPriority: UInt16 = 0

  init(root: UnsafeMutablePointer<Atomic<UInt>>) { unsafe self.root = root }

  /// Adds a rule.
  /// - Parameter retire: gets memory to free after a grace period.
  mutating func insert(_ rule: Rule, retire: (UnsafeMutableRawPointer) -> Void) {
    ruleCount += 1
    maximumPriority = max(maximumPriority, rule.priority)
    var place = unsafe root
    var depth = 0
    while let node = unsafe TreeChild(place.pointee.load(ordering: .relaxed)).node {
      let side = unsafe rule.side(wordIndex: Int(node.pointee.wordIndex), bit: Int(node.pointee.bit))
      // Before the rule is there, so that no reader skips it.
      unsafe side.raiseMaximum(of: node, to: rule.priority)
      unsafe place = side.place(in: node)
      depth += 1
    }
    let old = unsafe TreeChild(place.pointee.load(ordering: .relaxed)).leaf
    var entries = old?.entries ?? []
    let index = entries.firstIndex { $0.priority < rule.priority } ?? entries.count
    entries.insert(TreeEntry(rule), at: index)
    unsafe place.pointee.store(subtree(entries, depth: depth), ordering: .releasing)
    if let old { unsafe release(old, retire) }
  }

  /// Takes out a rule that is in.
  mutating func remove(_ rule: Rule, retire: (UnsafeMutableRawPointer) -> Void) {
    _ = unsafe remove(rule, at: root, retire: retire)
  }

  private mutating func remove(
    _ rule: Rule, at place: UnsafeMutablePointer<Atomic<UInt>>, retire: (UnsafeMutableRawPointer) -> Void
  ) -> Bool {
    let child = unsafe TreeChild(place.pointee.load(ordering: .relaxed))
    if let leaf = child.leaf {
      var entries = leaf.entries
      guard let index = entries.firstIndex(where: { $0.rule == rule }) else { return false }
      entries.remove(at: index)
      unsafe place.pointee.store(entries.isEmpty ? 0 : makeLeaf(entries), ordering: .releasing)
      unsafe release(leaf, retire)
      ruleCount -= 1
      if ruleCount == 0 { maximumPriority = 0 }
      return true
    }
    guard let node = unsafe child.node else { return false }
    let side = unsafe rule.side(wordIndex: Int(node.pointee.wordIndex), bit: Int(node.pointee.bit))
    guard unsafe remove(rule, at: side.place(in: node), retire: retire) else { return false }
    let children = unsafe [
      node.pointee.zero.load(ordering: .relaxed), node.pointee.one.load(ordering: .relaxed),
      node.pointee.any.load(ordering: .relaxed),
    ].filter { $0 != 0 }
    if children.count <= 1 {
      unsafe place.pointee.store(children.first ?? 0, ordering: .releasing)
      byteCount -= MemoryLayout<TreeNode>.stride
      unsafe retire(UnsafeMutableRawPointer(node))
    }
    return true
  }

  /// The rules that are where a match leads: the only ones that can have the same match.
  func leaf(of match: Match) -> TreeLeaf? {
    var child = unsafe TreeChild(root.pointee.load(ordering: .relaxed))
    while let node = unsafe child.node {
      child = unsafe TreeChild(TreeSide(match, node).place(in: node).pointee.load(ordering: .relaxed))
    }
    return child.leaf
  }

  /// Calls `body` for every rule that may be within a match (all of them if it is nil), in no order.
  func forEach(within match: Match?, _ body: (Rule) -> Void) {
    unsafe BitTree.forEach(root.pointee.load(ordering: .relaxed), within: match, body)
  }

  private static func forEach(_ reference: UInt, within match: Match?, _ body: (Rule) -> Void) {
    let child = TreeChild(reference)
    if let leaf = child.leaf {
      for i in 0..<leaf.count { if let rule = leaf.entry(i).rule { body(rule) } }
    } else if let node = unsafe child.node {
      // A rule within the match has all its bits, so a bit that the match has leads to one child alone.
      let side = match.map { unsafe TreeSide($0, node) } ?? .any
      if side != .one { unsafe forEach(node.pointee.zero.load(ordering: .relaxed), within: match, body) }
      if side != .zero { unsafe forEach(node.pointee.one.load(ordering: .relaxed), within: match, body) }
      if side == .any { unsafe forEach(node.pointee.any.load(ordering: .relaxed), within: match, body) }
    }
  }

  /// Frees all nodes and leaves, not the rules.
  func deallocate() { unsafe BitTree.deallocate(root.pointee.load(ordering: .relaxed)) }

  private static func deallocate(_ reference: UInt) {
    let child = TreeChild(reference)
    if let leaf = child.leaf {
      unsafe free(leaf.base)
    } else if let node = unsafe child.node {
      unsafe deallocate(node.pointee.zero.load(ordering: .relaxed))
      unsafe deallocate(node.pointee.one.load(ordering: .relaxed))
      unsafe deallocate(node.pointee.any.load(ordering: .relaxed))
      unsafe free(node)
    }
  }

  // MARK: building

  private mutating func release(_ leaf: TreeLeaf, _ retire: (UnsafeMutableRawPointer) -> Void) {
    byteCount -= TreeLeaf.byteCount(leaf.count)
    unsafe retire(UnsafeMutableRawPointer(leaf.base))
  }

  private mutating func makeLeaf(_ entries: [TreeEntry]) -> UInt {
    byteCount += TreeLeaf.byteCount(entries.count)
    return TreeLeaf(entries).reference
  }

  /// A leaf, or nodes with leaves if there are too many rules.
  private mutating func subtree(_ entries: [TreeEntry], depth: Int) -> UInt {
    guard entries.count > BitTree.leafLimit, depth < BitTree.depthLimit, let bit = BitChoice.best(entries) else {
      return entries.isEmpty ? 0 : makeLeaf(entries)
    }
    var zero: [TreeEntry] = []
    var one: [TreeEntry] = []
    var any: [TreeEntry] = []
    for entry in entries {
      switch entry.rule.map({ $0.side(wordIndex: bit.wordIndex, bit: bit.bit) }) ?? .any {
      case .zero: zero.append(entry)
      case .one: one.append(entry)
      case .any: any.append(entry)
      }
    }
    let children = (
      subtree(zero, depth: depth + 1), subtree(one, depth: depth + 1), subtree(any, depth: depth + 1)
    )
    let node = UnsafeMutablePointer<TreeNode>.allocate(capacity: 1)
    unsafe node.initialize(to: TreeNode(bit: bit, zero: children.0, one: children.1, any: children.2))
    unsafe node.pointee.zeroMaximum.store(zero.first?.priority ?? 0, ordering: .relaxed)
    unsafe node.pointee.oneMaximum.store(one.first?.priority ?? 0, ordering: .relaxed)
    unsafe node.pointee.anyMaximum.store(any.first?.priority ?? 0, ordering: .relaxed)
    byteCount += MemoryLayout<TreeNode>.stride
    return UInt(bitPattern: node)
  }
}

/// What a match says of a node's bit.
enum TreeSide {
  case zero, one, any

  init(_ match: Match, _ node: UnsafeMutablePointer<TreeNode>) {
    let word = unsafe match.word(Int(node.pointee.wordIndex))
    let bit = unsafe UInt64(node.pointee.bit)
    if word.mask &>> bit & 1 == 0 { self = .any } else { self = word.value &>> bit & 1 == 0 ? .zero : .one }
  }

  func place(in node: UnsafeMutablePointer<TreeNode>) -> UnsafeMutablePointer<Atomic<UInt>> {
    // The children are the node's first three words.
    let index =
      switch self {
      case .zero: 0
      case .one: 1
      case .any: 2
      }
    return unsafe UnsafeMutableRawPointer(node).assumingMemoryBound(to: Atomic<UInt>.self) + index
  }

  func raiseMaximum(of node: UnsafeMutablePointer<TreeNode>, to priority: UInt16) {
    switch self {
    case .zero: unsafe TreeSide.raise(node.pointee.zeroMaximum, priority)
    case .one: unsafe TreeSide.raise(node.pointee.oneMaximum, priority)
    case .any: unsafe TreeSide.raise(node.pointee.anyMaximum, priority)
    }
  }

  private static func raise(_ maximum: borrowing Atomic<UInt16>, _ priority: UInt16) {
    if maximum.load(ordering: .relaxed) < priority { maximum.store(priority, ordering: .relaxed) }
  }
}

extension Rule {
  /// What the rule's match says of a bit.
  func side(wordIndex: Int, bit: Int) -> TreeSide {
    let mask = self.mask
    for i in 0..<mask.count where mask[i].index == wordIndex {
      guard mask[i].mask &>> UInt64(bit) & 1 == 1 else { return .any }
      return unsafe values[i] &>> UInt64(bit) & 1 == 0 ? .zero : .one
    }
    return .any
  }

  /// The rule's match.
  var match: Match {
    let mask = self.mask
    return Match(
      words: (0..<mask.count).map { i in
        unsafe MatchWord(index: mask[i].index, value: values[i], mask: mask[i].mask)
      })
  }
}
