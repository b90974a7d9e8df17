// The rules of one table for control code: where each goes, and what workers get to see of it.
//
// Thread: control. Memory: subtables, tree and lists are the classifier's; the rules are `FlowTables`'s.
// A rule goes into the tree until its mask has become frequent; then the mask gets a subtable for the rules that come,
// and those that are in the tree stay there. So a table with few rules is one leaf, a table of one shape is one hash
// table, and a table of many masks is a tree with a bounded number of subtables beside it.

import Glibc
import Synchronization

final class Classifier {
  /// Rules with one mask that the tree takes before the mask gets a subtable.
  static let treeShare = 64
  /// Subtables of one table: each costs a lookup that can't skip it some 10 ns, or 100 if it is not in the processor's
  /// cache.
  static let subtableLimit = 12

  let table: Table
  // The owner of `FlowTables` has it alone: accesses need no checks at run time.
  @safe @exclusivity(unchecked) private(set) var ruleCount = 0
  @safe @exclusivity(unchecked) private var subtables: [UInt: Subtable] = [:]
  /// Rules come in runs that have the same mask: its subtable, or nil if it has none.
  @safe @exclusivity(unchecked) private var latest: (key: UInt, subtable: Subtable?)?
  /// Rules in the tree by mask.
  @safe @exclusivity(unchecked) private var treeCounts: [UInt: Int] = [:]
  @safe @exclusivity(unchecked) private var tree: BitTree
  @safe @exclusivity(unchecked) private var clauseCount = 0
  @safe @exclusivity(unchecked) private var places: PlaceList?
  /// Whether a reader needs another list to find every rule.
  @safe @exclusivity(unchecked) private(set) var isListOutdated = false
  /// One of the next rules may take milliseconds to be added.
  @safe @exclusivity(unchecked) private(set) var isAboutToGrow = false
  private let seed: UInt64

  init(seed: UInt64) {
    self.seed = seed
    let head = UnsafeMutablePointer<TableHead>.allocate(capacity: 1)
    unsafe head.initialize(to: TableHead())
    unsafe table = Table(head: head)
    tree = unsafe BitTree(root: UnsafeMutableRawPointer(head).assumingMemoryBound(to: Atomic<UInt>.self) + 1)
  }

  deinit {
    tree.deallocate()
    for subtable in subtables.values { subtable.deallocate() }
    if let places { unsafe free(places.header) }
    unsafe table.head.deinitialize(count: 1)
    unsafe table.head.deallocate()
  }

  private static func key(_ mask: SparseMask) -> UInt { unsafe UInt(bitPattern: mask.block) }

  /// The subtable of a mask; nil if its rules are in the tree.
  private func subtable(_ key: UInt) -> Subtable? {
    if let latest, latest.key == key { return latest.subtable }
    let found = subtables[key]
    latest = (key, found)
    return found
  }

  /// The subtable that was asked for last.
  var latestSubtable: Subtable? { latest?.subtable }

  /// Whether a new rule with a mask goes into a subtable, which is made if need be: the hash of its values then.
  func hash(mask: SparseMask, _ match: Match) -> UInt32? {
    if let subtable = subtable(Classifier.key(mask)) { return subtable.hash(match) }
    guard subtables.count < Classifier.subtableLimit,
      treeCounts[Classifier.key(mask), default: 0] >= Classifier.treeShare
    else { return nil }
    let subtable = Subtable(mask: mask, seed: seed)
    unsafe mask.block.pointee.useCount.add(1)
    subtables[Classifier.key(mask)] = subtable
    latest = nil
    isListOutdated = true
    return subtable.hash(match)
  }

  /// Adds a rule that was made with what `hash` said.
  func insert(_ rule: Rule, retire: (UnsafeMutableRawPointer) -> Void) {
    ruleCount += 1
    if rule.isClause {
      clauseCount += 1
      if clauseCount == 1 { isListOutdated = true }
    }
    let key = Classifier.key(rule.mask)
    if unsafe rule.record.pointee.isHashed {
      guard let subtable = subtable(key) else { return }
      if unsafe subtable.record.pointee.ruleCount.value == 0
        || rule.priority > subtable.record.pointee.maximumPriority.value
      {
        isListOutdated = true
      }
      unsafe subtable.insert(rule, retire: retire)
      isAboutToGrow = subtable.isAboutToGrow
    } else {
      if tree.ruleCount == 0 || rule.priority > tree.maximumPriority { isListOutdated = true }
      unsafe tree.insert(rule, retire: retire)
      treeCounts[key, default: 0] += 1
    }
  }

