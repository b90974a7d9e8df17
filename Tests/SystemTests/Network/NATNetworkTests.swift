// NAT networks with real clients: leases, names, ways out and in, restarts, floods.

import Foundation
import TestSupport
import Testing

@Suite(.blocking, .enabled(if: TestEnvironment.canUseNamespaces, "needs root"))
struct NATNetworkTests {
  @Test func guestsGetAddressesNamesAndAWayOut() throws {
    try NATLab.with { net throws in
      try net.startNameServer([
        "--address=/example.test/192.0.2.80",
        "--txt-record=huge.test,"
          + Array(repeating: String(repeating: "h", count: 250), count: 10).joined(separator: ","),
        "--txt-record=big.test,\(String(repeating: "x", count: 250)),\(String(repeating: "y", count: 250)),\(String(repeating: "z", count: 250))",
      ])
      try net.startWebServer("outside", in: net.outside, port: 80)
      let (web, vm) = (try net.guest("web"), try net.guest("vm"))
      let first = try net.lease(.udhcpc, "web", in: web, hostName: "web")
      let second = try net.lease(.dhclient, "vm", in: vm, hostName: "vm")
      let address = NATLab.value("address", first)
      #expect(address.hasPrefix("192.168.77.") && address != NATLab.value("address", second))
      for notes in [first, second] {
        #expect(NATLab.value("gateway", notes) == "192.168.77.1" && NATLab.value("dns", notes) == "192.168.77.1")
        #expect(NATLab.value("domain", notes) == "lab", "\(notes)")
        #expect(NATLab.value("search", notes).hasPrefix("lab"), "\(notes)")
      }
      let leases = try net.daemon.configure("leases lab")
      #expect(leases.contains(address) && leases.contains("web") && leases.contains("vm"), "\(leases)")

      // Names
      #expect(try net.dig(["web.lab"], from: vm) == address)
      #expect(try net.dig(["web"], from: vm) == address)
      #expect(try net.dig(["-x", address], from: vm) == "web.lab.")
      #expect(try net.dig(["example.test"], from: vm) == "192.0.2.80")
      // Larger than the server sends by UDP, smaller than the guest takes.
      #expect(try net.dig(["+notcp", "TXT", "big.test"], from: vm).contains("zzzz"))
      // By TCP: asked for so, and because the answer by UDP was cut off.
      #expect(try net.dig(["+tcp", "web.lab"], from: vm) == address)
      #expect(try net.dig(["+tcp", "example.test"], from: vm) == "192.0.2.80")
      let cut = try net.lab.attempt(["dig", "+ignore", "@192.168.77.1", "TXT", "huge.test"], in: vm).output
      #expect(cut.contains(" tc ") && !cut.contains("hhhh"), "\(cut)")
      #expect(try net.dig(["TXT", "huge.test"], from: vm).filter { $0 == "h" }.count == 10 * 250)
      #expect(try net.lab.attempt(["dig", "@192.168.77.1", "nobody.lab"], in: vm).output.contains("NXDOMAIN"))

      // Out, by both IP versions, as another address
      #expect(try net.lab.canPing("192.168.77.1", from: vm))
      #expect(try net.lab.canPing("192.0.2.1", from: vm))
      #expect(try net.fetch("192.0.2.1", from: vm) == "this is outside\n")
      let connections = try net.daemon.configure("conntrack list")
      #expect(connections.contains("dst=192.0.2.5"), "\(connections)")
      let hasIPv6 = try eventually(.seconds(10)) {
        try net.lab.run(["ip", "-6", "address", "show", "dev", "vm", "scope", "global"], in: vm).contains("fd00:77::")
      }
      #expect(hasIPv6, "no address by SLAAC")
      #expect(try net.lab.canPing("2001:db8::1", from: vm))
      #expect(try net.fetch("[2001:db8::1]", from: vm) == "this is outside\n")
      #expect(try net.dig(["example.test"], from: vm, server: "fd00:77::1") == "192.0.2.80")
      #expect(try net.dig(["+tcp", "TXT", "huge.test"], from: vm, server: "fd00:77::1").contains("hhhh"))
      // Nothing comes in by itself.
      #expect(try !net.lab.canPing(address, from: net.outside))
      #expect(try net.fetch("192.0.2.5:8080", from: net.outside).isEmpty)
      // Guests reach each other.
      #expect(try net.lab.canPing(address, from: vm))
    }
  }

