import TestSupport
import Testing
import VSwitchCore
import VirtioDriver

@testable import Datapath

/// Work that a guest leaves to its device crosses the switch untouched to a guest that has agreed to do it, feature by feature, and is
/// done in software for one that has not; old headers and new ones understand each other.
@Suite(.serialized) struct GuestOffloadTests {
  private typealias Guest = PortTests.Guest
  private static let checksum: UInt64 = 1 << 0
  private static let guestChecksum: UInt64 = 1 << 1
  /// Every GUEST_… feature of segments.
  private static let guestAll: UInt64 = 0b1111 << 7 | 0b11 << 54
  private static let basic = Guest.features | Guest.mergeable

  struct Kind: CustomTestStringConvertible, Sendable {
    var name: String
    var isIPv6 = false
    var isUDP = false
    var gsoType: UInt8
    /// The sender's HOST_… feature and the receiver's GUEST_… feature.
    var host: UInt64
    var guest: UInt64
    var testDescription: String { name }
  }
  static let kinds = [
    Kind(name: "TSO4", gsoType: 1, host: 1 << 11, guest: 1 << 7),
    Kind(name: "TSO6", isIPv6: true, gsoType: 4, host: 1 << 12, guest: 1 << 8),
    Kind(name: "TSO4 with ECN", gsoType: 0x81, host: 1 << 11 | 1 << 13, guest: 1 << 7 | 1 << 9),
    Kind(name: "UFO", isUDP: true, gsoType: 3, host: 1 << 14, guest: 1 << 10),
    Kind(name: "USO4", isUDP: true, gsoType: 5, host: 1 << 56, guest: 1 << 54),
    Kind(name: "USO6", isIPv6: true, isUDP: true, gsoType: 5, host: 1 << 56, guest: 1 << 55),
  ]

  @Test(arguments: kinds) func segmentsCrossUntouchedOrAreCutForWhoDoesNotTakeThem(kind: Kind) throws {
    var random = SeededGenerator(seed: 5)
    try PortTests.withSwitch(["a", "b", "c", "d"]) { datapath, directory in
      let a = try Guest(directory + "/a", features: Self.basic | Self.checksum | kind.host)
      let takes = try Guest(directory + "/b", features: Self.basic | Self.guestChecksum | kind.guest)
      let plain = try Guest(directory + "/c", features: Self.basic)
      // Takes all others, and not this one (of a segment with ECN: not the mark).
      let lacking: UInt64 = kind.gsoType == 0x81 ? 1 << 9 : kind.guest
      let others = try Guest(
        directory + "/d", features: Self.basic | Self.guestChecksum | Self.guestAll & ~lacking)
      for byteCount in [3000, 60_000] {
        var frame = TestFrame()
        frame.isIPv6 = kind.isIPv6
        frame.transport = kind.isUDP ? .udp : .tcp
        if kind.gsoType & 0x80 != 0 { frame.flags |= 0x80 }
        frame.payload = random.bytes(byteCount)
        var offload = frame.metadata(1400, .partial)
        offload.gsoType = kind.gsoType
        var header = [UInt8](repeating: 0, count: 12)
        unsafe header.withUnsafeMutableBytes { bytes in
          if let start = bytes.baseAddress { unsafe offload.encode(to: start) }
        }
        let sent = frame.bytes(.partial)
        try #require(a.send(sent, header: header, piece: 16384))
        let whole = try #require(takes.take())
        #expect(whole.frame == sent, "\(byteCount)")
        #expect(whole.header.prefix(10) == header.prefix(10), "\(byteCount)")
        for receiver in [plain, others] {
          if kind.gsoType == 3 {
            // Fragments of the datagram: FragmenterTests puts them together.
            let count = (byteCount + 8 + 1399) / 1400
            for _ in 0..<count {
              let got = try #require(receiver.take())
              #expect(got.frame.count <= 14 + 48 + 1400 && got.header.prefix(10).allSatisfy { $0 == 0 })
            }
          } else {
            for segment in frame.segments(1400) {
              let got = try #require(receiver.take())
              #expect(got.frame == segment.bytes(), "\(byteCount)")
              #expect(got.header.prefix(10).allSatisfy { $0 == 0 })
            }
          }
        }
      }
      for counters in datapath.counters().map(\.counters) {
        #expect(counters.receivedPackets == counters.forwardedPackets + counters.receiveDrops.values.reduce(0, +))
      }
    }
  }

  /// CSUM, GUEST_CSUM.
  @Test func openChecksumsCrossOrAreFinished() throws {
    try PortTests.withSwitch(["a", "b", "c"]) { _, directory in
      let a = try Guest(directory + "/a", features: Self.basic | Self.checksum)
      let takes = try Guest(directory + "/b", features: Self.basic | Self.guestChecksum)
      let plain = try Guest(directory + "/c", features: Self.basic)
      for transport in [TestFrame.Transport.tcp, .udp] {
        var frame = TestFrame()
        frame.transport = transport
        frame.payload = [UInt8](repeating: 0x42, count: 1000)
        let start = bytes(UInt16(frame.transportOffset)) + bytes(UInt16(frame.checksumOffset))
        let header: [UInt8] = [1, 0, 0, 0, 0, 0] + start
        try #require(a.send(frame.bytes(.partial), header: header + [0, 0]))
        let open = try #require(takes.take())
        #expect(open.frame == frame.bytes(.partial) && Array(open.header.prefix(10)) == header)
        let finished = try #require(plain.take())
        #expect(finished.frame == frame.bytes() && finished.header.prefix(10).allSatisfy { $0 == 0 })
      }
    }
  }

  /// Headers of 10 bytes (no VERSION_1, buffers that can't be merged) and of 12.
  @Test(arguments: [UInt64(0), Guest.mergeable, 1 << 32], [UInt64(0), Guest.mergeable, 1 << 32])
  func legacyAndModernGuestsUnderstandEachOther(from: UInt64, to: UInt64) throws {
    try PortTests.withSwitch(["a", "b"]) { _, directory in
      let a = try Guest(directory + "/a", features: 1 << 30 | 1 << 27 | 1 << 28 | from)
      let b = try Guest(directory + "/b", features: 1 << 30 | 1 << 27 | 1 << 28 | to)
      #expect(a.headerByteCount == (from == 0 ? 10 : 12))
      for count in [60, 200, 1514, 2036] {
        for piece in [1 << 20, a.headerByteCount, 100] {
          let sent = PortTests.frame(to: 0xb, from: 0xa, count, fill: UInt8(piece & 255))
          try #require(a.send(sent, piece: piece))
          let got = try #require(b.take())
          #expect(got.frame == sent)
          #expect(got.header == [UInt8](repeating: 0, count: 10) + (to == 0 ? [] : [1, 0]))
        }
      }
    }
  }
}
