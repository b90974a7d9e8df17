// Frames that the switch itself sends: made whole, with their checksums. Pure; control code's, so that they are plain arrays.
// Standards: RFC 826 (ARP), RFC 791, RFC 8200 (IP), RFC 9293 (TCP), RFC 792, RFC 4443 (ICMP).

public enum NetworkFrame {
  public static func ethernet(
    to destination: MACAddress, from source: MACAddress, _ etherType: UInt16, _ payload: [UInt8]
  ) -> [UInt8] {
    destination.octets + source.octets + bytes(etherType) + payload
  }

  /// - Parameters:
  ///   - operation: 1 request, 2 reply.
  ///   - hardwareTarget: nil where it is what is asked for.
  ///   - destination: of the frame.
  public static func arp(
    _ operation: UInt16, sender: (MACAddress, IPAddress), target: IPAddress, hardwareTarget: MACAddress? = nil,
    to destination: MACAddress
  ) -> [UInt8] {
    var payload: [UInt8] = [0, 1, 8, 0, 6, 4]
    payload += bytes(operation)
    payload += sender.0.octets
    payload += sender.1.octets
    payload += (hardwareTarget ?? MACAddress(bits: 0)).octets
    payload += target.octets
    return ethernet(to: destination, from: sender.0, 0x0806, payload)
  }

  /// An IP packet without options or extension headers, not to be fragmented.
  public static func ip(
    from source: IPAddress, to destination: IPAddress, _ ipProtocol: UInt8, hopLimit: UInt8 = 64, _ payload: [UInt8]
  ) -> [UInt8] {
    if source.isIPv6 {
      var packet: [UInt8] = [0x60, 0, 0, 0]
      packet += bytes(UInt16(truncatingIfNeeded: payload.count))
      packet += [ipProtocol, hopLimit]
      return packet + source.octets + destination.octets + payload
    }
    var header: [UInt8] = [0x45, 0]
    header += bytes(UInt16(truncatingIfNeeded: payload.count + 20))
    header += [0, 0, 0x40, 0, hopLimit, ipProtocol, 0, 0]
    header += source.octets + destination.octets
    store(checksum(header), &header, at: 10)
    return header + payload
  }

  public static func icmp(_ type: UInt8, code: UInt8, _ body: [UInt8]) -> [UInt8] {
    var message = [type, code, 0, 0] + body
    store(checksum(message), &message, at: 2)
    return message
  }

  /// - Parameter body: what follows the checksum.
  public static func icmpv6(
    _ type: UInt8, code: UInt8, _ body: [UInt8], from source: IPAddress, to destination: IPAddress
  ) -> [UInt8] {
    var message = [type, code, 0, 0] + body
    store(transportChecksum(message, 58, from: source, to: destination).value, &message, at: 2)
    return message
  }

  /// A TCP segment.
  /// - Parameter options: a multiple of 4 bytes, 40 at most.
  public static func tcp(
    from source: (IPAddress, UInt16), to destination: (IPAddress, UInt16), sequence: UInt32, acknowledgement: UInt32,
    flags: UInt8, window: UInt16 = 0, options: [UInt8] = [], _ data: [UInt8] = []
  ) -> [UInt8] {
    var segment = bytes(source.1) + bytes(destination.1) + bytes(sequence) + bytes(acknowledgement)
    segment += [UInt8(truncatingIfNeeded: 20 + options.count) << 2, flags]
    segment += bytes(window)
    segment += [0, 0, 0, 0] + options + data
    store(transportChecksum(segment, 6, from: source.0, to: destination.0).value, &segment, at: 16)
    return segment
  }

  // MARK: parts

  public static func bytes(_ word: UInt16) -> [UInt8] { [UInt8(word >> 8), UInt8(truncatingIfNeeded: word)] }

  public static func bytes(_ word: UInt32) -> [UInt8] {
    bytes(UInt16(truncatingIfNeeded: word >> 16)) + bytes(UInt16(truncatingIfNeeded: word))
  }

  public static func checksum(_ bytes: [UInt8]) -> UInt16 {
    var sum = InternetChecksum()
    sum.add(bytes)
    return sum.value
  }

  private static func transportChecksum(
    _ message: [UInt8], _ ipProtocol: UInt8, from source: IPAddress, to destination: IPAddress
  ) -> InternetChecksum {
    var sum = InternetChecksum()
    // The pseudo headers of both versions have the same sum where lengths fit 16 bits.
    sum.add(source.octets + destination.octets)
    sum.add(UInt16(ipProtocol))
    sum.add(UInt32(truncatingIfNeeded: message.count))
    sum.add(message)
    return sum
  }

  static func store(_ word: UInt16, _ message: inout [UInt8], at offset: Int) {
    message[offset] = UInt8(word >> 8)
    message[offset + 1] = UInt8(truncatingIfNeeded: word)
  }
}