  @Test func portsAreForwardedToLeasesByNameAndToAddresses() throws {
    try NATLab.with { net throws in
      let web = try net.guest("web")
      try net.startWebServer("web", in: web, port: 8000)
      // Before anybody has the name.
      try net.daemon.configure("forward lab tcp 8080 web:8000")
      let address = NATLab.value("address", try net.lease(.udhcpc, "web", in: web, hostName: "web"))
      let isReached = try eventually(.seconds(10)) {
        try net.fetch("192.0.2.5:8080", from: net.outside) == "this is web\n"
      }
      #expect(isReached, "by name")
      try net.daemon.configure("forward lab tcp 9000-9001 \(address):8000")
      #expect(try net.fetch("192.0.2.5:9000", from: net.outside) == "this is web\n")
      #expect(try net.daemon.configure("list-forwards lab").contains("tcp 9000-9001 \(address):8000"))
      // By IPv6, to the address that the guest has made of its own.
      let hasIPv6 = try eventually(.seconds(10)) {
        try net.lab.run(["ip", "-6", "address", "show", "dev", "web", "scope", "global"], in: web).contains("fd00:77::")
      }
      #expect(hasIPv6)
      let longIsReached = try eventually(.seconds(10)) {
        try net.fetch("[2001:db8::5]:8080", from: net.outside) == "this is web\n"
      }
      #expect(longIsReached, "by name, IPv6")
      try net.daemon.configure("unforward lab tcp 8080")
      #expect(try net.fetch("192.0.2.5:8080", from: net.outside).isEmpty)
      let refused = try net.daemon.vsctl("forward", "lab", "tcp", "0", "web:80")
      #expect(!refused.isSuccess && refused.errorOutput.contains("is no port"))
    }
  }

  @Test func leasesSurviveARestartAndStaticOnesAreKept() throws {
    try NATLab.with(
      "192.168.77.0/24", "pool=192.168.77.100-192.168.77.103 next_server=192.168.77.1 boot_file=pxelinux.0 mtu=1400"
    ) { net throws in
      let (a, b, c) = (try net.guest("a"), try net.guest("b"), try net.guest("c"))
      let mac = try net.lab.hardwareAddress("c", in: c)
      try net.daemon.configure("add-lease lab \(mac) 192.168.77.20 fixed")
      let first = try net.lease(.udhcpc, "a", in: a, hostName: "a")
      #expect(NATLab.value("mtu", first) == "1400" && NATLab.value("file", first) == "pxelinux.0", "\(first)")
      try net.lease(.dhclient, "b", in: b)
      #expect(NATLab.value("address", try net.lease(.udhcpc, "c", in: c)) == "192.168.77.20")
      let before = try net.daemon.configure("leases lab")
      net.daemon.kill9()
      try net.daemon.start()
      #expect(try net.daemon.configure("leases lab") == before)
      for (name, guest) in [("a", a), ("b", b), ("c", c)] { try net.settle(name, in: guest) }
      // The next guest gets an address that nobody has, and the first one its own again.
      let d = try net.guest("d")
      let fourth = NATLab.value("address", try net.lease(.udhcpc, "d", in: d))
      #expect(!before.contains(fourth))
      #expect(NATLab.value("address", try net.lease(.udhcpc, "a", in: a)) == NATLab.value("address", first))
      // The resolver knows them, too.
      #expect(try net.dig(["a.lab"], from: d) == NATLab.value("address", first))
      #expect(try net.dig(["fixed.lab"], from: d) == "192.168.77.20")
    }
  }

  @Test func anAddressThatSomebodyHasTakenIsNotGiven() throws {
    try NATLab.with("192.168.77.0/24", "pool=192.168.77.100-192.168.77.101") { net throws in
      let (taker, guest) = (try net.guest("t"), try net.guest("g"))
      try net.lab.giveAddresses(["192.168.77.100/24"], to: "t", in: taker)
      #expect(NATLab.value("address", try net.lease(.udhcpc, "g", in: guest)) == "192.168.77.101")
    }
  }

  @Test func aFloodOfDHCPLeavesTrafficAndOthersAlone() throws {
    try NATLab.with("192.168.77.0/24") { net throws in
      let (good, bad, late) = (try net.guest("good"), try net.guest("bad"), try net.guest("late"))
      try net.lease(.udhcpc, "good", in: good)
      try net.lab.run(["ip", "-n", bad, "link", "set", "bad", "up"])
      let before = try net.daemon.residentKibibytes()
      for kind in ["discover", "request"] {
        let flood = try net.flood("bad", in: bad, count: 50_000, kind)
        // An established way out goes on.
        let ping = try net.lab.attempt(
          ["ping", "-n", "-q", "-c", "100", "-i", "0.02", "-W", "2", "192.0.2.1"], in: good)
        #expect(ping.output.contains(" 0% packet loss"), "\(kind): \(ping.output)")
        _ = flood.waitForExit(.seconds(60))
      }
      let grown = try net.daemon.residentKibibytes() - before
      #expect(grown < 40 * 1024, "\(grown) KiB more")
      // The port that asked so much has its share of the pool, and no more.
      let count = try net.daemon.configure("leases lab").split(separator: "\n").filter { $0.contains("02:66:") }.count
      #expect(count <= 252 * 3 / 4, "\(count)")
      #expect(NATLab.value("address", try net.lease(.udhcpc, "late", in: late)).hasPrefix("192.168.77."))
    }
  }

