// Open_vSwitch schema 8.3.1, see DatabaseSchema+OpenVSwitch.swift. Datapaths and the connection tracking settings of each.

extension OpenVSwitchSchema {
  static let datapath = TableSchema(
    "Datapath",
    columns: [
      .init("datapath_version", .string),
      .init("ct_zones", .map(.integer(0...65535), .reference("CT_Zone"))),
      .init("capabilities", .stringMap),
      .init("external_ids", .stringMap),
    ])

  static let conntrackZone = TableSchema(
    "CT_Zone",
    columns: [
      .init("timeout_policy", .optional(.reference("CT_Timeout_Policy"))),
      .init("external_ids", .stringMap),
    ])

  static let conntrackTimeoutPolicy = TableSchema(
    "CT_Timeout_Policy",
    columns: [
      .init(
        "timeouts",
        .map(
          .choice(
            "tcp_syn_sent", "tcp_syn_recv", "tcp_established", "tcp_fin_wait", "tcp_close_wait", "tcp_last_ack",
            "tcp_time_wait", "tcp_close", "tcp_syn_sent2", "tcp_retransmit", "tcp_unack", "udp_first", "udp_single",
            "udp_multiple", "icmp_first", "icmp_reply"), .integer(0...4_294_967_295))),
      .init("external_ids", .stringMap),
    ])
}
