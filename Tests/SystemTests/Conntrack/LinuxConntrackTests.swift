// The same packets through this switch's translation and through Linux with nftables. Every difference is in `Differences`,
// with its reason; one that is not there, or is not seen any more, fails the test.

import Datapath
import Foundation
import TestSupport
import Testing
import VSwitchCore

@Suite(.blocking, .enabled(if: TestEnvironment.canUseNamespaces, "needs root"))
struct LinuxConntrackTests {
  private static let client: [UInt8] = [10, 0, 0, 1]
  private static let second: [UInt8] = [10, 0, 0, 2]
  private static let server: [UInt8] = [192, 0, 2, 80]
  private static let router: [UInt8] = [203, 0, 113, 1]
  private static let outside: [UInt8] = [198, 51, 100, 7]
  /// The router's address inside.
  private static let gateway: [UInt8] = [10, 0, 0, 254]

  /// Where this switch does otherwise than Linux, and why.
  private static let differences: [String: String] = [
    "fragments in another order":
      "Linux sends them in order once all are there; here they go on in the order in which they came, behind the first one",
    "fragments that overlap":
      "Linux drops the whole datagram, as it sends nothing before all is there; here the first fragment has gone when the second is found to overlap it, and no more follows",
    "data far ahead of the window":
      "Linux lets data through that is past the window by less than the largest window seen, this switch by what the receiver has allowed",
    "a reset off by some bytes":
      "Linux takes a reset anywhere in the window, this switch one that names the next byte (RFC 5961 §3.2)",
  ]

  /// One packet of a sequence.
  struct Step {
    var name: String
    var isFromInside: Bool
    var packet: [UInt8]
    /// What becomes of it is looked for where it came from.
    var comesBack = false

    /// From inside, to a neighbour by the outer address, or an answer to such a packet.
    init(_ name: String, hairpin packet: [UInt8]) {
      self.init(name, inside: packet)
      comesBack = true
    }

    init(_ name: String, inside packet: [UInt8]) {
      self.name = name
      isFromInside = true
      self.packet = packet
    }
    init(_ name: String, outside packet: [UInt8]) {
      self.name = name
      isFromInside = false
      self.packet = packet
    }
  }

  // MARK: packets

  private static func tcp(
    _ from: [UInt8], _ sourcePort: UInt16, _ to: [UInt8], _ destinationPort: UInt16, _ flags: UInt8,
    _ sequence: UInt32, _ acknowledgement: UInt32, _ count: Int = 0
  ) -> [UInt8] {
    let segment = FrameBuilder.tcp(
      from: from, to: to, sourcePort: sourcePort, destinationPort: destinationPort, sequence: sequence,
      acknowledgement: acknowledgement, flags: flags, Array(repeating: 65, count: count))
    return FrameBuilder.ipv4(from: from, to: to, protocol: 6, segment)
  }

  private static func udp(
    _ from: [UInt8], _ sourcePort: UInt16, _ to: [UInt8], _ destinationPort: UInt16, _ count: Int = 8
  ) -> [UInt8] {
    FrameBuilder.ipv4(
      from: from, to: to, protocol: 17,
      FrameBuilder.udp(
        from: from, to: to, sourcePort: sourcePort, destinationPort: destinationPort, Array(repeating: 66, count: count)
      ))
  }

  private static func icmp(
    _ from: [UInt8], _ to: [UInt8], _ type: UInt8, _ code: UInt8, _ rest: [UInt8], _ body: [UInt8]
  )
    -> [UInt8]
  {
    var message = [type, code, 0, 0] + rest + body
    message.replaceSubrange(2..<4, with: FrameBuilder.checksum(message).octets)
    return FrameBuilder.ipv4(from: from, to: to, protocol: 1, message)
  }

  private static func fragments(_ packet: [UInt8], id: UInt16, size: Int) -> [[UInt8]] {
    FrameBuilder.fragments(packet, id: id, size: size)
  }

