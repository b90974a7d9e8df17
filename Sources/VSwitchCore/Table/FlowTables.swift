// The flow tables, groups and meters of a bridge: control's side. The OpenFlow commands are in `FlowTables+FlowMod`,
// `+Groups` and `+Meters`; what makes their effects visible at once is in `FlowTables+Transaction`.
//
// Thread: one owner (whoever holds the bridge's control state); workers read through `reader`. Memory: all of it is the
// object's; what workers may still see is freed a grace period after it was replaced:
//
//     let ticket = tables.beginGracePeriod()
//     …                                     // every worker passes a quiescent point
//     let removed = tables.endGracePeriod(ticket)
//
// Time is passed in: nanoseconds of one monotonic clock, which the workers count by, too.

import Glibc
import Synchronization

/// A bridge's tables, groups and meters.
@safe public final class FlowTables {
  /// Tables 0 to 253; OpenFlow allows one more, which Open vSwitch keeps to itself.
  public static let tableCount = 254

  let root: UnsafeMutablePointer<TablesRoot>
  let seed: UInt64
  // One owner has all of it at a time (the lock of its bridge): so accesses need no checks at run time.
  @safe @exclusivity(unchecked) var masks = MaskStore()
  @safe @exclusivity(unchecked) var actions = ActionStore()
  @safe @exclusivity(unchecked) var slots = SlotTable()
  @safe @exclusivity(unchecked) var classifiers = [Classifier?](repeating: nil, count: FlowTables.tableCount)
  /// Rules that no change has removed, by table.
  @safe @exclusivity(unchecked) private(set) var ruleCounts = [Int](repeating: 0, count: FlowTables.tableCount)
  /// Number of rules.
  @safe @exclusivity(unchecked) public private(set) var ruleCount = 0
  /// Most rules of all tables together.
  @safe @exclusivity(unchecked) public var ruleLimit = FlowTables.defaultRuleLimit
  public static let defaultRuleLimit = 1 << 22
  @safe @exclusivity(unchecked) var headroom = MemoryHeadroom()
  /// Packets that rules matched which have gone since, by table.
  @safe @exclusivity(unchecked) var removedMatches = [UInt64](repeating: 0, count: FlowTables.tableCount)
  @safe @exclusivity(unchecked) var limits = [TableLimits](repeating: TableLimits(), count: FlowTables.tableCount)
  @safe @exclusivity(unchecked) var groups: [UInt32: GroupState] = [:]
  @safe @exclusivity(unchecked) var meters: [UInt32: MeterState] = [:]
  @safe @exclusivity(unchecked) var ruleReferences = ReferenceCounts()
  @safe @exclusivity(unchecked) var learnedCounts = LearnedCounts()
  /// Whether anything is counted there: all that changes of other tables ask.
  @safe @exclusivity(unchecked) var countsLearned = false
  @safe @exclusivity(unchecked) var bucketReferences = ReferenceCounts()
  @safe @exclusivity(unchecked) var livePorts: Set<PortNumber> = []
  /// Those that the buckets' liveness is of.
  @safe @exclusivity(unchecked) var publishedLivePorts: Set<PortNumber> = []
  @safe @exclusivity(unchecked) var retired = RetiredMemory()
  /// Tables whose list of places is to be published anew, as rules were taken out.
  @safe @exclusivity(unchecked) var outdatedLists: Set<Int> = []
  @safe @exclusivity(unchecked) var transaction = Transaction(version: 1)
  /// Rules with timeouts by when they may expire.
  @safe @exclusivity(unchecked) var due = DueHeap()
  /// By table: rules with timeouts in the order in which they give way, if the table evicts.
  @safe @exclusivity(unchecked) var evictable: [Int: DueHeap] = [:]
  /// Bytes of all rule records.
  @safe @exclusivity(unchecked) var ruleByteCount = 0
  /// Whether `apply` returns what happened to rules, in order. Costs time and memory, so it is off unless somebody watches.
  @safe @exclusivity(unchecked) public var reportsEvents = false

  /// - Parameters:
  ///   - workerCount: workers that may read and count, numbered from 0.
  ///   - seed: keys the hashes, so that nobody can aim at one bucket.
  public init(workerCount: Int, seed: UInt64) {
    self.seed = seed
    unsafe root = .allocate(capacity: 1)
    unsafe root.initialize(to: TablesRoot(workerCount: workerCount))
    for table in 0..<SlotTable.reservedCount { unsafe root.pointee.counters.prepare(table) }
  }

  deinit {
    while let item = retired.next(upTo: .max) { run(item) }
    for classifier in classifiers {
      var rules: [Rule] = []
      classifier?.forEach(within: Match()) { rules.append($0) }
      for rule in rules { freeRule(rule) }
    }
    classifiers = []
    for state in groups.values { state.record.deallocate() }
    for state in meters.values { state.record.deallocate() }
    unsafe root.pointee.deallocate()
    unsafe root.deinitialize(count: 1)
    unsafe root.deallocate()
  }

  /// What workers get; valid as long as the tables live.
  public var reader: FlowTablesReader { unsafe FlowTablesReader(root: root) }

  @inline(__always)
  func countRule(_ rule: Rule, _ difference: Int) {
    ruleCounts[Int(rule.table)] += difference
    ruleCount += difference
    if countsLearned { noteLearned(rule, difference) }
  }

