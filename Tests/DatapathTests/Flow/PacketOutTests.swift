// Counters of ports beside packets from controllers, which come in nowhere.

import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

@Suite struct PacketOutTests {
  private static func makeSwitch() throws -> DatapathHarness {
    func port(_ name: String, _ number: UInt16, peer: String? = nil) -> PortConfig {
      var interface = InterfaceConfig(name: name, kind: peer == nil ? .tap : .patch)
      interface.portNumberRequest = number
      if let peer { interface.options["peer"] = peer }
      return PortConfig(name: name, interface: interface)
    }
    var first = BridgeConfig(name: "br0")
    first.ports = [port("p1", 1), port("p2", 2), port("p3", 3), port("x", 4, peer: "y")]
    var second = BridgeConfig(name: "br1")
    second.ports = [port("p5", 1), port("y", 2, peer: "x")]
    var config = SwitchConfig()
    config.bridges = [first, second]
    return try DatapathHarness(config)
  }

  @Test(arguments: [PortNumber.controller, PortNumber(1), PortNumber(4)])
  func whatBecomesOfThemIsCountedAtNoPort(inPort: PortNumber) throws {
    let harness = try Self.makeSwitch()
    let programs: [(actions: [Action], exits: Int)] = [
      ([], 0), ([output(2)], 1), ([output(2), output(3)], 2),
      ([.output(.flood, maximumByteCount: 0)], -1),
      ([.output(.normal, maximumByteCount: 0)], -1), ([output(4)], inPort.rawValue == 4 ? 0 : 1),
      ([output(77)], 0),
    ]
    let frame = FrameBuilder.ethernet(
      to: FrameBuilder.address(9), from: FrameBuilder.address(8), etherType: 0x0800, [UInt8](repeating: 1, count: 60))
    for (actions, exits) in programs {
      let found = try harness.sendPacket(bridge: "br0", inPort: inPort, actions: actions, data: frame)
      if exits >= 0 { #expect(found.count == exits, "\(actions)") } else { #expect(!found.isEmpty, "\(actions)") }
    }
    _ = harness.receive(bridge: "br0", port: "p1", frame: frame)
    for (bridge, port) in [("br0", "p1"), ("br0", "p2"), ("br0", "p3"), ("br0", "x"), ("br1", "p5"), ("br1", "y")] {
      let counters = harness.counters(bridge: bridge, port: port)
      let drops = counters.receiveDrops.values.reduce(0, +)
      #expect(
        counters.receivedPackets == counters.forwardedPackets + drops,
        "\(port) received \(counters.receivedPackets), forwarded \(counters.forwardedPackets), dropped \(drops)")
    }
    #expect(harness.counters(bridge: "br0", port: "p1").receivedPackets == 1)
    #expect(harness.availablePackets == 1024)
  }
}
