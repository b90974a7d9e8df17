// vsctl's commands on flow tables beside Debian's ovs-ofctl: the same lines, the same output and exit status, the same
// tables in the end; on this switch, and on Open vSwitch. What is random, or a matter of time, is masked.

import Foundation
import TestSupport
import Testing

@Suite(.blocking, .enabled(if: TestEnvironment.canUseNamespaces, "needs root"))
struct FlowCommandTests {
  /// One program on one switch.
  private struct Side {
    var words: [String]
    /// What stands for the bridge.
    var bridge: String
  }

  /// Xids, times, addresses masked; rules in order of their text unless they are to be sorted.
  private func comparable(_ text: String, _ line: String) -> String {
    let masked = text.replacing(/xid=0x[0-9a-f]+/, with: "xid").replacing(/duration[=:]?[0-9.]+s/, with: "duration")
      .replacing(/dpid:[0-9a-f]+/, with: "dpid").replacing(/addr:[0-9a-f:]+/, with: "addr")
      .replacing(#/(idle|hard)_age=[0-9]+, /#, with: "")
    guard line.contains("flows"), !line.contains("sort") else { return masked }
    return masked.split(separator: "\n", omittingEmptySubsequences: false).sorted().joined(separator: "\n")
  }

  private func files(in directory: String) throws {
    for (name, text) in FlowScript.files {
      try text.write(toFile: "\(directory)/\(name)", atomically: true, encoding: .utf8)
    }
  }

  private func run(_ side: Side, _ line: String, _ directory: String) throws -> CommandResult {
    let parts = line.split(separator: "<").map { $0.trimmingCharacters(in: .whitespaces) }
    let words = parts[0].split(separator: " ").map { word in
      word == "BR" ? side.bridge : word.hasPrefix("@") ? "\(directory)/\(word.dropFirst())" : String(word)
    }
    let input = parts.count > 1 ? Array(FlowScript.files[parts[1], default: ""].utf8) : []
    return try runCommand(side.words + words, input: input)
  }

  /// Runs all lines by both.
  private func compare(_ reference: Side, _ ours: Side, _ lines: [String], _ directory: String) throws {
    for line in lines {
      let expected = try run(reference, line, directory)
      let found = try run(ours, line, directory)
      #expect(found.status == expected.status, "status of \(line): \(found.errorOutput)\(expected.errorOutput)")
      #expect(comparable(found.output, line) == comparable(expected.output, line), "output of \(line)")
      #expect(found.errorOutput.isEmpty == expected.errorOutput.isEmpty, "\(line): \(found.errorOutput)")
    }
  }

  private static let program = TestEnvironment.programDirectory + "/vsctl"

  /// In 1.0 ovs-ofctl can't compare with a file that names tables, and has no meters.
  private static func lines(_ version: String) -> [String] {
    version == "OpenFlow10"
      ? FlowScript.lines.filter { !$0.contains("diff-flows") && !$0.contains("replace-flows") } : FlowScript.lines
  }

  @Test(
    .enabled(if: TestEnvironment.hasProgram("ovs-ofctl"), "needs ovs-ofctl"),
    arguments: ["OpenFlow10", "OpenFlow13", "OpenFlow15"])
  func everyLineAnswersAsTheReferenceDoes(version: String) throws {
    #expect(FlowScript.lines.count > 150)
    try withLab { lab in
      try files(in: lab.directory)
      let daemons = [try lab.daemon(), try lab.daemon()]
      for daemon in daemons {
        try daemon.configure(
          "add-br br0 -- add-port br0 p1 -- set interface p1 type=tap ofport_request=1 "
            + "-- add-port br0 p2 -- set interface p2 type=tap ofport_request=2")
      }
      try compare(
        Side(words: ["ovs-ofctl", "-O", version], bridge: "unix:\(daemons[0].runDirectory)/br0.mgmt"),
        Side(words: [Self.program, "--run-dir", daemons[1].runDirectory, "-O", version], bridge: "br0"),
        Self.lines(version), lab.directory)
    }
  }

  @Test(.enabled(if: OpenVSwitch.isInstalled, "needs Open vSwitch"))
  func onOpenVSwitchTheLinesAnswerAsTheReferenceDoes() throws {
    try withLab { lab in
      try files(in: lab.directory)
      let switches = try (0..<2).map { number in
        let directory = "\(lab.directory)/ovs\(number)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let reference = try OpenVSwitch(directory: directory)
        try reference.vsctl([
          "--", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy",
          "--", "add-port", "br0", "p1", "--", "set", "interface", "p1", "type=dummy", "ofport_request=1",
          "--", "add-port", "br0", "p2", "--", "set", "interface", "p2", "type=dummy", "ofport_request=2",
        ])
        return (reference, "unix:\(directory)/br0.mgmt")
      }
      // Counters of dummy ports, and orders of hash tables, are not of interest here.
      let unordered = ["queue-get-config BR", "queue-get-config BR ANY"]
      let lines = FlowScript.lines.filter {
        !$0.contains("dump-group") && !$0.contains("dump-ports") && !unordered.contains($0)
      }
      try compare(
        Side(words: ["ovs-ofctl", "-O", "OpenFlow15"], bridge: switches[0].1),
        Side(words: [Self.program, "-O", "OpenFlow15"], bridge: switches[1].1), lines, lab.directory)
    }
  }

  private func withSwitch(_ body: (Daemon) throws -> Void) throws {
    try withLab { lab in
      let daemon = try lab.daemon()
      try daemon.configure(
        "add-br br0 -- add-port br0 p1 -- set interface p1 type=tap ofport_request=1 "
          + "-- add-port br0 p2 -- set interface p2 type=tap ofport_request=2")
      try body(daemon)
    }
  }

  private func vsctl(_ daemon: Daemon, _ words: [String], input: String = "") throws -> CommandResult {
    try runCommand([Self.program, "--run-dir", daemon.runDirectory] + words, input: Array(input.utf8))
  }

  @Test func whatDumpFlowsPrintsIsTakenByReplaceFlowsAndChangesNothing() throws {
    try withSwitch { daemon in
      let script = FlowScript.lines.filter { $0.hasPrefix("add-flow BR") && !$0.contains("<") }
      let flows = script.map { $0.dropFirst("add-flow BR ".count) }.joined(separator: "\n")
      for line in flows.split(separator: "\n") { _ = try vsctl(daemon, ["add-flow", "br0", String(line)]) }
      for options in [[], ["--no-stats"], ["--names"], ["-O", "OpenFlow13"], ["-O", "OpenFlow10"]] {
        let printed = try vsctl(daemon, ["dump-flows", "br0"] + options)
        #expect(printed.isSuccess && printed.output.split(separator: "\n").count > 15)
        let before = try vsctl(daemon, ["--no-stats", "dump-flows", "br0"]).output
        let version = options.first == "-O" ? options : []
        let difference = try vsctl(daemon, version + ["diff-flows", "br0", "-"], input: printed.output)
        #expect(
          difference.isSuccess && difference.output.isEmpty, "\(options): \(difference.output)\(difference.errorOutput)"
        )
        let replaced = try vsctl(daemon, version + ["replace-flows", "br0", "-"], input: printed.output)
        #expect(replaced.isSuccess, "\(replaced.errorOutput)")
        #expect(try vsctl(daemon, ["--no-stats", "dump-flows", "br0"]).output == before)
        // And into an empty bridge.
        #expect(try vsctl(daemon, version + ["del-flows", "br0"]).isSuccess)
        #expect(try vsctl(daemon, version + ["add-flows", "br0", "-"], input: printed.output).isSuccess)
        let after = try vsctl(daemon, version + ["diff-flows", "br0", "-"], input: printed.output)
        #expect(after.isSuccess, "\(options): \(after.output)")
      }
    }
  }

