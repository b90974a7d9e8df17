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
}
