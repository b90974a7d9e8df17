// The packets that this switch and Linux are given, one after the other.

import TestSupport

/// One packet of a sequence.
struct TranslationStep {
  var name: String
  var isFromInside: Bool
  var packet: [UInt8]
  /// What becomes of it is looked for where it came from.
  var comesBack = false

  /// From inside, to a neighbour by the outer address, or an answer to such a packet.
  init(_ name: String, hairpin packet: [UInt8]) {
    self.init(name, inside: packet)
    comesBack = true
  }

  init(_ name: String, inside packet: [UInt8]) {
    self.name = name
    isFromInside = true
    self.packet = packet
  }

  init(_ name: String, outside packet: [UInt8]) {
    self.name = name
    isFromInside = false
    self.packet = packet
  }
}

extension TranslationPlan {
  typealias Step = TranslationStep

  var steps: [Step] {
    connections + beginnings + datagrams + pings + cutDatagrams + (isIPv6 ? extended : []) + hairpins
  }

  private var connections: [Step] {
    let (c, s, o) = (client, server, outside)
    // A connection's life.
    return [
      Step("an answer that nobody asked for", outside: tcp(s, 80, o, 1000, 0x12, 500, 101)),
      Step("SYN", inside: tcp(c, 1000, s, 80, 2, 100, 0)),
      Step("SYN again", inside: tcp(c, 1000, s, 80, 2, 100, 0)),
      Step("SYN and ACK", outside: tcp(s, 80, o, 1000, 0x12, 500, 101)),
      Step("ACK", inside: tcp(c, 1000, s, 80, 0x10, 101, 501)),
      Step("data", inside: tcp(c, 1000, s, 80, 0x18, 101, 501, 100)),
      Step("data again", inside: tcp(c, 1000, s, 80, 0x18, 101, 501, 100)),
      Step("ACK of data", outside: tcp(s, 80, o, 1000, 0x10, 501, 201)),
      Step("data of the server", outside: tcp(s, 80, o, 1000, 0x18, 501, 201, 1000)),
      Step("data far ahead of the window", outside: tcp(s, 80, o, 1000, 0x18, 501 &+ 70_000, 201, 100)),
      Step("data a gigabyte ahead", outside: tcp(s, 80, o, 1000, 0x18, 501 &+ 1_000_000_000, 201, 100)),
      Step("an ACK of what was never sent", outside: tcp(s, 80, o, 1000, 0x10, 1501, 201 &+ 500_000)),
      Step("a reset a megabyte off", outside: tcp(s, 80, o, 1000, 0x04, 1501 &+ 1_000_000, 0)),
      Step("a reset off by some bytes", outside: tcp(s, 80, o, 1000, 0x04, 1501 &+ 100, 0)),
      // Closing, on another connection: the last one may have been reset on one side.
      Step("SYN of a second", inside: tcp(c, 1001, s, 80, 2, 100, 0)),
      Step("its answer", outside: tcp(s, 80, o, 1001, 0x12, 500, 101)),
      Step("its ACK", inside: tcp(c, 1001, s, 80, 0x10, 101, 501)),
      Step("FIN", inside: tcp(c, 1001, s, 80, 0x11, 101, 501)),
      Step("ACK of FIN", outside: tcp(s, 80, o, 1001, 0x10, 501, 102)),
      Step("FIN of the server", outside: tcp(s, 80, o, 1001, 0x11, 501, 102)),
      Step("last ACK", inside: tcp(c, 1001, s, 80, 0x10, 102, 502)),
      Step("a new SYN at once", inside: tcp(c, 1001, s, 80, 2, 90_000, 0)),
      Step("its answer, too", outside: tcp(s, 80, o, 1001, 0x12, 7000, 90_001)),
      // One that is reset as it should be.
      Step("SYN of a third", inside: tcp(c, 1004, s, 80, 2, 100, 0)),
      Step("answer to the third", outside: tcp(s, 80, o, 1004, 0x12, 500, 101)),
      Step("a reset", outside: tcp(s, 80, o, 1004, 0x14, 501, 101)),
    ]
  }

