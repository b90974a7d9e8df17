// Where the tuples of connections are found whose hashes end alike: a line of the processor's cache, with 15 bits of each
// tuple's hash, so that a tuple which is nobody's is known by this line alone. What has no room waits in a chain.
//
// Thread: one worker. Plain data; all 0 is a bucket with nothing in it.

/// Eight entries, which are not 0, in 64 bytes.
struct ConnectionBucket {
  private static var laneCount: Int { 8 }
  private static var ones: UInt64 { 0x0001_0001_0001_0001 }
  private static var signs: UInt64 { 0x8000_8000_8000_8000 }

  /// Of the hash of each entry, 16 bits in each lane; 0: the lane is free.
  private var tags: (UInt64, UInt64) = (0, 0)
  private var entries = InlineArray<8, UInt32>(repeating: 0)
  /// First of the entries that had no room; 0: none.
  var overflow: UInt32 = 0
  private var padding: (UInt32, UInt32, UInt32) = (0, 0, 0)

  /// Neither that of a free lane nor one that `equal` could take for it.
  @inline(__always)
  private static func tag(_ hash: UInt32) -> UInt64 { UInt64(hash &>> 16) | 2 }

  /// The lanes of a word that are equal to a tag, and perhaps others behind one that is, whose tags differ by 1: the sign bit of
  /// each.
  @inline(__always)
  private static func equal(_ word: UInt64, _ tag: UInt64) -> UInt64 {
    let difference = word ^ (tag &* ones)
    return (difference &- ones) & ~difference & signs
  }

  /// The lanes where a tuple of this hash may be: one bit for each, in the order in which `takeEntry` takes them.
  @inline(__always)
  func lanes(_ hash: UInt32) -> UInt64 {
    let tag = ConnectionBucket.tag(hash)
    return ConnectionBucket.equal(tags.0, tag) &>> 15 | ConnectionBucket.equal(tags.1, tag) &>> 14
  }

  /// The entry of one of the lanes, which is taken from them.
  /// - Parameter lanes: not 0.
  @inline(__always)
  func takeEntry(_ lanes: inout UInt64) -> UInt32 {
    let bit = lanes.trailingZeroBitCount
    lanes &= lanes &- 1
    return entries[bit &>> 4 &+ bit & 1 &* 4]
  }

  /// - Returns: false if there is no room.
  @inline(__always)
  mutating func insert(_ entry: UInt32, _ hash: UInt32) -> Bool {
    let free = (ConnectionBucket.equal(tags.0, 0), ConnectionBucket.equal(tags.1, 0))
    let tag = ConnectionBucket.tag(hash)
    // The lowest bit is a free lane's for sure.
    if free.0 != 0 {
      let lane = free.0.trailingZeroBitCount &>> 4
      tags.0 |= tag &<< UInt64(lane &* 16)
      entries[lane] = entry
    } else if free.1 != 0 {
      let lane = free.1.trailingZeroBitCount &>> 4
      tags.1 |= tag &<< UInt64(lane &* 16)
      entries[lane &+ 4] = entry
    } else {
      return false
    }
    return true
  }

  /// - Returns: false if it is not here.
  @inline(__always)
  mutating func remove(_ entry: UInt32) -> Bool {
    for lane in 0..<ConnectionBucket.laneCount where entries[lane] == entry {
      entries[lane] = 0
      let tag = ~(UInt64(0xffff) &<< UInt64((lane & 3) &* 16))
      if lane < 4 { tags.0 &= tag } else { tags.1 &= tag }
      return true
    }
    return false
  }
}
