// Open_vSwitch schema 8.3.1, see DatabaseSchema+OpenVSwitch.swift. The root row, its TLS keys, and the database's own listeners.

extension OpenVSwitchSchema {
  static let root = TableSchema(
    "Open_vSwitch", isRoot: true, rowLimit: 1,
    columns: [
      .init("datapaths", .map(.string, .reference("Datapath"))),
      .init("bridges", .set(.reference("Bridge"))),
      .init("manager_options", .set(.reference("Manager"))),
      .init("ssl", .optional(.reference("SSL"))),
      .init("other_config", .stringMap),
      .init("external_ids", .stringMap),
      .init("next_cfg", .integer),
      .init("cur_cfg", .integer),
      .init("statistics", .stringMap, ephemeral: true),
      .init("ovs_version", .optional(.string)),
      .init("db_version", .optional(.string)),
      .init("system_type", .optional(.string)),
      .init("system_version", .optional(.string)),
      .init("datapath_types", .set(.string)),
      .init("iface_types", .set(.string)),
      .init("dpdk_initialized", .boolean),
      .init("dpdk_version", .optional(.string)),
    ])

  static let tls = TableSchema(
    "SSL", rowLimit: 1,
    columns: [
      .init("private_key", .string),
      .init("certificate", .string),
      .init("ca_cert", .string),
      .init("bootstrap_ca_cert", .boolean),
      .init("external_ids", .stringMap),
    ])

  static let manager = TableSchema(
    "Manager", indexes: [["target"]],
    columns: [
      .init("target", .string),
      .init("max_backoff", .optional(.integer(1000...))),
      .init("inactivity_probe", .optional(.integer)),
      .init("connection_mode", .optional(.choice("in-band", "out-of-band"))),
      .init("other_config", .stringMap),
      .init("external_ids", .stringMap),
      .init("is_connected", .boolean, ephemeral: true),
      .init("status", .stringMap, ephemeral: true),
    ])
}
