// Prints one packet's fields, or a cached flow, in the syntax of a match (as ofproto/trace does).

import VSwitchCore

package struct FlowKeyPrinter {
  var names: NumberNames

  package init(names: NumberNames = NumberNames()) { self.names = names }

  /// All fields that the packet has; those that the pipeline adds only if they are not 0.
  package func text(_ key: FlowKey) -> String {
    MatchPrinter(names: names).text(Match(key: key, mask: FlowMask(fieldsOf: key)))
  }

  /// The fields that a packet with this key has.
  package func mask(of key: FlowKey) -> FlowMask { FlowMask(fieldsOf: key) }

  /// A cached flow: which bits were looked at, always with the recirculation id and the kind of packet.
  package func text(_ key: FlowKey, mask: FlowMask) -> String {
    var rest = mask
    rest[.recirculationID] = 0
    let fields = MatchPrinter(names: names).text(Match(key: key, mask: rest))
    let id = "recirc_id=" + FieldValuePrinter.hex(key[.recirculationID]) + ",eth"
    return fields.isEmpty ? id : id + "," + fields
  }
}

extension FlowMask {
  /// The fields that a packet with this key has.
  init(fieldsOf key: FlowKey) {
    self.init()
    var fields: [Field] = [.inPort, .vlanTCI, .ethernetSource, .ethernetDestination, .etherType]
    if key.vlanTCI & 0x1000 != 0 { fields.append(.innerVLANTCI) }
    let isIPv4 = key.etherType == 0x0800
    let isIPv6 = key.etherType == 0x86dd
    if isIPv4 { fields += [.ipv4Source, .ipv4Destination] }
    if isIPv6 { fields += [.ipv6Source, .ipv6Destination, .ipv6Label] }
    if isIPv4 || isIPv6 {
      fields += [.ipProtocol, .ipDSCP, .ipECN, .ipTTL, .ipFragment]
      if key.ipFragment & 2 == 0 { fields += FlowMask.transportFields(key, isIPv6: isIPv6) }
    }
    switch key.etherType {
    case 0x0806, 0x8035:
      fields += [.arpOperation, .arpSenderAddress, .arpTargetAddress, .arpSenderHardware, .arpTargetHardware]
    case 0x8847, 0x8848: fields += [.mplsLabel, .mplsTrafficClass, .mplsBottomOfStack, .mplsTTL]
    default: break
    }
    // What the pipeline adds is shown where it is set.
    let added: [Field] = [
      .recirculationID, .hash, .conjunctionID, .actionSetOutput, .packetMark, .ctState, .ctZone, .ctMark, .ctLabel,
      .ctProtocol, .ctIPv4Source, .ctIPv4Destination, .ctIPv6Source, .ctIPv6Destination, .ctTransportSource,
      .ctTransportDestination, .metadata, .tunnelID, .tunnelSource, .tunnelDestination,
    ]
    fields += added.filter { key[$0] != 0 }
    fields += (0..<16).compactMap(Field.reg).filter { key[$0] != 0 }
    for field in fields { self[field] = field.fullMask }
  }

  private static func transportFields(_ key: FlowKey, isIPv6: Bool) -> [Field] {
    switch key.ipProtocol {
    case 6: return [.tcpSource, .tcpDestination, .tcpFlags]
    case 17, 132: return [.udpSource, .udpDestination]
    case 1 where !isIPv6: return [.icmpType, .icmpCode]
    case 58 where isIPv6:
      var fields: [Field] = [.icmpv6Type, .icmpv6Code]
      if key.transportSource == 135 { fields += [.ndTarget, .ndSourceLinkLayer] }
      if key.transportSource == 136 { fields += [.ndTarget, .ndTargetLinkLayer] }
      return fields
    default: return []
    }
  }
}
