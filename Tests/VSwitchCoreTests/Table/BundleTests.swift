import ReferenceSwitch
import TestSupport
import Testing
import VSwitchCore

/// Many changes at one version step, or none.
@Suite struct BundleTests {
  private let tables = FlowTables(workerCount: 1, seed: 7)

  @Test func lastChangeThatFailsLeavesNothing() throws {
    var first = FlowMod()
    first.match.set(.inPort, 1)
    try tables.apply(first, now: 1)
    var meter = MeterDescription(id: 1, unit: .packetsPerSecond)
    meter.bands = [MeterDescription.Band(kind: .drop, rate: 10)]
    try tables.apply(MeterMod(.add, meter), now: 1)
    let before = (tables.rules(), tables.groupDescriptions(), tables.meterDescriptions(), tables.reader.version)

    var change = first
    change.instructions = Instructions(apply: [.group(1)])
    var delete = FlowMod()
    delete.command = .delete
    var other = FlowMod()
    other.table = 2
    var bad = FlowMod()
    bad.instructions = Instructions(apply: [.group(99)])
    var group = GroupDescription(id: 1, kind: .all)
    group.buckets = [GroupDescription.Bucket()]
    meter.bands[0].rate = 20
    let bundle: [TableChange] = [
      .group(GroupMod(.add, group)), .flow(change), .flow(other), .meter(MeterMod(.modify, meter)), .flow(delete),
      .flow(change), .group(GroupMod(.delete, group)), .meter(MeterMod(.delete, meter)), .flow(bad),
    ]
    #expect(throws: BundleError(index: 8, error: .unknownGroup(99))) { try tables.apply(bundle: bundle, now: 2) }
    #expect(tables.rules() == before.0)
    #expect(tables.groupDescriptions() == before.1)
    #expect(tables.meterDescriptions() == before.2)
    #expect(tables.reader.version == before.3)
    #expect(tables.reader.group(1, version: tables.reader.version) == nil)
    #expect(tables.reader.meter(1, version: tables.reader.version) != nil)
    #expect(tables.endGracePeriod(tables.beginGracePeriod()).isEmpty, "nobody is told of what did not happen")
    try tables.apply(bundle: bundle.dropLast(), now: 3)
    #expect(tables.rules().map(\.table) == [2], "the group went with the rules of table 0")
  }

  /// Random bundles, some of which fail, against a copy of the list that is kept only if all went well.
  @Test(arguments: testSeeds(4), RuleShape.allCases)
  func bundlesAreAllOrNothing(seed: UInt64, shape: RuleShape) {
    var random = RandomRules(seed: seed, shape: shape)
    var reference = ReferenceTables()
    var cookie: UInt64 = 0
    for _ in 0..<40 {
      var next = reference
      var bundle: [TableChange] = []
      var fails = false
      for _ in 0..<(1 + random.number(below: 20)) {
        let mod = random.flowMod(cookie: cookie, among: next.rules)
        cookie += 1
        bundle.append(.flow(mod))
        if !next.apply(mod) { fails = true }
        if fails { break }
      }
      if random.number(below: 4) == 0 {
        var bad = FlowMod()
        bad.table = 254
        bundle.append(.flow(bad))
        fails = true
      }
      let worked = (try? tables.apply(bundle: bundle, now: 1)) != nil
      #expect(worked == !fails)
      if !fails { reference = next }
      if random.number(below: 3) == 0 { _ = tables.endGracePeriod(tables.beginGracePeriod()) }
      #expect(tables.rules().map(\.cookie).sorted() == reference.rules.map { $0.cookie }.sorted())
      for _ in 0..<10 {
        let packet = random.packet()
        var mask = FlowMask()
        let rule = tables.reader.lookup(table: 0, key: packet, version: tables.reader.version, mask: &mask)
        let expected = reference.lookup(table: 0, key: packet)
        #expect(rule.map { rule in expected.contains { $0.cookie == rule.cookie } } ?? expected.isEmpty)
      }
    }
  }
}
