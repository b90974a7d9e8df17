// Known stations and floods: one flow (the burst's shortcut for equal headers applies), and 256 flows in turn (it never
// does: every packet is parsed, learned from and looked up).

import VSwitchCore

extension Scenario {
  static func port(_ name: String, access vlan: UInt16? = nil) -> PortConfig {
    var interface = InterfaceConfig(name: name, kind: .tap)
    interface.portNumberRequest = UInt16(name.dropFirst())
    var port = PortConfig(name: name, interface: interface)
    if let vlan {
      port.vlan.mode = .access
      port.vlan.tag = vlan
    }
    return port
  }

  static var forwarding: [Scenario] { [untagged, push, pop, mixed, vlanMixed, flood] }

  private static let here = station(1, 1)
  private static let there = station(2, 1)

  static var untagged: Scenario {
    Scenario(
      name: "untagged", summary: "one flow between two trunk ports", ports: [port("p1"), port("p2")],
      introductions: [("p2", smallFrame(to: here, from: there))], frames: [smallFrame(to: there, from: here)])
  }

  static var push: Scenario {
    Scenario(
      name: "push", summary: "one flow from an access port to a trunk: a tag is put on",
      ports: [port("p1", access: 10), port("p2")],
      introductions: [("p2", smallFrame(to: here, from: there, tag: vlanTag(10)))],
      frames: [smallFrame(to: there, from: here)])
  }

  static var pop: Scenario {
    Scenario(
      name: "pop", summary: "one flow from a trunk to an access port: the tag is taken off",
      ports: [port("p1"), port("p2", access: 10)], introductions: [("p2", smallFrame(to: here, from: there))],
      frames: [smallFrame(to: there, from: here, tag: vlanTag(10))])
  }

  static var mixed: Scenario {
    Scenario(
      name: "mixed", summary: "256 stations on each side, every packet another flow", ports: [port("p1"), port("p2")],
      introductions: (0..<256).map { ("p2", smallFrame(to: here, from: station(2, $0))) },
      frames: (0..<256).map { smallFrame(to: station(2, $0 * 77 & 255), from: station(1, $0)) })
  }

  static var vlanMixed: Scenario {
    let vlans: [UInt16] = [10, 20, 30, 40]
    return Scenario(
      name: "vlan-mixed", summary: "a trunk's 256 flows of 4 VLANs to 4 access ports",
      ports: [port("p1")] + vlans.enumerated().map { port("p\($0 + 2)", access: $1) },
      introductions: (0..<256).map { ("p\($0 % 4 + 2)", smallFrame(to: here, from: station(2, $0))) },
      frames: (0..<256).map {
        smallFrame(to: station(2, $0 * 77 & 255), from: station(1, $0), tag: vlanTag(vlans[$0 * 77 & 3]))
      })
  }

  static var flood: Scenario {
    Scenario(
      name: "flood", summary: "broadcasts to 4 ports, for each received",
      ports: (1...5).map { port("p\($0)") },
      frames: (0..<256).map { smallFrame(to: Array(repeating: 0xff, count: 6), from: station(1, $0)) }, copies: 4)
  }
}
