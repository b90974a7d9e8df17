// Open_vSwitch schema 8.3.1, see DatabaseSchema+OpenVSwitch.swift. The root row, its TLS keys, and the database's own listeners.

extension OpenVSwitch {
  /// Table Open_vSwitch.
  package enum Root: TableDeclaration {
    package static let datapaths = Column<[String: RowUUID]>("datapaths", .map(.string, .reference("Datapath")))
    package static let bridges = Column<[RowUUID]>("bridges", .set(.reference("Bridge")))
    package static let managerOptions = Column<[RowUUID]>("manager_options", .set(.reference("Manager")))
    package static let ssl = Column<RowUUID?>("ssl", .optional(.reference("SSL")))
    package static let otherConfig = Column<[String: String]>("other_config", .stringMap)
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)
    package static let nextCfg = Column<Int64>("next_cfg", .one(.integer))
    package static let curCfg = Column<Int64>("cur_cfg", .one(.integer))
    package static let statistics = Column<[String: String]>("statistics", .stringMap, ephemeral: true)
    package static let ovsVersion = Column<String?>("ovs_version", .optional(.string))
    package static let dbVersion = Column<String?>("db_version", .optional(.string))
    package static let systemType = Column<String?>("system_type", .optional(.string))
    package static let systemVersion = Column<String?>("system_version", .optional(.string))
    package static let datapathTypes = Column<[String]>("datapath_types", .set(.string))
    package static let ifaceTypes = Column<[String]>("iface_types", .set(.string))
    package static let dpdkInitialized = Column<Bool>("dpdk_initialized", .one(.boolean))
    package static let dpdkVersion = Column<String?>("dpdk_version", .optional(.string))

    package static let schema = TableSchema(
      "Open_vSwitch", isRoot: true, rowLimit: 1,
      columns: [
        datapaths, bridges, managerOptions, ssl, otherConfig, externalIDs, nextCfg, curCfg, statistics, ovsVersion,
        dbVersion, systemType, systemVersion, datapathTypes, ifaceTypes, dpdkInitialized, dpdkVersion,
      ])
  }

  /// Table SSL.
  package enum SSL: TableDeclaration {
    package static let privateKey = Column<String>("private_key", .one(.string))
    package static let certificate = Column<String>("certificate", .one(.string))
    package static let caCertificate = Column<String>("ca_cert", .one(.string))
    package static let bootstrapCACertificate = Column<Bool>("bootstrap_ca_cert", .one(.boolean))
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)

    package static let schema = TableSchema(
      "SSL", rowLimit: 1,
      columns: [
        privateKey, certificate, caCertificate, bootstrapCACertificate, externalIDs,
      ])
  }

  /// Table Manager.
  package enum Manager: TableDeclaration {
    package static let target = Column<String>("target", .one(.string))
    package static let maxBackoff = Column<Int64?>("max_backoff", .optional(.integer(1000...)))
    package static let inactivityProbe = Column<Int64?>("inactivity_probe", .optional(.integer))
    package static let connectionMode = Column<String?>("connection_mode", .optional(.choice("in-band", "out-of-band")))
    package static let otherConfig = Column<[String: String]>("other_config", .stringMap)
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)
    package static let isConnected = Column<Bool>("is_connected", .one(.boolean), ephemeral: true)
    package static let status = Column<[String: String]>("status", .stringMap, ephemeral: true)

    package static let schema = TableSchema(
      "Manager", indexes: [["target"]],
      columns: [
        target, maxBackoff, inactivityProbe, connectionMode, otherConfig, externalIDs, isConnected, status,
      ])
  }
}
