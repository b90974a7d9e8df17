// Open_vSwitch schema 8.3.1, see DatabaseSchema+OpenVSwitch.swift. Ports: one interface or a bond, with the VLANs that pass it.

extension OpenVSwitch {
  /// Table Port.
  package enum Port: TableDeclaration {
    package static let name = Column<String>("name", .one(.string), mutable: false)
    package static let interfaces = Column<[RowUUID]>("interfaces", .set(.reference("Interface"), from: 1))
    package static let trunks = Column<[Int64]>("trunks", .set(.integer(0...4095), upTo: 4096))
    package static let cvlans = Column<[Int64]>("cvlans", .set(.integer(0...4095), upTo: 4096))
    package static let tag = Column<Int64?>("tag", .optional(.integer(0...4095)))
    package static let vlanMode = Column<String?>(
      "vlan_mode", .optional(.choice("trunk", "access", "native-tagged", "native-untagged", "dot1q-tunnel")))
    package static let qos = Column<RowUUID?>("qos", .optional(.reference("QoS")))
    package static let mac = Column<String?>("mac", .optional(.string))
    package static let bondMode = Column<String?>(
      "bond_mode", .optional(.choice("balance-tcp", "balance-slb", "active-backup")))
    package static let lacp = Column<String?>("lacp", .optional(.choice("active", "passive", "off")))
    package static let bondUpdelay = Column<Int64>("bond_updelay", .one(.integer))
    package static let bondDowndelay = Column<Int64>("bond_downdelay", .one(.integer))
    package static let bondActiveSlave = Column<String?>("bond_active_slave", .optional(.string))
    package static let bondFakeIface = Column<Bool>("bond_fake_iface", .one(.boolean))
    package static let fakeBridge = Column<Bool>("fake_bridge", .one(.boolean))
    package static let status = Column<[String: String]>("status", .stringMap, ephemeral: true)
    package static let rstpStatus = Column<[String: String]>("rstp_status", .stringMap, ephemeral: true)
    package static let rstpStatistics = Column<[String: Int64]>(
      "rstp_statistics", .map(.string, .integer), ephemeral: true)
    package static let statistics = Column<[String: Int64]>("statistics", .map(.string, .integer), ephemeral: true)
    package static let protected = Column<Bool>("protected", .one(.boolean))
    package static let otherConfig = Column<[String: String]>("other_config", .stringMap)
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)

    package static let schema = TableSchema(
      "Port", indexes: [["name"]],
      columns: [
        name, interfaces, trunks, cvlans, tag, vlanMode, qos, mac, bondMode, lacp, bondUpdelay, bondDowndelay,
        bondActiveSlave, bondFakeIface, fakeBridge, status, rstpStatus, rstpStatistics, statistics, protected,
        otherConfig, externalIDs,
      ])

    // Columns of this switch's own.
    package static let secgroup = Column<[String]>("secgroup", .set(.string))
    package static let portSecurity = Column<[String]>("port_security", .set(.string))
    package static let error = Column<String?>("error", .optional(.string), ephemeral: true)
    static let additionalColumns: [any ColumnDeclaration] = [secgroup, portSecurity, error]
  }
}
