// Bridges, ports, and what belongs to them. See SchemaDocumentation.swift.

extension SchemaDocumentation {
  static let bridge = TableDocumentation(
    "Bridge", "A switch of its own: ports, a MAC table for each VLAN, perhaps OpenFlow controllers.",
    [
      .init(
        "name", .configuration,
        "Its name, and that of its own port, through which the host is on the bridge. Never changes."),
      .init("ports", .configuration, "Its ports."),
      .init(
        "datapath_type", .configuration,
        "\"netdev\", \"system\" or empty. Differs: all mean the one datapath that there is, in user space."),
      .init("datapath_version", .status, "\"<built-in>\"."),
      .init(
        "datapath_id", .status, "16 hexadecimal digits by which OpenFlow controllers know the bridge: its MAC address."),
      .init(
        "flood_vlans", .configuration,
        "VLANs in which no addresses are learned: every frame goes to all of their ports."),
      .init(
        "other_config", .configuration, "Settings of the bridge.",
        keys: [
          ("hwaddr", "MAC address of the bridge's own port; unset: the lowest of its ports'."),
          ("mac-aging-time", "Seconds until a silent station is forgotten, 15 to 3600; 300 if unset."),
          ("mac-table-size", "Stations that are remembered, 10 to 1000000; 8192 if unset."),
          ("forward-bpdu", "\"true\": frames to 01:80:c2:00:00:0x are forwarded like others."),
        ]),
      .init("controller", .configuration, "OpenFlow controllers."),
      .init(
        "fail_mode", .configuration,
        "What to do without controller: \"standalone\", as a learning switch, or \"secure\", nothing."),
      .init("protocols", .configuration, "Versions of OpenFlow that controllers may speak."),
      .init("flow_tables", .configuration, "Settings of OpenFlow tables by number."),
      .init("stp_enable", .ignored, "Spanning tree, IEEE 802.1D-1998."),
      .init("rstp_enable", .ignored, "Rapid spanning tree, IEEE 802.1D-2004."),
      .init("status", .ignored, "Spanning tree's state."),
      .init("rstp_status", .ignored, "Rapid spanning tree's state."),
      .init("mcast_snooping_enable", .ignored, "Multicast only to ports that asked for it."),
      .init("mirrors", .ignored, "Copies of traffic to a port or VLAN."),
      .init("netflow", .ignored, "Export of flow records by NetFlow."),
      .init("sflow", .ignored, "Export of samples by sFlow."),
      .init("ipfix", .ignored, "Export of samples by IPFIX."),
      .init("auto_attach", .ignored, "VLANs asked for by LLDP, IEEE 802.1Qcj."),
      externalIDs,
    ])

  static let port = TableDocumentation(
    "Port", "A port of a bridge, with one interface; with several it is a bond.",
    [
      .init("name", .configuration, "Its name, unique among all bridges' ports. Never changes."),
      .init(
        "interfaces", .configuration,
        "Its interfaces. Differs: bonds are not built yet; of several the first by name is used, and the others say so in error."
      ),
      .init(
        "vlan_mode", .configuration,
        "\"access\": the VLAN of tag, untagged. \"trunk\": the VLANs of trunks, tagged. \"native-tagged\" and \"native-untagged\": a trunk whose untagged frames are in tag's VLAN, and leave tagged or untagged. \"dot1q-tunnel\": frames keep their tags inside tag's VLAN. Unset: access if tag is set, else trunk."
      ),
      .init("tag", .configuration, "The port's own VLAN, 0 to 4095."),
      .init("trunks", .configuration, "VLANs that a trunk carries; empty: all."),
      .init("cvlans", .configuration, "Customer VLANs that a dot1q-tunnel takes; empty: all."),
      .init("protected", .configuration, "No traffic between two ports that have this set."),
      .init(
        "secgroup", .configuration,
        "Security groups: only connections that one of them lets begin pass to and from the port's device. Only here."),
      .init(
        "port_security", .configuration,
        "Whom its device may say that it is, as \"52:54:00:12:34:56 10.0.0.5 fd00::5\": an Ethernet address, and IP "
          + "addresses or prefixes, all if there are none. Everything else from there is dropped, ARP and neighbour "
          + "discovery in others' names too. Only here."),
      .init("error", .status, "Why its security groups or port_security don't work. Only here."),
      .init(
        "other_config", .configuration, "Settings of the port.",
        keys: [
          (
            "priority-tags",
            "Whether untagged frames leave with a tag of VLAN 0: \"never\", \"if-nonzero\" priority, \"always\"."
          ),
          ("qinq-ethtype", "Outer tag of a dot1q-tunnel: \"802.1ad\" (if unset) or \"802.1q\"."),
          ("forward-bpdu", "As of the bridge, for this port alone. Only here."),
          (
            "trusted",
            "\"true\": a port with secgroup or port_security may serve DHCP and advertise itself as router. Only here."
          ),
        ]),
      .init("fake_bridge", .kept, "vsctl treats the port as a bridge that stands for the VLAN of its tag."),
      .init("bond_mode", .ignored, "How a bond shares its interfaces."),
      .init("bond_updelay", .ignored, "Milliseconds until a bond uses an interface that came up."),
      .init("bond_downdelay", .ignored, "Milliseconds until a bond leaves an interface that went down."),
      .init("bond_fake_iface", .ignored, "An interface with the bond's name, for old software."),
      .init("bond_active_slave", .ignored, "MAC address of the interface that an active-backup bond uses."),
      .init("lacp", .ignored, "Link aggregation control, IEEE 802.1AX."),
      .init("qos", .configuration, "Queues that OpenFlow lists and counts by; nothing is shaped."),
      .init("mac", .ignored, "MAC address of the port; Interface.mac is the one that counts."),
      .init("status", .ignored, "Spanning tree's state of the port."),
      .init("rstp_status", .ignored, "Rapid spanning tree's state of the port."),
      .init("rstp_statistics", .ignored, "Rapid spanning tree's counters."),
      .init("statistics", .ignored, "Spanning tree's counters."),
      externalIDs,
    ])

  static let mirror = TableDocumentation(
    "Mirror", "A copy of traffic. Nothing here has an effect yet.",
    [
      .init("name", .ignored, "Its name."),
      .init("select_all", .ignored, "Every packet."),
      .init("select_src_port", .ignored, "Packets that came in by these ports."),
      .init("select_dst_port", .ignored, "Packets that leave by these ports."),
      .init("select_vlan", .ignored, "Only packets of these VLANs; empty: all."),
      .init("output_port", .ignored, "Where the copies go; the port does nothing else."),
      .init("output_vlan", .ignored, "The VLAN into which the copies go."),
      .init("snaplen", .ignored, "Bytes of a packet that are copied."),
      .init("statistics", .ignored, "Packets and bytes copied."),
      externalIDs,
    ])

  static let autoAttach = TableDocumentation(
    "AutoAttach", "VLANs asked for by LLDP, IEEE 802.1Qcj. Nothing here has an effect yet.",
    [
      .init("system_name", .ignored, "Name that is announced."),
      .init("system_description", .ignored, "Description that is announced."),
      .init("mappings", .ignored, "VLAN by service (I-SID)."),
    ])
}
