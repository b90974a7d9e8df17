// The fields that rules match and actions read and write, free of any protocol version: names as ovs-ofctl's flow syntax
// has them (ovs-fields(7)). Numbers on the wire (OXM, NXM) are the codecs' business.

/// A field of the flow key. Order: as ovs-fields(7) groups them.
public enum Field: UInt8, CaseIterable, Sendable, Hashable {
  // Tunnel and metadata
  case tunnelID, tunnelSource, tunnelDestination
  case metadata, inPort, packetType, packetMark, actionSetOutput, conjunctionID, recirculationID, hash
  // Registers: 16 of 32 bits, seen also as 8 of 64 and 4 of 128
  case reg0, reg1, reg2, reg3, reg4, reg5, reg6, reg7, reg8, reg9, reg10, reg11, reg12, reg13, reg14, reg15
  case xreg0, xreg1, xreg2, xreg3, xreg4, xreg5, xreg6, xreg7
  case xxreg0, xxreg1, xxreg2, xxreg3
  // Connection tracking
  case ctState, ctZone, ctMark, ctLabel
  case ctProtocol, ctIPv4Source, ctIPv4Destination, ctIPv6Source, ctIPv6Destination
  case ctTransportSource, ctTransportDestination
  // Ethernet, VLAN, MPLS
  case ethernetSource, ethernetDestination, etherType
  case vlanTCI, vlanID, vlanPriority, innerVLANTCI, innerVLANID, innerVLANPriority
  case mplsLabel, mplsTrafficClass, mplsBottomOfStack, mplsTTL
  // IP, ARP
  case ipv4Source, ipv4Destination, ipv6Source, ipv6Destination, ipv6Label
  case ipProtocol, ipDSCP, ipECN, ipTTL, ipFragment
  case arpOperation, arpSenderAddress, arpTargetAddress, arpSenderHardware, arpTargetHardware
  // Transport
  case tcpSource, tcpDestination, tcpFlags, udpSource, udpDestination, sctpSource, sctpDestination
  case icmpType, icmpCode, icmpv6Type, icmpv6Code, ndTarget, ndSourceLinkLayer, ndTargetLinkLayer
}

extension Field {
  /// Register `number` of 32 bits, 0 to 15.
  public static func reg(_ number: Int) -> Field? {
    (0..<16).contains(number) ? Field(rawValue: Field.reg0.rawValue + UInt8(number)) : nil
  }

  /// Whether an action may change the field (OpenFlow 1.5 §7.2.4.12 and ovs-fields(7), "Access").
  public var isWritable: Bool {
    switch self {
    case .etherType, .actionSetOutput, .conjunctionID, .recirculationID, .hash, .packetType, .ipProtocol, .ipFragment,
      .ctState, .ctZone, .ctProtocol, .ctIPv4Source, .ctIPv4Destination, .ctIPv6Source, .ctIPv6Destination,
      .ctTransportSource, .ctTransportDestination, .tcpFlags, .mplsBottomOfStack, .innerVLANTCI, .innerVLANID,
      .innerVLANPriority:
      false
    default: true
    }
  }

  /// Whether a match may leave bits open. Fields that can't are matched whole or not at all.
  public var isMaskable: Bool {
    switch self {
    case .inPort, .actionSetOutput, .conjunctionID, .recirculationID, .packetType, .etherType, .vlanPriority,
      .innerVLANPriority, .mplsLabel, .mplsTrafficClass, .mplsBottomOfStack, .mplsTTL, .ipProtocol, .ipDSCP, .ipECN,
      .ipTTL, .arpOperation, .icmpType, .icmpCode, .icmpv6Type, .icmpv6Code, .ctZone, .ctProtocol:
      false
    default: true
    }
  }
}
