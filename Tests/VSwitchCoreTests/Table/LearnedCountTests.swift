import TestSupport
import Testing
import VSwitchCore

/// What workers are told of rules that `learn` with a limit makes, against what control finds by looking at all rules.
@Suite struct LearnedCountTests {
  /// A rule of table 9 that learns rules of a table and cookie, and says whether.
  private func asker(_ priority: UInt16, table: UInt8, cookie: UInt64, limit: UInt32 = 1, hasResult: Bool = true)
    -> FlowMod
  {
    var learn = LearnAction(table: table)
    learn.cookie = cookie
    learn.limit = limit
    if hasResult { learn.result = Subfield(.reg1, firstBit: 0, bitCount: 1) }
    var mod = FlowMod()
    mod.table = 9
    mod.priority = priority
    mod.instructions = Instructions(apply: [.clone([.learn(learn)])])
    return mod
  }

  private func isExpected(
    _ tables: FlowTables, table: UInt8, cookie: UInt64, limit: UInt32, _ match: Match, priority: UInt16
  ) -> Bool {
    var filter = RuleFilter()
    filter.table = table
    filter.cookie = FlowMod.CookieFilter(value: cookie, mask: .max)
    return tables.count(filter) < Int(limit) || tables.hasRule(table: table, match, priority: priority)
  }

  private func isTold(
    _ tables: FlowTables, table: UInt8, cookie: UInt64, limit: UInt32, _ match: Match, priority: UInt16
  ) -> Bool {
    let reader = tables.reader
    return reader.mayLearn(
      table: table, cookie: cookie, limit: limit, priority: priority, match: match.key, mask: match.mask,
      version: reader.version)
  }

  /// Rules come and go, one by one and in bundles of which some fail, and so do those that ask.
  @Test(arguments: testSeeds(4), RuleShape.allCases)
  func workersAreToldWhatControlWouldDo(seed: UInt64, shape: RuleShape) throws {
    var random = RandomRules(seed: seed, shape: shape)
    let tables = FlowTables(workerCount: 1, seed: seed)
    var full = 0
    var there = 0
    for step in 0..<120 {
      var bundle: [TableChange] = []
      for _ in 0..<random.number(below: 12) {
        var mod = FlowMod()
        mod.table = UInt8(random.number(below: 2))
        mod.priority = UInt16(random.number(below: 4))
        mod.match = random.match()
        mod.cookie = UInt64(random.number(below: 3))
        switch random.number(below: 12) {
        case 0: mod.command = .delete
        case 1: mod.command = .deleteStrict
        case 2: mod.command = .modify
        default: break
        }
        bundle.append(.flow(mod))
      }
      if random.number(below: 3) == 0 {
        var mod = asker(
          UInt16(random.number(below: 3)), table: UInt8(random.number(below: 2)),
          cookie: UInt64(random.number(below: 3)),
          hasResult: random.number(below: 4) != 0)
        if random.number(below: 3) == 0 { mod.command = .deleteStrict }
        bundle.insert(.flow(mod), at: random.number(below: bundle.count + 1))
      }
      if random.number(below: 4) == 0 {
        var bad = FlowMod()
        bad.instructions = Instructions(apply: [.group(99)])
        bundle.append(.flow(bad))
      }
      _ = try? tables.apply(bundle: bundle, now: 1)
      if random.number(below: 2) == 0 { _ = tables.endGracePeriod(tables.beginGracePeriod()) }
      let asked = Set(
        tables.rules().filter { $0.table == 9 }.compactMap { rule -> [UInt64]? in
          guard case .clone(let nested) = rule.instructions.apply.first, case .learn(let learn) = nested.first,
            learn.result != nil
          else { return nil }
          return [UInt64(learn.table), learn.cookie]
        })
      for _ in 0..<10 {
        let known = tables.rules().filter { $0.table < 2 }
        let some = known.isEmpty ? nil : known[random.number(below: known.count)]
        let table = some?.table ?? UInt8(random.number(below: 2))
        let cookie = UInt64(random.number(below: 3))
        let limit = UInt32(1 + random.number(below: 20))
        let match = random.number(below: 3) == 0 ? random.match() : some?.match ?? Match()
        let priority = random.number(below: 5) == 0 ? UInt16(random.number(below: 4)) : some?.priority ?? 0
        let told = isTold(tables, table: table, cookie: cookie, limit: limit, match, priority: priority)
        let expected =
          !asked.contains([UInt64(table), cookie])
          || isExpected(tables, table: table, cookie: cookie, limit: limit, match, priority: priority)
        #expect(told == expected, "seed \(seed), step \(step): table \(table), cookie \(cookie), limit \(limit)")
        if told != expected { return }
        full += told ? 0 : 1
        there += told && tables.hasRule(table: table, match, priority: priority) ? 1 : 0
      }
    }
    #expect(full > 10 && there > 50, "\(full), \(there)")
  }

  @Test func rulesThatWereThereBeforeSomebodyAsksCount() throws {
    let tables = FlowTables(workerCount: 1, seed: 7)
    var mod = FlowMod()
    mod.table = 1
    mod.cookie = 5
    mod.match.set(.inPort, 3)
    try tables.apply(mod, now: 1)
    #expect(isTold(tables, table: 1, cookie: 5, limit: 1, Match(), priority: 1), "nobody asks")
    try tables.apply(asker(1, table: 1, cookie: 5), now: 1)
    #expect(!isTold(tables, table: 1, cookie: 5, limit: 1, Match(), priority: 1))
    #expect(isTold(tables, table: 1, cookie: 5, limit: 1, mod.match, priority: mod.priority))
    #expect(isTold(tables, table: 1, cookie: 5, limit: 2, Match(), priority: 1))
  }
}
