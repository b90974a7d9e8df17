// IP packets cut into fragments (RFC 791 §3.2, RFC 8200 §4.5), and what fragments make together.

extension FrameBuilder {
  /// Cuts an IP packet without options or extension headers into fragments.
  /// - Parameter size: bytes of the packet's payload in each but the last, a multiple of 8.
  package static func fragments(_ packet: [UInt8], id: UInt16, size: Int) -> [[UInt8]] {
    let isIPv6 = packet[0] >> 4 == 6
    let header = Array(packet[..<(isIPv6 ? 40 : 20)])
    let payload = Array(packet[header.count...])
    return stride(from: 0, to: payload.count, by: size).map { start in
      let part = Array(payload[start..<min(start + size, payload.count)])
      let isLast = start + size >= payload.count
      var own = header
      if isIPv6 {
        own.replaceSubrange(4..<6, with: UInt16(8 + part.count).octets)
        own[6] = 44
        return own + [header[6], 0] + (UInt16(start) | (isLast ? 0 : 1)).octets + [0, 0] + id.octets + part
      }
      own.replaceSubrange(2..<4, with: UInt16(20 + part.count).octets)
      own.replaceSubrange(4..<6, with: id.octets)
      own.replaceSubrange(6..<8, with: (UInt16(start / 8) | (isLast ? 0 : 0x2000)).octets)
      own.replaceSubrange(10..<12, with: [0, 0])
      own.replaceSubrange(10..<12, with: checksum(own).octets)
      return own + part
    }
  }

  /// The payload that fragments of one datagram make, in whatever order.
  package static func payload(ofFragments fragments: [[UInt8]]) -> [UInt8] {
    let parts = fragments.map { fragment -> (start: Int, bytes: [UInt8]) in
      fragment[0] >> 4 == 6
        ? (Int(fragment[42]) << 8 | Int(fragment[43] & 0xf8), Array(fragment[48...]))
        : ((Int(fragment[6] & 0x1f) << 8 | Int(fragment[7])) * 8, Array(fragment[20...]))
    }
    return parts.sorted { $0.start < $1.start }.flatMap(\.bytes)
  }
}
