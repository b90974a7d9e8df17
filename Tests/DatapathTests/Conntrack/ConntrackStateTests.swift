import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

/// What `ct_state` says of packets, through rules and caches.
@Suite struct ConntrackStateTests {
  private let c = ConntrackLab.client
  private let s = ConntrackLab.server

  @Test func aConnectionIsNewUntilItIsAnswered() throws {
    let lab = try ConntrackLab()
    for _ in 0..<2 {
      #expect(lab.send(ConntrackLab.udp(c, 1000, s, 53))?.state.text == "new|trk")
    }
    #expect(lab.send(ConntrackLab.udp(s, 53, c, 1000), from: 2)?.state.text == "est|rpl|trk")
    #expect(lab.send(ConntrackLab.udp(c, 1000, s, 53))?.state.text == "est|trk")
    // Another port is another connection, and nobody asked for this one.
    #expect(lab.send(ConntrackLab.udp(s, 53, c, 1001), from: 2)?.state.text == "new|trk")
    #expect(lab.send(ConntrackLab.udp(s, 53, c, 1001), from: 2)?.state.text == "new|trk", "it was not committed")
  }

  @Test func aConnectionEndsWithItsTime() throws {
    let lab = try ConntrackLab()
    _ = lab.send(ConntrackLab.udp(c, 1000, s, 53))
    lab.bridge.now += 59
    #expect(lab.send(ConntrackLab.udp(s, 53, c, 1000), from: 2)?.state.text == "est|rpl|trk")
    lab.bridge.now += 29
    #expect(lab.send(ConntrackLab.udp(s, 53, c, 1000), from: 2)?.state.text == "est|rpl|trk")
    lab.bridge.now += 30
    #expect(lab.send(ConntrackLab.udp(s, 53, c, 1000), from: 2)?.state.text == "new|trk")
  }

  @Test func aHandshakeIsFollowed() throws {
    let lab = try ConntrackLab()
    func client(_ flags: UInt8, _ sequence: UInt32, _ acknowledgement: UInt32, _ payload: [UInt8] = []) -> String? {
      lab.send(ConntrackLab.tcp(c, 1000, s, 80, flags: flags, sequence, acknowledgement, payload))?.state.text
    }
    func server(_ flags: UInt8, _ sequence: UInt32, _ acknowledgement: UInt32, _ payload: [UInt8] = []) -> String? {
      lab.send(ConntrackLab.tcp(s, 80, c, 1000, flags: flags, sequence, acknowledgement, payload), from: 2)?.state.text
    }
    #expect(client(0x02, 100, 0) == "new|trk")
    #expect(client(0x02, 100, 0) == "new|trk", "sent again")
    #expect(server(0x12, 500, 101) == "est|rpl|trk")
    #expect(client(0x10, 101, 501) == "est|trk")
    #expect(client(0x18, 101, 501, [1, 2, 3]) == "est|trk")
    #expect(server(0x10, 501, 104) == "est|rpl|trk")
    #expect(server(0x18, 501 &+ 200_000_000, 104, [1]) == "inv|trk", "far outside of the window")
    #expect(client(0x04, 104 &+ 5000, 501) == "inv|trk", "a reset has to name the next byte")
    #expect(client(0x11, 104, 501) == "est|trk")
    #expect(server(0x11, 501, 105) == "est|rpl|trk")
    #expect(client(0x10, 105, 502) == "est|trk")
    // The ports are used again at once.
    #expect(client(0x02, 900_000, 0) == "new|trk")
    #expect(server(0x12, 7, 900_001) == "est|rpl|trk")
  }