  private static var steps: [Step] {
    let (c, s, o, r) = (client, server, outside, router)
    var steps: [Step] = []
    // A connection's life.
    steps += [
      Step("an answer that nobody asked for", outside: tcp(s, 80, o, 1000, 0x12, 500, 101)),
      Step("SYN", inside: tcp(c, 1000, s, 80, 2, 100, 0)),
      Step("SYN again", inside: tcp(c, 1000, s, 80, 2, 100, 0)),
      Step("SYN and ACK", outside: tcp(s, 80, o, 1000, 0x12, 500, 101)),
      Step("ACK", inside: tcp(c, 1000, s, 80, 0x10, 101, 501)),
      Step("data", inside: tcp(c, 1000, s, 80, 0x18, 101, 501, 100)),
      Step("data again", inside: tcp(c, 1000, s, 80, 0x18, 101, 501, 100)),
      Step("ACK of data", outside: tcp(s, 80, o, 1000, 0x10, 501, 201)),
      Step("data of the server", outside: tcp(s, 80, o, 1000, 0x18, 501, 201, 1000)),
      Step("data far ahead of the window", outside: tcp(s, 80, o, 1000, 0x18, 501 &+ 70_000, 201, 100)),
      Step("data a gigabyte ahead", outside: tcp(s, 80, o, 1000, 0x18, 501 &+ 1_000_000_000, 201, 100)),
      Step("an ACK of what was never sent", outside: tcp(s, 80, o, 1000, 0x10, 1501, 201 &+ 500_000)),
      Step("a reset a megabyte off", outside: tcp(s, 80, o, 1000, 0x04, 1501 &+ 1_000_000, 0)),
      Step("a reset off by some bytes", outside: tcp(s, 80, o, 1000, 0x04, 1501 &+ 100, 0)),
    ]
    // Closing, on another connection: the last one may have been reset on one side.
    steps += [
      Step("SYN of a second", inside: tcp(c, 1001, s, 80, 2, 100, 0)),
      Step("its answer", outside: tcp(s, 80, o, 1001, 0x12, 500, 101)),
      Step("its ACK", inside: tcp(c, 1001, s, 80, 0x10, 101, 501)),
      Step("FIN", inside: tcp(c, 1001, s, 80, 0x11, 101, 501)),
      Step("ACK of FIN", outside: tcp(s, 80, o, 1001, 0x10, 501, 102)),
      Step("FIN of the server", outside: tcp(s, 80, o, 1001, 0x11, 501, 102)),
      Step("last ACK", inside: tcp(c, 1001, s, 80, 0x10, 102, 502)),
      Step("a new SYN at once", inside: tcp(c, 1001, s, 80, 2, 90_000, 0)),
      Step("its answer, too", outside: tcp(s, 80, o, 1001, 0x12, 7000, 90_001)),
    ]
    // What begins nothing.
    steps += [
      Step("SYN and ACK from inside", inside: tcp(c, 1002, s, 80, 0x12, 1, 1)),
      Step("no flags", inside: tcp(c, 1002, s, 80, 0, 1, 1)),
      Step("SYN and FIN", inside: tcp(c, 1002, s, 80, 3, 1, 1)),
      Step("a FIN alone", inside: tcp(c, 1002, s, 80, 1, 1, 1)),
      Step("a segment from the middle", inside: tcp(c, 1003, s, 80, 0x10, 1000, 2000, 10)),
      Step("its answer from the middle", outside: tcp(s, 80, o, 1003, 0x10, 2000, 1010, 10)),
    ]
    // UDP and its errors.
    let question = udp(c, 2000, s, 53)
    let left = udp(o, 2000, s, 53)
    var bad = udp(c, 2001, s, 53)
    bad[26] ^= 0x55
    steps += [
      Step("UDP", inside: question), Step("its answer back", outside: udp(s, 53, o, 2000)),
      Step("UDP from another port", outside: udp(s, 54, o, 2000)),
      Step("UDP from another host", outside: udp(r, 53, o, 2000)),
      Step("UDP with a wrong checksum", inside: bad),
      Step("port unreachable", outside: icmp(s, o, 3, 3, [0, 0, 0, 0], left)),
      Step("time exceeded of a router", outside: icmp(r, o, 11, 0, [0, 0, 0, 0], Array(left[..<28]))),
      Step("an error about nothing", outside: icmp(r, o, 11, 0, [0, 0, 0, 0], Array(udp(o, 2999, s, 53)[..<28]))),
      Step("an error that quotes too little", outside: icmp(r, o, 11, 0, [0, 0, 0, 0], Array(left[..<24]))),
      Step("fragmentation needed", outside: icmp(r, o, 3, 4, [0, 0, 5, 0], Array(left[..<28]))),
    ]
    // Pings.
    steps += [
      Step("ping", inside: icmp(c, s, 8, 0, [0, 7, 0, 1], [1, 2, 3, 4])),
      Step("pong", outside: icmp(s, o, 0, 0, [0, 7, 0, 1], [1, 2, 3, 4])),
      Step("pong of another", outside: icmp(s, o, 0, 0, [0, 9, 0, 1], [1, 2, 3, 4])),
      Step("ping from outside", outside: icmp(s, o, 8, 0, [0, 7, 0, 1], [1, 2, 3, 4])),
    ]
    // Fragments.
    let parts = fragments(udp(c, 2002, s, 53, 90), id: 7, size: 32)
    steps += parts.map { Step("fragments", inside: $0) }
    let shuffled = fragments(udp(c, 2003, s, 53, 90), id: 8, size: 32)
    steps += [1, 0, 3, 2].map { Step("fragments in another order", inside: shuffled[$0]) }
    // The first one's bytes again, 8 further on.
    let overlapping = fragments(udp(c, 2004, s, 53, 90), id: 9, size: 32)
    var second = overlapping[1]
    second[7] = 3
    second.replaceSubrange(10..<12, with: [0, 0])
    second.replaceSubrange(10..<12, with: FrameBuilder.checksum(Array(second[..<20])).octets)
    steps += [overlapping[0], second, overlapping[2], overlapping[3]].map { Step("fragments that overlap", inside: $0) }
    return steps + hairpins
  }

