// Fragments that came before the first one of their datagram, which has the ports: they wait here for it.
//
// Thread: one worker. Memory: a fixed number of places; each holds a reference to a packet. Bounds: `limit` packets, `datagramLimit`
// of one datagram, `FragmentTable.lifetime` seconds; what finds no room is dropped. When all places are taken the port with the most
// gives one up for a port with fewer: a flood at one port leaves others their share.

/// Handle of a worker's waiting fragments: copies name the same.
@safe struct HeldFragments {
  static var limit: Int { 64 }
  static var datagramLimit: Int { 16 }

  struct Entry {
    var packet: PacketIndex
    /// Without ports, with the zone that it waits in.
    var tuple: ConnectionTuple
    var fragmentID: UInt32
    /// Seconds.
    var since: UInt32
    /// Slot of the entry port.
    var slot: UInt16
  }

  private let entries: UnsafeMutablePointer<Entry>
  private let storedCount: UnsafeMutablePointer<Int>

  init() {
    unsafe entries = .allocate(capacity: HeldFragments.limit)
    unsafe storedCount = .allocate(capacity: 1)
    unsafe storedCount.initialize(to: 0)
  }

  func deallocate() {
    unsafe entries.deallocate()
    unsafe storedCount.deallocate()
  }

  var count: Int { unsafe storedCount.pointee }

  /// Keeps a packet.
  /// - Returns: false if there is no room.
  func append(_ entry: Entry) -> Bool {
    guard count < HeldFragments.limit else { return false }
    var same = 0
    for position in 0..<count where unsafe isSame(entries[position], entry) { same &+= 1 }
    guard same < HeldFragments.datagramLimit else { return false }
    unsafe (entries + count).initialize(to: entry)
    unsafe storedCount.pointee &+= 1
    return true
  }

  /// Takes out the oldest of the port that has the most, if all places are taken and another port with fewer wants one.
  /// - Parameter slot: of that other port.
  func makeRoom(for slot: UInt16) -> PacketIndex? {
    guard count == HeldFragments.limit else { return nil }
    var most = slot
    var mostCount = count(of: slot) &+ 1
    for position in 0..<count {
      let other = unsafe entries[position].slot
      guard other != most else { continue }
      let otherCount = count(of: other)
      if otherCount > mostCount {
        most = other
        mostCount = otherCount
      }
    }
    return most == slot ? nil : take(slot: most)
  }

  private func count(of slot: UInt16) -> Int {
    var found = 0
    for position in 0..<count where unsafe entries[position].slot == slot { found &+= 1 }
    return found
  }

  private func isSame(_ a: Entry, _ b: Entry) -> Bool {
    a.fragmentID == b.fragmentID && a.slot == b.slot && a.tuple == b.tuple
  }

  /// Takes out one that waits for a first fragment; nil if none does.
  func take(tuple: ConnectionTuple, fragmentID: UInt32, slot: UInt16) -> PacketIndex? {
    for position in 0..<count
    where unsafe entries[position].fragmentID == fragmentID && entries[position].slot == slot
      && entries[position].tuple == tuple
    {
      return remove(position)
    }
    return nil
  }

  /// Takes out one that has waited too long; nil if none has.
  func takeExpired(now: UInt32) -> PacketIndex? {
    for position in 0..<count where unsafe now &- entries[position].since >= FragmentTable.lifetime {
      return remove(position)
    }
    return nil
  }

  /// Takes out one of a port; nil if there is none.
  func take(slot: UInt16) -> PacketIndex? {
    for position in 0..<count where unsafe entries[position].slot == slot { return remove(position) }
    return nil
  }

  /// In order: what came first goes on first.
  private func remove(_ position: Int) -> PacketIndex {
    let packet = unsafe entries[position].packet
    unsafe storedCount.pointee &-= 1
    for next in position..<count { unsafe entries[next] = entries[next &+ 1] }
    return packet
  }
}
