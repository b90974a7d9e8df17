// Debian's ovs-ofctl on a bridge's management socket, and hosts whose packets then go as its rules say.

import Foundation
import TestSupport
import Testing

@Suite(.enabled(if: TestEnvironment.canUseNamespaces, "needs root"))
struct OpenFlowToolTests {
  private func ofctl(_ daemon: Daemon, _ arguments: [String], version: String = "OpenFlow13") throws -> String {
    let socket = "unix:\(daemon.runDirectory)/br0.mgmt"
    return try TestSupport.require(
      ["ovs-ofctl", "-O", version, arguments[0], socket] + arguments.dropFirst())
  }

  @Test(arguments: ["OpenFlow10", "OpenFlow13", "OpenFlow14", "OpenFlow15"])
  func everyVersionIsSpoken(version: String) throws {
    try ConnectivityTests.withTwoHosts { _, daemon, _, _ throws in
      let shown = try ofctl(daemon, ["show"], version: version)
      #expect(shown.contains("n_tables:254") && shown.contains("(a): addr:"))
      #expect(try ofctl(daemon, ["dump-flows"], version: version).contains("priority=0 actions=NORMAL"))
      _ = try ofctl(daemon, ["add-flow", "priority=7,ip,nw_dst=192.0.2.0/24,actions=drop"], version: version)
      #expect(
        try ofctl(daemon, ["dump-flows"], version: version).contains("priority=7,ip,nw_dst=192.0.2.0/24 actions=drop"))
      #expect(try ofctl(daemon, ["dump-aggregate"], version: version).contains("flow_count=2"))
      #expect(try ofctl(daemon, ["dump-ports"], version: version).contains("3 ports"))
    }
  }

  @Test func packetsGoAsTheRulesSay() throws {
    try ConnectivityTests.withTwoHosts { lab, daemon, a, _ throws in
      #expect(try lab.canPing("10.1.0.2", from: a, count: 2))
      _ = try ofctl(daemon, ["del-flows"])
      #expect(try !lab.canPing("10.1.0.2", from: a, count: 1))
      let ports = try ofctl(daemon, ["show"])
      let number = { (name: String) -> String? in
        ports.split(separator: "\n").first { $0.contains("(\(name)):") }?.split(separator: "(").first.map {
          String($0.filter { $0 != " " })
        }
      }
      let one = try #require(number("a"))
      let two = try #require(number("b"))
      _ = try ofctl(daemon, ["add-flow", "in_port=\(one),actions=goto_table:5"])
      _ = try ofctl(daemon, ["add-flow", "table=5,actions=output:\(two)"])
      _ = try ofctl(daemon, ["add-flow", "in_port=\(two),actions=output:\(one)"])
      #expect(try lab.canPing("10.1.0.2", from: a, count: 5))
      let flows = try ofctl(daemon, ["dump-flows"])
      // Five echo requests and whatever the hosts said besides, in both tables the same.
      let counts = flows.split(separator: "\n").filter { $0.contains("goto_table") || $0.contains("table=5") }
        .compactMap {
          $0.split(separator: "n_packets=").last?.split(separator: ",").first.flatMap { Int($0) }
        }
      #expect(counts.count == 2 && counts[0] == counts[1] && counts[0] >= 5, "\(flows)")
      _ = try ofctl(daemon, ["add-flow", "priority=60000,icmp,actions=drop"])
      #expect(try !lab.canPing("10.1.0.2", from: a, count: 1))
      #expect(try ofctl(daemon, ["dump-flows", "icmp"]).contains("n_packets="))
    }
  }

  @Test func aRuleGoesWhenItsTimeIsOver() throws {
    try ConnectivityTests.withTwoHosts { _, daemon, _, _ throws in
      _ = try ofctl(daemon, ["add-flow", "hard_timeout=1,priority=9,udp,actions=drop"])
      #expect(try ofctl(daemon, ["dump-aggregate"]).contains("flow_count=2"))
      #expect(try eventually { try ofctl(daemon, ["dump-aggregate"]).contains("flow_count=1") })
    }
  }

  @Test func aRefusedRuleOrBundleLeavesNothing() throws {
    try ConnectivityTests.withTwoHosts { lab, daemon, a, _ throws in
      #expect(throws: (any Error).self) { try ofctl(daemon, ["add-flow", "priority=7,udp,actions=group:9"]) }
      #expect(throws: (any Error).self) { try ofctl(daemon, ["add-flow", "priority=7,arp,actions=ct(table=1)"]) }
      let file = "\(daemon.runDirectory)/flows"
      _ = try TestSupport.require(
        ["sh", "-c", "printf 'priority=9,udp,actions=drop\\npriority=8,udp,actions=group:9\\n' > '\(file)'"])
      #expect(throws: (any Error).self) { try ofctl(daemon, ["--bundle", "add-flows", file], version: "OpenFlow14") }
      #expect(try ofctl(daemon, ["dump-aggregate"]).contains("flow_count=1"))
      #expect(try lab.canPing("10.1.0.2", from: a, count: 2))
    }
  }

  // MARK: every subcommand

  /// A line of the table below: subcommand with its arguments, what its output has, and the versions that know it.
  private struct Step {
    var words: [String]
    var expected: String
    var versions: [String]

    init(_ line: String, _ expected: String = "", in versions: [String] = all) {
      words = line.split(separator: " ").map(String.init)
      self.expected = expected
      self.versions = versions
    }

    static let all = ["OpenFlow10", "OpenFlow13", "OpenFlow14", "OpenFlow15"]
    static let from13 = Array(all[1...])
    static let from14 = Array(all[2...])
  }

  private static let steps: [Step] = [
    Step("show", "n_tables:254"), Step("probe"), Step("ping", "bytes from"), Step("get-frags", "normal"),
    Step("set-frags nx-match"), Step("get-frags", "nx-match"), Step("set-frags normal"),
    Step("dump-desc", "software switch"), Step("dump-tables", "table 0"), Step("dump-ports", "3 ports"),
    Step("dump-ports 1", "1 ports"), Step("dump-ports-desc", "1(a): addr:"),
    Step("dump-table-features", "table 0", in: Step.from13), Step("dump-table-desc", "table", in: Step.from14),
    Step("mod-table 3 evict", in: Step.from14), Step("dump-table-desc", "eviction=on", in: Step.from14),
    Step("mod-table 3 noevict", in: Step.from14), Step("mod-table 3 vacancy:20,80", in: Step.from14),
    Step("dump-table-desc", "vacancy=on", in: Step.from14), Step("mod-table 3 novacancy", in: Step.from14),
    Step("mod-port 1 no-forward"), Step("show", "NO_FWD"), Step("mod-port 1 forward"), Step("mod-port 1 no-receive"),
    Step("mod-port 1 receive"), Step("mod-port 1 no-packet-in"), Step("mod-port 1 packet-in"),
    Step("mod-port 1 no-flood", in: ["OpenFlow10"]), Step("show", "NO_FLOOD", in: ["OpenFlow10"]),
    Step("mod-port 1 flood", in: ["OpenFlow10"]), Step("mod-port 1 down"), Step("show", "PORT_DOWN"),
    Step("mod-port 1 up"), Step("queue-get-config 1", "QUEUE"), Step("queue-stats", "0 queues"),
    Step("add-flow priority=5,tcp,tp_dst=80,actions=output:1"), Step("dump-flows", "tp_dst=80"),
    Step("add-flow priority=6,reg0=5,actions=resubmit(,3)"), Step("dump-flows reg0=5", "resubmit(,3)"),
    Step("mod-flows tcp,actions=output:2"), Step("dump-flows tcp", "output:2"),
    Step("--strict mod-flows priority=5,tcp,tp_dst=80,actions=drop"), Step("dump-flows tcp", "actions=drop"),
    Step("dump-aggregate", "flow_count=3"), Step("--strict del-flows priority=5,tcp,tp_dst=80"),
    Step("del-flows reg0=5/0xf"), Step("dump-aggregate", "flow_count=1"),
    Step("add-flows FLOWS"), Step("dump-flows arp", "priority=7,arp"), Step("diff-flows FLOWS SWITCH", ""),
    Step("replace-flows FLOWS"), Step("dump-aggregate", "flow_count=2"),
    Step("--bundle add-flows FLOWS"), Step("--bundle replace-flows FLOWS"), Step("bundle BUNDLE", in: Step.from14),
    Step("dump-flows icmp", "priority=9,icmp", in: Step.from14), Step("del-flows"),
    Step("add-group group_id=1,type=select,bucket=weight:2,output:1,bucket=output:2"),
    Step("dump-groups", "group_id=1,type=select"), Step("dump-group-stats", "group_id=1"),
    Step("dump-group-features", "Group table"), Step("mod-group group_id=1,type=all,bucket=output:1"),
    Step("dump-groups", "type=all"),
    Step("insert-buckets group_id=1,command_bucket_id=last,bucket=bucket_id:7,output:2", in: ["OpenFlow15"]),
    Step("dump-groups", "bucket_id:7", in: ["OpenFlow15"]),
    Step("remove-buckets group_id=1,command_bucket_id=7", in: ["OpenFlow15"]), Step("del-groups"),
    Step("add-meter meter=1,pktps,burst,band=type=drop,rate=100,burst_size=50", in: Step.from13),
    Step("dump-meters", "rate=100", in: Step.from13), Step("meter-stats", "meter:1", in: Step.from13),
    Step("mod-meter meter=1,kbps,band=type=drop,rate=200", in: Step.from13),
    Step("dump-meters meter=1", "rate=200", in: Step.from13), Step("meter-features", "max_meter", in: Step.from13),
    Step("del-meters", in: Step.from13), Step("packet-out in_port=1,packet=\(frame),actions=output:2"),
    Step("dump-tlv-map", "max option space"), Step("del-tlv-map"),
    Step("del-tlv-map {class=0xffff,type=0,len=4}->tun_metadata0"), Step("dump-tlv-map", "max fields=0"),
    Step("dump-ipfix-bridge", "NOT_CONFIGURED"), Step("dump-ipfix-flow", "NOT_CONFIGURED"),
  ]

  private static let frame = String(repeating: "ff", count: 6) + "0200000000010800" + String(repeating: "00", count: 46)

  @Test(arguments: Step.all) func everySubcommandWorks(version: String) throws {
    try ConnectivityTests.withTwoHosts { lab, daemon, _, _ throws in
      let socket = "unix:\(daemon.runDirectory)/br0.mgmt"
      let flows = "\(lab.directory)/flows"
      try "priority=7,arp,actions=flood\npriority=8,udp,actions=drop\n".write(
        toFile: flows, atomically: true, encoding: .utf8)
      let bundle = "\(lab.directory)/bundle"
      try "flow add priority=9,icmp,actions=drop\ngroup group_id=3,type=all,bucket=output:1\n".write(
        toFile: bundle, atomically: true, encoding: .utf8)
      for step in Self.steps where step.versions.contains(version) {
        var words = step.words.map { word in
          switch word {
          case "FLOWS": flows
          case "BUNDLE": bundle
          case "SWITCH": socket
          default: word.replacingOccurrences(of: "\\(frame)", with: Self.frame)
          }
        }
        let options = words.prefix { $0.hasPrefix("--") }
        words.removeFirst(options.count)
        let isDifference = words[0] == "diff-flows"
        let arguments =
          isDifference ? [words[0], flows, socket] : [words[0], socket] + words.dropFirst()
        let command = ["ovs-ofctl", "-O", version, "--timeout=10"] + options + arguments
        // Two flows differ from the file's: what diff-flows says by its exit code.
        let result = try lab.attempt(command)
        let isRight = isDifference ? result.status == 2 : result.isSuccess
        let isSaid = step.expected.isEmpty || (result.output + result.errorOutput).contains(step.expected)
        #expect(
          isRight && isSaid,
          "\(version) \(step.words.joined(separator: " ")): \(result.status)\n\(result.output)\(result.errorOutput)")
      }
    }
  }

  @Test(arguments: Step.all) func monitorShowsPacketsAndChanges(version: String) throws {
    try ConnectivityTests.withTwoHosts { lab, daemon, a, _ throws in
      let socket = "unix:\(daemon.runDirectory)/br0.mgmt"
      let monitor = try lab.start(
        ["ovs-ofctl", "-O", version, "monitor", socket, "65534", "watch:"],
        environment: ["OVS_RUNDIR": daemon.runDirectory])
      // It shows what there is where nobody sees it before it ends: a rule that it tells of says that it watches.
      var port = 0
      #expect(
        try eventually(.seconds(10)) {
          port += 1
          _ = try ofctl(daemon, ["add-flow", "udp,tp_dst=\(port),actions=drop"], version: version)
          return monitor.errorOutput.contains("event=ADDED table=0 cookie=0 udp,tp_dst=")
        }, "\(monitor.errorOutput)")
      _ = try ofctl(daemon, ["add-flow", "priority=7,icmp,actions=controller,normal"], version: version)
      #expect(
        eventually {
          monitor.errorOutput.contains("event=ADDED table=0 cookie=0 icmp actions=CONTROLLER:65535,NORMAL")
        },
        "\(monitor.errorOutput)")
      #expect(try lab.canPing("10.1.0.2", from: a, count: 2))
      #expect(
        eventually { monitor.errorOutput.contains("NXT_PACKET_IN2") && monitor.errorOutput.contains("icmp_type=8") },
        "\(monitor.errorOutput)")
      _ = try ofctl(daemon, ["del-flows", "icmp"], version: version)
      #expect(eventually { monitor.errorOutput.contains("event=DELETED reason=delete") }, "\(monitor.errorOutput)")
    }
  }

  /// A packet that waits for a controller goes on when that sends it back, from where it stopped.
  @Test(arguments: Step.all) func packetsThatWaitAreResumed(version: String) throws {
    try ConnectivityTests.withTwoHosts { lab, daemon, a, _ throws in
      _ = try ofctl(daemon, ["add-flow", "priority=7,ip,actions=controller(pause),load:5->NXM_NX_REG1[],resubmit(,1)"])
      _ = try ofctl(daemon, ["add-flow", "table=1,reg1=5,actions=normal"])
      #expect(try !lab.canPing("10.1.0.2", from: a, count: 1))
      let monitor = try lab.start(
        ["ovs-ofctl", "-O", version, "monitor", "unix:\(daemon.runDirectory)/br0.mgmt", "65534", "resume"],
        environment: ["OVS_RUNDIR": daemon.runDirectory])
      #expect(
        try eventually(.seconds(10)) { try lab.canPing("10.1.0.2", from: a, count: 1) },
        "\(monitor.errorOutput)\(monitor.output)")
      #expect(monitor.errorOutput.contains("send: NXT_RESUME"), "\(monitor.errorOutput)")
      #expect(!monitor.errorOutput.contains("decode error"), "\(monitor.errorOutput)")
    }
  }

  @Test func queuesOfTheDatabaseAreListedAndCount() throws {
    try ConnectivityTests.withTwoHosts { lab, daemon, a, _ throws in
      try daemon.configure(
        "-- --id=@queue create queue other_config:min-rate=1000000 other_config:max-rate=5000000 "
          + "-- --id=@qos create qos type=linux-htb queues:3=@queue -- set port b qos=@qos")
      _ = try ofctl(daemon, ["add-flow", "priority=7,in_port=1,icmp,actions=set_queue:3,output:2"])
      #expect(try lab.canPing("10.1.0.2", from: a, count: 3))
      for version in Step.all {
        let queues = try ofctl(daemon, ["queue-get-config", "2"], version: version)
        #expect(
          queues.contains("queue 3:") && queues.contains("min_rate:") && queues.contains("max_rate:"), "\(queues)")
        let counts = try ofctl(daemon, ["queue-stats", "2", "3"], version: version)
        #expect(counts.contains("port 2 queue 3: ") && counts.contains("pkts=3, "), "\(counts)")
        #expect(try ofctl(daemon, ["queue-stats", "2", "4"], version: version).contains("BAD_QUEUE"))
        #expect(try ofctl(daemon, ["queue-stats", "1"], version: version).contains(" 0 queues"))
      }
      try daemon.configure("clear port b qos")
      #expect(try eventually { try ofctl(daemon, ["queue-stats"]).contains(" 0 queues") })
    }
  }

  /// Fields of a connection come with a packet of it, as from Open vSwitch.
  @Test func packetsToControllersBringWhatIsKnownOfTheirConnections() throws {
    try ConnectivityTests.withTwoHosts { lab, daemon, a, _ throws in
      _ = try ofctl(daemon, ["add-flow", "priority=7,icmp,actions=ct(table=1,zone=9)"])
      _ = try ofctl(daemon, ["add-flow", "table=1,icmp,actions=controller,normal"])
      let monitor = try lab.start(
        ["ovs-ofctl", "monitor", "unix:\(daemon.runDirectory)/br0.mgmt", "65534"],
        environment: ["OVS_RUNDIR": daemon.runDirectory])
      let expected = "ct_state=new|trk,ct_zone=9,"
      #expect(
        try eventually(.seconds(10)) {
          _ = try lab.canPing("10.1.0.2", from: a, count: 1)
          return monitor.errorOutput.contains(expected)
        }, "\(monitor.errorOutput)")
      #expect(monitor.errorOutput.contains("in_port=1 (via action)"), "\(monitor.errorOutput)")
    }
  }

  /// Connections of two zones: one goes by its zone, one by its zone and addresses, at last all.
  @Test(arguments: Step.all) func connectionsAreForgottenByZoneAndByAddresses(version: String) throws {
    try ConnectivityTests.withTwoHosts { lab, daemon, a, _ throws in
      for zone in [7, 9] {
        _ = try ofctl(
          daemon, ["add-flow", "priority=7,icmp,icmp_type=8,ip_dscp=\(zone),actions=ct(commit,zone=\(zone)),normal"])
      }
      func ping() throws {
        for zone in [7, 9] { try lab.run(["ping", "-n", "-c", "1", "-Q", "\(zone << 2)", "10.1.0.2"], in: a) }
      }
      func zones() throws -> [Int] {
        let list = try daemon.configure("--json conntrack list")
        let result = try JSONSerialization.jsonObject(with: Data(list.utf8)) as? [String: Any]
        return (result?["connections"] as? [[String: Any]] ?? []).compactMap { $0["zone"] as? Int }.sorted()
      }
      func flush(_ words: String...) throws {
        let command = words[0]
        _ = try ofctl(daemon, [command] + words.dropFirst(), version: version)
      }
      try ping()
      #expect(try zones() == [7, 9])
      try flush("ct-flush-zone", "7")
      #expect(try zones() == [9])
      try ping()
      #expect(try zones() == [7, 9, 9])
      // Others' addresses, another zone's: nothing goes.
      try flush("ct-flush", "zone=9", "ct_nw_src=10.1.0.9")
      try flush("ct-flush", "zone=8", "ct_nw_src=10.1.0.1")
      #expect(try zones() == [7, 9, 9])
      try flush("ct-flush", "zone=9", "ct_nw_src=10.1.0.1")
      #expect(try zones() == [7])
      try ping()
      // The answer's addresses.
      try flush("ct-flush", "zone=9", "", "ct_nw_src=10.1.0.2,ct_nw_dst=10.1.0.1")
      #expect(try zones() == [7, 7])
      try ping()
      try flush("ct-flush")
      #expect(try zones() == [])
    }
  }

  /// Tunnel options have no names here: the mapping is refused, not taken and forgotten.
  @Test func tunnelOptionsAreRefused() throws {
    try ConnectivityTests.withTwoHosts { lab, daemon, _, _ throws in
      let socket = "unix:\(daemon.runDirectory)/br0.mgmt"
      let refused = try lab.attempt(
        ["ovs-ofctl", "add-tlv-map", socket, "{class=0xffff,type=0,len=4}->tun_metadata0"])
      #expect(!refused.isSuccess && (refused.output + refused.errorOutput).contains("NXTTMFC_TABLE_FULL"), "\(refused)")
      #expect(try ofctl(daemon, ["dump-tlv-map"]).contains("max option space=0 max fields=0"))
    }
  }
}
