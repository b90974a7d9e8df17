// Open_vSwitch schema 8.3.1, see DatabaseSchema+OpenVSwitch.swift. Export of flow records and samples.

extension OpenVSwitch {
  /// Table NetFlow.
  package enum NetFlow: TableDeclaration {
    package static let targets = Column<[String]>("targets", .set(.string, from: 1))
    package static let engineType = Column<Int64?>("engine_type", .optional(.integer(0...255)))
    package static let engineID = Column<Int64?>("engine_id", .optional(.integer(0...255)))
    package static let addIDToInterface = Column<Bool>("add_id_to_interface", .one(.boolean))
    package static let activeTimeout = Column<Int64>("active_timeout", .one(.integer((-1)...)))
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)

    package static let schema = TableSchema(
      "NetFlow",
      columns: [
        targets, engineType, engineID, addIDToInterface, activeTimeout, externalIDs,
      ])
  }

  /// Table sFlow.
  package enum SFlow: TableDeclaration {
    package static let targets = Column<[String]>("targets", .set(.string, from: 1))
    package static let sampling = Column<Int64?>("sampling", .optional(.integer))
    package static let polling = Column<Int64?>("polling", .optional(.integer))
    package static let header = Column<Int64?>("header", .optional(.integer))
    package static let agent = Column<String?>("agent", .optional(.string))
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)

    package static let schema = TableSchema(
      "sFlow",
      columns: [
        targets, sampling, polling, header, agent, externalIDs,
      ])
  }

  /// Table IPFIX.
  package enum IPFIX: TableDeclaration {
    package static let targets = Column<[String]>("targets", .set(.string))
    package static let sampling = Column<Int64?>("sampling", .optional(.integer(1...4_294_967_295)))
    package static let obsDomainID = Column<Int64?>("obs_domain_id", .optional(.integer(0...4_294_967_295)))
    package static let obsPointID = Column<Int64?>("obs_point_id", .optional(.integer(0...4_294_967_295)))
    package static let cacheActiveTimeout = Column<Int64?>("cache_active_timeout", .optional(.integer(0...4200)))
    package static let cacheMaxFlows = Column<Int64?>("cache_max_flows", .optional(.integer(0...4_294_967_295)))
    package static let otherConfig = Column<[String: String]>("other_config", .stringMap)
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)

    package static let schema = TableSchema(
      "IPFIX",
      columns: [
        targets, sampling, obsDomainID, obsPointID, cacheActiveTimeout, cacheMaxFlows, otherConfig, externalIDs,
      ])
  }

  /// Table Flow_Sample_Collector_Set.
  package enum FlowSampleCollectorSet: TableDeclaration {
    package static let id = Column<Int64>("id", .one(.integer(0...4_294_967_295)))
    package static let bridge = Column<RowUUID>("bridge", .one(.reference("Bridge")))
    package static let ipfix = Column<RowUUID?>("ipfix", .optional(.reference("IPFIX")))
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)

    package static let schema = TableSchema(
      "Flow_Sample_Collector_Set", isRoot: true, indexes: [["id", "bridge"]],
      columns: [
        id, bridge, ipfix, externalIDs,
      ])
  }
}
