// OpenFlow 1.0's match: 40 bytes of fixed fields with wildcard bits (1.0 §5.2.3). Fields whose prerequisite is not matched
// are as good as absent there, and are left out here.

import VSwitchCore

enum Match10 {
  private static let inPort: UInt32 = 1 << 0
  private static let vlan: UInt32 = 1 << 1
  private static let source: UInt32 = 1 << 2
  private static let destination: UInt32 = 1 << 3
  private static let etherType: UInt32 = 1 << 4
  private static let ipProtocol: UInt32 = 1 << 5
  private static let transportSource: UInt32 = 1 << 6
  private static let transportDestination: UInt32 = 1 << 7
  private static let ipv4SourceShift: UInt32 = 8
  private static let ipv4DestinationShift: UInt32 = 14
  private static let vlanPriority: UInt32 = 1 << 20
  private static let tos: UInt32 = 1 << 21
  static let allWildcards: UInt32 = 1 << 22 - 1
  /// All fields open, as Open vSwitch writes it: 32 bits of each address.
  private static let open: UInt32 = 0x0038_20ff
  private static let noVLAN: UInt16 = 0xffff

  /// - Returns: the match, and whether it has no wildcard at all: such rules have the highest priority.
  static func decode(_ reader: inout WireReader) throws(ErrorCode) -> (match: Match, isExact: Bool) {
    let wildcards = try reader.u32() & allWildcards
    var match = Match()
    func set(_ bit: UInt32, _ field: Field, _ value: UInt128, _ match: inout Match) {
      if wildcards & bit == 0 { match.set(field, value) }
    }
    set(inPort, .inPort, UInt128(PortNumber(wire10: try reader.u16()).rawValue), &match)
    set(source, .ethernetSource, UInt128(try reader.u48()), &match)
    set(destination, .ethernetDestination, UInt128(try reader.u48()), &match)
    let vid = try reader.u16()
    let priority = try reader.u8()
    if wildcards & vlan == 0, vid == noVLAN {
      match.set(.vlanTCI, 0)
    } else if wildcards & vlan == 0 || wildcards & vlanPriority == 0 {
      let mask: UInt16 =
        (wildcards & vlan == 0 ? 0x0fff : 0) | (wildcards & vlanPriority == 0 ? 0xe000 : 0) | 0x1000
      match.set(.vlanTCI, UInt128(vid & 0xfff | UInt16(priority & 7) << 13 | 0x1000), mask: UInt128(mask))
    }
    try reader.skip(1)
    let type = try reader.u16()
    set(etherType, .etherType, UInt128(type), &match)
    let tosValue = try reader.u8()
    let proto = try reader.u8()
    try reader.skip(2)
    let addresses = (try reader.u32(), try reader.u32())
    let ports = (try reader.u16(), try reader.u16())
    guard wildcards & etherType == 0 else { return (match, false) }
    let isARP = match.satisfies(.arp)
    guard isARP || match.satisfies(.ipv4) else { return (match, wildcards == 0) }
    if !isARP { set(tos, .ipDSCP, UInt128(tosValue >> 2), &match) }
    set(ipProtocol, isARP ? .arpOperation : .ipProtocol, UInt128(proto), &match)
    match.set(
      isARP ? .arpSenderAddress : .ipv4Source, UInt128(addresses.0), mask: prefix(wildcards >> ipv4SourceShift))
    match.set(
      isARP ? .arpTargetAddress : .ipv4Destination, UInt128(addresses.1),
      mask: prefix(wildcards >> ipv4DestinationShift))
    if let (first, second) = transport(match) {
      set(transportSource, first, UInt128(ports.0), &match)
      set(transportDestination, second, UInt128(ports.1), &match)
    }
    return (match, wildcards == 0)
  }

  private static func prefix(_ wildcardBits: UInt32) -> UInt128 {
    let count = wildcardBits & 0x3f
    return count >= 32 ? 0 : UInt128(UInt32.max << count)
  }

  /// The fields that 1.0's transport ports stand for.
  private static func transport(_ match: Match) -> (Field, Field)? {
    if match.satisfies(.arp) { return nil }
    if match.satisfies(.tcp) { return (.tcpSource, .tcpDestination) }
    if match.satisfies(.udp) { return (.udpSource, .udpDestination) }
    if match.satisfies(.sctp) { return (.sctpSource, .sctpDestination) }
    if match.satisfies(.icmp) { return (.icmpType, .icmpCode) }
    return nil
  }

