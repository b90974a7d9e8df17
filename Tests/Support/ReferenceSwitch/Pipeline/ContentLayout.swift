// Where the fields of what lies below tags and labels are in its bytes, for the naive pipeline. Thread: a value; any.

import VSwitchCore

/// Offsets into the content of a packet.
struct ContentLayout {
  private(set) var type: UInt16 = 0
  /// Of TCP, UDP, SCTP or ICMP.
  private var transport: Int?
  private var transportProtocol: UInt8 = 0
  private var fragment: UInt8 = 0
  /// Where the IP packet ends.
  private var end = 0
  private var sourceLinkLayer: Int?
  private var targetLinkLayer: Int?
  private var hasTarget = false

  /// - Parameter type: EtherType; what contradicts it has no fields.
  init(_ type: UInt16, _ bytes: [UInt8]) {
    switch type {
    case 0x0800: readIPv4(bytes)
    case 0x86dd: readIPv6(bytes)
    case 0x0806, 0x8035:
      if bytes.count >= 28, Array(bytes[..<6]) == [0, 1, 8, 0, 6, 4] { self.type = 0x0806 }
    default: break
    }
  }

  private mutating func readIPv4(_ bytes: [UInt8]) {
    guard bytes.count >= 20, bytes[0] >> 4 == 4 else { return }
    let headerByteCount = Int(bytes[0] & 15) * 4
    let total = Int(number(bytes, 2, 2))
    guard headerByteCount >= 20, headerByteCount <= bytes.count,
      total == 0 || (headerByteCount...bytes.count).contains(total)
    else { return }
    type = 0x0800
    end = total == 0 ? bytes.count : total
    let field = number(bytes, 6, 2)
    fragment = field & 0x1fff != 0 ? 3 : field & 0x2000 != 0 ? 1 : 0
    readTransport(bytes, bytes[9], at: headerByteCount)
  }

  private mutating func readIPv6(_ bytes: [UInt8]) {
    guard bytes.count >= 40, bytes[0] >> 4 == 6 else { return }
    let length = Int(number(bytes, 4, 2))
    guard length <= bytes.count - 40 else { return }
    type = 0x86dd
    end = length == 0 ? bytes.count : 40 + length
    // No other extension header is made by these tests.
    guard bytes[6] == 44, end >= 48 else {
      readTransport(bytes, bytes[6], at: 40)
      return
    }
    let field = number(bytes, 42, 2)
    fragment = field & 0xfff8 != 0 ? 3 : field & 1 != 0 ? 1 : 0
    readTransport(bytes, bytes[40], at: 48)
  }

  private mutating func readTransport(_ bytes: [UInt8], _ number: UInt8, at offset: Int) {
    transportProtocol = number
    let needed: [UInt8: Int] = [6: 20, 17: 8, 132: 12, type == 0x0800 ? 1 : 58: 4]
    guard fragment & 2 == 0, let needed = needed[number], end - offset >= needed else { return }
    transport = offset
    guard number == 58, bytes[offset] == 135 || bytes[offset] == 136, bytes[offset + 1] == 0, end - offset >= 24 else {
      return
    }
    hasTarget = true
    if end - offset >= 32, bytes[offset + 25] == 1 {
      if bytes[offset + 24] == 1 { sourceLinkLayer = offset + 26 }
      if bytes[offset + 24] == 2 { targetLinkLayer = offset + 26 }
    }
  }

