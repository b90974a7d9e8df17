import TestSupport
import Testing
import VSwitchCore

/// The commands of OpenFlow 1.5 §6.4 case by case.
@Suite struct FlowModTests {
  private let tables = FlowTables(workerCount: 2, seed: 7)

  private func mod(_ command: FlowMod.Command = .add, source: UInt32? = nil, output: UInt32 = 1) -> FlowMod {
    var mod = FlowMod()
    mod.command = command
    if let source {
      mod.match.set(.etherType, 0x0800)
      mod.match.set(.ipv4Source, UInt128(source))
    }
    mod.instructions = Instructions(apply: [.output(PortNumber(output), maximumByteCount: 0)])
    return mod
  }

  private func packet(source: UInt32) -> FlowKey {
    var key = FlowKey()
    key.etherType = 0x0800
    key.ipv4Source = source
    return key
  }

  private func hit(_ source: UInt32, worker: Int = 0, now: UInt64 = 1) {
    var mask = FlowMask()
    let reader = tables.reader
    guard let rule = reader.lookup(table: 0, key: packet(source: source), version: reader.version, mask: &mask) else {
      return
    }
    reader.count(rule.slot, worker: worker, packetCount: 1, byteCount: 100, now: now)
  }

  @Test func addInPlaceOfTheSameMatchKeepsCountsUnlessAskedToResetThem() throws {
    try tables.apply(mod(source: 1), now: 10)
    hit(1)
    hit(1, worker: 1)
    var again = mod(source: 1, output: 2)
    again.cookie = 5
    try tables.apply(again, now: 20)
    #expect(tables.ruleCount == 1)
    var rule = try #require(tables.rules().first)
    #expect(rule.statistics.packetCount == 2 && rule.statistics.byteCount == 200, "of both workers")
    #expect(rule.createdAt == 20 && rule.cookie == 5 && rule.instructions == again.instructions)
    again.flags = .resetCounts
    try tables.apply(again, now: 30)
    rule = try #require(tables.rules().first)
    #expect(rule.statistics.packetCount == 0)
  }

  @Test func overlapIsRefusedOnlyIfAskedFor() throws {
    try tables.apply(mod(source: 1), now: 1)
    var wide = mod()
    wide.match.set(.ipv4Source, 0, mask: 0xffff_0000)
    wide.flags = .checkOverlap
    #expect(throws: TableError.overlap) { try tables.apply(wide, now: 1) }
    #expect(tables.ruleCount == 1)
    wide.priority = 1
    try tables.apply(wide, now: 1)
    // The same match again is no overlap: it takes the rule's place.
    try tables.apply(wide, now: 1)
    wide.priority = 32768
    wide.flags = []
    try tables.apply(wide, now: 1)
    #expect(tables.ruleCount == 3)
  }

  @Test func modifyChangesInstructionsAndNothingElse() throws {
    var first = mod(source: 1)
    first.idleTimeoutSeconds = 10
    first.importance = 3
    first.flags = .sendFlowRemoved
    first.cookie = 9
    try tables.apply(first, now: 10)
    hit(1)
    var change = mod(.modify, output: 7)
    change.cookie = nil
    try tables.apply(change, now: 20)
    let rule = try #require(tables.rules().first)
    #expect(rule.instructions == change.instructions)
    #expect(rule.cookie == 9 && rule.idleTimeoutSeconds == 10 && rule.importance == 3)
    #expect(rule.flags == .sendFlowRemoved && rule.createdAt == 10 && rule.modifiedAt == 20)
    #expect(rule.statistics.packetCount == 1)
    change.flags = .resetCounts
    try tables.apply(change, now: 30)
    #expect(tables.rules().first?.statistics.packetCount == 0)
  }

  @Test func modifyThatNamesNoTableChangesAllAndChecksEach() throws {
    var rule = mod(source: 1)
    try tables.apply(rule, now: 1)
    rule.table = 7
    try tables.apply(rule, now: 1)
    var change = mod(.modify, output: 9)
    change.table = FlowMod.allTables
    try tables.apply(change, now: 2)
    #expect(tables.rules().map(\.table) == [0, 7])
    #expect(tables.rules().allSatisfy { $0.instructions == change.instructions })
    // From table 7 a rule can't go to table 5; then none is changed.
    change.instructions = Instructions()
    change.instructions.gotoTable = 5
    #expect(throws: TableError.self) { try tables.apply(change, now: 3) }
    #expect(tables.rules().allSatisfy { $0.instructions.gotoTable == nil })
    var other = mod(.modify, source: 99)
    other.table = FlowMod.allTables
    try tables.apply(other, now: 4)
    #expect(tables.rules().count == 3, "what finds nothing is added to table 0")
  }

