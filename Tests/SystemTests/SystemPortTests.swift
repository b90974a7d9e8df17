// Ports on links that are there already, and what is best known to fail in switches like this one: "ping works, TCP does
// not". Files are sent with every combination of offloads and compared by hash.

import Foundation
import TestSupport
import Testing

@Suite(.blocking, .enabled(if: TestEnvironment.canUseNamespaces, "needs root"))
struct SystemPortTests {
  enum Kind: String, CaseIterable, Sendable {
    case tap
    case veth
  }

  /// A host on a tap or on a veth pair whose other end is a port.
  static func host(
    _ lab: Lab, _ daemon: Daemon, _ kind: Kind, _ name: String, bridge: String = "br0", columns: String = "",
    addresses: [String]
  ) throws -> String {
    if kind == .tap { return try daemon.host(name, bridge: bridge, columns, addresses: addresses) }
    let host = try lab.namespace(name)
    try lab.run([
      "ip", "link", "add", "p\(name)", "netns", daemon.namespace, "type", "veth", "peer", "name", name, "netns", host,
    ])
    try lab.run(["ip", "-n", daemon.namespace, "link", "set", "p\(name)", "up"])
    try lab.giveAddresses(addresses, to: name, in: host)
    try daemon.configure("add-port \(bridge) p\(name) \(columns)")
    return host
  }