  /// What begins nothing.
  private var beginnings: [Step] {
    let (c, s, o) = (client, server, outside)
    return [
      Step("SYN and ACK from inside", inside: tcp(c, 1002, s, 80, 0x12, 1, 1)),
      Step("no flags", inside: tcp(c, 1002, s, 80, 0, 1, 1)),
      Step("SYN and FIN", inside: tcp(c, 1002, s, 80, 3, 1, 1)),
      Step("a FIN alone", inside: tcp(c, 1002, s, 80, 1, 1, 1)),
      Step("a segment from the middle", inside: tcp(c, 1003, s, 80, 0x10, 1000, 2000, 10)),
      Step("its answer from the middle", outside: tcp(s, 80, o, 1003, 0x10, 2000, 1010, 10)),
    ]
  }

  /// UDP and its errors.
  private var datagrams: [Step] {
    let (c, s, o, r) = (client, server, outside, other)
    let left = udp(o, 2000, s, 53)
    var bad = udp(c, 2001, s, 53)
    bad[headerByteCount + 6] ^= 0x55
    var unchecked = udp(c, 2006, s, 53)
    unchecked.replaceSubrange(headerByteCount + 6..<headerByteCount + 8, with: [0, 0])
    return [
      Step("UDP", inside: udp(c, 2000, s, 53)), Step("its answer back", outside: udp(s, 53, o, 2000)),
      Step("UDP from another port", outside: udp(s, 54, o, 2000)),
      Step("UDP from another host", outside: udp(r, 53, o, 2000)),
      Step("UDP with a wrong checksum", inside: bad),
      Step("UDP without a checksum", inside: unchecked),
      Step("port unreachable", outside: error(.portUnreachable, from: s, to: o, about: left, quoting: nil)),
      Step("time exceeded of a router", outside: error(.timeExceeded, from: r, to: o, about: left)),
      Step("an error about nothing", outside: error(.timeExceeded, from: r, to: o, about: udp(o, 2999, s, 53))),
      Step("an error that quotes too little", outside: error(.timeExceeded, from: r, to: o, about: left, quoting: 4)),
      Step("too big", outside: error(.tooBig, from: r, to: o, about: left)),
      Step("too big, of TCP", outside: error(.tooBig, from: r, to: o, about: tcp(o, 1001, s, 80, 0x10, 90_001, 7001))),
    ]
  }

  private var pings: [Step] {
    let (c, s, o, r) = (client, server, outside, other)
    return [
      Step("ping", inside: ping(c, s)),
      Step("pong", outside: ping(s, o, isReply: true)),
      Step("pong of another", outside: ping(s, o, isReply: true, id: 9)),
      Step("ping from outside", outside: ping(s, o)),
      Step("an error about a ping", outside: error(.timeExceeded, from: r, to: o, about: ping(o, s), quoting: nil)),
    ]
  }

  private var cutDatagrams: [Step] {
    let (c, s) = (client, server)
    let shuffled = fragments(udp(c, 2003, s, 53, 90), id: 8)
    // The second one's bytes are those of the first again, from 8 on.
    let overlapping = fragments(udp(c, 2004, s, 53, 90), id: 9)
    let late = fragments(udp(c, 2007, s, 53, 90), id: 10)
    return fragments(udp(c, 2002, s, 53, 90), id: 7).map { Step("fragments", inside: $0) }
      + [1, 0, 3, 2].map { Step("fragments in another order", inside: shuffled[$0]) }
      + [overlapping[0], earlier(overlapping[1]), overlapping[2], overlapping[3]].map {
        Step("fragments that overlap", inside: $0)
      } + late[1...].map { Step("fragments without their first", inside: $0) }
      // Of an answered connection, and back.
      + fragments(udp(s, 53, outside, 2000, 90), id: 11).map { Step("fragments of an answer", outside: $0) }
  }

