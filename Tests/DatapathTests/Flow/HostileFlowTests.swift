import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

/// One port that sends what needs as many cached flows and masks as can be leaves the others theirs.
@Suite struct HostileFlowTests {
  /// Tables in which the low six bits of the source address decide which of six other fields are looked at: 64 masks.
  private func makeSwitch() throws -> DatapathHarness {
    var changes = [clear]
    let fields: [(Field, UInt128)] = [
      (.udpDestination, 77), (.ipTTL, 77), (.ipDSCP, 33), (.ethernetSource, 77), (.ethernetDestination, 77),
      (.ipv4Destination, 77),
    ]
    for (number, (field, value)) in fields.enumerated() {
      let table = UInt8(2 * number)
      var bit = Match()
      bit.set(.etherType, 0x0800)
      bit.set(.ipv4Source, 1 << UInt128(number), mask: 1 << UInt128(number))
      changes.append(rule(table: table, priority: 2, bit, goto: table + 1))
      changes.append(rule(table: table, priority: 1, Match(), goto: table + 2))
      var match = Match()
      match.set(.etherType, 0x0800)
      match.set(.ipProtocol, 17)
      match.set(field, value)
      changes.append(rule(table: table + 1, priority: 2, match))
      changes.append(rule(table: table + 1, priority: 1, Match(), goto: table + 2))
    }
    changes.append(rule(table: 12, priority: 1, Match(), [.output(PortNumber(3), maximumByteCount: 0)]))
    return try .bridge(portCount: 3, changes)
  }

  private func frame(_ source: UInt32, port: UInt16) -> [UInt8] {
    let from = [UInt8(source >> 24), UInt8(source >> 16 & 255), UInt8(source >> 8 & 255), UInt8(source & 255)]
    let to: [UInt8] = [10, 0, 0, 2]
    let udp = FrameBuilder.udp(from: from, to: to, sourcePort: port, destinationPort: 9, Array(0..<20))
    return FrameBuilder.ethernet(
      to: FrameBuilder.address(2), from: FrameBuilder.address(1), etherType: 0x0800,
      FrameBuilder.ipv4(from: from, to: to, protocol: 17, udp))
  }

  @Test(arguments: testSeeds(2))
  func anExplosionOfMasksLeavesAVictimItsCachedFlows(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let bridge = try makeSwitch()
    func attack(_ count: Int) {
      let frames = (0..<count).map { _ in
        frame(0xc0a8_0100 | UInt32(random.next() % 64), port: UInt16(truncatingIfNeeded: random.next()))
      }
      for start in stride(from: 0, to: count, by: 32) {
        _ = bridge.receive(bridge: "br0", port: "p1", frames: Array(frames[start..<min(start + 32, count)]))
      }
    }
    // The attack comes first, so that the victim's flow finds the cache as the attacker has left it.
    attack(3000)
    let (masks, refused) = bridge.cacheUse(bridge: "br0")
    #expect(masks == Int(MegaflowCache.portMaskLimit), "one port's share")
    #expect(refused > 0, "more was asked for than it may have")
    let victim = frame(0x0a00_0015, port: 7777)
    for second in 0..<5 {
      bridge.now += UInt32(second % 2)
      attack(500)
      let before = bridge.translationCount(bridge: "br0")
      for _ in 0..<20 {
        #expect(bridge.receive(bridge: "br0", port: "p2", frame: victim).map(\.port) == ["p3"])
      }
      #expect(bridge.translationCount(bridge: "br0") - before <= (second == 0 ? 1 : 0), "all others were cached")
    }
    // What found no room was forwarded all the same.
    let counters = bridge.counters(bridge: "br0", port: "p1")
    #expect(counters.forwardedPackets == counters.receivedPackets && counters.receivedPackets == 5500)
    // When the attack is over its masks give way.
    let other = (0..<64).map { frame(0xc0a8_0100 | UInt32($0), port: 1) }
    bridge.now += 10
    for frame in other { _ = bridge.receive(bridge: "br0", port: "p2", frame: frame) }
    #expect(bridge.cacheUse(bridge: "br0").maskCount <= MegaflowCache.maskLimit)
    let before = bridge.translationCount(bridge: "br0")
    _ = bridge.receive(bridge: "br0", port: "p2", frame: try #require(other.first))
    #expect(bridge.translationCount(bridge: "br0") == before)
  }

  @Test func aFloodOfFlowsLeavesOthersTheirShare() throws {
    let bridge = try makeSwitch()
    var clear = FlowMod()
    clear.command = .delete
    var rule = FlowMod()
    rule.match.set(.etherType, 0x0800)
    rule.match.set(.ipv4Source, 1)
    var last = FlowMod()
    last.priority = 1
    last.instructions = Instructions(apply: [.output(PortNumber(3), maximumByteCount: 0)])
    try bridge.changeFlows(bridge: "br0", [.flow(clear), .flow(rule), .flow(last)])
    // Every source is a flow of its own, as there is a rule for a whole one.
    let limit = Int(MegaflowCache.portFlowLimit)
    for start in stride(from: 0, to: limit + 4096, by: 64) {
      let frames = (0..<64).map { frame(0x0b00_0000 + UInt32(start + $0), port: 1) }
      _ = bridge.receive(bridge: "br0", port: "p1", frames: frames)
    }
    #expect(bridge.cachedFlowCount(bridge: "br0") == limit)
    for number in UInt32(0)..<64 {
      let victim = frame(0x0c00_0000 + number, port: 1)
      let before = bridge.translationCount(bridge: "br0")
      for _ in 0..<3 { _ = bridge.receive(bridge: "br0", port: "p2", frame: victim) }
      #expect(bridge.translationCount(bridge: "br0") == before + 1)
    }
    // Later its own old flows give way to its new ones.
    bridge.now += 5
    let late = frame(0x0d00_0000, port: 1)
    _ = bridge.receive(bridge: "br0", port: "p1", frame: late)
    let before = bridge.translationCount(bridge: "br0")
    _ = bridge.receive(bridge: "br0", port: "p1", frame: late)
    #expect(bridge.translationCount(bridge: "br0") == before)
  }
}
