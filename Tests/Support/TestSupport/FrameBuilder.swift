// Frames for tests, byte by byte and with right checksums. Thread: values; any. All numbers in host order.
// Standards: IEEE 802.3, 802.1Q; RFC 826 (ARP), 791 (IPv4), 8200 (IPv6), 768 (UDP), 9293 (TCP), 1071 (checksum).

/// A VLAN tag for `ethernet(…)`.
package struct FrameTag: Equatable, Sendable {
  package var etherType: UInt16
  package var priority: UInt8
  package var vlan: UInt16

  package init(_ vlan: UInt16, priority: UInt8 = 0, etherType: UInt16 = 0x8100) {
    self.etherType = etherType
    self.priority = priority
    self.vlan = vlan
  }

  package var bytes: [UInt8] { etherType.octets + (UInt16(priority) << 13 | vlan).octets }
}

extension FixedWidthInteger {
  /// Big-endian bytes.
  package var octets: [UInt8] {
    stride(from: Self.bitWidth - 8, through: 0, by: -8).map { UInt8(truncatingIfNeeded: self >> $0) }
  }
}

/// Builds frames.
package enum FrameBuilder {
  package static let broadcast: [UInt8] = [255, 255, 255, 255, 255, 255]

  /// A locally administered address that ends in `number`.
  package static func address(_ number: UInt32) -> [UInt8] { [2, 0] + number.octets }

  package static func ethernet(
    to destination: [UInt8], from source: [UInt8], tags: [FrameTag] = [], etherType: UInt16, _ payload: [UInt8]
  ) -> [UInt8] {
    destination + source + tags.flatMap(\.bytes) + etherType.octets + payload
  }

  /// Sender asks who has `target`.
  package static func arpRequest(
    from source: [UInt8], senderIPv4: [UInt8], targetIPv4: [UInt8], tags: [FrameTag] = []
  ) -> [UInt8] {
    let body = [0, 1, 8, 0, 6, 4, 0, 1] + source + senderIPv4 + [0, 0, 0, 0, 0, 0] + targetIPv4
    return ethernet(to: broadcast, from: source, tags: tags, etherType: 0x0806, body)
  }

  /// An IPv4 packet without options.
  package static func ipv4(
    from source: [UInt8], to destination: [UInt8], protocol number: UInt8, identification: UInt16 = 0,
    _ payload: [UInt8]
  ) -> [UInt8] {
    var header: [UInt8] = [0x45, 0] + UInt16(20 + payload.count).octets + identification.octets
    header += [0x40, 0, 64, number, 0, 0] + source + destination
    header.replaceSubrange(10..<12, with: checksum(header).octets)
    return header + payload
  }

  package static func ipv6(
    from source: [UInt8], to destination: [UInt8], nextHeader: UInt8, _ payload: [UInt8]
  ) -> [UInt8] {
    [0x60, 0, 0, 0] + UInt16(payload.count).octets + [nextHeader, 64] + source + destination + payload
  }

  /// A UDP datagram whose checksum covers the pseudo header of the addresses (4 or 16 bytes each).
  package static func udp(
    from source: [UInt8], to destination: [UInt8], sourcePort: UInt16, destinationPort: UInt16, _ payload: [UInt8]
  ) -> [UInt8] {
    var datagram = sourcePort.octets + destinationPort.octets + UInt16(8 + payload.count).octets + [0, 0] + payload
    let sum = checksum(pseudoHeader(source, destination, 17, datagram.count) + datagram)
    datagram.replaceSubrange(6..<8, with: (sum == 0 ? 0xffff : sum).octets)
    return datagram
  }

  /// A TCP segment without options.
  package static func tcp(
    from source: [UInt8], to destination: [UInt8], sourcePort: UInt16, destinationPort: UInt16,
    sequence: UInt32 = 1, acknowledgement: UInt32 = 1, flags: UInt8 = 0x18, _ payload: [UInt8]
  ) -> [UInt8] {
    var segment = sourcePort.octets + destinationPort.octets + sequence.octets + acknowledgement.octets
    segment += [0x50, flags, 0xff, 0xff, 0, 0, 0, 0] + payload
    let sum = checksum(pseudoHeader(source, destination, 6, segment.count) + segment)
    segment.replaceSubrange(16..<18, with: sum.octets)
    return segment
  }

  /// Whether a UDP datagram or TCP segment holds the checksum of itself and its pseudo header.
  package static func hasRightChecksum(
    _ transport: [UInt8], from source: [UInt8], to destination: [UInt8], protocol number: UInt8
  ) -> Bool {
    transportChecksum(transport, from: source, to: destination, protocol: number) == 0
  }

  /// The checksum over a transport header with payload and its pseudo header.
  package static func transportChecksum(
    _ transport: [UInt8], from source: [UInt8], to destination: [UInt8], protocol number: UInt8
  ) -> UInt16 {
    checksum(pseudoHeader(source, destination, number, transport.count) + transport)
  }

  private static func pseudoHeader(
    _ source: [UInt8], _ destination: [UInt8], _ number: UInt8, _ byteCount: Int
  ) -> [UInt8] {
    source.count == 4
      ? source + destination + [0, number] + UInt16(byteCount).octets
      : source + destination + UInt32(byteCount).octets + [0, 0, 0, number]
  }

  /// The Internet checksum of RFC 1071 over bytes.
  package static func checksum(_ bytes: [UInt8]) -> UInt16 {
    var sum: UInt64 = 0
    for (index, byte) in bytes.enumerated() { sum += index % 2 == 0 ? UInt64(byte) << 8 : UInt64(byte) }
    while sum > 0xffff { sum = sum & 0xffff + sum >> 16 }
    return ~UInt16(sum)
  }
}
