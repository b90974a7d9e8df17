// A client's end of connections to the resolver, and time that the test moves.

import TestSupport
import Testing

@testable import VSwitchCore

struct DNSStreamBench {
  static let second: UInt64 = 1_000_000_000
  static let ownMAC = MACAddress(bits: 0x0200_0000_0001)

  /// Says what it is told to, and keeps what comes.
  struct Client {
    var mac = MACAddress(bits: 0x5254_0000_0009)
    var address = IPAddress(ipv4: 0xc0a8_4d09)
    var own = IPAddress(ipv4: 0xc0a8_4d01)
    var port: UInt16 = 5000
    /// Numbers go past the end of 32 bits.
    var sequence: UInt32 = 0xffff_fff0
    var expected: UInt32 = 0
    var received: [UInt8] = []
    var flags: [UInt8] = []
    var queries: [UDPDatagram] = []
    var answered = 0
    var isClosed = false

    func segment(_ flags: UInt8, _ data: [UInt8] = [], skipping: UInt32 = 0, window: UInt16 = 60_000) -> [UInt8] {
      let segment = NetworkFrame.tcp(
        from: (address, port), to: (own, 53), sequence: sequence &+ skipping,
        acknowledgement: flags & 16 != 0 ? expected : 0, flags: flags, window: window,
        options: flags & 2 != 0 ? [1, 1, 1, 1, 2, 4, 0x05, address.isIPv6 ? 0xa0 : 0xb4] : [], data)
      return NetworkFrame.ethernet(
        to: ownMAC, from: mac, address.isIPv6 ? 0x86dd : 0x0800,
        NetworkFrame.ip(from: address, to: own, 6, segment))
    }

    /// Takes what was sent; bytes in their order.
    mutating func take(_ effects: [DNSStreams.Effect]) throws {
      for effect in effects {
        switch effect {
        case .query(let query): queries.append(query)
        case .send(let frame):
          let segment = try #require(TCPSegmentView(frame: frame), "its checksum is wrong")
          // Others' are not its own.
          guard segment.destination == address, segment.destinationPort == port else { continue }
          #expect(segment.source == own && segment.sourcePort == 53 && segment.destinationMAC == mac)
          flags.append(segment.flags)
          if segment.isOpening {
            #expect(segment.maximumSegmentSize == (own.isIPv6 ? 1440 : 1460))
            expected = segment.sequence &+ 1
          }
          guard segment.sequence == expected, !segment.isOpening, !segment.isReset else { continue }
          received += segment.data
          expected &+= segment.length
          if segment.isFinal { isClosed = true }
        }
      }
    }
  }

  var streams = DNSStreams()
  var client = Client()
  var random = SeededGenerator(seed: 3)
  var now: UInt64 = 1

  init(isIPv6: Bool = false) {
    streams.networks = ["192.168.0.0/16", "fd00:77::/64"].compactMap { IPPrefix($0) }
    guard isIPv6 else { return }
    client.address = IPAddress("fd00:77::9") ?? client.address
    client.own = IPAddress("fd00:77::1") ?? client.own
  }

  mutating func say(_ flags: UInt8, _ data: [UInt8] = [], skipping: UInt32 = 0, window: UInt16 = 60_000) throws {
    let frame = client.segment(flags, data, skipping: skipping, window: window)
    try client.take(streams.handle(frame: frame, now: now, using: &random))
    if skipping == 0 { client.sequence &+= UInt32(data.count) &+ (flags & 3 == 0 ? 0 : 1) }
  }

  mutating func open() throws {
    try say(2)
    try say(16)
    #expect(client.flags == [0x12])
  }

  mutating func answer(_ payload: [UInt8]) throws {
    let query = try #require(client.queries.first)
    client.queries.removeFirst()
    try client.take(streams.respond(query.reply(payload), now: now))
  }

  mutating func refuse() throws {
    let query = try #require(client.queries.first)
    client.queries.removeFirst()
    try client.take(streams.refuse(query))
  }

  /// A second at a time.
  mutating func wait(seconds: UInt64) throws {
    for _ in 0..<seconds {
      now += Self.second
      try client.take(streams.tick(now: now))
    }
  }

  static func message(_ bytes: [UInt8]) -> [UInt8] { UInt16(bytes.count).networkOrder + bytes }
}
