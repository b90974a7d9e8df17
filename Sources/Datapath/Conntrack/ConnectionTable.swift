// The connections of one worker: records in one mapping, found by either tuple through one table of buckets.
//
// Thread: one worker; control code reads and changes it between two bursts. Memory: mapped once at its largest, resident as
// used (the last place given back is the next one taken), freed by `deallocate`: nothing is allocated for a packet.
// Invariants: a used record is in both its tuples' buckets; `count` and the counts of zones and ports are those
// of the used records. One worker has one table, so nothing is shared and nothing is locked; with more workers each has the
// connections of the packets that it gets.
// Bounds: `State.limit` connections, a limit for each zone that has one, three quarters of the table for one entry port. In a
// full table, zone or share a connection that was never answered gives way, if one is found within some steps; what is
// answered stays. Connections whose time is over are no longer found, and taken out some at a time (`sweep`).

import COFlow
import Glibc
import VSwitchCore

/// Handle of a worker's connections: copies name the same.
@safe struct ConnectionTable: @unchecked Sendable {
  /// Most connections that `setLimit` allows, and how many there may be unless it is called.
  static var capacity: Int { 1 << 21 }
  static var standardLimit: Int { 1 << 20 }
  static var zoneCount: Int { 1 << 16 }
  static var policyLimit: Int { 1024 }
  static var bucketCount: Int { 1 << 19 }
  /// Records looked at to find one that may give way.
  private static var evictionProbes: Int { 64 }

  struct Zone {
    var count: UInt32 = 0
    /// 0: none of its own.
    var limit: UInt32 = 0
    var policy: UInt16 = 0
    /// Connections that the limit refused.
    var refusedCount: UInt32 = 0
  }

  struct State {
    var count = 0
    var limit = ConnectionTable.standardLimit
    /// Of zones that have none of their own; 0: none.
    var zoneLimit: UInt32 = 0
    /// Places from here on were never used.
    var fresh = 0
    /// First of the free places, a list through `nextOriginal`; `ConnectionReference.noIndex` ends it.
    var free = ConnectionReference.noIndex
    /// Where sweeping and the search for what may give way go on.
    var hand = 0
    var evictionHand = 0
    /// Second of the last sweep.
    var sweptAt: UInt32 = 0
    var statistics = ConntrackCounters()
    /// Where events go while somebody watches.
    var watcher: EventRing?
    /// Second of the last burst.
    var clock: UInt32 = 0
    /// Zone of the connection that was made last.
    var lastZone: UInt16 = 0
  }

  let connections: UnsafeMutablePointer<TrackedConnection>
  /// See ConnectionTable+Entries.swift.
  let buckets: UnsafeMutablePointer<ConnectionBucket>
  let zones: UnsafeMutablePointer<Zone>
  /// Connections by the slot of their port.
  private let owners: UnsafeMutablePointer<UInt32>
  let policies: UnsafeMutablePointer<UInt32>
  let state: UnsafeMutablePointer<State>
  let key: SipHash.Key
  private let memory: UnsafeMutableRawPointer
  private static var byteCount: Int {
    MemoryLayout<TrackedConnection>.stride * capacity + MemoryLayout<ConnectionBucket>.stride * bucketCount
      + MemoryLayout<Zone>.stride * zoneCount
  }

  /// - Parameter key: of the hash; nobody else's.
  init(key: SipHash.Key) throws(ConfigError) {
    guard let mapped = unsafe LazyPages.map(byteCount: ConnectionTable.byteCount) else {
      throw ConfigError(
        cause: "no memory for the table of connections", remedy: "raise the memory limit of the service")
    }
    unsafe memory = mapped
    unsafe connections = mapped.bindMemory(to: TrackedConnection.self, capacity: ConnectionTable.capacity)
    var end = unsafe mapped + MemoryLayout<TrackedConnection>.stride * ConnectionTable.capacity
    // Zero is a bucket with nothing in it, and a zone without anything.
    unsafe buckets = end.bindMemory(to: ConnectionBucket.self, capacity: ConnectionTable.bucketCount)
    unsafe end += MemoryLayout<ConnectionBucket>.stride * ConnectionTable.bucketCount
    unsafe zones = end.bindMemory(to: Zone.self, capacity: ConnectionTable.zoneCount)
    unsafe owners = .allocate(capacity: Burst.portLimit + 1)
    unsafe owners.initialize(repeating: 0, count: Burst.portLimit + 1)
    let words = ConnectionTable.policyLimit * ConnectionTimeouts.wordCount
    unsafe policies = .allocate(capacity: words)
    unsafe policies.initialize(repeating: 0, count: words)
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(to: State())
    self.key = key
    set(policy: 0, ConnectionTimeouts())
  }

