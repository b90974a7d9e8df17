// Open_vSwitch schema 8.3.1, see DatabaseSchema+OpenVSwitch.swift. Bridges and what belongs to one: mirrors, flow table settings, 802.1Qcj auto-attach.

extension OpenVSwitch {
  /// Table Bridge.
  package enum Bridge: TableDeclaration {
    package static let name = Column<String>("name", .one(.string), mutable: false)
    package static let datapathType = Column<String>("datapath_type", .one(.string))
    package static let datapathVersion = Column<String>("datapath_version", .one(.string))
    package static let datapathID = Column<String?>("datapath_id", .optional(.string), ephemeral: true)
    package static let stpEnable = Column<Bool>("stp_enable", .one(.boolean))
    package static let rstpEnable = Column<Bool>("rstp_enable", .one(.boolean))
    package static let mcastSnoopingEnable = Column<Bool>("mcast_snooping_enable", .one(.boolean))
    package static let ports = Column<[RowUUID]>("ports", .set(.reference("Port")))
    package static let mirrors = Column<[RowUUID]>("mirrors", .set(.reference("Mirror")))
    package static let netflow = Column<RowUUID?>("netflow", .optional(.reference("NetFlow")))
    package static let sflow = Column<RowUUID?>("sflow", .optional(.reference("sFlow")))
    package static let ipfix = Column<RowUUID?>("ipfix", .optional(.reference("IPFIX")))
    package static let controller = Column<[RowUUID]>("controller", .set(.reference("Controller")))
    package static let protocols = Column<[String]>(
      "protocols", .set(.choice("OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15")))
    package static let failMode = Column<String?>("fail_mode", .optional(.choice("standalone", "secure")))
    package static let status = Column<[String: String]>("status", .stringMap, ephemeral: true)
    package static let rstpStatus = Column<[String: String]>("rstp_status", .stringMap, ephemeral: true)
    package static let otherConfig = Column<[String: String]>("other_config", .stringMap)
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)
    package static let floodVLANs = Column<[Int64]>("flood_vlans", .set(.integer(0...4095), upTo: 4096))
    package static let flowTables = Column<[Int64: RowUUID]>(
      "flow_tables", .map(.integer(0...254), .reference("Flow_Table")))
    package static let autoAttach = Column<RowUUID?>("auto_attach", .optional(.reference("AutoAttach")))

    package static let schema = TableSchema(
      "Bridge", indexes: [["name"]],
      columns: [
        name, datapathType, datapathVersion, datapathID, stpEnable, rstpEnable, mcastSnoopingEnable, ports, mirrors,
        netflow, sflow, ipfix, controller, protocols, failMode, status, rstpStatus, otherConfig, externalIDs,
        floodVLANs, flowTables, autoAttach,
      ])
  }

  /// Table Mirror.
  package enum Mirror: TableDeclaration {
    package static let name = Column<String>("name", .one(.string))
    package static let selectAll = Column<Bool>("select_all", .one(.boolean))
    package static let selectSrcPort = Column<[RowUUID]>("select_src_port", .set(.weakReference("Port")))
    package static let selectDstPort = Column<[RowUUID]>("select_dst_port", .set(.weakReference("Port")))
    package static let selectVLAN = Column<[Int64]>("select_vlan", .set(.integer(0...4095), upTo: 4096))
    package static let outputPort = Column<RowUUID?>("output_port", .optional(.weakReference("Port")))
    package static let outputVLAN = Column<Int64?>("output_vlan", .optional(.integer(1...4095)))
    package static let snaplen = Column<Int64?>("snaplen", .optional(.integer(14...65535)))
    package static let statistics = Column<[String: Int64]>("statistics", .map(.string, .integer), ephemeral: true)
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)

    package static let schema = TableSchema(
      "Mirror",
      columns: [
        name, selectAll, selectSrcPort, selectDstPort, selectVLAN, outputPort, outputVLAN, snaplen, statistics,
        externalIDs,
      ])
  }

  /// Table Flow_Table.
  package enum FlowTable: TableDeclaration {
    package static let name = Column<String?>("name", .optional(.string))
    package static let flowLimit = Column<Int64?>("flow_limit", .optional(.integer(0...)))
    package static let overflowPolicy = Column<String?>("overflow_policy", .optional(.choice("refuse", "evict")))
    package static let groups = Column<[String]>("groups", .set(.string))
    package static let prefixes = Column<[String]>("prefixes", .set(.string, upTo: 3))
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)

    package static let schema = TableSchema(
      "Flow_Table",
      columns: [
        name, flowLimit, overflowPolicy, groups, prefixes, externalIDs,
      ])
  }

  /// Table AutoAttach.
  package enum AutoAttach: TableDeclaration {
    package static let systemName = Column<String>("system_name", .one(.string))
    package static let systemDescription = Column<String>("system_description", .one(.string))
    package static let mappings = Column<[Int64: Int64]>("mappings", .map(.integer(0...16_777_215), .integer(0...4095)))

    package static let schema = TableSchema(
      "AutoAttach",
      columns: [
        systemName, systemDescription, mappings,
      ])
  }
}
