// Interfaces: the devices behind ports. See SchemaDocumentation.swift.

extension SchemaDocumentation {
  static let interface = TableDocumentation(
    "Interface", "A device behind a port: what it is, what was asked of it, how it is.",
    [
      .init("name", .configuration, "The device's name, at most 15 bytes. Never changes."),
      .init(
        "type", .configuration,
        "Empty or \"system\": a device that is there (a NIC, the end of a veth pair, a tap of a virtual machine). \"internal\": a tap for the host. \"tap\": a tap in a namespace of one's choice. \"patch\": joined to another bridge. \"pcap\": capture files; only here. Differs: tunnels, DPDK and AF_XDP are not built yet and give an error."
      ),
      .init(
        "options", .configuration, "Settings of the type. Differs: a misspelled option of tap and pcap is an error.",
        keys: [
          ("netns", "Of tap: the namespace in which it appears, by its name or path. Only here."),
          ("owner", "Of tap: the user who may open it, too. Only here."),
          ("group", "Of tap: the group that may open it, too. Only here."),
          ("peer", "Of patch: the name of the patch port at the other end."),
          ("rx-file", "Of pcap: a capture whose packets come in. Only here."),
          ("tx-file", "Of pcap: where packets that leave are written. Only here."),
        ]),
      .init("ofport_request", .configuration, "The port number that is wanted, 1 to 65279."),
      .init("mac", .configuration, "MAC address of an internal interface."),
      .init("mtu_request", .configuration, "MTU of an internal interface or tap, in bytes."),
      .init(
        "ofport", .status,
        "The port number: 65534 for a bridge's own port, -1 if the device can't be used. Kept over restarts."),
      .init("error", .status, "Why the device can't be used; empty if it can."),
      .init("mac_in_use", .status, "MAC address of the device."),
      .init("ifindex", .status, "Number of the device in its namespace."),
      .init("admin_state", .status, "\"up\" or \"down\", as it was set."),
      .init("link_state", .status, "\"up\" if there is a peer that is up."),
      .init("link_resets", .status, "How often link_state has changed."),
      .init("link_speed", .status, "Bits a second."),
      .init("duplex", .status, "\"full\" or \"half\"."),
      .init("mtu", .status, "MTU in bytes."),
      .init("status", .status, "The device's driver, by key."),
      .init(
        "statistics", .status,
        "Packets, bytes, drops and errors, updated every other_config:stats-update-interval of Open_vSwitch."),
      .init("ingress_policing_rate", .ignored, "Limit of what comes in, in kbit/s."),
      .init("ingress_policing_burst", .ignored, "Burst above that limit, in kbit."),
      .init("ingress_policing_kpkts_rate", .ignored, "Limit of what comes in, in 1000 packets a second."),
      .init("ingress_policing_kpkts_burst", .ignored, "Burst above that limit, in 1000 packets."),
      .init("bfd", .ignored, "Bidirectional forwarding detection, RFC 5880."),
      .init("bfd_status", .ignored, "Its state."),
      .init("cfm_mpid", .ignored, "Connectivity fault management, IEEE 802.1ag: this end's number."),
      .init("cfm_fault", .ignored, "Whether it sees a fault."),
      .init("cfm_fault_status", .ignored, "Which faults."),
      .init("cfm_remote_opstate", .ignored, "What the other end says of itself."),
      .init("cfm_health", .ignored, "Percentage of messages that arrived."),
      .init("cfm_remote_mpids", .ignored, "Numbers of the other ends."),
      .init("cfm_flap_count", .ignored, "How often cfm_fault has changed."),
      .init("lacp_current", .ignored, "Whether the aggregation's information is current."),
      .init("lldp", .ignored, "Link layer discovery, IEEE 802.1AB."),
      .init("other_config", .ignored, "Settings of cfm, and of DPDK's queues."),
      externalIDs,
    ])
}