  @Test func hostOnlyAndInternalNetworksHaveNoWayOut() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure(
        "add-br br0 -- add-natnet own 10.8.0.0/24 tag=8 kind=host-only -- add-natnet quiet 10.9.0.0/24 tag=9 kind=internal"
      )
      let (a, b) = (try daemon.host("a", "tag=8"), try daemon.host("b", "tag=9"))
      let net = NATLab(lab: lab, daemon: daemon, outside: a)
      let first = try net.lease(.udhcpc, "a", in: a, hostName: "a")
      #expect(NATLab.value("gateway", first).isEmpty, "\(first)")
      #expect(try lab.canPing("10.8.0.1", from: a), "the host")
      #expect(try lab.run(["ip", "address", "show", "dev", "own"], in: daemon.namespace).contains("10.8.0.1/24"))
      #expect(try net.dig(["a.own"], from: a, server: "10.8.0.2") == NATLab.value("address", first))
      let second = try net.lease(.udhcpc, "b", in: b)
      #expect(NATLab.value("address", second).hasPrefix("10.9.0.") && NATLab.value("gateway", second).isEmpty)
      try lab.run(["ip", "-n", b, "route", "add", "default", "via", "10.9.0.1"])
      #expect(try !lab.canPing("10.8.0.1", from: b))
    }
  }

  @Test func theHostForwardsWhereItIsTheUplink() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      // The host's way to the world.
      let world = try lab.namespace("world")
      try lab.run([
        "ip", "-n", daemon.namespace, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", world,
      ])
      try lab.giveAddresses(["192.0.2.9/24"], to: "eth0", in: daemon.namespace)
      try lab.giveAddresses(["192.0.2.1/24"], to: "eth0", in: world)
      try lab.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"], in: daemon.namespace)
      try lab.run(
        [
          "nft",
          "add table ip nat; add chain ip nat post { type nat hook postrouting priority 100; }; add rule ip nat post ip saddr 169.254.0.0/16 masquerade",
        ],
        in: daemon.namespace)
      try daemon.configure("add-br br0 -- add-natnet lab 192.168.77.0/24 tag=77")
      let net = NATLab(lab: lab, daemon: daemon, outside: world)
      let (vm, _) = (try net.guest("vm"), ())
      try net.lease(.udhcpc, "vm", in: vm)
      #expect(try lab.canPing("192.0.2.1", from: vm))
      try net.startWebServer("world", in: world, port: 80)
      #expect(try net.fetch("192.0.2.1", from: vm) == "this is world\n")
      // Forwarded ports are reached from the host at the network's outer address.
      try net.startWebServer("vm", in: vm, port: 8000)
      let address = NATLab.value("address", try net.lease(.udhcpc, "vm", in: vm))
      try daemon.configure("forward lab tcp 8080 \(address):8000")
      let shown = try daemon.configure("show-natnet lab")
      #expect(shown.contains("outside: 169.254.") && shown.contains("forward: tcp 8080"), "\(shown)")
      let outer =
        shown.split(separator: "\n").first { $0.hasPrefix("outside: ") }?.dropFirst(9).prefix { $0 != "/" } ?? ""
      #expect(try net.fetch("\(outer):8080", from: daemon.namespace) == "this is vm\n")
      // The host's own address on that link is not for guests.
      let host = shown.split(separator: "\n").first { $0.hasPrefix("host: ") }?.dropFirst(6).prefix { $0 != "/" } ?? ""
      #expect(try !lab.canPing(String(host), from: vm))
    }
  }

  @Test func whatCannotWorkIsSaidInOneLine() throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      let cases: [(String, String)] = [
        ("add-natnet a 192.168.1.0/30", "has too few addresses"),
        ("add-natnet b 10.0.0.0/24 uplink=br9", "there is no bridge br9"),
        ("add-natnet c 10.0.0.0/24 uplink=br0", "would go out into itself"),
        ("add-natnet d 10.0.0.0/24 pool=10.1.0.1-10.1.0.9", "is no range of addresses in it"),
        ("add-natnet e-with-a-long-name 10.0.0.0/24", "no device can be called"),
        ("add-natnet f 10.0.0.0/24 kind=internal -- forward f tcp 80 10.0.0.5", "has no way in"),
      ]
      for (line, error) in cases {
        let result = try daemon.vsctl(line.split(separator: " ").map(String.init))
        #expect(result.errorOutput.contains(error), "\(line): \(result.errorOutput)")
        #expect(result.errorOutput.split(separator: "\n").count == 1, "\(line): \(result.errorOutput)")
      }
      for line in [
        "add-natnet br0 10.0.0.0/24", "add-natnet g nonsense", "forward nosuch tcp 80 a:80", "del-natnet nosuch",
      ] {
        let result = try daemon.vsctl(line.split(separator: " ").map(String.init))
        #expect(!result.isSuccess && result.errorOutput.split(separator: "\n").count == 1, "\(line)")
      }
      #expect(try daemon.configure("list-natnets").split(separator: "\n").count == 6)
    }
  }
}
