// Open_vSwitch schema 8.3.1, see DatabaseSchema+OpenVSwitch.swift. Shaping: QoS policies and their queues.

extension OpenVSwitchSchema {
  static let qos = TableSchema(
    "QoS", isRoot: true,
    columns: [
      .init("type", .string),
      .init("queues", .map(.integer(0...4_294_967_295), .reference("Queue"))),
      .init("other_config", .stringMap),
      .init("external_ids", .stringMap),
    ])

  static let queue = TableSchema(
    "Queue", isRoot: true,
    columns: [
      .init("dscp", .optional(.integer(0...63))),
      .init("other_config", .stringMap),
      .init("external_ids", .stringMap),
    ])
}
