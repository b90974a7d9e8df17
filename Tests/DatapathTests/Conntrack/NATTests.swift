import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

/// Address translation through rules and caches, checksums included.
@Suite struct NATTests {
  private let c = ConntrackLab.client
  private let s = ConntrackLab.server
  private let o = ConntrackLab.outside

  private static func source(
    _ first: UInt128, _ last: UInt128? = nil, ports: ClosedRange<UInt16>? = nil, isIPv6: Bool = false
  ) -> NetworkTranslation {
    var translation = NetworkTranslation()
    translation.kind = .source
    translation.addresses = first...(last ?? first)
    translation.ports = ports
    translation.isIPv6 = isIPv6
    return translation
  }

  /// Clients leave as `translation` says; what belongs to a connection is translated in both directions.
  private func lab(_ translation: NetworkTranslation, helper: UInt16 = 0, seed: UInt64 = 1) throws -> ConntrackLab {
    try ConntrackLab(
      outward: { $0.translation = NetworkTranslation() }, inward: { $0.translation = NetworkTranslation() },
      commit: {
        $0.translation = translation
        $0.helperPort = helper
      }, seed: seed)
  }

  private let outside: UInt128 = 0xc633_6407

  @Test func aSourceIsTranslatedAndBack() throws {
    let lab = try lab(NATTests.source(outside))
    let first = try #require(lab.send(ConntrackLab.udp(c, 1000, s, 53)))
    #expect(first.state.text == "new|trk|snat" && first.source == o && first.sourcePort == 1000)
    #expect(ConntrackLab.complaint(first.packet) == nil)
    let answer = try #require(lab.send(ConntrackLab.udp(s, 53, o, 1000), from: 2))
    #expect(answer.state.text == "est|rpl|trk|dnat" && answer.destination == c && answer.destinationPort == 1000)
    #expect(ConntrackLab.complaint(answer.packet) == nil)
    let again = try #require(lab.send(ConntrackLab.udp(c, 1000, s, 53)))
    #expect(again.state.text == "est|trk|snat" && again.packet == first.packet)
  }

