import ReferenceSwitch
import TestSupport
import Testing
import VSwitchCore

/// Lookups against the list of rules, with random rules, packets and changes.
@Suite struct LookupTests {
  @Test(arguments: testSeeds(6), RuleShape.allCases)
  func randomChangesAreSeenAsInTheList(seed: UInt64, shape: RuleShape) {
    var random = RandomRules(seed: seed, shape: shape)
    let tables = FlowTables(workerCount: 1, seed: seed)
    var reference = ReferenceTables()
    for step in 0..<600 {
      let mod = random.flowMod(cookie: UInt64(step), among: reference.rules)
      let isAccepted = reference.apply(mod)
      #expect(((try? tables.apply(mod, now: 1)) != nil) == isAccepted)
      if step % 7 == 0 { _ = tables.endGracePeriod(tables.beginGracePeriod()) }
      if step % 20 == 0 {
        for _ in 0..<10 { expectSame(tables, reference, random.packet(), version: tables.reader.version) }
      }
    }
    expectSameRules(tables, reference)
  }

  /// A reader that looks up at an older version, which it read before some changes, does not see them.
  @Test(arguments: testSeeds(4), RuleShape.allCases)
  func olderVersionsAreSeenAsTheyWere(seed: UInt64, shape: RuleShape) {
    var random = RandomRules(seed: seed, shape: shape)
    let tables = FlowTables(workerCount: 1, seed: seed)
    var reference = ReferenceTables()
    var past: [(version: UInt64, tables: ReferenceTables)] = []
    for step in 0..<500 {
      let mod = random.flowMod(cookie: UInt64(step), among: reference.rules)
      _ = reference.apply(mod)
      _ = try? tables.apply(mod, now: 1)
      past.append((tables.reader.version, reference))
      if step % 50 == 49 {
        for _ in 0..<15 {
          let moment = past[random.number(below: past.count)]
          expectSame(tables, moment.tables, random.packet(), version: moment.version)
        }
        // Those who read at the older versions are done.
        past = []
        _ = tables.endGracePeriod(tables.beginGracePeriod())
      }
    }
  }

  @Test(arguments: testSeeds(3))
  func manyRulesOfOneMaskAreFoundAndGoAgain(seed: UInt64) throws {
    var random = RandomRules(seed: seed, shape: .fewMasks)
    let tables = FlowTables(workerCount: 1, seed: seed)
    var mods: [FlowMod] = []
    for number in 0..<3000 {
      var mod = FlowMod()
      mod.match.set(.ipv4Source, UInt128(number))
      mod.match.set(.tcpSource, UInt128(number % 7))
      mod.priority = UInt16(random.number(below: 3))
      mod.cookie = UInt64(number)
      mods.append(mod)
    }
    try tables.apply(bundle: mods.map { .flow($0) }, now: 1)
    #expect(tables.ruleCount == 3000)
    var mask = FlowMask()
    for mod in mods {
      #expect(
        tables.reader.lookup(table: 0, key: mod.match.key, version: tables.reader.version, mask: &mask)?.cookie
          == mod.cookie)
    }
    mods.shuffle(using: &random.generator)
    for (index, mod) in mods.enumerated() {
      var mod = mod
      mod.command = .deleteStrict
      try tables.apply(mod, now: 1)
      if index % 100 == 0 { _ = tables.endGracePeriod(tables.beginGracePeriod()) }
      #expect(tables.reader.lookup(table: 0, key: mod.match.key, version: tables.reader.version, mask: &mask) == nil)
    }
    _ = tables.endGracePeriod(tables.beginGracePeriod())
    _ = tables.endGracePeriod(tables.beginGracePeriod())
    #expect(tables.ruleCount == 0)
    #expect(tables.byteCount == 0, "nothing is kept of rules that have gone")
    #expect(!tables.needsGracePeriod)
  }

  private func expectSame(
    _ tables: FlowTables, _ reference: ReferenceTables, _ packet: FlowKey, version: UInt64
  ) {
    for table in UInt8(0)..<2 {
      var mask = FlowMask()
      let rule = tables.reader.lookup(table: table, key: packet, version: version, mask: &mask)
      let expected = reference.lookup(table: table, key: packet)
      let isRight = rule.map { rule in expected.contains { $0.cookie == rule.cookie } } ?? expected.isEmpty
      if !isRight { Issue.record("table \(table): rule \(rule?.cookie as Any), expected one of \(expected)") }
      // Any packet that is equal under the mask gets the same answer.
      var random = SeededGenerator(seed: packet.words[4] ^ version)
      for _ in 0..<4 {
        var other = packet
        for i in RandomRules.words { other.words[i] ^= random.next() & ~mask.words[i] }
        var otherMask = FlowMask()
        let found = tables.reader.lookup(table: table, key: other, version: version, mask: &otherMask)
        if found != rule { Issue.record("table \(table): \(packet) and \(other) are equal under \(mask)") }
      }
    }
  }

  private func expectSameRules(_ tables: FlowTables, _ reference: ReferenceTables) {
    let have = tables.rules().map {
      ReferenceRule(
        table: $0.table, priority: $0.priority, match: $0.match, cookie: $0.cookie, importance: $0.importance,
        instructions: $0.instructions)
    }
    #expect(have.count == reference.rules.count)
    #expect(have.sorted { $0.cookie < $1.cookie }.map { $0.cookie } == reference.rules.map { $0.cookie }.sorted())
    for rule in have { #expect(reference.rules.contains(rule)) }
  }
}
