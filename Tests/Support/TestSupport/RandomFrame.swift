// Random frames of every kind that the flow key knows, well formed and with right checksums. Thread: values; any.

package enum RandomFrame {
  /// A frame: untagged or with up to two tags; ARP, IPv4, IPv6, MPLS or something else; TCP, UDP, ICMP or none.
  package static func make(using random: inout SeededGenerator) -> [UInt8] {
    let tags = (0..<Int(random.next() % 3)).map { _ in
      FrameTag(
        UInt16(random.next() % 4096), priority: UInt8(random.next() % 8),
        etherType: random.next() % 2 == 0 ? 0x8100 : 0x88a8)
    }
    let destination = FrameBuilder.address(UInt32(random.next() % 8))
    let source = FrameBuilder.address(UInt32(random.next() % 8))
    let (etherType, payload) = self.payload(from: source, using: &random)
    return FrameBuilder.ethernet(to: destination, from: source, tags: tags, etherType: etherType, payload)
  }

  private static func payload(from source: [UInt8], using random: inout SeededGenerator) -> (UInt16, [UInt8]) {
    switch random.next() % 8 {
    case 0:
      let body: [UInt8] = [0, 1, 8, 0, 6, 4, 0, UInt8(1 + random.next() % 2)]
      return (0x0806, body + source + ipv4Address(&random) + FrameBuilder.address(9) + ipv4Address(&random))
    case 1:
      let label = UInt32(truncatingIfNeeded: random.next())
      return (0x8847, label.octets + random.bytes(20))
    case 2: return (0x88cc, random.bytes(Int(random.next() % 40)))
    case 3, 4, 5:
      let from = ipv4Address(&random)
      let to = ipv4Address(&random)
      let (number, transport) = self.transport(from: from, to: to, using: &random)
      return (0x0800, FrameBuilder.ipv4(from: from, to: to, protocol: number, transport))
    default:
      let from = random.bytes(16)
      let to = random.bytes(16)
      let (number, transport) = self.transport(from: from, to: to, using: &random)
      // Sometimes behind a header of destination options.
      if random.next() % 4 == 0 {
        return (
          0x86dd, FrameBuilder.ipv6(from: from, to: to, nextHeader: 60, [number, 0, 1, 4, 0, 0, 0, 0] + transport)
        )
      }
      return (0x86dd, FrameBuilder.ipv6(from: from, to: to, nextHeader: number, transport))
    }
  }

  private static func ipv4Address(_ random: inout SeededGenerator) -> [UInt8] {
    [10, 0, UInt8(random.next() % 4), UInt8(random.next() % 4)]
  }

  private static func transport(
    from source: [UInt8], to destination: [UInt8], using random: inout SeededGenerator
  ) -> (UInt8, [UInt8]) {
    let ports = (UInt16(1 + random.next() % 100), UInt16(1 + random.next() % 100))
    let data = random.bytes(Int(random.next() % 30))
    switch random.next() % 4 {
    case 0:
      return (
        6,
        FrameBuilder.tcp(
          from: source, to: destination, sourcePort: ports.0, destinationPort: ports.1,
          flags: UInt8(truncatingIfNeeded: random.next()), data)
      )
    case 1:
      return (
        17, FrameBuilder.udp(from: source, to: destination, sourcePort: ports.0, destinationPort: ports.1, data)
      )
    case 2:
      var message: [UInt8] = [8, 0, 0, 0, 0, 1, 0, 1] + data
      if source.count == 4 {
        message.replaceSubrange(2..<4, with: FrameBuilder.checksum(message).octets)
        return (1, message)
      }
      // A neighbour solicitation with the sender's link-layer address.
      message = [135, 0, 0, 0, 0, 0, 0, 0] + destination + [1, 1] + FrameBuilder.address(5)
      message.replaceSubrange(
        2..<4, with: FrameBuilder.transportChecksum(message, from: source, to: destination, protocol: 58).octets)
      return (58, message)
    default: return (UInt8(200 + random.next() % 50), data)
    }
  }
}
