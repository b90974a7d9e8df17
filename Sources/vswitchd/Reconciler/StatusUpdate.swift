// The transaction that tells the database what became of its configuration: every row that the datapath has something to
// say of, and of it the columns that differ; or only those of some ports. Pure. Columns of one row: StatusColumns.swift.

import Datapath
import OVSDB
import VSwitchCore

/// What is known when status is written.
struct StatusUpdate: Sendable {
  var desired: DesiredState
  var database: DatabaseSnapshot
  /// Of the server that has the rows.
  var schemaVersion: String
  var states: [QualifiedPort: PortState]
  /// Nil where the statistics are not due.
  var counters: Counters?
  var system: SystemInformation
  /// Open_vSwitch.statistics; nil where they are not due.
  var systemStatistics: [String: String]?
  /// The only ports whose rows or states may have changed; nil where any may have.
  var scope: Set<QualifiedPort>?

  /// Empty where nothing has changed, or where there is no row in Open_vSwitch to answer for.
  /// - Parameter settled: what earlier updates have found to be told already.
  func operations(_ settled: inout SettledInterfaces) -> [JSONValue] {
    guard let root = database.only("Open_vSwitch") else { return [] }
    var operations: [JSONValue] = []
    if let scope {
      for place in scope.sorted() { interfaces(of: place, &settled, &operations) }
      for bridge in Set(scope.lazy.map(\.bridge)).sorted() { self.bridge(bridge, &operations) }
    } else {
      let bridges = desired.bridges.sorted { $0.key < $1.key }
      for (name, bridge) in bridges {
        for port in bridge.ports.keys.sorted() { interfaces(of: QualifiedPort(name, port), &settled, &operations) }
      }
      settled.endPass(desired.portsByInterface.keys)
      for (name, _) in bridges { bridge(name, &operations) }
    }
    var columns = StatusColumns.root(root, schemaVersion: schemaVersion, system: system)
    if let systemStatistics { columns["statistics"] = .map(systemStatistics) }
    if let update = StatusColumns.update(root, to: columns) { operations.append(update) }
    if root["external_ids"]["system-id"] == nil {
      // Only this key: others belong to other programs.
      operations.append(
        Operation.mutate(
          "Open_vSwitch", where: Operation.isRow(root.uuid),
          [["external_ids", "insert", ["map", [["system-id", .string(system.identifier)]]]]]))
    }
    return operations
  }

  private func bridge(_ name: String, _ operations: inout [JSONValue]) {
    guard let bridge = desired.bridges[name], let row = database.row("Bridge", bridge.row) else { return }
    let local = bridge.ownPort.flatMap { states[QualifiedPort(name, $0)] } ?? states[QualifiedPort(name, name)]
    if let update = StatusColumns.update(row, to: StatusColumns.bridge(row, local: local)) { operations.append(update) }
  }

  private func interfaces(
    of place: QualifiedPort, _ settled: inout SettledInterfaces, _ operations: inout [JSONValue]
  ) {
    let state = states[place]
    for interface in desired[place]?.interfaces ?? [] {
      guard let row = database.row("Interface", interface.row) else { continue }
      var columns: [String: Datum] = [:]
      if let error = interface.error {
        columns = StatusColumns.failedInterface(error)
      } else if let state {
        if !settled.holds(row, state) {
          columns = StatusColumns.interface(state)
          if StatusColumns.update(row, to: columns) == nil { settled.note(row, state) }
        }
        if state.error == nil, let values = counters?.byPort[place] {
          columns["statistics"] = StatusColumns.statistics(values)
        }
      }
      if !columns.isEmpty, let update = StatusColumns.update(row, to: columns) { operations.append(update) }
    }
  }
}

/// Interfaces whose rows say what is known of their ports, as found when rows and ports were compared: to be compared
/// again once one of them has changed. Statistics do not count.
struct SettledInterfaces: Sendable {
  private var interfaces: [RowUUID: (row: Row, state: PortState)] = [:]

  func holds(_ row: Row, _ state: PortState) -> Bool {
    guard let known = interfaces[row.uuid] else { return false }
    return known.row.values == row.values && known.state == state
  }

  mutating func note(_ row: Row, _ state: PortState) { interfaces[row.uuid] = (row, state) }

  /// Forgets rows that have gone, once they are the half of what is kept.
  mutating func endPass(_ rows: some Collection<RowUUID>) {
    if interfaces.count <= 2 * rows.count { return }
    let rows = Set(rows)
    interfaces = interfaces.filter { rows.contains($0.key) }
  }
}

/// A port's name within all bridges.
struct QualifiedPort: Hashable, Comparable, Sendable {
  var bridge: String
  var port: String

  init(_ bridge: String, _ port: String) {
    self.bridge = bridge
    self.port = port
  }

  static func < (a: Self, b: Self) -> Bool { (a.bridge, a.port) < (b.bridge, b.port) }
}

extension QualifiedPort {
  init(_ state: PortState) { self.init(state.bridge, state.name) }
}

/// Counters of all ports at one moment.
struct Counters: Sendable {
  var byPort: [QualifiedPort: PortCounters]

  init(_ counters: [(bridge: String, port: String, portNumber: UInt16, counters: PortCounters)]) {
    byPort = Dictionary(
      counters.map { (QualifiedPort($0.bridge, $0.port), $0.counters) }, uniquingKeysWith: { $1 })
  }
}
