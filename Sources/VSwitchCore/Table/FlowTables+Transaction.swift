// Changes that become visible at one version step, or not at all.
//
// Thread: control. While a transaction runs, new rules are in the tables with a version that no reader has yet, and
// removed ones are marked with it. Its end publishes the version; a failure undoes the steps in reverse order, and no
// reader has seen any.
// A change that was made earlier in the same transaction is seen by the later ones (`Rule.isCurrent`).

import Synchronization

/// What has been done since the last published version.
struct Transaction {
  enum Step {
    case added(Rule, ownsSlot: Bool)
    /// The rule's slot went over to a new record, or goes with the rule. A reason if it is to be told.
    case removed(Rule, ownsSlot: Bool, RemovalReason?)
    // Apart, so that a million rules' steps are small.
    indirect case group(id: UInt32, old: GroupState?, new: GroupState?, slotsTaken: [UInt32])
    indirect case meter(id: UInt32, old: MeterState?, new: MeterState?, slotsTaken: [UInt32])
  }
  /// That the changes get.
  var version: UInt64
  var steps: [Step] = []
  var events: [RuleEvent] = []
  /// When rules were removed that are told of.
  var removedAt: UInt64 = 0
  var touched = TouchedTables()
  /// Something changed that decisions do not depend on, as they ask it again for each packet.
  var needsVersion = false

  /// Forgets what was done: the next one begins.
  mutating func restart() {
    version += 1
    // The memory of a small one is used again, that of a big one is given back.
    if steps.capacity > 64 { steps = [] } else { steps.removeAll(keepingCapacity: true) }
    events = []
    touched = TouchedTables()
    needsVersion = false
  }
}

/// A set of `TableDependency.index`.
struct TouchedTables {
  private var bits = InlineArray<4, UInt64>(repeating: 0)

  /// - Parameter index: below 256.
  mutating func insert(_ index: Int) { bits[index >> 6] |= 1 << UInt64(index & 63) }
  func contains(_ index: Int) -> Bool { bits[index >> 6] & 1 << UInt64(index & 63) != 0 }
  var isEmpty: Bool { bits[0] | bits[1] | bits[2] | bits[3] == 0 }

  func visit(_ body: (Int) -> Void) {
    for word in bits.indices {
      var left = bits[word]
      while left != 0 {
        body(word << 6 | left.trailingZeroBitCount)
        left &= left &- 1
      }
    }
  }
}

extension FlowTables {
  /// Makes one change.
  /// - Parameter now: nanoseconds.
  /// - Returns: what happened to rules, if `reportsEvents`.
  @discardableResult
  public func apply(_ change: TableChange, now: UInt64) throws(TableError) -> [RuleEvent] {
    do {
      try perform(change, now: now)
    } catch {
      rollBack()
      throw error
    }
    deleteLearned(now: now)
    return commit()
  }

  /// Makes one change of the rules.
  @discardableResult
  public func apply(_ flowMod: FlowMod, now: UInt64) throws(TableError) -> [RuleEvent] {
    try apply(.flow(flowMod), now: now)
  }

  /// Makes one change of the groups.
  @discardableResult
  public func apply(_ groupMod: GroupMod, now: UInt64) throws(TableError) -> [RuleEvent] {
    try apply(.group(groupMod), now: now)
  }

  /// Makes one change of the meters.
  @discardableResult
  public func apply(_ meterMod: MeterMod, now: UInt64) throws(TableError) -> [RuleEvent] {
    try apply(.meter(meterMod), now: now)
  }

  /// Makes all changes at one version step, or none: readers see all of them or none.
  @discardableResult
  public func apply(bundle: some Sequence<TableChange>, now: UInt64) throws(BundleError) -> [RuleEvent] {
    var changes = bundle.makeIterator()
    return try applyAll(now: now) { tables throws(TableError) in
      guard let change = changes.next() else { return false }
      try tables.perform(change, now: now)
      return true
    }
  }

  /// Makes all changes of a list at one version step, or none.
  @discardableResult
  public func apply(_ list: TableChangeList, now: UInt64) throws(BundleError) -> [RuleEvent] {
    var cursor = list.cursor
    return try applyAll(now: now) { tables throws(TableError) in
      guard cursor.next() else { return false }
      if let other = cursor.other {
        try tables.perform(other, now: now)
      } else {
        tables.fetchPlace(after: cursor)
        try tables.perform(cursor.flowMod, now: now)
      }
      return true
    }
  }