  @Test func modifyThatFindsNothingAddsOnlyBeforeOpenFlow12() throws {
    var change = mod(.modify, source: 1)
    change.cookie = nil
    try tables.apply(change, now: 1)
    #expect(tables.ruleCount == 0)
    change.cookie = 4
    change.cookieFilter = FlowMod.CookieFilter(value: 4, mask: .max)
    try tables.apply(change, now: 1)
    #expect(tables.ruleCount == 0, "who looks for a cookie means rules that there are")
    change.cookieFilter = FlowMod.CookieFilter()
    try tables.apply(change, now: 1)
    #expect(tables.rules().map(\.cookie) == [4])
  }

  @Test func strictMeansThisMatchAndPriorityAlone() throws {
    for priority in [UInt16(1), 2] {
      var add = mod(source: 1)
      add.priority = priority
      try tables.apply(add, now: 1)
    }
    var delete = mod(.deleteStrict, source: 1)
    delete.priority = 2
    try tables.apply(delete, now: 1)
    #expect(tables.rules().map(\.priority) == [1])
    delete.match = Match()
    delete.priority = 1
    try tables.apply(delete, now: 1)
    #expect(tables.ruleCount == 1, "a wider match is another")
    delete.command = .delete
    try tables.apply(delete, now: 1)
    #expect(tables.ruleCount == 0)
  }

  @Test func cookieAndOutputsNarrowWhatIsDeleted() throws {
    for source in UInt32(0)..<8 {
      var add = mod(source: source, output: source % 2 + 1)
      add.cookie = UInt64(source)
      try tables.apply(add, now: 1)
    }
    var delete = mod(.delete)
    delete.cookieFilter = FlowMod.CookieFilter(value: 4, mask: 4)
    delete.outPort = PortNumber(2)
    try tables.apply(delete, now: 1)
    #expect(Set(tables.rules().map(\.cookie)) == [0, 1, 2, 3, 4, 6])
    delete.table = FlowMod.allTables
    delete.cookieFilter = FlowMod.CookieFilter()
    try tables.apply(delete, now: 1)
    #expect(Set(tables.rules().map(\.cookie)) == [0, 2, 4, 6])
  }

  @Test func tablesThatAreNotAreRefused() throws {
    var bad = mod()
    bad.table = 254
    #expect(throws: TableError.badTable(254)) { try tables.apply(bad, now: 1) }
    bad.table = 255
    #expect(throws: TableError.badTable(255)) { try tables.apply(bad, now: 1) }
    bad.command = .modify
    bad.table = 254
    #expect(throws: TableError.badTable(254)) { try tables.apply(bad, now: 1) }
    bad.table = 253
    bad.command = .add
    try tables.apply(bad, now: 1)
    var mask = FlowMask()
    #expect(tables.reader.lookup(table: 253, key: FlowKey(), version: tables.reader.version, mask: &mask) != nil)
    #expect(tables.reader.lookup(table: 255, key: FlowKey(), version: tables.reader.version, mask: &mask) == nil)
  }

  @Test func removedRuleIsToldWithItsLastCounts() throws {
    var add = mod(source: 1)
    add.flags = .sendFlowRemoved
    try tables.apply(add, now: 10)
    hit(1)
    try tables.apply(mod(.delete), now: 20)
    // A worker whose decision is older counts on until it passes a quiescent point.
    var mask = FlowMask()
    let old = tables.reader.version - 1
    let rule = try #require(tables.reader.lookup(table: 0, key: packet(source: 1), version: old, mask: &mask))
    tables.reader.count(rule.slot, worker: 1, packetCount: 2, byteCount: 20, now: 15)
    let removed = tables.endGracePeriod(tables.beginGracePeriod())
    #expect(removed.count == 1)
    #expect(removed.first?.reason == .delete && removed.first?.removedAt == 20)
    #expect(removed.first?.rule.statistics.packetCount == 3 && removed.first?.rule.statistics.byteCount == 120)
    try tables.apply(mod(source: 2), now: 30)
    #expect(tables.rules().first?.statistics == Statistics(), "a slot that is used again starts at 0")
  }

  @Test func eventsTellWhatHappenedInOrder() throws {
    tables.reportsEvents = true
    var events = try tables.apply(mod(source: 1), now: 1)
    events += try tables.apply(mod(.modify, output: 3), now: 2)
    events += try tables.apply(mod(.delete), now: 3)
    guard case .added(let added) = events[0], case .modified(let modified) = events[1],
      case .removed(let removed, .delete) = events[2]
    else {
      Issue.record("other events: \(events)")
      return
    }
    #expect(events.count == 3)
    #expect(added.match == removed.match && modified.instructions == removed.instructions)
  }

