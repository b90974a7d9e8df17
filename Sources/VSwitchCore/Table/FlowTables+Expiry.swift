// Rules that go by themselves: after a time, or when their table is full.
//
// Thread: control. Both ends of a timeout are looked at only when a rule may be due: a rule that has been used since is
// put in anew for later, so that a packet costs nothing here.

import Synchronization

extension FlowTables {
  /// When `expire` may have something to do next; nil if no rule has a timeout.
  public var nextExpiry: UInt64? { due.top?.key }

  /// Removes the rules whose time is over.
  /// - Returns: what happened to rules, if `reportsEvents`.
  @discardableResult
  public func expire(now: UInt64) -> [RuleEvent] {
    while let entry = due.top, entry.key <= now {
      due.removeTop()
      guard let rule = rule(of: entry) else { continue }
      let (time, reason) = deadline(of: rule)
      if time <= now {
        delete(rule, reason: reason, now: now)
      } else if time != .max {
        due.insert(DueHeap.Entry(key: time, slot: entry.slot, generation: entry.generation))
      }
    }
    deleteLearned(now: now)
    return commit()
  }

  /// Shortens a rule's timeouts (ovs-actions(7), `fin_timeout`), as what a worker tells of a closed connection asks for.
  /// - Parameter slot: of the rule.
  public func shortenTimeouts(of slot: CounterSlot, idleSeconds: UInt16, hardSeconds: UInt16, now: UInt64) {
    guard let old = slots.rule(slot.index), old.isCurrent else { return }
    func shortened(_ seconds: UInt16, _ limit: UInt16) -> UInt16 {
      limit == 0 ? seconds : seconds == 0 ? limit : min(seconds, limit)
    }
    var description = describe(old)
    description.idleTimeoutSeconds = shortened(description.idleTimeoutSeconds, idleSeconds)
    description.hardTimeoutSeconds = shortened(description.hardTimeoutSeconds, hardSeconds)
    guard description != describe(old) else { return }
    replace(old, description)
    _ = commit()
  }

  private func rule(of entry: DueHeap.Entry) -> Rule? {
    guard slots.generation(entry.slot) == entry.generation, let rule = slots.rule(entry.slot), rule.isCurrent else {
      return nil
    }
    return rule
  }

  /// When a rule expires if it is not used again, and why; `UInt64.max` for never.
  private func deadline(of rule: Rule) -> (UInt64, RemovalReason) {
    func after(_ start: UInt64, _ seconds: UInt16) -> UInt64 {
      seconds == 0 ? .max : start &+ UInt64(seconds) * 1_000_000_000
    }
    let record = unsafe rule.record
    // A modified rule's time starts again, as a learned one's does when it is learned again.
    let hard = unsafe after(record.pointee.modifiedAt, record.pointee.hardTimeoutSeconds)
    let idleSeconds = unsafe record.pointee.idleTimeoutSeconds
    guard idleSeconds != 0 else { return (hard, .hardTimeout) }
    let idle = unsafe after(max(record.pointee.modifiedAt, statistics(rule).lastUsed), idleSeconds)
    return hard <= idle ? (hard, .hardTimeout) : (idle, .idleTimeout)
  }

  /// Notes when a new rule, or one with other timeouts, may expire.
  func schedule(_ rule: Rule, isNew: Bool) {
    guard
      unsafe rule.record.pointee.idleTimeoutSeconds != 0 || rule.record.pointee.hardTimeoutSeconds != 0
    else { return }
    let slot = unsafe rule.record.pointee.slot
    let (time, _) = deadline(of: rule)
    // A rule that was modified has an entry, which is found to be early when it comes up.
    guard isNew else { return }
    let entry = DueHeap.Entry(key: time, slot: slot, generation: slots.renew(slot))
    due.insert(entry)
    if limits[Int(rule.table)].evicts {
      evictable[Int(rule.table), default: DueHeap()].insert(
        DueHeap.Entry(key: evictionKey(of: rule), slot: slot, generation: entry.generation))
    }
    dropStaleEntries()
  }

  /// Entries of rules that have gone are dropped when they would be most of a heap.
  private func dropStaleEntries() {
    if due.count > 2 * slots.usedCount + 1024 { due.filter { rule(of: $0) != nil } }
    for (table, heap) in evictable where heap.count > 2 * ruleCounts[table] + 1024 {
      evictable[table]?.filter { rule(of: $0).map { Int($0.table) == table } ?? false }
    }
  }

  // MARK: full tables

  /// Makes sure that one more rule is within its table's limit.
  func makeRoom(_ mod: FlowMod, now: UInt64) throws(TableError) {
    guard ruleCount < ruleLimit else { throw .tooManyRules }
    let limits = limits[Int(mod.table)]
    guard let limit = limits.ruleLimit, ruleCounts[Int(mod.table)] >= limit else { return }
    guard limits.evicts else { throw .tableFull(mod.table) }
    while let entry = evictable[Int(mod.table)]?.top {
      guard let rule = rule(of: entry) else {
        evictable[Int(mod.table)]?.removeTop()
        continue
      }
      let key = evictionKey(of: rule)
      guard key == entry.key else {
        evictable[Int(mod.table)]?.removeTop()
        evictable[Int(mod.table)]?.insert(DueHeap.Entry(key: key, slot: entry.slot, generation: entry.generation))
        continue
      }
      guard unsafe rule.record.pointee.importance <= mod.importance else { break }
      // The entry stays, for the case that the transaction is undone.
      delete(rule, reason: .eviction, now: now)
      return
    }
    throw .tableFull(mod.table)
  }

  /// Importance, then the time of expiry in milliseconds, which 48 bits hold for 8,900 years.
  private func evictionKey(of rule: Rule) -> UInt64 {
    let time = min(deadline(of: rule).0 / 1_000_000, 1 << 48 - 1)
    return unsafe UInt64(rule.record.pointee.importance) << 48 | time
  }

  func fillEvictable(_ table: UInt8) {
    var heap = DueHeap()
    classifiers[Int(table)]?.forEach(within: Match()) { rule in
      let record = unsafe rule.record
      guard unsafe record.pointee.idleTimeoutSeconds != 0 || record.pointee.hardTimeoutSeconds != 0 else { return }
      let slot = unsafe record.pointee.slot
      heap.insert(DueHeap.Entry(key: evictionKey(of: rule), slot: slot, generation: slots.generation(slot)))
    }
    evictable[Int(table)] = heap
  }
}
