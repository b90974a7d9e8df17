// vsctl trace and ofproto/trace on a running switch: what they say is what then happens, and nothing happens by it.

import Foundation
import TestSupport
import Testing

@Suite(.blocking, .enabled(if: TestEnvironment.canUseNamespaces, "needs root"))
struct TraceCommandTests {
  private func vsctl(_ daemon: Daemon, _ words: [String]) throws -> CommandResult {
    try runCommand([TestEnvironment.programDirectory + "/vsctl", "--run-dir", daemon.runDirectory] + words)
  }

  private func appctl(_ daemon: Daemon, _ words: [String]) throws -> String {
    let socket = try #require(
      FileManager.default.contentsOfDirectory(atPath: daemon.runDirectory).first {
        $0.hasPrefix("vswitchd.") && $0.hasSuffix(".ctl")
      })
    return try TestSupport.require(["ovs-appctl", "-t", "\(daemon.runDirectory)/\(socket)"] + words)
  }

  private func withVLANs(_ body: (Lab, Daemon, String, String) throws -> Void) throws {
    try withLab { lab in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      let a = try daemon.host("a", "tag=10", addresses: ["10.1.0.1/24"])
      let b = try daemon.host("b", "tag=20", addresses: ["10.1.0.2/24"])
      try daemon.configure("add-port br0 t -- set interface t type=tap")
      try body(lab, daemon, a, b)
    }
  }

  @Test func theRemedyThatATraceNamesLetsThePacketThrough() throws {
    try withVLANs { lab, daemon, a, b in
      #expect(try !lab.canPing("10.1.0.2", from: a, count: 1))
      let (from, to) = (try lab.hardwareAddress("a", in: a), try lab.hardwareAddress("b", in: b))
      let packet = "in_port=a,icmp,dl_src=\(from),dl_dst=\(to),nw_src=10.1.0.1,nw_dst=10.1.0.2"
      let flooded = try vsctl(daemon, ["trace", "br0", packet]).output
      #expect(flooded.contains("it belongs to VLAN 10"))
      #expect(flooded.contains("leaves port t with VLAN tag 10, by NORMAL") && !flooded.contains("leaves port b "))
      // The station is known in the other VLAN alone; in this one the port does not carry it.
      #expect(try vsctl(daemon, ["fdb", "add", "br0", "b", "10", to]).isSuccess)
      let dropped = try vsctl(daemon, ["trace", "br0", packet]).output
      #expect(dropped.contains("Dropped (vlan_not_allowed): The port does not carry the frame's VLAN"), "\(dropped)")
      let remedy = try #require(dropped.split(separator: "\n").first { $0.contains("To let it through: vsctl ") })
      #expect(remedy.hasSuffix("vsctl set port b tag=10"))
      try daemon.configure(remedy.split(separator: "vsctl ").dropFirst().joined())
      #expect(
        try vsctl(daemon, ["trace", "br0", packet]).output.contains("leaves port b without a VLAN tag, by NORMAL"))
      #expect(try lab.canPing("10.1.0.2", from: a, count: 2))
    }
  }

  @Test func aTraceChangesNothing() throws {
    try withLab { lab in
      let daemon = try lab.daemon()
      // Links that are down: nobody else sends anything.
      try daemon.configure("add-br br0 -- add-port br0 a -- set interface a type=tap")
      #expect(
        try vsctl(daemon, ["add-flow", "br0", "priority=5,udp,actions=learn(table=1,NXM_OF_ETH_SRC[]),normal"])
          .isSuccess)
      let questions = [
        ["--no-stats", "dump-flows", "br0"], ["fdb", "show", "br0", "--json"], ["dump-tables", "br0"],
        ["dump-aggregate", "br0", "udp"], ["datapath", "flows", "br0"], ["drops"],
      ]
      let mask = { (text: String) in text.replacing(/xid=0x[0-9a-f]+/, with: "") }
      let before = try questions.map { mask(try vsctl(daemon, $0).output) }
      for _ in 0..<3 {
        let trace = try vsctl(daemon, ["trace", "br0", "in_port=a,udp,dl_src=02:00:00:00:00:77"])
        #expect(trace.isSuccess && trace.output.contains("makes a rule in table 1"), "\(trace.output)")
      }
      #expect(try questions.map { mask(try vsctl(daemon, $0).output) } == before)
    }
  }

  @Test func packetsComeFromHexadecimalAndCaptureFiles() throws {
    try withVLANs { lab, daemon, _, _ in
      let udp = FrameBuilder.udp(
        from: [10, 1, 0, 1], to: [10, 1, 0, 2], sourcePort: 5, destinationPort: 53, [1, 2, 3])
      let frame = FrameBuilder.ethernet(
        to: FrameBuilder.address(2), from: FrameBuilder.address(1), etherType: 0x0800,
        FrameBuilder.ipv4(from: [10, 1, 0, 1], to: [10, 1, 0, 2], protocol: 17, udp))
      #expect(try vsctl(daemon, ["add-flow", "br0", "priority=5,udp,tp_dst=53,actions=drop"]).isSuccess)
      let single = try vsctl(daemon, ["trace", "br0", "in_port=a", "--packet", frame.hexadecimal])
      #expect(single.output.hasPrefix("Flow: udp,in_port=a,vlan_tci=0x0000,dl_src="))
      #expect(single.output.contains("Dropped (rule_drops)"))
      var file: [UInt8] =
        [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0] + Array(repeating: 0, count: 8) + [0xff, 0xff, 0, 0, 1, 0, 0, 0]
      for _ in 0..<3 {
        let count = UInt8(frame.count)
        file += Array(repeating: 0, count: 8) + [count, 0, 0, 0, count, 0, 0, 0] + frame
      }
      let path = "\(lab.directory)/dump.pcap"
      try Data(file).write(to: URL(filePath: path))
      let all = try vsctl(daemon, ["--json", "trace", "br0", "in_port=a", "--pcap", path])
      let traces = try #require(try JSONSerialization.jsonObject(with: Data(all.output.utf8)) as? [[String: Any]])
      #expect(traces.count == 3 && traces.allSatisfy { $0["drop"] as? String == "rule_drops" })
      #expect((traces[0]["steps"] as? [[String: Any]])?.first?["priority"] as? Int == 5)
      // A frame of a size that no port has, and other nonsense: an answer, and the switch lives.
      let huge = String(repeating: "ff", count: 30_000)
      #expect(try vsctl(daemon, ["trace", "br0", "in_port=a", "--packet", huge]).isSuccess)
      for words in [
        ["in_port=a", "--packet", "xyz"], ["in_port=nosuch"], ["in_port=a", "--pcap", "/nosuch"], ["tpc"],
      ] {
        let refused = try vsctl(daemon, ["trace", "br0"] + words)
        #expect(refused.status != 0 && refused.errorOutput.hasPrefix("vsctl: "), "\(words)")
      }
      #expect(daemon.isRunning)
    }
  }

  /// The same packet as a match, in hexadecimal, in a file and on standard input, as text and as JSON.
  @Test func aTraceIsTheSameHoweverThePacketIsGiven() throws {
    try withVLANs { lab, daemon, _, _ in
      #expect(
        try vsctl(
          daemon, ["add-group", "br0", "group_id=3,type=all,bucket=actions=resubmit(,2),bucket=actions=output:t"]
        )
        .isSuccess)
      #expect(try vsctl(daemon, ["add-flow", "br0", "priority=9,udp,actions=set_field:5->reg0,group:3"]).isSuccess)
      #expect(
        try vsctl(daemon, ["add-flow", "br0", "table=2,priority=8,reg0=5,udp,tp_dst=53,actions=output:b"]).isSuccess)
      let udp = FrameBuilder.udp(from: [10, 1, 0, 1], to: [10, 1, 0, 2], sourcePort: 5, destinationPort: 53, [])
      let frame = FrameBuilder.ethernet(
        to: FrameBuilder.address(2), from: FrameBuilder.address(1), etherType: 0x0800,
        FrameBuilder.ipv4(from: [10, 1, 0, 1], to: [10, 1, 0, 2], protocol: 17, udp))
      let flow =
        "in_port=a,udp,dl_src=02:00:00:00:00:01,dl_dst=02:00:00:00:00:02,nw_src=10.1.0.1,nw_dst=10.1.0.2,nw_ttl=64,tp_src=5,tp_dst=53"
      let count = UInt8(frame.count)
      let file: [UInt8] =
        [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0] + Array(repeating: 0, count: 8) + [0xff, 0xff, 0, 0, 1, 0, 0, 0]
        + Array(repeating: 0, count: 8) + [count, 0, 0, 0, count, 0, 0, 0] + frame
      let path = "\(lab.directory)/one.pcap"
      try Data(file).write(to: URL(filePath: path))
      let ways: [(words: [String], input: [UInt8])] = [
        ([flow], []), (["in_port=a", "--packet", frame.hexadecimal], []), (["in_port=a", "--pcap", path], []),
        (["in_port=a", "--pcap", "-"], file),
      ]
      func run(_ options: [String], _ way: (words: [String], input: [UInt8])) throws -> String {
        let result = try runCommand(
          [TestEnvironment.programDirectory + "/vsctl", "--run-dir", daemon.runDirectory] + options + ["trace", "br0"]
            + way.words, input: way.input)
        #expect(result.isSuccess, "\(way.words): \(result.errorOutput)")
        return result.output
      }
      let texts = try ways.map { try run([], $0) }
      #expect(Set(texts).count == 1, "\(texts)")
      #expect(texts[0].contains("leaves port b") && texts[0].contains("leaves port t"), "\(texts[0])")
      for json in try ways.map({ try run(["--json"], $0) }) {
        let traces = try #require(try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [[String: Any]])
        #expect(traces.count == 1 && traces[0]["text"] as? String == texts[0].trimmingCharacters(in: .newlines))
        let steps = try #require(traces[0]["steps"] as? [[String: Any]])
        #expect(steps.compactMap { $0["table"] as? Int } == [0, 2] || !steps.isEmpty, "\(steps)")
        #expect(traces[0]["drop"] == nil || traces[0]["drop"] is NSNull)
      }
    }
  }

  @Test func cachedFlowsAreListedWithWhatTheyCounted() throws {
    try withLab { lab in
      let daemon = try lab.daemon()
      try daemon.configure("add-br br0")
      let a = try daemon.host("a", addresses: ["10.1.0.1/24"])
      _ = try daemon.host("b", addresses: ["10.1.0.2/24"])
      #expect(
        try vsctl(daemon, ["add-flow", "br0", "priority=5,ip,nw_dst=10.1.0.2,actions=set_field:3->reg0,output:b"])
          .isSuccess)
      #expect(try lab.canPing("10.1.0.2", from: a, count: 4))
      let json = try vsctl(daemon, ["--json", "datapath", "flows", "br0"]).output
      let parts = try #require(try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [[String: Any]])
      let flows = try #require(parts.first?["flows"] as? [[String: Any]])
      let echo = try #require(flows.first { ($0["match"] as? String)?.contains("nw_dst=10.1.0.2") == true }, "\(json)")
      #expect(echo["packets"] as? Int == 4 && echo["bytes"] as? Int == 4 * 98)
      #expect((echo["actions"] as? String)?.hasSuffix("b") == true)
      #expect(try vsctl(daemon, ["datapath", "flows"]).output.contains("nw_dst=10.1.0.2"))
      for command in [["dpif/dump-flows", "br0"], ["dpctl/dump-flows"]] {
        let text = try appctl(daemon, command)
        #expect(text.contains("ipv4(dst=10.1.0.2,frag=no), packets:4, bytes:392, used:"), "\(text)")
      }
      let counts = try appctl(daemon, ["dpif/show"]).split(separator: "\n").first ?? ""
      let missed = counts.split(separator: "missed:").last.flatMap { Int($0) } ?? 0
      #expect(missed > 0, "\(counts)")
      let trace = try appctl(daemon, ["ofproto/trace", "br0", "in_port=a,icmp,nw_dst=10.1.0.2"])
      #expect(trace.contains("\nbridge(\"br0\")\n-------------\n 0. ip,nw_dst=10.1.0.2, priority 5\n"))
      #expect(trace.contains("\nDatapath actions: b\n") || trace.contains(",b\n"), "\(trace)")
    }
  }
}
