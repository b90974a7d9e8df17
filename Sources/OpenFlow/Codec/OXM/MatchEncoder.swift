// Writing matches as sequences of fields, each behind its prerequisite.

import VSwitchCore

enum MatchEncoder {
  /// Fields in the order in which Open vSwitch writes them, so that bytes can be compared. Views of others (xreg, xxreg,
  /// parts of the VLAN TCI) are left out; the second tag has no number.
  static let order: [Field] = order(registers: (0..<16).compactMap { Field.reg($0) })

  /// In 1.5 the registers are written in pairs.
  private static let order15: [Field] = order(registers: [
    .xreg0, .xreg1, .xreg2, .xreg3, .xreg4, .xreg5, .xreg6, .xreg7,
  ])

  private static func order(registers: [Field]) -> [Field] {
    [
      .hash, .recirculationID, .conjunctionID, .packetType, .inPort, .actionSetOutput, .ethernetSource,
      .ethernetDestination, .etherType, .vlanTCI, .mplsTrafficClass, .mplsBottomOfStack, .mplsTTL, .mplsLabel,
      .ipv4Source, .ipv4Destination, .ipv6Source, .ipv6Destination, .ipFragment, .ipv6Label, .ipDSCP, .ipECN, .ipTTL,
      .ipProtocol, .tcpSource, .tcpDestination, .tcpFlags, .udpSource, .udpDestination, .sctpSource, .sctpDestination,
      .icmpType, .icmpCode, .icmpv6Type, .icmpv6Code, .ndTarget, .ndSourceLinkLayer, .ndTargetLinkLayer,
      .arpOperation, .arpSenderAddress, .arpTargetAddress, .arpSenderHardware, .arpTargetHardware, .tunnelID,
      .tunnelSource, .tunnelDestination,
    ] + registers + [
      .packetMark, .ctState, .ctZone, .ctMark, .ctLabel, .ctIPv4Source, .ctIPv4Destination, .ctIPv6Source,
      .ctIPv6Destination, .ctProtocol, .ctTransportSource, .ctTransportDestination, .metadata,
    ]
  }

  /// Writes an OXM match with header and padding.
  /// - Returns: bytes without padding, which the header has, too.
  @discardableResult
  static func oxm(_ match: Match, _ version: OpenFlowVersion, to writer: inout WireWriter) throws(EncodeError) -> UInt16
  {
    let start = writer.count
    writer.u16(1)
    writer.u16(0)
    try fields(match, version, to: &writer)
    let count = UInt16(truncatingIfNeeded: writer.count - start)
    writer.patch16(count, at: start + 2)
    writer.pad8(from: start)
    return count
  }

  /// Writes an NXM match with padding.
  /// - Returns: bytes without padding, for the length that stands elsewhere.
  static func nxm(_ match: Match, cookie: FlowMod.CookieFilter? = nil, to writer: inout WireWriter)
    throws(EncodeError) -> UInt16
  {
    let start = writer.count
    try fields(match, .v10, to: &writer)
    if let cookie, cookie.mask != 0 {
      let hasMask = cookie.mask != .max
      writer.u32(1 << 16 | UInt32(FieldHeader.cookieNumber) << 9 | (hasMask ? 0x110 : 8))
      writer.u64(cookie.value & cookie.mask)
      if hasMask { writer.u64(cookie.mask) }
    }
    let count = writer.count - start
    writer.pad8(from: start)
    return UInt16(truncatingIfNeeded: count)
  }

  /// Writes the fields alone.
  static func fields(_ match: Match, _ version: OpenFlowVersion, to writer: inout WireWriter) throws(EncodeError) {
    for field in version == .v15 ? order15 : order {
      let layout = field.layout
      guard match.word(layout.wordIndex).mask != 0 || layout.bitCount == 128 else { continue }
      guard let (value, mask) = match.value(field), match.satisfies(field.prerequisite) else { continue }
      if field == .vlanTCI {
        vlan(value, mask, version, to: &writer)
        continue
      }
      guard let code = FieldCode.code(field, version) else { throw EncodeError.field(field) }
      writer.field(code, value, mask: mask)
    }
  }

  /// A VLAN TCI: OXM has VID and priority apart; what they cannot say is written as NXM.
  private static func vlan(
    _ value: UInt128, _ mask: UInt128, _ version: OpenFlowVersion, to writer: inout WireWriter
  ) {
    let priorityMask = mask >> 13
    let isTagged = mask & value & 0x1000 != 0
    if version > .v10, priorityMask == 0 || priorityMask == 7 && isTagged {
      if mask & 0x1fff != 0, let code = FieldCode.code(.vlanID, version) {
        writer.field(code, value & 0x1fff, mask: mask & 0x1fff)
      }
      if priorityMask != 0, let code = FieldCode.code(.vlanPriority, version) {
        writer.field(code, value >> 13, mask: 7)
      }
    } else if let code = FieldCode.code(.vlanTCI, version) {
      writer.field(code, value, mask: mask)
    }
  }
}
