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
    #expect(throws: TableError.badTable(255)) { try tables.apply(bad, now: 1) }
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
    tables.reader.countLookups(0, worker: 0, lookupCount: 5, matchedCount: 4)
    let sum = tables.aggregate(RuleFilter())
    #expect(sum.flowCount == 4 && sum.packetCount == 4 && sum.byteCount == 400)
    let table = tables.statistics(table: 0)
    #expect(table.activeCount == 4 && table.lookupCount == 5 && table.matchedCount == 4)
    var filter = RuleFilter()
    filter.table = 1
    #expect(tables.aggregate(filter).flowCount == 0)
  }
}
