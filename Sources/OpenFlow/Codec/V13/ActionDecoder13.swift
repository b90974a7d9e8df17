// Actions of OpenFlow 1.3, 1.4 and 1.5 (1.3 §7.2.5, 1.5 §7.2.6). Types 1 to 10, 13 and 14 were 1.1's.

import VSwitchCore

extension ActionDecoder {
  /// Reads an action behind its type and length.
  func action13(_ type: UInt16, _ body: inout WireReader) throws(ErrorCode) -> Action {
    switch type {
    case 0:
      try ActionDecoder.expect(&body, 12)
      let port = try ActionDecoder.outputPort(PortNumber(try body.u32()))
      return .output(port, maximumByteCount: try body.u16())
    case 25: return try setField(&body, mayMask: version == .v15)
    case 28 where version == .v15: return try copyField(&body)
    default: break
    }
    guard (11...29).contains(type), type != 13, type != 14 else { throw .badActionBadType }
    try ActionDecoder.expect(&body, 4)
    switch type {
    case 11: return .copyTTLOutwards
    case 12: return .copyTTLInwards
    case 15: return .setMPLSTTL(try body.u8())
    case 16: return .decrementMPLSTTL
    case 17:
      let etherType = try body.u16()
      guard etherType == 0x8100 || etherType == 0x88a8 else { throw .badActionBadArgument }
      return .pushVLAN(etherType: etherType)
    case 18: return .popVLAN
    case 19: return try pushMPLS(&body)
    case 20: return .popMPLS(etherType: try body.u16())
    case 21: return .setQueue(try body.u32())
    case 22: return .group(try body.u32())
    case 23: return .setTTL(try body.u8())
    case 24: return .decrementTTL(controllers: [0])
    case 29 where version == .v15: return .meter(try body.u32())
    default: throw .badActionBadType
    }
  }

  func pushMPLS(_ body: inout WireReader) throws(ErrorCode) -> Action {
    let etherType = try body.u16()
    guard etherType == 0x8847 || etherType == 0x8848 else { throw .badActionBadArgument }
    return .pushMPLS(etherType: etherType)
  }
}
