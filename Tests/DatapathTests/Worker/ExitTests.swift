import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

/// What a receiver gets through the bridge is right whatever sender and receiver can do: the bytes are compared with
/// segments built from scratch, for every combination.
@Suite struct ExitTests {
  /// The tag situation of sender and receiver.
  enum Tags: CaseIterable {
    case untagged, tagged, pushed, popped

    var sender: (VLANConfig.Mode, [(type: Int, control: Int)]) {
      switch self {
      case .untagged, .pushed: (.access, [])
      case .tagged, .popped: (.trunk, [(0x8100, 10)])
      }
    }
    var receiver: (VLANConfig.Mode, [(type: Int, control: Int)]) {
      switch self {
      case .untagged, .popped: (.access, [])
      case .tagged, .pushed: (.trunk, [(0x8100, 10)])
      }
    }
  }

  private func harness(_ tags: Tags, receiver capabilities: OffloadCapabilities) throws -> DatapathHarness {
    func vlan(_ mode: VLANConfig.Mode) -> (inout PortConfig) -> Void {
      return {
        $0.vlan.mode = mode
        $0.vlan.tag = mode == .access ? 10 : 0
      }
    }
    var bridge = BridgeConfig(name: "br0")
    bridge.ports = [
      BridgeForwardingTests.port("sender", vlan(tags.sender.0)),
      BridgeForwardingTests.port("receiver", vlan(tags.receiver.0)),
      BridgeForwardingTests.port("second", vlan(tags.receiver.0)),
    ]
    var config = SwitchConfig()
    config.bridges = [bridge]
    return try DatapathHarness(config, capabilities: ["receiver": capabilities])
  }

  private static let all: OffloadCapabilities = [.checksum, .tso4, .tso6, .tsoECN, .uso4, .uso6]

  @Test(arguments: [TestFrame.Transport.tcp, .udp], Tags.allCases)
  func receiverGetsTheRightBytes(transport: TestFrame.Transport, tags: Tags) throws {
    var random = SeededGenerator(seed: 7)
    for isIPv6 in [false, true] {
      for senderHasOffloads in [false, true] {
        for receiver in [OffloadCapabilities([]), .checksum, Self.all] {
          for length in [100, 1400, 30_000] {
            var frame = TestFrame()
            frame.isIPv6 = isIPv6
            frame.transport = transport
            frame.tags = tags.sender.1
            frame.payload = random.bytes(length)
            let isLarge = length > 1400
            // Without offloads the sender cuts and sums by itself.
            guard senderHasOffloads || !isLarge else { continue }
            let harness = try harness(tags, receiver: receiver)
            let metadata =
              if !senderHasOffloads {
                OffloadMetadata()
              } else if isLarge {
                frame.metadata(1400, .partial)
              } else {
                OffloadMetadata(
                  flags: OffloadMetadata.needsChecksum, gsoType: 0, headerByteCount: 0, gsoByteCount: 0,
                  checksumStart: UInt16(frame.transportOffset), checksumOffset: UInt16(frame.checksumOffset))
              }
            // The destination is not known: both others get it, one of them with every offload.
            let out = harness.receive(
              bridge: "br0", port: "sender", frame: frame.bytes(senderHasOffloads ? .partial : .complete),
              offload: metadata)
            var expected = frame
            expected.tags = tags.receiver.1
            let got = out.filter { $0.port == "receiver" }
            let what =
              "\(transport) \(tags) IPv6 \(isIPv6) sender \(senderHasOffloads) receiver \(receiver.rawValue) \(length)"
            if receiver == Self.all || !senderHasOffloads || (receiver == .checksum && !isLarge) {
              #expect(got.map(\.frame) == [expected.bytes(senderHasOffloads ? .partial : .complete)], "\(what)")
              let moved = senderHasOffloads ? UInt16(expected.transportOffset) : 0
              #expect(got.first?.offload.checksumStart == moved, "\(what)")
            } else {
              let segments = isLarge ? expected.segments(1400) : [expected]
              #expect(got.map(\.frame) == segments.map { $0.bytes() }, "\(what)")
              #expect(got.allSatisfy { $0.offload.isComplete }, "\(what)")
            }
            let second = out.filter { $0.port == "second" }
            #expect(second.map(\.frame) == [expected.bytes(senderHasOffloads ? .partial : .complete)], "\(what)")
            let counters = harness.counters(bridge: "br0", port: "sender")
            #expect(counters.receivedPackets == 1 && counters.forwardedPackets == 1, "\(what)")
          }
        }
      }
    }
  }

  @Test func badMetadataIsDroppedAtTheExitAndCounted() throws {
    let harness = try harness(.untagged, receiver: Self.all)
    var frame = TestFrame()
    frame.payload = [1, 2, 3]
    var metadata = frame.metadata(1400, .partial)
    metadata.checksumStart = 5000
    #expect(harness.receive(bridge: "br0", port: "sender", frame: frame.bytes(.partial), offload: metadata).isEmpty)
    #expect(harness.counters(bridge: "br0", port: "sender").receiveDrops[.badOffload] == 1)
    #expect(harness.counters(bridge: "br0", port: "receiver").transmitDrops[.badOffload] == 1)
  }

  @Test func noBufferForSegmentsDropsTheWholeAndLosesNothing() throws {
    var bridge = BridgeConfig(name: "br0")
    bridge.ports = [BridgeForwardingTests.port("a"), BridgeForwardingTests.port("b")]
    var config = SwitchConfig()
    config.bridges = [bridge]
    let harness = try DatapathHarness(config, capabilities: ["b": []], packetCount: 8)
    var frame = TestFrame()
    frame.payload = Array(repeating: 1, count: 30_000)
    let before = harness.availablePackets
    #expect(
      harness.receive(bridge: "br0", port: "a", frame: frame.bytes(.partial), offload: frame.metadata(1400, .partial))
        .isEmpty)
    #expect(harness.availablePackets == before)
    #expect(harness.counters(bridge: "br0", port: "b").transmitDrops[.noBuffer] == 1)
  }
}
