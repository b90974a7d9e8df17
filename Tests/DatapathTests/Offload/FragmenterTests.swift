import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

/// A datagram that a guest leaves to be fragmented reaches a receiver that can't take it whole as IP fragments, which together
/// are what a sender without the offload would have sent.
@Suite struct FragmenterTests {
  private static let all: OffloadCapabilities = [.checksum, .tso4, .tso6, .tsoECN, .uso4, .uso6, .ufo]

  /// Puts fragments together, byte by byte.
  private func reassemble(_ frames: [[UInt8]], isIPv6: Bool) throws -> (datagram: [UInt8], identification: Int) {
    var parts: [Int: [UInt8]] = [:]
    var end: Int?
    var identifications: Set<Int> = []
    for frame in frames {
      let packet = Array(frame[14...])
      let offset: Int
      let payload: [UInt8]
      let hasMore: Bool
      if isIPv6 {
        try #require(word(packet, 4) == packet.count - 40)
        try #require(packet[6] == 44 && packet[40] == 17)
        offset = word(packet, 42) & 0xfff8
        hasMore = packet[43] & 1 == 1
        identifications.insert(word(packet, 44) << 16 | word(packet, 46))
        payload = Array(packet[48...])
      } else {
        try #require(word(packet, 2) == packet.count && packet[9] == 17)
        #expect(naiveChecksumSum(Array(packet[..<20])) == 0xffff)
        offset = (word(packet, 6) & 0x1fff) * 8
        hasMore = packet[6] & 0x20 != 0
        #expect(packet[6] & 0x40 == 0)
        identifications.insert(word(packet, 4))
        payload = Array(packet[20...])
      }
      if hasMore { #expect(payload.count % 8 == 0) } else { end = offset + payload.count }
      #expect(parts.updateValue(payload, forKey: offset) == nil)
    }
    var whole: [UInt8] = []
    for (offset, payload) in parts.sorted(by: { $0.key < $1.key }) {
      try #require(offset == whole.count, "a hole, or an overlap")
      whole += payload
    }
    #expect(end == whole.count && identifications.count == 1)
    return (whole, identifications.first ?? 0)
  }

  private func harness(_ capabilities: OffloadCapabilities) throws -> DatapathHarness {
    var bridge = BridgeConfig(name: "br0")
    bridge.ports = [BridgeForwardingTests.port("sender"), BridgeForwardingTests.port("receiver")]
    var config = SwitchConfig()
    config.bridges = [bridge]
    return try DatapathHarness(config, capabilities: ["receiver": capabilities])
  }

  @Test(arguments: testSeeds(3), [false, true]) func fragmentsAreTheDatagram(seed: UInt64, isIPv6: Bool) throws {
    var random = SeededGenerator(seed: seed)
    let harness = try harness(.checksum)
    var identifications: [Int] = []
    for _ in 0..<40 {
      var frame = TestFrame()
      frame.isIPv6 = isIPv6
      frame.transport = .udp
      frame.identification = Bool.random(using: &random) ? 0 : 0x1234
      frame.payload = random.bytes(Int.random(in: 2000...60_000, using: &random))
      let isPartial = Bool.random(using: &random)
      var offload = OffloadMetadata()
      offload.gsoType = OffloadMetadata.gsoUFO
      offload.gsoByteCount = UInt16.random(in: 300...1480, using: &random)
      if isPartial {
        offload.flags = OffloadMetadata.needsChecksum
        offload.checksumStart = UInt16(frame.transportOffset)
        offload.checksumOffset = 6
      }
      let sent = harness.receive(
        bridge: "br0", port: "sender", frame: frame.bytes(isPartial ? .partial : .complete), offload: offload
      ).filter { $0.port == "receiver" }
      let size = Int(offload.gsoByteCount) & ~7
      #expect(sent.count == (frame.payload.count + 8 + size - 1) / size)
      #expect(sent.allSatisfy { $0.offload == OffloadMetadata() })
      let (datagram, identification) = try reassemble(sent.map(\.frame), isIPv6: isIPv6)
      #expect(datagram == Array(frame.bytes()[frame.transportOffset...]))
      if isIPv6 || frame.identification == 0 {
        identifications.append(identification)
      } else {
        #expect(identification == 0x1234)
      }
    }
    // Numbers that follow each other could be foreseen.
    #expect(Set(identifications).count > identifications.count - 3)
    #expect(!zip(identifications, identifications.dropFirst()).contains { $1 == $0 + 1 })
  }

  @Test(arguments: [false, true]) func receiversThatTakeItGetItWhole(isIPv6: Bool) throws {
    let harness = try harness(Self.all)
    var frame = TestFrame()
    frame.isIPv6 = isIPv6
    frame.transport = .udp
    frame.payload = [UInt8](repeating: 0x42, count: 9000)
    var offload = OffloadMetadata()
    offload.gsoType = OffloadMetadata.gsoUFO
    offload.gsoByteCount = 1480
    offload.flags = OffloadMetadata.needsChecksum
    offload.checksumStart = UInt16(frame.transportOffset)
    offload.checksumOffset = 6
    let sent = harness.receive(bridge: "br0", port: "sender", frame: frame.bytes(.partial), offload: offload)
    #expect(sent.map(\.frame) == [frame.bytes(.partial)] && sent.map(\.offload) == [offload])
  }

  @Test func aDatagramThatFitsIsNoFragment() throws {
    let harness = try harness([])
    for isIPv6 in [false, true] {
      var frame = TestFrame()
      frame.isIPv6 = isIPv6
      frame.transport = .udp
      frame.payload = [UInt8](repeating: 0x42, count: 100)
      var offload = OffloadMetadata()
      offload.gsoType = OffloadMetadata.gsoUFO
      offload.gsoByteCount = 1480
      let sent = harness.receive(bridge: "br0", port: "sender", frame: frame.bytes(), offload: offload)
      #expect(sent.map(\.frame) == [frame.bytes()])
    }
  }
}