  /// Whether the match can be said in these fields.
  static func fits(_ match: Match) -> Bool {
    var rest = match
    for field in [Field.inPort, .ethernetSource, .ethernetDestination, .etherType] where match.isExact(field) {
      rest.set(field, 0, mask: 0)
    }
    let tci = match.value(.vlanTCI)
    if let (value, mask) = tci {
      guard mask & 0x1000 != 0, [0x1000, 0x1fff, 0xf000, 0xffff].contains(mask) else { return false }
      guard value & 0x1000 != 0 ? mask != 0x1000 : value == 0 && mask & 0xfff == 0xfff else { return false }
      rest.set(.vlanTCI, 0, mask: 0)
    }
    let isARP = match.satisfies(.arp)
    if isARP || match.satisfies(.ipv4) {
      for field in isARP ? [.arpOperation] : [Field.ipDSCP, .ipProtocol] where match.isExact(field) {
        rest.set(field, 0, mask: 0)
      }
      for field in isARP ? [Field.arpSenderAddress, .arpTargetAddress] : [.ipv4Source, .ipv4Destination] {
        let mask = UInt32(truncatingIfNeeded: match.mask[field])
        guard (~mask &+ 1) & ~mask == 0 else { return false }
        rest.set(field, 0, mask: 0)
      }
    }
    if let (first, second) = transport(match) {
      for field in [first, second] where match.isExact(field) { rest.set(field, 0, mask: 0) }
    }
    return rest == Match()
  }

  /// Writes a match that fits; what does not is left out.
  static func encode(_ match: Match, to writer: inout WireWriter) {
    var wildcards = open
    func value(_ bit: UInt32, _ field: Field) -> UInt128 {
      guard match.isExact(field) else { return 0 }
      wildcards &= ~bit
      return match.key[field]
    }
    var body = WireWriter()
    body.u16(PortNumber(UInt32(truncatingIfNeeded: value(inPort, .inPort))).wire10)
    body.u48(UInt64(truncatingIfNeeded: value(source, .ethernetSource)))
    body.u48(UInt64(truncatingIfNeeded: value(destination, .ethernetDestination)))
    let (tci, tciMask) = match.value(.vlanTCI) ?? (0, 0)
    if tciMask & 0x1000 != 0 {
      if tci & 0x1000 == 0 || tciMask & 0xfff == 0xfff { wildcards &= ~vlan }
      if tci & 0x1000 == 0 || tciMask & 0xe000 == 0xe000 { wildcards &= ~vlanPriority }
      body.u16(tci & 0x1000 == 0 ? noVLAN : UInt16(truncatingIfNeeded: tci & 0xfff))
      body.u8(UInt8(truncatingIfNeeded: tci >> 13))
    } else {
      body.zeros(3)
    }
    body.zeros(1)
    body.u16(UInt16(truncatingIfNeeded: value(etherType, .etherType)))
    let isARP = match.satisfies(.arp)
    let isIPv4 = match.satisfies(.ipv4)
    body.u8(isIPv4 ? UInt8(truncatingIfNeeded: value(tos, .ipDSCP) << 2) : 0)
    body.u8(isARP || isIPv4 ? UInt8(truncatingIfNeeded: value(ipProtocol, isARP ? .arpOperation : .ipProtocol)) : 0)
    body.zeros(2)
    for (shift, field) in [
      (ipv4SourceShift, isARP ? Field.arpSenderAddress : .ipv4Source),
      (ipv4DestinationShift, isARP ? .arpTargetAddress : .ipv4Destination),
    ] {
      let mask = isARP || isIPv4 ? UInt32(truncatingIfNeeded: match.mask[field]) : 0
      if mask != 0 {
        wildcards &= ~(0x3f << shift)
        wildcards |= UInt32(truncatingIfNeeded: mask.trailingZeroBitCount) << shift
      }
      body.u32(mask == 0 ? 0 : UInt32(truncatingIfNeeded: match.key[field]))
    }
    if let (first, second) = transport(match) {
      body.u16(UInt16(truncatingIfNeeded: value(transportSource, first)))
      body.u16(UInt16(truncatingIfNeeded: value(transportDestination, second)))
    } else {
      body.zeros(4)
    }
    writer.u32(wildcards)
    writer.array(body.bytes)
  }
}
