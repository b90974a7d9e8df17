// `pkt_mark`, the one field of the pipeline that a packet takes along to other bridges (ovs-fields(7)).

import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

@Suite struct PacketMarkTests {
  /// Bridges br0, br1 and br2 in a row: ports p1 to p3 of the first, q1 and q2 of the second, r1 of the third. Patch port 9
  /// leads on, 8 back. What reaches br2 leaves by r1 with a tag whose VID is the low bits of its mark.
  private static func harness(
    first: [TableChange], second: [TableChange] = [rule([], [output(9)])]
  ) throws -> DatapathHarness {
    func port(_ name: String, _ number: UInt16, peer: String? = nil) -> PortConfig {
      var interface = InterfaceConfig(name: name, kind: peer == nil ? .tap : .patch)
      interface.portNumberRequest = number
      if let peer { interface.options["peer"] = peer }
      return PortConfig(name: name, interface: interface)
    }
    var config = SwitchConfig()
    for (name, ports) in [
      ("br0", [port("p1", 1), port("p2", 2), port("p3", 3), port("on0", 9, peer: "back1")]),
      ("br1", [port("q1", 1), port("q2", 2), port("back1", 8, peer: "on0"), port("on1", 9, peer: "back2")]),
      ("br2", [port("r1", 1), port("back2", 8, peer: "on1")]),
    ] {
      var bridge = BridgeConfig(name: name)
      bridge.ports = ports
      config.bridges.append(bridge)
    }
    let harness = try DatapathHarness(config)
    try harness.changeFlows(bridge: "br0", [clear] + first)
    try harness.changeFlows(bridge: "br1", [clear] + second)
    try harness.changeFlows(
      bridge: "br2",
      [
        clear,
        rule(
          [],
          [
            .pushVLAN(etherType: 0x8100), .move(from: low12(.packetMark), to: low12(.vlanID)), output(1),
          ]),
      ])
    return harness
  }

  private static func low12(_ field: Field) -> Subfield {
    Subfield(field, firstBit: 0, bitCount: 12) ?? Subfield(field)
  }
  private static func mark(_ value: UInt128, mask: UInt128 = 0xffff_ffff) -> Action {
    .setField(.packetMark, value: value, mask: mask)
  }

  private static let ip: (Field, UInt128) = (.etherType, 0x0800)
  private static let frame = FrameBuilder.ethernet(
    to: FrameBuilder.address(2), from: FrameBuilder.address(1), etherType: 0x0800,
    FrameBuilder.ipv4(
      from: [10, 0, 0, 1], to: [10, 0, 0, 2], protocol: 17,
      FrameBuilder.udp(from: [10, 0, 0, 1], to: [10, 0, 0, 2], sourcePort: 1000, destinationPort: 80, Array(0..<60))))

  /// Marks of what reaches the last bridge.
  private func marks(_ harness: DatapathHarness, in port: String = "p1") -> [Int] {
    harness.receive(bridge: "br0", port: port, frame: Self.frame).filter { $0.port == "r1" }.map {
      Int($0.frame[14] & 15) << 8 | Int($0.frame[15])
    }
  }

  /// How a packet may leave, and the marks of the copies that cross.
  struct Way: Sendable, CustomStringConvertible {
    let description: String
    let actions: [Action]
    let marks: [Int]
  }

