// Fields and hashes by which rules of ovs-ofctl and vsctl tell packets apart, on packets: each is sent by packet-out through the
// tables, and counters of rules, or what a controller is told, say where it came.

import Foundation
import TestSupport
import Testing

@Suite(.blocking, .enabled(if: TestEnvironment.canUseNamespaces, "needs root"))
struct PacketFieldTests {
  /// A daemon with ports 1 and 2 of bridge br0 that have hosts, and one of the two programs.
  private struct Program {
    let daemon: Daemon
    let isOurs: Bool
    let version: String

    private var bridge: String { isOurs ? "br0" : "unix:\(daemon.runDirectory)/br0.mgmt" }

    @discardableResult
    func run(_ command: String, _ arguments: String...) throws -> String {
      let program =
        isOurs ? [TestEnvironment.programDirectory + "/vsctl", "--run-dir", daemon.runDirectory] : ["ovs-ofctl"]
      return try TestSupport.require(program + ["-O", version, command, bridge] + arguments)
    }

    /// Adds rules in the place of all.
    func rules(_ rules: [String]) throws {
      try run("del-flows")
      for rule in rules { try run("add-flow", rule) }
    }

    /// Sends a packet as if port 1 had received it.
    func send(_ frame: [UInt8]) throws {
      try run("packet-out", "in_port=1,packet=\(frame.hexadecimal),actions=resubmit(,0)")
    }

    /// Packets that the rules of a match have counted.
    func count(_ match: String) throws -> Int {
      let text = try run("dump-aggregate", match)
      let number = text.split(separator: "packet_count=").last?.prefix { $0.isNumber }
      return try #require(number.flatMap { Int($0) }, "\(text)")
    }
  }

  private static let versions = ["OpenFlow13", "OpenFlow14", "OpenFlow15"]

  private func with(isOurs: Bool, _ version: String, _ body: (Program, Lab) throws -> Void) throws {
    try ConnectivityTests.withTwoHosts { lab, daemon, _, _ throws in
      try body(Program(daemon: daemon, isOurs: isOurs, version: version), lab)
    }
  }

  private func frame(
    from source: [UInt8] = [10, 0, 0, 1], to destination: [UInt8] = [10, 0, 1, 1], _ sourcePort: UInt16 = 1000,
    _ destinationPort: UInt16 = 80, isTCP: Bool = false, isReply: Bool = false
  ) -> [UInt8] {
    let (source, destination) = isReply ? (destination, source) : (source, destination)
    let (from, to) = isReply ? (destinationPort, sourcePort) : (sourcePort, destinationPort)
    let payload =
      isTCP
      ? FrameBuilder.tcp(from: source, to: destination, sourcePort: from, destinationPort: to, [1, 2, 3, 4])
      : FrameBuilder.udp(from: source, to: destination, sourcePort: from, destinationPort: to, [1, 2, 3, 4])
    return FrameBuilder.ethernet(
      to: FrameBuilder.address(isReply ? 1 : 2), from: FrameBuilder.address(isReply ? 2 : 1), etherType: 0x0800,
      FrameBuilder.ipv4(from: source, to: destination, protocol: isTCP ? 6 : 17, payload))
  }

  // MARK: registers

  /// Set whole and in part, matched whole and in part, and seen in the registers that are made of them (ovs-fields(7)): xreg4 is
  /// reg8 and reg9, xxreg2 is reg8 to reg11. A rule that differs in one bit is there each time, and goes first.
  @Test(arguments: [false, true], versions) func registersAreSetAndMatched(isOurs: Bool, version: String) throws {
    let steps: [(actions: String, match: String, others: [String])] = [
      (
        "set_field:0x1a0b->reg10,load:0x55->NXM_NX_REG11[8..15],set_field:0x7700/0xff00->reg12,"
          + "move:NXM_NX_REG10[0..15]->NXM_NX_REG13[16..31],set_field:0xffffffff->reg14",
        "reg10=0x1a0b,reg11=0x5500,reg12=0x7700/0xfff0,reg13=0x1a0b0000,reg14=0xffffffff",
        ["reg10=0x1a0a", "reg11=0x5501", "reg12=0x7600/0xff00", "reg13=0x1a0b", "reg14=0x7fffffff"]
      ),
      (
        "set_field:0x0102030405060708->xreg4,set_field:0x1112131415161718->xreg5,set_field:0xab00/0xff00->xreg6",
        "xreg4=0x102030405060708,xreg5=0x1112131415161718,xreg6=0x1a0bab00/0xffffffff",
        ["xreg4=0x102030405060709", "reg8=0x5060708", "reg11=0x11121314", "xreg6=0xab01/0xffff"]
      ),
      (
        "set_field:0xfedcba98765432100123456789abcdef->xxreg2,set_field:0x5->reg14",
        "xxreg2=0xfedcba98765432100123456789abcdef,reg14=5",
        [
          "xxreg2=0xfedcba98765432100123456789abcdee", "xreg4=0x0123456789abcdef",
          "xxreg2=0x80000000000000000000000000000001/0x80000000000000000000000000000003", "reg10=0x89abcdef",
        ]
      ),
      (
        "load:0x1->NXM_NX_XXREG2[126..127]", "reg8=0x7edcba98,reg9=0x76543210,xreg5=0x0123456789abcdef",
        ["reg8=0xfedcba98", "xxreg2=0xfedcba98765432100123456789abcdef"]
      ),
    ]
    try with(isOurs: isOurs, version) { program, _ in
      var rules: [String] = []
      for (index, step) in steps.enumerated() {
        let start = index == 0 ? "table=0,udp,nw_src=10.0.0.1" : "table=\(index),priority=5,\(steps[index - 1].match)"
        rules.append("\(start),actions=\(step.actions),resubmit(,\(index + 1))")
        for other in step.others { rules.append("table=\(index + 1),priority=9,\(other),actions=drop") }
      }
      rules.append("table=\(steps.count),priority=5,\(steps[steps.count - 1].match),actions=drop")
      try program.rules(rules)
      // The second packet meets a cached flow, if there is one.
      for _ in 0..<2 { try program.send(frame()) }
      for index in 0...steps.count {
        let counts = try (program.count("table=\(index)"), program.run("dump-flows", "table=\(index)"))
        #expect(counts.0 == 2, "\(counts.1)")
        let wrong = counts.1.split(separator: "\n").filter { $0.contains("priority=9") && !$0.contains("n_packets=0,") }
        #expect(wrong.isEmpty, "\(wrong)")
      }
    }
  }

