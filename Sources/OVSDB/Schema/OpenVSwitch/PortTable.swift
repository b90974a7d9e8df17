// Open_vSwitch schema 8.3.1, see DatabaseSchema+OpenVSwitch.swift. Ports: one interface or a bond, with the VLANs that pass it.

extension OpenVSwitchSchema {
  static let port = TableSchema(
    "Port", indexes: [["name"]],
    columns: [
      .init("name", .string, mutable: false),
      .init("interfaces", .set(.reference("Interface"), from: 1)),
      .init("trunks", .set(.integer(0...4095), upTo: 4096)),
      .init("cvlans", .set(.integer(0...4095), upTo: 4096)),
      .init("tag", .optional(.integer(0...4095))),
      .init("vlan_mode", .optional(.choice("trunk", "access", "native-tagged", "native-untagged", "dot1q-tunnel"))),
      .init("qos", .optional(.reference("QoS"))),
      .init("mac", .optional(.string)),
      .init("bond_mode", .optional(.choice("balance-tcp", "balance-slb", "active-backup"))),
      .init("lacp", .optional(.choice("active", "passive", "off"))),
      .init("bond_updelay", .integer),
      .init("bond_downdelay", .integer),
      .init("bond_active_slave", .optional(.string)),
      .init("bond_fake_iface", .boolean),
      .init("fake_bridge", .boolean),
      .init("status", .stringMap, ephemeral: true),
      .init("rstp_status", .stringMap, ephemeral: true),
      .init("rstp_statistics", .map(.string, .integer), ephemeral: true),
      .init("statistics", .map(.string, .integer), ephemeral: true),
      .init("protected", .boolean),
      .init("other_config", .stringMap),
      .init("external_ids", .stringMap),
    ])
}
