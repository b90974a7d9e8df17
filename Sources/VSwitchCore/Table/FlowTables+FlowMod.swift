// Adding, modifying and deleting rules (OpenFlow 1.5 §6.4 and §7.3.4.3, and Open vSwitch where that leaves it open).
// Thread: control, within a transaction.

import Glibc
import Synchronization

extension FlowTables {
  func perform(_ mod: FlowMod, now: UInt64) throws(TableError) {
    switch mod.command {
    case .add: try add(mod, now: now)
    case .modify, .modifyStrict: try modify(mod, now: now)
    case .delete, .deleteStrict: try delete(mod, now: now)
    }
  }

  /// Whether a change is one of a single rule, whatever the tables hold, and nothing comes of it that is told to anybody: no rule
  /// gives way to another, or goes with it, nobody watches, and no large hash table is about to be filled anew.
  public func isBrief(_ mod: FlowMod) -> Bool {
    guard Int(mod.table) < FlowTables.tableCount, mod.command == .add || mod.command == .modifyStrict else {
      return false
    }
    return !mod.flags.contains(.checkOverlap) && !limits[Int(mod.table)].evicts && !ruleReferences.hasLearned
      && !reportsEvents && !(classifiers[Int(mod.table)]?.isAboutToGrow ?? false)
  }

  private func add(_ mod: FlowMod, now: UInt64) throws(TableError) {
    let classifier = try classifier(mod.table)
    try InstructionValidator(mod, table: mod.table, tables: self).check(mod.instructions)
    let mask = masks.use(mod.match)
    defer { masks.release(mask) }
    let old = classifier.find(mod.match, mask: mask, priority: mod.priority)
    if old == nil {
      if mod.flags.contains(.checkOverlap), classifier.hasOverlap(mod.match, priority: mod.priority) { throw .overlap }
      try makeRoom(mod, now: now)
    }
    let isKept = old != nil && !mod.flags.contains(.resetCounts)
    var description = RuleDescription(mod, now: now)
    if let old, isKept { description.statistics = statistics(old) }
    let rule = try makeRule(description, slot: isKept ? old.map { unsafe $0.record.pointee.slot } : nil)
    if let old { remove(old, ownsSlot: !isKept) }
    insert(rule, ownsSlot: !isKept)
    schedule(rule, isNew: true)
    if reportsEvents { transaction.events.append(.added(description)) }
  }

  private func modify(_ mod: FlowMod, now: UInt64) throws(TableError) {
    var targets: [Rule] = []
    // Without a table's number (OpenFlow 1.0) it is about all; then the tables that there are decide what is checked.
    var tables: [UInt8] = [mod.table]
    if mod.table != FlowMod.allTables { _ = try classifier(mod.table) }
    forEachTarget(mod) { targets.append($0) }
    if mod.table == FlowMod.allTables { tables = targets.isEmpty ? [0] : Array(Set(targets.map(\.table))) }
    for table in tables {
      try InstructionValidator(mod, table: table, tables: self).check(mod.instructions)
    }
    if targets.isEmpty {
      // Before OpenFlow 1.2 (a cookie to set, none to look for) a modify that finds nothing adds.
      if mod.cookie != nil, mod.cookieFilter.mask == 0 {
        var new = mod
        new.table = tables[0]
        try add(new, now: now)
      }
      return
    }
    let resets = mod.flags.contains(.resetCounts)
    for old in targets {
      var description = describe(old)
      description.instructions = mod.instructions
      description.cookie = mod.cookie ?? description.cookie
      description.modifiedAt = now
      if resets { description.statistics = Statistics() }
      let rule = try makeRule(description, slot: resets ? nil : unsafe old.record.pointee.slot)
      remove(old, ownsSlot: resets)
      insert(rule, ownsSlot: resets)
      schedule(rule, isNew: resets)
      if reportsEvents { transaction.events.append(.modified(description)) }
    }
  }

  private func delete(_ mod: FlowMod, now: UInt64) throws(TableError) {
    if mod.table != FlowMod.allTables, Int(mod.table) >= FlowTables.tableCount { throw .badTable(mod.table) }
    // Marking a rule leaves it where it is.
    forEachTarget(mod) { delete($0, reason: .delete, now: now) }
  }

  /// Removes a rule for a reason that a controller may want to hear.
  func delete(_ rule: Rule, reason: RemovalReason, now: UInt64) {
    let isTold = rule.flags.contains(.sendFlowRemoved)
    if reportsEvents { transaction.events.append(.removed(describe(rule), reason)) }
    transaction.removedAt = now
    transaction.touched.insert(TableDependency.removals.index)
    remove(rule, ownsSlot: true, reason: isTold ? reason : nil)
  }

  /// The rules that a modify or delete is about.
  private func forEachTarget(_ mod: FlowMod, _ body: (Rule) -> Void) {
    var ports = OutputFilter(port: mod.outPort, group: mod.outGroup)
    func visit(_ rule: Rule) {
      if mod.cookieFilter.accepts(rule.cookie), unsafe ports.accepts(rule.record.pointee.actions) { body(rule) }
    }
    for (number, classifier) in classifiers.enumerated() {
      guard let classifier, mod.table == FlowMod.allTables || Int(mod.table) == number else { continue }
      if mod.command == .modifyStrict || mod.command == .deleteStrict {
        if let mask = masks.find(mod.match),
          let rule = classifier.find(mod.match, mask: mask, priority: mod.priority)
        {
          visit(rule)
        }
      } else {
        classifier.forEach(within: mod.match, visit)
      }
    }
  }

