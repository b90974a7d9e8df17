// Programs of guests through a NAT network, by both IP versions: neighbours by the outer address, FTP, TFTP, long transfers, names
// that the host's servers know. What a router forwards is here, too.

import Foundation
import TestSupport
import Testing

@Suite(.blocking, .enabled(if: TestEnvironment.canUseNamespaces, "needs root"))
struct NATTrafficTests {
  /// Guests by name, with a lease and an IPv6 address of their own.
  private static func settled(_ net: NATLab, _ names: [String]) throws -> [String] {
    try names.map { name in
      let guest = try net.guest(name)
      try net.lease(.udhcpc, name, in: guest, hostName: name)
      let hasIPv6 = try eventually(.seconds(15)) {
        try net.lab.run(["ip", "-6", "address", "show", "dev", name, "scope", "global"], in: guest).contains(
          "fd00:77::")
      }
      #expect(hasIPv6, "\(name) has no address by SLAAC")
      return guest
    }
  }

  @Test func aGuestReachesItsNeighbourByTheOuterAddress() throws {
    try NATLab.with { net throws in
      let guests = try Self.settled(net, ["web", "vm"])
      try net.startWebServer("web", in: guests[0], port: 8000)
      try net.daemon.configure("forward lab tcp 8080 web:8000")
      for address in ["192.0.2.5:8080", "[2001:db8::5]:8080"] {
        let isReached = try eventually(.seconds(10)) {
          try net.fetch(address, from: net.outside) == "this is web\n"
        }
        #expect(isReached, "from outside, \(address)")
        #expect(try net.fetch(address, from: guests[1]) == "this is web\n", "from a guest, \(address)")
        #expect(try net.fetch(address, from: guests[0]) == "this is web\n", "from itself, \(address)")
      }
      // The neighbour sees the switch: answers have to come back to it.
      let list = try net.daemon.configure("conntrack list")
      #expect(list.contains("dst=192.168.77.1") && list.contains("dst=fd00:77::1"), "\(list)")
      #expect(try net.dig(["web.lab"], from: guests[1]).hasPrefix("192.168.77."))
      let zones = try net.daemon.configure("--bare --columns=zone,hairpin_zone list nat_network lab")
      #expect(Set(zones.split(separator: "\n")).count == 2, "\(zones)")
    }
  }

