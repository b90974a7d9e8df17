import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

/// Decisions that are kept end with each thing that they were made of. Random switches and repeated frames are held
/// against the naive switch in DifferentialTests.
@Suite struct DecisionCacheTests {
  typealias Bridge = BridgeForwardingTests

  /// Three ports; station 2 is known at b, and a's frames to it have a decision.
  static func settled(_ change: (inout BridgeConfig) -> Void = { _ in }) throws -> DatapathHarness {
    let harness = try Bridge.harness([Bridge.port("a"), Bridge.port("b"), Bridge.port("c")], change)
    _ = harness.receive(bridge: "br0", port: "b", frame: Bridge.frame(to: 1, from: 2))
    for _ in 0..<2 { #expect(Self.exits(harness) == ["b"]) }
    return harness
  }

  static func exits(_ harness: DatapathHarness) -> [String] {
    harness.receive(bridge: "br0", port: "a", frame: Bridge.frame(to: 2, from: 1)).map(\.port)
  }

  @Test func decisionEndsWhenTheStationMoves() throws {
    let harness = try Self.settled()
    _ = harness.receive(bridge: "br0", port: "c", frame: Bridge.frame(to: 9, from: 2))
    #expect(Self.exits(harness) == ["c"])
  }

  @Test func decisionEndsInsideTheBurstInWhichTheStationMoves() throws {
    let harness = try Self.settled()
    // Station 2's own frame comes in at a, so that frames to it have no way to go any more.
    let frames = [Bridge.frame(to: 2, from: 1), Bridge.frame(to: 9, from: 2), Bridge.frame(to: 2, from: 1)]
    let out = harness.receive(bridge: "br0", port: "a", frames: frames)
    #expect(out.filter { $0.frame == frames[0] }.map(\.port) == ["b"])
    #expect(harness.counters(bridge: "br0", port: "a").receiveDrops[.samePort] == 1)
  }

  @Test func decisionEndsWhenAStaticEntryNamesAnotherPort() throws {
    let harness = try Self.settled()
    #expect(harness.addStation(bridge: "br0", vlan: 0, address: MACAddress(bits: 0x0200_0000_0002), port: "c"))
    #expect(Self.exits(harness) == ["c"])
  }

  @Test func decisionEndsWhenTheStationIsEvicted() throws {
    let harness = try Self.settled { $0.macTableLimit = 2 }
    // Two new stations push 2 and then each other out.
    _ = harness.receive(bridge: "br0", port: "b", frame: Bridge.frame(to: 9, from: 3))
    #expect(Self.exits(harness) == ["b", "c"])
  }

  @Test func decisionIsForItsEntryPortAlone() throws {
    let harness = try Self.settled()
    let out = harness.receive(bridge: "br0", port: "c", frame: Bridge.frame(to: 2, from: 1))
    #expect(out.map(\.port) == ["b"])
    // Its source moved with it.
    #expect(harness.receive(bridge: "br0", port: "b", frame: Bridge.frame(to: 1, from: 2)).map(\.port) == ["c"])
  }

  @Test func sourceThatIsHeardOfByDecisionsStaysFresh() throws {
    let harness = try Self.settled()
    for _ in 0..<4 {
      harness.now += 200
      _ = harness.receive(bridge: "br0", port: "b", frame: Bridge.frame(to: 1, from: 2))
      for _ in 0..<3 { #expect(Self.exits(harness) == ["b"]) }
    }
    let out = harness.receive(bridge: "br0", port: "c", frame: Bridge.frame(to: 1, from: 3))
    #expect(out.map(\.port) == ["a"])
  }

  @Test func tagsTellDecisionsApart() throws {
    let harness = try Bridge.harness([
      Bridge.port("trunk"),
      Bridge.port("ten") {
        $0.vlan.mode = .access
        $0.vlan.tag = 10
      },
      Bridge.port("twenty") {
        $0.vlan.mode = .access
        $0.vlan.tag = 20
      },
    ])
    for port in ["ten", "twenty"] {
      _ = harness.receive(bridge: "br0", port: port, frame: Bridge.frame(to: 1, from: 2))
    }
    let frames = (0..<64).map { Bridge.frame(to: 2, from: 1, tags: [0x81, 0, 0, $0 % 2 == 0 ? 10 : 20]) }
    let out = harness.receive(bridge: "br0", port: "trunk", frames: frames)
    #expect(out.count == 64)
    #expect(out.filter { $0.port == "ten" }.count == 32)
    #expect(out.allSatisfy { $0.frame == Bridge.frame(to: 2, from: 1) })
  }

  @Test func epochsThatWrapFindNothingOld() throws {
    let cache = DecisionCache()
    defer { cache.deallocate() }
    var bytes: [UInt64] = [1, 2, 3]
    unsafe bytes.withUnsafeMutableBytes { bytes in
      guard let start = bytes.baseAddress else { return }
      let header = unsafe DecisionCache.Header(start)
      #expect(unsafe !cache.isDecision(cache.entry(header), header, inPort: 0))
      cache.remember(header, inPort: 0, exit: 3, oldTag: 0, newTag: 0)
      #expect(unsafe cache.isDecision(cache.entry(header), header, inPort: 0))
      #expect(unsafe !cache.isDecision(cache.entry(header), header, inPort: 1))
      cache.setEpoch(.max)
      cache.forget(changes: 1)
      #expect(unsafe !cache.isDecision(cache.entry(header), header, inPort: 0))
    }
  }
}
