import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

/// Rules between a port's device and its bridge.
@Suite struct PortGuardTests {
  /// Ports p1 and p2 with guards in bridge `g`, p3 without one; p1 and p2 in VLAN 7, p3 a trunk.
  private static func harness() throws -> DatapathHarness {
    var bridge = BridgeConfig(name: "br0")
    for number in 1...3 {
      var interface = InterfaceConfig(name: "p\(number)", kind: .tap)
      interface.portNumberRequest = UInt16(number)
      var port = PortConfig(name: "p\(number)", interface: interface)
      if number < 3 {
        port.vlan.mode = .access
        port.vlan.tag = 7
        port.guarding = PortGuard(
          bridge: "g", deviceNumber: UInt16(number * 10), bridgeNumber: UInt16(number * 10 + 1))
      }
      bridge.ports.append(port)
    }
    var guarding = BridgeConfig(name: "g")
    guarding.isSecure = true
    var config = SwitchConfig()
    config.bridges = [guarding, bridge]
    return try DatapathHarness(config)
  }

  private static func rule(in number: UInt32, _ fields: [(Field, UInt128)] = [], out: UInt32?) -> TableChange {
    var match = Match()
    match.set(.inPort, UInt128(number))
    for (field, value) in fields { match.set(field, value) }
    var change = FlowMod()
    change.priority = fields.isEmpty ? 1 : 10
    change.match = match
    change.instructions = Instructions(
      apply: out.map { [.output(PortNumber($0), maximumByteCount: 0)] } ?? [])
    return .flow(change)
  }

  private func frame(from source: UInt32, to destination: UInt32, etherType: UInt16 = 0x0800) -> [UInt8] {
    FrameBuilder.ethernet(
      to: FrameBuilder.address(destination), from: FrameBuilder.address(source), etherType: etherType,
      [UInt8](repeating: 0x45, count: 60))
  }

  @Test func withoutARuleNothingPasses() throws {
    let harness = try Self.harness()
    #expect(harness.receive(bridge: "br0", port: "p1", frame: frame(from: 1, to: 2)).isEmpty)
    #expect(harness.receive(bridge: "br0", port: "p3", frame: frame(from: 3, to: 2)).isEmpty)
    #expect(harness.stations(bridge: "br0").map(\.port) == ["p3"], "only what has passed is learned")
    let counters = harness.counters(bridge: "br0", port: "p1")
    #expect(counters.receivedPackets == 1 && counters.receiveDrops.values.reduce(0, +) == 1)
  }

  @Test func whatRulesLetThroughIsBridgedAsFromThePortItself() throws {
    let harness = try Self.harness()
    try harness.changeFlows(
      bridge: "g",
      [
        Self.rule(in: 10, out: 11), Self.rule(in: 11, out: 10), Self.rule(in: 20, out: 21), Self.rule(in: 21, out: 20),
        Self.rule(in: 10, [(.etherType, 0x88b5)], out: nil), Self.rule(in: 21, [(.etherType, 0x88b6)], out: nil),
      ])
    // Flooded: to the other port of the VLAN, and with its tag to the trunk.
    var outputs = harness.receive(bridge: "br0", port: "p1", frame: frame(from: 1, to: 2))
    #expect(Set(outputs.map(\.port)) == ["p2", "p3"])
    #expect(outputs.first { $0.port == "p2" }?.frame.count == 74)
    #expect(outputs.first { $0.port == "p3" }?.frame[12..<16] == [0x81, 0, 0, 7])
    // Answered: now both stations are known.
    for _ in 0..<3 {
      outputs = harness.receive(bridge: "br0", port: "p2", frame: frame(from: 2, to: 1))
      #expect(outputs.map(\.port) == ["p1"])
      outputs = harness.receive(bridge: "br0", port: "p1", frame: frame(from: 1, to: 2))
      #expect(outputs.map(\.port) == ["p2"])
    }
    #expect(Set(harness.stations(bridge: "br0").map { "\($0.port) \($0.vlan)" }) == ["p1 7", "p2 7"])
    // What a rule stops on the way in, and on the way out.
    #expect(harness.receive(bridge: "br0", port: "p1", frame: frame(from: 1, to: 2, etherType: 0x88b5)).isEmpty)
    #expect(harness.receive(bridge: "br0", port: "p1", frame: frame(from: 1, to: 2, etherType: 0x88b6)).isEmpty)
    #expect(harness.receive(bridge: "br0", port: "p2", frame: frame(from: 2, to: 1, etherType: 0x88b6)).count == 1)
  }

  @Test func rulesOfTheOwnBridgeSeeThePortByItsNumber() throws {
    let harness = try Self.harness()
    try harness.changeFlows(
      bridge: "g", [(10, 11), (11, 10), (20, 21), (21, 20)].map { Self.rule(in: $0.0, out: $0.1) })
    var clear = FlowMod()
    clear.command = .delete
    clear.table = FlowMod.allTables
    try harness.changeFlows(bridge: "br0", [.flow(clear), Self.rule(in: 1, out: 2), Self.rule(in: 3, out: 1)])
    #expect(harness.receive(bridge: "br0", port: "p1", frame: frame(from: 1, to: 9)).map(\.port) == ["p2"])
    #expect(harness.receive(bridge: "br0", port: "p3", frame: frame(from: 3, to: 9)).map(\.port) == ["p1"])
    #expect(harness.receive(bridge: "br0", port: "p2", frame: frame(from: 2, to: 9)).isEmpty)
  }
}
