// What is asked of the tables without changing them. Thread: control.

import Synchronization

extension FlowTables {
  /// What a rule has counted; exact as far as the workers have told.
  func statistics(_ rule: Rule) -> Statistics {
    unsafe root.pointee.counters.sum(rule.record.pointee.slot)
  }

  /// A rule as it was added, with what it has counted.
  /// What it is not to count is told as not known: all ones (OpenFlow 1.5 §5.8).
  func describe(_ rule: Rule) -> RuleDescription {
    let record = unsafe rule.record
    var statistics = statistics(rule)
    if rule.flags.contains(.noPacketCounts) { statistics.packetCount = .max }
    if rule.flags.contains(.noByteCounts) { statistics.byteCount = .max }
    return unsafe RuleDescription(
      table: rule.table, priority: rule.priority, match: rule.match, instructions: rule.code.instructions,
      cookie: rule.cookie, idleTimeoutSeconds: record.pointee.idleTimeoutSeconds,
      hardTimeoutSeconds: record.pointee.hardTimeoutSeconds, importance: record.pointee.importance, flags: rule.flags,
      createdAt: record.pointee.createdAt, modifiedAt: record.pointee.modifiedAt, statistics: statistics)
  }

  /// The rule that a lookup or a cached flow counts on; nil if it has gone.
  public func rule(countingIn slot: CounterSlot) -> RuleDescription? { slots.rule(slot.index).map(describe) }

  /// Calls `body` for each rule of a kind, table by table, in no order within a table.
  public func forEachRule(_ filter: RuleFilter = RuleFilter(), _ body: (RuleDescription) -> Void) {
    visit(filter) { body(describe($0)) }
  }

  /// The rules of a kind.
  public func rules(_ filter: RuleFilter = RuleFilter()) -> [RuleDescription] {
    var rules: [RuleDescription] = []
    forEachRule(filter) { rules.append($0) }
    return rules
  }

  public func aggregate(_ filter: RuleFilter) -> AggregateStatistics {
    var sum = AggregateStatistics()
    visit(filter) { rule in
      let statistics = statistics(rule)
      if !rule.flags.contains(.noPacketCounts) { sum.packetCount &+= statistics.packetCount }
      if !rule.flags.contains(.noByteCounts) { sum.byteCount &+= statistics.byteCount }
      sum.flowCount &+= 1
    }
    return sum
  }

  /// How many rules of a kind there are.
  /// - Parameter limit: counting ends there.
  public func count(_ filter: RuleFilter, limit: Int = .max) -> Int {
    var count = 0
    visit(filter) { _ in count += 1 }
    return min(count, limit)
  }

  /// Whether there is a rule with exactly this match and priority.
  public func hasRule(table: UInt8, _ match: Match, priority: UInt16) -> Bool {
    guard Int(table) < FlowTables.tableCount, let mask = masks.find(match) else { return false }
    return classifiers[Int(table)]?.find(match, mask: mask, priority: priority) != nil
  }

  /// What matched is the sum of what rules have counted, which have their packets also from cached decisions; what did not is
  /// counted in a slot of the table's own.
  public func statistics(table: UInt8) -> TableStatistics {
    var result = TableStatistics()
    guard Int(table) < FlowTables.tableCount else { return result }
    result.activeCount = UInt64(ruleCounts[Int(table)])
    result.matchedCount = removedMatches[Int(table)]
    if let classifier = classifiers[Int(table)] {
      classifier.forEach(within: Match()) { result.matchedCount &+= statistics($0).packetCount }
      // Those that have gone, but are not taken out yet.
      retired.forEachLinked { rule in
        if rule.table == table { result.matchedCount &+= statistics(rule).packetCount }
      }
    }
    result.lookupCount = result.matchedCount &+ (unsafe root.pointee.counters.sum(UInt32(table))).packetCount
    return result
  }

  private func visit(_ filter: RuleFilter, _ body: (Rule) -> Void) {
    var outputs = OutputFilter(port: filter.outPort, group: filter.outGroup)
    for (number, classifier) in classifiers.enumerated() {
      guard let classifier, filter.table == nil || filter.table.map(Int.init) == number else { continue }
      classifier.forEach(within: filter.match) { rule in
        if filter.cookie.accepts(rule.cookie), unsafe outputs.accepts(rule.record.pointee.actions) { body(rule) }
      }
    }
  }
}
