import TestSupport
import Testing
import VSwitchCore

/// Timeouts and full tables, by a clock that is passed in.
@Suite struct ExpiryTests {
  private let tables = FlowTables(workerCount: 1, seed: 7)
  private let second: UInt64 = 1_000_000_000

  private func add(_ number: UInt32, idle: UInt16 = 0, hard: UInt16 = 0, importance: UInt16 = 0, now: UInt64) throws {
    var mod = FlowMod()
    mod.match.set(.inPort, UInt128(number))
    mod.cookie = UInt64(number)
    mod.idleTimeoutSeconds = idle
    mod.hardTimeoutSeconds = hard
    mod.importance = importance
    mod.flags = .sendFlowRemoved
    try tables.apply(mod, now: now)
  }

  private var cookies: Set<UInt64> { Set(tables.rules().map(\.cookie)) }

  private func use(_ number: UInt32, now: UInt64) {
    var key = FlowKey()
    key.inPort = number
    var mask = FlowMask()
    let rule = tables.reader.lookup(table: 0, key: key, version: tables.reader.version, mask: &mask)
    if let rule { tables.reader.count(rule.slot, worker: 0, packetCount: 1, byteCount: 1, now: now) }
  }

  private func removed() -> [RemovedRule] { tables.endGracePeriod(tables.beginGracePeriod()) }

  @Test func hardTimeoutEndsARuleThatIsInUse() throws {
    try add(1, hard: 10, now: 0)
    use(1, now: 9 * second)
    #expect(tables.nextExpiry == 10 * second)
    tables.expire(now: 10 * second - 1)
    #expect(tables.ruleCount == 1)
    tables.expire(now: 10 * second)
    #expect(tables.ruleCount == 0)
    #expect(removed().map(\.reason) == [.hardTimeout])
    #expect(tables.nextExpiry == nil)
  }

  @Test func idleTimeoutStartsAnewWithEachUse() throws {
    try add(1, idle: 10, now: 0)
    use(1, now: 8 * second)
    tables.expire(now: 17 * second)
    #expect(tables.ruleCount == 1)
    use(1, now: 17 * second)
    tables.expire(now: 26 * second)
    #expect(tables.ruleCount == 1)
    tables.expire(now: 27 * second)
    #expect(removed().map(\.reason) == [.idleTimeout])
  }

  @Test func modifyingStartsTheHardTimeoutAnew() throws {
    try add(1, hard: 10, now: 0)
    var change = FlowMod()
    change.command = .modify
    change.cookie = nil
    try tables.apply(change, now: 5 * second)
    tables.expire(now: 10 * second)
    #expect(tables.ruleCount == 1)
    tables.expire(now: 15 * second)
    #expect(tables.ruleCount == 0)
  }

  @Test func aFailedBundleLeavesTimeoutsAsTheyWere() throws {
    try add(1, hard: 10, now: 0)
    var again = FlowMod()
    again.match.set(.inPort, 1)
    again.hardTimeoutSeconds = 100
    var bad = FlowMod()
    bad.table = 254
    #expect(throws: BundleError.self) { try tables.apply(bundle: [.flow(again), .flow(bad)], now: second) }
    tables.expire(now: 10 * second)
    #expect(tables.ruleCount == 0)
  }

  @Test func shortenedTimeoutsHold() throws {
    try add(1, idle: 100, now: 0)
    use(1, now: second)
    var key = FlowKey()
    key.inPort = 1
    var mask = FlowMask()
    let rule = try #require(tables.reader.lookup(table: 0, key: key, version: tables.reader.version, mask: &mask))
    tables.shortenTimeouts(of: rule.slot, idleSeconds: 5, hardSeconds: 0, now: second)
    #expect(tables.rules().map(\.idleTimeoutSeconds) == [5])
    #expect(tables.rules().map(\.statistics.packetCount) == [1])
    tables.expire(now: 7 * second)
    #expect(tables.ruleCount == 0)
  }

  /// Random rules, uses and deletions against a list of deadlines.
  @Test(arguments: testSeeds(4))
  func rulesGoExactlyWhenTheirTimeIsOver(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    var idle: [UInt32: (last: UInt64, seconds: UInt64)] = [:]
    var hard: [UInt32: UInt64] = [:]
    for step in UInt64(0)..<600 {
      let now = step * second / 4
      let number = UInt32(random.next() % 40)
      switch random.next() % 4 {
      case 0, 1:
        let times = (UInt16(random.next() % 12), UInt16(random.next() % 20))
        try add(number, idle: times.0, hard: times.1, now: now)
        idle[number] = (now, UInt64(times.0))
        hard[number] = times.1 == 0 ? .max : now + UInt64(times.1) * second
      case 2:
        use(number, now: now)
        idle[number]?.last = now
      default:
        var delete = FlowMod()
        delete.command = .delete
        delete.match.set(.inPort, UInt128(number))
        try tables.apply(delete, now: now)
        idle[number] = nil
      }
      tables.expire(now: now)
      if step % 5 == 0 { _ = removed() }
      for (number, use) in idle {
        if use.seconds != 0, use.last + use.seconds * second <= now || hard[number, default: .max] <= now {
          idle[number] = nil
        } else if hard[number, default: .max] <= now {
          idle[number] = nil
        }
      }
      #expect(cookies == Set(idle.keys.map(UInt64.init)))
    }
  }

  @Test func aFullTableRefusesUnlessItEvicts() throws {
    tables[limitsOf: 0] = TableLimits(ruleLimit: 3, evicts: false)
    for number in UInt32(0)..<3 { try add(number, hard: UInt16(10 + number), importance: UInt16(number), now: 0) }
    #expect(throws: TableError.tableFull(0)) { try add(9, now: 0) }
    try add(2, hard: 30, importance: 2, now: 0)
    #expect(tables.ruleCount == 3, "in place of another there is room")
    tables[limitsOf: 0].evicts = true
    try add(4, hard: 5, importance: 1, now: 0)
    #expect(cookies == [1, 2, 4], "the least important gave way")
    #expect(removed().map(\.reason) == [.eviction])
    try add(5, importance: 1, now: 0)
    #expect(cookies == [1, 2, 5], "of equal ones the one that would expire first")
    #expect(throws: TableError.tableFull(0)) { try add(6, importance: 0, now: 0) }
    try add(7, importance: 1, now: 0)
    #expect(cookies == [2, 5, 7])
    try add(8, importance: 9, now: 0)
    #expect(throws: TableError.tableFull(0)) { try add(9, importance: 9, now: 0) }
    #expect(cookies == [5, 7, 8], "rules without a timeout stay")
  }
}