  /// Hosts inside that reach 10.0.0.2 by a forwarded port of the outer address.
  private static var hairpins: [Step] {
    let (c, h, o, g) = (client, second, outside, gateway)
    let question = udp(c, 3001, o, 8080)
    let left = udp(g, 3001, h, 53)
    let parts = fragments(udp(c, 3003, o, 8080, 90), id: 20, size: 32)
    return [
      Step("hairpin: SYN", hairpin: tcp(c, 3000, o, 8080, 2, 100, 0)),
      Step("hairpin: SYN and ACK", hairpin: tcp(h, 80, g, 3000, 0x12, 500, 101)),
      Step("hairpin: ACK", hairpin: tcp(c, 3000, o, 8080, 0x10, 101, 501)),
      Step("hairpin: data", hairpin: tcp(c, 3000, o, 8080, 0x18, 101, 501, 100)),
      Step("hairpin: data again", hairpin: tcp(c, 3000, o, 8080, 0x18, 101, 501, 100)),
      Step("hairpin: data back", hairpin: tcp(h, 80, g, 3000, 0x18, 501, 201, 300)),
      Step("hairpin: data a gigabyte ahead", hairpin: tcp(c, 3000, o, 8080, 0x18, 201 &+ 1_000_000_000, 801, 100)),
      Step("hairpin: FIN", hairpin: tcp(c, 3000, o, 8080, 0x11, 201, 801)),
      Step("hairpin: reset", hairpin: tcp(h, 80, g, 3000, 0x14, 801, 202)),
      Step("hairpin: SYN of the host itself", hairpin: tcp(h, 3002, o, 8080, 2, 100, 0)),
      Step("hairpin: its answer", hairpin: tcp(h, 80, g, 3002, 0x12, 500, 101)),
      Step("hairpin: an answer that nobody asked for", hairpin: tcp(h, 80, g, 3999, 0x12, 500, 101)),
      Step("hairpin: UDP", hairpin: question),
      Step("hairpin: its answer back", hairpin: udp(h, 53, g, 3001)),
      Step("hairpin: UDP once more", hairpin: question),
      Step("hairpin: port unreachable", hairpin: icmp(h, g, 3, 3, [0, 0, 0, 0], left)),
      Step("hairpin: fragmentation needed", hairpin: icmp(h, g, 3, 4, [0, 0, 5, 0], Array(left[..<28]))),
      Step("hairpin: an error about nothing", hairpin: icmp(h, g, 3, 3, [0, 0, 0, 0], udp(g, 3998, h, 53))),
    ] + parts.map { Step("hairpin: fragments", hairpin: $0) } + [
      // The forward is for those outside, too.
      Step("forward: SYN", outside: tcp(server, 4000, o, 8080, 2, 100, 0)),
      Step("forward: SYN and ACK", inside: tcp(h, 80, server, 4000, 0x12, 500, 101)),
      Step("forward: ACK", outside: tcp(server, 4000, o, 8080, 0x10, 101, 501)),
      Step("forward: a port beside it", outside: tcp(server, 4001, o, 8081, 2, 100, 0)),
    ]
  }

