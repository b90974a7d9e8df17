// Which fragments of a datagram have come, so that later ones get the ports of the first, and none overlaps another.
//
// Nothing is put together: a datagram's fragments go on as they come, once its first one has told the ports; those that come
// before it wait (`HeldFragments`). What overlaps is dropped with all that follows of its datagram (RFC 5722, for IPv4 too), a
// fragment whose bytes have all come already is dropped alone (RFC 8200 §4.5): so no receiver gets two versions of a byte.
// Thread: one worker. Memory: a fixed number of entries, allocated once. Bounds: `entryCount` datagrams, the oldest of a set
// gives way; `rangeLimit` holes; `lifetime` seconds; no datagram longer than 65,535 bytes.

/// Handle of a worker's table: copies name the same.
@safe struct FragmentTable: @unchecked Sendable {
  static var entryCount: Int { 4096 }
  static var waysLog2: Int { 3 }
  static var rangeLimit: Int { 8 }
  /// As Open vSwitch's: shorter than what hosts wait.
  static var lifetime: UInt32 { 15 }

  enum Placement {
    /// Overlaps, comes again, or has too many holes before it.
    case drop
    /// Its first fragment has not come yet.
    case early
    case ports(UInt16, UInt16)
  }

  struct Entry {
    /// Without ports.
    var tuple = ConnectionTuple()
    var fragmentID: UInt32 = 0
    /// Seconds; an entry without ranges is free.
    var createdAt: UInt32 = 0
    var sourcePort: UInt16 = 0
    var destinationPort: UInt16 = 0
    /// Where the datagram ends; 0: its last fragment has not come.
    var end: UInt32 = 0
    var rangeCount: UInt8 = 0
    var hasPorts = false
    /// Something overlapped: nothing more of it goes on.
    var isBad = false
    /// Bytes that have come, in order; ends are exclusive.
    var starts = InlineArray<8, UInt32>(repeating: 0)
    var ends = InlineArray<8, UInt32>(repeating: 0)
  }

  private let entries: UnsafeMutablePointer<Entry>
  private let key: SipHash.Key

  init(key: SipHash.Key) {
    unsafe entries = .allocate(capacity: FragmentTable.entryCount)
    unsafe entries.initialize(repeating: Entry(), count: FragmentTable.entryCount)
    self.key = key
  }

  func deallocate() { unsafe entries.deallocate() }

  /// Notes a fragment.
  /// - Parameter packet: a first or later fragment, with a zone.
  @inline(never)
  func place(_ packet: borrowing TrackedPacket, now: UInt32) -> Placement {
    let isFirst = packet.kind == .firstFragment
    let entry = unsafe entry(packet, now: now)
    if unsafe entry.pointee.isBad { return .drop }
    let start = UInt32(truncatingIfNeeded: packet.fragmentStart)
    let end = UInt32(truncatingIfNeeded: packet.fragmentEnd)
    guard isFirst == (start == 0) else { return unsafe spoil(entry) }
    if isFirst, unsafe !entry.pointee.hasPorts {
      unsafe entry.pointee.sourcePort = packet.tuple.sourcePort
      unsafe entry.pointee.destinationPort = packet.tuple.destinationPort
      unsafe entry.pointee.hasPorts = true
    }
    guard unsafe entry.pointee.hasPorts else { return .early }
    if packet.isLastFragment {
      if unsafe entry.pointee.end != 0, unsafe entry.pointee.end != end { return unsafe spoil(entry) }
      unsafe entry.pointee.end = end
    }
    if unsafe entry.pointee.end != 0, unsafe end > entry.pointee.end { return unsafe spoil(entry) }
    guard unsafe insert(entry, start, end) else { return .drop }
    return unsafe .ports(entry.pointee.sourcePort, entry.pointee.destinationPort)
  }

  /// Adds a range of bytes.
  /// - Returns: false if they, or some of them, are there already, or if there are too many holes.
  private func insert(_ entry: UnsafeMutablePointer<Entry>, _ start: UInt32, _ end: UInt32) -> Bool {
    let count = unsafe Int(entry.pointee.rangeCount)
    var position = 0
    while position < count, unsafe entry.pointee.ends[position] < start { position &+= 1 }
    // The first range that ends at or behind the new one's start.
    let touchesLeft = unsafe position < count && entry.pointee.ends[position] == start
    let right = touchesLeft ? position &+ 1 : position
    if right < count, unsafe entry.pointee.starts[right] < end {
      let isKnown = unsafe entry.pointee.starts[right] <= start && entry.pointee.ends[right] >= end
      if !isKnown { _ = unsafe spoil(entry) }
      return false
    }
    let touchesRight = unsafe right < count && entry.pointee.starts[right] == end
    if touchesLeft, touchesRight {
      unsafe entry.pointee.ends[position] = entry.pointee.ends[right]
      var next = right
      while next &+ 1 < count {
        unsafe entry.pointee.starts[next] = entry.pointee.starts[next &+ 1]
        unsafe entry.pointee.ends[next] = entry.pointee.ends[next &+ 1]
        next &+= 1
      }
      unsafe entry.pointee.rangeCount &-= 1
    } else if touchesLeft {
      unsafe entry.pointee.ends[position] = end
    } else if touchesRight {
      unsafe entry.pointee.starts[right] = start
    } else {
      guard count < FragmentTable.rangeLimit else {
        _ = unsafe spoil(entry)
        return false
      }
      var last = count
      while last > right {
        unsafe entry.pointee.starts[last] = entry.pointee.starts[last &- 1]
        unsafe entry.pointee.ends[last] = entry.pointee.ends[last &- 1]
        last &-= 1
      }
      unsafe entry.pointee.starts[right] = start
      unsafe entry.pointee.ends[right] = end
      unsafe entry.pointee.rangeCount &+= 1
    }
    return true
  }

  private func spoil(_ entry: UnsafeMutablePointer<Entry>) -> Placement {
    unsafe entry.pointee.isBad = true
    return .drop
  }

  /// The datagram's entry, or a new one in the place of one that is over, or of the oldest in its set.
  private func entry(_ packet: borrowing TrackedPacket, now: UInt32) -> UnsafeMutablePointer<Entry> {
    var tuple = packet.tuple
    tuple.sourcePort = 0
    tuple.destinationPort = 0
    var hash = SipHash(key)
    hash.add(tuple.sourceHigh)
    hash.add(tuple.sourceLow)
    hash.add(tuple.destinationHigh)
    hash.add(tuple.destinationLow)
    hash.add(tuple.rest)
    hash.add(UInt64(packet.fragmentID))
    let ways = 1 &<< FragmentTable.waysLog2
    let set = Int(truncatingIfNeeded: hash.finish()) & (FragmentTable.entryCount &- 1) & ~(ways &- 1)
    var oldest = unsafe entries + set
    var oldestAge: UInt32 = 0
    for way in 0..<ways {
      let entry = unsafe entries + (set &+ way)
      let age =
        unsafe entry.pointee.createdAt == 0 ? UInt32.max : now &- entry.pointee.createdAt
      if age < FragmentTable.lifetime, unsafe entry.pointee.fragmentID == packet.fragmentID,
        unsafe entry.pointee.tuple == tuple
      {
        return unsafe entry
      }
      if age > oldestAge {
        oldestAge = age
        unsafe oldest = entry
      }
    }
    unsafe oldest.pointee = Entry()
    unsafe oldest.pointee.tuple = tuple
    unsafe oldest.pointee.fragmentID = packet.fragmentID
    unsafe oldest.pointee.createdAt = max(now, 1)
    return unsafe oldest
  }
}