  /// Takes a rule out that workers of any version do without. A subtable without rules goes, too.
  /// - Returns: a subtable to free after a grace period; its mask is to be released then.
  func remove(_ rule: Rule, retire: (UnsafeMutableRawPointer) -> Void) -> Subtable? {
    ruleCount -= 1
    if rule.isClause { clauseCount -= 1 }
    let key = Classifier.key(rule.mask)
    if unsafe rule.record.pointee.isHashed {
      guard let subtable = subtable(key) else { return nil }
      subtable.remove(rule)
      guard unsafe subtable.record.pointee.ruleCount.value == 0 else { return nil }
      subtables[key] = nil
      latest = nil
      isListOutdated = true
      return subtable
    }
    unsafe tree.remove(rule, retire: retire)
    let count = treeCounts[key, default: 1] - 1
    treeCounts[key] = count == 0 ? nil : count
    return nil
  }

  /// Publishes where the rules are.
  func publishList(retire: (UnsafeMutableRawPointer) -> Void) {
    guard isListOutdated else { return }
    isListOutdated = false
    var list = subtables.values.map { subtable in
      unsafe Place(maximumPriority: subtable.record.pointee.maximumPriority.value, subtable: subtable.address)
    }
    if tree.ruleCount > 0 { list.append(Place(maximumPriority: tree.maximumPriority, subtable: 0)) }
    list.sort { ($0.maximumPriority, $0.subtable) > ($1.maximumPriority, $1.subtable) }
    let new = PlaceList(list, hasClauses: clauseCount > 0)
    unsafe table.head.pointee.places.store(new.address, ordering: .releasing)
    if let places { unsafe retire(UnsafeMutableRawPointer(places.header)) }
    places = new
  }

  // MARK: what changes ask

  /// The rule with exactly this match and priority that no change has removed.
  func find(_ match: Match, mask: SparseMask, priority: UInt16) -> Rule? {
    if let subtable = subtable(Classifier.key(mask)) {
      var candidate = subtable.first(subtable.hash(match))
      while let rule = candidate, rule.priority >= priority {
        if rule.priority == priority, rule.isCurrent, rule.hasValues(of: match) { return rule }
        candidate = rule.next
      }
    }
    guard tree.ruleCount > 0, treeCounts[Classifier.key(mask)] != nil, let leaf = tree.leaf(of: match) else {
      return nil
    }
    for i in 0..<leaf.count {
      let entry = leaf.entry(i)
      guard entry.priority >= priority else { return nil }
      if entry.priority == priority, let rule = entry.rule, rule.mask == mask, rule.isCurrent,
        rule.hasValues(of: match)
      {
        return rule
      }
    }
    return nil
  }

  /// Calls `body` for the rules that no change has removed and that are within a match.
  func forEach(within match: Match, _ body: (Rule) -> Void) {
    let isAll = match.words.isEmpty
    func visit(_ rule: Rule) {
      if rule.isCurrent, isAll || rule.isWithin(match) { body(rule) }
    }
    for subtable in subtables.values where isAll || subtable.mask.isSuperset(of: match) {
      if subtable.mask.isMask(of: match) {
        var candidate = subtable.first(subtable.hash(match))
        while let rule = candidate {
          candidate = rule.next
          visit(rule)
        }
      } else {
        subtable.forEach(visit)
      }
    }
    tree.forEach(within: isAll ? nil : match, visit)
  }

  /// Whether a rule of this priority that no change has removed could match a packet that the match does, too.
  func hasOverlap(_ match: Match, priority: UInt16) -> Bool {
    var found = false
    func visit(_ rule: Rule) {
      if !found, rule.priority == priority, rule.isCurrent, rule.overlaps(match) { found = true }
    }
    for subtable in subtables.values where !found { subtable.forEach(visit) }
    if !found { tree.forEach(within: nil, visit) }
    return found
  }

  /// Memory of the lookup structures, without the rules.
  var byteCount: Int { subtables.values.reduce(tree.byteCount) { $0 + $1.byteCount } }
  var subtableCount: Int { subtables.count }
}

extension Rule {
  /// Whether no change has removed it, published or not.
  var isCurrent: Bool {
    unsafe record.pointee.removedVersion.load(ordering: .relaxed) == RuleRecord.never
  }

  /// What the rule asks of a word of the flow key; zeros for nothing.
  private func word(_ index: Int) -> (value: UInt64, mask: UInt64) {
    let mask = self.mask
    for i in 0..<mask.count where mask[i].index == index { return unsafe (values[i], mask[i].mask) }
    return (0, 0)
  }

  /// Whether every packet that the rule matches matches `match`, too.
  func isWithin(_ match: Match) -> Bool {
    match.words.allSatisfy { wide in
      let own = word(wide.index)
      return wide.mask & ~own.mask == 0 && (own.value ^ wide.value) & wide.mask == 0
    }
  }

  /// Whether a match of the same mask has the rule's values.
  func hasValues(of match: Match) -> Bool {
    for i in 0..<match.words.count where unsafe match.words[i].value != values[i] { return false }
    return true
  }

  /// Whether some packet could match both.
  func overlaps(_ match: Match) -> Bool {
    match.words.allSatisfy { word in
      let own = self.word(word.index)
      return (own.value ^ word.value) & own.mask & word.mask == 0
    }
  }
}
