import TestSupport
import Testing
import VSwitchCore

/// Conjunctive matches (ovs-fields(7)).
@Suite struct ConjunctionTests {
  private let tables = FlowTables(workerCount: 1, seed: 7)

  private func clause(
    _ field: Field, _ value: UInt128, _ clauses: [(id: UInt32, clause: UInt8, count: UInt8)], priority: UInt16 = 10
  ) throws {
    var mod = FlowMod()
    mod.match.set(field, value)
    mod.priority = priority
    mod.cookie = 0xc
    mod.instructions.apply = clauses.map { .conjunction(id: $0.id, clause: $0.clause, clauseCount: $0.count) }
    try tables.apply(mod, now: 1)
  }

  private func rule(conjunction: UInt32? = nil, priority: UInt16, cookie: UInt64, inPort: UInt32? = nil) throws {
    var mod = FlowMod()
    if let conjunction { mod.match.set(.conjunctionID, UInt128(conjunction)) }
    if let inPort { mod.match.set(.inPort, UInt128(inPort)) }
    mod.priority = priority
    mod.cookie = cookie
    try tables.apply(mod, now: 1)
  }

  private func lookup(source: UInt32, destination: UInt32, inPort: UInt32 = 0) -> UInt64? {
    var key = FlowKey()
    key.ipv4Source = source
    key.ipv4Destination = destination
    key.inPort = inPort
    var mask = FlowMask()
    let rule = tables.reader.lookup(table: 0, key: key, version: tables.reader.version, mask: &mask)
    // The mask holds what decided.
    for bit in 0..<32 {
      var other = key
      other.ipv4Source ^= 1 << UInt32(bit)
      if mask[.ipv4Source] & 1 << UInt128(bit) != 0 { continue }
      var otherMask = FlowMask()
      #expect(tables.reader.lookup(table: 0, key: other, version: tables.reader.version, mask: &otherMask) == rule)
    }
    return rule?.cookie
  }

  @Test func oneRuleOfEachClauseIsNeeded() throws {
    for source in UInt128(1)...3 { try clause(.ipv4Source, source, [(7, 0, 2)]) }
    for destination in UInt128(10)...12 { try clause(.ipv4Destination, destination, [(7, 1, 2)]) }
    try rule(conjunction: 7, priority: 10, cookie: 77)
    try rule(priority: 1, cookie: 1)
    #expect(lookup(source: 2, destination: 11) == 77)
    #expect(lookup(source: 2, destination: 13) == 1, "a clause alone is no match")
    #expect(lookup(source: 4, destination: 11) == 1)
    #expect(lookup(source: 4, destination: 13) == 1)
  }

  @Test func aRuleMayBeAClauseOfSeveralConjunctions() throws {
    try clause(.ipv4Source, 1, [(7, 0, 2), (8, 0, 2)])
    try clause(.ipv4Destination, 10, [(7, 1, 2)])
    try clause(.ipv4Destination, 11, [(8, 1, 2)])
    try rule(conjunction: 7, priority: 10, cookie: 77)
    try rule(conjunction: 8, priority: 10, cookie: 88)
    #expect(lookup(source: 1, destination: 10) == 77)
    #expect(lookup(source: 1, destination: 11) == 88)
    #expect(lookup(source: 1, destination: 12) == nil)
  }

  @Test func ordinaryRulesGoByPriority() throws {
    try clause(.ipv4Source, 1, [(7, 0, 2)])
    try clause(.ipv4Destination, 10, [(7, 1, 2)])
    try rule(conjunction: 7, priority: 10, cookie: 77)
    try rule(priority: 20, cookie: 2, inPort: 5)
    try rule(priority: 5, cookie: 3, inPort: 6)
    #expect(lookup(source: 1, destination: 10, inPort: 5) == 2)
    #expect(lookup(source: 1, destination: 10, inPort: 6) == 77)
    #expect(lookup(source: 1, destination: 11, inPort: 6) == 3, "below the clauses' priority the search goes on")
  }

  @Test func incompleteOnesGiveWayToThoseBelow() throws {
    try clause(.ipv4Source, 1, [(9, 0, 2)], priority: 30)
    try clause(.ipv4Source, 2, [(9, 1, 2)], priority: 30)
    try clause(.ipv4Source, 1, [(7, 0, 2)])
    try clause(.ipv4Destination, 10, [(7, 1, 2)])
    try rule(conjunction: 7, priority: 10, cookie: 77)
    try rule(conjunction: 9, priority: 30, cookie: 99)
    #expect(lookup(source: 1, destination: 10) == 77)
  }

  /// Many clauses, so that they are in subtables too, against counting by hand.
  @Test(arguments: testSeeds(2))
  func manyClausesAreFoundAsByHand(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    var sources: [UInt32: Set<UInt32>] = [:]
    var destinations: [UInt32: Set<UInt32>] = [:]
    for address in UInt32(0)..<200 {
      let ids = Set((0..<2).map { _ in UInt32(random.next() % 6) + 1 })
      if random.next() % 2 == 0 {
        sources[address] = ids
        try clause(.ipv4Source, UInt128(address), ids.sorted().map { ($0, 0, 2) })
      } else {
        destinations[address] = ids
        try clause(.ipv4Destination, UInt128(address), ids.sorted().map { ($0, 1, 2) })
      }
    }
    for id in UInt32(1)...6 { try rule(conjunction: id, priority: 10, cookie: UInt64(id)) }
    for _ in 0..<500 {
      let (source, destination) = (UInt32(random.next() % 200), UInt32(random.next() % 200))
      let both = sources[source, default: []].intersection(destinations[destination, default: []])
      #expect(lookup(source: source, destination: destination) == both.min().map(UInt64.init))
    }
  }
}
