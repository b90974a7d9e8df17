import Foundation
import Synchronization
import TestSupport
import Testing
import VSwitchCore

/// A thread that looks up while another changes the tables. Run under the thread sanitizer too:
/// `swift test --sanitize=thread --filter ConcurrentReadTests`.
@Suite struct ConcurrentReadTests {
  private final class Shared: Sendable {
    /// Goes up whenever the reader holds nothing of the tables.
    let quiescentCount = Atomic<UInt64>(0)
    let isOver = Atomic<Bool>(false)
    let hasEnded = Atomic<Bool>(false)
    let lookupCount = Atomic<UInt64>(0)
    let faultCount = Atomic<UInt64>(0)
    let countedPackets = Atomic<UInt64>(0)
  }

  /// A match for a number: most have one mask, which gets a subtable; the others are prefixes.
  private static func match(_ number: Int) -> Match {
    var match = Match()
    if number < 200 {
      match.set(.inPort, UInt128(number))
    } else {
      let length = UInt64(8 + number % 17)
      match.set(.ipv4Destination, UInt128(number) << 24, mask: UInt128(UInt32.max << UInt32(32 - length)))
      match.set(.reg0, UInt128(number))
    }
    return match
  }

  private static func read(_ reader: FlowTablesReader, _ shared: Shared, seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    while !shared.isOver.load(ordering: .acquiring) {
      let version = reader.version
      for _ in 0..<8 {
        let key = match(Int(random.next() % 256)).key
        var mask = FlowMask()
        let first = reader.lookup(table: 0, key: key, version: version, mask: &mask)
        let second = reader.lookup(table: 1, key: key, version: version, mask: &mask)
        let group = reader.group(1, version: version)
        // Every bundle puts the same cookie in both tables, and a group with as many buckets as its last digit.
        if first == nil || first?.cookie != second?.cookie || group?.bucketCount != Int(version % 10) {
          shared.faultCount.wrappingAdd(1, ordering: .relaxed)
        }
        if let first, first.code.isConjunction { shared.faultCount.wrappingAdd(1, ordering: .relaxed) }
        if let first {
          reader.count(first.slot, worker: 0, packetCount: 1, byteCount: 60, now: version)
          shared.countedPackets.wrappingAdd(1, ordering: .relaxed)
        }
      }
      shared.lookupCount.wrappingAdd(16, ordering: .relaxed)
      shared.quiescentCount.wrappingAdd(1, ordering: .releasing)
    }
    shared.hasEnded.store(true, ordering: .releasing)
  }

  private static func bundle(_ random: inout SeededGenerator, version: UInt64, isFirst: Bool) -> [TableChange] {
    var changes: [TableChange] = []
    for number in 0..<256 where isFirst || random.next() % 8 == 0 {
      for table in UInt8(0)...1 {
        var mod = FlowMod()
        mod.table = table
        mod.match = match(number)
        mod.cookie = version
        mod.priority = 100
        changes.append(.flow(mod))
      }
    }
    // Rules below them come and go, so that leaves are split and joined and arrays replaced.
    for _ in 0..<40 {
      var mod = FlowMod()
      mod.table = UInt8(random.next() % 2)
      mod.match.set(.ipv4Destination, UInt128(random.next() % 4096), mask: UInt128(0xfff << (random.next() % 6)))
      mod.priority = UInt16(random.next() % 90)
      if random.next() % 2 == 0 {
        mod.command = .delete
        mod.match.set(.reg0, 0, mask: 0)
        mod.cookieFilter = FlowMod.CookieFilter(value: 1 << 40, mask: 1 << 40)
      }
      mod.cookie = 1 << 40
      changes.append(.flow(mod))
    }
    var group = GroupDescription(id: 1, kind: .select)
    group.buckets = Array(repeating: GroupDescription.Bucket(), count: Int(version % 10))
    changes.append(.group(GroupMod(.addOrModify, group)))
    return changes
  }

  @Test(arguments: testSeeds(2))
  func readersSeeEachBundleWholeOrNotAtAll(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let tables = FlowTables(workerCount: 1, seed: seed)
    let shared = Shared()
    try tables.apply(bundle: ConcurrentReadTests.bundle(&random, version: 1, isFirst: true), now: 1)
    try #require(tables.reader.version == 1)
    let reader = tables.reader
    Thread.detachNewThread { ConcurrentReadTests.read(reader, shared, seed: seed) }
    var lost: UInt64 = 0
    for round in 0..<300 {
      let changes = ConcurrentReadTests.bundle(&random, version: reader.version + 1, isFirst: false)
      if round % 5 == 4 {
        // Half of a bundle, then a failure: nobody sees any of it. Its version is used up.
        var bad = FlowMod()
        bad.table = 254
        #expect(throws: BundleError.self) { try tables.apply(bundle: changes + [.flow(bad)], now: 1) }
        let group = ConcurrentReadTests.bundle(&random, version: reader.version + 2, isFirst: false)
        try tables.apply(bundle: group, now: 1)
      } else {
        try tables.apply(bundle: changes, now: 1)
      }
      let ticket = tables.beginGracePeriod()
      let start = shared.quiescentCount.load(ordering: .acquiring)
      // The round that runs now and one more: the reader has passed a quiescent point since.
      while shared.quiescentCount.load(ordering: .acquiring) < start + 2 { sched_yield() }
      for removed in tables.endGracePeriod(ticket) { lost += removed.rule.statistics.packetCount }
    }
    shared.isOver.store(true, ordering: .releasing)
    while !shared.hasEnded.load(ordering: .acquiring) { sched_yield() }
    #expect(shared.faultCount.load(ordering: .acquiring) == 0)
    #expect(shared.lookupCount.load(ordering: .acquiring) > 0)
    // Rules were replaced all the time, and no packet was lost from the counts.
    #expect(tables.aggregate(RuleFilter()).packetCount + lost == shared.countedPackets.load(ordering: .acquiring))
  }
}