  @Test func segmentsThatBeginNothingAreInvalid() throws {
    let lab = try ConntrackLab()
    for flags in [UInt8(0x12), 0x00, 0x03, 0x06, 0x01, 0x04] {
      #expect(lab.send(ConntrackLab.tcp(c, 1000, s, 80, flags: flags))?.state.text == "inv|trk", "flags \(flags)")
    }
    // One that follows may be picked up in its middle.
    #expect(lab.send(ConntrackLab.tcp(c, 1000, s, 80, flags: 0x10, 77, 99))?.state.text == "new|trk")
    #expect(
      lab.send(ConntrackLab.tcp(s, 80, c, 1000, flags: 0x18, 99, 77, [1]), from: 2)?.state.text == "est|rpl|trk")
  }

  @Test func wrongChecksumsAndLengthsAreInvalidAndOpenOnesAreNot() throws {
    let lab = try ConntrackLab()
    var wrong = ConntrackLab.udp(c, 1000, s, 53)
    wrong[26] ^= 1
    #expect(lab.send(wrong)?.state.text == "inv|trk")
    let open = OffloadMetadata(
      flags: OffloadMetadata.needsChecksum, gsoType: 0, headerByteCount: 0, gsoByteCount: 0, checksumStart: 34,
      checksumOffset: 6)
    #expect(lab.send(wrong, offload: open)?.state.text == "new|trk")
    var header = ConntrackLab.udp(c, 1001, s, 53)
    header[10] ^= 1
    #expect(lab.send(header)?.state.text == "inv|trk")
    var length = ConntrackLab.udp(c, 1001, s, 53)
    length[25] = 200
    #expect(lab.send(length)?.state.text == "inv|trk")
    var none = ConntrackLab.udp(c, 1002, s, 53)
    none[26] = 0
    none[27] = 0
    #expect(lab.send(none)?.state.text == "new|trk", "UDP without a checksum")
  }

  @Test(arguments: [false, true]) func anICMPErrorIsRelatedToWhatItQuotes(isIPv6: Bool) throws {
    let lab = try ConntrackLab()
    let client: [UInt8] = isIPv6 ? [0xfd] + Array(repeating: 0, count: 14) + [1] : c
    let server: [UInt8] = isIPv6 ? [0xfd] + Array(repeating: 0, count: 14) + [2] : s
    let router: [UInt8] = isIPv6 ? [0xfd] + Array(repeating: 0, count: 14) + [9] : [203, 0, 113, 1]
    let question = ConntrackLab.udp(client, 1000, server, 53)
    #expect(lab.send(question)?.state.text == "new|trk")
    let type: UInt8 = isIPv6 ? 1 : 3
    let error = ConntrackLab.icmp(router, client, type: type, code: 1, rest: [0, 0, 0, 0], question)
    #expect(lab.send(error, from: 2)?.state.text == "rel|rpl|trk")
    // It does not answer the question.
    #expect(lab.send(question)?.state.text == "new|trk")
    let other = ConntrackLab.icmp(
      router, client, type: type, code: 1, rest: [0, 0, 0, 0], ConntrackLab.udp(client, 1001, server, 53))
    #expect(lab.send(other, from: 2)?.state.text == "inv|trk")
    // Cut off in what is quoted.
    for count in 0..<(question.count - 4) where count < (isIPv6 ? 48 : 28) {
      let short = ConntrackLab.icmp(
        router, client, type: type, code: 1, rest: [0, 0, 0, 0], Array(question[..<count]))
      #expect(lab.send(short, from: 2)?.state.text == "inv|trk")
    }
  }

  @Test func aForgedErrorAboutTCPIsInvalid() throws {
    let lab = try ConntrackLab()
    _ = lab.send(ConntrackLab.tcp(c, 1000, s, 80, flags: 0x02, 100, 0))
    _ = lab.send(ConntrackLab.tcp(s, 80, c, 1000, flags: 0x12, 500, 101), from: 2)
    _ = lab.send(ConntrackLab.tcp(c, 1000, s, 80, flags: 0x10, 101, 501))
    func error(_ sequence: UInt32) -> String? {
      let quoted = ConntrackLab.tcp(c, 1000, s, 80, flags: 0x10, sequence, 501)
      return lab.send(
        ConntrackLab.icmp(s, c, type: 3, code: 4, rest: [0, 0, 5, 0], Array(quoted[..<28])), from: 2)?.state.text
    }
    #expect(error(101) == "rel|rpl|trk")
    #expect(error(101 &+ 1_000_000) == "inv|trk")
    #expect(error(101 &- 1_000_000) == "inv|trk")
  }

  @Test(arguments: [false, true]) func pingsAreConnectionsAndAnswersAloneAreNot(isIPv6: Bool) throws {
    let lab = try ConntrackLab()
    let client: [UInt8] = isIPv6 ? [0xfd] + Array(repeating: 0, count: 14) + [1] : c
    let server: [UInt8] = isIPv6 ? [0xfd] + Array(repeating: 0, count: 14) + [2] : s
    #expect(lab.send(ConntrackLab.echo(server, client, id: 7, isReply: true), from: 2)?.state.text == "inv|trk")
    #expect(lab.send(ConntrackLab.echo(client, server, id: 7))?.state.text == "new|trk")
    #expect(lab.send(ConntrackLab.echo(server, client, id: 7, isReply: true), from: 2)?.state.text == "est|rpl|trk")
    #expect(lab.send(ConntrackLab.echo(server, client, id: 8, isReply: true), from: 2)?.state.text == "inv|trk")
  }

  @Test func otherProtocolsAreTrackedByAddress() throws {
    let lab = try ConntrackLab()
    #expect(lab.send(ConntrackLab.ip(c, s, 47, [0, 0, 8, 0, 1]))?.state.text == "new|trk")
    #expect(lab.send(ConntrackLab.ip(s, c, 47, [0, 0, 8, 0, 1]), from: 2)?.state.text == "est|rpl|trk")
    #expect(lab.send(ConntrackLab.ip(s, c, 50, [0, 0, 8, 0, 1]), from: 2)?.state.text == "new|trk")
  }

  @Test func zonesAreApart() throws {
    let lab = try ConntrackLab(outward: { $0.zone = .immediate(5) }, commit: { $0.zone = .immediate(5) })
    #expect(lab.send(ConntrackLab.udp(c, 1000, s, 53))?.state.text == "new|trk")
    // What comes in is looked for in zone 0.
    #expect(lab.send(ConntrackLab.udp(s, 53, c, 1000), from: 2)?.state.text == "new|trk")
    #expect(unsafe lab.bridge.tracker.table.zones[5].count == 1)
    #expect(unsafe lab.bridge.tracker.table.zones[0].count == 0)
  }

  @Test func forceTurnsAConnectionRound() throws {
    let lab = try ConntrackLab(
      inward: {
        $0.commits = true
        $0.forces = true
      })
    _ = lab.send(ConntrackLab.udp(c, 1000, s, 53))
    #expect(lab.send(ConntrackLab.udp(s, 53, c, 1000), from: 2)?.state.text == "new|trk")
    #expect(lab.send(ConntrackLab.udp(c, 1000, s, 53))?.state.text == "est|rpl|trk")
  }

  @Test func markAndLabelAreKeptAndMatched() throws {
    let lab = try ConntrackLab(commit: {
      $0.actions = [
        .setField(.ctMark, value: 0x0700, mask: 0xff00), .setField(.ctLabel, value: 1 << 100, mask: 1 << 100),
      ]
    })
    var match = Match()
    match.set(.inPort, 2)
    match.set(.ctMark, 0x0700)
    match.set(.ctLabel, 1 << 100, mask: 1 << 100)
    match.set(.etherType, 0x0800)
    match.set(.ctProtocol, 17)
    match.set(.ctIPv4Source, 0x0a00_0001)
    match.set(.ctTransportDestination, 53)
    try lab.bridge.changeFlows(
      bridge: "br0",
      [rule(table: 2, priority: 500, match, [.output(PortNumber(3), maximumByteCount: 0xffff)])])
    _ = lab.send(ConntrackLab.udp(c, 1000, s, 53))
    let frame = FrameBuilder.ethernet(
      to: FrameBuilder.address(1), from: FrameBuilder.address(2), etherType: 0x0800, ConntrackLab.udp(s, 53, c, 1000))
    for _ in 0..<2 { #expect(lab.bridge.receive(bridge: "br0", port: "p2", frame: frame).map(\.port) == ["p3"]) }
  }

  @Test func zoneLimitsRefuseAndUnansweredConnectionsGiveWay() throws {
    let lab = try ConntrackLab()
    unsafe lab.bridge.tracker.table.zones[0].limit = 10
    for port in 0..<5 {
      _ = lab.send(ConntrackLab.udp(c, 1000 + UInt16(port), s, 53))
      _ = lab.send(ConntrackLab.udp(s, 53, c, 1000 + UInt16(port)), from: 2)
    }
    for port in 0..<1000 { #expect(lab.send(ConntrackLab.udp(c, 2000 + UInt16(port), s, 53)) != nil) }
    #expect(unsafe lab.bridge.tracker.table.zones[0].count == 10)
    for port in 0..<5 {
      #expect(lab.send(ConntrackLab.udp(c, 1000 + UInt16(port), s, 53))?.state.text == "est|trk")
    }
    for port in 0..<5 {
      _ = lab.send(ConntrackLab.udp(c, 3000 + UInt16(port), s, 53))
      _ = lab.send(ConntrackLab.udp(s, 53, c, 3000 + UInt16(port)), from: 2)
    }
    #expect(lab.send(ConntrackLab.udp(c, 5000, s, 53)) == nil)
    #expect(lab.drops(.conntrackZoneFull) == 1)
  }

  @Test func clearedPacketsAreUntracked() throws {
    let lab = try ConntrackLab()
    try lab.bridge.changeFlows(
      bridge: "br0",
      [
        rule(
          table: 2, priority: 500, [(.inPort, 2)],
          [
            .conntrackClear, .pushVLAN(etherType: 0x8100),
            .move(
              from: ConntrackLab.lowByte(.ctState), to: ConntrackLab.lowByte(.vlanID)),
            .output(PortNumber(1), maximumByteCount: 0xffff),
          ])
      ])
    _ = lab.send(ConntrackLab.udp(c, 1000, s, 53))
    #expect(lab.send(ConntrackLab.udp(s, 53, c, 1000), from: 2)?.state.text == "")
  }
}
