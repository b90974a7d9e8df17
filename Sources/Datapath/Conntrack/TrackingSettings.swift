// What every worker's tracker is told: kept, so that a worker that starts later is told as well.
// Thread: whoever holds the lock of `Datapath`; a worker takes them over between two bursts.

import VSwitchCore

/// How connections are tracked.
struct TrackingSettings: Sendable {
  /// A TCP connection may be tracked from its middle on.
  var picksUpTCP = true
  /// What happens to connections is noted.
  var isWatched = false
  /// Most connections of a worker.
  var limit = ConnectionTable.standardLimit
  /// Of zones without a limit of their own; 0: none.
  var zoneLimit: UInt32 = 0
  var zoneLimits: [UInt16: UInt32] = [:]
  /// Those that are not named have the standard ones.
  var timeouts: [UInt16: ConnectionTimeouts] = [:]

  /// Has a worker follow them.
  func tell(_ worker: WorkerThread) {
    var policies: [ConnectionTimeouts] = [ConnectionTimeouts()]
    var numbers: [UInt16: UInt16] = [:]
    for (zone, timeouts) in timeouts.sorted(by: { $0.key < $1.key }) {
      if let known = policies.firstIndex(of: timeouts) {
        numbers[zone] = UInt16(known)
      } else if policies.count < ConnectionTable.policyLimit {
        numbers[zone] = UInt16(policies.count)
        policies.append(timeouts)
      }
    }
    var named: [UInt16: (limit: UInt32, policy: UInt16)] = [:]
    for zone in Set(zoneLimits.keys).union(numbers.keys) { named[zone] = (zoneLimits[zone] ?? 0, numbers[zone] ?? 0) }
    let (settings, all, zones) = (self, policies, named)
    let ring = isWatched ? worker.connectionEvents : nil
    worker.mailbox.perform { worker in
      let table = worker.burst.tracker.table
      unsafe worker.burst.tracker.isLoose.pointee = settings.picksUpTCP
      unsafe table.state.pointee.watcher = ring
      table.setLimit(settings.limit)
      unsafe table.state.pointee.zoneLimit = settings.zoneLimit
      for (number, timeouts) in all.enumerated() { table.set(policy: number, timeouts) }
      // Packets wait meanwhile: the others are looked at, but only those that had something are asked about.
      for zone in 0..<ConnectionTable.zoneCount
      where unsafe table.zones[zone].limit != 0 || table.zones[zone].policy != 0 {
        if zones[UInt16(zone)] == nil { unsafe (table.zones[zone].limit, table.zones[zone].policy) = (0, 0) }
      }
      for (zone, wanted) in zones {
        unsafe (table.zones[Int(zone)].limit, table.zones[Int(zone)].policy) = (wanted.limit, wanted.policy)
      }
    }
  }
}
