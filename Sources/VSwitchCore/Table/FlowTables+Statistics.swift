// What is asked of the tables without changing them. Thread: control.

import Synchronization

extension FlowTables {
  /// What a rule has counted; exact as far as the workers have told.
  func statistics(_ rule: Rule) -> Statistics {
    unsafe root.pointee.counters.sum(rule.record.pointee.slot)
  }

  /// A rule as it was added, with what it has counted.
  func describe(_ rule: Rule) -> RuleDescription {
    let record = unsafe rule.record
    return unsafe RuleDescription(
      table: rule.table, priority: rule.priority, match: rule.match, instructions: rule.code.instructions,
      cookie: rule.cookie, idleTimeoutSeconds: record.pointee.idleTimeoutSeconds,
      hardTimeoutSeconds: record.pointee.hardTimeoutSeconds, importance: record.pointee.importance, flags: rule.flags,
      createdAt: record.pointee.createdAt, modifiedAt: record.pointee.modifiedAt, statistics: statistics(rule))
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
      sum.packetCount &+= statistics.packetCount
      sum.byteCount &+= statistics.byteCount
      sum.flowCount &+= 1
    }
    return sum
  }

  public func statistics(table: UInt8) -> TableStatistics {
    var statistics = TableStatistics()
    guard Int(table) < FlowTables.tableCount else { return statistics }
    let sum = unsafe root.pointee.counters.sum(UInt32(table))
    statistics.activeCount = UInt64(ruleCounts[Int(table)])
    statistics.lookupCount = sum.packetCount
    statistics.matchedCount = sum.byteCount
    return statistics
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
