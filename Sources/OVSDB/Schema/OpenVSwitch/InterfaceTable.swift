// Open_vSwitch schema 8.3.1, see DatabaseSchema+OpenVSwitch.swift. Interfaces: the devices behind ports, what was asked of them and what they are doing.

extension OpenVSwitch {
  /// Table Interface.
  package enum Interface: TableDeclaration {
    package static let name = Column<String>("name", .one(.string), mutable: false)
    package static let type = Column<String>("type", .one(.string))
    package static let options = Column<[String: String]>("options", .stringMap)
    package static let ingressPolicingRate = Column<Int64>("ingress_policing_rate", .one(.integer(0...)))
    package static let ingressPolicingBurst = Column<Int64>("ingress_policing_burst", .one(.integer(0...)))
    package static let ingressPolicingKpktsRate = Column<Int64>("ingress_policing_kpkts_rate", .one(.integer(0...)))
    package static let ingressPolicingKpktsBurst = Column<Int64>("ingress_policing_kpkts_burst", .one(.integer(0...)))
    package static let macInUse = Column<String?>("mac_in_use", .optional(.string), ephemeral: true)
    package static let mac = Column<String?>("mac", .optional(.string))
    package static let ifindex = Column<Int64?>("ifindex", .optional(.integer(0...4_294_967_295)), ephemeral: true)
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)
    package static let ofport = Column<Int64?>("ofport", .optional(.integer))
    package static let ofportRequest = Column<Int64?>("ofport_request", .optional(.integer(1...65279)))
    package static let bfd = Column<[String: String]>("bfd", .stringMap)
    package static let bfdStatus = Column<[String: String]>("bfd_status", .stringMap, ephemeral: true)
    package static let cfmMPID = Column<Int64?>("cfm_mpid", .optional(.integer))
    package static let cfmRemoteMPIDs = Column<[Int64]>("cfm_remote_mpids", .set(.integer), ephemeral: true)
    package static let cfmFlapCount = Column<Int64?>("cfm_flap_count", .optional(.integer))
    package static let cfmFault = Column<Bool?>("cfm_fault", .optional(.boolean), ephemeral: true)
    package static let cfmFaultStatus = Column<[String]>("cfm_fault_status", .set(.string), ephemeral: true)
    package static let cfmRemoteOpstate = Column<String?>(
      "cfm_remote_opstate", .optional(.choice("up", "down")), ephemeral: true)
    package static let cfmHealth = Column<Int64?>("cfm_health", .optional(.integer(0...100)), ephemeral: true)
    package static let lacpCurrent = Column<Bool?>("lacp_current", .optional(.boolean), ephemeral: true)
    package static let lldp = Column<[String: String]>("lldp", .stringMap)
    package static let otherConfig = Column<[String: String]>("other_config", .stringMap)
    package static let statistics = Column<[String: Int64]>("statistics", .map(.string, .integer), ephemeral: true)
    package static let status = Column<[String: String]>("status", .stringMap, ephemeral: true)
    package static let adminState = Column<String?>("admin_state", .optional(.choice("up", "down")), ephemeral: true)
    package static let linkState = Column<String?>("link_state", .optional(.choice("up", "down")), ephemeral: true)
    package static let linkResets = Column<Int64?>("link_resets", .optional(.integer), ephemeral: true)
    package static let linkSpeed = Column<Int64?>("link_speed", .optional(.integer), ephemeral: true)
    package static let duplex = Column<String?>("duplex", .optional(.choice("half", "full")), ephemeral: true)
    package static let mtu = Column<Int64?>("mtu", .optional(.integer), ephemeral: true)
    package static let mtuRequest = Column<Int64?>("mtu_request", .optional(.integer(1...)))
    package static let error = Column<String?>("error", .optional(.string))

    package static let schema = TableSchema(
      "Interface", indexes: [["name"]],
      columns: [
        name, type, options, ingressPolicingRate, ingressPolicingBurst, ingressPolicingKpktsRate,
        ingressPolicingKpktsBurst, macInUse, mac, ifindex, externalIDs, ofport, ofportRequest, bfd, bfdStatus, cfmMPID,
        cfmRemoteMPIDs, cfmFlapCount, cfmFault, cfmFaultStatus, cfmRemoteOpstate, cfmHealth, lacpCurrent, lldp,
        otherConfig, statistics, status, adminState, linkState, linkResets, linkSpeed, duplex, mtu, mtuRequest, error,
      ])
  }
}
