// The root row, the database's listeners, keys for TLS, datapaths. See SchemaDocumentation.swift.

extension SchemaDocumentation {
  static let root = TableDocumentation(
    "Open_vSwitch",
    "The switch as a whole: one row, called \".\". What can't be reached from here is deleted by the database.",
    [
      .init("bridges", .configuration, "The bridges."),
      .init(
        "other_config", .configuration, "Settings of the whole switch.",
        keys: [
          ("busy-poll", "\"true\": the worker never sleeps, for latency at the price of one core. Only here."),
          (
            "ct-tcp-loose",
            "\"false\": ct() finds a TCP segment invalid whose connection it did not see begin; unless that is said it is picked up. Only here."
          ),
          (
            "pmd-cpu-mask",
            "CPUs in hexadecimal (bit n is CPU n), each with a worker that is pinned to it; bridges are spread over the workers, those that patch ports, routers or security groups join on the same one. Unset: one worker, on any CPU."
          ),
          ("stats-update-interval", "Milliseconds between two updates of statistics, at least 1000; 5000 if unset."),
        ]),
      .init(
        "next_cfg", .configuration,
        "Raised by a client that wants to know when its change has taken effect; see cur_cfg."),
      .init("cur_cfg", .status, "The next_cfg whose configuration the datapath forwards by."),
      .init("manager_options", .configuration, "Where the database listens for clients, and to which it connects."),
      .init("ssl", .configuration, "The keys and certificates for TLS."),
      .init(
        "statistics", .status,
        "Load, memory and file systems of the host, where other_config:enable-statistics is \"true\"."),
      .init("ovs_version", .status, "The version of the switch program."),
      .init("db_version", .status, "The version of the schema."),
      .init("system_type", .status, "The operating system."),
      .init("system_version", .status, "The operating system's version."),
      .init("datapath_types", .status, "What Bridge.datapath_type may hold."),
      .init("iface_types", .status, "What Interface.type may hold."),
      .init("datapaths", .ignored, "Rows of Datapath by type of datapath."),
      .init("dpdk_initialized", .status, "Always false: this switch has no DPDK."),
      .init("dpdk_version", .status, "Empty: this switch has no DPDK."),
      externalIDs,
    ])

  static let manager = TableDocumentation(
    "Manager", "One listener or outgoing connection of the database.",
    [
      .init(
        "target", .configuration,
        "ptcp:PORT[:ADDRESS], pssl:PORT[:ADDRESS], punix:PATH, tcp:HOST:PORT or ssl:HOST:PORT."),
      .init("max_backoff", .ignored, "Longest pause between two tries to connect, in milliseconds."),
      .init("inactivity_probe", .ignored, "Milliseconds of silence until the peer is asked if it is there."),
      .init("connection_mode", .ignored, "In-band or out-of-band; Open vSwitch no longer heeds it either."),
      .init("other_config", .ignored, "dscp of the connections."),
      .init("is_connected", .status, "Whether a client is connected."),
      .init("status", .status, "State of the connection, by key."),
      externalIDs,
    ])

  static let tls = TableDocumentation(
    "SSL", "Files with the keys and certificates of the switch.",
    [
      .init("private_key", .configuration, "The switch's private key, a PEM file."),
      .init("certificate", .configuration, "The certificate of that key, a PEM file."),
      .init("ca_cert", .configuration, "Certificates of the authorities that vouch for peers, a PEM file."),
      .init(
        "bootstrap_ca_cert", .ignored,
        "Take the authority's certificate from the first peer. Differs: not done here, since it trusts whom it meets."),
      externalIDs,
    ])

  static let datapath = TableDocumentation(
    "Datapath", "What belongs to all bridges of one type of datapath. There is one here; rows of all types are read.",
    [
      .init("datapath_version", .ignored, "Its version."),
      .init("ct_zones", .configuration, "Zones of connection tracking by number."),
      .init("capabilities", .ignored, "What it can do, written by Open vSwitch."),
      externalIDs,
    ])

  static let conntrackZone = TableDocumentation(
    "CT_Zone", "A zone of connection tracking.",
    [
      .init("timeout_policy", .configuration, "Its timeouts; of connections that begin from then on."),
      externalIDs,
    ])

  static let conntrackTimeoutPolicy = TableDocumentation(
    "CT_Timeout_Policy", "Timeouts of connections.",
    [
      .init(
        "timeouts", .configuration,
        "Seconds by state of the connection, such as tcp_established. Differs: as in Open vSwitch's userspace datapath, keys that "
          + "only Linux's tracker has (tcp_close_wait, tcp_last_ack, tcp_syn_sent2, tcp_retransmit, tcp_unack) do nothing."
      ),
      externalIDs,
    ])
}
