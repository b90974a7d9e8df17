// OpenFlow 1.0's own actions (1.0 §5.2.4). They are read into the newer ones where there are such.

import VSwitchCore

extension ActionDecoder {
  /// Reads an action behind its type and length.
  func action10(_ type: UInt16, _ body: inout WireReader) throws(ErrorCode) -> Action {
    let isLong = type == 4 || type == 5 || type == 11
    try ActionDecoder.expect(&body, isLong ? 12 : 4)
    switch type {
    case 0:
      let port = try ActionDecoder.outputPort(PortNumber(wire10: try body.u16()))
      return .output(port, maximumByteCount: try body.u16())
    case 1:
      let vid = try body.u16()
      guard vid < 0x1000 else { throw .badActionBadArgument }
      return .setVLANID(vid)
    case 2:
      let priority = try body.u8()
      guard priority < 8 else { throw .badActionBadArgument }
      return .setVLANPriority(priority)
    case 3: return .popVLAN
    case 4: return whole(.ethernetSource, UInt128(try body.u48()))
    case 5: return whole(.ethernetDestination, UInt128(try body.u48()))
    case 6: return whole(.ipv4Source, UInt128(try body.u32()))
    case 7: return whole(.ipv4Destination, UInt128(try body.u32()))
    case 8:
      let tos = try body.u8()
      guard tos & 3 == 0 else { throw .badActionBadArgument }
      return whole(.ipDSCP, UInt128(tos >> 2))
    case 9: return whole(transportField(source: true), UInt128(try body.u16()))
    case 10: return whole(transportField(source: false), UInt128(try body.u16()))
    case 11:
      let port = PortNumber(wire10: try body.u16())
      guard port.isPhysical || port == .inPort else { throw .badActionBadOutPort }
      try body.skip(6)
      return .enqueue(port, queue: try body.u32())
    default: throw .badActionBadType
    }
  }

  func whole(_ field: Field, _ value: UInt128) -> Action { .setField(field, value: value, mask: field.fullMask) }

  /// 1.0 has one action for TCP and UDP; the match tells. TCP where it does not.
  private func transportField(source: Bool) -> Field {
    if let match, match.satisfies(.udp) { return source ? .udpSource : .udpDestination }
    if let match, match.satisfies(.sctp) { return source ? .sctpSource : .sctpDestination }
    return source ? .tcpSource : .tcpDestination
  }
}
