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
    if prerequisite == .none || prerequisite == .tunnel { return true }
    let etherType = exactValue(.etherType)
    func hasProtocol(_ number: UInt64) -> Bool {
      (etherType == 0x0800 || etherType == 0x86dd) && exactValue(.ipProtocol) == number && !isLaterFragment
    }
    func hasICMPv6(_ types: ClosedRange<UInt64>) -> Bool {
      guard satisfies(.icmpv6), let type = exactValue(.icmpv6Type), types.contains(type) else { return false }
      return value(.icmpv6Code).map { $0.value == 0 } ?? true
    }
    return switch prerequisite {
    case .none: true
    case .vlan: value(.vlanTCI).map { $0.value & $0.mask & 0x1000 != 0 } ?? false
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
    case .neighbourSolicitation: hasICMPv6(135...135)
    case .neighbourAdvertisement: hasICMPv6(136...136)
    case .neighbourDiscovery: hasICMPv6(135...136)
    case .tunnel: true
    }
  }

  /// The value of a field of at most 64 bits that is matched whole.
  private func exactValue(_ field: Field) -> UInt64? {
    let place = field.layout
    let (value, mask) = word(place.wordIndex)
    let ones: UInt64 = place.bitCount >= 64 ? .max : 1 << UInt64(place.bitCount) - 1
    guard mask >> UInt64(place.shift) & ones == ones else { return nil }
    return value >> UInt64(place.shift) & ones
  }

  /// Whether only fragments match that are not the first one of their packet.
  private var isLaterFragment: Bool { value(.ipFragment).map { $0.value & $0.mask & 2 != 0 } ?? false }
}
