// Who is where in the comparison with Linux, for IPv4 and for IPv6, and the packets that they send.

import TestSupport

/// Hosts inside and outside of a router that translates, all of one family.
struct TranslationPlan: Sendable {
  let isIPv6: Bool
  let client: [UInt8]
  /// A neighbour of the client's, which port 8080 of the outer address leads to.
  let second: [UInt8]
  /// The router's address inside.
  let gateway: [UInt8]
  let outside: [UInt8]
  let server: [UInt8]
  /// Another host outside.
  let other: [UInt8]

  static let ipv4 = TranslationPlan(
    isIPv6: false, client: [10, 0, 0, 1], second: [10, 0, 0, 2], gateway: [10, 0, 0, 254],
    outside: [198, 51, 100, 7], server: [192, 0, 2, 80], other: [203, 0, 113, 1])

  /// fd00::1 and its neighbours inside, 2001:db8:3::7 outside, 2001:db8:1::80 and 2001:db8:2::1 further out.
  static let ipv6 = TranslationPlan(
    isIPv6: true, client: [0xfd] + zeros(14) + [1], second: [0xfd] + zeros(14) + [2],
    gateway: [0xfd] + zeros(14) + [0xfe], outside: documentation(3) + zeros(8) + [7],
    server: documentation(1) + zeros(8) + [0x80], other: documentation(2) + zeros(8) + [1])

  private static func zeros(_ count: Int) -> [UInt8] { Array(repeating: 0, count: count) }
  private static func documentation(_ number: UInt8) -> [UInt8] { [0x20, 0x01, 0x0d, 0xb8, 0, number, 0] }

  var etherType: UInt16 { isIPv6 ? 0x86dd : 0x0800 }
  var headerByteCount: Int { isIPv6 ? 40 : 20 }
  private var icmpProtocol: UInt8 { isIPv6 ? 58 : 1 }

  /// As `ip` and `nft` write it.
  static func text(_ address: [UInt8]) -> String {
    guard address.count == 16 else { return address.map(String.init).joined(separator: ".") }
    return stride(from: 0, to: 16, by: 2).map { String(Int(address[$0]) << 8 | Int(address[$0 + 1]), radix: 16) }
      .joined(separator: ":")
  }

  static func number(_ address: [UInt8]) -> UInt128 { address.reduce(0) { $0 << 8 | UInt128($1) } }

  // MARK: packets

  func packet(_ from: [UInt8], _ to: [UInt8], _ ipProtocol: UInt8, _ payload: [UInt8]) -> [UInt8] {
    isIPv6
      ? FrameBuilder.ipv6(from: from, to: to, nextHeader: ipProtocol, payload)
      : FrameBuilder.ipv4(from: from, to: to, protocol: ipProtocol, payload)
  }

  func tcp(
    _ from: [UInt8], _ sourcePort: UInt16, _ to: [UInt8], _ destinationPort: UInt16, _ flags: UInt8,
    _ sequence: UInt32, _ acknowledgement: UInt32, _ count: Int = 0
  ) -> [UInt8] {
    packet(
      from, to, 6,
      FrameBuilder.tcp(
        from: from, to: to, sourcePort: sourcePort, destinationPort: destinationPort, sequence: sequence,
        acknowledgement: acknowledgement, flags: flags, Array(repeating: 65, count: count)))
  }

  func udp(
    _ from: [UInt8], _ sourcePort: UInt16, _ to: [UInt8], _ destinationPort: UInt16, _ count: Int = 8
  ) -> [UInt8] {
    packet(
      from, to, 17,
      FrameBuilder.udp(
        from: from, to: to, sourcePort: sourcePort, destinationPort: destinationPort, Array(repeating: 66, count: count)
      ))
  }

  private func icmp(
    _ from: [UInt8], _ to: [UInt8], _ type: UInt8, _ code: UInt8, _ rest: [UInt8], _ body: [UInt8]
  ) -> [UInt8] {
    var message = [type, code, 0, 0] + rest + body
    let sum =
      isIPv6
      ? FrameBuilder.transportChecksum(message, from: from, to: to, protocol: 58) : FrameBuilder.checksum(message)
    message.replaceSubrange(2..<4, with: sum.octets)
    return packet(from, to, icmpProtocol, message)
  }

  func ping(_ from: [UInt8], _ to: [UInt8], isReply: Bool = false, id: UInt16 = 7) -> [UInt8] {
    icmp(from, to, isIPv6 ? (isReply ? 129 : 128) : (isReply ? 0 : 8), 0, id.octets + [0, 1], [1, 2, 3, 4])
  }

  enum Failure { case portUnreachable, timeExceeded, tooBig }

  /// An error about a packet.
  /// - Parameter count: bytes that it quotes behind the IP header; nil: all.
  func error(_ failure: Failure, from: [UInt8], to: [UInt8], about packet: [UInt8], quoting count: Int? = 8) -> [UInt8]
  {
    let quoted = Array(packet.prefix(count.map { headerByteCount + $0 } ?? packet.count))
    let (type, code): (UInt8, UInt8)
    switch failure {
    case .portUnreachable: (type, code) = isIPv6 ? (1, 4) : (3, 3)
    case .timeExceeded: (type, code) = isIPv6 ? (3, 0) : (11, 0)
    case .tooBig: (type, code) = isIPv6 ? (2, 0) : (3, 4)
    }
    // The MTU, 1280.
    return icmp(from, to, type, code, failure == .tooBig ? [0, 0, 5, 0] : [0, 0, 0, 0], quoted)
  }

  func fragments(_ packet: [UInt8], id: UInt16) -> [[UInt8]] { FrameBuilder.fragments(packet, id: id, size: 32) }

  /// A fragment with its bytes 8 bytes earlier in the datagram.
  func earlier(_ fragment: [UInt8]) -> [UInt8] {
    var fragment = fragment
    if isIPv6 {
      fragment[43] -= 8
    } else {
      fragment[7] -= 1
      fragment.replaceSubrange(10..<12, with: [0, 0])
      fragment.replaceSubrange(10..<12, with: FrameBuilder.checksum(Array(fragment[..<20])).octets)
    }
    return fragment
  }

  // MARK: frames

  /// The IP packet of a frame, without padding; nil if it is of another family or has not come over one router.
  func routed(_ frame: [UInt8]) -> [UInt8]? {
    guard frame.count >= 14 + headerByteCount, frame[12] == UInt8(etherType >> 8), frame[13] == UInt8(etherType & 255)
    else { return nil }
    // What a router says itself, to packets for its own address, is its host's and not its translation's.
    guard frame[isIPv6 ? 21 : 22] == 63 else { return nil }
    let count = isIPv6 ? 40 + (Int(frame[18]) << 8 | Int(frame[19])) : Int(frame[16]) << 8 | Int(frame[17])
    return Array(frame[14..<min(14 + count, frame.count)])
  }

  /// The packet with number 0 if it is a fragment of IPv6.
  func unnumbered(_ packet: [UInt8]) -> [UInt8] {
    guard isIPv6, packet.count >= 48, packet[6] == 44 else { return packet }
    var packet = packet
    packet.replaceSubrange(44..<48, with: [0, 0, 0, 0])
    return packet
  }
}
