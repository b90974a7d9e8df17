import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

/// What rules and tables have counted is right though most packets never see a table.
@Suite struct FlowStatisticsTests {
  private let small = FrameBuilder.ethernet(
    to: FrameBuilder.address(2), from: FrameBuilder.address(1), etherType: 0x1234, Array(repeating: 7, count: 50))
  private let large = FrameBuilder.ethernet(
    to: FrameBuilder.address(2), from: FrameBuilder.address(1), etherType: 0x1235, Array(repeating: 7, count: 500))

  private func makeSwitch(bridges: Int = 1) throws -> DatapathHarness {
    var config = SwitchConfig()
    for number in 0..<bridges {
      var bridge = BridgeConfig(name: "br\(number)")
      for port in 1...3 {
        var interface = InterfaceConfig(name: "p\(number)\(port)", kind: .tap)
        interface.portNumberRequest = UInt16(port)
        bridge.ports.append(PortConfig(name: "p\(number)\(port)", interface: interface))
      }
      if bridges > 1 {
        var interface = InterfaceConfig(name: "patch\(number)", kind: .patch)
        interface.options["peer"] = "patch\(1 - number)"
        interface.portNumberRequest = 9
        bridge.ports.append(PortConfig(name: "patch\(number)", interface: interface))
      }
      config.bridges.append(bridge)
    }
    return try DatapathHarness(config)
  }

  private func rule(
    command: FlowMod.Command = .add, table: UInt8 = 0, priority: UInt16 = 100, _ match: [(Field, UInt128)] = [],
    _ actions: [Action] = [], goto next: UInt8? = nil, cookie: UInt64 = 0
  ) -> TableChange {
    var change = FlowMod()
    change.command = command
    change.table = table
    change.priority = priority
    change.cookie = cookie
    change.flags = .sendFlowRemoved
    for (field, value) in match { change.match.set(field, value) }
    change.instructions = Instructions(apply: actions)
    change.instructions.gotoTable = next
    return .flow(change)
  }

  private var clear: TableChange { rule(command: .delete, table: FlowMod.allTables) }
  private func output(_ port: UInt32) -> Action { .output(PortNumber(port), maximumByteCount: 0xffff) }

  private func counts(_ bridge: DatapathHarness, _ cookie: UInt64, in name: String = "br0") -> [UInt64] {
    bridge.rules(bridge: name).filter { $0.cookie == cookie }.flatMap {
      [$0.statistics.packetCount, $0.statistics.byteCount]
    }
  }

  @Test func everyPacketOfACachedFlowCountsForAllRulesOfItsWay() throws {
    let bridge = try makeSwitch()
    try bridge.changeFlows(
      bridge: "br0",
      [
        clear, rule([(.inPort, 1)], goto: 5, cookie: 1), rule(table: 5, [(.etherType, 0x1234)], [output(2)], cookie: 2),
        rule(table: 5, priority: 1, [], [output(3)], cookie: 3),
      ])
    var sent = (small: UInt64(0), large: UInt64(0))
    for round in 0..<20 {
      // In bursts: packets of both flows mixed.
      let frames = (0..<(1 + round)).map { $0 % 3 == 0 ? large : small }
      sent.large += UInt64(frames.filter { $0 == large }.count)
      sent.small += UInt64(frames.filter { $0 == small }.count)
      _ = bridge.receive(bridge: "br0", port: "p01", frames: frames)
      let bytes = (sent.small * UInt64(small.count), sent.large * UInt64(large.count))
      #expect(counts(bridge, 1) == [sent.small + sent.large, bytes.0 + bytes.1])
      #expect(counts(bridge, 2) == [sent.small, bytes.0])
      #expect(counts(bridge, 3) == [sent.large, bytes.1])
      let tables = [UInt8(0), 5].map { bridge.tableStatistics(bridge: "br0", table: $0) }
      #expect(tables.allSatisfy { $0.lookupCount == sent.small + sent.large && $0.matchedCount == $0.lookupCount })
    }
    #expect(bridge.translationCount(bridge: "br0") == 2, "all others were cached")
    #expect(bridge.cachedFlowCount(bridge: "br0") == 2)
    // Lookups that find nothing count too, cached or not.
    for _ in 0..<5 { _ = bridge.receive(bridge: "br0", port: "p02", frame: small) }
    let table = bridge.tableStatistics(bridge: "br0", table: 0)
    #expect(table.lookupCount == table.matchedCount + 5)
  }

