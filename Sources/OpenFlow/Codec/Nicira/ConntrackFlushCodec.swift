// Which connections to forget (NXT_CT_FLUSH): properties, those of a direction nested in one of their own. IPv4 addresses
// are written as mapped IPv6 addresses (RFC 4291 §2.5.5.2).

import VSwitchCore

enum ConntrackFlushCodec {
  private static let mappedPrefix: UInt128 = 0xffff << 32

  static func decode(_ reader: inout WireReader) throws(ErrorCode) -> ConntrackFlush {
    var flush = ConntrackFlush()
    flush.ipProtocol = try reader.u8()
    guard try reader.zeros(7) else { throw .niciraRequestMustBeZero }
    while !reader.isAtEnd {
      var type: UInt16 = 0
      var value = try reader.property(&type)
      switch type {
      case 0: flush.original = try tuple(&value, &flush.isIPv6)
      case 1: flush.reply = try tuple(&value, &flush.isIPv6)
      case 2: flush.zone = try value.u16(.badPropertyBadLength)
      default: throw .badPropertyBadType
      }
    }
    return flush
  }

  private static func tuple(_ reader: inout WireReader, _ isIPv6: inout Bool) throws(ErrorCode)
    -> ConnectionPattern
  {
    try reader.skip(4, .badPropertyBadLength)
    var tuple = ConnectionPattern()
    while !reader.isAtEnd {
      var type: UInt16 = 0
      var value = try reader.property(&type)
      switch type {
      case 0: tuple.source = try address(&value, &isIPv6)
      case 1: tuple.destination = try address(&value, &isIPv6)
      case 2: tuple.sourcePort = try value.u16(.badPropertyBadLength)
      case 3: tuple.destinationPort = try value.u16(.badPropertyBadLength)
      case 4: tuple.icmpID = try value.u16(.badPropertyBadLength)
      case 5: tuple.icmpType = try value.u8(.badPropertyBadLength)
      case 6: tuple.icmpCode = try value.u8(.badPropertyBadLength)
      default: throw .badPropertyBadType
      }
    }
    return tuple
  }

  private static func address(_ value: inout WireReader, _ isIPv6: inout Bool) throws(ErrorCode) -> UInt128 {
    guard value.remaining == 16 else { throw .badPropertyBadLength }
    let address = try value.unsigned(byteCount: 16)
    if address >> 32 == 0xffff { return address & 0xffff_ffff }
    isIPv6 = true
    return address
  }

  static func encode(_ flush: ConntrackFlush, to writer: inout WireWriter) {
    writer.u8(flush.ipProtocol)
    writer.zeros(7)
    if !flush.original.isEmpty { encode(0, flush.original, flush.isIPv6, &writer) }
    if !flush.reply.isEmpty { encode(1, flush.reply, flush.isIPv6, &writer) }
    if let zone = flush.zone { writer.property(2) { $0.u16(zone) } }
  }

  private static func encode(
    _ type: UInt16, _ tuple: ConnectionPattern, _ isIPv6: Bool, _ writer: inout WireWriter
  ) {
    writer.property(type) {
      $0.zeros(4)
      for (type, address) in [(UInt16(0), tuple.source), (1, tuple.destination)] {
        guard let address else { continue }
        $0.property(type, exactLength: true) { $0.unsigned(isIPv6 ? address : mappedPrefix | address, byteCount: 16) }
      }
      if let port = tuple.sourcePort { $0.property(2) { $0.u16(port) } }
      if let port = tuple.destinationPort { $0.property(3) { $0.u16(port) } }
      if let id = tuple.icmpID { $0.property(4) { $0.u16(id) } }
      if let type = tuple.icmpType { $0.property(5, exactLength: true) { $0.u8(type) } }
      if let code = tuple.icmpCode { $0.property(6, exactLength: true) { $0.u8(code) } }
    }
  }
}
