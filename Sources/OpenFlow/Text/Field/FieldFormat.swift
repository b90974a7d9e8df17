// How a field's values are written (ovs-fields(7), "Format").

import VSwitchCore

enum FieldFormat {
  case decimal, hexadecimal, ethernet, ipv4, ipv6, port, connectionState, tcpFlags, fragment, packetType
}

extension Field {
  var format: FieldFormat {
    switch self {
    case .tunnelSource, .tunnelDestination, .ctIPv4Source, .ctIPv4Destination, .ipv4Source, .ipv4Destination,
      .arpSenderAddress, .arpTargetAddress:
      .ipv4
    case .ctIPv6Source, .ctIPv6Destination, .ipv6Source, .ipv6Destination, .ndTarget: .ipv6
    case .ethernetSource, .ethernetDestination, .arpSenderHardware, .arpTargetHardware, .ndSourceLinkLayer,
      .ndTargetLinkLayer:
      .ethernet
    case .inPort, .actionSetOutput: .port
    case .ctState: .connectionState
    case .tcpFlags: .tcpFlags
    case .ipFragment: .fragment
    case .packetType: .packetType
    case .conjunctionID, .recirculationID, .ctProtocol, .ctTransportSource, .ctTransportDestination, .vlanID,
      .vlanPriority, .innerVLANID, .innerVLANPriority, .mplsLabel, .mplsTrafficClass, .mplsBottomOfStack, .mplsTTL,
      .ipProtocol, .ipDSCP, .ipECN, .ipTTL, .arpOperation, .tcpSource, .tcpDestination, .udpSource, .udpDestination,
      .sctpSource, .sctpDestination, .icmpType, .icmpCode, .icmpv6Type, .icmpv6Code:
      .decimal
    default: .hexadecimal
    }
  }

  /// Bytes of a value in OpenFlow: bounds numbers that are read, as in Open vSwitch.
  var byteCount: Int { self == .innerVLANID || self == .vlanID ? 2 : (bitCount + 7) / 8 }
}
