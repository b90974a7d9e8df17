import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

/// Rules that packets have had made.
@Suite struct LearningTests {
  private func makeSwitch(bridges: [String]) throws -> DatapathHarness {
    var config = SwitchConfig()
    for name in bridges {
      var bridge = BridgeConfig(name: name)
      for port in 1...2 {
        var interface = InterfaceConfig(name: "\(name)p\(port)", kind: .tap)
        interface.portNumberRequest = UInt16(port)
        bridge.ports.append(PortConfig(name: "\(name)p\(port)", interface: interface))
      }
      config.bridges.append(bridge)
    }
    return try DatapathHarness(config)
  }

  /// Table 0 learns a rule of table 1 for the packet's source address.
  private var learning: [TableChange] {
    var clear = FlowMod()
    clear.command = .delete
    clear.table = FlowMod.allTables
    var learn = LearnAction(table: 1)
    learn.specifications = [
      .match(.field(Subfield(.ethernetSource)), to: Subfield(.ethernetDestination))
    ]
    var rule = FlowMod()
    rule.instructions = Instructions(apply: [.learn(learn), .output(PortNumber(2), maximumByteCount: 0xffff)])
    return [.flow(clear), .flow(rule)]
  }

  private var forget: TableChange {
    var forget = FlowMod()
    forget.command = .delete
    forget.table = 1
    return .flow(forget)
  }

  private let frame = FrameBuilder.ethernet(
    to: FrameBuilder.address(2), from: FrameBuilder.address(1), etherType: 0x1234, Array(repeating: 7, count: 50))

  private func learnedCount(_ bridge: DatapathHarness, _ name: String = "br0") -> Int {
    bridge.rules(bridge: name).count { $0.table == 1 }
  }

  @Test func whatWasDeletedIsLearnedAgainAtOnce() throws {
    let bridge = try makeSwitch(bridges: ["br0"])
    try bridge.changeFlows(bridge: "br0", learning)
    for _ in 0..<5 {
      _ = bridge.receive(bridge: "br0", port: "br0p1", frame: frame)
      _ = bridge.handleEvents()
      #expect(learnedCount(bridge) == 1)
      // Within the second in which it was learned: the clock of the harness stands still.
      try bridge.changeFlows(bridge: "br0", [forget])
      #expect(learnedCount(bridge) == 0)
    }
  }

  /// What comes behind `learn` sees that the rule is made: its first packet, those of the cached flow, and other flows'.
  @Test func theResultOfLearningIsInItsBit() throws {
    let bridge = try makeSwitch(bridges: ["br0"])
    for (limit, bit) in [(UInt32(0), 0), (10, 5)] {
      var learn = LearnAction(table: 1)
      learn.limit = limit
      learn.flags = .writeResult
      learn.result = Subfield(.reg1, firstBit: bit, bitCount: 1)
      learn.specifications = [.match(.field(Subfield(.ethernetSource)), to: Subfield(.ethernetDestination))]
      // The other bits stay.
      try bridge.changeFlows(
        bridge: "br0",
        [
          clear,
          rule([], [.setField(.reg1, value: 0xf00, mask: 0xffff_ffff), .learn(learn)], goto: 2),
          rule(table: 2, [(.reg1, 0xf00 | 1 << UInt128(bit))], [output(2)]),
        ])
      for source in [UInt32(1), 1, 3, 1] {
        let frame = FrameBuilder.ethernet(
          to: FrameBuilder.address(2), from: FrameBuilder.address(source), etherType: 0x1234,
          Array(repeating: 7, count: 50))
        #expect(bridge.receive(bridge: "br0", port: "br0p1", frame: frame).map(\.port) == ["br0p2"])
        _ = bridge.handleEvents()
      }
      #expect(learnedCount(bridge) == 2)
    }
  }

