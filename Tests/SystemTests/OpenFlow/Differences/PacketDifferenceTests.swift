// What packets come to by the same flows here and in Open vSwitch, where Docs/openflow.md says that it is not the same. The
// clocks of both stand still: what is counted is exact.

import Datapath
import Foundation
import OpenFlow
import ReferenceSwitch
import TestSupport
import Testing
import VSwitchCore

@Suite(.blocking, .enabled(if: OpenVSwitch.isInstalled, "needs openvswitch-switch"))
struct PacketDifferenceTests {
  /// Both with the bridge br0, ports p1 to p4, and no rule.
  private final class Both {
    let reference: OpenVSwitch
    let ours: DatapathHarness
    private let directory: String
    private let parser = FlowTextParser(versions: VersionSet([.v15]))

    init() throws {
      directory = "/tmp/vswd\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
      try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
      reference = try OpenVSwitch(directory: directory)
      let patches = [("br0", "pa", "qa"), ("br1", "qa", "pa")].flatMap { bridge, name, peer in
        [
          "--", "add-port", bridge, name, "--", "set", "interface", name, "type=patch", "options:peer=\(peer)",
          "ofport_request=9",
        ]
      }
      try reference.addBridge("br1", ports: ["q1", "q2"])
      try reference.addBridge("br0", ports: ["p1", "p2", "p3", "p4"], patches)
      try reference.command("time/stop")
      var config = SwitchConfig()
      for (name, ports, patch) in [
        ("br0", ["p1", "p2", "p3", "p4"], ("pa", "qa")), ("br1", ["q1", "q2"], ("qa", "pa")),
      ] {
        var bridge = BridgeConfig(name: name)
        for (index, port) in ports.enumerated() {
          var interface = InterfaceConfig(name: port, kind: .tap)
          interface.portNumberRequest = UInt16(index + 1)
          bridge.ports.append(PortConfig(name: port, interface: interface))
        }
        var interface = InterfaceConfig(name: patch.0, kind: .patch)
        interface.portNumberRequest = 9
        interface.options["peer"] = patch.1
        bridge.ports.append(PortConfig(name: patch.0, interface: interface))
        config.bridges.append(bridge)
      }
      ours = try DatapathHarness(config)
      for bridge in ["br0", "br1"] { try flows(["del-flows"], in: bridge) }
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    /// Lines as for ovs-ofctl: a command and what follows the bridge.
    /// - Returns: rules that went from ours.
    @discardableResult
    func flows(_ lines: [String], in bridge: String = "br0") throws -> [RemovedRule] {
      var removed: [RemovedRule] = []
      for line in lines {
        let words = line.split(separator: " ", maxSplits: 1).map(String.init)
        try require(
          ["ovs-ofctl", "-O", "OpenFlow15", words[0], "unix:\(directory)/\(bridge).mgmt"] + words.dropFirst())
        let change: TableChange
        switch words[0] {
        case "add-group": change = .group(try parser.group(words[1]))
        case "add-meter": change = .meter(try parser.meter(words[1]))
        case "del-flows":
          var all = FlowMod()
          all.command = .delete
          all.table = FlowMod.allTables
          change = .flow(words.count > 1 ? try parser.flow(words[1], command: .delete).mod : all)
        default: change = .flow(try parser.flow(words[1]).mod)
        }
        removed += try ours.changeFlows(bridge: bridge, [change])
        _ = ours.handleEvents()
      }
      return removed
    }

    /// Where a frame that comes in at p1 leaves, here and there: ports and frames.
    func receive(_ frame: [UInt8]) throws -> (ours: [String], theirs: [String]) {
      let outputs = ours.receive(bridge: "br0", port: "p1", frame: frame)
      _ = ours.handleEvents()
      return (
        outputs.map { "\($0.port) \($0.frame.hexadecimal)" },
        try reference.receive(frame: frame, port: "p1").map { "\($0.port) \($0.frame.hexadecimal)" }
      )
    }

    /// The ports alone.
    func ports(_ frame: [UInt8]) throws -> (ours: [String], theirs: [String]) {
      let both = try receive(frame)
      func name(_ text: String) -> String { String(text.prefix { $0 != " " }) }
      return (both.ours.map(name), both.theirs.map(name))
    }
  }

  private func frame(from source: UInt32 = 1, port: UInt16 = 1000) -> [UInt8] {
    let udp = FrameBuilder.udp(
      from: [10, 1, 0, 1], to: [10, 1, 0, 2], sourcePort: port, destinationPort: 53, Array(repeating: 7, count: 20))
    return FrameBuilder.ethernet(
      to: FrameBuilder.address(2), from: FrameBuilder.address(source), etherType: 0x0800,
      FrameBuilder.ipv4(from: [10, 1, 0, 1], to: [10, 1, 0, 2], protocol: 17, udp))
  }

