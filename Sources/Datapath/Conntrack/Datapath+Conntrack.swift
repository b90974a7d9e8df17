// The connections as control code sees them: listed, forgotten, counted, limited. Thread-safe.
//
// The worker reads its table for control code some thousands of records at a time, between two bursts, so that no packet waits
// for a long list. What comes and goes meanwhile may be in the list or not.

import VSwitchCore

extension Datapath {
  /// Records that are looked at between two bursts.
  private static var sliceCount: Int { 4096 }

  /// Calls `body` with each connection that is meant, in no order.
  package func visitConnections(_ filter: ConnectionFilter, _ body: (ConnectionDescription) -> Void) {
    var start = 0
    while true {
      let from = start
      let (found, end) = worker.mailbox.perform { worker in
        worker.burst.tracker.connections(filter, from: from, count: Datapath.sliceCount, now: worker.now)
      }
      found.forEach(body)
      guard let end else { return }
      start = end
    }
  }

  /// Forgets the connections that are meant.
  /// - Returns: how many there were.
  @discardableResult
  package func flushConnections(_ filter: ConnectionFilter) -> Int {
    var start = 0
    var count = 0
    while true {
      let from = start
      let (removed, end) = worker.mailbox.perform { worker in
        worker.burst.tracker.flush(filter, from: from, count: Datapath.sliceCount, now: worker.now)
      }
      count += removed
      guard let end else { return count }
      start = end
    }
  }

  package func conntrackStatistics(zone: UInt16? = nil) -> ConntrackStatistics {
    var statistics = worker.mailbox.perform { worker in
      var statistics = ConntrackStatistics()
      let state = unsafe worker.burst.tracker.table.state.pointee
      statistics.limit = state.limit
      statistics.placeCount = state.fresh
      statistics.bytesPerConnection = MemoryLayout<TrackedConnection>.stride
      statistics.counters = state.statistics
      return statistics
    }
    visitConnections(ConnectionFilter(zone: zone)) { connection in
      statistics.protocols[connection.ipProtocol, default: 0] += 1
      if let state = connection.tcpState { statistics.tcpStates[state, default: 0] += 1 }
    }
    return statistics
  }

  /// Zones with connections, a limit or timeouts.
  package func conntrackZones() -> (standardLimit: UInt32, zones: [ConntrackZone]) {
    worker.mailbox.perform { worker in worker.burst.tracker.table.zoneList() }
  }

  /// Sets how many connections there may be, 1 to `conntrackCapacity`.
  package func setConntrackLimit(_ limit: Int) {
    worker.mailbox.perform { worker in worker.burst.tracker.table.setLimit(limit) }
  }

  package static var conntrackCapacity: Int { ConnectionTable.capacity }

  /// Sets the limit of a zone; nil: that of zones without one of their own. 0: none.
  package func setConntrackLimit(zone: UInt16?, _ limit: UInt32) {
    worker.mailbox.perform { worker in
      let table = worker.burst.tracker.table
      if let zone {
        unsafe table.zones[Int(zone)].limit = limit
      } else {
        unsafe table.state.pointee.zoneLimit = limit
      }
    }
  }

  /// Gives zones their timeouts; those that are not named have the standard ones. At most 1023 different sets of timeouts count.
  package func setConntrackTimeouts(_ zones: [UInt16: ConnectionTimeouts]) {
    var policies: [ConnectionTimeouts] = [ConnectionTimeouts()]
    var numbers: [(zone: UInt16, policy: UInt16)] = []
    for (zone, timeouts) in zones.sorted(by: { $0.key < $1.key }) {
      if let known = policies.firstIndex(of: timeouts) {
        numbers.append((zone, UInt16(known)))
      } else if policies.count < ConnectionTable.policyLimit {
        numbers.append((zone, UInt16(policies.count)))
        policies.append(timeouts)
      }
    }
    let (all, assignments) = (policies, numbers)
    worker.mailbox.perform { worker in
      let table = worker.burst.tracker.table
      for (number, timeouts) in all.enumerated() { table.set(policy: number, timeouts) }
      for zone in 0..<ConnectionTable.zoneCount where unsafe table.zones[zone].policy != 0 {
        unsafe table.zones[zone].policy = 0
      }
      for (zone, policy) in assignments { unsafe table.zones[Int(zone)].policy = policy }
    }
  }
}

extension ConnectionTracker {
  /// Connections among `count` places from one on.
  /// - Returns: them, and where to go on; nil at the end.
  func connections(
    _ filter: ConnectionFilter, from start: Int, count: Int, now: UInt32
  ) -> (found: [ConnectionDescription], next: Int?) {
    var found: [ConnectionDescription] = []
    let next = unsafe visit(filter, from: start, count: count, now: now) { connection, _ in
      unsafe found.append(ConnectionDescription(connection.pointee, now: now))
    }
    return (found, next)
  }

  /// Forgets connections among `count` places from one on.
  func flush(_ filter: ConnectionFilter, from start: Int, count: Int, now: UInt32) -> (removed: Int, next: Int?) {
    var removed = 0
    let next = unsafe visit(filter, from: start, count: count, now: now) { _, index in
      table.remove(index)
      removed += 1
    }
    return (removed, next)
  }

  private func visit(
    _ filter: ConnectionFilter, from start: Int, count: Int, now: UInt32,
    _ body: (UnsafeMutablePointer<TrackedConnection>, UInt32) -> Void
  ) -> Int? {
    let fresh = unsafe table.state.pointee.fresh
    let end = min(start &+ count, fresh)
    for index in start..<max(start, end) {
      let connection = unsafe table.connections + index
      guard unsafe connection.pointee.flags.contains(.isUsed), unsafe table.isAlive(connection, now),
        unsafe filter.matches(connection)
      else { continue }
      unsafe body(connection, UInt32(truncatingIfNeeded: index))
    }
    return end < fresh ? end : nil
  }
}

extension ConnectionTable {
  func zoneList() -> (standardLimit: UInt32, zones: [ConntrackZone]) {
    var found: [ConntrackZone] = []
    for number in 0..<ConnectionTable.zoneCount {
      let zone = unsafe zones[number]
      guard zone.count != 0 || zone.limit != 0 || zone.policy != 0 else { continue }
      found.append(
        ConntrackZone(
          zone: UInt16(number), count: Int(zone.count), limit: zone.limit, refusedCount: zone.refusedCount,
          hasOwnTimeouts: zone.policy != 0))
    }
    return unsafe (state.pointee.zoneLimit, found)
  }
}