  func deallocate() {
    unsafe LazyPages.unmap(memory, byteCount: ConnectionTable.byteCount)
    unsafe owners.deallocate()
    unsafe policies.deallocate()
    unsafe state.deallocate()
  }

  // MARK: looking up

  /// A record; the index is below `State.fresh`.
  @inline(__always)
  func record(_ index: UInt32) -> UnsafeMutablePointer<TrackedConnection> { unsafe connections + Int(index) }

  /// The record that a reference names; nil if that connection is no more.
  @inline(__always)
  func record(_ reference: ConnectionReference) -> UnsafeMutablePointer<TrackedConnection>? {
    guard !reference.isNone else { return nil }
    let connection = unsafe connections + Int(reference.index)
    return unsafe connection.pointee.generation == reference.generation && connection.pointee.flags.contains(.isUsed)
      ? connection : nil
  }

  /// Has the processor fetch where a tuple of this hash will be looked for.
  @inline(__always)
  func fetch(hash: UInt32) { unsafe coflow_prefetch(UnsafeRawPointer(bucket(hash))) }

  /// Has the processor fetch what following a connection reads and writes.
  @inline(__always)
  func fetch(_ reference: ConnectionReference) {
    guard !reference.isNone else { return }
    let record = unsafe UnsafeMutableRawPointer(connections + Int(reference.index))
    unsafe coflow_prefetch(record)
    // TCP's state.
    unsafe coflow_prefetch(record + 64)
  }

  @inline(__always)
  func reference(_ index: UInt32) -> ConnectionReference {
    unsafe ConnectionReference(index: index, generation: connections[Int(index)].generation)
  }

  /// A record and which of its tuples.
  struct Found {
    var index: UInt32
    var isReply: Bool
  }

  /// The connection that has this tuple in either direction, if its time is not over.
  @inline(__always)
  func lookup(_ tuple: ConnectionTuple, hash: UInt32, now: UInt32) -> Found? {
    let bucket = unsafe bucket(hash)
    var lanes = unsafe bucket.pointee.lanes(hash)
    while lanes != 0 {
      let entry = unsafe bucket.pointee.takeEntry(&lanes)
      if isEntry(entry, of: tuple, hash) { return found(entry, now) }
    }
    var entry = unsafe bucket.pointee.overflow
    while entry != 0 {
      if isEntry(entry, of: tuple, hash) { return found(entry, now) }
      entry = next(entry)
    }
    return nil
  }

  @inline(__always)
  private func found(_ entry: UInt32, _ now: UInt32) -> Found? {
    let index = (entry &- 1) &>> 1
    let connection = unsafe connections + Int(index)
    guard unsafe isAlive(connection, now) else {
      remove(index)
      return nil
    }
    // What somebody sends to itself, without ports, is an answer to itself.
    let isBoth =
      unsafe connection.pointee.originalHash == connection.pointee.replyHash
      && connection.pointee.original == connection.pointee.reply
    return Found(index: index, isReply: entry & 1 == 0 || isBoth)
  }

  /// Whether a connection's time is not over.
  @inline(__always)
  func isAlive(_ connection: UnsafeMutablePointer<TrackedConnection>, _ now: UInt32) -> Bool {
    unsafe Int32(bitPattern: connection.pointee.expiresAt &- now) > 0
  }

  @inline(__always)
  func hash(_ tuple: ConnectionTuple) -> UInt32 { UInt32(truncatingIfNeeded: tuple.hash(key)) }

