// Translation by rules of ovs-ofctl on a bridge of real hosts: traffic through it, what is listed of it, what ends it.

import Foundation
import TestSupport
import Testing

@Suite(.blocking, .enabled(if: TestEnvironment.canUseNamespaces, "needs root"))
struct TranslationTests {
  /// A client and a server on a bridge that gives the client another address; a second client.
  private static func withNAT(_ body: (Lab, Daemon, String, String) throws -> Void) throws {
    try withLab { lab throws in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      let client = try daemon.host("a", bridge: "br0", "", addresses: ["10.1.0.1/16", "fd00::1/64"])
      let server = try daemon.host("b", bridge: "br0", "", addresses: ["10.1.0.2/16", "fd00::2/64"])
      // The server knows the client by its outer address only, which nobody answers ARP for.
      let mac = try lab.run(["cat", "/sys/class/net/a/address"], in: client).trimmingCharacters(
        in: .whitespacesAndNewlines)
      try lab.run(["ip", "-n", server, "neigh", "add", "10.1.9.9", "lladdr", mac, "dev", "b", "nud", "permanent"])
      try lab.run(["ip", "-n", server, "neigh", "add", "fd00::99", "lladdr", mac, "dev", "b", "nud", "permanent"])
      let rules = """
        table=0,priority=50,arp,actions=NORMAL
        table=0,priority=50,icmp6,icmp_type=135,actions=NORMAL
        table=0,priority=50,icmp6,icmp_type=136,actions=NORMAL
        table=0,priority=10,ip,actions=ct(zone=7,nat,table=1)
        table=0,priority=10,ipv6,actions=ct(zone=7,nat,table=1)
        table=1,priority=30,ct_state=+trk+inv,actions=drop
        table=1,priority=20,ct_state=+trk+est,actions=NORMAL
        table=1,priority=20,ct_state=+trk+rel,actions=NORMAL
        table=1,priority=10,ct_state=+trk+new,ip,in_port=a,actions=ct(commit,zone=7,nat(src=10.1.9.9),exec(set_field:0x5->ct_mark)),NORMAL
        table=1,priority=10,ct_state=+trk+new,ipv6,in_port=a,actions=ct(commit,zone=7,nat(src=fd00::99)),NORMAL
        """
      let file = "\(lab.directory)/rules"
      try rules.write(toFile: file, atomically: true, encoding: .utf8)
      try daemon.configure("del-flows br0")
      try daemon.configure("add-flows br0 \(file)")
      try body(lab, daemon, client, server)
    }
  }

  @Test func realTrafficGoesThroughTranslation() throws {
    try Self.withNAT { lab, daemon, client, server throws in
      for address in ["10.1.0.2", "fd00::2"] {
        #expect(try lab.canPing(address, from: client))
        let difference = try Transfer.run(lab, Transfer.Transport.allCases, from: client, to: server, address: address)
        #expect(difference == [], "to \(address)")
      }
      // From outside nothing comes in.
      #expect(try !lab.canPing("10.1.0.1", from: server))
      let list = try daemon.configure("conntrack list zone=7")
      #expect(list.contains("src=10.1.0.1 dst=10.1.0.2") && list.contains("dst=10.1.9.9"), "\(list)")
      #expect(list.contains("mark=5") && list.contains("zone=7"), "\(list)")
      #expect(try daemon.configure("conntrack list zone=8").isEmpty)
    }
  }

  @Test func connectionsAreListedAndForgottenByEveryProgram() throws {
    try Self.withNAT { lab, daemon, client, _ throws in
      #expect(try lab.canPing("10.1.0.2", from: client))
      let target = "\(daemon.runDirectory)/vswitchd.\(daemon.processID ?? 0).ctl"
      func ask(_ words: String...) throws -> String {
        // The daemon is a child of `ip netns exec`, whose process it took over.
        try lab.run(["ovs-appctl", "-t", target] + words)
      }
      let dump = try ask("dpctl/dump-conntrack")
      #expect(dump.hasPrefix("icmp,orig=(src=10.1.0.1,dst=10.1.0.2,id="), "\(dump)")
      #expect(dump.contains("),reply=(src=10.1.0.2,dst=10.1.9.9,id=") && dump.contains(",zone=7,mark=5"), "\(dump)")
      #expect(try ask("dpctl/ct-stats-show") == "Connections Stats:\n    Total: 1\n\tICMP: 1\n")
      #expect(try ask("dpctl/flush-conntrack", "zone=8") == "")
      #expect(try ask("dpctl/ct-get-nconns") == "1\n")
      #expect(try ask("dpctl/flush-conntrack", "ct_nw_src=10.1.0.1,ct_nw_proto=1") == "")
      #expect(try ask("dpctl/dump-conntrack") == "")
      #expect(try ask("dpctl/ct-set-limits", "zone=7,limit=3") == "")
      #expect(try ask("dpctl/ct-get-limits") == "default limit=0\nzone=7,limit=3,count=0\n")
      #expect(try ask("dpctl/ct-del-limits", "zone=7") == "")
      #expect(try lab.canPing("10.1.0.2", from: client))
      try lab.run(["ovs-ofctl", "ct-flush", "unix:\(daemon.runDirectory)/br0.mgmt", "zone=7"])
      #expect(try daemon.configure("conntrack list").isEmpty)
      let zones = try daemon.configure("conntrack zones")
      #expect(zones.contains("zone"))
    }
  }

  @Test func whatHappensToConnectionsIsTold() throws {
    try Self.withNAT { lab, daemon, client, _ throws in
      let program = "\(TestEnvironment.programDirectory)/vsctl"
      let watching = try lab.start(
        [program, "--run-dir", daemon.runDirectory, "conntrack", "events", "--count", "3", "zone=7"])
      // The first question only begins to watch: pings until something is told.
      #expect(
        try eventually(.seconds(10)) {
          _ = try lab.canPing("10.1.0.2", from: client)
          return watching.output.contains("[UPDATE]")
        })
      try daemon.configure("conntrack flush")
      _ = watching.waitForExit(.seconds(5))
      let lines = watching.output.split(separator: "\n").map(String.init)
      #expect(lines.contains { $0.hasPrefix("    [NEW] icmp     1 ") && $0.contains("[UNREPLIED]") }, "\(lines)")
      #expect(lines.contains { $0.hasPrefix(" [UPDATE] icmp     1 ") && $0.contains("dst=10.1.9.9") }, "\(lines)")
      #expect(!watching.isRunning)
    }
  }

  @Test func timeoutsComeFromTheDatabase() throws {
    try Self.withNAT { lab, daemon, client, _ throws in
      try daemon.configure("-- --id=@d create Datapath datapath_version=1 -- set Open_vSwitch . datapaths:netdev=@d")
      try daemon.configure("add-zone-tp netdev zone=7 icmp_first=1000 icmp_reply=2000")
      #expect(try lab.canPing("10.1.0.2", from: client))
      let list = try daemon.configure("conntrack list zone=7")
      let seconds = list.split(separator: " ").dropFirst(2).first.flatMap { Int($0) } ?? 0
      #expect((1900...2000).contains(seconds), "\(list)")
      try daemon.configure("del-zone-tp netdev zone=7")
      try daemon.configure("conntrack flush")
      #expect(try lab.canPing("10.1.0.2", from: client))
      let after = try daemon.configure("conntrack list zone=7")
      #expect((after.split(separator: " ").dropFirst(2).first.flatMap { Int($0) } ?? 9999) <= 60, "\(after)")
    }
  }
}
