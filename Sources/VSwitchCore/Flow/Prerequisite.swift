// What a match must already say before a field means anything (OpenFlow 1.5 §7.2.3.7, ovs-fields(7) "Prerequisites").

/// A condition on EtherType, protocol or tag.
public enum Prerequisite: Sendable, Equatable {
  case none, vlan, mpls, ipv4, ipv6, ip, arp, tcp, udp, sctp, icmp, icmpv6, neighbourSolicitation
  case neighbourAdvertisement, neighbourDiscovery, tunnel
}

extension Field {
  /// The condition for matching the field (and for writing it).
  public var prerequisite: Prerequisite {
    switch self {
    case .vlanPriority: .vlan
    case .mplsLabel, .mplsTrafficClass, .mplsBottomOfStack, .mplsTTL: .mpls
    case .ipv4Source, .ipv4Destination: .ipv4
    case .ipv6Source, .ipv6Destination, .ipv6Label: .ipv6
    case .ipProtocol, .ipDSCP, .ipECN, .ipTTL, .ipFragment: .ip
    case .arpOperation, .arpSenderAddress, .arpTargetAddress, .arpSenderHardware, .arpTargetHardware: .arp
    case .tcpSource, .tcpDestination, .tcpFlags: .tcp
    case .udpSource, .udpDestination: .udp
    case .sctpSource, .sctpDestination: .sctp
    case .icmpType, .icmpCode: .icmp
    case .icmpv6Type, .icmpv6Code: .icmpv6
    case .ndTarget: .neighbourDiscovery
    case .ndSourceLinkLayer: .neighbourSolicitation
    case .ndTargetLinkLayer: .neighbourAdvertisement
    default: .none
    }
  }
}

extension Match {
  /// Whether the match is narrow enough for a field with this prerequisite.
  public func satisfies(_ prerequisite: Prerequisite) -> Bool {
    let etherType: UInt16? = mask[.etherType] == 0xffff ? key.etherType : nil
    func hasProtocol(_ number: UInt8) -> Bool {
      (etherType == 0x0800 || etherType == 0x86dd) && mask[.ipProtocol] == 0xff && key.ipProtocol == number
        && (mask[.ipFragment] & 2 == 0 || key.ipFragment & 2 == 0)
    }
    func hasICMPv6(types: [UInt16]) -> Bool {
      satisfies(.icmpv6) && mask[.icmpv6Type] == 0xff && types.contains(key.transportSource)
        && (mask[.icmpv6Code] == 0 || key.transportDestination == 0)
    }
    return switch prerequisite {
    case .none: true
    case .vlan: mask[.vlanTCI] & 0x1000 != 0 && key.vlanTCI & 0x1000 != 0
    case .mpls: etherType == 0x8847 || etherType == 0x8848
    case .ipv4: etherType == 0x0800
    case .ipv6: etherType == 0x86dd
    case .ip: etherType == 0x0800 || etherType == 0x86dd
    case .arp: etherType == 0x0806 || etherType == 0x8035
    case .tcp: hasProtocol(6)
    case .udp: hasProtocol(17)
    case .sctp: hasProtocol(132)
    case .icmp: etherType == 0x0800 && hasProtocol(1)
    case .icmpv6: etherType == 0x86dd && hasProtocol(58)
    case .neighbourSolicitation: hasICMPv6(types: [135])
    case .neighbourAdvertisement: hasICMPv6(types: [136])
    case .neighbourDiscovery: hasICMPv6(types: [135, 136])
    case .tunnel: true
    }
  }
}
