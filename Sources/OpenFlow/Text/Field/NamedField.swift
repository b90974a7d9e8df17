// The names under which fields are read: those that are printed, older ones, and those of OXM and NXM.

import VSwitchCore

/// What a name means: a field, or an older view of its bits.
enum NamedField: Equatable {
  case field(Field)
  /// `nw_tos`: the DSCP in the high 6 of 8 bits.
  case tos
  /// `dl_vlan`: the VID, 0xffff for no tag.
  case vlan
  /// `dl_vlan_pcp`
  case vlanPriority
  /// A field of Open vSwitch that this switch does not have.
  case unsupported

  init?(_ name: String) {
    guard let found = NamedField.byName[name] else { return nil }
    self = found
  }

  private static let byName: [String: NamedField] = {
    var names: [String: NamedField] = [:]
    for field in Field.allCases {
      names[field.name] = .field(field)
      names[field.subfieldName] = .field(field)
    }
    for (name, field) in otherNames { names[name] = .field(field) }
    names["nw_tos"] = .tos
    names["NXM_OF_IP_TOS"] = .tos
    names["dl_vlan"] = .vlan
    names["dl_vlan_pcp"] = .vlanPriority
    for name in unsupportedNames { names[name] = .unsupported }
    for i in 0..<64 { names["tun_metadata\(i)"] = .unsupported }
    for i in 0..<64 { names["NXM_NX_TUN_METADATA\(i)"] = .unsupported }
    return names
  }()

  private static let otherNames: [(String, Field)] = [
    ("tunnel_id", .tunnelID), ("OXM_OF_TUNNEL_ID", .tunnelID), ("in_port_oxm", .inPort), ("OXM_OF_IN_PORT", .inPort),
    ("OXM_OF_ACTSET_OUTPUT", .actionSetOutput), ("dl_src", .ethernetSource), ("OXM_OF_ETH_SRC", .ethernetSource),
    ("dl_dst", .ethernetDestination), ("OXM_OF_ETH_DST", .ethernetDestination), ("dl_type", .etherType),
    ("OXM_OF_ETH_TYPE", .etherType), ("nw_src", .ipv4Source), ("OXM_OF_IPV4_SRC", .ipv4Source),
    ("nw_dst", .ipv4Destination), ("OXM_OF_IPV4_DST", .ipv4Destination), ("OXM_OF_IPV6_SRC", .ipv6Source),
    ("OXM_OF_IPV6_DST", .ipv6Destination), ("OXM_OF_IPV6_FLABEL", .ipv6Label), ("ip_proto", .ipProtocol),
    ("OXM_OF_IP_PROTO", .ipProtocol), ("ip_ecn", .ipECN), ("OXM_OF_IP_ECN", .ipECN), ("nw_frag", .ipFragment),
    ("OXM_OF_ARP_OP", .arpOperation), ("OXM_OF_ARP_SPA", .arpSenderAddress), ("OXM_OF_ARP_TPA", .arpTargetAddress),
    ("OXM_OF_ARP_SHA", .arpSenderHardware), ("OXM_OF_ARP_THA", .arpTargetHardware), ("tp_src", .tcpSource),
    ("OXM_OF_TCP_SRC", .tcpSource), ("tp_dst", .tcpDestination), ("OXM_OF_TCP_DST", .tcpDestination),
    ("ONFOXM_ET_TCP_FLAGS", .tcpFlags), ("OXM_OF_TCP_FLAGS", .tcpFlags), ("OXM_OF_UDP_SRC", .udpSource),
    ("OXM_OF_UDP_DST", .udpDestination), ("OXM_OF_ICMPV4_TYPE", .icmpType), ("OXM_OF_ICMPV4_CODE", .icmpCode),
    ("OXM_OF_ICMPV6_TYPE", .icmpv6Type), ("OXM_OF_ICMPV6_CODE", .icmpv6Code), ("OXM_OF_IPV6_ND_TARGET", .ndTarget),
    ("OXM_OF_IPV6_ND_SLL", .ndSourceLinkLayer), ("OXM_OF_IPV6_ND_TLL", .ndTargetLinkLayer),
    ("vlan_tci1", .innerVLANTCI),
  ]

  private static let unsupportedNames = [
    "tun_ipv6_src", "tun_ipv6_dst", "tun_flags", "tun_gbp_id", "tun_gbp_flags", "tun_erspan_idx", "tun_erspan_ver",
    "tun_erspan_dir", "tun_erspan_hwid", "tun_gtpu_flags", "tun_gtpu_msgtype", "nsh_flags", "nsh_mdtype", "nsh_np",
    "nsh_spi", "nsh_si", "nsh_c1", "nsh_c2", "nsh_c3", "nsh_c4", "nsh_ttl", "nd_reserved", "nd_options_type",
    "skb_priority",
  ]
}