  // MARK: making and taking out

  /// Why a connection could not be kept.
  enum Refusal { case tableFull, zoneFull, portFull }

  /// Takes a place for a connection; `link` has to follow.
  /// - Parameter owner: slot of the entry port, at most `Burst.portLimit`.
  func take(zone: UInt16, owner: UInt16, now: UInt32, refusal: inout Refusal) -> UInt32? {
    let record = unsafe zones + Int(zone)
    let zoneLimit = unsafe record.pointee.limit != 0 ? record.pointee.limit : state.pointee.zoneLimit
    if zoneLimit != 0, unsafe record.pointee.count >= zoneLimit, !evict(zone: zone, owner: nil, now: now) {
      unsafe record.pointee.refusedCount &+= 1
      refusal = .zoneFull
      return nil
    }
    let share = unsafe UInt32(truncatingIfNeeded: state.pointee.limit &- state.pointee.limit / 4)
    if unsafe owners[Int(owner)] >= share, !evict(zone: nil, owner: owner, now: now) {
      refusal = .portFull
      return nil
    }
    if unsafe state.pointee.count >= state.pointee.limit, !evict(zone: nil, owner: nil, now: now) {
      refusal = .tableFull
      return nil
    }
    let index: UInt32
    var generation: UInt32 = 0
    if unsafe state.pointee.free != ConnectionReference.noIndex {
      index = unsafe state.pointee.free
      unsafe state.pointee.free = connections[Int(index)].nextOriginal
      generation = unsafe connections[Int(index)].generation
    } else {
      guard unsafe state.pointee.fresh < ConnectionTable.capacity else {
        refusal = .tableFull
        return nil
      }
      index = unsafe UInt32(truncatingIfNeeded: state.pointee.fresh)
      unsafe state.pointee.fresh &+= 1
    }
    unsafe (connections + Int(index)).initialize(to: TrackedConnection())
    unsafe connections[Int(index)].generation = generation
    unsafe connections[Int(index)].owner = owner
    unsafe connections[Int(index)].flags = .isUsed
    unsafe record.pointee.count &+= 1
    unsafe state.pointee.lastZone = zone
    unsafe owners[Int(owner)] &+= 1
    unsafe state.pointee.count &+= 1
    return index
  }

  /// Puts a record into the buckets of both its tuples, which are set and have these hashes.
  func link(_ index: UInt32, originalHash: UInt32, replyHash: UInt32) {
    let connection = unsafe connections + Int(index)
    unsafe connection.pointee.originalHash = originalHash
    unsafe connection.pointee.replyHash = replyHash
    insert(index &* 2 &+ 1, originalHash)
    insert(index &* 2 &+ 2, replyHash)
  }

  /// Forgets a connection.
  @inline(never)
  func remove(_ index: UInt32) {
    let connection = unsafe connections + Int(index)
    guard unsafe connection.pointee.flags.contains(.isUsed) else { return }
    unsafe tell(.destroy, connection, now: state.pointee.clock)
    unsafe unlink(index &* 2 &+ 1, connection.pointee.originalHash)
    unsafe unlink(index &* 2 &+ 2, connection.pointee.replyHash)
    unsafe zones[Int(connection.pointee.original.zone)].count &-= 1
    unsafe owners[Int(connection.pointee.owner)] &-= 1
    unsafe state.pointee.count &-= 1
    unsafe connection.pointee.flags = []
    unsafe connection.pointee.generation &+= 1
    unsafe connection.pointee.nextOriginal = state.pointee.free
    unsafe state.pointee.free = index
  }

  // MARK: room