  /// Has the place of a rule that will be added soon fetched meanwhile: in a large table it is in no cache.
  private func fetchPlace(after cursor: borrowing TableChangeList.Cursor) {
    guard let subtable = classifiers[Int(min(cursor.flowMod.table, 253))]?.latestSubtable,
      let hash = cursor.upcomingHash(4, seed: subtable.seed)
    else { return }
    subtable.prefetch(hash)
  }

  /// - Parameter performNext: makes the next change; false if there is none.
  private func applyAll(
    now: UInt64, _ performNext: (FlowTables) throws(TableError) -> Bool
  ) throws(BundleError) -> [RuleEvent] {
    var index = 0
    do throws(TableError) {
      while try performNext(self) { index += 1 }
    } catch {
      rollBack()
      throw BundleError(index: index, error: error)
    }
    deleteLearned(now: now)
    return commit()
  }

  private func perform(_ change: TableChange, now: UInt64) throws(TableError) {
    switch change {
    case .flow(let flowMod): try perform(flowMod, now: now)
    case .group(let groupMod): try perform(groupMod, now: now)
    case .meter(let meterMod): try perform(meterMod, now: now)
    }
  }

  /// Deletes what rules have learned, where the last of them has gone that was to take it along (ovs-actions(7), `learn` with
  /// `delete_learned`).
  func deleteLearned(now: UInt64) {
    for key in ruleReferences.takeOrphans() {
      var rules: [Rule] = []
      classifiers[Int(key.table)]?.forEach(within: Match()) { if $0.cookie == key.cookie { rules.append($0) } }
      for rule in rules { delete(rule, reason: .delete, now: now) }
    }
  }

  /// Publishes what the transaction did.
  func commit() -> [RuleEvent] {
    if transaction.touched.contains(TableDependency.groups.index) || livePorts != publishedLivePorts {
      publishedLivePorts = livePorts
      if updateLiveness() { transaction.touched.insert(TableDependency.groups.index) }
    }
    publishTouched()
    if countsLearned { publishLearnedCounts() }
    transaction.touched.visit { dependency in
      unsafe root.pointee.changedVersions[dependency].store(transaction.version, ordering: .releasing)
    }
    if !transaction.touched.isEmpty || transaction.needsVersion {
      // After this no new reader is without the changes.
      unsafe root.pointee.version.store(transaction.version, ordering: .sequentiallyConsistent)
    }
    for step in transaction.steps {
      switch step {
      case .added: break
      case .removed(let rule, let ownsSlot, let reason):
        if let reason {
          retired.add(RetiredMemory.RemovalNotice(rule: rule, reason: reason, removedAt: transaction.removedAt))
        }
        retired.add(.unlink(rule, ownsSlot: ownsSlot))
      case .group(_, let old, let new, _): if let old { retireGroup(old, replacedBy: new) }
      case .meter(_, let old, let new, _): if let old { retireMeter(old, replacedBy: new) }
      }
    }
    let events = transaction.events
    transaction.restart()
    return events
  }

  private func publishTouched() {
    transaction.touched.visit { table in
      if table < FlowTables.tableCount { unsafe classifiers[table]?.publishList { unsafe retire($0) } }
    }
  }

  /// Undoes what the transaction did.
  func rollBack() {
    for step in transaction.steps.reversed() {
      switch step {
      case .added(let rule, let ownsSlot):
        unsafe rule.record.pointee.addedVersion.store(RuleRecord.never, ordering: .relaxed)
        countRule(rule, -1)
        count(rule, -1)
        let slot = unsafe rule.record.pointee.slot
        if ownsSlot { slots.release(slot) }
        unlink(rule)
      case .removed(let rule, _, _):
        unsafe rule.record.pointee.removedVersion.store(RuleRecord.never, ordering: .relaxed)
        countRule(rule, 1)
        count(rule, 1)
        slots.setRule(rule, of: unsafe rule.record.pointee.slot)
        schedule(rule, isNew: true)
      case .group(let id, let old, let new, let slotsTaken): restoreGroup(id, old, new, slotsTaken: slotsTaken)
      case .meter(let id, let old, let new, let slotsTaken): restoreMeter(id, old, new, slotsTaken: slotsTaken)
      }
    }
    publishTouched()
    _ = ruleReferences.takeOrphans()
    // Versions are not used twice: a record of this transaction may be in a reader's hands still.
    transaction.restart()
  }
}
