// What is kept from pass to pass must not show: random changes of the database and of ports' states, each pass compared
// with one that keeps nothing.

import TestSupport
import Testing
import VSwitchCore

@testable import Datapath
@testable import OVSDB
@testable import vswitchd

struct KeptReadingsTests {
  private static let seeds = testSeeds(8)

  /// Rows that change: bridges, ports and interfaces, and what the switch itself writes to them.
  private struct Rows {
    var snapshot = DatabaseSnapshot(schema: .openVSwitch)
    var ports: [RowUUID] = []
    var bridges: [RowUUID] = []
    let root = RowUUID(high: 1, low: 0)
    var count: UInt64 = 0

    mutating func change(_ table: String, _ uuid: RowUUID, _ columns: [String: Datum]) {
      guard let schema = snapshot.schema.table(table) else { return }
      let old = snapshot.row(table, uuid)
      var new = old ?? Row(schema, uuid: uuid)
      for (name, datum) in columns { new[name] = datum }
      var changes = Changes()
      changes.record(schema, uuid, old: old, new: new)
      snapshot.apply(changes)
    }

    mutating func insert(_ table: String, _ columns: [String: Datum]) -> RowUUID {
      count += 1
      let uuid = RowUUID(high: 2, low: count)
      change(table, uuid, columns)
      return uuid
    }

    mutating func step(_ random: inout SeededGenerator) {
      func pick<T>(_ values: [T]) -> T { values[Int.random(in: 0..<values.count, using: &random)] }
      switch Int.random(in: 0..<9, using: &random) {
      case 0 where bridges.count < 3:
        bridges.append(insert("Bridge", ["name": .string("br\(bridges.count)")]))
        change("Open_vSwitch", root, ["bridges": .uuids(bridges)])
      case 0...2:
        let name = "p\(ports.count)"
        let interface = insert(
          "Interface", ["name": .string(name), "type": .string(pick(["", "tap", "internal", "no"]))])
        ports.append(insert("Port", ["name": .string(name), "interfaces": .uuid(interface)]))
      case 3 where !bridges.isEmpty:
        change("Bridge", pick(bridges), ["ports": .uuids(ports.filter { _ in Bool.random(using: &random) })])
      case 4 where !bridges.isEmpty:
        change("Bridge", pick(bridges), ["datapath_type": .string(pick(["", "netdev", "strange"]))])
      case 5 where !ports.isEmpty:
        change("Port", pick(ports), ["tag": pick([.empty, .integer(5), .integer(4000)])])
      case 6 where !ports.isEmpty:
        let others = ports.compactMap { snapshot.row("Port", $0)?["interfaces"].uuids.first }
        change("Port", pick(ports), ["interfaces": .uuids([pick(others), pick(others)])])
      case 7 where !ports.isEmpty:
        guard let uuid = snapshot.row("Port", pick(ports))?["interfaces"].uuids.first else { break }
        change(
          "Interface", uuid,
          [
            pick(["mac", "type"]): .string(pick(["02:00:00:00:00:01", "tap"])),
            "mtu_request": pick([.empty, .integer(900)]),
          ])
      default:
        guard !ports.isEmpty, let uuid = snapshot.row("Port", pick(ports))?["interfaces"].uuids.first else { break }
        change(
          "Interface", uuid,
          [
            "statistics": .map(["rx_packets": Int64.random(in: 0...9, using: &random)]),
            "ofport": pick([.empty, .integer(3)]),
          ])
      }
    }
  }

  @Test(arguments: seeds) func keptReadingsAreWhatTheRowsSay(_ seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var rows = Rows()
    rows.change("Open_vSwitch", rows.root, [:])
    var numbering = PortNumbering()
    var readings = PortReadings()
    for _ in 0..<200 {
      rows.step(&random)
      var otherNumbering = numbering
      var none = PortReadings()
      let kept = DesiredState(rows.snapshot, numbering: &numbering, readings: &readings)
      let fresh = DesiredState(rows.snapshot, numbering: &otherNumbering, readings: &none)
      #expect(kept.config == fresh.config)
      #expect(kept.interfaces == fresh.interfaces)
      #expect(kept.warnings == fresh.warnings)
      #expect(kept.bridges == fresh.bridges)
    }
  }

  @Test(arguments: seeds) func settledRowsAreThoseThatNeedNoUpdate(_ seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    var rows = Rows()
    rows.change("Open_vSwitch", rows.root, [:])
    var numbering = PortNumbering()
    var readings = PortReadings()
    var settled = SettledInterfaces()
    var states: [String: PortState] = [:]
    let system = SystemInformation(generator: &random) { _ in nil }
    for _ in 0..<200 {
      rows.step(&random)
      let desired = DesiredState(rows.snapshot, numbering: &numbering, readings: &readings)
      var counters: [(bridge: String, port: String, portNumber: UInt16, counters: PortCounters)] = []
      for bridge in desired.config.bridges {
        for port in bridge.ports {
          var state = states[port.name] ?? PortState(bridge: bridge.name, name: port.name)
          state.bridge = bridge.name
          state.portNumber = port.interface.portNumberRequest
          switch Int.random(in: 0..<20, using: &random) {
          case 0: state.mtu = Int.random(in: 1000...1003, using: &random)
          case 1: state.error = ConfigError(cause: "a", remedy: "b")
          case 2: state.error = nil
          case 3: state.status["driver_name"] = Bool.random(using: &random) ? "tun" : nil
          default: break
          }
          states[port.name] = state
          var values = PortCounters()
          values.receivedPackets = UInt64.random(in: 0...3, using: &random)
          counters.append((bridge.name, port.name, 1, values))
        }
      }
      let update = StatusUpdate(
        desired: desired, database: rows.snapshot,
        states: desired.config.bridges.flatMap { bridge in bridge.ports.compactMap { states[$0.name] } },
        counters: Bool.random(using: &random) ? Counters(counters) : nil, system: system, systemStatistics: nil)
      var none = SettledInterfaces()
      let operations = update.operations(&settled)
      #expect(operations == update.operations(&none))
      // Sometimes the database takes them.
      guard Bool.random(using: &random) else { continue }
      for operation in operations where operation["op"] == "update" {
        guard let table = operation["table"]?.string,
          let uuid = operation["where"]?[0]?[2]?[1]?.string.flatMap({ RowUUID($0) }),
          let schema = rows.snapshot.schema.table(table)
        else { continue }
        var columns: [String: Datum] = [:]
        for (name, value) in operation["row"]?.object ?? [:] {
          columns[name] = try Datum.parse(value, as: try #require(schema.typeOfColumn(name)))
        }
        rows.change(table, uuid, columns)
      }
    }
  }
}
