// The connections as commands and sessions use them, so that those can be tested with a plane that is made of memory. Calls
// block for milliseconds: they are made from `BlockingCalls`.

import Datapath

/// What tracks connections.
protocol ConntrackPlane: Sendable {
  func visitConnections(_ filter: ConnectionFilter, _ body: (ConnectionDescription) -> Void)
  @discardableResult func flushConnections(_ filter: ConnectionFilter) -> Int
  func conntrackStatistics(zone: UInt16?) -> ConntrackStatistics
  func conntrackZones() -> (standardLimit: UInt32, zones: [ConntrackZone])
  func setConntrackLimit(_ limit: Int)
  func setConntrackLimit(zone: UInt16?, _ limit: UInt32)
  func setConntrackTimeouts(_ zones: [UInt16: ConnectionTimeouts])
  func watchConnections(_ isWatched: Bool)
  func takeConnectionEvents() -> (events: [ConnectionEvent], lostCount: UInt64)
}

/// A plane without connections.
extension ConntrackPlane {
  func visitConnections(_ filter: ConnectionFilter, _ body: (ConnectionDescription) -> Void) {}
  func flushConnections(_ filter: ConnectionFilter) -> Int { 0 }
  func conntrackStatistics(zone: UInt16?) -> ConntrackStatistics { ConntrackStatistics() }
  func conntrackZones() -> (standardLimit: UInt32, zones: [ConntrackZone]) { (0, []) }
  func setConntrackLimit(_ limit: Int) {}
  func setConntrackLimit(zone: UInt16?, _ limit: UInt32) {}
  func setConntrackTimeouts(_ zones: [UInt16: ConnectionTimeouts]) {}
  func watchConnections(_ isWatched: Bool) {}
  func takeConnectionEvents() -> (events: [ConnectionEvent], lostCount: UInt64) { ([], 0) }
}
