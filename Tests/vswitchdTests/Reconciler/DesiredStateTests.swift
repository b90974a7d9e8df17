import OVSDB
import Testing
import VSwitchCore

@testable import vswitchd

struct DesiredStateTests {
  private func desired(_ database: TestDatabase) -> DesiredState {
    var numbering = PortNumbering()
    return DesiredState(database.snapshot, numbering: &numbering)
  }

  /// The first bridge's port of that name.
  private func port(_ name: String, _ state: DesiredState) throws -> PortConfig {
    try #require(state.config.bridges.first?.ports.first { $0.name == name })
  }

  private func error(_ name: String, _ state: DesiredState) -> ConfigError? {
    state.interfaces.first { $0.name == name }?.error
  }

  @Test func databaseWithoutRootRowAsksForNothing() {
    var numbering = PortNumbering()
    let state = DesiredState(DatabaseSnapshot(schema: .openVSwitch), numbering: &numbering)
    #expect(state.config == SwitchConfig())
    #expect(state.interfaces.isEmpty)
  }

  @Test func switchSettingsAreRead() {
    var database = TestDatabase(["other_config": .map(["busy-poll": "true", "pmd-cpu-mask": "1"])])
    database.bridge("br0", ports: [])
    #expect(desired(database).config.busyPoll)
    #expect(desired(database).config.workerCPUs == [0])
  }

  @Test func bridgeSettingsAreReadAndMovedIntoTheirRange() throws {
    var database = TestDatabase()
    database.bridge(
      "br0",
      [
        "other_config": .map([
          "mac-aging-time": "5", "mac-table-size": "99999999", "forward-bpdu": "true", "hwaddr": "02:00:00:00:00:07",
        ]),
        "flood_vlans": .integers([7, 9]),
      ], ports: [])
    let bridge = try #require(desired(database).config.bridges.first)
    #expect(bridge.macAgeingSeconds == 15)
    #expect(bridge.macTableLimit == 1_000_000)
    #expect(bridge.forwardReservedMulticast)
    #expect(bridge.floodVLANs == [7, 9])
    #expect(bridge.hardwareAddress == MACAddress("02:00:00:00:00:07"))
  }

  @Test(arguments: ["01:00:00:00:00:01", "00:00:00:00:00:00", "x", "02:00:00:00:00"])
  func hwaddrThatIsNoStationIsIgnoredWithAWarning(_ text: String) {
    var database = TestDatabase()
    database.bridge("br0", ["other_config": .map(["hwaddr": text])], ports: [])
    let state = desired(database)
    #expect(state.config.bridges.first?.hardwareAddress == nil)
    #expect(state.warnings.count == 1)
  }

  @Test func limitsOfFlowTablesAreRead() throws {
    var database = TestDatabase()
    let limited = database.insert("Flow_Table", ["flow_limit": .integer(100), "overflow_policy": .string("evict")])
    let refusing = database.insert("Flow_Table", ["flow_limit": .integer(5)])
    let named = database.insert("Flow_Table", ["name": .string("acl")])
    database.bridge(
      "br0",
      [
        "flow_tables": Datum(map: [
          (Atom.integer(0), Atom.uuid(limited)), (.integer(7), .uuid(refusing)), (.integer(9), .uuid(named)),
        ])
      ],
      ports: [])
    let tables = try #require(desired(database).config.bridges.first?.flowTables)
    #expect(tables.mapValues(\.ruleLimit) == [0: 100, 7: 5, 9: nil])
    #expect(tables.mapValues(\.evicts) == [0: true, 7: false, 9: false])
  }

  @Test func bridgeAlwaysHasItsOwnPort() throws {
    var database = TestDatabase()
    let local = database.port("br0", type: "internal")
    database.bridge("br0", ports: [local])
    database.bridge("br1", ports: [])
    let state = desired(database)
    for bridge in state.config.bridges {
      #expect(bridge.ports.map(\.name) == [bridge.name])
      #expect(bridge.ports.first?.interface.kind == .internal)
      #expect(bridge.ports.first?.interface.portNumberRequest == 65534)
    }
    #expect(state.interfaces.map(\.name) == ["br0"], "the port that nobody wrote has no row to report to")
  }

  struct VLANCase: Sendable, CustomTestStringConvertible {
    var columns: [String: Datum]
    var mode: VLANConfig.Mode
    var tag: UInt16 = 0
    var trunks: Set<UInt16> = []
    var testDescription: String { "\(mode.rawValue) \(tag) \(trunks.sorted())" }
  }

  @Test(arguments: [
    VLANCase(columns: [:], mode: .trunk),
    VLANCase(columns: ["trunks": .integers([10, 20])], mode: .trunk, trunks: [10, 20]),
    VLANCase(columns: ["tag": .integer(10)], mode: .access, tag: 10),
    VLANCase(columns: ["tag": .integer(0)], mode: .access, tag: 0),
    VLANCase(columns: ["tag": .integer(10), "trunks": .integers([20])], mode: .access, tag: 10),
    VLANCase(
      columns: ["tag": .integer(10), "trunks": .integers([20]), "vlan_mode": .string("native-untagged")],
      mode: .nativeUntagged, tag: 10, trunks: [20]),
    VLANCase(columns: ["tag": .integer(10), "vlan_mode": .string("native-tagged")], mode: .nativeTagged, tag: 10),
    VLANCase(columns: ["vlan_mode": .string("access")], mode: .access, tag: 0),
    VLANCase(columns: ["tag": .integer(100), "vlan_mode": .string("dot1q-tunnel")], mode: .dot1qTunnel, tag: 100),
    VLANCase(columns: ["tag": .integer(4095)], mode: .access, tag: 4095),
  ])
  func vlanColumnsMeanWhatOpenVSwitchSays(_ item: VLANCase) throws {
    var database = TestDatabase()
    let port = database.port("p", type: "tap", item.columns)
    database.bridge("br0", ports: [port])
    let vlan = try self.port("p", desired(database)).vlan
    #expect(vlan.mode == item.mode)
    #expect(vlan.tag == item.tag)
    #expect(vlan.trunks == item.trunks)
  }