  // MARK: this switch

  /// The same policy as the router's, in rules.
  private static func makeSwitch() throws -> DatapathHarness {
    var config = BridgeConfig(name: "br0")
    for number in 1...2 {
      var interface = InterfaceConfig(name: "p\(number)", kind: .tap)
      interface.portNumberRequest = UInt16(number)
      config.ports.append(PortConfig(name: "p\(number)", interface: interface))
    }
    var settings = SwitchConfig()
    settings.bridges = [config]
    let harness = try DatapathHarness(settings)
    func rule(_ table: UInt8, _ priority: UInt16, _ fields: [(Field, UInt128, UInt128)], _ actions: [Action])
      -> TableChange
    {
      var change = FlowMod()
      change.table = table
      change.priority = priority
      for (field, value, mask) in fields { change.match.set(field, value, mask: mask) }
      change.instructions = Instructions(apply: actions)
      return .flow(change)
    }
    var clear = FlowMod()
    clear.command = .delete
    clear.table = FlowMod.allTables
    var lookup = ConntrackAction()
    lookup.recirculationTable = 1
    lookup.translation = NetworkTranslation()
    var commit = ConntrackAction()
    commit.recirculationTable = 2
    commit.commits = true
    commit.translation = NetworkTranslation()
    commit.translation?.kind = .source
    commit.translation?.addresses = 0xc633_6407...0xc633_6407
    let ip: (Field, UInt128, UInt128) = (.etherType, 0x0800, 0xffff)
    let fromInside: (Field, UInt128, UInt128) = (.inPort, 1, 0xffff_ffff)
    // Ports that are forwarded; for those inside the source is translated, too, in another zone.
    // By the connection's port, which its fragments have, too.
    func forward(_ ipProtocol: UInt128, to port: UInt16) -> TableChange {
      var forward = commit
      forward.recirculationTable = 4
      forward.translation?.kind = .destination
      forward.translation?.addresses = 0x0a00_0002...0x0a00_0002
      forward.translation?.ports = port...port
      return rule(
        1, 25,
        [
          ip, (.ctState, 0x21, 0x21), (.ipProtocol, ipProtocol, 0xff), (.ipv4Destination, 0xc633_6407, 0xffff_ffff),
          (.ctTransportDestination, 8080, 0xffff),
        ], [.conntrack(forward)])
    }
    var hairpin = commit
    hairpin.zone = .immediate(1)
    hairpin.translation?.addresses = 0x0a00_00fe...0x0a00_00fe
    var answer = lookup
    answer.zone = .immediate(1)
    answer.recirculationTable = 3
    func on(_ table: UInt8) -> [Action] { [.resubmit(port: nil, table: table, withConntrackTuple: false)] }
    try harness.changeFlows(
      bridge: "br0",
      [
        .flow(clear), rule(0, 1, [ip], [.conntrack(lookup)]),
        rule(1, 30, [ip, (.ctState, 0x30, 0x30)], []),
        rule(0, 5, [ip, fromInside, (.ipv4Destination, 0x0a00_00fe, 0xffff_ffff)], [.conntrack(answer)]),
        rule(3, 1, [ip], [.conntrack(lookup)]),
        forward(6, to: 80), forward(17, to: 53),
        // Destination translated, not of an answer.
        rule(1, 22, [ip, fromInside, (.ctState, 0xa2, 0xaa)], on(4)),
        rule(1, 22, [ip, fromInside, (.ctState, 0xa4, 0xac)], on(4)),
        // Later fragments of what is not answered yet.
        rule(1, 22, [ip, fromInside, (.ctState, 0xa1, 0xa9)], on(4)),
        rule(4, 2, [ip, fromInside], [.conntrack(hairpin)]), rule(4, 1, [ip], on(2)),
        rule(
          2, 2, [ip, fromInside, (.ipv4Destination, 0x0a00_0000, 0xffff_0000)],
          [.decrementTTL(controllers: [0]), .output(.inPort, maximumByteCount: 0)]),
        rule(1, 20, [ip, (.ctState, 0x22, 0x22)], [.resubmit(port: nil, table: 2, withConntrackTuple: false)]),
        rule(1, 20, [ip, (.ctState, 0x24, 0x24)], [.resubmit(port: nil, table: 2, withConntrackTuple: false)]),
        rule(1, 10, [ip, (.inPort, 1, 0xffff_ffff), (.ctState, 0x21, 0x21)], [.conntrack(commit)]),
        rule(
          2, 1, [ip, (.inPort, 1, 0xffff_ffff)],
          [.decrementTTL(controllers: [0]), .output(PortNumber(2), maximumByteCount: 0)]),
        rule(
          2, 1, [ip, (.inPort, 2, 0xffff_ffff)],
          [.decrementTTL(controllers: [0]), .output(PortNumber(1), maximumByteCount: 0)]),
      ])
    return harness
  }