  /// OpenFlow 1.5 §5.8: the new tag's fields are the outer one's; with Open vSwitch they are 0.
  @Test func aPushedTagIsACopyOfTheOuterOne() throws {
    let both = try Both()
    try both.flows(["add-flow actions=push_vlan:0x88a8,output:2"])
    let plain = frame()
    let tagged = Array(plain[..<12]) + [0x81, 0, 0x60, 5] + Array(plain[12...])
    for (sent, ours, theirs) in [(plain, [0, 0], [0, 0]), (tagged, [0x60, 5], [0, 0])] as [([UInt8], [UInt8], [UInt8])]
    {
      let left = try both.receive(sent)
      func expected(_ tag: [UInt8]) -> [String] {
        ["p2 " + (Array(sent[..<12]) + [0x88, 0xa8] + tag + Array(sent[12...])).hexadecimal]
      }
      #expect(left.ours == expected(ours) && left.theirs == expected(theirs), "\(left)")
    }
  }

  /// OpenFlow 1.3 §5.4: without a table-miss rule the packet is dropped; with Open vSwitch its action set is run. A
  /// `resubmit` is Open vSwitch's own: there the action set is run by both.
  @Test func aMissBehindGotoDropsTheActionSet() throws {
    let both = try Both()
    try both.flows(["add-flow actions=write_actions(output:2),goto_table:1"])
    var left = try both.ports(frame())
    #expect(left.ours == [] && left.theirs == ["p2"])
    try both.flows(["add-flow table=1,priority=0,actions=write_metadata:1"])
    left = try both.ports(frame())
    #expect(left.ours == ["p2"] && left.theirs == ["p2"])
    try both.flows(["del-flows", "add-flow actions=resubmit(,1),write_actions(output:2)"])
    left = try both.ports(frame())
    #expect(left.ours == ["p2"] && left.theirs == ["p2"])
  }

  /// How many packets of a moment pass.
  @Test func aMeterWithoutABurstPassesATenthOfASecond() throws {
    let both = try Both()
    try both.flows([
      "add-meter meter=1,pktps,band=type=drop,rate=50",
      "add-meter meter=2,pktps,burst,band=type=drop,rate=50,burst_size=20",
      "add-flow in_port=1,udp,tp_src=1,actions=meter:1,output:2",
      "add-flow in_port=1,udp,tp_src=2,actions=meter:2,output:2",
    ])
    for (port, ours, theirs) in [(UInt16(1), 5, 50), (2, 20, 20)] {
      // Meters of the harness go by the real clock: one burst.
      let burst = Array(repeating: frame(port: port), count: 60)
      var passed = (ours: both.ours.receive(bridge: "br0", port: "p1", frames: burst).count, theirs: 0)
      for frame in burst { passed.theirs += try both.reference.receive(frame: frame, port: "p1").count }
      #expect(passed.ours == ours && passed.theirs == theirs, "\(passed)")
    }
  }

  /// Frames that differ in nothing but a MAC address.
  @Test func aSelectGroupSpreadsByEveryHeader() throws {
    let both = try Both()
    try both.flows([
      "add-group group_id=1,type=select,bucket=output:2,bucket=output:3,bucket=output:4", "add-flow actions=group:1",
    ])
    var used = (ours: Set<String>(), theirs: Set<String>())
    for source in UInt32(10)..<50 {
      let left = try both.ports(frame(from: source))
      #expect(left.ours.count == 1 && left.theirs.count == 1)
      used.ours.formUnion(left.ours)
      used.theirs.formUnion(left.theirs)
    }
    #expect(used.ours.count == 3 && used.theirs.count == 1, "\(used)")
  }

