// What a punted frame says, read with bounds. Pure; any bytes give nil or values. Standards: RFC 826, RFC 791, RFC 8200, RFC 4861.

/// Reads big-endian numbers of bytes that may be too few.
public struct PacketBytes: Sendable {
  public let bytes: ArraySlice<UInt8>

  public init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }

  public var count: Int { bytes.count }

  /// Nil past the end.
  public func byte(_ offset: Int) -> UInt8? {
    guard offset >= 0, offset < bytes.count else { return nil }
    return bytes[bytes.startIndex + offset]
  }

  public func word(_ offset: Int) -> UInt16? {
    guard let high = byte(offset), let low = byte(offset + 1) else { return nil }
    return UInt16(high) << 8 | UInt16(low)
  }

  public func long(_ offset: Int) -> UInt32? {
    guard let high = word(offset), let low = word(offset + 2) else { return nil }
    return UInt32(high) << 16 | UInt32(low)
  }

  public func mac(_ offset: Int) -> MACAddress? {
    guard let high = word(offset), let low = long(offset + 2) else { return nil }
    return MACAddress(bits: UInt64(high) << 32 | UInt64(low))
  }

  public func address(_ offset: Int, isIPv6: Bool) -> IPAddress? {
    guard let first = long(offset) else { return nil }
    guard isIPv6 else { return IPAddress(ipv4: first) }
    guard let second = long(offset + 4), let third = long(offset + 8), let last = long(offset + 12) else { return nil }
    return IPAddress(
      ipv6: UInt128(first) << 96 | UInt128(second) << 64 | UInt128(third) << 32 | UInt128(last))
  }

  /// The bytes from an offset on; none if it is past the end.
  public func from(_ offset: Int) -> ArraySlice<UInt8> { bytes.dropFirst(max(offset, 0)) }
}

/// An ARP message for Ethernet and IPv4.
public struct ARPMessage: Equatable, Sendable {
  public var operation: UInt16
  public var senderHardware: MACAddress
  public var sender: IPAddress
  public var target: IPAddress

  /// - Parameter frame: untagged.
  public init?(frame: [UInt8]) {
    let reader = PacketBytes(frame[...])
    guard reader.word(12) == 0x0806, reader.word(14) == 1, reader.word(16) == 0x0800, reader.word(18) == 0x0604,
      let operation = reader.word(20), let hardware = reader.mac(22), let sender = reader.address(28, isIPv6: false),
      let target = reader.address(38, isIPv6: false)
    else { return nil }
    self.operation = operation
    senderHardware = hardware
    self.sender = sender
    self.target = target
  }
}

/// An IP packet of a frame.
public struct IPPacketView: Sendable {
  /// From the IP header to the end that the header says.
  public let packet: ArraySlice<UInt8>
  public let source: IPAddress
  public let destination: IPAddress
  public let hopLimit: UInt8
  /// Behind extension headers.
  public let ipProtocol: UInt8
  /// Of what follows all headers.
  public let payloadOffset: Int
  public let isLaterFragment: Bool
  /// IPv4's flag; of IPv6 always.
  public let mayNotBeFragmented: Bool

  public var isIPv6: Bool { source.isIPv6 }
  public var payload: PacketBytes { PacketBytes(packet.dropFirst(payloadOffset)) }

  /// - Parameter frame: untagged.
  public init?(frame: [UInt8]) {
    let reader = PacketBytes(frame[...])
    switch reader.word(12) {
    case 0x0800: self.init(ipv4: frame.dropFirst(14))
    case 0x86dd: self.init(ipv6: frame.dropFirst(14))
    default: return nil
    }
  }

  public init?(ipv4 bytes: ArraySlice<UInt8>) {
    let reader = PacketBytes(bytes)
    guard let first = reader.byte(0), first >> 4 == 4, let length = reader.word(2), let fragment = reader.word(6),
      let hopLimit = reader.byte(8), let ipProtocol = reader.byte(9), let source = reader.address(12, isIPv6: false),
      let destination = reader.address(16, isIPv6: false)
    else { return nil }
    let headerByteCount = Int(first & 0xf) * 4
    guard headerByteCount >= 20, Int(length) >= headerByteCount, headerByteCount <= bytes.count else { return nil }
    packet = bytes.prefix(Int(length))
    self.source = source
    self.destination = destination
    self.hopLimit = hopLimit
    self.ipProtocol = ipProtocol
    payloadOffset = headerByteCount
    isLaterFragment = fragment & 0x1fff != 0
    mayNotBeFragmented = fragment & 0x4000 != 0
  }