  @Test func aRoutersForwardIsForThoseOutsideAndForNeighbours() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0 -- add-router r1")
      for vlan in [10, 20] {
        let isOuter = vlan == 20
        try daemon.configure(
          "add-router-port r1 br0 tag=\(vlan) addresses=10.0.\(vlan).1/24,fd00:\(vlan)::1/64 masquerade=\(isOuter)")
      }
      var hosts: [String: String] = [:]
      for (name, vlan, last) in [("web", 10, 2), ("vm", 10, 3), ("out", 20, 2)] {
        let host = try daemon.host(
          name, "tag=\(vlan)", addresses: ["10.0.\(vlan).\(last)/24", "fd00:\(vlan)::\(last)/64"])
        hosts[name] = host
        if vlan == 20 { continue }
        try lab.run(["ip", "-n", host, "route", "add", "default", "via", "10.0.\(vlan).1"])
        try lab.run(["ip", "-n", host, "-6", "route", "replace", "default", "via", "fd00:\(vlan)::1", "metric", "1"])
      }
      let net = NATLab(lab: lab, daemon: daemon, outside: hosts["out"] ?? "")
      let (web, vm) = (try #require(hosts["web"]), try #require(hosts["vm"]))
      try net.startWebServer("web", in: web, port: 8000)
      try daemon.configure("forward r1 tcp 8080 10.0.10.2:8000 -- forward r1 tcp 8080 [fd00:10::2]:8000")
      for address in ["10.0.20.1:8080", "[fd00:20::1]:8080"] {
        for (who, host) in [("out", net.outside), ("vm", vm), ("web", web)] {
          #expect(try net.fetch(address, from: host) == "this is web\n", "\(who) to \(address)")
        }
      }
      #expect(try daemon.configure("list-forwards r1").split(separator: "\n").count == 2)
      for (line, error) in [
        ("forward r1 tcp 8080 10.0.10.2:8000", "is forwarded already"),
        ("forward r1 tcp 9 web:80", "a router knows no names"),
        ("forward r1 tcp 10 10.0.10.1:80", "is no host behind router r1"),
        ("forward r1 tcp 11 10.0.10.2 address=10.9.9.9", "is no address of router r1"),
      ] {
        let result = try daemon.vsctl(line.split(separator: " ").map(String.init))
        #expect(result.errorOutput.contains(error), "\(line): \(result.errorOutput)")
        #expect(result.errorOutput.split(separator: "\n").count == 1, "\(line): \(result.errorOutput)")
      }
      try daemon.configure("unforward r1 tcp 8080")
      #expect(try net.fetch("10.0.20.1:8080", from: net.outside).isEmpty)
    }
  }

  @Test func ftpAndTFTPFindTheirDataConnections() throws {
    try NATLab.with("192.168.77.0/24,fd00:77::/64", "helpers=ftp,tftp") { net throws in
      let vm = try Self.settled(net, ["vm"])[0]
      let lab = net.lab
      let ftp = try FTPServer(lab, in: net.outside, isIPv6: true)
      let (content, serving) = (ftp.content, ftp.process)
      let tftp = try lab.start(
        [
          "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--user=root", "--enable-tftp",
          "--tftp-root=\(ftp.directory)", "--pid-file=\(lab.directory)/tftp.pid",
        ], in: net.outside)
      #expect(try eventually(.seconds(5), { try lab.run(["ss", "-Hlun"], in: net.outside).contains(":69 ") }))
      // PORT, EPRT, PASV, EPSV; by IPv6 there are EPRT and EPSV only.
      let ways: [(String, [String])] = [
        ("192.0.2.1", ["--ftp-port", "-", "--disable-eprt"]), ("192.0.2.1", ["--ftp-port", "-"]),
        ("192.0.2.1", ["--disable-epsv"]), ("192.0.2.1", []),
        ("[2001:db8::1]", ["--ftp-port", "-"]), ("[2001:db8::1]", []),
      ]
      for (server, mode) in ways {
        let result = try lab.attempt(
          ["curl", "-g", "-sS", "--max-time", "10"] + mode + ["ftp://\(server)/file"], in: vm)
        #expect(
          result.output == content,
          "\(server) \(mode): \(result.output.count) bytes, \(result.errorOutput) \(serving.output)\(serving.errorOutput)"
        )
      }
      for server in ["192.0.2.1", "[2001:db8::1]"] {
        let result = try lab.attempt(["curl", "-g", "-sS", "--max-time", "10", "tftp://\(server)/file"], in: vm)
        #expect(
          result.output == content,
          "\(server): \(result.output.count) bytes, \(result.errorOutput) \(tftp.output)\(tftp.errorOutput)")
      }
      let list = try net.daemon.configure("conntrack list")
      #expect(list.contains("helper=ftp") && list.contains("helper=tftp"), "\(list.prefix(800))")
      #expect(list.contains("sport=20 "), "the server's own connection was expected: \(list.prefix(800))")
      // Without helpers the server's connection is nobody's.
      try net.daemon.configure("clear nat_network lab helpers")
      try net.daemon.configure("conntrack flush")
      let refused = try lab.attempt(
        ["curl", "-sS", "--max-time", "3", "--ftp-port", "-", "--disable-eprt", "ftp://192.0.2.1/file"], in: vm)
      #expect(!refused.isSuccess && refused.output.isEmpty)
    }
  }

  @Test func longTransfersAreNotSentTwice() throws {
    try NATLab.with { net throws in
      let vm = try Self.settled(net, ["vm"])[0]
      for (address, seconds) in [("192.0.2.1", 10), ("2001:db8::1", 10)] {
        // As much as leaves the machine to the tests beside it.
        let report = try Throughput.report(
          net.lab, from: vm, to: net.outside, address: address, seconds: seconds, ["-b", "300M"])
        let sent = report.sent["bytes"] as? Double ?? 0
        let again = (report.sent["retransmits"] as? Double ?? .infinity) * 1448
        #expect(sent > 50_000_000, "\(address): \(sent) bytes")
        #expect(again < sent / 100, "\(address): \(again) of \(sent) bytes were sent again")
      }
    }
  }

  @Test func namesAreThoseThatTheHostsServersKnow() throws {
    try withLab { lab throws in
      // What the host's programs read, and a server there. It is a namespace's own for programs that begin in it.
      let daemon = try lab.daemon()
      _ = daemon.stop()
      let host = daemon.namespace
      try lab.writeResolverConfiguration("nameserver 127.0.0.1\n", for: host)
      _ = try lab.start(
        [
          "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-hosts", "--no-resolv", "--user=root",
          "--listen-address=127.0.0.1", "--bind-interfaces", "--pid-file=\(lab.directory)/dnsmasq.pid",
          "--address=/example.test/192.0.2.1", "--address=/six.test/2001:db8::1",
        ], in: host)
      try daemon.start()
      try daemon.configure("add-br br0 -- add-br br-out")
      let outside = try daemon.host("outside", bridge: "br-out", addresses: ["192.0.2.1/24", "2001:db8::1/64"])
      try daemon.configure(
        "add-natnet lab 192.168.77.0/24,fd00:77::/64 tag=77 bridge=br0 uplink=br-out addresses=192.0.2.5/24,2001:db8::5/64 gateways=192.0.2.1,2001:db8::1"
      )
      let net = NATLab(lab: lab, daemon: daemon, outside: outside)
      try net.startWebServer("outside", in: outside, port: 80)
      let guests = try Self.settled(net, ["web", "vm"])
      let vm = guests[1]
      #expect(try net.dig(["example.test"], from: vm) == "192.0.2.1")
      #expect(try net.dig(["AAAA", "six.test"], from: vm) == "2001:db8::1")
      // As programs do it, by names alone.
      for server in ["192.168.77.1", "fd00:77::1"] {
        try lab.writeResolverConfiguration("nameserver \(server)\nsearch lab\n", for: vm)
        #expect(try net.fetch("example.test", from: vm) == "this is outside\n", "asking \(server)")
        #expect(try net.fetch("six.test", from: vm) == "this is outside\n", "asking \(server)")
      }
      // A neighbour by its name, by IPv6 too once the router has seen it.
      #expect(try lab.canPing("fd00:77::1", from: guests[0]))
      let six = try eventually(.seconds(10)) { try net.dig(["AAAA", "web.lab"], from: vm).hasPrefix("fd00:77:") }
      #expect(six, "no AAAA record of a lease's name")
      #expect(try lab.attempt(["ping", "-6", "-c", "1", "-W", "2", "web"], in: vm).isSuccess)
      // The host changes its servers: read again within seconds.
      try lab.writeResolverConfiguration("nameserver 127.0.0.2\n", for: host)
      #expect(
        try eventually(.seconds(20)) { try net.dig(["example.test", "+tries=1"], from: vm).isEmpty },
        "asks a server that is no longer the host's")
    }
  }

  @Test func aFloodOfConnectionsToTheResolverLeavesOthersTheirAnswers() throws {
    try NATLab.with { net throws in
      try net.startNameServer(["--address=/example.test/192.0.2.80"])
      let (good, bad) = (try net.guest("good"), try net.guest("bad"))
      try net.lease(.udhcpc, "good", in: good)
      try net.lease(.udhcpc, "bad", in: bad)
      #expect(try net.dig(["+tcp", "example.test"], from: good) == "192.0.2.80")
      let before = try net.daemon.residentKibibytes()
      // SYNs and questions of as many addresses as there are, at some 400 a second.
      let flood = try net.lab.start(
        ["python3", "\(NATLab.clients)/tcp_flood.py", "bad", "192.168.77.1", "2000"], in: bad)
      var answered = 0
      for _ in 0..<10 {
        if try net.dig(["+tcp", "example.test"], from: good) == "192.0.2.80" { answered += 1 }
      }
      #expect(answered == 10)
      #expect(try net.dig(["+notcp", "example.test"], from: good) == "192.0.2.80")
      #expect(try net.lab.canPing("192.168.77.1", from: good))
      #expect(flood.waitForExit(.seconds(30)) == 0)
      #expect(try net.daemon.residentKibibytes() - before < 40 * 1024)
    }
  }

  @Test func theOuterAddressMayComeByDHCP() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0 -- add-br br-out")
      let outside = try daemon.host("outside", bridge: "br-out", addresses: ["192.0.2.1/24"])
      let served = try lab.start(
        [
          "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--user=root", "--dhcp-authoritative",
          "--interface=outside", "--bind-interfaces", "--dhcp-range=192.0.2.50,192.0.2.59,120", "--no-ping",
          "--dhcp-leasefile=\(lab.directory)/outside.leases", "--pid-file=\(lab.directory)/dnsmasq.pid",
        ], in: outside)
      try daemon.configure("add-natnet lab 192.168.77.0/24 tag=77 bridge=br0 uplink=br-out address=dhcp")
      let net = NATLab(lab: lab, daemon: daemon, outside: outside)
      func outer() throws -> String {
        let shown = try daemon.configure("show-natnet lab")
        let line = shown.split(separator: "\n").first { $0.hasPrefix("outside: ") } ?? ""
        return String(line.dropFirst(9).prefix { $0 != "/" })
      }
      let hasAddress = try eventually(.seconds(20)) { try outer().hasPrefix("192.0.2.5") }
      let row = try daemon.configure("list nat_network lab")
      try #require(hasAddress, "\(row)\(served.output)\(served.errorOutput)\(daemon.log)")
      let vm = try net.guest("vm")
      try net.lease(.udhcpc, "vm", in: vm)
      try net.startWebServer("outside", in: outside, port: 80)
      #expect(try net.fetch("192.0.2.1", from: vm) == "this is outside\n")
      #expect(try daemon.configure("conntrack list").contains("dst=\(try outer())"))
      // A forward follows the address; the address survives a restart of the switch.
      try net.startWebServer("vm", in: vm, port: 8000)
      let inner = NATLab.value("address", try net.lease(.udhcpc, "vm", in: vm))
      try daemon.configure("forward lab tcp 8080 \(inner):8000")
      let before = try outer()
      #expect(try net.fetch("\(before):8080", from: outside) == "this is vm\n")
      daemon.kill9()
      try daemon.start()
      #expect(try eventually(.seconds(20)) { try outer() == before })
      try daemon.configure("set nat_network lab addresses=192.0.2.77/24 gateways=192.0.2.1")
      #expect(try outer() == "192.0.2.77")
    }
  }

  @Test func aLeaseIsEndedByCommand() throws {
    try NATLab.with("192.168.77.0/24", "pool=192.168.77.100-192.168.77.100") { net throws in
      let (a, b) = (try net.guest("a"), try net.guest("b"))
      try net.lease(.udhcpc, "a", in: a, hostName: "a")
      try net.daemon.configure("del-lease lab a")
      #expect(try net.daemon.configure("leases lab").contains("192.168.77.100") == false)
      // Nobody has it any more.
      try net.lab.run(["ip", "-n", a, "address", "flush", "dev", "a"])
      #expect(NATLab.value("address", try net.lease(.udhcpc, "b", in: b)) == "192.168.77.100")
      let refused = try net.daemon.vsctl("del-lease", "lab", "a")
      #expect(!refused.isSuccess && refused.errorOutput.contains("has no lease a"), "\(refused.errorOutput)")
      let bridge = try net.daemon.vsctl("add-br", "lab")
      #expect(!bridge.isSuccess && bridge.errorOutput.contains("there is a NAT network lab"))
      #expect(bridge.errorOutput.split(separator: "\n").count == 1)
    }
  }
}

extension Lab {
  /// Gives programs that begin in a namespace, or are in it and find the file changed, an /etc/resolv.conf of their own.
  func writeResolverConfiguration(_ text: String, for namespace: String) throws {
    let directory = "/etc/netns/\(namespace)"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    keep { try? FileManager.default.removeItem(atPath: directory) }
    // In its place: what is mounted over the file stays the same one.
    let file = FileHandle(forWritingAtPath: "\(directory)/resolv.conf")
    if let file {
      try file.truncate(atOffset: 0)
      try file.write(contentsOf: Data(text.utf8))
      try file.close()
    } else {
      try text.write(toFile: "\(directory)/resolv.conf", atomically: false, encoding: .utf8)
    }
  }
}