  @Test func changedVersionTellsWhichTablesChanged() throws {
    let reader = tables.reader
    try tables.apply(mod(), now: 1)
    let before = reader.version
    var other = mod()
    other.table = 3
    try tables.apply(other, now: 1)
    #expect(reader.changedVersion(.table(0)) <= before)
    #expect(reader.changedVersion(.table(3)) > before)
    #expect(reader.changedVersion(.table(3)) == reader.version)
    let unchanged = reader.version
    try tables.apply(mod(.deleteStrict, source: 9), now: 1)
    #expect(reader.version == unchanged, "what changes nothing needs no new version")
  }

  @Test func statisticsAreSummedOverRules() throws {
    for source in UInt32(0)..<4 {
      try tables.apply(mod(source: source), now: 1)
      hit(source)
    }
    // A lookup that found nothing counts for its table.
    tables.reader.count(CounterSlot(index: 0), worker: 0, packetCount: 1, byteCount: 60, now: 1)
    let sum = tables.aggregate(RuleFilter())
    #expect(sum.flowCount == 4 && sum.packetCount == 4 && sum.byteCount == 400)
    let table = tables.statistics(table: 0)
    #expect(table.activeCount == 4 && table.lookupCount == 5 && table.matchedCount == 4)
    var filter = RuleFilter()
    filter.table = 1
    #expect(tables.aggregate(filter).flowCount == 0)
  }

  @Test func whatGoneRulesHaveMatchedStaysWithTheirTable() throws {
    try tables.apply(mod(source: 1), now: 1)
    hit(1)
    hit(1)
    try tables.apply(mod(.delete, source: 1), now: 2)
    _ = tables.endGracePeriod(tables.beginGracePeriod())
    #expect(tables.statistics(table: 0).matchedCount == 2)
  }

  @Test func whatIsNotToBeCountedIsUnknown() throws {
    var rule = mod(source: 1)
    rule.flags = [.noPacketCounts]
    try tables.apply(rule, now: 1)
    rule = mod(source: 2)
    rule.flags = [.noByteCounts]
    try tables.apply(rule, now: 1)
    for source in UInt32(1)...2 { hit(source) }
    let rules = tables.rules().sorted { $0.match.key.ipv4Source < $1.match.key.ipv4Source }
    #expect(rules.map(\.statistics.packetCount) == [.max, 1])
    #expect(rules.map(\.statistics.byteCount) == [100, .max])
    let sum = tables.aggregate(RuleFilter())
    #expect(sum.packetCount == 1 && sum.byteCount == 100)
  }

  @Test func aModifyWithoutATableIsAboutAllAndAddsToTheFirst() throws {
    var other = mod(source: 1)
    other.table = 7
    try tables.apply(other, now: 1)
    try tables.apply(mod(source: 1), now: 1)
    var change = mod(.modifyStrict, source: 1, output: 9)
    change.table = FlowMod.allTables
    try tables.apply(change, now: 2)
    #expect(tables.ruleCount == 2 && tables.rules().allSatisfy { $0.instructions == change.instructions })
    change = mod(.modify, source: 5, output: 9)
    change.table = FlowMod.allTables
    try tables.apply(change, now: 2)
    #expect(tables.ruleCount(table: 0) == 2)
    // Where it would go to an earlier table nothing is changed.
    change = mod(.modify, source: 1)
    change.table = FlowMod.allTables
    change.instructions.gotoTable = 3
    let before = tables.rules().map(\.instructions)
    #expect(throws: TableError.badGotoTable(3)) { try tables.apply(change, now: 3) }
    #expect(tables.rules().map(\.instructions) == before)
  }

  @Test func actionsOfOpenFlow10NeedNoMatchForWhatTheyChange() throws {
    var rule = mod()
    rule.instructions = Instructions(apply: [
      .setField(.ipv4Source, value: 1, mask: 0xffff_ffff), .setField(.tcpDestination, value: 80, mask: 0xffff),
      .output(PortNumber(1), maximumByteCount: 0),
    ])
    #expect(throws: TableError.self) { try tables.apply(rule, now: 1) }
    rule.allowsInconsistentActions = true
    try tables.apply(rule, now: 1)
    rule.instructions = Instructions(apply: [.setField(.ipv6Source, value: 1, mask: .max)])
    #expect(throws: TableError.self) { try tables.apply(rule, now: 1) }
  }

