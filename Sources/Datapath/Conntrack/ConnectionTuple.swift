// What tells one direction of a connection from all others: addresses, ports, protocol, zone. Pure; plain data.
//
// A connection has two: that of its first packet, and that of the answers, which is the first one reversed unless addresses
// are translated. So a packet of one direction leaves with the other direction's tuple, reversed: that is all of translation.

/// Addresses and ports as in the headers of a packet, host order.
struct ConnectionTuple: Equatable {
  /// IPv4 in the low 32 bits, high half first.
  var sourceHigh: UInt64 = 0
  var sourceLow: UInt64 = 0
  var destinationHigh: UInt64 = 0
  var destinationLow: UInt64 = 0
  /// Source port << 48 | destination port << 32 | zone << 16 | IP protocol << 8 | 4 or 6.
  /// ICMP: identifier for the source port, type << 8 | code for the destination port. 0 where a protocol has no ports.
  var rest: UInt64 = 0

  @inline(__always)
  static func == (a: Self, b: Self) -> Bool {
    // `|` and `^` bind alike.
    (a.sourceHigh ^ b.sourceHigh) | (a.sourceLow ^ b.sourceLow) | (a.destinationHigh ^ b.destinationHigh)
      | (a.destinationLow ^ b.destinationLow) | (a.rest ^ b.rest) == 0
  }

  @inline(__always) var sourcePort: UInt16 {
    get { UInt16(truncatingIfNeeded: rest &>> 48) }
    set { rest = rest & 0x0000_ffff_ffff_ffff | UInt64(newValue) &<< 48 }
  }
  @inline(__always) var destinationPort: UInt16 {
    get { UInt16(truncatingIfNeeded: rest &>> 32) }
    set { rest = rest & 0xffff_0000_ffff_ffff | UInt64(newValue) &<< 32 }
  }
  @inline(__always) var zone: UInt16 {
    get { UInt16(truncatingIfNeeded: rest &>> 16) }
    set { rest = rest & ~0xffff_0000 | UInt64(newValue) &<< 16 }
  }
  @inline(__always) var ipProtocol: UInt8 {
    get { UInt8(truncatingIfNeeded: rest &>> 8) }
    set { rest = rest & ~0xff00 | UInt64(newValue) &<< 8 }
  }
  @inline(__always) var isIPv6: Bool {
    get { rest & 0xff == 6 }
    set { rest = rest & ~0xff | (newValue ? 6 : 4) }
  }
  var source: UInt128 {
    get { UInt128(sourceHigh) << 64 | UInt128(sourceLow) }
    set {
      sourceHigh = UInt64(truncatingIfNeeded: newValue >> 64)
      sourceLow = UInt64(truncatingIfNeeded: newValue)
    }
  }
  var destination: UInt128 {
    get { UInt128(destinationHigh) << 64 | UInt128(destinationLow) }
    set {
      destinationHigh = UInt64(truncatingIfNeeded: newValue >> 64)
      destinationLow = UInt64(truncatingIfNeeded: newValue)
    }
  }

  @inline(__always) var isICMP: Bool { ipProtocol == 1 || ipProtocol == 58 }
  /// The protocol has ports.
  @inline(__always) var hasPorts: Bool { ipProtocol == 6 || ipProtocol == 17 || ipProtocol == 132 }
  var icmpType: UInt8 { UInt8(truncatingIfNeeded: destinationPort &>> 8) }
  var icmpCode: UInt8 { UInt8(truncatingIfNeeded: destinationPort) }

  /// The tuple of the answers.
  @inline(__always)
  var reversed: ConnectionTuple {
    var other = self
    other.sourceHigh = destinationHigh
    other.sourceLow = destinationLow
    other.destinationHigh = sourceHigh
    other.destinationLow = sourceLow
    if isICMP {
      other.destinationPort =
        UInt16(ConnectionTuple.answer(to: icmpType, isIPv6: isIPv6)) &<< 8 | destinationPort & 0xff
    } else {
      other.rest = rest & 0xffff_ffff | rest &>> 16 & 0x0000_ffff_0000_0000 | (rest & 0x0000_ffff_0000_0000) &<< 16
    }
    return other
  }

  @inline(__always)
  func hash(_ key: SipHash.Key) -> UInt64 {
    var hash = SipHash(key)
    if isIPv6 {
      hash.add(sourceHigh)
      hash.add(sourceLow)
      hash.add(destinationHigh)
      hash.add(destinationLow)
    } else {
      hash.add(sourceLow &<< 32 | destinationLow & 0xffff_ffff)
    }
    hash.add(rest)
    return hash.finish()
  }

  /// The type that answers an ICMP request and the request that a type answers (RFC 792, RFC 4443 §4); others stay.
  @inline(__always)
  static func answer(to type: UInt8, isIPv6: Bool) -> UInt8 {
    if isIPv6 { return type == 128 ? 129 : type == 129 ? 128 : type }
    switch type {
    case 0: return 8
    case 8: return 0
    case 13: return 14
    case 14: return 13
    case 15: return 16
    case 16: return 15
    case 17: return 18
    case 18: return 17
    default: return type
    }
  }

  /// Whether a packet of this tuple may begin a connection, if it is ICMP: a question.
  var isICMPRequest: Bool {
    if isIPv6 { return icmpType == 128 }
    return icmpType == 8 || icmpType == 13 || icmpType == 15 || icmpType == 17
  }
}
