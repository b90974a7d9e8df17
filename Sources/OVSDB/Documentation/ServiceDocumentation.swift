// Controllers, OpenFlow tables, shaping, export of flows. See SchemaDocumentation.swift.

extension SchemaDocumentation {
  static let controller = TableDocumentation(
    "Controller", "An OpenFlow controller of a bridge.",
    [
      .init("type", .configuration, "\"primary\" (it decides what the bridge does) or \"service\"."),
      .init(
        "target", .configuration, "tcp:HOST:PORT, ssl:HOST:PORT, unix:PATH, ptcp:PORT[:ADDRESS], pssl:… or punix:…."),
      .init("connection_mode", .ignored, "In-band or out-of-band. Differs: every controller is out-of-band."),
      .init("max_backoff", .configuration, "Longest pause between two tries to connect, in milliseconds."),
      .init(
        "inactivity_probe", .configuration, "Milliseconds of silence until the controller is asked if it is there."),
      .init("enable_async_messages", .configuration, "Whether it gets messages that it has not asked for."),
      .init("controller_queue_size", .configuration, "Packets that wait for it."),
      .init("controller_rate_limit", .configuration, "Packets a second to it."),
      .init("controller_burst_limit", .configuration, "Packets above that rate."),
      .init("local_ip", .ignored, "Address of the bridge's own port for in-band control."),
      .init("local_netmask", .ignored, "Its netmask."),
      .init("local_gateway", .ignored, "Its gateway."),
      .init("is_connected", .status, "Whether it is connected."),
      .init("role", .status, "\"master\", \"slave\" or \"other\"."),
      .init("status", .status, "State of the connection, by key."),
      .init("other_config", .ignored, "dscp of the connection."),
      externalIDs,
    ])

  static let flowTable = TableDocumentation(
    "Flow_Table", "Settings of one OpenFlow table.",
    [
      .init("name", .ignored, "Its name."),
      .init("flow_limit", .configuration, "Flows that it may hold; a lower limit removes none that are there."),
      .init(
        "overflow_policy", .configuration,
        "\"refuse\" a flow above the limit, or \"evict\" one that has a timeout: the least important, then the first to expire."
      ),
      .init("groups", .ignored, "Fields by which flows share the limit."),
      .init("prefixes", .ignored, "Fields in which prefixes are looked up by trie."),
      externalIDs,
    ])

  static let qos = TableDocumentation(
    "QoS",
    "Queues of a port. Rows live without being named. Nothing is shaped: OpenFlow lists them and counts what rules send by them.",
    [
      .init("type", .ignored, "The way of shaping, such as \"linux-htb\"."),
      .init("queues", .configuration, "Queues by number."),
      .init("other_config", .ignored, "max-rate and others, by type."),
      externalIDs,
    ])

  static let queue = TableDocumentation(
    "Queue", "A queue of a port. Rows live without being named. Nothing is shaped yet.",
    [
      .init("dscp", .ignored, "DSCP that packets get."),
      .init(
        "other_config", .configuration,
        "min-rate and max-rate in bits a second, for OpenFlow to tell; others are ignored."),
      externalIDs,
    ])

  static let netFlow = TableDocumentation(
    "NetFlow", "Export of flow records, NetFlow 5. Nothing here has an effect yet.",
    [
      .init("targets", .ignored, "Collectors, ADDRESS:PORT."),
      .init("engine_id", .ignored, "Engine number in the records."),
      .init("engine_type", .ignored, "Engine type in the records."),
      .init("active_timeout", .ignored, "Seconds between two records of a long flow."),
      .init("add_id_to_interface", .ignored, "Put the engine's number into interface numbers."),
      externalIDs,
    ])

  static let sFlow = TableDocumentation(
    "sFlow", "Export of samples, sFlow 5. Nothing here has an effect yet.",
    [
      .init("targets", .ignored, "Collectors, ADDRESS:PORT."),
      .init("agent", .ignored, "The device whose address names the switch."),
      .init("header", .ignored, "Bytes of a packet that are sent."),
      .init("polling", .ignored, "Seconds between two reports of counters."),
      .init("sampling", .ignored, "One packet of how many."),
      externalIDs,
    ])

  static let ipfix = TableDocumentation(
    "IPFIX", "Export of samples, RFC 7011. Nothing here has an effect yet.",
    [
      .init("targets", .ignored, "Collectors, ADDRESS:PORT."),
      .init("cache_active_timeout", .ignored, "Seconds that a flow is gathered."),
      .init("cache_max_flows", .ignored, "Flows that are gathered at once."),
      .init("sampling", .ignored, "One packet of how many."),
      .init("obs_domain_id", .ignored, "Observation domain in the records."),
      .init("obs_point_id", .ignored, "Observation point in the records."),
      .init("other_config", .ignored, "Further settings."),
      externalIDs,
    ])

  static let flowSampleCollectorSet = TableDocumentation(
    "Flow_Sample_Collector_Set",
    "Collectors for OpenFlow's sample action. Rows live without being named. Nothing here has an effect yet.",
    [
      .init("id", .ignored, "The number that the action names."),
      .init("bridge", .ignored, "The bridge in which the number counts."),
      .init("ipfix", .ignored, "Where samples go."),
      externalIDs,
    ])
}
