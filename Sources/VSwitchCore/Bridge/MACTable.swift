// A bridge's MAC table: which port is a station behind, per VLAN.
//
// Thread: one owner (the worker of the bridge); control code asks the owner. Memory: one block each for buckets,
// entries and ports, allocated by `init`, freed by `deallocate`; nothing is allocated later.
// Invariants: at most `limit` entries; every learned entry is in its port's list, ordered by `lastSeenSeconds`;
// static entries are in no list, never age and never move. Time is passed in; ageing needs no timer, because an entry
// past its age is treated as absent and is the first to be reused.
// Standard: IEEE 802.1Q §8.8; eviction from the fullest port so that one port can't push out the others' stations.

import Glibc

/// Handle of a MAC table: copies name the same table. The handle may go anywhere; only the owner may use it.
@safe public struct MACTable: @unchecked Sendable {
  /// A station as the table knows it.
  public struct Entry {
    /// VLAN << 48 | address.
    @usableFromInline var key: UInt64
    @usableFromInline var next: UInt32
    @usableFromInline var older: UInt32
    @usableFromInline var newer: UInt32
    @usableFromInline var lastSeenSeconds: UInt32
    @usableFromInline var port: UInt16
    @usableFromInline var isStatic: Bool
  }
  /// The learned entries behind one port, oldest first.
  @usableFromInline struct PortList {
    @usableFromInline var oldest: UInt32
    @usableFromInline var newest: UInt32
  }
  @usableFromInline struct State {
    @usableFromInline let seed: UInt64
    @usableFromInline var limit: UInt32
    @usableFromInline var ageingSeconds: UInt32
    @usableFromInline var used: UInt32
    /// Entries ever taken; those above have never been written.
    @usableFromInline var highWater: UInt32
    @usableFromInline var free: UInt32
    /// When aged entries were last looked for, and the port to go on with: those before have none in that second.
    @usableFromInline var agedSearchSeconds: UInt32
    @usableFromInline var agedSearchPort: UInt32
    /// Counts what may change the answer of `port` for a known station: entries new, moved, removed.
    @usableFromInline var changeCount: UInt64
  }
  /// Index 0 of entries is never used, so that zeroed memory means "none".
  @usableFromInline let entries: UnsafeMutablePointer<Entry>
  @usableFromInline let buckets: UnsafeMutablePointer<UInt32>
  @usableFromInline let ports: UnsafeMutablePointer<PortList>
  @usableFromInline let fullest: PortHeap
  @usableFromInline let state: UnsafeMutablePointer<State>
  @usableFromInline let bucketMask: UInt64
  /// Port indices are below this.
  public let portLimit: Int

  /// - Parameters:
  ///   - limit: most entries, 1 to 16 million.
  ///   - ageingSeconds: an entry not seen for so long is gone.
  ///   - portLimit: port indices are below this.
  ///   - seed: keys the hash, so that nobody can aim at one bucket.
  public init(limit: Int, ageingSeconds: Int, portLimit: Int, seed: UInt64) {
    let limit = min(max(limit, 1), 1 << 24)
    var bucketCount = 16
    while bucketCount < limit &+ limit / 2 { bucketCount &*= 2 }
    unsafe entries = zeroedMemory(limit + 1)
    unsafe buckets = zeroedMemory(bucketCount)
    unsafe ports = zeroedMemory(portLimit)
    fullest = PortHeap(portLimit: portLimit)
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(
      to: State(
        seed: seed, limit: UInt32(limit), ageingSeconds: UInt32(clamping: ageingSeconds), used: 0, highWater: 0,
        free: 0,
        agedSearchSeconds: 0, agedSearchPort: 0, changeCount: 0))
    bucketMask = UInt64(bucketCount - 1)
    self.portLimit = portLimit
  }

  /// Frees the table; no copy of the handle may be used afterwards.
  public func deallocate() {
    unsafe free(entries)
    unsafe free(buckets)
    unsafe free(ports)
    fullest.deallocate()
    unsafe state.deallocate()
  }

  /// The key of a station.
  @inlinable @inline(__always)
  public static func key(vlan: UInt16, address: UInt64) -> UInt64 { UInt64(vlan) &<< 48 | address }

  @inlinable @inline(__always)
  func bucket(_ key: UInt64) -> Int {
    var hash = unsafe (key ^ state.pointee.seed) &* 0x9e37_79b9_7f4a_7c15
    hash = (hash ^ hash &>> 32) &* 0xd6e8_feb8_6659_fd93
    return Int((hash &>> 32) & bucketMask)
  }

  @inlinable @inline(__always)
  func find(_ key: UInt64) -> UInt32 {
    var index = unsafe buckets[bucket(key)]
    while index != 0 {
      if unsafe entries[Int(index)].key == key { return index }
      index = unsafe entries[Int(index)].next
    }
    return 0
  }

