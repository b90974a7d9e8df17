// How many rules there are of a table and cookie that a `learn` with a limit names, if it says in a bit of the packet whether its
// rule is there (`result_dst`). Kept for these tables and cookies alone, so that other changes ask for one word.
//
// Thread: control changes, workers read `LearnedCountList` at the same time. Memory: the list is the root's; one that was
// replaced is freed a grace period later. Counts change where they are.
// What is published is of a transaction that was: a decision that has read it depends on the table, which has then changed.

import Glibc
import Synchronization

/// What workers read: counts by table and cookie.
@safe struct LearnedCountList {
  struct Entry: ~Copyable {
    let cookie: UInt64
    let table: UInt8
    let count: Atomic<Int>
  }
  /// Number of entries, which follow.
  let base: UnsafeMutablePointer<Int>

  @inline(__always) init?(address: UInt) {
    guard let base = unsafe UnsafeMutablePointer<Int>(bitPattern: address) else { return nil }
    unsafe self.base = base
  }

  init(_ counts: [(key: LearnedRules, count: Int)]) {
    let memory = unsafe memoryBlock(
      byteCount: MemoryLayout<Entry>.alignment + counts.count * MemoryLayout<Entry>.stride)
    unsafe base = memory.bindMemory(to: Int.self, capacity: 1)
    unsafe base.initialize(to: counts.count)
    let sorted = counts.sorted { ($0.key.table, $0.key.cookie) < ($1.key.table, $1.key.cookie) }
    for (index, item) in sorted.enumerated() {
      unsafe (entries + index).initialize(
        to: Entry(cookie: item.key.cookie, table: item.key.table, count: Atomic(item.count)))
    }
  }

  var address: UInt { unsafe UInt(bitPattern: base) }

  private var entries: UnsafeMutablePointer<Entry> {
    unsafe UnsafeMutableRawPointer(base + 1).assumingMemoryBound(to: Entry.self)
  }

  /// Where the rules of a table and cookie are counted; nil if nobody counts them.
  func find(_ key: LearnedRules) -> UnsafeMutablePointer<Entry>? {
    var low = 0
    var high = unsafe base.pointee
    while low < high {
      let middle = (low &+ high) / 2
      let entry = unsafe entries + middle
      let isBelow =
        unsafe entry.pointee.table < key.table || entry.pointee.table == key.table && entry.pointee.cookie < key.cookie
      if isBelow { low = middle &+ 1 } else { high = middle }
    }
    guard low < (unsafe base.pointee), unsafe entries[low].table == key.table, unsafe entries[low].cookie == key.cookie
    else { return nil }
    return unsafe entries + low
  }
}

/// Control's side.
struct LearnedCounts {
  /// By what is counted: rules that ask for it, and its count.
  private var counts: [LearnedRules: (askers: Int, count: Int)] = [:]
  private var isListOutdated = false
  private var changed: Set<LearnedRules> = []

  /// Whether workers do not know all yet.
  var isOutdated: Bool { isListOutdated || !changed.isEmpty }

  /// Notes a rule, or one less.
  mutating func note(_ key: LearnedRules, _ difference: Int) {
    guard counts[key] != nil else { return }
    counts[key]?.count += difference
    changed.insert(key)
  }

  /// Has rules be counted for one more, or less, that asks.
  /// - Parameter count: how many there are.
  mutating func ask(_ key: LearnedRules, _ difference: Int, count: () -> Int) {
    if counts[key] == nil {
      counts[key] = (0, count())
      isListOutdated = true
    }
    counts[key]?.askers += difference
    // Another rule that asks may take its place at once.
    if counts[key]?.askers == 0 { isListOutdated = true }
  }

  /// Tells workers.
  /// - Returns: the address of a list in the place of the one that there is; nil if it stays.
  mutating func publish(_ list: LearnedCountList?) -> UInt? {
    defer { changed = [] }
    if isListOutdated {
      isListOutdated = false
      counts = counts.filter { $0.value.askers > 0 }
      return counts.isEmpty ? 0 : LearnedCountList(counts.map { ($0.key, $0.value.count) }).address
    }
    for key in changed {
      guard let count = counts[key]?.count, let entry = unsafe list?.find(key) else { continue }
      unsafe entry.pointee.count.store(count, ordering: .relaxed)
    }
    return nil
  }
}

extension FlowTables {
  /// Counts a rule, or one less, if rules of its table and cookie are counted.
  @inline(never)
  func noteLearned(_ rule: Rule, _ difference: Int) {
    learnedCounts.note(LearnedRules(table: rule.table, cookie: rule.cookie), difference)
  }

  /// Has rules of a table and cookie counted for one more rule, or less, that asks.
  func askLearned(_ key: LearnedRules, _ difference: Int) {
    countsLearned = true
    learnedCounts.ask(key, difference) {
      var count = 0
      guard Int(key.table) < FlowTables.tableCount else { return 0 }
      classifiers[Int(key.table)]?.forEach(within: Match()) { if $0.cookie == key.cookie { count += 1 } }
      return count
    }
  }

  /// Tells workers what the transaction has changed, before they see its version.
  @inline(never)
  func publishLearnedCounts() {
    guard learnedCounts.isOutdated else { return }
    let old = LearnedCountList(address: unsafe root.pointee.learnedCounts.load(ordering: .relaxed))
    guard let address = learnedCounts.publish(old) else { return }
    countsLearned = address != 0
    unsafe root.pointee.learnedCounts.store(address, ordering: .releasing)
    if let old { unsafe retire(UnsafeMutableRawPointer(old.base)) }
  }
}

extension FlowTablesReader {
  /// Whether a rule that `learn` asks for is there once it has been made: as control decides (`BridgeFlows.learn`). A decision that
  /// asks depends on the table.
  /// - Parameters:
  ///   - rules: its table and cookie, of an action of a rule that says whether (`learn` with `limit` and `result_dst`).
  ///   - limit: most rules of these, over 0.
  ///   - match: its match, with bits outside of the mask 0.
  public func mayLearn(
    table: UInt8, cookie: UInt64, limit: UInt32, priority: UInt16, match: borrowing FlowKey, mask: borrowing FlowMask,
    version: UInt64
  ) -> Bool {
    guard let list = LearnedCountList(address: unsafe root.pointee.learnedCounts.load(ordering: .acquiring)),
      let entry = unsafe list.find(LearnedRules(table: table, cookie: cookie)),
      unsafe entry.pointee.count.load(ordering: .relaxed) >= Int(limit)
    else { return true }
    guard let head = Table(address: unsafe root.pointee.tables[Int(table)].load(ordering: .acquiring)) else {
      return false
    }
    return head.hasRule(match, mask, priority: priority, version: version)
  }
}
