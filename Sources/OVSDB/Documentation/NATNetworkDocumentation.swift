// NAT networks. See SchemaDocumentation.swift.

extension SchemaDocumentation {
  static let natNetwork = TableDocumentation(
    "NAT_Network",
    "A network of guests with addresses, names and a way out. Rows live without being named. "
      + "Not in Open vSwitch's schema.",
    [
      .init("name", .configuration, "Its name; no bridge or router may have it."),
      .init(
        "kind", .configuration,
        "\"nat\" (default): guests reach what is outside, with another source address; \"host-only\": they reach this host, "
          + "by a port of the network's name; \"internal\": each other."
      ),
      .init("bridge", .configuration, "The bridge that guests' ports are on."),
      .init("tag", .configuration, "The network's VLAN on that bridge; unset: what is untagged."),
      .init(
        "subnets", .configuration,
        "One IPv4 and one IPv6 network, such as 192.168.77.0/24 and fd00:77::/64. The switch has the first address of "
          + "each, of a host-only network the second: the first is the host's. An address of a host in its place is the "
          + "switch's."
      ),
      .init(
        "uplink", .configuration,
        "Of a NAT network, where it goes out: \"host\" (default): a device of the host named after the network with "
          + "\"-host\", and the host forwards; or a bridge, with its VLAN after a colon, and then `addresses` and `gateways`."
      ),
      .init(
        "addresses", .configuration,
        "The network's outer addresses with prefix lengths, on the uplink's bridge; \"dhcp\": the IPv4 address and the "
          + "gateway that a DHCP server there gives."),
      .init("gateways", .configuration, "Routers outside, of each IP version at most one."),
      .init("dhcp", .configuration, "Whether guests get addresses and settings; \"true\" if unset."),
      .init(
        "dns", .configuration,
        "Whether the switch answers for names of leases and forwards other questions to the host's servers; \"true\" if "
          + "unset."
      ),
      .init(
        "pool", .configuration,
        "Which addresses are given, such as 192.168.77.100-192.168.77.199; unset: all but the switch's and the "
          + "host's."),
      .init("lease_time", .configuration, "Seconds; 3600 if unset."),
      .init("domain", .configuration, "What is put behind the names of leases; unset: the network's name."),
      .init("search", .configuration, "Domains in which guests look for names; unset: the domain."),
      .init(
        "servers", .configuration,
        "DNS servers: those that questions are forwarded to in place of the host's; with dns=false those that guests are "
          + "told."
      ),
      .init("mtu", .configuration, "Bytes of the largest IP packet, which guests are told; 1500 if unset."),
      .init("next_server", .configuration, "Server to boot from over the network (PXE): its IPv4 address."),
      .init("boot_file", .configuration, "The file that it gives."),
      .init("static_leases", .configuration, "Addresses and names that stations always have."),
      .init("forwards", .configuration, "Ports of the outer address that lead to guests."),
      .init(
        "helpers", .configuration,
        "Protocols whose control connections are read for the data connections that they announce: \"ftp\", \"tftp\"; "
          + "none if unset."),
      .init("zone", .status, "Its zone of connection tracking: chosen by the switch where it is not given, and kept."),
      .init(
        "hairpin_zone", .status,
        "A second zone, for hosts that reach one of their own network by a forwarded port: chosen and kept likewise."),
      .init(
        "uplink_lease", .status, "With addresses=dhcp, what the network outside has given.",
        keys: [
          ("address", "The outer address with its prefix length."),
          ("gateway", "The router outside."),
          ("dns", "DNS servers that it names; not asked: names are the host's servers' business."),
          ("server", "Who gave it."),
          ("expires", "Until when, in seconds since 1970."),
        ]),
      .init(
        "status", .status, "What it has come to.",
        keys: [
          ("addresses", "The switch's addresses in the network."),
          ("outer-addresses", "Those that guests appear with outside."),
          ("pool", "Which addresses are given."),
        ]),
      .init("error", .status, "Why it does not work, and what would mend it."),
      .init("other_config", .kept, "Nothing yet."),
      externalIDs,
    ])

  static let staticLease = TableDocumentation(
    "Static_Lease",
    "An address, a name or both that a station of a NAT network always has. Not in Open vSwitch's schema.",
    [
      .init("mac", .configuration, "The station's Ethernet address."),
      .init("address", .configuration, "Its IPv4 address; unset: one of the pool."),
      .init("name", .configuration, "Its host name, without a domain."),
      .init("error", .status, "Why it does not work, and what would mend it."),
      externalIDs,
    ])

  static let forward = TableDocumentation(
    "Forward",
    "A port of the outer address of a NAT network or a router that leads to a host behind it. "
      + "Not in Open vSwitch's schema.",
    [
      .init("protocol", .configuration, "\"tcp\" or \"udp\"."),
      .init("port", .configuration, "The outer port, or a range such as 8000-8010."),
      .init(
        "address", .configuration,
        "The outer address; unset: each of the network's, or of a router's ports that masquerade, that is of the target's "
          + "IP version."),
      .init(
        "target", .configuration,
        "Of a NAT network the guest: the name of a lease, or an address of the network; of a router an address."),
      .init("target_port", .configuration, "Its port, of a range the first; unset: the same."),
      .init("error", .status, "Why it does not work, and what would mend it."),
      externalIDs,
    ])

  static let dhcpLease = TableDocumentation(
    "DHCP_Lease",
    "An address that a station of a NAT network has. Rows live without being named. Not in Open vSwitch's schema.",
    [
      .init("network", .status, "The NAT network's name."),
      .init("address", .status, "The IPv4 address."),
      .init("mac", .status, "The station's Ethernet address."),
      .init(
        "client_id", .status, "Its client identifier in hexadecimal digits, if it says more than the Ethernet address."),
      .init("name", .status, "Its host name, under which the resolver knows it."),
      .init("expires", .status, "Seconds since 1970."),
    ])
}