  /// CRC32c a bit at a time (RFC 9260 appendix A).
  private static func hasRightSCTPChecksum(_ packet: [UInt8]) -> Bool {
    var bytes = packet
    bytes.replaceSubrange(8..<12, with: [0, 0, 0, 0])
    var value = UInt32.max
    for byte in bytes {
      value ^= UInt32(byte)
      for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0x82f6_3b78 : value >> 1 }
    }
    let sum = ~value
    return Array(packet[8..<12]) == (0..<4).map { UInt8(truncatingIfNeeded: sum >> (8 * $0)) }
  }

  private static func sctp(_ sourcePort: UInt16, _ destinationPort: UInt16) -> [UInt8] {
    // A common header and a chunk of data.
    var packet =
      sourcePort.octets + destinationPort.octets + [1, 2, 3, 4, 0, 0, 0, 0, 0, 3, 0, 20, 0, 0, 0, 1]
      + [UInt8](repeating: 7, count: 12)
    var value = UInt32.max
    for byte in packet {
      value ^= UInt32(byte)
      for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0x82f6_3b78 : value >> 1 }
    }
    packet.replaceSubrange(8..<12, with: (0..<4).map { UInt8(truncatingIfNeeded: ~value >> (8 * $0)) })
    return packet
  }

  @Test func sctpIsTranslatedWithItsPorts() throws {
    let lab = try lab(NATTests.source(outside))
    var seen: Set<UInt16> = []
    for host in UInt8(1)...3 {
      let client: [UInt8] = [10, 0, 0, host]
      let packet = ConntrackLab.ip(client, s, 132, NATTests.sctp(5000, 2905))
      let first = try #require(lab.send(packet))
      #expect(first.source == o && first.destinationPort == 2905 && seen.insert(first.sourcePort).inserted)
      #expect(NATTests.hasRightSCTPChecksum(first.transport))
      let answer = try #require(
        lab.send(ConntrackLab.ip(s, o, 132, NATTests.sctp(2905, first.sourcePort)), from: 2))
      #expect(answer.state.text == "est|rpl|trk|dnat" && answer.destination == client && answer.destinationPort == 5000)
      #expect(NATTests.hasRightSCTPChecksum(answer.transport))
    }
  }

  @Test func aConnectionCountsWhatItsEndsSent() throws {
    let lab = try lab(NATTests.source(outside))
    var (sent, answered): (UInt64, UInt64) = (0, 0)
    for round in 0..<9 {
      let payload = [UInt8](repeating: 1, count: 10 * round)
      let packet = ConntrackLab.udp(c, 1000, s, 53, payload)
      #expect(lab.send(packet) != nil)
      // The frame's bytes, as in Open vSwitch.
      sent += UInt64(packet.count + 14)
      if round % 3 == 0 {
        let answer = ConntrackLab.udp(s, 53, o, 1000, payload)
        #expect(lab.send(answer, from: 2) != nil)
        answered += UInt64(answer.count + 14)
      }
    }
    let found = lab.bridge.tracker.connections(ConnectionFilter(), from: 0, count: 10, now: lab.bridge.now).found
    let connection = try #require(found.count == 1 ? found.first : nil)
    #expect(connection.original.packetCount == 9 && connection.original.byteCount == sent)
    #expect(connection.reply.packetCount == 3 && connection.reply.byteCount == answered)
  }

  @Test func clientsWithTheSamePortGetDifferentOnes() throws {
    let lab = try lab(NATTests.source(outside))
    var seen: Set<UInt16> = []
    for host in 1...200 {
      let client: [UInt8] = [10, 0, 0, UInt8(host)]
      let result = try #require(lab.send(ConntrackLab.tcp(client, 40000, s, 80, flags: 2)))
      #expect(result.source == o && seen.insert(result.sourcePort).inserted)
      #expect(ConntrackLab.complaint(result.packet) == nil)
      let answer = try #require(
        lab.send(ConntrackLab.tcp(s, 80, o, result.sourcePort, flags: 0x12, 9, 2), from: 2))
      #expect(answer.destination == client && answer.destinationPort == 40000)
    }
    #expect(seen.min() ?? 0 >= 1024)
  }

  @Test func portsOfARangeRunOutWithAReasonAndComeBack() throws {
    let lab = try lab(NATTests.source(outside, ports: 5000...5009))
    for host in 1...10 {
      let result = try #require(lab.send(ConntrackLab.udp([10, 0, 0, UInt8(host)], 1000, s, 53)))
      #expect((5000...5009).contains(result.sourcePort))
    }
    #expect(lab.send(ConntrackLab.udp([10, 0, 0, 99], 1000, s, 53)) == nil)
    #expect(lab.drops(.natPortsExhausted) == 1)
    #expect(unsafe lab.bridge.tracker.table.state.pointee.statistics.portsExhausted == 1)
    // To another server they are free, and here when the others' time is over.
    #expect(lab.send(ConntrackLab.udp([10, 0, 0, 99], 1000, [192, 0, 2, 81], 53)) != nil)
    lab.bridge.now += 61
    #expect(lab.send(ConntrackLab.udp([10, 0, 0, 99], 1000, s, 53)) != nil)
  }

  @Test func addressesOfAPoolAreAllUsed() throws {
    let lab = try lab(NATTests.source(outside, outside + 3, ports: 6000...6000))
    var seen: Set<[UInt8]> = []
    for host in 1...4 {
      let result = try #require(lab.send(ConntrackLab.udp([10, 0, 0, UInt8(host)], 1000, s, 53)))
      seen.insert(result.source)
    }
    #expect(seen.count == 4)
    #expect(lab.send(ConntrackLab.udp([10, 0, 0, 9], 1000, s, 53)) == nil)
  }

  @Test func aPersistentMappingIsTheSameInEveryRun() throws {
    var translation = NATTests.source(outside, outside + 250)
    translation.persistent = true
    var found: [[UInt8]] = []
    for seed in 1...3 {
      let lab = try lab(translation, seed: UInt64(seed))
      for port in 0..<3 {
        found.append(try #require(lab.send(ConntrackLab.udp(c, 1000, [192, 0, 2, UInt8(port)], 53))).source)
      }
    }
    #expect(Set(found).count == 1)
  }

  @Test func randomPortsAreUnforeseeable() throws {
    var translation = NATTests.source(outside, ports: 10_000...59_999)
    translation.randomizes = true
    let lab = try lab(translation)
    var ports: [Int] = []
    for number in 0..<2000 {
      let client: [UInt8] = [10, 0, UInt8(number >> 8), UInt8(number & 255)]
      ports.append(Int(try #require(lab.send(ConntrackLab.udp(client, 1000, s, 53))).sourcePort))
    }
    // Runs above and below the median: some 1000, with a deviation of 22 (Wald, Wolfowitz).
    let median = ports.sorted()[1000]
    let runs = zip(ports, ports.dropFirst()).count { ($0 < median) != ($1 < median) } + 1
    #expect(abs(runs - 1001) < 120, "\(runs) runs")
    #expect(Set(ports).count == 2000)
  }

  @Test func aDestinationIsTranslated() throws {
    var translation = NetworkTranslation()
    translation.kind = .destination
    translation.addresses = 0x0a00_0050...0x0a00_0050
    translation.ports = 8080...8080
    let lab = try lab(translation)
    for host in 1...3 {
      let client: [UInt8] = [203, 0, 113, UInt8(host)]
      let first = try #require(lab.send(ConntrackLab.tcp(client, 40000, o, 80, flags: 2, 100)))
      #expect(
        first.state.text == "new|trk|dnat" && first.destination == [10, 0, 0, 80] && first.destinationPort == 8080)
      #expect(ConntrackLab.complaint(first.packet) == nil)
      let answer = try #require(
        lab.send(ConntrackLab.tcp([10, 0, 0, 80], 8080, client, 40000, flags: 0x12, 500, 101), from: 2))
      #expect(answer.state.text == "est|rpl|trk|snat" && answer.source == o && answer.sourcePort == 80)
      #expect(ConntrackLab.complaint(answer.packet) == nil)
    }
  }

  @Test func pingsOfTwoHostsAreToldApart() throws {
    let lab = try lab(NATTests.source(outside))
    let one = try #require(lab.send(ConntrackLab.echo([10, 0, 0, 1], s, id: 7)))
    let two = try #require(lab.send(ConntrackLab.echo([10, 0, 0, 2], s, id: 7)))
    let id = UInt16(two.transport[4]) << 8 | UInt16(two.transport[5])
    #expect(one.source == o && two.source == o && id != 7)
    #expect(ConntrackLab.complaint(two.packet) == nil)
    let answer = try #require(lab.send(ConntrackLab.echo(s, o, id: id, isReply: true), from: 2))
    #expect(answer.destination == [10, 0, 0, 2] && Array(answer.transport[4..<6]) == [0, 7])
    #expect(ConntrackLab.complaint(answer.packet) == nil)
  }

  @Test func anICMPErrorIsTranslatedWithWhatItQuotes() throws {
    let lab = try lab(NATTests.source(outside, ports: 5000...5009))
    let sent = ConntrackLab.udp(c, 1000, s, 53)
    let left = try #require(lab.send(sent))
    for count in [28, left.packet.count] {
      let error = ConntrackLab.icmp(
        [203, 0, 113, 1], o, type: 11, rest: [0, 0, 0, 0], Array(left.packet[..<count]))
      let result = try #require(lab.send(error, from: 2))
      #expect(result.state.text == "rel|rpl|trk|dnat" && result.source == [203, 0, 113, 1] && result.destination == c)
      #expect(ConntrackLab.complaint(result.packet) == nil)
      #expect(Array(result.transport[8...]) == Array(sent[..<count]), "what was sent, checksums included")
    }
  }

  @Test func ipv6IsTranslatedToo() throws {
    let prefix: [UInt8] = [0xfd, 0] + Array(repeating: 0, count: 13)
    let address: UInt128 = 0xfd00_0000_0000_0000_0000_0000_0000_0099
    let lab = try lab(NATTests.source(address, isIPv6: true))
    let sent = ConntrackLab.udp(prefix + [1], 1000, prefix + [2], 53)
    let first = try #require(lab.send(sent))
    #expect(first.source == prefix + [0x99] && ConntrackLab.complaint(first.packet) == nil)
    let answer = try #require(lab.send(ConntrackLab.udp(prefix + [2], 53, prefix + [0x99], 1000), from: 2))
    #expect(answer.destination == prefix + [1] && ConntrackLab.complaint(answer.packet) == nil)
    let error = ConntrackLab.icmp(
      prefix + [9], prefix + [0x99], type: 2, rest: [0, 0, 5, 0], first.packet)
    let result = try #require(lab.send(error, from: 2))
    #expect(result.destination == prefix + [1] && ConntrackLab.complaint(result.packet) == nil)
    #expect(Array(result.transport[8...]) == sent)
    let ping = try #require(lab.send(ConntrackLab.echo(prefix + [3], prefix + [2], id: 5)))
    #expect(ping.source == prefix + [0x99] && ConntrackLab.complaint(ping.packet) == nil)
  }

  @Test func largeSegmentsPassAsTheyAre() throws {
    let lab = try lab(NATTests.source(outside))
    var segment = ConntrackLab.tcp(c, 1000, s, 80, flags: 0x10, 1, 1, Array(repeating: 7, count: 30_000))
    let pseudo = FrameBuilder.transportChecksum([], from: c, to: s, protocol: 6)
    // The pseudo header's sum, with the segment's length.
    var sum = UInt32(~pseudo) + UInt32(30_020)
    sum = sum & 0xffff + sum >> 16
    segment.replaceSubrange(36..<38, with: UInt16(sum).octets)
    let offload = OffloadMetadata(
      flags: OffloadMetadata.needsChecksum, gsoType: OffloadMetadata.gsoTCPv4, headerByteCount: 54, gsoByteCount: 1448,
      checksumStart: 34, checksumOffset: 16)
    let result = try #require(lab.send(segment, offload: offload))
    #expect(result.source == o && result.packet.count == segment.count)
    #expect(result.offload.gsoType == OffloadMetadata.gsoTCPv4 && result.offload.gsoByteCount == 1448)
    var expected = UInt32(~FrameBuilder.transportChecksum([], from: o, to: s, protocol: 6)) + 30_020
    expected = expected & 0xffff + expected >> 16
    #expect(UInt16(result.transport[16]) << 8 | UInt16(result.transport[17]) == UInt16(expected))
    #expect(Array(result.transport[20...]) == Array(segment[40...]))
  }

  @Test(arguments: testSeeds(20)) func checksumsStayRightForAnyAddressesAndPorts(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let lab = try lab(NATTests.source(UInt128(UInt32.random(in: 1..<0xdfff_ffff, using: &random)), ports: 1...65535))
    for _ in 0..<50 {
      let client: [UInt8] = [10] + random.bytes(3)
      let server: [UInt8] = [172] + random.bytes(3)
      let payload = random.bytes(Int.random(in: 0..<100, using: &random))
      let ports = (UInt16.random(in: 1...65535, using: &random), UInt16.random(in: 1...65535, using: &random))
      let packet =
        Bool.random(using: &random)
        ? ConntrackLab.udp(client, ports.0, server, ports.1, payload)
        : ConntrackLab.tcp(client, ports.0, server, ports.1, flags: 2, 5, 0, payload)
      let result = try #require(lab.send(packet))
      #expect(ConntrackLab.complaint(result.packet) == nil)
      let quoted = ConntrackLab.icmp([9, 9, 9, 9], result.source, type: 3, code: 3, rest: [0, 0, 0, 0], result.packet)
      let error = try #require(lab.send(quoted, from: 2))
      #expect(ConntrackLab.complaint(error.packet) == nil)
      #expect(Array(error.transport[8...]) == packet)
    }
  }
}