  @Test func aFaultNamesLineAndCharacterAndNothingIsHalfDone() throws {
    try withSwitch { daemon in
      let before = try vsctl(daemon, ["--no-stats", "dump-flows", "br0"]).output
      let misspelt = try vsctl(
        daemon, ["add-flows", "br0", "-"], input: "priority=1,actions=drop\n  priority=2,tcp,tp_dts=80,actions=drop\n")
      #expect(misspelt.status == 1)
      #expect(
        misspelt.errorOutput == """
          vsctl: standard input:2: character 18: there is no field "tp_dts" of a flow: see ovs-ofctl(8), Flow Syntax
            priority=2,tcp,tp_dts=80,actions=drop
                           ^

          """)
      for input in ["priority=1,actions=drop\npriority=2,actions=group:9\n", "add actions=drop\nadd actions=meter:3\n"]
      {
        let refused = try vsctl(daemon, ["add-flows", "br0", "-"], input: input)
        #expect(refused.status == 1)
        #expect(refused.errorOutput.hasPrefix("vsctl: the switch refused line 2: "), "\(refused.errorOutput)")
        #expect(refused.errorOutput.contains("none of the 2 changes was made\n"), "\(refused.errorOutput)")
      }
      let one = try vsctl(daemon, ["add-flow", "br0", "priority=2,ip,nw_dst=10.0.0.0/99,actions=drop"])
      #expect(
        one.errorOutput.hasSuffix("\npriority=2,ip,nw_dst=10.0.0.0/99,actions=drop\n                              ^\n"))
      #expect(try vsctl(daemon, ["--no-stats", "dump-flows", "br0"]).output == before)
      let missing = try vsctl(daemon, ["dump-flows", "nosuch"])
      #expect(missing.errorOutput == "vsctl: there is no bridge \"nosuch\": see the bridges with vsctl list-br\n")
    }
  }

  @Test func everythingThatPrintsPrintsJSON() throws {
    try withSwitch { daemon in
      #expect(
        try vsctl(daemon, ["add-group", "br0", "group_id=1,type=select,bucket=weight:3,actions=output:p1"]).isSuccess)
      #expect(try vsctl(daemon, ["add-meter", "br0", "meter=1,kbps,band=type=drop,rate=5"]).isSuccess)
      #expect(try vsctl(daemon, ["add-flow", "br0", "cookie=7,priority=5,tcp,tp_dst=80,actions=group:1"]).isSuccess)
      func objects(_ line: String) throws -> [[String: Any]] {
        let result = try vsctl(daemon, ["--json"] + line.split(separator: " ").map(String.init))
        let value = try JSONSerialization.jsonObject(with: Data(result.output.utf8))
        return value as? [[String: Any]] ?? [value as? [String: Any] ?? [:]]
      }
      let rule = try #require(try objects("dump-flows br0 tcp").first)
      #expect(rule["match"] as? String == "tcp,tp_dst=80" && rule["actions"] as? String == "group:1")
      #expect(rule["priority"] as? Int == 5 && rule["cookie"] as? String == "0x7" && rule["packets"] as? Int == 0)
      #expect(try objects("dump-aggregate br0").first?["flows"] as? Int == 2)
      #expect(try objects("dump-tables br0").count == 254)
      #expect(try (objects("dump-groups br0").first?["buckets"] as? [[String: Any]])?.first?["weight"] as? Int == 3)
      #expect(try objects("dump-group-stats br0").first?["references"] as? Int == 1)
      #expect(try objects("dump-group-features br0").count == 4)
      #expect(try (objects("dump-meters br0").first?["bands"] as? [[String: Any]])?.first?["rate"] as? Int == 5)
      #expect(try objects("meter-stats br0").first?["meter"] as? Int == 1)
      #expect(try objects("meter-features br0").first?["max_bands"] as? Int ?? 0 > 0)
      #expect(try objects("dump-ports br0").count == 3)
      #expect(try objects("dump-ports-desc br0 p2").first?["number"] as? Int == 2)
      #expect(try (objects("show-features br0").first?["ports"] as? [Any])?.count == 3)
      #expect(try vsctl(daemon, ["--json", "get-frags", "br0"]).output == "\"normal\"\n")
    }
  }

  @Test func monitorShowsPacketsThatRulesSendToControllers() throws {
    try withSwitch { daemon in
      #expect(try vsctl(daemon, ["add-flow", "br0", "cookie=5,udp,actions=controller(reason=no_match)"]).isSuccess)
      let monitor = try BackgroundCommand([Self.program, "--run-dir", daemon.runDirectory, "monitor", "br0"])
      defer { monitor.kill9() }
      let frame = "ffffffffffff02000000000108004500001c00000000401100000a0000010a00000210e110e200080000"
      #expect(
        try eventually(.seconds(10)) {
          _ = try vsctl(daemon, ["packet-out", "br0", "in_port=p1,packet=\(frame),actions=table"])
          return monitor.output.contains("in_port=1 (via no_match) data_len=42 (unbuffered)")
        }, "\(monitor.output)\(monitor.errorOutput)")
      #expect(monitor.output.contains("cookie=0x5 total_len=42"))
      #expect(monitor.output.contains("\nudp,vlan_tci=0x0000,dl_src=02:00:00:00:00:01,"))
    }
  }

  /// A line for each.
  @Test(arguments: ["OpenFlow10", "OpenFlow13", "OpenFlow14", "OpenFlow15"])
  func monitorPrintsJSON(version: String) throws {
    try withSwitch { daemon in
      let monitor = try BackgroundCommand([
        Self.program, "--run-dir", daemon.runDirectory, "--json", "-O", version, "monitor", "br0", "watch:table=1",
      ])
      defer { monitor.kill9() }
      func events() throws -> [[String: Any]] {
        try monitor.output.split(separator: "\n").map {
          try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any], "\($0)")
        }
      }
      func event(_ name: String) throws -> [String: Any]? { try events().last { $0["event"] as? String == name } }
      // What there is comes first, once it watches.
      #expect(
        try eventually(.seconds(10)) {
          _ = try vsctl(daemon, ["add-flow", "br0", "table=1,priority=4,cookie=9,arp,actions=p2"])
          return try event("flow_initial") != nil || event("flow_added") != nil || event("flow_modified") != nil
        }, "\(monitor.output)\(monitor.errorOutput)")
      for line in [
        "add-flow br0 table=1,priority=7,cookie=0x1f,udp,tp_dst=53,actions=dec_ttl,p2",
        "mod-flows br0 table=1,udp,actions=drop", "del-flows br0 table=1,udp",
        "add-flow br0 table=0,priority=3,cookie=5,udp,actions=controller",
        "packet-out br0 in_port=p1,packet=ffffffffffff02000000000108004500001c00000000401100000a0000010a00000210e110e200080000,actions=table",
        "mod-port br0 p1 no-forward",
      ] { #expect(try vsctl(daemon, line.split(separator: " ").map(String.init)).isSuccess, "\(line)") }
      #expect(
        try eventually { try event("port_changed") != nil && event("packet_in") != nil },
        "\(monitor.output)\(monitor.errorOutput)")
      let added = try #require(try event("flow_added"), "\(monitor.output)")
      #expect(added["table"] as? Int == 1 && added["priority"] as? Int == 7 && added["cookie"] as? String == "0x1f")
      #expect(added["match"] as? String == "udp,tp_dst=53" && added["actions"] as? String == "dec_ttl,output:p2")
      #expect(try event("flow_modified")?["actions"] as? String == "drop")
      #expect(try event("flow_deleted")?["reason"] as? String == "delete")
      let packet = try #require(try event("packet_in"))
      #expect(
        packet["in_port"] as? String == "p1" && packet["table"] as? Int == 0 && packet["cookie"] as? String == "0x5")
      #expect(packet["total_bytes"] as? Int == 42 && (packet["packet"] as? String)?.hasPrefix("ffffffffffff02") == true)
      #expect((packet["headers"] as? String)?.hasPrefix("udp,vlan_tci=0x0000,dl_src=02:00:00:00:00:01,") == true)
      let port = try #require(try event("port_changed")?["port"] as? [String: Any])
      #expect(port["name"] as? String == "p1" && (port["config"] as? [String])?.contains("NO_FWD") == true)
    }
  }

  /// What both say of rules that they watch, without the titles.
  @Test(
    .enabled(if: TestEnvironment.hasProgram("ovs-ofctl"), "needs ovs-ofctl"),
    arguments: ["OpenFlow10", "OpenFlow13", "OpenFlow15"])
  func monitorSaysOfRulesWhatTheReferenceSays(version: String) throws {
    try withSwitch { daemon in
      let watched = ["-O", version, "monitor", "br0", "watch:table=1,!modify,ip", "watch:table=2,!actions,!initial"]
      #expect(try vsctl(daemon, ["add-flow", "br0", "table=1,priority=3,tcp,actions=p1"]).isSuccess)
      let reference = try BackgroundCommand(
        ["ovs-ofctl"] + watched, environment: ["OVS_RUNDIR": daemon.runDirectory])
      defer { reference.kill9() }
      let ours = try BackgroundCommand([Self.program, "--run-dir", daemon.runDirectory] + watched)
      defer { ours.kill9() }
      func changes(_ text: String) -> [String] {
        text.split(separator: "\n").filter { $0.contains("event=") && !$0.contains("port=9") }.map(String.init)
      }
      // What there is first, so that both are there for what changes.
      var port = 0
      #expect(
        try eventually(.seconds(10)) {
          port += 1
          _ = try vsctl(daemon, ["add-flow", "br0", "table=2,in_port=9\(port),actions=drop"])
          return [reference.errorOutput + reference.output, ours.output].allSatisfy { $0.contains("in_port=9") }
        }, "\(reference.errorOutput)\(ours.output)\(ours.errorOutput)")
      for line in [
        "add-flow br0 table=1,priority=7,cookie=5,hard_timeout=90,udp,actions=dec_ttl,p2",
        "add-flow br0 table=1,arp,actions=p2",
        "mod-flows br0 table=1,udp,actions=drop", "del-flows br0 table=1,udp",
        "add-flow br0 table=2,idle_timeout=5,reg0=1,actions=p1", "mod-flows br0 table=2,reg0=1,actions=p2",
        "del-flows br0 table=2,reg0=1",
      ] {
        #expect(try vsctl(daemon, line.split(separator: " ").map(String.init)).isSuccess)
      }
      let last = "event=DELETED reason=delete table=2"
      #expect(eventually { [reference.errorOutput + reference.output, ours.output].allSatisfy { $0.contains(last) } })
      let said = changes(ours.output)
      // What there was when it began the reference prints elsewhere.
      #expect(said.sorted() == changes(reference.errorOutput + reference.output).sorted())
      // One rule that was there, four changes of the first table's, three of the other's.
      #expect(said.count == 6, "\(said)")
      let refused = try vsctl(daemon, ["monitor", "br0", "watch:table=1,!nothing"])
      #expect(
        refused.errorOutput.hasPrefix("vsctl: watch: character 9: \"!nothing\" leaves nothing out: write !initial"),
        "\(refused.errorOutput)")
    }
  }
}