  /// Takes out a connection whose time is over, or one that was never answered.
  /// - Parameters: only of this zone, or of this port; nil: any.
  private func evict(zone: UInt16?, owner: UInt16?, now: UInt32) -> Bool {
    let end = unsafe state.pointee.fresh
    guard end > 0 else { return false }
    for _ in 0..<min(ConnectionTable.evictionProbes, end) {
      let index = unsafe state.pointee.evictionHand < end ? state.pointee.evictionHand : 0
      unsafe state.pointee.evictionHand = index &+ 1
      let connection = unsafe connections + index
      guard unsafe connection.pointee.flags.contains(.isUsed) else { continue }
      if let zone, unsafe connection.pointee.original.zone != zone { continue }
      if let owner, unsafe connection.pointee.owner != owner { continue }
      let isOver = unsafe !isAlive(connection, now)
      guard unsafe isOver || !connection.pointee.flags.contains(.isReplied) else { continue }
      if !isOver { unsafe state.pointee.statistics.evicted &+= 1 }
      remove(UInt32(truncatingIfNeeded: index))
      return true
    }
    return false
  }

  /// Takes out some of the connections whose time is over: called once a burst.
  @inline(__always)
  func sweep(now: UInt32) {
    unsafe state.pointee.clock = now
    guard unsafe state.pointee.count > 0 else { return }
    // All places are looked at within half a minute, also where bursts are few.
    var steps = 4
    let elapsed = unsafe now &- state.pointee.sweptAt
    if elapsed > 0 {
      unsafe steps &+= min(state.pointee.fresh / 32 &* Int(min(elapsed, 4)), 8192)
      unsafe state.pointee.sweptAt = now
    }
    sweep(steps: steps, now: now)
  }

  /// Looks at so many places.
  @inline(never)
  func sweep(steps: Int, now: UInt32) {
    let end = unsafe state.pointee.fresh
    var index = unsafe state.pointee.hand
    for _ in 0..<min(steps, end) {
      if index >= end { index = 0 }
      let connection = unsafe connections + index
      if unsafe connection.pointee.flags.contains(.isUsed), unsafe !isAlive(connection, now) {
        remove(UInt32(truncatingIfNeeded: index))
        unsafe state.pointee.statistics.expired &+= 1
      }
      index &+= 1
    }
    unsafe state.pointee.hand = index
  }

  // MARK: settings

  /// Sets how many connections there may be; those that there are stay.
  func setLimit(_ limit: Int) { unsafe state.pointee.limit = min(max(limit, 1), ConnectionTable.capacity) }

  /// Sets a policy's timeouts.
  /// - Parameter number: below `policyLimit`.
  func set(policy number: Int, _ timeouts: ConnectionTimeouts) {
    guard number < ConnectionTable.policyLimit else { return }
    for timeout in ConnectionTimeout.allCases {
      unsafe policies[number &* ConnectionTimeouts.wordCount &+ Int(timeout.rawValue)] = timeouts[timeout]
    }
  }

  /// Gives a connection new time.
  @inline(__always)
  func refresh(_ connection: UnsafeMutablePointer<TrackedConnection>, _ timeout: ConnectionTimeout, now: UInt32) {
    let word = unsafe Int(connection.pointee.policy) &* ConnectionTimeouts.wordCount &+ Int(timeout.rawValue)
    unsafe connection.pointee.expiresAt = now &+ policies[word]
  }
}

/// What has happened to connections since the start.
package struct ConntrackCounters: Equatable, Sendable {
  package var created: UInt64 = 0
  /// Whose time was over, as far as they have been taken out.
  package var expired: UInt64 = 0
  /// Never answered, and taken out to make room.
  package var evicted: UInt64 = 0
  /// Not kept: the table, the zone or the port's share was full of answered ones.
  package var refused: UInt64 = 0
  /// Packets that belong to no connection and may begin none.
  package var invalid: UInt64 = 0
  /// Connections for which no address or port was left.
  package var portsExhausted: UInt64 = 0
  /// Fragments that were dropped: they overlapped, came too late, or were too many.
  package var fragmentsDropped: UInt64 = 0
  /// Connections that a helper expected.
  package var expected: UInt64 = 0

  /// Adds another worker's.
  mutating func add(_ other: Self) {
    created &+= other.created
    expired &+= other.expired
    evicted &+= other.evicted
    refused &+= other.refused
    invalid &+= other.invalid
    portsExhausted &+= other.portsExhausted
    fragmentsDropped &+= other.fragmentsDropped
    expected &+= other.expected
  }
}