  /// As libvirt does it: the port is there before its link is up. A link that goes down and comes back is the same.
  @Test func aPortWhoseLinkComesUpLaterWorks() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      let a = try daemon.host("a", addresses: ["10.1.0.1/24"])
      let b = try lab.namespace("b")
      try lab.run([
        "ip", "link", "add", "pb", "netns", daemon.namespace, "type", "veth", "peer", "name", "b", "netns", b,
      ])
      try daemon.configure("add-port br0 pb")
      try lab.giveAddresses(["10.1.0.2/24"], to: "b", in: b)
      for _ in 0..<2 {
        try lab.run(["ip", "-n", daemon.namespace, "link", "set", "pb", "up"])
        #expect(try eventually(.seconds(5)) { try lab.canPing("10.1.0.2", from: a) })
        try lab.run(["ip", "-n", daemon.namespace, "link", "set", "pb", "down"])
        #expect(try !lab.canPing("10.1.0.2", from: a))
      }
    }
  }

  static func withTwoHosts(
    _ kinds: (Kind, Kind), environment: [String: String] = [:], _ body: (Lab, Daemon, String, String) throws -> Void
  ) throws {
    try withLab { lab throws in
      let daemon = try lab.daemon(environment: environment)
      try daemon.configure("add-br br0")
      let a = try host(lab, daemon, kinds.0, "a", addresses: ["10.1.0.1/24", "fd00::1/64"])
      let b = try host(lab, daemon, kinds.1, "b", addresses: ["10.1.0.2/24", "fd00::2/64"])
      try body(lab, daemon, a, b)
    }
  }

  /// Sends from a to b by every transport over IPv4 and IPv6.
  static func expectWholeTransfers(
    _ lab: Lab, _ a: String, _ b: String, to addresses: [String] = ["10.1.0.2", "fd00::2"], _ what: String
  ) throws {
    for address in addresses {
      #expect(try lab.canPing(address, from: a), "\(what)")
      let difference = try Transfer.run(lab, Transfer.Transport.allCases, from: a, to: b, address: address)
      #expect(difference == [], "\(what) to \(address)")
    }
  }

  @Test(arguments: Kind.allCases, Kind.allCases)
  func pingAndTCPAndUDPWorkWithEveryCombinationOfOffloads(_ first: Kind, _ second: Kind) throws {
    try Self.withTwoHosts((first, second)) { lab, daemon, a, b throws in
      for (isOnA, isOnB) in [(true, true), (true, false), (false, true), (false, false)] {
        try Transfer.setOffloads(lab, isOnA, link: "a", in: a)
        try Transfer.setOffloads(lab, isOnB, link: "b", in: b)
        let what = "\(first) with offloads \(isOnA ? "on" : "off") to \(second) with offloads \(isOnB ? "on" : "off")"
        try Self.expectWholeTransfers(lab, a, b, what)
        try Self.expectWholeTransfers(lab, b, a, to: ["10.1.0.1"], "back: \(what)")
      }
      #expect(try daemon.portStatistics().allSatisfy(\.addsUp))
    }
  }

  /// A tagged link between two bridges: large segments with a tag cross packet sockets both ways.
  @Test(arguments: [Kind.tap, .veth])
  func largeSegmentsCrossATaggedLink(_ kind: Kind) throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0 -- add-br br1")
      let ns = daemon.namespace
      try lab.run(["ip", "-n", ns, "link", "add", "t0", "type", "veth", "peer", "name", "t1"])
      for link in ["t0", "t1"] { try lab.run(["ip", "-n", ns, "link", "set", "dev", link, "up"]) }
      try daemon.configure("add-port br0 t0 trunks=10,20 -- add-port br1 t1 trunks=10,20")
      let a = try Self.host(lab, daemon, kind, "a", columns: "tag=10", addresses: ["10.1.0.1/24", "fd00::1/64"])
      let b = try Self.host(
        lab, daemon, kind, "b", bridge: "br1", columns: "tag=10", addresses: ["10.1.0.2/24", "fd00::2/64"])
      for isOn in [true, false] {
        for link in ["t0", "t1"] { try Transfer.setOffloads(lab, isOn, link: link, in: ns) }
        try Self.expectWholeTransfers(lab, a, b, "\(kind), tagged link with offloads \(isOn ? "on" : "off")")
        try Self.expectWholeTransfers(lab, b, a, to: ["10.1.0.1"], "back, tagged link")
      }
    }
  }

  @Test func aServiceTagIsCarriedThroughATunnelWithOffloads() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0 -- add-br br1")
      let ns = daemon.namespace
      try lab.run(["ip", "-n", ns, "link", "add", "t0", "type", "veth", "peer", "name", "t1"])
      for link in ["t0", "t1"] { try lab.run(["ip", "-n", ns, "link", "set", "dev", link, "up", "mtu", "1600"]) }
      try daemon.configure("add-port br0 t0 trunks=100 -- add-port br1 t1 trunks=100")
      let tunnel = "vlan_mode=dot1q-tunnel tag=100"
      let a = try Self.host(lab, daemon, .tap, "a", columns: tunnel, addresses: ["10.1.0.1/24"])
      let b = try Self.host(lab, daemon, .tap, "b", bridge: "br1", columns: tunnel, addresses: ["10.1.0.2/24"])
      try Self.expectWholeTransfers(lab, a, b, to: ["10.1.0.2"], "tunnel")
    }
  }

  @Test func systemPortsWorkOnEpoll() throws {
    try Self.withTwoHosts((.veth, .veth), environment: ["VSWITCH_NO_IO_URING": "1"]) { lab, _, a, b throws in
      try Self.expectWholeTransfers(lab, a, b, "epoll")
    }
  }

  @Test func aFrameLongerThanTheExitsMTUIsCountedAsDropped() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      let a = try daemon.host("a", interface: "mtu_request=9000", addresses: ["10.1.0.1/24"])
      _ = try Self.host(lab, daemon, .veth, "b", addresses: ["10.1.0.2/24"])
      #expect(try lab.canPing("10.1.0.2", from: a))
      #expect(try !lab.canPing("10.1.0.2", from: a, byteCount: 4000, ["-M", "do"]))
      #expect(
        eventually { (try? daemon.portStatistics("pb"))?.txDrops["tx_too_long", default: 0] ?? 0 > 0 },
        "\((try? daemon.portStatistics()) ?? [])")
    }
  }

  @Test func theTagOfAFrameFromALinkIsSeen() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      let ns = daemon.namespace
      try lab.run(["ip", "-n", ns, "link", "add", "pv", "type", "veth", "peer", "name", "v"])
      for link in ["pv", "v"] { try lab.run(["ip", "-n", ns, "link", "set", "dev", link, "up"]) }
      try daemon.configure("add-port br0 pv trunks=10")
      try daemon.configure("add-port br0 a tag=10 -- set interface a type=tap")
      try lab.run(["ip", "-n", ns, "link", "set", "dev", "a", "up"])
      let sockets = [
        "v": try RawSocket(namespace: ns, interface: "v"), "a": try RawSocket(namespace: ns, interface: "a"),
      ]
      let tagged = VLANTests.frame(1, tags: [FrameTag(10, priority: 2)])
      #expect(try VLANTests.send(tagged, into: "v", sockets) == ["a": VLANTests.frame(1)])
      #expect(
        try VLANTests.send(VLANTests.frame(2), into: "a", sockets) == ["v": VLANTests.frame(2, tags: [FrameTag(10)])])
      #expect(try VLANTests.send(VLANTests.frame(3, tags: [FrameTag(20)]), into: "v", sockets) == [:])
    }
  }
}