  private func number(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> UInt128 {
    bytes[offset..<offset + count].reduce(0) { $0 << 8 | UInt128($1) }
  }

  // MARK: fields

  /// Places of whole bytes.
  private var places: [(Field, offset: Int, byteCount: Int)] {
    var places: [(Field, Int, Int)] = []
    switch type {
    case 0x0800: places = [(.ipv4Source, 12, 4), (.ipv4Destination, 16, 4), (.ipTTL, 8, 1)]
    case 0x86dd: places = [(.ipv6Source, 8, 16), (.ipv6Destination, 24, 16), (.ipTTL, 7, 1)]
    case 0x0806:
      places = [
        (.arpOperation, 6, 2), (.arpSenderHardware, 8, 6), (.arpSenderAddress, 14, 4), (.arpTargetHardware, 18, 6),
        (.arpTargetAddress, 24, 4),
      ]
    default: break
    }
    guard let transport else { return places }
    switch transportProtocol {
    case 1: places += [(.icmpType, transport, 1), (.icmpCode, transport + 1, 1)]
    case 58: places += [(.icmpv6Type, transport, 1), (.icmpv6Code, transport + 1, 1)]
    default: places += [(.tcpSource, transport, 2), (.tcpDestination, transport + 2, 2)]
    }
    if hasTarget { places.append((.ndTarget, transport + 8, 16)) }
    if let sourceLinkLayer { places.append((.ndSourceLinkLayer, sourceLinkLayer, 6)) }
    if let targetLinkLayer { places.append((.ndTargetLinkLayer, targetLinkLayer, 6)) }
    return places
  }

  func fields(_ bytes: [UInt8]) -> FlowKey {
    var key = FlowKey()
    for (field, offset, byteCount) in places { key[field] = number(bytes, offset, byteCount) }
    guard type != 0x0806, type != 0 else { return key }
    key.ipProtocol = transportProtocol
    key.ipFragment = fragment
    if type == 0x0800 {
      key.ipTOS = bytes[1]
    } else {
      let first = number(bytes, 0, 4)
      key.ipTOS = UInt8(first >> 20 & 0xff)
      key[.ipv6Label] = first & 0xfffff
    }
    if transportProtocol == 6, let transport { key.tcpFlags = UInt16(number(bytes, transport + 12, 2) & 0xfff) }
    return key
  }

  /// The bytes with the fields of a key, and with right checksums.
  func writing(_ key: FlowKey, to original: [UInt8]) -> [UInt8] {
    guard type != 0 else { return original }
    var bytes = original
    func put(_ value: UInt128, _ offset: Int, _ count: Int) {
      bytes.replaceSubrange(offset..<offset + count, with: PipelinePacket.octets(value, count))
    }
    for (field, offset, byteCount) in places { put(key[field], offset, byteCount) }
    guard type != 0x0806 else { return bytes }
    if type == 0x0800 {
      bytes[1] = key.ipTOS
      put(0, 10, 2)
      put(UInt128(~sum(bytes[..<(Int(bytes[0] & 15) * 4)])), 10, 2)
    } else {
      put(6 << 28 | UInt128(key.ipTOS) << 20 | key[.ipv6Label], 0, 4)
    }
    guard let transport else { return bytes }
    if transportProtocol == 6 {
      put(UInt128(bytes[transport + 12] & 0xf0) << 8 | UInt128(key.tcpFlags), transport + 12, 2)
    }
    if transportProtocol == 132 {
      put(0, transport + 8, 4)
      bytes.replaceSubrange(transport + 8..<transport + 12, with: crc32c(bytes[transport..<end]))
      return bytes
    }
    let field = transport + [6: 16, 17: 6, 1: 2, 58: 2][transportProtocol, default: 2]
    put(0, field, 2)
    var covered = Array(bytes[transport..<end])
    if transportProtocol != 1 {
      covered += type == 0x0800 ? bytes[12..<20] : bytes[8..<40]
      if covered.count % 2 != 0 { covered.insert(0, at: end - transport) }
      covered += [0, transportProtocol] + PipelinePacket.octets(UInt128(end - transport), 4)
    }
    let checksum = ~sum(covered[...])
    put(UInt128(transportProtocol == 17 && checksum == 0 ? 0xffff : checksum), field, 2)
    return bytes
  }

  private func sum(_ bytes: ArraySlice<UInt8>) -> UInt16 {
    var sum = 0
    for (index, byte) in bytes.enumerated() { sum += index % 2 == 0 ? Int(byte) << 8 : Int(byte) }
    while sum > 0xffff { sum = sum & 0xffff + sum >> 16 }
    return UInt16(sum)
  }

  /// RFC 9260 appendix A, as it is sent.
  private func crc32c(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
    var remainder: UInt32 = .max
    for byte in bytes {
      remainder ^= UInt32(byte)
      for _ in 0..<8 { remainder = remainder & 1 == 0 ? remainder >> 1 : remainder >> 1 ^ 0x82f6_3b78 }
    }
    return PipelinePacket.octets(UInt128((~remainder).byteSwapped), 4)
  }
}