  /// The rule and where it counts, if there is but one.
  public var onlyRule: (rule: RuleDescription, slot: CounterSlot)? {
    guard ruleCount == 1 else { return nil }
    for (table, count) in ruleCounts.enumerated() where count > 0 {
      var found: (RuleDescription, CounterSlot)?
      classifiers[table]?.forEach(within: Match()) { found = (describe($0), $0.slot) }
      return found
    }
    return nil
  }

  /// Number of rules in a table, 0 if there is no such table.
  public func ruleCount(table: UInt8) -> Int { Int(table) < FlowTables.tableCount ? ruleCounts[Int(table)] : 0 }

  /// Memory of rules, their instructions and the lookup structures, without counters (24 bytes for a rule and worker
  /// that has counted on it).
  public var byteCount: Int {
    ruleByteCount + masks.byteCount + actions.byteCount
      + classifiers.reduce(0) { $0 + ($1?.byteCount ?? 0) }
  }

  /// Has growth refused where a limit of memory is not seen by allocations, but ends the process.
  /// - Parameter mayTake: whether it leaves so many bytes; asked now and then.
  public func limitMemory(_ mayTake: @escaping (_ byteCount: Int) -> Bool) { headroom.mayTake = mayTake }

  /// How full tables may get. Lowering the limit removes no rule.
  public subscript(limitsOf table: UInt8) -> TableLimits {
    get { Int(table) < FlowTables.tableCount ? limits[Int(table)] : TableLimits() }
    set {
      guard Int(table) < FlowTables.tableCount else { return }
      limits[Int(table)] = newValue
      evictable[Int(table)] = nil
      if newValue.evicts { fillEvictable(table) }
    }
  }

  // MARK: grace periods

  /// Whether anything waits for a grace period to end.
  public var needsGracePeriod: Bool { !retired.isEmpty }

  /// Starts a grace period for all that was retired so far.
  public func beginGracePeriod() -> UInt64 { retired.nextEpoch() }

  /// Things that wait for a grace period to end.
  public var retiredCount: Int { retired.count }

  /// Ends a grace period: every worker has passed a quiescent point since the ticket was taken.
  /// - Returns: rules with `sendFlowRemoved` that have gone, with the counts that no worker adds to any more.
  public func endGracePeriod(_ ticket: UInt64) -> [RemovedRule] {
    let removed = takeRemoved(ticket)
    free(ticket)
    return removed
  }

  /// The first part of a grace period's end, when others wait for it: what is to be told. The second is `free`.
  public func takeRemoved(_ ticket: UInt64) -> [RemovedRule] {
    retired.takeNotices(upTo: ticket).map { notice in
      RemovedRule(rule: describe(notice.rule), reason: notice.reason, removedAt: notice.removedAt)
    }
  }

  /// The second part: frees what was retired before the ticket was taken, some of it if that is more than a limit.
  /// - Returns: whether all of it has gone.
  @discardableResult
  public func free(_ ticket: UInt64, limit: Int = .max) -> Bool {
    var left = limit
    while left > 0, let item = retired.next(upTo: ticket) {
      run(item)
      left -= 1
    }
    for table in outdatedLists { unsafe classifiers[table]?.publishList { unsafe retire($0) } }
    outdatedLists = []
    return !retired.hasItems(upTo: ticket)
  }

  func retire(_ memory: UnsafeMutableRawPointer) { unsafe retired.add(.freeMemory(memory)) }

  private func run(_ item: RetiredMemory.Item) {
    switch item {
    case .unlink(let rule, let ownsSlot):
      unlink(rule)
      if ownsSlot {
        removedMatches[Int(rule.table)] &+= statistics(rule).packetCount
        slots.release(unsafe rule.record.pointee.slot)
      }
    case .freeRule(let rule): freeRule(rule)
    case .freeSubtable(let subtable):
      masks.release(subtable.mask)
      subtable.deallocate()
    case .unlinkGroup(let group):
      if let versioned = group.versioned { unsafe root.pointee.groups.remove(versioned) }
      retired.add(.freeGroup(group))
    case .freeGroup(let group): group.deallocate()
    case .unlinkMeter(let meter):
      if let versioned = meter.versioned { unsafe root.pointee.meters.remove(versioned) }
      retired.add(.freeMeter(meter))
    case .freeMeter(let meter): meter.deallocate()
    case .freeMemory(let memory): unsafe Glibc.free(memory)
    case .freeSlot(let slot): slots.release(slot)
    }
  }

  /// Takes a rule out of its table, for no reader to find any more; frees it a grace period later.
  func unlink(_ rule: Rule) {
    if let classifier = classifiers[Int(rule.table)] {
      if let subtable = unsafe classifier.remove(rule, retire: { unsafe retire($0) }) {
        retired.add(.freeSubtable(subtable))
      }
      if classifier.isListOutdated { outdatedLists.insert(Int(rule.table)) }
    }
    retired.add(.freeRule(rule))
  }

  func freeRule(_ rule: Rule) {
    ruleByteCount -= FlowTables.byteCount(rule.mask)
    unsafe actions.release(unsafe rule.record.pointee.actions)
    masks.release(rule.mask)
    unsafe Glibc.free(rule.record)
  }

  static func byteCount(_ mask: SparseMask) -> Int { MemoryLayout<RuleRecord>.stride + 8 * mask.count }
}
