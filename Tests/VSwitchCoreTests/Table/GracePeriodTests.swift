import TestSupport
import Testing
import VSwitchCore

/// What was replaced is freed in pieces, and told of before that.
@Suite struct GracePeriodTests {
  private func filled(_ count: Int) throws -> FlowTables {
    let tables = FlowTables(workerCount: 1, seed: 1)
    for number in 0..<count {
      var mod = FlowMod()
      mod.match.set(.etherType, 0x0800)
      mod.match.set(.ipv4Source, UInt128(number))
      mod.cookie = UInt64(number)
      if number % 100 == 0 { mod.flags = [.sendFlowRemoved] }
      try tables.apply(mod, now: 1)
    }
    return tables
  }

  private var everything: FlowMod {
    var mod = FlowMod()
    mod.command = .delete
    mod.table = FlowMod.allTables
    return mod
  }

  @Test func removedRulesAreToldOfBeforeTheyAreFreedInPieces() throws {
    let tables = try filled(1000)
    let before = tables.byteCount
    try tables.apply(everything, now: 2)
    let ticket = tables.beginGracePeriod()
    #expect(tables.takeRemoved(ticket).map(\.rule.cookie).sorted() == (0..<10).map { UInt64($0 * 100) })
    #expect(tables.takeRemoved(ticket).isEmpty, "each is told once")
    var pieces = 0
    while !tables.free(ticket, limit: 128) { pieces += 1 }
    #expect(pieces >= 7)
    // They are out of their table now; another grace period later their memory is free.
    #expect(tables.byteCount > before / 2)
    #expect(tables.free(tables.beginGracePeriod()))
    while tables.needsGracePeriod { tables.free(tables.beginGracePeriod()) }
    #expect(tables.byteCount < 1000)
  }

  @Test func rulesThatWaitToBeTakenOutAreNotFoundAndCanBeAddedAgain() throws {
    let tables = try filled(500)
    try tables.apply(everything, now: 2)
    #expect(tables.ruleCount == 0 && tables.rules().isEmpty)
    var mod = FlowMod()
    mod.match.set(.etherType, 0x0800)
    mod.match.set(.ipv4Source, 7)
    mod.cookie = 99
    try tables.apply(mod, now: 3)
    let ticket = tables.beginGracePeriod()
    while !tables.free(ticket, limit: 10) {
      #expect(tables.rules().map(\.cookie) == [99])
    }
    var key = FlowKey()
    key.etherType = 0x0800
    key.ipv4Source = 7
    var mask = FlowMask()
    #expect(tables.reader.lookup(table: 0, key: key, version: tables.reader.version, mask: &mask)?.cookie == 99)
  }

  @Test func whatRemovedRulesMatchedStaysInTheirTablesCount() throws {
    let tables = try filled(200)
    var key = FlowKey()
    key.etherType = 0x0800
    key.ipv4Source = 5
    var mask = FlowMask()
    let rule = try #require(tables.reader.lookup(table: 0, key: key, version: tables.reader.version, mask: &mask))
    tables.reader.count(rule.slot, worker: 0, packetCount: 3, byteCount: 180, now: 2)
    try tables.apply(everything, now: 3)
    #expect(tables.statistics(table: 0).matchedCount == 3, "before its grace period ends")
    let ticket = tables.beginGracePeriod()
    while !tables.free(ticket, limit: 10) { #expect(tables.statistics(table: 0).matchedCount == 3) }
    #expect(tables.statistics(table: 0).matchedCount == 3, "when it is out")
  }
}