  public init?(ipv6 bytes: ArraySlice<UInt8>) {
    let reader = PacketBytes(bytes)
    guard let first = reader.byte(0), first >> 4 == 6, let length = reader.word(4), var next = reader.byte(6),
      let hopLimit = reader.byte(7), let source = reader.address(8, isIPv6: true),
      let destination = reader.address(24, isIPv6: true)
    else { return nil }
    var offset = 40
    var isLater = false
    // As many extension headers as the switch's parser goes through at most.
    for _ in 0..<8 {
      guard let following = reader.byte(offset), let size = reader.byte(offset + 1) else { break }
      switch next {
      case 0, 43, 60: offset += 8 + 8 * Int(size)
      case 51: offset += 8 + 4 * Int(size)
      case 44:
        isLater = (reader.word(offset + 2) ?? 0) & 0xfff8 != 0
        offset += 8
      default: break
      }
      guard [0, 43, 44, 51, 60].contains(next) else { break }
      next = following
      if isLater { break }
    }
    packet = bytes.prefix(40 + Int(length))
    self.source = source
    self.destination = destination
    self.hopLimit = hopLimit
    ipProtocol = next
    payloadOffset = min(offset, packet.count)
    isLaterFragment = isLater
    mayNotBeFragmented = true
  }
}

/// A message of neighbour discovery (RFC 4861 §4), with a right checksum and a hop limit of 255.
public struct NeighbourMessage: Sendable {
  /// 133 router solicitation, 135 neighbour solicitation, 136 neighbour advertisement.
  public var type: UInt8
  public var source: IPAddress
  public var destination: IPAddress
  /// Of solicitations and advertisements.
  public var target: IPAddress
  public var isSolicited: Bool
  public var overrides: Bool
  /// Of the source link-layer address option of solicitations, the target's of advertisements.
  public var linkLayer: MACAddress?

  public init?(frame: [UInt8]) {
    guard let packet = IPPacketView(frame: frame), packet.isIPv6, packet.ipProtocol == 58, packet.hopLimit == 255,
      !packet.isLaterFragment, packet.payloadOffset == 40
    else { return nil }
    let message = packet.payload
    guard let type = message.byte(0), message.byte(1) == 0, [133, 135, 136].contains(type) else { return nil }
    guard NeighbourMessage.hasRightChecksum(packet) else { return nil }
    self.type = type
    source = packet.source
    destination = packet.destination
    var offset = 8
    target = IPAddress(ipv6: 0)
    if type != 133 {
      guard let address = message.address(8, isIPv6: true), !address.isMulticast else { return nil }
      target = address
      offset = 24
    }
    isSolicited = (message.byte(4) ?? 0) & 0x40 != 0
    overrides = (message.byte(4) ?? 0) & 0x20 != 0
    // Options: the first of the kind that is wanted; one of length 0 makes the message void (RFC 4861 §4.6).
    while offset < message.count {
      guard let kind = message.byte(offset), let size = message.byte(offset + 1), size > 0,
        offset + 8 * Int(size) <= message.count
      else { return nil }
      if kind == (type == 136 ? 2 : 1), size == 1, linkLayer == nil { linkLayer = message.mac(offset + 2) }
      offset += 8 * Int(size)
    }
    if let linkLayer, linkLayer.isMulticast || linkLayer.bits == 0 { return nil }
  }

  private static func hasRightChecksum(_ packet: IPPacketView) -> Bool {
    var sum = InternetChecksum()
    sum.add(packet.source.octets + packet.destination.octets)
    sum.add(UInt16(58))
    sum.add(UInt32(truncatingIfNeeded: packet.payload.count))
    sum.add(Array(packet.payload.bytes))
    return sum.value == 0
  }
}
