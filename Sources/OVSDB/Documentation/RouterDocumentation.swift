// Virtual routers. See SchemaDocumentation.swift.

extension SchemaDocumentation {
  static let router = TableDocumentation(
    "Router", "A virtual router. Rows live without being named. Not in Open vSwitch's schema.",
    [
      .init("name", .configuration, "Its name; no bridge may have it."),
      .init("ports", .configuration, "The networks that it joins."),
      .init("routes", .configuration, "Routes besides those to the networks of its ports."),
      .init("policies", .configuration, "Which connections may pass."),
      .init(
        "default_policy", .configuration,
        "\"accept\" (default), \"drop\" or \"reject\": what becomes of connections that no policy speaks of."),
      .init("forwards", .configuration, "Ports of its addresses that lead to hosts behind it."),
      .init(
        "helpers", .configuration,
        "Protocols whose control connections are read for the data connections that they announce: \"ftp\", \"tftp\"; "
          + "none if unset."),
      .init(
        "zone", .status,
        "Its zone of connection tracking: chosen by the switch from 65535 downwards where it is not given, and kept."),
      .init(
        "hairpin_zone", .status,
        "A second zone, for hosts that reach one of their own network by a forwarded port: chosen and kept likewise."),
      .init("error", .status, "Why it does not work, and what would mend it."),
      .init("other_config", .kept, "Nothing yet."),
      externalIDs,
    ])

  static let routerPort = TableDocumentation(
    "Router_Port", "A port of a router: its bridge has a port of the same name for it. Not in Open vSwitch's schema.",
    [
      .init("name", .configuration, "Its name; no other port of the switch may have it."),
      .init("bridge", .configuration, "The bridge that has the network."),
      .init("tag", .configuration, "The network's VLAN on that bridge; unset: what is untagged."),
      .init("addresses", .configuration, "Addresses with prefix lengths, such as 10.0.10.1/24 and fd00:10::1/64."),
      .init("mac", .configuration, "Its Ethernet address; unset: one made of the row's UUID."),
      .init("mac_in_use", .status, "The Ethernet address that it has."),
      .init("mtu", .configuration, "Bytes of the largest IP packet that may leave here; 1500 if unset."),
      .init(
        "masquerade", .configuration,
        "Connections that leave here get this port's address as their source, and their answers find back."),
      .init(
        "router_advertisements", .configuration,
        "Whether hosts of the network are told of the router and their prefix; unset: if it has an IPv6 /64."),
      .init("error", .status, "Why it does not work, and what would mend it."),
      .init(
        "other_config", .configuration, "Settings of router advertisements.",
        keys: [
          ("ra-interval", "Seconds between two, 4 to 1800; 600."),
          ("ra-lifetime", "Seconds that hosts use it as default router, 0 to 9000; three intervals. 0: not at all."),
          ("ra-managed", "\"true\": hosts get addresses by DHCPv6 (M flag)."),
          ("ra-other", "\"true\": hosts get other settings by DHCPv6 (O flag)."),
          ("ra-dns", "Addresses of DNS servers, with commas."),
          ("ra-domains", "Search domains, with commas."),
        ]),
      externalIDs,
    ])

  static let route = TableDocumentation(
    "Route",
    "A route of a router. Several with the same prefix and metric share the connections. Not in Open vSwitch's schema.",
    [
      .init("prefix", .configuration, "Destinations, such as 10.1.0.0/16; 0.0.0.0/0 and ::/0 for all."),
      .init(
        "type", .configuration,
        "\"unicast\" (default), or \"blackhole\" (dropped), \"unreachable\" or \"prohibit\" (the sender is told)."),
      .init(
        "next_hop", .configuration, "The router to send to; unset: the destination is in the port's network itself."),
      .init("port", .configuration, "The router port to send out of; unset: that whose network has the next hop."),
      .init("metric", .configuration, "Of several routes to a prefix those with the lowest count."),
      .init("error", .status, "Why it does not work, and what would mend it."),
      externalIDs,
    ])

  static let routerPolicy = TableDocumentation(
    "Router_Policy",
    "Which connections may pass a router. What belongs to a connection that may passes in both directions. Not in Open vSwitch's schema.",
    [
      .init("priority", .configuration, "Of several that match the highest counts, and of these what forbids."),
      .init("action", .configuration, "\"accept\", \"drop\", or \"reject\": dropped, and the sender is told."),
      .init("in_port", .configuration, "The router port where the connection comes in; unset: any."),
      .init("out_port", .configuration, "The router port where it leaves; unset: any."),
      .init("source", .configuration, "Prefix of the source address."),
      .init("destination", .configuration, "Prefix of the destination address."),
      .init(
        "protocol", .configuration, "tcp, udp, sctp, icmp, icmpv6 or a number; unset: any."),
      .init("source_ports", .configuration, "Ports, such as 22 or 8000-8080; empty: any."),
      .init("destination_ports", .configuration, "Ports, such as 22 or 8000-8080; empty: any."),
      .init("error", .status, "Why it does not work, and what would mend it."),
      externalIDs,
    ])
}
