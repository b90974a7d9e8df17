// Open_vSwitch schema 8.3.1, see DatabaseSchema+OpenVSwitch.swift. Export of flow records and samples.

extension OpenVSwitchSchema {
  static let netFlow = TableSchema(
    "NetFlow",
    columns: [
      .init("targets", .set(.string, from: 1)),
      .init("engine_type", .optional(.integer(0...255))),
      .init("engine_id", .optional(.integer(0...255))),
      .init("add_id_to_interface", .boolean),
      .init("active_timeout", .one(.integer((-1)...))),
      .init("external_ids", .stringMap),
    ])

  static let sFlow = TableSchema(
    "sFlow",
    columns: [
      .init("targets", .set(.string, from: 1)),
      .init("sampling", .optional(.integer)),
      .init("polling", .optional(.integer)),
      .init("header", .optional(.integer)),
      .init("agent", .optional(.string)),
      .init("external_ids", .stringMap),
    ])

  static let ipfix = TableSchema(
    "IPFIX",
    columns: [
      .init("targets", .set(.string)),
      .init("sampling", .optional(.integer(1...4_294_967_295))),
      .init("obs_domain_id", .optional(.integer(0...4_294_967_295))),
      .init("obs_point_id", .optional(.integer(0...4_294_967_295))),
      .init("cache_active_timeout", .optional(.integer(0...4200))),
      .init("cache_max_flows", .optional(.integer(0...4_294_967_295))),
      .init("other_config", .stringMap),
      .init("external_ids", .stringMap),
    ])

  static let flowSampleCollectorSet = TableSchema(
    "Flow_Sample_Collector_Set", isRoot: true, indexes: [["id", "bridge"]],
    columns: [
      .init("id", .one(.integer(0...4_294_967_295))),
      .init("bridge", .one(.reference("Bridge"))),
      .init("ipfix", .optional(.reference("IPFIX"))),
      .init("external_ids", .stringMap),
    ])
}
