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

  @Test func aFloodOfMissesLeavesAVictimItsRounds() throws {
    var match = Match()
    match.set(.etherType, 0x0800)
    match.set(.ipProtocol, 17)
    var other = match
    other.set(.udpSource, 1, mask: 0xffff)
    other.set(.udpDestination, 60_000)
    let harness = try DatapathHarness.bridge(
      portCount: 3,
      [
        .clear, .rule(table: 0, priority: 2, other),
        .rule(table: 0, priority: 1, Match(), [.output(PortNumber(3), maximumByteCount: 0)]),
      ])
    func received(_ port: String) -> UInt64 { harness.counters(bridge: "br0", port: port).receivedPackets }
    /// Packets of each port in some rounds.
    func run(_ rounds: Int) -> (flood: Int, victim: Int) {
      let before = (received("p1"), received("p2"))
      harness.run(rounds: rounds)
      return (Int(received("p1") - before.0), Int(received("p2") - before.1))
    }
    harness.replay(bridge: "br0", port: "p1", frames: frames(20_000, from: 1), burst: 64)
    #expect(run(20).flood == 20 * 64, "alone it has all")
    harness.replay(bridge: "br0", port: "p2", frames: frames(1, from: 2), burst: 64)
    // Until the victim's bursts have grown.
    _ = run(20)
    let beside = run(50)
    #expect(beside.victim == 50 * 64)
    #expect(beside.flood <= 50, "\(beside)")
    #expect(beside.flood > 0)
    // A victim that has less than it might is not held up.
    harness.replay(bridge: "br0", port: "p2", frames: frames(1, from: 2), burst: 0)
    _ = run(5)
    #expect(run(20).flood == 20 * 64)
  }
}
