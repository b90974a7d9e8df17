import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

/// Fragments go on with the ports of their first one; none overlaps another.
@Suite struct FragmentTests {
  private let c = ConntrackLab.client
  private let s = ConntrackLab.server
  private let o = ConntrackLab.outside

  private func natLab() throws -> ConntrackLab {
    var translation = NetworkTranslation()
    translation.kind = .source
    translation.addresses = 0xc633_6407...0xc633_6407
    let source = translation
    return try ConntrackLab(
      outward: { $0.translation = NetworkTranslation() }, inward: { $0.translation = NetworkTranslation() },
      commit: { $0.translation = source })
  }

  private func fragments(_ packet: [UInt8], id: UInt16 = 77, size: Int) -> [[UInt8]] {
    FrameBuilder.fragments(packet, id: id, size: size)
  }

  private func isRightHeader(_ packet: [UInt8]) -> Bool {
    packet[0] >> 4 == 6 || FrameBuilder.checksum(Array(packet[..<20])) == 0
  }

  @Test func fragmentsAreTranslatedWithTheirFirst() throws {
    let lab = try natLab()
    let sent = ConntrackLab.udp(c, 1000, s, 53, Array(repeating: 5, count: 100))
    let results = fragments(sent, size: 32).map { lab.send($0) }
    #expect(results.allSatisfy { $0?.source == o && isRightHeader($0?.packet ?? [0x45]) })
    #expect(results.allSatisfy { $0?.state.text == "new|trk|snat" })
    let datagram = FrameBuilder.payload(ofFragments: results.compactMap { $0?.packet })
    #expect(FrameBuilder.hasRightChecksum(datagram, from: o, to: s, protocol: 17))
    #expect(unsafe lab.bridge.tracker.table.state.pointee.count == 1)
    let answer = ConntrackLab.udp(s, 53, o, 1000, Array(repeating: 6, count: 100))
    let back = fragments(answer, size: 64).map { lab.send($0, from: 2) }
    #expect(back.allSatisfy { $0?.destination == c && $0?.state.text == "est|rpl|trk|dnat" })
  }

