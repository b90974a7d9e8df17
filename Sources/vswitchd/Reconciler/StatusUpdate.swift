// The transaction that tells the database what became of its configuration: every row that the datapath has something to
// say of, and of it the columns that differ. Pure. Columns of one row: StatusColumns.swift.

import Datapath
import OVSDB
import VSwitchCore

/// What is known when status is written.
struct StatusUpdate: Sendable {
  var desired: DesiredState
  var database: DatabaseSnapshot
  var states: [PortState]
  /// Nil where the statistics are not due.
  var counters: Counters?
  var system: SystemInformation
  /// Open_vSwitch.statistics; nil where they are not due.
  var systemStatistics: [String: String]?

  /// Empty where nothing has changed, or where there is no row in Open_vSwitch to answer for.
  var operations: [JSONValue] {
    guard let root = database.only("Open_vSwitch") else { return [] }
    var operations = interfaces
    for (name, uuid) in desired.bridges.sorted(by: { $0.key < $1.key }) {
      guard let row = database.row("Bridge", uuid) else { continue }
      let local = states.first { $0.bridge == name && $0.portNumber == PortNumbering.local }
      if let update = StatusColumns.update(row, to: StatusColumns.bridge(row, local: local)) {
        operations.append(update)
      }
    }
    var columns = StatusColumns.root(root, schemaVersion: database.schema.version, system: system)
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

  private var interfaces: [JSONValue] {
    let statesByPort = Dictionary(states.map { (QualifiedPort($0.bridge, $0.name), $0) }, uniquingKeysWith: { $1 })
    var operations: [JSONValue] = []
    for interface in desired.interfaces {
      guard let row = database.row("Interface", interface.row) else { continue }
      let key = QualifiedPort(interface.bridge, interface.port)
      var columns: [String: Datum]
      if let error = interface.error {
        columns = StatusColumns.failedInterface(error)
      } else if let state = statesByPort[key] {
        columns = StatusColumns.interface(state)
        if state.error == nil, let values = counters?.byPort[key] {
          columns["statistics"] = StatusColumns.statistics(values)
        }
      } else {
        continue
      }
      if let update = StatusColumns.update(row, to: columns) { operations.append(update) }
    }
    return operations
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

/// Counters of all ports at one moment.
struct Counters: Sendable {
  var byPort: [QualifiedPort: PortCounters]

  init(_ counters: [(bridge: String, port: String, portNumber: UInt16, counters: PortCounters)]) {
    byPort = Dictionary(
      counters.map { (QualifiedPort($0.bridge, $0.port), $0.counters) }, uniquingKeysWith: { $1 })
  }
}