extension Field {
  /// The name that stands in subfields (`NXM_NX_REG0[0..3]`): NXM's, where there is one, else OXM's.
  var subfieldName: String {
    func register(_ prefix: String, _ first: Field) -> String { "\(prefix)\(rawValue - first.rawValue)" }
    return switch self {
    case .tunnelID: "NXM_NX_TUN_ID"
    case .tunnelSource: "NXM_NX_TUN_IPV4_SRC"
    case .tunnelDestination: "NXM_NX_TUN_IPV4_DST"
    case .metadata: "OXM_OF_METADATA"
    case .inPort: "NXM_OF_IN_PORT"
    case .packetType: "OXM_OF_PACKET_TYPE"
    case .packetMark: "NXM_NX_PKT_MARK"
    case .actionSetOutput: "ONFOXM_ET_ACTSET_OUTPUT"
    case .conjunctionID: "NXM_NX_CONJ_ID"
    case .recirculationID: "NXM_NX_RECIRC_ID"
    case .hash: "NXM_NX_DP_HASH"
    case .ctState: "NXM_NX_CT_STATE"
    case .ctZone: "NXM_NX_CT_ZONE"
    case .ctMark: "NXM_NX_CT_MARK"
    case .ctLabel: "NXM_NX_CT_LABEL"
    case .ctProtocol: "NXM_NX_CT_NW_PROTO"
    case .ctIPv4Source: "NXM_NX_CT_NW_SRC"
    case .ctIPv4Destination: "NXM_NX_CT_NW_DST"
    case .ctIPv6Source: "NXM_NX_CT_IPV6_SRC"
    case .ctIPv6Destination: "NXM_NX_CT_IPV6_DST"
    case .ctTransportSource: "NXM_NX_CT_TP_SRC"
    case .ctTransportDestination: "NXM_NX_CT_TP_DST"
    case .ethernetSource: "NXM_OF_ETH_SRC"
    case .ethernetDestination: "NXM_OF_ETH_DST"
    case .etherType: "NXM_OF_ETH_TYPE"
    case .vlanTCI: "NXM_OF_VLAN_TCI"
    case .vlanID: "OXM_OF_VLAN_VID"
    case .vlanPriority: "OXM_OF_VLAN_PCP"
    case .mplsLabel: "OXM_OF_MPLS_LABEL"
    case .mplsTrafficClass: "OXM_OF_MPLS_TC"
    case .mplsBottomOfStack: "OXM_OF_MPLS_BOS"
    case .mplsTTL: "NXM_NX_MPLS_TTL"
    case .ipv4Source: "NXM_OF_IP_SRC"
    case .ipv4Destination: "NXM_OF_IP_DST"
    case .ipv6Source: "NXM_NX_IPV6_SRC"
    case .ipv6Destination: "NXM_NX_IPV6_DST"
    case .ipv6Label: "NXM_NX_IPV6_LABEL"
    case .ipProtocol: "NXM_OF_IP_PROTO"
    case .ipDSCP: "OXM_OF_IP_DSCP"
    case .ipECN: "NXM_NX_IP_ECN"
    case .ipTTL: "NXM_NX_IP_TTL"
    case .ipFragment: "NXM_NX_IP_FRAG"
    case .arpOperation: "NXM_OF_ARP_OP"
    case .arpSenderAddress: "NXM_OF_ARP_SPA"
    case .arpTargetAddress: "NXM_OF_ARP_TPA"
    case .arpSenderHardware: "NXM_NX_ARP_SHA"
    case .arpTargetHardware: "NXM_NX_ARP_THA"
    case .tcpSource: "NXM_OF_TCP_SRC"
    case .tcpDestination: "NXM_OF_TCP_DST"
    case .tcpFlags: "NXM_NX_TCP_FLAGS"
    case .udpSource: "NXM_OF_UDP_SRC"
    case .udpDestination: "NXM_OF_UDP_DST"
    case .sctpSource: "OXM_OF_SCTP_SRC"
    case .sctpDestination: "OXM_OF_SCTP_DST"
    case .icmpType: "NXM_OF_ICMP_TYPE"
    case .icmpCode: "NXM_OF_ICMP_CODE"
    case .icmpv6Type: "NXM_NX_ICMPV6_TYPE"
    case .icmpv6Code: "NXM_NX_ICMPV6_CODE"
    case .ndTarget: "NXM_NX_ND_TARGET"
    case .ndSourceLinkLayer: "NXM_NX_ND_SLL"
    case .ndTargetLinkLayer: "NXM_NX_ND_TLL"
    case .innerVLANTCI, .innerVLANID, .innerVLANPriority: name
    default:
      if rawValue >= Field.xxreg0.rawValue {
        register("NXM_NX_XXREG", .xxreg0)
      } else if rawValue >= Field.xreg0.rawValue {
        register("OXM_OF_PKT_REG", .xreg0)
      } else {
        register("NXM_NX_REG", .reg0)
      }
    }
  }
}
