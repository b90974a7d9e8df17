// The connections as control code sees them: listed, forgotten, counted, limited. Thread-safe.
//
// The worker reads its table for control code some thousands of records at a time, between two bursts, so that no packet waits
// for a long list. What comes and goes meanwhile may be in the list or not.

import VSwitchCore

extension Datapath {
  /// Records that are looked at between two bursts.
  private static var sliceCount: Int { 4096 }

  private var workerThreads: [WorkerThread] { state.withLock { $0.workers } }

  /// Calls `body` with each connection that is meant, in no order.
  package func visitConnections(_ filter: ConnectionFilter, _ body: (ConnectionDescription) -> Void) {
    for worker in workerThreads {
      var start: Int? = 0
      while let from = start {
        let (found, next) = worker.mailbox.perform { worker in
          worker.burst.tracker.connections(filter, from: from, count: Datapath.sliceCount, now: worker.now)
        }
        found.forEach(body)
        start = next
      }
    }
  }

  /// Forgets the connections that are meant.
  /// - Returns: how many there were.
  @discardableResult
  package func flushConnections(_ filter: ConnectionFilter) -> Int {
    var count = 0
    for worker in workerThreads {
      var start: Int? = 0
      while let from = start {
        let (removed, next) = worker.mailbox.perform { worker in
          worker.burst.tracker.flush(filter, from: from, count: Datapath.sliceCount, now: worker.now)
        }
        count += removed
        start = next
      }
    }
    return count
  }

  package func conntrackStatistics(zone: UInt16? = nil) -> ConntrackStatistics {
    var statistics = ConntrackStatistics()
    statistics.bytesPerConnection = MemoryLayout<TrackedConnection>.stride
    for worker in workerThreads {
      let (limit, placeCount, counters) = worker.mailbox.perform { worker in
        let state = unsafe worker.burst.tracker.table.state.pointee
        return (state.limit, state.fresh, state.statistics)
      }
      statistics.limit = limit
      statistics.placeCount += placeCount
      statistics.counters.add(counters)
    }
    visitConnections(ConnectionFilter(zone: zone)) { connection in
      statistics.protocols[connection.ipProtocol, default: 0] += 1
      if let state = connection.tcpState { statistics.tcpStates[state, default: 0] += 1 }
    }
    return statistics
  }

  /// Zones with connections, a limit or timeouts.
  package func conntrackZones() -> (standardLimit: UInt32, zones: [ConntrackZone]) {
    var zones: [UInt16: ConntrackZone] = [:]
    var standardLimit: UInt32 = 0
    for worker in workerThreads {
      let (limit, found) = worker.mailbox.perform { worker in worker.burst.tracker.table.zoneList() }
      standardLimit = limit
      for zone in found {
        zones[zone.zone, default: ConntrackZone(zone.zone, like: zone)].count += zone.count
        zones[zone.zone]?.refusedCount &+= zone.refusedCount
      }
    }
    return (standardLimit, zones.values.sorted { $0.zone < $1.zone })
  }

  /// Sets how many connections each worker may have, 1 to `conntrackCapacity`.
  package func setConntrackLimit(_ limit: Int) { setTracking { $0.limit = limit } }

  package static var conntrackCapacity: Int { ConnectionTable.capacity }

  /// Sets the limit of a zone for each worker; nil: that of zones without one of their own. 0: none.
  package func setConntrackLimit(zone: UInt16?, _ limit: UInt32) {
    setTracking { settings in
      if let zone { settings.zoneLimits[zone] = limit } else { settings.zoneLimit = limit }
    }
  }

  /// Gives zones their timeouts; those that are not named have the standard ones. At most 1023 different sets of timeouts count.
  package func setConntrackTimeouts(_ zones: [UInt16: ConnectionTimeouts]) { setTracking { $0.timeouts = zones } }

  /// Begins or ends to note what happens to connections.
  package func watchConnections(_ isWatched: Bool) { setTracking { $0.isWatched = isWatched } }

  private func setTracking(_ change: (inout TrackingSettings) -> Void) {
    state.withLock { state in
      change(&state.tracking)
      for worker in state.workers { state.tracking.tell(worker) }
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