  static let ways: [Way] = [
    Way(description: "nothing is marked", actions: [output(9)], marks: [0]),
    Way(description: "the packet itself", actions: [mark(9), output(9)], marks: [9]),
    Way(description: "a copy", actions: [mark(9), output(9), output(2)], marks: [9]),
    Way(
      description: "copies before and after", actions: [output(9), mark(9), output(9), mark(5), output(9)],
      marks: [0, 9, 5]),
    Way(description: "after it has left by a device", actions: [output(2), mark(9), output(9)], marks: [9]),
    Way(
      description: "then changed", actions: [mark(9), output(2), .decrementTTL(controllers: []), output(9)], marks: [9]),
    Way(description: "some bits", actions: [mark(0xabc), mark(0x020, mask: 0x0f0), output(9)], marks: [0xa2c]),
    Way(
      description: "cut", actions: [mark(9), .outputTruncated(PortNumber(9), byteCount: 60), output(2)], marks: [9]),
    Way(description: "NORMAL", actions: [mark(9), .output(.normal, maximumByteCount: 0)], marks: [9]),
    Way(
      description: "NORMAL and more", actions: [mark(9), .output(.normal, maximumByteCount: 0), output(9)],
      marks: [9, 9]),
    Way(description: "FLOOD", actions: [mark(9), .output(.flood, maximumByteCount: 0)], marks: [9]),
    Way(description: "ALL", actions: [mark(9), .output(.all, maximumByteCount: 0)], marks: [9]),
    Way(description: "a clone", actions: [mark(5), .clone([mark(9), output(9)]), output(9)], marks: [9, 5]),
    Way(description: "a group", actions: [mark(3), .group(1), output(9)], marks: [9, 5, 3]),
    Way(description: "a group that selects", actions: [.group(2), output(9)], marks: [7, 0]),
    Way(
      description: "a branch",
      actions: [
        mark(3), .checkPacketLarger(byteCount: 60, to: Subfield(.reg0, firstBit: 0, bitCount: 1) ?? Subfield(.reg0)),
        mark(9), output(9),
      ], marks: [9]),
    Way(description: "before it is parsed again", actions: [mark(9), .debugRecirculate, output(9)], marks: [9]),
    Way(
      description: "before a label is taken off",
      actions: [
        .pushMPLS(etherType: 0x8847), mark(9), .popMPLS(etherType: 0x0800), .decrementTTL(controllers: []), output(9),
      ], marks: [9]),
    Way(description: "taken away", actions: [mark(9), .deleteField(.packetMark), output(9)], marks: [0]),
  ]

  @Test(arguments: ways) func aMarkCrossesWithThePacketThatHasIt(way: Way) throws {
    func group(_ id: UInt32, _ kind: GroupDescription.Kind, _ marks: [UInt128]) -> TableChange {
      var group = GroupDescription(id: id, kind: kind)
      group.buckets = marks.map { value in
        var bucket = GroupDescription.Bucket()
        bucket.actions = [Self.mark(value), output(9)]
        return bucket
      }
      return .group(GroupMod(.add, group))
    }
    let harness = try Self.harness(first: [
      group(1, .all, [9, 5]), group(2, .select, [7]), rule([Self.ip], way.actions),
    ])
    // The first packet is translated, those behind it find a cached flow.
    for _ in 0..<3 {
      #expect(marks(harness) == way.marks)
      #expect(harness.availablePackets == 1024)
    }
  }

  /// NORMAL sends to one port where it knows the station, by another way than a flood.
  @Test func aMarkCrossesToAKnownStation() throws {
    let harness = try Self.harness(first: [rule([], [Self.mark(9), .output(.normal, maximumByteCount: 0)])])
    #expect(harness.addStation(bridge: "br0", vlan: 0, address: MACAddress(bits: 0x0200_0000_0002), port: "on0"))
    let sent = harness.receive(bridge: "br0", port: "p1", frame: Self.frame)
    #expect(sent.map(\.port) == ["r1"] && sent.map { $0.frame[15] } == [9])
  }

  /// Whatever the packet's bytes are in the caches for.
  @Test func packetsThatDifferInTheirMarkAloneTakeDifferentFlows() throws {
    let harness = try Self.harness(
      first: [
        rule([(.inPort, 1)], [Self.mark(9), output(9)]), rule([(.inPort, 2)], [Self.mark(5), output(9)]),
        rule([(.inPort, 3)], [output(9)]),
      ],
      second: [
        rule(priority: 200, [(.packetMark, 9)], [output(1)]),
        rule(priority: 200, [(.packetMark, 5)], [output(2)]), rule([], [output(9)]),
      ])
    for port in ["p1", "p2", "p3", "p3", "p1", "p1", "p2", "p3", "p2"] {
      let exits = harness.receive(bridge: "br0", port: port, frame: Self.frame).map(\.port)
      #expect(exits == [["p1": "q1", "p2": "q2"][port] ?? "r1"], "\(port)")
    }
    #expect(harness.cachedFlowCount(bridge: "br1") == 3)
    // What has come through no other bridge has none.
    #expect(harness.receive(bridge: "br1", port: "q1", frame: Self.frame).map(\.port) == ["r1"])
  }

