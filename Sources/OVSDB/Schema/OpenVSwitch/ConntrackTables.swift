// Open_vSwitch schema 8.3.1, see DatabaseSchema+OpenVSwitch.swift. Datapaths and the connection tracking settings of each.

extension OpenVSwitch {
  /// Table Datapath.
  package enum Datapath: TableDeclaration {
    package static let datapathVersion = Column<String>("datapath_version", .one(.string))
    package static let ctZones = Column<[Int64: RowUUID]>("ct_zones", .map(.integer(0...65535), .reference("CT_Zone")))
    package static let capabilities = Column<[String: String]>("capabilities", .stringMap)
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)

    package static let schema = TableSchema(
      "Datapath",
      columns: [
        datapathVersion, ctZones, capabilities, externalIDs,
      ])
  }

  /// Table CT_Zone.
  package enum CTZone: TableDeclaration {
    package static let timeoutPolicy = Column<RowUUID?>("timeout_policy", .optional(.reference("CT_Timeout_Policy")))
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)

    package static let schema = TableSchema(
      "CT_Zone",
      columns: [
        timeoutPolicy, externalIDs,
      ])
  }

  /// Table CT_Timeout_Policy.
  package enum CTTimeoutPolicy: TableDeclaration {
    package static let timeouts = Column<[String: Int64]>(
      "timeouts",
      .map(
        .choice(
          "tcp_syn_sent", "tcp_syn_recv", "tcp_established", "tcp_fin_wait", "tcp_close_wait", "tcp_last_ack",
          "tcp_time_wait", "tcp_close", "tcp_syn_sent2", "tcp_retransmit", "tcp_unack", "udp_first", "udp_single",
          "udp_multiple", "icmp_first", "icmp_reply"), .integer(0...4_294_967_295)))
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)

    package static let schema = TableSchema(
      "CT_Timeout_Policy",
      columns: [
        timeouts, externalIDs,
      ])
  }
}