  @Test func removedRulesTellTheirLastCounts() throws {
    let bridge = try makeSwitch()
    try bridge.changeFlows(bridge: "br0", [clear, rule([(.inPort, 1)], [output(2)], cookie: 1)])
    for _ in 0..<7 { _ = bridge.receive(bridge: "br0", port: "p01", frames: Array(repeating: small, count: 5)) }
    let removed = try bridge.changeFlows(bridge: "br0", [rule(command: .deleteStrict, [(.inPort, 1)])])
    #expect(removed.map(\.rule.statistics.packetCount) == [35])
    #expect(removed.map(\.rule.statistics.byteCount) == [35 * UInt64(small.count)])
    #expect(bridge.receive(bridge: "br0", port: "p01", frame: small).isEmpty)
    #expect(bridge.tableStatistics(bridge: "br0", table: 0).matchedCount == 35)
  }

  @Test func aModifiedRuleGoesOnCounting() throws {
    let bridge = try makeSwitch()
    try bridge.changeFlows(bridge: "br0", [clear, rule([(.inPort, 1)], [output(2)], cookie: 1)])
    for port in UInt32(2)...3 {
      try bridge.changeFlows(bridge: "br0", [rule(command: .modify, [(.inPort, 1)], [output(port)], cookie: 1)])
      #expect(
        bridge.receive(bridge: "br0", port: "p01", frames: [small, small]).map(\.port) == ["p0\(port)", "p0\(port)"])
    }
    #expect(counts(bridge, 1) == [4, 4 * UInt64(small.count)])
    // One that is added anew with counts reset begins at 0, and its cached flow does not add to the old one.
    guard case .flow(var again) = rule([(.inPort, 1)], [output(3)], cookie: 1) else { return }
    again.flags = .resetCounts
    try bridge.changeFlows(bridge: "br0", [.flow(again)])
    _ = bridge.receive(bridge: "br0", port: "p01", frame: small)
    #expect(counts(bridge, 1) == [1, UInt64(small.count)])
  }

  @Test func theRuleOfALearningBridgeCountsThoughNoPacketMeetsIt() throws {
    let bridge = try makeSwitch(bridges: 2)
    // Unknown, then known: kept decisions; two bursts of two sizes; across a patch to the other bridge.
    _ = bridge.receive(bridge: "br0", port: "p01", frame: small)
    let answer = FrameBuilder.ethernet(
      to: FrameBuilder.address(1), from: FrameBuilder.address(2), etherType: 0x1234, Array(repeating: 7, count: 50))
    _ = bridge.receive(bridge: "br0", port: "p02", frame: answer)
    for _ in 0..<10 { _ = bridge.receive(bridge: "br0", port: "p01", frames: [small, large, small]) }
    // Too short for an Ethernet header: it meets no rule.
    _ = bridge.receive(bridge: "br0", port: "p03", frame: [1, 2, 3])
    _ = bridge.receive(bridge: "br0", port: "p03", frame: Array(small[..<14]))
    let bytes = UInt64(small.count + answer.count + 20 * small.count + 10 * large.count + 14)
    #expect(counts(bridge, 0) == [33, bytes])
    // Floods of unknown destinations went to the other bridge as well: the first, the known ones not.
    let crossed = bridge.rules(bridge: "br1").map(\.statistics.packetCount)
    #expect(crossed == [1], "the first frame; all others went to a known station")
    let table = bridge.tableStatistics(bridge: "br0", table: 0)
    #expect(table.lookupCount == 33 && table.matchedCount == 33)
    #expect(bridge.translationCount(bridge: "br0") == 0)
    // The same counts go on when another rule comes, and are told when it goes.
    try bridge.changeFlows(
      bridge: "br0", [rule(priority: 0, [], [.output(.normal, maximumByteCount: 0)]), rule([(.inPort, 3)], [])])
    _ = bridge.receive(bridge: "br0", port: "p01", frames: [small, large])
    let all = bytes + UInt64(small.count + large.count)
    #expect(counts(bridge, 0).contains(35))
    let removed = try bridge.changeFlows(bridge: "br0", [rule(command: .deleteStrict, priority: 0)])
    #expect(removed.map(\.rule.statistics.packetCount) == [35] && removed.map(\.rule.statistics.byteCount) == [all])
  }

  @Test func multicastIsCountedOnceWhateverForwardsIt() throws {
    let bridge = try makeSwitch()
    let frame = FrameBuilder.ethernet(
      to: Array(repeating: 0xff, count: 6), from: FrameBuilder.address(1), etherType: 0x1234,
      Array(repeating: 7, count: 50))
    _ = bridge.receive(bridge: "br0", port: "p01", frame: frame)
    #expect(bridge.counters(bridge: "br0", port: "p01").receivedMulticastPackets == 1)
    try bridge.changeFlows(bridge: "br0", [rule([(.inPort, 3)], [])])
    _ = bridge.receive(bridge: "br0", port: "p01", frame: frame)
    #expect(bridge.counters(bridge: "br0", port: "p01").receivedMulticastPackets == 2)
  }
}
