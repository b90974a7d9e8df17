// The buckets that connections are found by, beside a list.

import TestSupport
import Testing

@testable import Datapath

@Suite struct ConnectionBucketTests {
  @Test func recordsAndBucketsAreWholeLines() {
    #expect(MemoryLayout<ConnectionBucket>.stride == 64)
    #expect(MemoryLayout<TrackedConnection>.stride == 256)
  }

  @Test(arguments: 0..<8) func entriesAreFoundByTheirHashesAlone(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var bucket = ConnectionBucket()
    // Few tags, among them neighbours, and the one of a hash that is 0.
    let hashes: [UInt32] = [0, 1 << 16, 2 << 16, 3 << 16, 4 << 16, 5 << 16, 0xffff_0000, 0xfffd_0000]
    var entries: [(entry: UInt32, hash: UInt32)] = []
    for step in 1..<4000 as Range<UInt32> {
      if entries.isEmpty || random.next() % 2 == 0 {
        let hash = hashes[Int(random.next() % 8)]
        let isKept = bucket.insert(step, hash)
        #expect(isKept == (entries.count < 8))
        if isKept { entries.append((step, hash)) }
      } else {
        let (entry, _) = entries.remove(at: Int(random.next() % UInt64(entries.count)))
        let (isThere, isStillThere) = (bucket.remove(entry), bucket.remove(entry))
        #expect(isThere && !isStillThere)
      }
      for hash in hashes {
        var lanes = bucket.lanes(hash)
        var found: [UInt32] = []
        while lanes != 0 { found.append(bucket.takeEntry(&lanes)) }
        #expect(!found.contains(0), "a free lane is no entry")
        #expect(Set(entries.filter { $0.hash == hash }.map(\.entry)).isSubset(of: found))
        #expect(Set(found).isSubset(of: entries.map(\.entry)) && Set(found).count == found.count)
      }
    }
  }

  /// Tuples of a table that fills and empties, among them some that no bucket has room for.
  @Test(arguments: 0..<4) func everyTupleIsFoundWhileTheTableFillsAndEmpties(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let table = try ConnectionTable(key: SipHash.Key(low: random.next(), high: random.next()))
    defer { table.deallocate() }
    func tuple(_ number: UInt32, isReply: Bool) -> ConnectionTuple {
      var tuple = ConnectionTuple()
      tuple.isIPv6 = false
      tuple.ipProtocol = 17
      tuple.sourceLow = UInt64(number)
      tuple.sourcePort = 7
      return isReply ? tuple.reversed : tuple
    }
    // Every other one has one of two hashes: these are in chains.
    func hash(_ tuple: ConnectionTuple) -> UInt32 {
      let number = tuple.sourceLow | tuple.destinationLow
      return number % 64 == 0 ? UInt32(1 + number % 128) : table.hash(tuple)
    }
    var known: [UInt32: UInt32] = [:]
    for step in 0..<20_000 as Range<UInt32> {
      let goesOn = step < 12_000 ? random.next() % 4 > 0 : random.next() % 4 == 0
      if goesOn || known.isEmpty {
        var refusal = ConnectionTable.Refusal.tableFull
        let index = try #require(table.take(zone: 0, owner: 1, now: 0, refusal: &refusal))
        let connection = unsafe table.record(index)
        unsafe connection.pointee.original = tuple(step, isReply: false)
        unsafe connection.pointee.reply = tuple(step, isReply: true)
        unsafe connection.pointee.expiresAt = 100
        table.link(
          index, originalHash: hash(tuple(step, isReply: false)), replyHash: hash(tuple(step, isReply: true)))
        known[step] = index
      } else if let (number, index) = known.randomElement(using: &random) {
        table.remove(index)
        known[number] = nil
      }
      guard step % 500 == 499 else { continue }
      for number in 0...step {
        for isReply in [false, true] {
          let tuple = tuple(number, isReply: isReply)
          let found = table.lookup(tuple, hash: hash(tuple), now: 1)
          guard found?.index == known[number], found == nil || found?.isReply == isReply else {
            Issue.record("tuple \(number) at step \(step), seed \(seed): \(String(describing: found))")
            return
          }
        }
      }
    }
    #expect(unsafe table.state.pointee.count == known.count)
  }
}
