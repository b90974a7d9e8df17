import TestSupport
import Testing
import VSwitchCore

@Suite struct TableChangeListTests {
  /// Changes of all kinds: runs that do the same, and some that have nothing in common.
  private func changes(_ random: inout RandomRules) -> [TableChange] {
    var changes: [TableChange] = []
    for index in 0..<400 {
      switch random.number(below: 12) {
      case 0: changes.append(.group(GroupMod(.delete, GroupDescription(id: UInt32(index), kind: .all))))
      case 1: changes.append(.meter(MeterMod(.delete, MeterDescription(id: UInt32(index), unit: .packetsPerSecond))))
      default:
        var mod = random.flowMod(cookie: UInt64(index), among: [])
        mod.command = FlowMod.Command.allCases[random.number(below: 5)]
        if random.number(below: 4) == 0 { mod.cookie = nil }
        if random.number(below: 4) == 0 { mod.cookieFilter = .init(value: 1, mask: random.generator.next()) }
        if random.number(below: 4) == 0 { mod.idleTimeoutSeconds = UInt16(random.number(below: 3)) }
        if random.number(below: 4) == 0 { mod.flags = [.sendFlowRemoved] }
        if random.number(below: 4) == 0 { mod.outPort = PortNumber(UInt32(random.number(below: 3))) }
        if random.number(below: 4) == 0 { mod.importance = 5 }
        if random.number(below: 4) == 0 { mod.allowsInconsistentActions = true }
        changes.append(.flow(mod))
      }
    }
    return changes
  }

  @Test(arguments: testSeeds(4))
  func givesBackWhatWasPutIn(seed: UInt64) {
    var random = RandomRules(seed: seed, shape: seed % 2 == 0 ? .fewMasks : .anyMasks)
    // Long enough for several chunks.
    let all = (0..<8).flatMap { _ in changes(&random) }
    var list = TableChangeList()
    for (index, change) in all.enumerated() { list.append(change, tag: UInt32(index) &* 77) }
    #expect(list.count == all.count)
    var cursor = list.cursor
    for (index, change) in all.enumerated() {
      guard cursor.next() else {
        Issue.record("ends at \(index)")
        return
      }
      #expect(cursor.change == change && cursor.tag == UInt32(index) &* 77, "\(index)")
    }
    let isLonger = cursor.next()
    #expect(!isLonger)
    let index = random.number(below: all.count)
    #expect(list[index].change == all[index] && list[index].tag == UInt32(index) &* 77)
  }

  @Test(arguments: testSeeds(4))
  func doesToTablesWhatItsChangesDo(seed: UInt64) {
    var random = RandomRules(seed: seed, shape: seed % 2 == 0 ? .fewMasks : .anyMasks)
    let one = FlowTables(workerCount: 1, seed: 1)
    let other = FlowTables(workerCount: 1, seed: 1)
    for _ in 0..<20 {
      let some = (0..<30).map { TableChange.flow(random.flowMod(cookie: UInt64($0), among: [])) }
      let worked = (try? one.apply(bundle: some, now: 1)) != nil
      #expect(((try? other.apply(TableChangeList(some), now: 1)) != nil) == worked)
    }
    #expect(one.rules().map(\.cookie).sorted() == other.rules().map(\.cookie).sorted())
    #expect(one.ruleCount == other.ruleCount)
  }

  @Test func aRefusedChangeUndoesTheListAndIsNamed() throws {
    let tables = FlowTables(workerCount: 1, seed: 1)
    var mod = FlowMod()
    mod.priority = 1
    var bad = FlowMod()
    bad.instructions = Instructions(apply: [.group(7)])
    #expect(throws: BundleError(index: 2, error: .unknownGroup(7))) {
      try tables.apply(TableChangeList([.flow(mod), .flow(FlowMod()), .flow(bad)]), now: 1)
    }
    #expect(tables.ruleCount == 0)
  }

  @Test func manyRulesOfOneKindTakeSixtyBytesEach() throws {
    var list = TableChangeList()
    var mod = FlowMod()
    mod.match.set(.etherType, 0x0800)
    mod.match.set(.ipProtocol, 17)
    mod.instructions = Instructions(apply: [.output(PortNumber(2), maximumByteCount: 0)])
    for number in 0..<100_000 {
      mod.match.set(.ipv4Source, UInt128(number))
      mod.match.set(.udpDestination, UInt128(number % 50_000))
      mod.cookie = UInt64(number)
      list.append(mod, tag: UInt32(number))
    }
    #expect(list.byteCount < 60 * list.count)
  }
}