  /// Open vSwitch tells less if its cached flows have not told what they have counted, which they do twice a second: on a busy machine
  /// they may just have.
  @Test func aRemovedRuleTellsAllThatItHasCounted() throws {
    var told: [UInt64] = []
    while told.count < 10, told.last ?? 5 >= 5 {
      let both = try Both()
      try both.flows(["add-flow send_flow_rem,priority=7,actions=output:2"])
      let session = try TestSession(path: both.reference.managementSocket("br0"), .v15)
      var masks = AsyncConfiguration()
      masks.primary.flowRemoved = 0b11_1111
      #expect(try session.tell(.setAsync(masks, form: .standard)) == nil)
      for _ in 0..<5 {
        _ = both.ours.receive(bridge: "br0", port: "p1", frame: frame())
        try both.reference.command("netdev-dummy/receive", ["p1", frame().hexadecimal])
        for _ in 0..<2 { try both.reference.command("version") }
      }
      #expect(try both.flows(["del-flows"]).map(\.rule.statistics.packetCount) == [5])
      let count = try session.wait { message in
        if case .flowRemoved(let removed, _) = message.body { removed.packetCount } else { nil }
      }
      told.append(try #require(count))
    }
    #expect(told.last ?? 5 < 5, "\(told)")
  }

  /// ovs-actions(7), `learn`: whether the rule is there afterwards.
  @Test func learnSaysWhetherItsRuleIsThere() throws {
    let both = try Both()
    try both.flows([
      "add-flow actions=learn(table=5,limit=1,result_dst=reg1[0],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]),resubmit(,1)",
      "add-flow table=1,reg1=1,actions=output:2", "add-flow table=1,reg1=0,actions=output:3",
    ])
    func expect(_ exits: KeyValuePairs<UInt32, String>) throws {
      for (source, exit) in exits {
        let left = try both.ports(frame(from: source))
        #expect(left.ours == [exit] && left.theirs == [exit], "\(source): \(left)")
        // It is to look at its tables for the next one, too.
        try both.reference.command("revalidator/purge")
      }
    }
    try expect([11: "p2", 11: "p2", 12: "p3", 12: "p3", 11: "p2"])
    // Rules that others have made count by their cookie.
    try both.flows(["del-flows table=5", "add-flow table=5,cookie=1,dl_dst=50:54:00:00:00:01,actions=drop"])
    try expect([13: "p2", 12: "p3", 13: "p2"])
    // One with the match that does something else is replaced here.
    let other = FrameBuilder.address(14).map { String(format: "%02x", $0) }.joined(separator: ":")
    try both.flows(["del-flows table=5", "add-flow table=5,cookie=0,dl_dst=\(other),actions=drop"])
    let left = try both.ports(frame(from: 14))
    #expect(left.ours == ["p2"] && left.theirs == ["p3"], "\(left)")
    try expect([12: "p3"])
  }

  /// ovs-fields(7), "Packet Mark": a packet's mark is still there in the bridge behind a patch port, nothing else is.
  @Test func aMarkCrossesAPatchPortAndNothingElseOfThePipeline() throws {
    let both = try Both()
    try both.flows([
      "add-group group_id=1,type=all,bucket=set_field:7->pkt_mark,output:9,bucket=output:9",
      "add-flow udp,tp_src=1,actions=set_field:9->pkt_mark,set_field:5->reg0,set_field:7->metadata,set_field:3->tun_id,output:9",
      "add-flow udp,tp_src=2,actions=output:9",
      "add-flow udp,tp_src=3,actions=set_field:9->pkt_mark,normal",
      "add-flow udp,tp_src=4,actions=set_field:9->pkt_mark,flood",
      "add-flow udp,tp_src=5,actions=set_field:9->pkt_mark,clone(set_field:7->pkt_mark,output:9),output:9",
      "add-flow udp,tp_src=6,actions=set_field:9->pkt_mark,group:1",
      "add-flow udp,tp_src=7,actions=set_field:9->pkt_mark,debug_recirc,resubmit(,1)",
      "add-flow table=1,pkt_mark=9,actions=output:9",
      "add-flow udp,tp_src=8,actions=set_field:0x109->pkt_mark,load:0->NXM_NX_PKT_MARK[4..15],output:9",
      "add-flow udp,tp_src=9,actions=set_field:9->pkt_mark,ct(table=1)",
      "add-flow udp,tp_src=10,actions=set_field:4->tun_id,ct(table=2)",
      "add-flow table=2,tun_id=4,actions=output:3",
    ])
    try both.flows(
      [
        "add-flow priority=9,reg0=5,actions=drop", "add-flow priority=9,metadata=7,actions=drop",
        "add-flow priority=9,tun_id=3,actions=drop", "add-flow priority=5,pkt_mark=9,actions=output:1",
        "add-flow priority=5,pkt_mark=7,actions=output:2", "add-flow priority=1,actions=output:1,output:2",
      ], in: "br1")
    for (port, exits) in [
      1: ["q1"], 2: ["q1", "q2"], 3: ["p2", "p3", "p4", "q1"], 4: ["p2", "p3", "p4", "q1"], 5: ["q1", "q2"],
      6: ["q1", "q2"], 7: ["q1"], 8: ["q1"], 9: ["q1"], 10: ["p3"],
    ] as [UInt16: [String]] {
      for _ in 0..<2 {
        let left = try both.ports(frame(port: port))
        #expect(left.ours.sorted() == exits && left.theirs.sorted() == exits, "\(port): \(left)")
      }
    }
  }
}