  @Test(arguments: testSeeds(10)) func anyOrderGivesTheSameDatagram(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let lab = try natLab()
    let sent = ConntrackLab.udp(c, 1000, s, 53, random.bytes(120))
    let parts = fragments(sent, size: 24).shuffled(using: &random)
    let results = parts.flatMap { lab.sendAll($0) }
    #expect(results.count == parts.count)
    #expect(results.allSatisfy { $0.source == o })
    #expect(
      FrameBuilder.hasRightChecksum(
        FrameBuilder.payload(ofFragments: results.map(\.packet)), from: o, to: s, protocol: 17))
    #expect(lab.bridge.availablePackets == 1024)
  }

  @Test func thoseThatWaitedHaveComeInOnce() throws {
    let lab = try ConntrackLab()
    let group: [UInt8] = [239, 1, 1, 1]
    let parts = fragments(ConntrackLab.udp(c, 1000, group, 53, Array(repeating: 5, count: 100)), size: 32)
    for part in parts.reversed() {
      let frame = FrameBuilder.ethernet(
        to: [1, 0, 0x5e, 1, 1, 1], from: FrameBuilder.address(1), etherType: 0x0800, part)
      _ = lab.bridge.receive(bridge: "br0", port: "p1", frame: frame)
    }
    let counters = lab.bridge.counters(bridge: "br0", port: "p1")
    #expect(counters.receivedPackets == 4 && counters.receivedMulticastPackets == 4 && counters.forwardedPackets == 4)
  }

  @Test func ipv6FragmentsAreTrackedToo() throws {
    let prefix: [UInt8] = [0xfd, 0] + Array(repeating: 0, count: 13)
    let lab = try ConntrackLab()
    let sent = ConntrackLab.udp(prefix + [1], 1000, prefix + [2], 53, Array(repeating: 5, count: 100))
    #expect(fragments(sent, size: 48).allSatisfy { lab.send($0)?.state.text == "new|trk" })
    #expect(lab.send(ConntrackLab.udp(prefix + [2], 53, prefix + [1], 1000), from: 2)?.state.text == "est|rpl|trk")
  }

  @Test func whatOverlapsIsDroppedWithAllThatFollows() throws {
    let lab = try ConntrackLab()
    let parts = fragments(ConntrackLab.udp(c, 1000, s, 53, Array(repeating: 5, count: 100)), size: 32)
    #expect(lab.send(parts[0]) != nil)
    // The same again: alone.
    #expect(lab.send(parts[0]) == nil)
    #expect(lab.send(parts[1]) != nil)
    // 8 bytes too early.
    var overlapping = parts[2]
    overlapping[7] -= 1
    overlapping.replaceSubrange(10..<12, with: [0, 0])
    overlapping.replaceSubrange(10..<12, with: FrameBuilder.checksum(Array(overlapping[..<20])).octets)
    #expect(lab.send(overlapping) == nil)
    #expect(lab.send(parts[2]) == nil)
    #expect(lab.send(parts[3]) == nil)
    #expect(lab.drops(.badFragment) == 4)
  }

  @Test func fragmentsWithoutAFirstAreDroppedInTime() throws {
    let lab = try ConntrackLab()
    let parts = fragments(ConntrackLab.udp(c, 1000, s, 53, Array(repeating: 5, count: 100)), size: 32)
    for part in parts.dropFirst() { #expect(lab.send(part) == nil) }
    #expect(lab.drops(.earlyFragment) == 0, "they wait")
    #expect(lab.bridge.availablePackets == 1024 - 3)
    lab.bridge.now += 16
    _ = lab.send(ConntrackLab.udp(c, 2000, s, 53))
    #expect(lab.drops(.earlyFragment) == 3)
    #expect(lab.bridge.availablePackets == 1024)
  }

  @Test func aFloodOfFragmentsLeavesOthersAlone() throws {
    let lab = try ConntrackLab()
    _ = lab.send(ConntrackLab.udp(c, 1000, s, 53))
    _ = lab.send(ConntrackLab.udp(s, 53, c, 1000), from: 2)
    for number in 0..<20_000 {
      let source: [UInt8] = [172, 16, UInt8(number >> 8 & 255), UInt8(number & 255)]
      let parts = fragments(
        ConntrackLab.udp(source, 1, s, 9, Array(repeating: 0, count: 40)), id: UInt16(truncatingIfNeeded: number),
        size: 16)
      // First ones alone, and later ones alone.
      _ = lab.send(parts[number % 2])
      if number % 1000 == 0 {
        #expect(lab.send(ConntrackLab.udp(c, 1000, s, 53))?.state.text == "est|trk")
      }
    }
    #expect(lab.bridge.availablePackets >= 1024 - HeldFragments.limit)
    lab.bridge.now += 16
    #expect(lab.send(ConntrackLab.udp(c, 1000, s, 53))?.state.text == "est|trk")
    let parts = fragments(ConntrackLab.udp(c, 1000, s, 53, Array(repeating: 5, count: 100)), id: 9, size: 32)
    #expect(parts.reversed().flatMap { lab.sendAll($0) }.count == parts.count)
  }

  /// Later fragments without a first one at port 1 take all places; those of port 2 wait all the same.
  @Test func aFloodAtOnePortLeavesAnotherPortItsShare() throws {
    let lab = try ConntrackLab()
    _ = lab.send(ConntrackLab.udp(c, 1000, s, 53))
    _ = lab.send(ConntrackLab.udp(s, 53, c, 1000), from: 2)
    for number in 0..<500 {
      let source: [UInt8] = [172, 16, UInt8(number >> 8), UInt8(number & 255)]
      let flood = fragments(ConntrackLab.udp(source, 1, s, 9, Array(repeating: 0, count: 40)), id: 7, size: 16)
      #expect(lab.sendAll(flood[1]).isEmpty)
      guard number > HeldFragments.limit, number % 20 == 0 else { continue }
      let parts = fragments(
        ConntrackLab.udp(s, 53, c, 1000, Array(repeating: 5, count: 100)), id: UInt16(number), size: 16)
      #expect(parts.count > 5)
      #expect(parts.reversed().flatMap { lab.sendAll($0, from: 2) }.count == parts.count, "\(number)")
    }
    // A port that has more than its share gives up none of another's for it.
    #expect(lab.drops(.earlyFragment, port: 2) == 0)
    #expect(lab.drops(.earlyFragment) >= 500 - UInt64(HeldFragments.limit))
    #expect(lab.bridge.availablePackets >= 1024 - HeldFragments.limit)
  }

  @Test(arguments: testSeeds(20)) func noTwoFragmentsThatPassOverlap(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let lab = try ConntrackLab()
    var bytes: [Bool] = Array(repeating: false, count: 70_000)
    for _ in 0..<400 {
      let isLast = Int.random(in: 0..<8, using: &random) == 0
      // The first and last is no fragment.
      let start = Int.random(in: (isLast ? 1 : 0)..<40, using: &random) * 8
      let count = isLast ? Int.random(in: 1...40, using: &random) : Int.random(in: 1...5, using: &random) * 8
      var datagram = ConntrackLab.udp(c, 1000, s, 53, Array(repeating: 5, count: 1000))
      datagram.replaceSubrange(2..<4, with: UInt16(20 + count).octets)
      datagram.replaceSubrange(4..<6, with: [0, 1])
      datagram.replaceSubrange(6..<8, with: (UInt16(start / 8) | (isLast ? 0 : 0x2000)).octets)
      datagram.replaceSubrange(10..<12, with: [0, 0])
      datagram.replaceSubrange(10..<12, with: FrameBuilder.checksum(Array(datagram[..<20])).octets)
      let fragment = Array(datagram[..<20]) + Array(datagram[(20 + start)..<(20 + start + count)])
      for result in lab.sendAll(fragment) {
        let from = (Int(result.packet[6] & 0x1f) << 8 | Int(result.packet[7])) * 8
        for byte in from..<(from + result.packet.count - 20) {
          #expect(!bytes[byte], "byte \(byte) passed twice")
          bytes[byte] = true
        }
      }
    }
  }
}