  private static func send(_ harness: DatapathHarness, _ step: Step) -> [[UInt8]] {
    let frame = FrameBuilder.ethernet(
      to: FrameBuilder.address(2), from: FrameBuilder.address(1), etherType: 0x0800, step.packet)
    return harness.receive(bridge: "br0", port: step.isFromInside ? "p1" : "p2", frame: frame).map { output in
      let count = Int(output.frame[16]) << 8 | Int(output.frame[17])
      return Array(output.frame[14..<(14 + count)])
    }
  }

  /// Steps that follow one another and have the same name.
  private static func groups(_ steps: [Step]) -> [[Step]] {
    var groups: [[Step]] = []
    for step in steps {
      if let last = groups.last?.last, last.name == step.name {
        groups[groups.count - 1].append(step)
      } else {
        groups.append([step])
      }
    }
    return groups
  }

  private static func text(_ packets: [[UInt8]]) -> String {
    packets.isEmpty
      ? "nothing" : packets.map { $0.map { String($0, radix: 16) }.joined(separator: " ") }.joined(separator: "\n    ")
  }

  @Test func translationDoesWhatLinuxDoes() throws {
    try withLab { lab throws in
      let linux = try LinuxRouter(lab)
      let harness = try Self.makeSwitch()
      var seen: Set<String> = []
      // Linux keeps the fragments of a datagram until all are there: what came of them is compared together.
      for steps in Self.groups(Self.steps) {
        var theirs: [[UInt8]] = []
        var ours: [[UInt8]] = []
        for step in steps {
          theirs += try linux.send(step.packet, fromInside: step.isFromInside, comesBack: step.comesBack)
          ours += Self.send(harness, step)
        }
        guard theirs != ours, let name = steps.first?.name else { continue }
        let text = "\(name):\n  Linux: \(Self.text(theirs))\n  here: \(Self.text(ours))"
        if Self.differences[name] != nil { seen.insert(name) } else { Issue.record("\(text)") }
      }
      #expect(Set(Self.differences.keys) == seen, "differences that are not seen any more")
    }
  }
}