  /// IPv6 extension headers (RFC 8200 §4) between the header and the datagram.
  private var extended: [Step] {
    let (c, s) = (client, server)
    let datagram = Array(udp(c, 2008, s, 53)[40...])
    let padding: [UInt8] = [17, 0, 1, 4, 0, 0, 0, 0]
    return [
      Step("UDP behind destination options", inside: packet(c, s, 60, padding + datagram)),
      Step("UDP behind hop-by-hop options", inside: packet(c, s, 0, padding + datagram)),
      Step(
        "UDP behind both", inside: packet(c, s, 0, [60] + padding[1...] + padding + datagram)),
      Step("a whole datagram in one fragment", inside: packet(c, s, 44, [17, 0, 0, 0, 0, 0, 0, 12] + datagram)),
      Step("no next header", inside: packet(c, s, 59, [])),
    ]
  }

  /// Hosts inside that reach their neighbour by a forwarded port of the outer address.
  private var hairpins: [Step] {
    let (c, h, o, g) = (client, second, outside, gateway)
    let question = udp(c, 3001, o, 8080)
    let left = udp(g, 3001, h, 53)
    let parts = fragments(udp(c, 3003, o, 8080, 90), id: 20)
    return [
      Step("hairpin: SYN", hairpin: tcp(c, 3000, o, 8080, 2, 100, 0)),
      Step("hairpin: SYN and ACK", hairpin: tcp(h, 80, g, 3000, 0x12, 500, 101)),
      Step("hairpin: ACK", hairpin: tcp(c, 3000, o, 8080, 0x10, 101, 501)),
      Step("hairpin: data", hairpin: tcp(c, 3000, o, 8080, 0x18, 101, 501, 100)),
      Step("hairpin: data again", hairpin: tcp(c, 3000, o, 8080, 0x18, 101, 501, 100)),
      Step("hairpin: data back", hairpin: tcp(h, 80, g, 3000, 0x18, 501, 201, 300)),
      Step("hairpin: data a gigabyte ahead", hairpin: tcp(c, 3000, o, 8080, 0x18, 201 &+ 1_000_000_000, 801, 100)),
      Step("hairpin: FIN", hairpin: tcp(c, 3000, o, 8080, 0x11, 201, 801)),
      Step("hairpin: reset", hairpin: tcp(h, 80, g, 3000, 0x14, 801, 202)),
      Step("hairpin: SYN of the host itself", hairpin: tcp(h, 3002, o, 8080, 2, 100, 0)),
      Step("hairpin: its answer", hairpin: tcp(h, 80, g, 3002, 0x12, 500, 101)),
      Step("hairpin: an answer that nobody asked for", hairpin: tcp(h, 80, g, 3999, 0x12, 500, 101)),
      Step("hairpin: UDP", hairpin: question),
      Step("hairpin: its answer back", hairpin: udp(h, 53, g, 3001)),
      Step("hairpin: UDP once more", hairpin: question),
      Step("hairpin: port unreachable", hairpin: error(.portUnreachable, from: h, to: g, about: left, quoting: nil)),
      Step("hairpin: too big", hairpin: error(.tooBig, from: h, to: g, about: left)),
      Step(
        "hairpin: an error about nothing", hairpin: error(.portUnreachable, from: h, to: g, about: udp(g, 3998, h, 53))),
    ] + parts.map { Step("hairpin: fragments", hairpin: $0) } + [
      // The forward is for those outside, too.
      Step("forward: SYN", outside: tcp(server, 4000, o, 8080, 2, 100, 0)),
      Step("forward: SYN and ACK", inside: tcp(h, 80, server, 4000, 0x12, 500, 101)),
      Step("forward: ACK", outside: tcp(server, 4000, o, 8080, 0x10, 101, 501)),
      Step("forward: a port beside it", outside: tcp(server, 4001, o, 8081, 2, 100, 0)),
    ]
  }
}
