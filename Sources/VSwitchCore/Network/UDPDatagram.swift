// UDP datagrams in Ethernet frames, both ways, for services of the switch (RFC 768, 791, 894, 2464, 8200). Pure values; any
// thread. Invariant: any bytes are read within their bounds or refused. What comes in has no VLAN tag and is no fragment:
// routers get it so.

/// A UDP datagram with the addresses of its frame.
package struct UDPDatagram: Equatable, Sendable {
  package var sourceMAC: MACAddress
  package var destinationMAC: MACAddress
  package var source: IPAddress
  package var destination: IPAddress
  package var sourcePort: UInt16
  package var destinationPort: UInt16
  package var payload: [UInt8]
  /// It stands for a message of a TCP connection (`DNSStreams`): these may be long, and are never sent as they are.
  package var isOfStream = false

  package init(
    sourceMAC: MACAddress, destinationMAC: MACAddress, source: IPAddress, destination: IPAddress, sourcePort: UInt16,
    destinationPort: UInt16, payload: [UInt8]
  ) {
    self.sourceMAC = sourceMAC
    self.destinationMAC = destinationMAC
    self.source = source
    self.destination = destination
    self.sourcePort = sourcePort
    self.destinationPort = destinationPort
    self.payload = payload
  }

  /// Reads an Ethernet frame; nil for anything but a whole UDP datagram with right checksums.
  package init?(frame: [UInt8]) {
    var reader = ByteReader(frame)
    guard let destinationMAC = reader.mac(), let sourceMAC = reader.mac(), let etherType = reader.uint16() else {
      return nil
    }
    let isIPv6 = etherType == 0x86dd
    guard isIPv6 || etherType == 0x0800, let packet = reader.take(reader.remaining),
      let (source, destination, transport) = isIPv6 ? Self.ipv6(packet) : Self.ipv4(packet)
    else { return nil }
    var header = ByteReader(transport)
    guard let sourcePort = header.uint16(), let destinationPort = header.uint16(), let length = header.uint16(),
      let checksum = header.uint16(), length >= 8, Int(length) <= transport.count,
      let payload = header.take(Int(length) - 8)
    else { return nil }
    // IPv4 may leave it out (RFC 768), IPv6 may not (RFC 8200 §8.1).
    guard !isIPv6 || checksum != 0 else { return nil }
    if checksum != 0 {
      guard Self.checksum(Array(transport[..<Int(length)]), from: source, to: destination) == 0 else { return nil }
    }
    self.init(
      sourceMAC: sourceMAC, destinationMAC: destinationMAC, source: source, destination: destination,
      sourcePort: sourcePort, destinationPort: destinationPort, payload: payload)
  }

  private static func ipv4(_ packet: [UInt8]) -> (IPAddress, IPAddress, [UInt8])? {
    guard packet.count >= 20, packet[0] >> 4 == 4 else { return nil }
    let headerCount = Int(packet[0] & 0xf) * 4
    let count = Int(packet[2]) << 8 | Int(packet[3])
    let isFragment = (packet[6] & 0x3f) | packet[7] != 0
    guard headerCount >= 20, count >= headerCount, count <= packet.count, !isFragment, packet[9] == 17,
      InternetChecksum(Array(packet[..<headerCount])).value == 0
    else { return nil }
    var addresses = ByteReader(packet, at: 12)
    guard let source = addresses.uint32(), let destination = addresses.uint32() else { return nil }
    return (IPAddress(ipv4: source), IPAddress(ipv4: destination), Array(packet[headerCount..<count]))
  }

  private static func ipv6(_ packet: [UInt8]) -> (IPAddress, IPAddress, [UInt8])? {
    guard packet.count >= 40, packet[0] >> 4 == 6, packet[6] == 17 else { return nil }
    let count = Int(packet[4]) << 8 | Int(packet[5])
    guard count <= packet.count - 40 else { return nil }
    func address(_ start: Int) -> IPAddress {
      IPAddress(ipv6: packet[start..<(start + 16)].reduce(0) { $0 << 8 | UInt128($1) })
    }
    return (address(8), address(24), Array(packet[40..<(40 + count)]))
  }

  /// The frame; the payload is cut to what a datagram can hold, which no caller has to fear: messages have limits below.
  package var frame: [UInt8] {
    let payload = payload.prefix(65_000)
    var transport = sourcePort.networkOrder + destinationPort.networkOrder
    transport += UInt16(8 + payload.count).networkOrder + [0, 0] + payload
    let checksum = Self.checksum(transport, from: source, to: destination)
    transport.replaceSubrange(6..<8, with: (checksum == 0 ? 0xffff : checksum).networkOrder)
    let addresses = destinationMAC.octets + sourceMAC.octets
    if source.isIPv6 {
      let header =
        [0x60, 0, 0, 0] + UInt16(transport.count).networkOrder + [17, 64] + source.octets + destination.octets
      return addresses + [0x86, 0xdd] + header + transport
    }
    var header: [UInt8] = [0x45, 0] + UInt16(20 + transport.count).networkOrder + [0, 0, 0, 0, 64, 17, 0, 0]
    header += source.octets + destination.octets
    header.replaceSubrange(10..<12, with: InternetChecksum(header).value.networkOrder)
    return addresses + [0x08, 0x00] + header + transport
  }

  /// The datagram with which this one is answered.
  package func reply(_ payload: [UInt8]) -> UDPDatagram {
    var answer = UDPDatagram(
      sourceMAC: destinationMAC, destinationMAC: sourceMAC, source: destination, destination: source,
      sourcePort: destinationPort, destinationPort: sourcePort, payload: payload)
    answer.isOfStream = isOfStream
    return answer
  }

  private static func checksum(_ transport: [UInt8], from source: IPAddress, to destination: IPAddress) -> UInt16 {
    let pseudoHeader = source.octets + destination.octets + UInt32(transport.count).networkOrder + [0, 0, 0, 17]
    return InternetChecksum(pseudoHeader + transport).value
  }
}

extension InternetChecksum {
  /// Over bytes that begin at an even place.
  init(_ bytes: [UInt8]) {
    self.init()
    unsafe bytes.withUnsafeBytes { unsafe add($0) }
  }
}

extension ByteReader {
  mutating func mac() -> MACAddress? {
    guard remaining >= 6, let high = uint16(), let low = uint32() else { return nil }
    return MACAddress(bits: UInt64(high) << 32 | UInt64(low))
  }
}