  @inlinable @inline(__always)
  func isAlive(_ index: UInt32, now: UInt32) -> Bool {
    unsafe entries[Int(index)].isStatic
      || now &- entries[Int(index)].lastSeenSeconds < state.pointee.ageingSeconds
  }

  /// What is known of a station: its port, and whether that is fixed. For control code: `port` is the worker's way.
  public func station(vlan: UInt16, address: UInt64, now: UInt32) -> (port: UInt16, isStatic: Bool)? {
    let index = find(MACTable.key(vlan: vlan, address: address))
    guard index != 0, isAlive(index, now: now) else { return nil }
    return unsafe (entries[Int(index)].port, entries[Int(index)].isStatic)
  }

  /// The port where a station is.
  /// - Returns: nil if it is not known.
  @inlinable @inline(__always)
  public func port(vlan: UInt16, address: UInt64, now: UInt32) -> UInt16? {
    let index = find(MACTable.key(vlan: vlan, address: address))
    guard index != 0, isAlive(index, now: now) else { return nil }
    return unsafe entries[Int(index)].port
  }

  /// Changes whenever a station that `port` knew may be elsewhere or gone, ageing apart.
  @inlinable @inline(__always)
  public var changeCount: UInt64 { unsafe state.pointee.changeCount }

  /// Notes that a frame of a station came in at `port`. Multicast sources are the caller's to leave out.
  @inlinable @inline(__always)
  public func learn(vlan: UInt16, address: UInt64, port: UInt16, now: UInt32) {
    let key = MACTable.key(vlan: vlan, address: address)
    let index = find(key)
    // By far the most frequent: seen this second, at the same port.
    if index != 0, unsafe entries[Int(index)].port == port, unsafe entries[Int(index)].lastSeenSeconds == now { return }
    refresh(index, key: key, port: port, now: now)
  }

  @usableFromInline @inline(never)
  func refresh(_ index: UInt32, key: UInt64, port: UInt16, now: UInt32) {
    guard Int(port) < portLimit else { return }
    if index == 0 {
      insert(key, port: port, now: now)
    } else if unsafe !entries[Int(index)].isStatic {
      let known = unsafe entries[Int(index)].port
      unlink(index)
      unsafe entries[Int(index)].port = port
      unsafe entries[Int(index)].lastSeenSeconds = now
      append(index)
      guard known != port else { return }
      fullest.add(-1, to: known)
      fullest.add(1, to: port)
      unsafe state.pointee.changeCount &+= 1
    }
  }

  private func insert(_ key: UInt64, port: UInt16, now: UInt32) {
    guard let index = takeEntry(now: now) else { return }
    place(index, key: key, port: port, now: now, isStatic: false)
    append(index)
    fullest.add(1, to: port)
  }

  private func place(_ index: UInt32, key: UInt64, port: UInt16, now: UInt32, isStatic: Bool) {
    let bucket = bucket(key)
    unsafe entries[Int(index)] = unsafe Entry(
      key: key, next: buckets[bucket], older: 0, newer: 0, lastSeenSeconds: now, port: port, isStatic: isStatic)
    unsafe buckets[bucket] = index
    unsafe state.pointee.used &+= 1
    unsafe state.pointee.changeCount &+= 1
  }

  /// A free entry, or one taken from an aged station, or from the oldest station of the fullest port.
  private func takeEntry(now: UInt32) -> UInt32? {
    if unsafe state.pointee.used >= state.pointee.limit {
      guard let victim = victim(now: now) else { return nil }
      remove(victim)
    }
    if unsafe state.pointee.free != 0 {
      let index = unsafe state.pointee.free
      unsafe state.pointee.free = unsafe entries[Int(index)].next
      return index
    }
    guard unsafe state.pointee.highWater < state.pointee.limit else { return nil }
    unsafe state.pointee.highWater &+= 1
    return unsafe state.pointee.highWater
  }

  /// The entry to give up: any that is aged, else the oldest of the port that has most. Each port is looked at once a
  /// second at most, so that a flood of new addresses costs little per packet whatever the number of ports.
  private func victim(now: UInt32) -> UInt32? {
    if unsafe state.pointee.agedSearchSeconds != now {
      unsafe state.pointee.agedSearchSeconds = now
      unsafe state.pointee.agedSearchPort = 0
    }
    while unsafe Int(state.pointee.agedSearchPort) < portLimit {
      let oldest = unsafe ports[Int(state.pointee.agedSearchPort)].oldest
      if oldest != 0, !isAlive(oldest, now: now) { return oldest }
      unsafe state.pointee.agedSearchPort &+= 1
    }
    guard let port = fullest.top else { return nil }
    let oldest = unsafe ports[Int(port)].oldest
    return oldest == 0 ? nil : oldest
  }

