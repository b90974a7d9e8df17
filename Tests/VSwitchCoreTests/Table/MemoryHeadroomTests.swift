import TestSupport
import Testing

@testable import VSwitchCore

/// Without memory a rule is refused, and what there was goes on.
@Suite struct MemoryHeadroomTests {
  private func rule(_ number: UInt32) -> FlowMod {
    var rule = FlowMod()
    rule.match.set(.etherType, 0x0800)
    rule.match.set(.ipv4Source, UInt128(number))
    rule.instructions = Instructions(apply: [.output(PortNumber(1), maximumByteCount: 0)])
    return rule
  }

  @Test func withoutMemoryARuleIsRefusedAndNothingIsHalfDone() throws {
    let tables = FlowTables(workerCount: 1, seed: 1)
    tables.headroom.isAvailable = { _ in tables.ruleCount < 2 * MemoryHeadroom.interval }
    var added: UInt32 = 0
    var error: TableError?
    while error == nil, added < 10_000 {
      do throws(TableError) {
        try tables.apply(rule(added), now: 1)
        added += 1
      } catch let refusal {
        error = refusal
      }
    }
    #expect(error == .outOfMemory)
    #expect(tables.ruleCount == Int(added) && added >= UInt32(2 * MemoryHeadroom.interval))
    // A bundle that comes to the same limit leaves nothing, and deleting makes room.
    let reader = tables.reader
    let version = reader.version
    #expect(throws: BundleError(index: 0, error: .outOfMemory)) {
      try tables.apply(bundle: (added..<added + 5).map { .flow(rule($0)) }, now: 2)
    }
    #expect(reader.version == version && tables.ruleCount == Int(added))
    var gone = FlowMod()
    gone.command = .delete
    try tables.apply(gone, now: 3)
    _ = tables.endGracePeriod(tables.beginGracePeriod())
    try tables.apply(rule(1), now: 4)
    #expect(tables.ruleCount == 1)
  }

  @Test func withoutMemoryGroupsAndMetersAreRefused() throws {
    let tables = FlowTables(workerCount: 1, seed: 1)
    var hasMemory = true
    tables.limitMemory { _ in hasMemory }
    var group = GroupDescription(id: 1, kind: .all)
    var bucket = GroupDescription.Bucket()
    bucket.actions = [.output(PortNumber(1), maximumByteCount: 0)]
    group.buckets = [bucket]
    try tables.apply(GroupMod(.add, group), now: 1)
    hasMemory = false
    // One with more buckets than are added between two questions is asked for at once.
    group.id = 2
    group.buckets = Array(repeating: bucket, count: MemoryHeadroom.interval)
    #expect(throws: TableError.tooManyGroups) { try tables.apply(GroupMod(.add, group), now: 2) }
    var meter = MeterDescription(id: 1, unit: .packetsPerSecond)
    meter.bands = [MeterDescription.Band(kind: .drop, rate: 1)]
    var added: UInt32 = 0
    #expect(throws: TableError.tooManyMeters) {
      for id in UInt32(1)...2000 {
        meter.id = id
        try tables.apply(MeterMod(.add, meter), now: 3)
        added = id
      }
    }
    #expect(added < MemoryHeadroom.interval)
    #expect(tables.groupDescriptions(nil).map(\.id) == [1])
    #expect(tables.meterDescriptions(nil).count == Int(added))
    hasMemory = true
    try tables.apply(GroupMod(.add, group), now: 4)
  }

  @Test func whatCanNotBeMappedIsNotThere() {
    var headroom = MemoryHeadroom()
    let few = headroom.mayGrow(ruleCount: 1000)
    headroom = MemoryHeadroom()
    let many = headroom.mayGrow(ruleCount: 1 << 50)
    #expect(few && !many)
  }
}