  @Test func aMarkGoesOnThroughBridgesThatLeaveItOrChangeSomeOfIt() throws {
    for (actions, mark) in [
      ([], 0xabc), ([Self.mark(0x020, mask: 0x0f0)], 0xa2c), ([Self.mark(1)], 1), ([.debugRecirculate], 0xabc),
      ([Self.mark(0x020, mask: 0x0f0), .debugRecirculate], 0xa2c), ([.output(.normal, maximumByteCount: 0)], 0xabc),
    ] as [([Action], Int)] {
      let harness = try Self.harness(
        first: [rule([], [Self.mark(0xabc), output(9)])], second: [rule([], actions + [output(9)])])
      for _ in 0..<3 { #expect(Set(marks(harness)) == [mark], "\(actions)") }
    }
  }

  /// As with Open vSwitch.
  @Test func nothingElseOfThePipelineCrosses() throws {
    let fields: [Field] = [.reg0, .reg15, .xxreg2, .metadata, .tunnelID, .tunnelSource]
    let harness = try Self.harness(
      first: [rule([], fields.map { .setField($0, value: 5, mask: $0.fullMask) } + [output(9)])],
      second: fields.map { rule(priority: 200, [($0, 5)], []) } + [rule([], [output(9)])])
    for _ in 0..<2 { #expect(marks(harness) == [0]) }
    let trace = try #require(harness.trace(bridge: "br0", port: "p1", frame: Self.frame))
    #expect(trace.outcome.exits.map(\.port) == ["r1"])
  }

  /// What no packet's byte holds is there still when a packet comes back.
  @Test(arguments: [Action.debugRecirculate, .conntrack(ConntrackAction())], [Field.packetMark, .tunnelID, .reg3])
  func whatWasSetIsKnownToAPacketThatComesBack(action: Action, field: Field) throws {
    var action = action
    if case .conntrack(var conntrack) = action {
      conntrack.recirculationTable = 1
      action = .conntrack(conntrack)
    }
    let isConntrack = action != .debugRecirculate
    let harness = try Self.harness(first: [
      rule([Self.ip], [.setField(field, value: 9, mask: field.fullMask), action], goto: isConntrack ? nil : 1),
      rule(table: 1, [(field, 9)], [.conntrackClear, .debugRecirculate], goto: 2),
      rule(table: 2, [(field, 9)], [output(9)]),
    ])
    for _ in 0..<2 { #expect(marks(harness) == [field == .packetMark ? 9 : 0]) }
  }

  /// And what the packet has brought from the bridge before.
  @Test(arguments: [[], [Action.conntrackClear]], [true, false])
  func whatCameAlongIsKnownToAPacketThatComesBack(before: [Action], isTracked: Bool) throws {
    var lookup = ConntrackAction()
    lookup.recirculationTable = 1
    let comesBack: [Action] = before + [isTracked ? .conntrack(lookup) : .debugRecirculate]
    let harness = try Self.harness(
      first: [
        rule([(.inPort, 1)], [Self.mark(9), output(9)]), rule([(.inPort, 2)], [Self.mark(5), output(9)]),
        rule([(.inPort, 3)], [output(9)]),
      ],
      second: [
        rule([Self.ip], comesBack, goto: isTracked ? nil : 1),
        rule(table: 1, [Self.ip, (.packetMark, 9)], [output(1)]),
        rule(table: 1, [Self.ip, (.packetMark, 5)], [Self.mark(6), .conntrackClear, .debugRecirculate], goto: 2),
        rule(table: 2, [(.packetMark, 6)], [output(2)]),
        rule(table: 1, priority: 1, [], [output(9)]),
      ])
    for port in ["p1", "p2", "p3", "p3", "p1", "p1", "p2"] {
      let exits = harness.receive(bridge: "br0", port: port, frame: Self.frame).map(\.port)
      #expect(exits == [["p1": "q1", "p2": "q2"][port] ?? "r1"], "\(port)")
    }
  }

  /// Packets of an answered connection take their way at once: where marks decide they must not.
  @Test func packetsOfAConnectionGoByTheirMarks() throws {
    var lookup = ConntrackAction()
    lookup.recirculationTable = 1
    var commit = ConntrackAction()
    commit.commits = true
    let harness = try Self.harness(
      first: [
        rule([(.inPort, 1)], [Self.mark(9), output(9)]), rule([(.inPort, 2)], [output(9)]),
        rule([(.inPort, 9)], [output(3)]),
      ],
      second: [
        rule([Self.ip], [.conntrack(lookup)]),
        rule(table: 1, priority: 1, [Self.ip, (.inPort, 8)], [.conntrack(commit), output(1)]),
        rule(table: 1, priority: 1, [Self.ip, (.inPort, 1)], [.conntrack(commit), output(8)]),
        rule(table: 1, priority: 2, [Self.ip, (.inPort, 8), (.packetMark, 9)], [.conntrack(commit), output(2)]),
      ])
    let reply = FrameBuilder.ethernet(
      to: FrameBuilder.address(1), from: FrameBuilder.address(2), etherType: 0x0800,
      FrameBuilder.ipv4(
        from: [10, 0, 0, 2], to: [10, 0, 0, 1], protocol: 17,
        FrameBuilder.udp(from: [10, 0, 0, 2], to: [10, 0, 0, 1], sourcePort: 80, destinationPort: 1000, Array(0..<60))))
    func exits(_ port: String) -> [String] {
      harness.receive(bridge: "br0", port: port, frame: Self.frame).map(\.port)
    }
    #expect(exits("p2") == ["q1"])
    #expect(harness.receive(bridge: "br1", port: "q1", frame: reply).map(\.port) == ["p3"])
    // Rules that take a packet's way at once: no other action.
    try harness.changeFlows(
      bridge: "br1",
      [
        rule(table: 1, priority: 1, [Self.ip, (.inPort, 8)], [output(1)]),
        rule(table: 1, priority: 2, [Self.ip, (.inPort, 8), (.packetMark, 9)], [output(2)]),
      ])
    for _ in 0..<3 {
      for (port, exit) in [("p2", "q1"), ("p2", "q1"), ("p1", "q2"), ("p1", "q2")] { #expect(exits(port) == [exit]) }
    }
    #expect(!harness.hasPaths(bridge: "br1"))
    // Where they do not, they may.
    try harness.changeFlows(bridge: "br1", [rule(table: 1, priority: 3, [Self.ip, (.inPort, 8)], [output(1)])])
    for _ in 0..<3 { for port in ["p2", "p1"] { #expect(exits(port) == ["q1"]) } }
    #expect(harness.hasPaths(bridge: "br1"))
  }

  @Test func aControllersPacketHasTheMarkThatItWasSentWith() throws {
    var pause = ControllerAction()
    pause.pauses = true
    let harness = try Self.harness(
      first: [
        rule([(.inPort, 1)], [Self.mark(9), .controller(pause)], goto: 1),
        rule(table: 1, [(.packetMark, 5)], [Self.mark(6), output(9)]), rule(table: 1, priority: 1, [], [output(9)]),
      ])
    func marks(_ outputs: [DatapathHarness.Output]) -> [UInt8] {
      outputs.filter { $0.port == "r1" }.map { $0.frame[15] }
    }
    var pipeline = FlowKey()
    pipeline.packetMark = 7
    let sent = try harness.sendPacket(
      bridge: "br0", inPort: .controller, pipeline: pipeline, actions: [output(9)], data: Self.frame)
    #expect(marks(sent) == [7])
    #expect(harness.receive(bridge: "br0", port: "p1", frame: Self.frame).isEmpty)
    let waiting = try #require(harness.takeControllerPackets().first)
    #expect(waiting.pipeline.packetMark == 9)
    let continuation = try #require(waiting.continuation)
    // As the controller says.
    for (told, mark) in [(UInt32(9), UInt8(9)), (5, 6), (3, 3)] {
      pipeline = waiting.pipeline
      pipeline.packetMark = told
      #expect(
        marks(harness.resumePacket(bridge: "br0", continuation, pipeline: pipeline, data: waiting.data))
          == [mark])
    }
    // The next packet has none of these.
    try harness.changeFlows(bridge: "br0", [rule(priority: 200, [], [output(9)])])
    #expect(self.marks(harness) == [0])
  }

  @Test func aTraceTakesTheMarkAlong() throws {
    let harness = try Self.harness(
      first: [rule([], [Self.mark(9), output(9)])],
      second: [
        rule(priority: 200, [(.packetMark, 9)], [Self.mark(0x10, mask: 0xf0), output(9)]), rule([], [output(1)]),
      ])
    let trace = try #require(harness.trace(bridge: "br0", port: "p1", frame: Self.frame))
    #expect(trace.outcome.exits.map(\.port) == ["r1"] && trace.outcome.exits.map { $0.tag & 0xfff } == [0x19])
    #expect(marks(harness) == [0x19])
  }
}