  /// Where there are as many as may be, packets of others are told that theirs is not: by cached flows, too, which are made anew
  /// when rules come and go. More rules than 64 of one mask are in another structure than fewer.
  @Test(arguments: [1, 3, 100]) func theResultOfLearningSaysWhenTheLimitIsReached(limit: UInt32) throws {
    let bridge = try makeSwitch(bridges: ["br0"])
    var learn = LearnAction(table: 1)
    learn.limit = limit
    learn.cookie = 7
    learn.flags = .writeResult
    learn.result = Subfield(.reg1, firstBit: 0, bitCount: 1)
    learn.specifications = [.match(.field(Subfield(.ethernetSource)), to: Subfield(.ethernetDestination))]
    try bridge.changeFlows(
      bridge: "br0",
      [
        clear, rule([], [.setField(.reg1, value: 3, mask: 3), .learn(learn)], goto: 2),
        rule(table: 2, [(.reg1, 3)], [output(2)]),
        rule(table: 2, [(.reg1, 2)], [.output(.inPort, maximumByteCount: 0)]),
      ])
    func isLearned(_ source: UInt32) -> Bool {
      let frame = FrameBuilder.ethernet(
        to: FrameBuilder.address(2), from: FrameBuilder.address(source), etherType: 0x1234,
        Array(repeating: 7, count: 50))
      let ports = bridge.receive(bridge: "br0", port: "br0p1", frame: frame).map(\.port)
      _ = bridge.handleEvents()
      #expect(ports == ["br0p2"] || ports == ["br0p1"])
      return ports == ["br0p2"]
    }
    for _ in 0..<2 {
      for source in 1...limit { #expect(isLearned(source)) }
      for source in limit + 1...limit + 2 { for _ in 0..<2 { #expect(!isLearned(source)) } }
      #expect(learnedCount(bridge) == Int(limit))
    }
    let trace = bridge.trace(
      bridge: "br0", port: "br0p1",
      frame: FrameBuilder.ethernet(
        to: FrameBuilder.address(2), from: FrameBuilder.address(limit + 1), etherType: 0x1234,
        [UInt8](repeating: 7, count: 50)))
    #expect(
      trace?.outcome.exits.map(\.port) == ["1"] || trace?.outcome.exits.map(\.port) == ["br0p1"],
      "\(trace.debugDescription)")
    // One goes, another one takes its place.
    var gone = FlowMod()
    gone.command = .delete
    gone.table = 1
    gone.match.set(.ethernetDestination, 0x0200_0000_0001)
    try bridge.changeFlows(bridge: "br0", [.flow(gone)])
    #expect(learnedCount(bridge) == Int(limit) - 1)
    bridge.now += 1
    #expect(isLearned(limit + 2))
    #expect(!isLearned(limit + 1))
    #expect(!isLearned(1))
    // Rules of other cookies do not count.
    try bridge.changeFlows(bridge: "br0", [forget])
    bridge.now += 1
    try bridge.changeFlows(
      bridge: "br0", (0..<limit + 3).map { rule(table: 1, [(.inPort, UInt128(100 + $0))], []) })
    for source in 1...limit { #expect(isLearned(source)) }
    #expect(!isLearned(limit + 1))
  }

  @Test func everyPacketOfACachedFlowIsToldOnceASecond() throws {
    let bridge = try makeSwitch(bridges: ["br0"])
    try bridge.changeFlows(bridge: "br0", learning)
    var told = 0
    for _ in 0..<20 {
      _ = bridge.receive(bridge: "br0", port: "br0p1", frame: frame)
      while let record = bridge.events.read() {
        if case .learn = FlowEvent(record) { told += 1 }
      }
    }
    #expect(told == 1)
  }

  @Test func bridgesWithTheSameRulesLearnEachForItself() throws {
    let bridge = try makeSwitch(bridges: ["br0", "br1"])
    for name in ["br0", "br1"] { try bridge.changeFlows(bridge: name, learning) }
    for name in ["br0", "br1"] { _ = bridge.receive(bridge: name, port: "\(name)p1", frame: frame) }
    _ = bridge.handleEvents()
    #expect(learnedCount(bridge, "br0") == 1)
    #expect(learnedCount(bridge, "br1") == 1)
  }
}