  // MARK: limits

  @Test func aFullBridgeTakesNoMoreRules() throws {
    tables.ruleLimit = 3
    for source in UInt32(1)...2 { try tables.apply(mod(source: source), now: 1) }
    let bundle = (UInt32(3)...4).map { TableChange.flow(mod(source: $0)) }
    #expect(throws: BundleError(index: 1, error: .tooManyRules)) { try tables.apply(bundle: bundle, now: 1) }
    #expect(tables.ruleCount == 2, "nothing of the bundle is left")
    try tables.apply(mod(source: 3), now: 1)
    #expect(throws: TableError.tooManyRules) { try tables.apply(mod(source: 4), now: 1) }
    // One that takes another's place is no more.
    try tables.apply(mod(source: 3, output: 2), now: 1)
    try tables.apply(mod(.modify, source: 2, output: 5), now: 1)
    try tables.apply(mod(.delete, source: 1), now: 1)
    try tables.apply(mod(source: 4), now: 1)
    #expect(tables.ruleCount == 3)
  }

  // MARK: learn

  @Test func learnedRulesGoWithTheLastThatMadeThem() throws {
    func learner(_ priority: UInt16, deletes: Bool = true) -> FlowMod {
      var learn = LearnAction(table: 4)
      learn.cookie = 0x77
      if deletes { learn.flags = .deleteLearned }
      var rule = mod()
      rule.priority = priority
      rule.instructions = Instructions(apply: [.learn(learn)])
      return rule
    }
    func learned(_ cookie: UInt64, _ source: UInt32) -> FlowMod {
      var rule = mod(source: source)
      rule.table = 4
      rule.cookie = cookie
      rule.flags = .sendFlowRemoved
      return rule
    }
    for priority in UInt16(1)...2 { try tables.apply(learner(priority), now: 1) }
    try tables.apply(bundle: [.flow(learned(0x77, 1)), .flow(learned(0x77, 2)), .flow(learned(0x78, 3))], now: 1)
    var gone = learner(1)
    gone.command = .deleteStrict
    try tables.apply(gone, now: 2)
    #expect(tables.ruleCount(table: 4) == 3, "there is another that may learn them again")
    // In the same step it comes back: nothing is lost.
    gone = learner(2)
    gone.command = .deleteStrict
    try tables.apply(bundle: [.flow(gone), .flow(learner(2))], now: 3)
    #expect(tables.ruleCount(table: 4) == 3)
    #expect(throws: BundleError.self) { try tables.apply(bundle: [.flow(gone), .flow(badRule)], now: 3) }
    #expect(tables.ruleCount(table: 4) == 3, "what is undone deletes nothing")
    // One that no longer learns lets them go as if it was deleted.
    var changed = mod(.modifyStrict)
    changed.priority = 2
    try tables.apply(changed, now: 4)
    #expect(tables.rules().filter { $0.table == 4 }.map(\.cookie) == [0x78])
    #expect(tables.endGracePeriod(tables.beginGracePeriod()).map(\.reason) == [.delete, .delete])
    try tables.apply(bundle: [.flow(learned(0x77, 1)), .flow(learner(1, deletes: false))], now: 5)
    gone = learner(1, deletes: false)
    gone.command = .deleteStrict
    try tables.apply(gone, now: 6)
    #expect(tables.ruleCount(table: 4) == 2, "only if it was asked for")
  }

  private var badRule: FlowMod {
    var rule = mod()
    rule.instructions.gotoTable = 0
    return rule
  }

  @Test func aChangeThatMayFillALargeTableAnewIsNotBrief() throws {
    let tables = FlowTables(workerCount: 1, seed: 7)
    func mod(_ number: Int) -> FlowMod {
      var mod = FlowMod()
      mod.match.set(.metadata, UInt128(number))
      return mod
    }
    var changes: [Int] = []
    var wasBrief = true
    for start in stride(from: 0, to: 60_000, by: 100) {
      try tables.apply(bundle: (start..<start + 100).map { .flow(mod($0)) }, now: 1)
      let isBrief = tables.isBrief(mod(start))
      if isBrief != wasBrief { changes.append(start) }
      wasBrief = isBrief
    }
    // 65,536 buckets are filled to three quarters; 64 rules are in the tree.
    try #require(changes.count == 2)
    #expect(changes[0] < 49_152 - 700 && changes[1] > 49_152 - 200 && changes[1] < 49_152 + 200, "\(changes)")
    #expect(wasBrief)
  }
}