  // MARK: steps

  /// Has a rule go on with other properties but the same counts.
  func replace(_ old: Rule, _ description: RuleDescription) {
    guard let rule = try? makeRule(description, slot: unsafe old.record.pointee.slot) else { return }
    remove(old, ownsSlot: false)
    insert(rule, ownsSlot: false)
    schedule(rule, isNew: true)
  }

  private func classifier(_ table: UInt8) throws(TableError) -> Classifier {
    guard Int(table) < FlowTables.tableCount else { throw .badTable(table) }
    if let classifier = classifiers[Int(table)] { return classifier }
    let classifier = Classifier(seed: seed ^ UInt64(table) &* 0x9e37_79b9_7f4a_7c15)
    classifiers[Int(table)] = classifier
    unsafe root.pointee.tables[Int(table)].store(
      UInt(bitPattern: classifier.table.head), ordering: .releasing)
    return classifier
  }

  /// Makes a rule's record, which is not in its table yet.
  /// - Parameter slot: of the rule that it takes the place of; nil for one of its own.
  private func makeRule(_ description: RuleDescription, slot: UInt32?) throws(TableError) -> Rule {
    guard headroom.mayGrow(ruleCount: ruleCount) else { throw .outOfMemory }
    let actions: ActionsPointer
    do throws(RuleCode.Fault) {
      unsafe actions = unsafe try self.actions.use(description.instructions)
    } catch {
      throw .tooManyActions(error.description)
    }
    guard let slot = slot ?? slots.take(counters: unsafe root.pointee.counters) else {
      unsafe self.actions.release(actions)
      throw .tableFull(description.table)
    }
    let match = description.match
    let mask = masks.use(match)
    let hash = classifiers[Int(description.table)]?.hash(mask: mask, match)
    let memory = unsafe memoryBlock(byteCount: FlowTables.byteCount(mask))
    ruleByteCount += FlowTables.byteCount(mask)
    let record = unsafe memory.bindMemory(to: RuleRecord.self, capacity: 1)
    unsafe record.initialize(
      to: RuleRecord(
        next: Atomic(0), addedVersion: Atomic(transaction.version), removedVersion: Atomic(RuleRecord.never),
        mask: mask, actions: actions, slot: slot, hash: hash ?? 0, priority: description.priority,
        table: description.table, isHashed: hash != nil, isClause: actions.pointee.clauses != nil,
        flags: description.flags, importance: description.importance,
        idleTimeoutSeconds: description.idleTimeoutSeconds, hardTimeoutSeconds: description.hardTimeoutSeconds,
        cookie: description.cookie, createdAt: description.createdAt, modifiedAt: description.modifiedAt))
    let rule = unsafe Rule(record)
    for i in 0..<mask.count { unsafe (rule.values + i).initialize(to: match.words[i].value) }
    return rule
  }

  /// Puts a rule into its table, to be seen at the transaction's version.
  private func insert(_ rule: Rule, ownsSlot: Bool) {
    unsafe classifiers[Int(rule.table)]?.insert(rule) { unsafe retire($0) }
    slots.setRule(rule, of: unsafe rule.record.pointee.slot)
    countRule(rule, 1)
    count(rule, 1)
    transaction.touched.insert(Int(rule.table))
    unsafe transaction.steps.append(.added(rule, ownsSlot: ownsSlot))
  }

  /// Removes a rule at the transaction's version.
  private func remove(_ rule: Rule, ownsSlot: Bool, reason: RemovalReason? = nil) {
    unsafe rule.record.pointee.removedVersion.store(transaction.version, ordering: .relaxed)
    if ownsSlot { slots.setRule(nil, of: unsafe rule.record.pointee.slot) }
    countRule(rule, -1)
    count(rule, -1)
    transaction.touched.insert(Int(rule.table))
    unsafe transaction.steps.append(.removed(rule, ownsSlot: ownsSlot, reason))
  }

  /// Counts a rule, or one less, with the groups and meters that it refers to.
  @inline(__always)
  func count(_ rule: Rule, _ difference: Int) {
    if unsafe rule.record.pointee.actions.pointee.hasReferences { countReferences(rule, difference) }
  }

  @inline(never)
  private func countReferences(_ rule: Rule, _ difference: Int) {
    let references = References(rule.code.instructions)
    ruleReferences.add(references, difference)
    for key in Set(references.limited) { askLearned(key, difference) }
  }
}

extension RuleDescription {
  init(_ mod: FlowMod, now: UInt64) {
    self.init(
      table: mod.table, priority: mod.priority, match: mod.match, instructions: mod.instructions,
      cookie: mod.cookie ?? 0, idleTimeoutSeconds: mod.idleTimeoutSeconds, hardTimeoutSeconds: mod.hardTimeoutSeconds,
      importance: mod.importance, flags: mod.flags, createdAt: now,
      modifiedAt: now, statistics: Statistics())
  }
}
