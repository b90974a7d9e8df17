// Security groups of ports with real hosts: what they let begin, what they keep out, and that nothing else changes.

import Foundation
import TestSupport
import Testing

@Suite(.blocking, .enabled(if: TestEnvironment.canUseNamespaces, "needs root"))
struct SecurityGroupTests {
  /// Two hosts of a bridge; `b` has the group `web`, which lets in SSH and the web.
  private static func withFirewall(
    _ body: (Lab, Daemon, _ a: String, _ b: String) throws -> Void
  ) throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      let a = try daemon.host("a", addresses: ["10.0.0.1/24", "fd00::1/64"])
      let b = try daemon.host("b", addresses: ["10.0.0.2/24", "fd00::2/64"])
      try body(lab, daemon, a, b)
    }
  }

  private static func secure(_ daemon: Daemon) throws {
    try daemon.configure("add-secgroup web")
    try daemon.configure("add-secgroup-rule web in ssh -- add-secgroup-rule web in tcp 80,8000-8080")
    try daemon.configure("set port b secgroup=web")
  }

  /// Whether something at a host answers TCP.
  private static func connects(_ lab: Lab, from host: String, to address: String, port: Int) throws -> Bool {
    let script = "import socket; s = socket.create_connection(('\(address)', \(port)), 1); assert s.recv(2) == b'ok'"
    return try lab.attempt(["python3", "-c", script], in: host).isSuccess
  }

  /// A server that says ok to whom connects, on several ports of both IP versions.
  private static func serve(_ lab: Lab, in host: String, ports: [Int]) throws {
    let script = """
      import selectors, socket
      chosen = selectors.DefaultSelector()
      for port in \(ports):
        server = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        chosen.register(server, selectors.EVENT_READ)
      print("ready", flush=True)
      while True:
        for key, _ in chosen.select():
          client, _ = key.fileobj.accept()
          client.sendall(b"ok")
          client.close()
      """
    let server = try lab.start(["python3", "-c", script], in: host)
    try #require(eventually(.seconds(10)) { server.output.contains("ready") })
  }

  @Test func threeLinesMakeAFirewall() throws {
    try Self.withFirewall { lab, daemon, a, b throws in
      try Self.serve(lab, in: b, ports: [80, 8040, 81])
      try Self.serve(lab, in: a, ports: [81])
      #expect(try lab.canPing("10.0.0.2", from: a))
      #expect(try Self.connects(lab, from: a, to: "10.0.0.2", port: 81))
      try Self.secure(daemon)
      for (own, other) in [("10.0.0.2", "10.0.0.1"), ("fd00::2", "fd00::1")] {
        #expect(try !lab.canPing(own, from: a), "nothing else comes in")
        #expect(try Self.connects(lab, from: a, to: own, port: 80))
        #expect(try Self.connects(lab, from: a, to: own, port: 8040))
        #expect(try !Self.connects(lab, from: a, to: own, port: 81))
        // What the host itself begins.
        #expect(try lab.canPing(other, from: b))
        #expect(try Self.connects(lab, from: b, to: other, port: 81))
      }
      #expect(try daemon.configure("list-secgroup-rules web") == "in tcp 22 name=ssh\nin tcp 80,8000-8080\n")
      try daemon.configure("add-secgroup-rule web in ping from=10.0.0.0/24")
      #expect(try lab.canPing("10.0.0.2", from: a))
      #expect(try !lab.canPing("fd00::2", from: a))
      try daemon.configure("del-secgroup-rule web ping")
      #expect(try !lab.canPing("10.0.0.2", from: a))
      try daemon.configure("clear port b secgroup")
      #expect(try lab.canPing("10.0.0.2", from: a))
      #expect(try Self.connects(lab, from: a, to: "fd00::2", port: 81))
    }
  }

  @Test func aRunningConnectionOutlivesTheSwitchOver() throws {
    try Self.withFirewall { lab, daemon, a, b throws in
      // From b outward: whoever has no rule about that may begin, with the next packet, too.
      let server = """
        import socket
        stream, _ = socket.create_server(("", 5000)).accept()
        count = 0
        while data := stream.recv(4096): count += len(data)
        print(count, flush=True)
        """
      let client = """
        import socket, time
        for _ in range(50):
          try:
            stream = socket.create_connection(("10.0.0.1", 5000), 5)
            break
          except OSError: time.sleep(0.1)
        for n in range(200):
          stream.sendall(b"x" * 1000)
          time.sleep(0.01)
        """
      let reader = try lab.start(["python3", "-c", server], in: a)
      _ = try lab.start(["python3", "-c", client], in: b)
      pauseThread(.milliseconds(600))
      try Self.secure(daemon)
      #expect(try !lab.canPing("10.0.0.2", from: a))
      #expect(eventually(.seconds(10)) { reader.output.contains("200000") }, "\(reader.output)")
    }
  }

  @Test func aHostSpeaksInItsOwnNameAlone() throws {
    try Self.withFirewall { lab, daemon, a, b throws in
      let own = try lab.hardwareAddress("b", in: b)
      #expect(
        try daemon.vsctl("set", "port", "b", "port_security=\"\(own) 10.0.0.2 fd00::2\"").isSuccess)
      #expect(try lab.canPing("10.0.0.1", from: b))
      #expect(try lab.canPing("fd00::1", from: b))
      try lab.giveAddresses(["10.0.0.3/24", "fd00::3/64"], to: "b", in: b)
      #expect(try !lab.canPing("10.0.0.1", from: b, ["-I", "10.0.0.3"]))
      #expect(try !lab.canPing("fd00::1", from: b, ["-I", "fd00::3"]))
      #expect(try !lab.canPing("10.0.0.3", from: a), "it does not answer for others either (ARP)")
      #expect(try lab.canPing("10.0.0.1", from: b, ["-I", "10.0.0.2"]))
      try lab.run(["ip", "-n", b, "link", "set", "dev", "b", "address", "02:00:00:00:00:99"])
      #expect(try !lab.canPing("10.0.0.1", from: b))
      let drops = try daemon.configure("drops")
      #expect(drops.contains("rule"), "\(drops)")
    }
  }

  @Test func aTraceGoesThroughTheRulesAndTellsWhatWouldHelp() throws {
    try Self.withFirewall { lab, daemon, _, b throws in
      try Self.secure(daemon)
      let address = try lab.hardwareAddress("b", in: b)
      let refused = try daemon.configure(
        "trace br0 in_port=a,tcp,dl_dst=\(address),nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src=1000,tp_dst=81")
      #expect(refused.contains("No rule of port b's security groups lets that connection in."), "\(refused)")
      #expect(refused.contains("vsctl add-secgroup-rule web in tcp 81"), "\(refused)")
      try daemon.configure("add-secgroup-rule web in tcp 81")
      let passed = try daemon.configure(
        "trace br0 in_port=a,tcp,dl_dst=\(address),nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src=1000,tp_dst=81")
      #expect(passed.contains("leaves port b"), "\(passed)")
      #expect(try daemon.vsctl("set", "port", "b", "port_security=\"\(address) 10.0.0.2\"").isSuccess)
      let spoofed = try daemon.configure("trace br0 in_port=b,icmp,dl_src=\(address),nw_src=10.0.0.9,nw_dst=10.0.0.1")
      #expect(spoofed.contains("may not send in the name of 10.0.0.9"), "\(spoofed)")
      let server = try daemon.configure(
        "trace br0 in_port=b,udp,dl_src=\(address),nw_src=10.0.0.2,nw_dst=10.0.0.1,tp_src=67,tp_dst=68")
      #expect(server.contains("vsctl set port b other_config:trusted=true"), "\(server)")
    }
  }

  @Test func itIsSaidWhatIsWrongAndARestartKeepsTheRules() throws {
    try Self.withFirewall { lab, daemon, a, b throws in
      try Self.secure(daemon)
      #expect(
        try daemon.vsctl("set", "port", "b", "secgroup=wep").errorOutput
          == "vsctl: port b: there is no security group wep: add it: vsctl add-secgroup wep\n")
      #expect(try !Self.connects(lab, from: a, to: "10.0.0.2", port: 80), "a group that is not there lets nothing in")
      try daemon.configure("set port b secgroup=web")
      #expect(try daemon.configure("get port b error") == "[]\n")
      #expect(
        try daemon.vsctl("set", "port", "b", "port_security=10.0.0.2").errorOutput
          .contains("port_security has \"10.0.0.2\", which is no Ethernet address"))
      try daemon.configure("clear port b port_security")
      #expect(
        try daemon.vsctl("del-secgroup", "web").errorOutput.contains("vsctl remove port b secgroup web"))
      #expect(
        try daemon.vsctl("add-secgroup-rule", "web", "in", "tcp", "99999").errorOutput.contains("99999"))
      try daemon.configure("del-secgroup-rule web in tcp 99999")
      daemon.kill9()
      try daemon.start()
      try lab.giveAddresses(["10.0.0.1/24"], to: "a", in: a)
      try lab.giveAddresses(["10.0.0.2/24"], to: "b", in: b)
      try Self.serve(lab, in: b, ports: [80])
      #expect(eventually(.seconds(5)) { (try? Self.connects(lab, from: a, to: "10.0.0.2", port: 80)) == true })
      #expect(try !lab.canPing("10.0.0.2", from: a))
      #expect(try lab.canPing("10.0.0.1", from: b))
    }
  }
}
