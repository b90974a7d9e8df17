// Virtual routers between real hosts: what Linux, ping and traceroute say of them.

import Foundation
import TestSupport
import Testing

@Suite(.blocking, .enabled(if: TestEnvironment.canUseNamespaces, "needs root"))
struct RouterTests {
  /// A switch whose router joins VLANs 10 and 20, with a host in each.
  static func withRouter(
    _ settings: String = "", _ body: (Lab, Daemon, _ a: String, _ b: String) throws -> Void
  ) throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0 -- add-router r1 \(settings)")
      for vlan in [10, 20] {
        try daemon.configure(
          "add-router-port r1 br0 tag=\(vlan) addresses=10.0.\(vlan).1/24,fd00:\(vlan)::1/64")
      }
      let a = try host("a", vlan: 10, lab, daemon)
      let b = try host("b", vlan: 20, lab, daemon)
      try body(lab, daemon, a, b)
    }
  }

  /// A host in a VLAN, with the router as its way to everywhere.
  static func host(_ name: String, vlan: Int, _ lab: Lab, _ daemon: Daemon) throws -> String {
    let host = try daemon.host(name, "tag=\(vlan)", addresses: ["10.0.\(vlan).2/24", "fd00:\(vlan)::2/64"])
    try lab.run(["ip", "-n", host, "route", "add", "default", "via", "10.0.\(vlan).1"])
    try lab.run(["ip", "-n", host, "-6", "route", "replace", "default", "via", "fd00:\(vlan)::1", "metric", "1"])
    return host
  }

  @Test func hostsOfTwoVLANsReachEachOtherThroughIt() throws {
    try Self.withRouter { lab, daemon, a, b throws in
      #expect(try lab.canPing("10.0.20.2", from: a, count: 3))
      #expect(try lab.canPing("fd00:20::2", from: a, count: 3))
      #expect(try lab.canPing("10.0.10.1", from: a))
      #expect(try lab.canPing("10.0.20.1", from: a, byteCount: 4000))
      #expect(try lab.canPing("fd00:10::1", from: a))
      #expect(try Transfer.run(lab, [.tcp], from: a, to: b, address: "10.0.20.2") == [])
      #expect(try Transfer.run(lab, [.tcp], from: b, to: a, address: "10.0.10.2") == [])
      let neighbours = try daemon.configure("router neighbours r1")
      #expect(neighbours.contains("10.0.20.2"))
      #expect(neighbours.contains("fd00:20::2"))
      let shown = try daemon.configure("router show r1")
      #expect(shown.contains("port r1-10: bridge br0, VLAN 10"), "\(shown)")
      #expect(try daemon.configure("list-br") == "br0\n")
      try daemon.configure("del-router r1")
      #expect(try !lab.canPing("10.0.20.2", from: a))
    }
  }

  @Test func aRestartedSwitchRoutesAsBefore() throws {
    try Self.withRouter("default_policy=reject") { lab, daemon, a, b throws in
      try daemon.configure("add-router-policy r1 accept in=r1-10")
      #expect(try lab.canPing("10.0.20.2", from: a))
      let zone = try daemon.configure("get router r1 zone")
      _ = daemon.stop()
      try daemon.start()
      for (host, name, vlan) in [(a, "a", 10), (b, "b", 20)] {
        try lab.giveAddresses(["10.0.\(vlan).2/24"], to: name, in: host)
        try lab.run(["ip", "-n", host, "route", "add", "default", "via", "10.0.\(vlan).1"])
      }
      #expect(try lab.canPing("10.0.20.2", from: a))
      #expect(try !lab.canPing("10.0.10.2", from: b))
      #expect(try daemon.configure("get router r1 zone") == zone)
    }
  }

  @Test(.enabled(if: TestEnvironment.hasProgram("traceroute") || TestEnvironment.isContinuousIntegration))
  func tracerouteShowsTwoRoutersAndTheirAddresses() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0 -- add-router r1 -- add-router r2")
      for (router, vlan, last) in [("r1", 10, 1), ("r1", 30, 1), ("r2", 30, 2), ("r2", 20, 1)] {
        try daemon.configure(
          "add-router-port \(router) br0 tag=\(vlan) addresses=10.0.\(vlan).\(last)/24,fd00:\(vlan)::\(last)/64")
      }
      try daemon.configure("add-route r1 10.0.20.0/24 via 10.0.30.2 -- add-route r2 default via 10.0.30.1")
      try daemon.configure("add-route r1 fd00:20::/64 via fd00:30::2 -- add-route r2 ::/0 via fd00:30::1")
      let a = try Self.host("a", vlan: 10, lab, daemon)
      _ = try Self.host("b", vlan: 20, lab, daemon)
      for (target, hops) in [
        ("10.0.20.2", ["10.0.10.1", "10.0.30.2", "10.0.20.2"]),
        ("fd00:20::2", ["fd00:10::1", "fd00:30::2", "fd00:20::2"]),
      ] {
        #expect(try lab.canPing(target, from: a))
        for method in ["-U", "-I"] {
          let output = try lab.run(["traceroute", "-n", "-q", "2", "-w", "2", method, target], in: a)
          let found = output.split(separator: "\n").dropFirst().map { line in
            line.split(separator: " ").dropFirst().first.map(String.init) ?? ""
          }
          #expect(found == hops, "\(output)")
        }
      }
    }
  }

  @Test func theMTUOfTheWayIsFoundAndKept() throws {
    try Self.withRouter { lab, daemon, a, b throws in
      try daemon.configure("set router_port r1-20 mtu=1400")
      try lab.run(["ip", "-n", b, "link", "set", "dev", "b", "mtu", "1400"])
      #expect(try lab.canPing("10.0.20.2", from: a))
      let refused = try lab.attempt(
        ["ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", "1400", "10.0.20.2"], in: a)
      #expect(
        "\(refused.output)\(refused.errorOutput)".contains("mtu = 1400"), "\(refused.output)\(refused.errorOutput)")
      #expect(try lab.run(["ip", "-n", a, "route", "get", "10.0.20.2"]).contains("mtu 1400"))
      // Those that may be cut are.
      #expect(try lab.canPing("10.0.20.2", from: a, byteCount: 1450, ["-M", "dont"]))
      _ = try lab.attempt(["ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", "1400", "fd00:20::2"], in: a)
      #expect(try lab.run(["ip", "-n", a, "-6", "route", "get", "fd00:20::2"]).contains("mtu 1400"))
      #expect(try Transfer.run(lab, [.tcp], from: a, to: b, address: "10.0.20.2") == [])
    }
  }

  @Test func hostsMakeThemselvesAddressesOfWhatItAdvertises() throws {
    try Self.withRouter { lab, daemon, _, _ throws in
      try daemon.configure("set router_port r1-10 other_config:ra-interval=4")
      let host = try daemon.host("c", "tag=10")
      try lab.run(["sysctl", "-qw", "net.ipv6.conf.c.accept_ra=1"], in: host)
      try lab.run(["ip", "-n", host, "link", "set", "dev", "c", "down"])
      try lab.run(["ip", "-n", host, "link", "set", "dev", "c", "up"])
      var addresses = ""
      for _ in 0..<100 {
        addresses = try lab.run(["ip", "-n", host, "-6", "address", "show", "dev", "c", "scope", "global"])
        if addresses.contains("fd00:10:") { break }
        usleep(100_000)
      }
      #expect(addresses.contains("fd00:10:"))
      #expect(try lab.run(["ip", "-n", host, "-6", "route", "show", "default"]).contains("via fe80::"))
      #expect(try lab.canPing("fd00:20::2", from: host, count: 3))
    }
  }

  @Test func policiesDecideWhoMayBegin() throws {
    try Self.withRouter { lab, daemon, a, b throws in
      try daemon.configure("add-router-policy r1 drop in=r1-20 out=r1-10")
      #expect(try lab.canPing("10.0.20.2", from: a))
      #expect(try !lab.canPing("10.0.10.2", from: b))
      #expect(try !lab.canPing("fd00:10::2", from: b))
      #expect(try lab.canPing("10.0.20.1", from: b))
      try daemon.configure("add-router-policy r1 accept in=r1-20 proto=icmp priority=200")
      #expect(try lab.canPing("10.0.10.2", from: b))
      #expect(try !lab.canPing("fd00:10::2", from: b))
      #expect(
        try daemon.configure("list-router-policies r1") == """
          accept priority=200 in=r1-20 proto=icmp
          drop priority=100 in=r1-20 out=r1-10
          accept all else

          """)
      try daemon.configure("del-router-policy r1 drop")
      try daemon.configure("add-router-policy r1 reject in=r1-20 proto=icmpv6")
      let refused = try lab.attempt(["ping", "-n", "-c", "1", "-W", "2", "fd00:10::2"], in: b)
      #expect("\(refused.output)".contains("prohibited"), "\(refused.output)\(refused.errorOutput)")
    }
  }

  @Test func aTraceTellsWhyAndWhatWouldHelp() throws {
    try Self.withRouter { lab, daemon, _, b throws in
      try daemon.configure("add-router-policy r1 drop in=r1-20 out=r1-10")
      #expect(try !lab.canPing("10.0.10.2", from: b))
      let trace = try daemon.configure("trace br0 in_port=b,icmp,nw_src=10.0.20.2,nw_dst=10.0.10.2")
      #expect(trace.contains("A policy of the router drops the connection."), "\(trace)")
      let remedy = try #require(
        trace.split(separator: "\n").compactMap { line in
          line.range(of: "To let it through: vsctl ").map { String(line[$0.upperBound...]) }
        }.last)
      try daemon.configure(remedy)
      #expect(try lab.canPing("10.0.10.2", from: b))
      let lost = try daemon.configure("trace br0 in_port=b,icmp,nw_src=10.0.20.2,nw_dst=192.0.2.1")
      #expect(lost.contains("Router r1 has no route to 192.0.2.1."), "\(lost)")
      #expect(lost.contains("To let it through: vsctl add-route r1 192.0.2.1/32 via ADDRESS"))
      let waiting = try daemon.configure("trace br0 in_port=a,icmp,nw_src=10.0.10.2,nw_dst=10.0.20.77")
      #expect(waiting.contains("waits at router r1 until 10.0.20.77 has said where it is (ARP)"), "\(waiting)")
    }
  }

  @Test func aHostOutsideSeesTheAddressOfAPortThatMasquerades() throws {
    try Self.withRouter { lab, daemon, a, b throws in
      // The host outside knows no way back.
      try lab.run(["ip", "-n", b, "route", "del", "default"])
      #expect(try !lab.canPing("10.0.20.2", from: a))
      try daemon.configure("set router_port r1-20 masquerade=true")
      #expect(try lab.canPing("10.0.20.2", from: a, count: 3))
      #expect(try Transfer.run(lab, [.tcp], from: a, to: b, address: "10.0.20.2") == [])
      let connections = try daemon.configure("conntrack list")
      #expect(connections.contains("dst=10.0.20.1"), "\(connections)")
    }
  }

  @Test func whatIsWrongIsSaidInOneLine() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0 -- add-router r1 -- add-router-port r1 br0 tag=10 addresses=10.0.10.1/24")
      for (line, text) in [
        ("add-router r1", "there is a router r1 already"), ("add-router br0", "there is a bridge br0"),
        ("add-router-port r2 br0", "no router named r2"), ("add-router-port r1 br1", "no bridge named br1"),
        ("add-router-port r1 br0 tag=10", "has a port to that network already"),
        ("add-router-port r1 br0 tag=20 addresses=10.0.20.1", "no address with a prefix length"),
        ("add-route r1 10.0.0.1/8 via 10.0.10.2", "10.0.0.1/8 is no prefix"),
        ("add-route r1 10.0.0.0/8 via fd00::1", "different IP versions"), ("add-route r1 10.0.0.0/8 foo", "foo"),
        ("del-route r1 10.0.0.0/8", "no such route"), ("add-router-policy r1 in=x", "nothing about what to do"),
        ("add-router-policy r1 drop colour=red", "colour=red"), ("router neighbours r2", "there is no router"),
      ] {
        let result = try daemon.vsctl(line.split(separator: " ").map(String.init))
        #expect(!result.isSuccess && result.errorOutput.contains(text), "\(line): \(result.errorOutput)")
        #expect(result.errorOutput.split(separator: "\n").count == 1, "\(line): \(result.errorOutput)")
      }
      // What only the switch can know is said, too, and kept in the row.
      for (line, text) in [
        ("add-route r1 10.0.0.0/8 via 10.9.9.9", "10.9.9.9 is in no network of router r1"),
        ("add-router-port r1 br0 tag=20 addresses=10.0.10.7/24", "overlaps"),
        ("add-router-policy r1 drop in=nosuch", "names port nosuch"),
        ("add-router-policy r1 drop dport=22", "no protocol of ports"),
        (
          "add-br r2 -- add-router r3 -- add-router-port r3 br0 tag=30 name=br0-30 addresses=10.0.30.255/24",
          "address of a network"
        ),
      ] {
        let result = try daemon.vsctl(line.split(separator: " ").map(String.init))
        #expect(result.isSuccess && result.errorOutput.contains(text), "\(line): \(result.errorOutput)")
      }
      #expect(try daemon.configure("--bare --columns=error find route error!=[]").contains("10.9.9.9"))
      // It mends itself when its cause is gone.
      try daemon.configure("add-router-port r1 br0 tag=99 addresses=10.9.9.1/24")
      #expect(try daemon.configure("--bare --columns=error find route error!=[]") == "")
    }
  }
}
