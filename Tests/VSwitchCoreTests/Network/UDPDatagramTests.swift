// UDP datagrams in frames, against frames that are built byte by byte elsewhere and frames of real clients.

import TestSupport
import Testing

@testable import VSwitchCore

@Suite struct UDPDatagramTests {
  static let frames: [[UInt8]] = {
    let ipv4 = FrameBuilder.udp(
      from: [10, 0, 0, 2], to: [10, 0, 0, 1], sourcePort: 5353, destinationPort: 53, [1, 2, 3])
    let long: [UInt8] = [0xfd] + [UInt8](repeating: 0, count: 14) + [2]
    let other: [UInt8] = [0xfd] + [UInt8](repeating: 0, count: 14) + [1]
    let ipv6 = FrameBuilder.udp(from: long, to: other, sourcePort: 546, destinationPort: 547, [9, 8, 7, 6])
    let addresses = (FrameBuilder.address(1), FrameBuilder.address(2))
    return [
      FrameBuilder.ethernet(
        to: addresses.0, from: addresses.1, etherType: 0x0800,
        FrameBuilder.ipv4(from: [10, 0, 0, 2], to: [10, 0, 0, 1], protocol: 17, ipv4)),
      FrameBuilder.ethernet(
        to: addresses.0, from: addresses.1, etherType: 0x86dd,
        FrameBuilder.ipv6(from: long, to: other, nextHeader: 17, ipv6)),
    ]
  }()

  @Test func framesOfBothFamiliesAreReadAndWrittenAlike() throws {
    let first = try #require(UDPDatagram(frame: Self.frames[0]))
    #expect(first.source.description == "10.0.0.2")
    #expect(first.sourcePort == 5353)
    #expect(first.payload == [1, 2, 3])
    #expect(UDPDatagram(frame: first.frame) == first)
    let second = try #require(UDPDatagram(frame: Self.frames[1]))
    #expect(second.destination.description == "fd00::1")
    #expect(second.frame == Self.frames[1])
    let reply = second.reply([5])
    #expect(UDPDatagram(frame: reply.frame) == reply)
    #expect(reply.destinationMAC == second.sourceMAC && reply.sourcePort == 547)
  }

  @Test func paddingBehindTheDatagramIsNoPayload() throws {
    #expect(try #require(UDPDatagram(frame: Self.frames[0] + [0, 0, 0, 0])).payload == [1, 2, 3])
  }

  @Test func prefixesAndChangedBytesAreRefused() {
    for frame in Self.frames + [RecordedFrames.udhcpcDiscover] {
      for count in 0..<frame.count { #expect(UDPDatagram(frame: Array(frame.prefix(count))) == nil) }
      // Every byte behind the Ethernet addresses is under a checksum or decides what the packet is, but for hop limit,
      // class and label of IPv6.
      for index in 12..<frame.count where frame[12] == 8 || !(14..<18).contains(index) && index != 21 {
        var changed = frame
        changed[index] ^= 0x40
        #expect(UDPDatagram(frame: changed) == nil, "byte \(index)")
      }
    }
  }

  @Test func fragmentsAreRefused() {
    let part = FrameBuilder.udp(from: [10, 0, 0, 2], to: [10, 0, 0, 1], sourcePort: 1, destinationPort: 53, [])
    var packet = FrameBuilder.ipv4(from: [10, 0, 0, 2], to: [10, 0, 0, 1], protocol: 17, part)
    packet[6] = 0x20
    packet[10] = 0
    packet[11] = 0
    packet.replaceSubrange(10..<12, with: FrameBuilder.checksum(Array(packet[..<20])).octets)
    let frame = FrameBuilder.ethernet(
      to: FrameBuilder.address(1), from: FrameBuilder.address(2), etherType: 0x0800, packet)
    #expect(UDPDatagram(frame: frame) == nil)
  }

  @Test(arguments: testSeeds(4)) func anyBytesAreReadOrRefused(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<2000 {
      var frame = Self.frames[Int.random(in: 0..<2, using: &generator)]
      for _ in 0..<Int.random(in: 0...4, using: &generator) {
        frame[Int.random(in: 0..<frame.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      }
      _ = UDPDatagram(frame: Array(frame.prefix(Int.random(in: 0...frame.count, using: &generator))))
    }
  }
}
