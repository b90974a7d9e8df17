import OVSDB
import Testing
import VSwitchCore

@testable import Datapath
@testable import vswitchd

struct StatusColumnsTests {
  private func state() throws -> PortState {
    // Made through a bridge's view, since the datapath owns the type.
    var state = PortState(bridge: "br0", name: "p")
    state.portNumber = 3
    state.interfaceIndex = 12
    state.hardwareAddress = MACAddress("02:00:00:00:00:01")
    state.mtu = 1500
    state.isAdminUp = true
    state.isLinkUp = false
    state.linkSpeed = 10_000_000_000
    state.isFullDuplex = true
    state.linkResets = 2
    state.status = ["driver_name": "tun"]
    return state
  }

  private func row(_ table: String, _ columns: [String: Datum] = [:]) throws -> Row {
    Row(try #require(DatabaseSchema.openVSwitch.table(table)), uuid: RowUUID(high: 1, low: 2), columns: columns)
  }

  @Test func workingPortFillsItsColumns() throws {
    let columns = StatusColumns.interface(try state())
    #expect(columns["ofport"] == .integer(3))
    #expect(columns["error"] == .empty)
    #expect(columns["mac_in_use"] == .string("02:00:00:00:00:01"))
    #expect(columns["admin_state"] == .string("up"))
    #expect(columns["link_state"] == .string("down"))
    #expect(columns["duplex"] == .string("full"))
    #expect(columns["link_resets"] == .integer(2))
    #expect(columns["status"] == .map(["driver_name": "tun"]))
    for name in columns.keys { #expect(DatabaseSchema.openVSwitch.table("Interface")?.column(name) != nil, "\(name)") }
  }

  @Test func failedPortSaysWhyAndForgetsTheRest() throws {
    var state = try state()
    state.error = ConfigError(cause: "could not open network device p (No such device)", remedy: "create it")
    var row = try row("Interface", ["name": "p", "ofport": .integer(3), "statistics": .map(["rx_packets": Int64(5)])])
    for (name, value) in StatusColumns.interface(state) { row[name] = value }
    #expect(row["ofport"] == .integer(-1))
    #expect(row["error"] == .string("could not open network device p (No such device): create it"))
    #expect(row["mac_in_use"] == .empty)
    #expect(row["statistics"] == .emptyMap)
  }

  @Test func unchangedRowIsNotWritten() throws {
    let columns = StatusColumns.interface(try state())
    var row = try row("Interface", ["name": "p"])
    let update = try #require(StatusColumns.update(row, to: columns))
    #expect(update["where"] == [["_uuid", "==", ["uuid", .string(row.uuid.description)]]])
    for (name, value) in columns { row[name] = value }
    #expect(StatusColumns.update(row, to: columns) == nil)
    row["mtu"] = .integer(1400)
    #expect(StatusColumns.update(row, to: columns)?["row"] == ["mtu": 1500])
  }

  @Test func dropsOfAllReasonsAddUpInStatistics() {
    var counters = PortCounters()
    counters.receivedPackets = 10
    counters.receiveDrops = [.truncated: 2, .noOutput: 3]
    counters.transmitDrops = [.transmitQueueFull: 4]
    counters.transmittedBytes = .max
    let statistics = StatusColumns.statistics(counters)
    #expect(statistics["rx_packets"]?.integer == 10)
    #expect(statistics["rx_dropped"]?.integer == 5)
    #expect(statistics["tx_dropped"]?.integer == 4)
    #expect(statistics["tx_bytes"]?.integer == .max, "a count that no column holds does not trap")
    #expect(statistics.count == 14)
  }

  @Test(
    arguments: [
      ([:], "0000020000000001"), (["datapath-id": "00000000000000aB"], "00000000000000ab"),
      (["datapath-id": "0x1f"], "000000000000001f"), (["datapath-id": "1f"], "0000020000000001"),
      (["datapath-id": "0000000000000000"], "0000020000000001"),
    ] as [([String: String], String)])
  func datapathIDIsTheUsersElseTheMAC(_ settings: [String: String], _ identifier: String) throws {
    let row = try row("Bridge", ["name": "br0", "other_config": .map(settings)])
    #expect(StatusColumns.bridge(row, local: try state())["datapath_id"] == .string(identifier))
  }

  @Test func curCfgFollowsNextCfg() throws {
    let row = try row("Open_vSwitch", ["next_cfg": .integer(7), "cur_cfg": .integer(6)])
    var generator = SystemRandomNumberGenerator()
    let columns = StatusColumns.root(
      row, schemaVersion: "8.4.0", system: SystemInformation(generator: &generator) { _ in nil })
    #expect(columns["cur_cfg"] == .integer(7))
    #expect(columns["db_version"] == .string("8.4.0"), "the version of the database that holds the row")
    let types = [
      "dpdkvhostuser", "dpdkvhostuserclient", "internal", "patch", "pcap", "system", "tap", "vhostuser",
      "vhostuserclient",
    ]
    #expect(columns["iface_types"] == .strings(types))
  }
}