  private func append(_ index: UInt32) {
    let port = unsafe Int(entries[Int(index)].port)
    let newest = unsafe ports[port].newest
    unsafe entries[Int(index)].older = newest
    unsafe entries[Int(index)].newer = 0
    if newest == 0 {
      unsafe ports[port].oldest = index
    } else {
      unsafe entries[Int(newest)].newer = index
    }
    unsafe ports[port].newest = index
  }

  private func unlink(_ index: UInt32) {
    let entry = unsafe entries[Int(index)]
    let port = Int(entry.port)
    if entry.older == 0 {
      unsafe ports[port].oldest = entry.newer
    } else {
      unsafe entries[Int(entry.older)].newer = entry.newer
    }
    if entry.newer == 0 {
      unsafe ports[port].newest = entry.older
    } else {
      unsafe entries[Int(entry.newer)].older = entry.older
    }
  }

  private func remove(_ index: UInt32) {
    if unsafe !entries[Int(index)].isStatic {
      unlink(index)
      fullest.add(-1, to: unsafe entries[Int(index)].port)
    }
    let bucket = unsafe bucket(entries[Int(index)].key)
    if unsafe buckets[bucket] == index {
      unsafe buckets[bucket] = unsafe entries[Int(index)].next
    } else {
      var previous = unsafe buckets[bucket]
      while previous != 0, unsafe entries[Int(previous)].next != index {
        previous = unsafe entries[Int(previous)].next
      }
      if previous != 0 { unsafe entries[Int(previous)].next = unsafe entries[Int(index)].next }
    }
    unsafe entries[Int(index)].key = 0
    unsafe entries[Int(index)].next = unsafe state.pointee.free
    unsafe state.pointee.free = index
    unsafe state.pointee.used &-= 1
    unsafe state.pointee.changeCount &+= 1
  }
}

// What control code does, on the owner's thread.
extension MACTable {
  /// Sets another age limit; entries past it are gone at once.
  public func setAgeing(seconds: Int) {
    unsafe state.pointee.ageingSeconds = UInt32(clamping: seconds)
    unsafe state.pointee.agedSearchPort = 0
    unsafe state.pointee.changeCount &+= 1
  }

  /// Adds an entry that neither ages nor moves, in place of what is known of the station.
  /// - Returns: false if the table is full of static entries.
  public func addStatic(vlan: UInt16, address: UInt64, port: UInt16, now: UInt32) -> Bool {
    let key = MACTable.key(vlan: vlan, address: address)
    let known = find(key)
    if known != 0 { remove(known) }
    guard Int(port) < portLimit, let index = takeEntry(now: now) else { return false }
    place(index, key: key, port: port, now: now, isStatic: true)
    return true
  }

  /// Removes a station, static or learned.
  /// - Returns: false if it was not known.
  public func remove(vlan: UInt16, address: UInt64, now: UInt32) -> Bool {
    let index = find(MACTable.key(vlan: vlan, address: address))
    guard index != 0 else { return false }
    let known = isAlive(index, now: now)
    remove(index)
    return known
  }

  /// Removes learned entries (and static ones if asked) of one VLAN or port, or all.
  /// - Returns: how many stations are no longer known.
  public func flush(vlan: UInt16? = nil, port: UInt16? = nil, includingStatic: Bool = false, now: UInt32) -> Int {
    var removed = 0
    for index in indices {
      let entry = unsafe entries[Int(index)]
      if let vlan, UInt16(truncatingIfNeeded: entry.key >> 48) != vlan { continue }
      if let port, entry.port != port { continue }
      if entry.isStatic && !includingStatic { continue }
      if isAlive(index, now: now) { removed += 1 }
      remove(index)
    }
    return removed
  }

  /// Calls `body` for every station that is known at `now`.
  public func forEach(
    now: UInt32,
    _ body: (_ vlan: UInt16, _ address: UInt64, _ port: UInt16, _ ageSeconds: UInt32?) -> Void
  ) {
    for index in indices where isAlive(index, now: now) {
      let entry = unsafe entries[Int(index)]
      body(
        UInt16(truncatingIfNeeded: entry.key >> 48), entry.key & 0xffff_ffff_ffff, entry.port,
        entry.isStatic ? nil : now &- entry.lastSeenSeconds)
    }
  }

  /// Entries in use, in no order; a copy, so that the table may change meanwhile.
  private var indices: [UInt32] {
    var used: Set<UInt32> = []
    var free = unsafe state.pointee.free
    while free != 0 {
      used.insert(free)
      free = unsafe entries[Int(free)].next
    }
    let highWater = unsafe state.pointee.highWater
    return highWater == 0 ? [] : (1...highWater).filter { !used.contains($0) }
  }
}
