import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

/// A port that brings many packets that need a translation leaves the others their share of the worker's time.
@Suite struct MissLimitTests {
  @Test func aShareOfMissesAllowsSoManyPackets() {
    for (got, misses, limit) in [
      (64, 0, 64), (64, 1, 64), (64, 2, 32), (64, 64, 1), (1, 1, 1), (8, 1, 8), (10, 1, 10), (64, 640, 1), (3, 2, 1),
    ] { #expect(MissLimit.packets(got: got, misses: misses) == limit, "\(got) \(misses)") }
  }

  /// UDP frames that differ in their ports, which the rules look at.
  private func frames(_ count: Int, from station: UInt32) -> [[UInt8]] {
    (0..<count).map { number in
      let (from, to): ([UInt8], [UInt8]) = ([10, 0, 0, UInt8(station)], [10, 0, 0, 9])
      let udp = FrameBuilder.udp(
        from: from, to: to, sourcePort: UInt16(number & 0xffff), destinationPort: UInt16(1 + number >> 16),
        [1, 2, 3, 4])
      return FrameBuilder.ethernet(
        to: FrameBuilder.address(9), from: FrameBuilder.address(station), etherType: 0x0800,
        FrameBuilder.ipv4(from: from, to: to, protocol: 17, udp))
    }
  }

  /// Tables that look at ports, and send to port 3 what is nobody's.
  private var rules: [TableChange] {
    var other = Match()
    other.set(.etherType, 0x0800)
    other.set(.ipProtocol, 17)
    other.set(.udpSource, 1, mask: 0xffff)
    other.set(.udpDestination, 60_000)
    return [
      .clear, .rule(table: 0, priority: 2, other),
      .rule(table: 0, priority: 1, Match(), [.output(PortNumber(3), maximumByteCount: 0)]),
    ]
  }

  /// - Parameter isBehindPatch: the tables are those of another bridge.
  @Test(arguments: [false, true]) func aFloodOfMissesLeavesAVictimItsRounds(isBehindPatch: Bool) throws {
    var config = SwitchConfig()
    config.bridges = ["br0", "br1"].map { name in
      var bridge = BridgeConfig(name: name)
      for number in UInt16(1)...3 {
        var interface = InterfaceConfig(name: "\(name)p\(number)", kind: .tap)
        if number == 3 {
          interface = InterfaceConfig(name: name + "x", kind: .patch)
          interface.options["peer"] = name == "br0" ? "br1x" : "br0x"
        }
        interface.portNumberRequest = number
        bridge.ports.append(PortConfig(name: interface.name, interface: interface))
      }
      return bridge
    }
    let harness = try DatapathHarness(config, packetCount: 1024, seed: 1)
    try harness.changeFlows(bridge: isBehindPatch ? "br1" : "br0", rules)
    if isBehindPatch {
      let forward = TableChange.rule(table: 0, priority: 1, Match(), [.output(PortNumber(3), maximumByteCount: 0)])
      try harness.changeFlows(bridge: "br0", [.clear, forward])
    }
    func received(_ port: String) -> UInt64 { harness.counters(bridge: "br0", port: port).receivedPackets }
    /// Packets of each port in some rounds.
    func run(_ rounds: Int) -> (flood: Int, victim: Int) {
      let before = (received("br0p1"), received("br0p2"))
      harness.run(rounds: rounds)
      return (Int(received("br0p1") - before.0), Int(received("br0p2") - before.1))
    }
    harness.replay(bridge: "br0", port: "br0p1", frames: frames(20_000, from: 1), burst: 64)
    #expect(run(20).flood == 20 * 64, "alone it has all")
    harness.replay(bridge: "br0", port: "br0p2", frames: frames(1, from: 2), burst: 64)
    // Until the victim's bursts have grown.
    _ = run(20)
    let beside = run(50)
    #expect(beside.victim == 50 * 64)
    #expect(beside.flood <= 50, "\(beside)")
    #expect(beside.flood > 0)
    // A victim that has less than it might is not held up.
    harness.replay(bridge: "br0", port: "br0p2", frames: frames(1, from: 2), burst: 0)
    _ = run(5)
    #expect(run(20).flood == 20 * 64)
  }
}