  @Test(arguments: [
    ("true", VLANConfig.PriorityTags.ifNonzero), ("if-nonzero", .ifNonzero), ("always", .always), ("never", .never),
    ("false", .never), ("what", .never),
  ])
  func priorityTagsAreRead(_ text: String, _ value: VLANConfig.PriorityTags) throws {
    var database = TestDatabase()
    let port = database.port("p", type: "tap", ["other_config": .map(["priority-tags": text])])
    database.bridge("br0", ports: [port])
    #expect(try self.port("p", desired(database)).vlan.priorityTags == value)
  }

  @Test func otherPortColumnsAreRead() throws {
    var database = TestDatabase()
    let port = database.port(
      "p", type: "tap",
      [
        "protected": .boolean(true), "cvlans": .integers([0, 5]),
        "other_config": .map(["forward-bpdu": "true", "qinq-ethtype": "802.1q"]),
      ], interface: ["mtu_request": .integer(9000), "ofport_request": .integer(12)])
    database.bridge("br0", ports: [port])
    let config = try self.port("p", desired(database))
    #expect(config.isProtected)
    #expect(config.forwardReservedMulticast)
    #expect(config.vlan.customerVLANs == [0, 5])
    #expect(config.vlan.serviceEtherType == 0x8100)
    #expect(config.interface.mtuRequest == 9000)
    #expect(config.interface.portNumberRequest == 12)
  }

  @Test func emptyTypeIsAnExistingDevice() throws {
    var database = TestDatabase()
    let port = database.port("eth0")
    database.bridge("br0", ports: [port])
    #expect(try self.port("eth0", desired(database)).interface.kind == .system)
  }

  @Test func internalPortsMACIsRead() throws {
    var database = TestDatabase()
    let port = database.port("i0", type: "internal", interface: ["mac": .string("02:00:00:00:00:01")])
    database.bridge("br0", ports: [port])
    #expect(try self.port("i0", desired(database)).interface.hardwareAddress == MACAddress("02:00:00:00:00:01"))
  }

  @Test func badInterfacesAreReportedAndTheOthersWork() throws {
    var database = TestDatabase()
    var ports: [RowUUID] = []
    ports.append(database.port("good", type: "tap"))
    ports.append(database.port("what", type: "vxlan9"))
    ports.append(database.port("lonely", type: "patch"))
    ports.append(database.port("self", type: "patch", interface: ["options": .map(["peer": "self"])]))
    ports.append(database.port("nofile", type: "pcap"))
    ports.append(database.port("typo", type: "tap", interface: ["options": .map(["onwer": "alice"])]))
    ports.append(database.port("name-too-long-for-linux", type: "tap"))
    ports.append(database.port("sla/sh", type: "tap"))
    ports.append(database.port("esc\u{1b}\n", type: "tap"))
    let second = database.insert("Interface", ["name": "b1", "type": "tap"])
    let first = database.insert("Interface", ["name": "b0", "type": "tap"])
    ports.append(database.insert("Port", ["name": "bond", "interfaces": .uuids([second, first])]))
    database.bridge("br0", ports: ports)
    let state = desired(database)
    #expect(state.config.bridges.first?.ports.map(\.name) == ["bond", "good", "br0"])
    #expect(error("good", state) == nil)
    #expect(error("what", state)?.cause == "could not open network device what (unknown type \"vxlan9\")")
    #expect(error("what", state)?.remedy.contains("internal, patch, pcap, system, tap") == true)
    #expect(error("lonely", state)?.cause == "lonely: patch type requires valid 'peer' argument")
    #expect(error("self", state)?.cause == "self: patch peer must not be self")
    for name in ["nofile", "typo", "name-too-long-for-linux", "sla/sh", "esc\u{1b}\n", "b1"] {
      #expect(error(name, state) != nil, "\(name)")
    }
    #expect(error("b0", state) == nil)
  }

  @Test func portInTwoBridgesBelongsToTheFirst() {
    var database = TestDatabase()
    let port = database.port("p", type: "tap")
    database.bridge("br1", ports: [port])
    database.bridge("br0", ports: [port])
    let state = desired(database)
    #expect(state.config.bridges.map { $0.ports.count } == [2, 1])
    #expect(state.warnings.count == 1)
  }

  @Test func unknownDatapathTypeIsReportedOnEveryPort() {
    var database = TestDatabase()
    let port = database.port("p", type: "tap")
    database.bridge("br0", ["datapath_type": "dpdk9"], ports: [port])
    #expect(error("p", desired(database))?.cause == "bridge br0 has the unknown datapath_type \"dpdk9\"")
  }
}

extension Datum: ExpressibleByStringLiteral {
  public init(stringLiteral value: String) { self = .string(value) }
}
