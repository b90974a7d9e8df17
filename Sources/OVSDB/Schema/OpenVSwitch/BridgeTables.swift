// Open_vSwitch schema 8.3.1, see DatabaseSchema+OpenVSwitch.swift. Bridges and what belongs to one: mirrors, flow table settings, 802.1Qcj auto-attach.

extension OpenVSwitchSchema {
  static let bridge = TableSchema(
    "Bridge", indexes: [["name"]],
    columns: [
      .init("name", .string, mutable: false),
      .init("datapath_type", .string),
      .init("datapath_version", .string),
      .init("datapath_id", .optional(.string), ephemeral: true),
      .init("stp_enable", .boolean),
      .init("rstp_enable", .boolean),
      .init("mcast_snooping_enable", .boolean),
      .init("ports", .set(.reference("Port"))),
      .init("mirrors", .set(.reference("Mirror"))),
      .init("netflow", .optional(.reference("NetFlow"))),
      .init("sflow", .optional(.reference("sFlow"))),
      .init("ipfix", .optional(.reference("IPFIX"))),
      .init("controller", .set(.reference("Controller"))),
      .init(
        "protocols",
        .set(
          .choice(
            "OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15"))),
      .init("fail_mode", .optional(.choice("standalone", "secure"))),
      .init("status", .stringMap, ephemeral: true),
      .init("rstp_status", .stringMap, ephemeral: true),
      .init("other_config", .stringMap),
      .init("external_ids", .stringMap),
      .init("flood_vlans", .set(.integer(0...4095), upTo: 4096)),
      .init("flow_tables", .map(.integer(0...254), .reference("Flow_Table"))),
      .init("auto_attach", .optional(.reference("AutoAttach"))),
    ])

  static let mirror = TableSchema(
    "Mirror",
    columns: [
      .init("name", .string),
      .init("select_all", .boolean),
      .init("select_src_port", .set(.weakReference("Port"))),
      .init("select_dst_port", .set(.weakReference("Port"))),
      .init("select_vlan", .set(.integer(0...4095), upTo: 4096)),
      .init("output_port", .optional(.weakReference("Port"))),
      .init("output_vlan", .optional(.integer(1...4095))),
      .init("snaplen", .optional(.integer(14...65535))),
      .init("statistics", .map(.string, .integer), ephemeral: true),
      .init("external_ids", .stringMap),
    ])

  static let flowTable = TableSchema(
    "Flow_Table",
    columns: [
      .init("name", .optional(.string)),
      .init("flow_limit", .optional(.integer(0...))),
      .init("overflow_policy", .optional(.choice("refuse", "evict"))),
      .init("groups", .set(.string)),
      .init("prefixes", .set(.string, upTo: 3)),
      .init("external_ids", .stringMap),
    ])

  static let autoAttach = TableSchema(
    "AutoAttach",
    columns: [
      .init("system_name", .string),
      .init("system_description", .string),
      .init("mappings", .map(.integer(0...16_777_215), .integer(0...4095))),
    ])
}
