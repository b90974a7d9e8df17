// Open_vSwitch schema 8.3.1, see DatabaseSchema+OpenVSwitch.swift. OpenFlow controllers.

extension OpenVSwitch {
  /// Table Controller.
  package enum Controller: TableDeclaration {
    package static let type = Column<String?>("type", .optional(.choice("primary", "service")))
    package static let target = Column<String>("target", .one(.string))
    package static let maxBackoff = Column<Int64?>("max_backoff", .optional(.integer(1000...)))
    package static let inactivityProbe = Column<Int64?>("inactivity_probe", .optional(.integer))
    package static let connectionMode = Column<String?>("connection_mode", .optional(.choice("in-band", "out-of-band")))
    package static let localIP = Column<String?>("local_ip", .optional(.string))
    package static let localNetmask = Column<String?>("local_netmask", .optional(.string))
    package static let localGateway = Column<String?>("local_gateway", .optional(.string))
    package static let enableAsyncMessages = Column<Bool?>("enable_async_messages", .optional(.boolean))
    package static let controllerQueueSize = Column<Int64?>("controller_queue_size", .optional(.integer(1...512)))
    package static let controllerRateLimit = Column<Int64?>("controller_rate_limit", .optional(.integer(100...)))
    package static let controllerBurstLimit = Column<Int64?>("controller_burst_limit", .optional(.integer(25...)))
    package static let otherConfig = Column<[String: String]>("other_config", .stringMap)
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)
    package static let isConnected = Column<Bool>("is_connected", .one(.boolean), ephemeral: true)
    package static let role = Column<String?>("role", .optional(.choice("other", "master", "slave")), ephemeral: true)
    package static let status = Column<[String: String]>("status", .stringMap, ephemeral: true)

    package static let schema = TableSchema(
      "Controller",
      columns: [
        type, target, maxBackoff, inactivityProbe, connectionMode, localIP, localNetmask, localGateway,
        enableAsyncMessages, controllerQueueSize, controllerRateLimit, controllerBurstLimit, otherConfig, externalIDs,
        isConnected, role, status,
      ])
  }
}
