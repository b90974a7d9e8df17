// Random matches and fields that every version can say, with their prerequisites. Thread: a value; any.

import OpenFlow
import TestSupport
import VSwitchCore

extension SeededGenerator {
  mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }
  mutating func coin() -> Bool { next() & 1 == 0 }
  mutating func value(bitCount: Int) -> UInt128 {
    let all = UInt128(next()) << 64 | UInt128(next())
    // Small numbers and all ones are where faults are.
    switch below(4) {
    case 0: return all & 7 & ((1 << UInt128(min(bitCount, 127))) - 1)
    case 1: return bitCount == 128 ? .max : (1 << UInt128(bitCount)) - 1
    default: return bitCount == 128 ? all : all & ((1 << UInt128(bitCount)) - 1)
    }
  }
  mutating func pick<T>(_ choices: [T]) -> T { choices[below(choices.count)] }

  mutating func port() -> PortNumber {
    pick([PortNumber(1), PortNumber(2), PortNumber(0xfeff), .local, PortNumber(UInt32(below(0xff00)))])
  }

  /// A value that the field can have.
  mutating func value(of field: Field) -> UInt128 {
    switch field {
    case .inPort, .actionSetOutput: UInt128(port().rawValue)
    case .ctState, .arpOperation: value(bitCount: 8)
    default: value(bitCount: field.bitCount)
    }
  }

  /// A match of a random kind of packet, whose fields have their prerequisites.
  mutating func match() -> Match {
    var match = Match()
    var fields: [Field] = [
      .inPort, .metadata, .ethernetSource, .ethernetDestination, .tunnelID, .tunnelSource, .tunnelDestination, .reg0,
      .reg7, .xreg3, .xxreg3, .packetMark, .ctState, .ctZone, .ctMark, .ctLabel, .conjunctionID, .vlanTCI, .hash,
      .recirculationID,
    ]
    switch below(8) {
    case 0: match.set(.etherType, value(bitCount: 16))
    case 1:
      match.set(.etherType, pick([0x0806, 0x8035]))
      fields += [.arpOperation, .arpSenderAddress, .arpTargetAddress, .arpSenderHardware, .arpTargetHardware]
    case 2:
      match.set(.etherType, pick([0x8847, 0x8848]))
      fields += [.mplsLabel, .mplsTrafficClass, .mplsBottomOfStack, .mplsTTL]
    case 3, 4, 5:
      match.set(.etherType, 0x0800)
      fields += [.ipv4Source, .ipv4Destination, .ipDSCP, .ipECN, .ipTTL, .ctIPv4Source, .ctProtocol]
      transport(&match, &fields, icmp: 1, [.icmpType, .icmpCode])
    case 6:
      match.set(.etherType, 0x86dd)
      fields += [.ipv6Source, .ipv6Destination, .ipv6Label, .ipDSCP, .ipECN, .ipTTL, .ctIPv6Destination]
      transport(&match, &fields, icmp: 58, [])
      if match.satisfies(.icmpv6) {
        match.set(.icmpv6Type, pick([135, 136, 1]))
        if match.satisfies(.neighbourDiscovery) { fields.append(.ndTarget) }
        if match.satisfies(.neighbourSolicitation) { fields.append(.ndSourceLinkLayer) }
        if match.satisfies(.neighbourAdvertisement) { fields.append(.ndTargetLinkLayer) }
      }
    default: break
    }
    for field in fields where below(4) == 0 {
      var mask = field.fullMask
      if field.isMaskable, coin() { mask = value(bitCount: field.bitCount) }
      match.set(field, value(of: field) & mask, mask: mask)
    }
    // The tuple of a connection is there only for a packet that has one.
    if match.mask[.ctIPv4Source] | match.mask[.ctProtocol] | match.mask[.ctIPv6Destination] != 0 {
      match.set(.ctState, 0x21, mask: 0x21)
    }
    // A tag's bits without the tag itself are never asked for by a client.
    if match.mask[.vlanTCI] != 0 {
      match.set(.vlanTCI, match.key[.vlanTCI] | 0x1000, mask: match.mask[.vlanTCI] | 0x1000)
    }
    return match
  }

  private mutating func transport(_ match: inout Match, _ fields: inout [Field], icmp: UInt128, _ icmpFields: [Field]) {
    switch below(5) {
    case 0:
      match.set(.ipProtocol, 6)
      fields += [.tcpSource, .tcpDestination, .tcpFlags]
    case 1:
      match.set(.ipProtocol, 17)
      fields += [.udpSource, .udpDestination]
    case 2:
      match.set(.ipProtocol, 132)
      fields += [.sctpSource, .sctpDestination]
    case 3:
      match.set(.ipProtocol, icmp)
      fields += icmpFields
    default: if coin() { match.set(.ipFragment, pick([0, 1, 3]), mask: pick([1, 3])) }
    }
  }
}