  /// All packets here begin with an Ethernet header (OpenFlow 1.5 §7.2.3.11).
  @Test(arguments: [false, true], versions) func packetTypeIsMatched(isOurs: Bool, version: String) throws {
    try with(isOurs: isOurs, version) { program, _ in
      try program.rules([
        "priority=9,packet_type=(1,0x800),actions=drop", "priority=8,packet_type=(0,0),udp,actions=resubmit(,1)",
        "priority=7,tcp,actions=resubmit(,2)", "table=1,packet_type=(0,0),actions=drop", "table=2,actions=drop",
      ])
      try program.send(frame())
      try program.send(frame(isTCP: true))
      #expect(try program.count("table=1") == 1)
      #expect(try program.count("table=2") == 1)
      #expect(try program.count("table=0,packet_type=(1,0x800)") == 0)
      #expect(try program.run("dump-flows", "table=0").contains("packet_type=(1,0x800)"))
    }
  }

  // MARK: hashes

  /// ovs-actions(7): what each hash looks at, told by links that many packets get.
  @Test(arguments: [false, true]) func hashesLookAtTheirFieldsAndNothingElse(isOurs: Bool) throws {
    try with(isOurs: isOurs, "OpenFlow13") { program, lab in
      let fields = ["symmetric_l3l4", "symmetric_l3l4+udp", "nw_src", "nw_dst"]
      let choices = fields.enumerated().map { index, name in
        "multipath(\(name),7,modulo_n,64,0,NXM_NX_REG\(index)[]),"
          + "bundle_load(\(name),7,hrw,ofport,NXM_NX_REG\(index + 4)[0..15],members:1,2)"
      }
      try program.rules(["ip,actions=\(choices.joined(separator: ",")),controller"])
      let monitor = try lab.start(
        ["ovs-ofctl", "monitor", "unix:\(program.daemon.runDirectory)/br0.mgmt", "65534"],
        environment: ["OVS_RUNDIR": program.daemon.runDirectory])
      func told() -> [Substring] {
        (monitor.output + monitor.errorOutput).split(separator: "\n").filter { $0.contains("PACKET_IN") }
      }
      // It shows nothing before it listens.
      #expect(
        try eventually(.seconds(10)) {
          try program.send(frame())
          return !told().isEmpty
        })
      /// Link and member by each of the hashes.
      func links(_ frame: [UInt8]) throws -> [[Int]] {
        let before = told().count
        try program.send(frame)
        #expect(eventually { told().count > before })
        let line = told().last ?? ""
        func register(_ number: Int) -> Int {
          line.split(separator: "reg\(number)=0x").dropFirst().first.flatMap {
            Int($0.prefix { $0.isHexDigit }, radix: 16)
          }
            ?? 0
        }
        return (0..<4).map { [register($0), register($0 + 4)] }
      }
      for isTCP in [true, false] {
        // Of flows that differ in the source, the destination, or a port.
        let series: [(name: String, changes: Set<Int>, frames: (UInt8, Bool) -> [UInt8])] = [
          ("source", [0, 1, 2], { self.frame(from: [10, 0, 0, $0], isTCP: isTCP, isReply: $1) }),
          ("destination", [0, 1, 3], { self.frame(to: [10, 0, 1, $0], isTCP: isTCP, isReply: $1) }),
          ("port", isTCP ? [0, 1] : [1], { self.frame(1000 + UInt16($0), isTCP: isTCP, isReply: $1) }),
        ]
        for (name, changes, frames) in series {
          var forward: [[[Int]]] = []
          for number in UInt8(1)...8 {
            forward.append(try links(frames(number, false)))
            let back = try links(frames(number, true))
            #expect(Array(back[0...1]) == Array(forward[forward.count - 1][0...1]), "\(name) \(number) isTCP \(isTCP)")
          }
          for hash in 0..<4 {
            let used = Set(forward.map { $0[hash][0] })
            let members = Set(forward.map { $0[hash][1] })
            #expect((used.count > 1) == changes.contains(hash), "\(fields[hash]) by \(name), TCP \(isTCP): \(used)")
            #expect(
              (members.count > 1) == changes.contains(hash), "\(fields[hash]) by \(name), TCP \(isTCP): \(members)")
            #expect(members.isSubset(of: [1, 2]))
          }
        }
      }
    }
  }
}
