// VLANs between real hosts, and with tagged frames written by raw sockets (the machine's kernel may lack 8021q).

import Foundation
import TestSupport
import Testing

@Suite(.blocking, .enabled(if: TestEnvironment.canUseNamespaces, "needs root"))
struct VLANTests {
  /// A frame that nobody else on the machine would send.
  static func frame(_ number: UInt8, tags: [FrameTag] = [], to destination: [UInt8] = FrameBuilder.broadcast) -> [UInt8]
  {
    FrameBuilder.ethernet(
      to: destination, from: FrameBuilder.address(0xabcd00 + UInt32(number)), tags: tags, etherType: 0x88b5,
      (0..<50).map { $0 ^ number })
  }

  static func isOurs(_ frame: [UInt8]) -> Bool { frame.count > 12 && Array(frame[6..<11]) == [2, 0, 0, 0xab, 0xcd] }

  /// Ports by name and settings, each a tap in the daemon's namespace with a raw socket on it.
  static func withPorts(
    _ settings: [(name: String, columns: String)], bridge: String = "",
    _ body: (Daemon, [String: RawSocket]) throws -> Void
  ) throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      // The kernel has nothing to say to its neighbours, so that counts are exact.
      try lab.run(["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"], in: daemon.namespace)
      try daemon.configure("add-br br0 \(bridge)")
      var sockets: [String: RawSocket] = [:]
      for (name, columns) in settings {
        try daemon.configure("add-port br0 \(name) \(columns) -- set interface \(name) type=tap")
        try lab.run(["ip", "-n", daemon.namespace, "link", "set", "dev", name, "up"])
        sockets[name] = try RawSocket(namespace: daemon.namespace, interface: name)
      }
      try body(daemon, sockets)
    }
  }

  /// Sends a frame into a port and returns what came out where.
  static func send(_ frame: [UInt8], into port: String, _ sockets: [String: RawSocket]) throws -> [String: [UInt8]] {
    guard let source = sockets[port] else { throw TestFailure("no port \(port)") }
    try source.send(frame)
    var outputs: [String: [UInt8]] = [:]
    // The first waits for all; the switch takes microseconds.
    for (name, socket) in sockets.sorted(by: { $0.key < $1.key }) where name != port {
      outputs[name] = socket.receive(.milliseconds(outputs.isEmpty ? 250 : 100), where: Self.isOurs)
    }
    return outputs
  }

  @Test func hostsOfDifferentVLANsDoNotReachEachOther() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      let a = try daemon.host("a", "tag=10", addresses: ["10.1.0.1/24"])
      _ = try daemon.host("b", "tag=10", addresses: ["10.1.0.2/24"])
      let c = try daemon.host("c", "tag=20", addresses: ["10.1.0.3/24"])
      #expect(try lab.canPing("10.1.0.2", from: a))
      let watch = try RawSocket(namespace: c, interface: "c")
      #expect(try !lab.canPing("10.1.0.3", from: a, count: 3))
      let source = try lab.hardwareAddress("a", in: a)
      let seen = watch.receiveAll(.milliseconds(100)) { frame in
        frame.count > 12
          && frame[6..<12].map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":") == source
      }
      #expect(seen.isEmpty)
      let table = try daemon.macTable("br0")
      #expect(table.contains { $0.mac == source && $0.vlan == 10 })
      #expect(!table.contains { $0.mac == source && $0.vlan == 20 })
    }
  }

  @Test func aRouterWithATapInEachVLANJoinsThem() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      let router = try lab.namespace("router")
      for vlan in [10, 20] {
        try daemon.configure(
          "add-port br0 r\(vlan) tag=\(vlan) -- set interface r\(vlan) type=tap options:netns=\(router)")
        try lab.giveAddresses(["10.0.\(vlan).254/24"], to: "r\(vlan)", in: router)
      }
      try lab.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"], in: router)
      let a = try daemon.host("a", "tag=10", addresses: ["10.0.10.1/24"])
      let b = try daemon.host("b", "tag=20", addresses: ["10.0.20.1/24"])
      try lab.run(["ip", "-n", a, "route", "add", "default", "via", "10.0.10.254"])
      try lab.run(["ip", "-n", b, "route", "add", "default", "via", "10.0.20.254"])
      #expect(try lab.canPing("10.0.20.1", from: a, count: 3))
      #expect(try Transfer.run(lab, [.tcp], from: a, to: b, address: "10.0.20.1") == [])
    }
  }

  @Test func aTrunkCarriesItsVLANsTaggedAndNoOther() throws {
    try Self.withPorts([("t", "trunks=10,20"), ("a", "tag=10"), ("b", "tag=20"), ("c", "tag=30")]) {
      daemon, sockets throws in
      #expect(
        try Self.send(Self.frame(1), into: "a", sockets) == ["t": Self.frame(1, tags: [FrameTag(10)])])
      #expect(
        try Self.send(Self.frame(2, tags: [FrameTag(20, priority: 5)]), into: "t", sockets) == ["b": Self.frame(2)])
      #expect(try Self.send(Self.frame(3, tags: [FrameTag(30)]), into: "t", sockets) == [:])
      #expect(try Self.send(Self.frame(4), into: "c", sockets) == [:])
      #expect(try daemon.portStatistics("t").rxDrops["vlan_not_allowed"] == 1)
    }
  }

  @Test func anAccessPortNeverCarriesATaggedFrame() throws {
    try Self.withPorts([("a", "tag=10"), ("b", "tag=10"), ("c", "tag=20"), ("t", "")]) { daemon, sockets throws in
      for tag in [FrameTag(10), FrameTag(20), FrameTag(10, etherType: 0x88a8), FrameTag(20, etherType: 0x88a8)] {
        #expect(try Self.send(Self.frame(1, tags: [tag]), into: "a", sockets) == [:], "\(tag)")
      }
      #expect(try daemon.portStatistics("a").rxDrops["tagged_on_access"] == 4)
      // A second tag does not come out of an access port as if it were its VLAN.
      let hopping = Self.frame(2, tags: [FrameTag(10), FrameTag(20)])
      #expect(try Self.send(hopping, into: "t", sockets) == [:])
      // A priority tag is none.
      let priority = Self.frame(3, tags: [FrameTag(0, priority: 3)])
      #expect(
        try Self.send(priority, into: "a", sockets) == [
          "b": Self.frame(3), "t": Self.frame(3, tags: [FrameTag(10, priority: 3)]),
        ])
    }
  }

  @Test func nativePortsGiveUntaggedFramesTheirVLAN() throws {
    let ports = [
      ("u", "vlan_mode=native-untagged tag=10 trunks=20"), ("g", "vlan_mode=native-tagged tag=10 trunks=20"),
      ("t", "trunks=10,20"),
    ]
    try Self.withPorts(ports) { _, sockets throws in
      let ten = [FrameTag(10)]
      let twenty = [FrameTag(20)]
      #expect(
        try Self.send(Self.frame(1), into: "u", sockets) == [
          "g": Self.frame(1, tags: ten), "t": Self.frame(1, tags: ten),
        ])
      #expect(
        try Self.send(Self.frame(2), into: "g", sockets) == ["u": Self.frame(2), "t": Self.frame(2, tags: ten)])
      #expect(
        try Self.send(Self.frame(3, tags: twenty), into: "t", sockets) == [
          "u": Self.frame(3, tags: twenty), "g": Self.frame(3, tags: twenty),
        ])
    }
  }

  @Test(arguments: [("802.1ad", UInt16(0x88a8)), ("802.1q", 0x8100)])
  func aTunnelAddsAServiceTag(_ type: (name: String, etherType: UInt16)) throws {
    let tunnel = "vlan_mode=dot1q-tunnel tag=100 other_config:qinq-ethtype=\(type.name)"
    try Self.withPorts([("a", tunnel), ("b", "\(tunnel) cvlans=10"), ("t", "trunks=100")]) { daemon, sockets throws in
      let service = FrameTag(100, etherType: type.etherType)
      let customer = Self.frame(1, tags: [FrameTag(10)])
      let double = Self.frame(1, tags: [service, FrameTag(10)])
      #expect(try Self.send(customer, into: "a", sockets) == ["b": customer, "t": double])
      #expect(try Self.send(double, into: "t", sockets) == ["a": customer, "b": customer])
      #expect(
        try Self.send(Self.frame(2, tags: [FrameTag(20)]), into: "a", sockets) == [
          "t": Self.frame(2, tags: [service, FrameTag(20)])
        ])
      #expect(try Self.send(Self.frame(3, tags: [FrameTag(20)]), into: "b", sockets) == [:])
      #expect(try daemon.portStatistics("b").rxDrops["customer_vlan_not_allowed"] == 1)
    }
  }

  @Test func priorityTagsLeaveAsThePortWants() throws {
    let ports = [
      ("in", ""), ("never", "tag=10"), ("some", "tag=10 other_config:priority-tags=if-nonzero"),
    ]
    try Self.withPorts(ports) { _, sockets throws in
      let tagged = Self.frame(1, tags: [FrameTag(10, priority: 6)])
      #expect(
        try Self.send(tagged, into: "in", sockets) == [
          "never": Self.frame(1), "some": Self.frame(1, tags: [FrameTag(0, priority: 6)]),
        ])
      #expect(
        try Self.send(Self.frame(2, tags: [FrameTag(10)]), into: "in", sockets) == [
          "never": Self.frame(2), "some": Self.frame(2),
        ])
    }
  }

  @Test func protectedPortsDoNotReachEachOther() throws {
    try Self.withPorts([("a", "protected=true"), ("b", "protected=true"), ("c", "")]) { _, sockets throws in
      #expect(try Self.send(Self.frame(1), into: "a", sockets) == ["c": Self.frame(1)])
      #expect(try Self.send(Self.frame(2), into: "c", sockets) == ["a": Self.frame(2), "b": Self.frame(2)])
    }
  }

  @Test func reservedMulticastStopsAtTheBridgeUnlessAsked() throws {
    try Self.withPorts([("a", ""), ("b", "")]) { daemon, sockets throws in
      let hello = Self.frame(1, to: [0x01, 0x80, 0xc2, 0, 0, 0x0e])
      #expect(try Self.send(hello, into: "a", sockets) == [:])
      #expect(try daemon.portStatistics("a").rxDrops["reserved_multicast"] == 1)
      try daemon.configure("set bridge br0 other_config:forward-bpdu=true")
      #expect(try Self.send(hello, into: "a", sockets) == ["b": hello])
    }
  }

  @Test func reservedMulticastPassesBetweenPortsThatAllowIt() throws {
    let open = "other_config:forward-bpdu=true"
    try Self.withPorts([("a", open), ("b", open), ("c", "")]) { _, sockets throws in
      let hello = Self.frame(1, to: [0x01, 0x80, 0xc2, 0, 0, 0])
      #expect(try Self.send(hello, into: "a", sockets) == ["b": hello])
      #expect(try Self.send(hello, into: "c", sockets) == [:])
    }
  }

  @Test func aStationThatMovesIsFoundAtItsNewPort() throws {
    try Self.withPorts([("a", ""), ("b", ""), ("c", "")]) { daemon, sockets throws in
      let reply = Self.frame(9, to: FrameBuilder.address(0xabcd01))
      _ = try Self.send(Self.frame(1), into: "a", sockets)
      #expect(try Self.send(reply, into: "c", sockets) == ["a": reply])
      _ = try Self.send(Self.frame(1), into: "b", sockets)
      #expect(try Self.send(reply, into: "c", sockets) == ["b": reply])
      try daemon.configure("fdb flush br0")
      #expect(try Self.send(reply, into: "c", sockets) == ["a": reply, "b": reply])
    }
  }

  @Test func aStaticEntryDoesNotMoveAndStaysUntilRemoved() throws {
    try Self.withPorts([("a", ""), ("b", ""), ("c", "")]) { daemon, sockets throws in
      let reply = Self.frame(9, to: FrameBuilder.address(0xabcd01))
      try daemon.configure("fdb add br0 a 0 02:00:00:ab:cd:01")
      _ = try Self.send(Self.frame(1), into: "b", sockets)
      #expect(try Self.send(reply, into: "c", sockets) == ["a": reply])
      #expect(try daemon.macTable("br0").contains { $0.mac == "02:00:00:ab:cd:01" && $0.static && $0.port == "a" })
      try daemon.configure("fdb del br0 0 02:00:00:ab:cd:01")
      _ = try Self.send(Self.frame(1), into: "b", sockets)
      #expect(try Self.send(reply, into: "c", sockets) == ["b": reply])
    }
  }

  @Test func runtsAndFramesCutInsideATagAreDropped() throws {
    try Self.withPorts([("a", ""), ("b", "")]) { daemon, sockets throws in
      let before = try daemon.portStatistics("a")
      // The kernel pads nothing on a tap, and refuses only what has no Ethernet header.
      let cut = Array(Self.frame(1, tags: [FrameTag(10)]).prefix(16))
      #expect(try Self.send(cut, into: "a", sockets) == [:])
      let after = try daemon.portStatistics("a")
      #expect(after.rxDrops["truncated", default: 0] == before.rxDrops["truncated", default: 0] + 1)
      #expect(after.addsUp)
    }
  }
}
