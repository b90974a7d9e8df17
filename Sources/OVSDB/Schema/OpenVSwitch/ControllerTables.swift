// Open_vSwitch schema 8.3.1, see DatabaseSchema+OpenVSwitch.swift. OpenFlow controllers.

extension OpenVSwitchSchema {
  static let controller = TableSchema(
    "Controller",
    columns: [
      .init("type", .optional(.choice("primary", "service"))),
      .init("target", .string),
      .init("max_backoff", .optional(.integer(1000...))),
      .init("inactivity_probe", .optional(.integer)),
      .init("connection_mode", .optional(.choice("in-band", "out-of-band"))),
      .init("local_ip", .optional(.string)),
      .init("local_netmask", .optional(.string)),
      .init("local_gateway", .optional(.string)),
      .init("enable_async_messages", .optional(.boolean)),
      .init("controller_queue_size", .optional(.integer(1...512))),
      .init("controller_rate_limit", .optional(.integer(100...))),
      .init("controller_burst_limit", .optional(.integer(25...))),
      .init("other_config", .stringMap),
      .init("external_ids", .stringMap),
      .init("is_connected", .boolean, ephemeral: true),
      .init("role", .optional(.choice("other", "master", "slave")), ephemeral: true),
      .init("status", .stringMap, ephemeral: true),
    ])
}
