import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

@Suite struct FlowForwardingTests {
  private func frame(_ destination: UInt32 = 2, from source: UInt32 = 1, port: UInt16 = 80, ttl: UInt8 = 64) -> [UInt8]
  {
    let addresses: ([UInt8], [UInt8]) = ([10, 0, 0, 1], [10, 0, 0, 2])
    let udp = FrameBuilder.udp(
      from: addresses.0, to: addresses.1, sourcePort: 1000, destinationPort: port, Array(0..<20))
    return FrameBuilder.ethernet(
      to: FrameBuilder.address(destination), from: FrameBuilder.address(source), etherType: 0x0800,
      FrameBuilder.ipv4(from: addresses.0, to: addresses.1, protocol: 17, udp))
  }

  /// Ports that a frame left by.
  private func ports(_ bridge: DatapathHarness, _ frame: [UInt8], in port: String = "p1") -> [String] {
    bridge.receive(bridge: "br0", port: port, frame: frame).map(\.port)
  }

  @Test func aBridgeOfItsOwnLearns() throws {
    let bridge = try DatapathHarness.bridge()
    #expect(ports(bridge, frame()) == ["p2", "p3", "p4"])
    #expect(ports(bridge, frame(1, from: 2), in: "p2") == ["p1"])
    #expect(bridge.rules(bridge: "br0").count == 1)
    #expect(bridge.cachedFlowCount(bridge: "br0") == 0, "the one rule NORMAL needs no cache")
  }

  @Test func rulesDecideByPriorityAndTheCacheFollowsThem() throws {
    let bridge = try DatapathHarness.bridge()
    try bridge.changeFlows(
      bridge: "br0",
      [
        clear, rule([(.inPort, 1)], [output(2)]),
        rule(priority: 200, [(.etherType, 0x0800), (.ipProtocol, 17), (.udpDestination, 53)], [output(3)]),
      ])
    for _ in 0..<3 {
      #expect(ports(bridge, frame()) == ["p2"])
      #expect(ports(bridge, frame(port: 53)) == ["p3"])
      #expect(ports(bridge, frame(port: 53), in: "p4") == ["p3"])
      #expect(ports(bridge, frame(), in: "p4") == [])
    }
    #expect(bridge.cachedFlowCount(bridge: "br0") > 0)
    // What was cached must not outlive its rule.
    try bridge.changeFlows(bridge: "br0", [rule(priority: 300, [(.inPort, 1)], [output(4)])])
    #expect(ports(bridge, frame()) == ["p4"])
    #expect(ports(bridge, frame(port: 53)) == ["p4"])
    #expect(bridge.counters(bridge: "br0", port: "p4").receiveDrops[.tableMiss] == 3)
  }

  @Test func packetsAreChangedAndCopiesAreNot() throws {
    let bridge = try DatapathHarness.bridge()
    try bridge.changeFlows(
      bridge: "br0",
      [
        clear,
        rule(
          [(.etherType, 0x0800), (.inPort, 1)],
          [
            output(2), .setField(.ipv4Source, value: 0x0a00_0009, mask: 0xffff_ffff), .decrementTTL(controllers: [0]),
            output(3), .pushVLAN(etherType: 0x8100), .setField(.vlanID, value: 0x1007, mask: 0x1fff), output(4),
          ]),
      ])
    let original = frame()
    for _ in 0..<2 {
      let outputs = bridge.receive(bridge: "br0", port: "p1", frame: original)
      #expect(outputs.map(\.port) == ["p2", "p3", "p4"])
      guard outputs.count == 3 else { return }
      #expect(outputs[0].frame == original)
      #expect(complaint(about: outputs[1].frame) == nil)
      #expect(Array(outputs[1].frame[26..<30]) == [10, 0, 0, 9] && outputs[1].frame[22] == 63)
      #expect(Array(outputs[2].frame[12..<16]) == [0x81, 0, 0, 7])
      #expect(Array(outputs[2].frame[16...]) == Array(outputs[1].frame[12...]))
    }
    let counters = bridge.counters(bridge: "br0", port: "p1")
    #expect(counters.receivedPackets == 2 && counters.forwardedPackets == 2)
  }

  @Test func normalIsRunOnLiveTables() throws {
    let bridge = try DatapathHarness.bridge()
    try bridge.changeFlows(
      bridge: "br0",
      [clear, rule(priority: 0, [], [.output(.normal, maximumByteCount: 0)]), rule([(.inPort, 4)], [])])
    #expect(ports(bridge, frame()) == ["p2", "p3", "p4"])
    #expect(ports(bridge, frame(1, from: 2), in: "p2") == ["p1"])
    let cached = bridge.cachedFlowCount(bridge: "br0")
    // The station moves: no cached flow is in its way, and none is made for it.
    #expect(ports(bridge, frame(1, from: 2), in: "p3") == ["p1"])
    #expect(ports(bridge, frame(2, from: 1)) == ["p3"])
    #expect(bridge.cachedFlowCount(bridge: "br0") <= cached + 1)
    #expect(ports(bridge, frame(), in: "p4") == [])
    #expect(bridge.counters(bridge: "br0", port: "p4").receiveDrops[.ruleDrops] == 1)
  }

  @Test func controllersGetTheirPacket() throws {
    let bridge = try DatapathHarness.bridge()
    try bridge.changeFlows(
      bridge: "br0",
      [
        clear,
        rule(
          [(.inPort, 1)],
          [.setField(.reg0, value: 7, mask: 0xffff_ffff), .output(.controller, maximumByteCount: 40)]),
        rule(priority: 0, [], [.output(.controller, maximumByteCount: 0xffff)]),
      ])
    #expect(ports(bridge, frame()) == [])
    let packets = bridge.takeControllerPackets()
    #expect(packets.count == 1)
    let packet = try #require(packets.first)
    // Whole, whatever the rule says: nothing is kept here that the controller could ask for.
    #expect(packet.data == frame() && packet.totalByteCount == frame().count)
    #expect(packet.reason == .action && packet.inPort == 1 && packet.table == 0)
    #expect(packet.pipeline[.reg0] == 7)
    #expect(ports(bridge, frame(), in: "p2") == [])
    let missed = try #require(bridge.takeControllerPackets().first)
    #expect(missed.reason == .noMatch && missed.data == frame())
    #expect(bridge.counters(bridge: "br0", port: "p1").forwardedPackets == 1)
  }

  /// As with Open vSwitch: a resubmit's port is for its lookup alone, a port that was set stays set.
  @Test func controllersAreToldTheEntryPortThatThePipelineHas() throws {
    let bridge = try DatapathHarness.bridge()
    let toController = Action.output(.controller, maximumByteCount: 0xffff)
    let resubmit = Action.resubmit(port: PortNumber(7), table: 1, withConntrackTuple: false)
    let change = Action.setField(.inPort, value: 9, mask: 0xffff_ffff)
    try bridge.changeFlows(
      bridge: "br0",
      [
        clear, rule([(.inPort, 1)], [resubmit]), rule(table: 1, [(.inPort, 7)], [toController, change]),
        rule([(.inPort, 2)], [change, toController]),
      ])
    func told() -> [UInt32] { bridge.takeControllerPackets().map(\.inPort) }
    _ = ports(bridge, frame())
    #expect(told() == [1])
    _ = ports(bridge, frame(), in: "p2")
    #expect(told() == [9])
    for inPort in [PortNumber.controller, .any, PortNumber(3), .local] {
      _ = try bridge.sendPacket(bridge: "br0", inPort: inPort, actions: [toController], data: frame())
      #expect(told() == [inPort.rawValue])
    }
  }

  @Test func aControllersPacketGoesThroughTheTablesAndCounts() throws {
    let bridge = try DatapathHarness.bridge()
    try bridge.changeFlows(bridge: "br0", [clear, rule([(.etherType, 0x0800)], [output(3)])])
    let outputs = try bridge.sendPacket(
      bridge: "br0", actions: [.output(.table, maximumByteCount: 0), output(2)], data: frame())
    #expect(outputs.map(\.port) == ["p2", "p3"] && outputs.allSatisfy { $0.frame == frame() })
    #expect(bridge.rules(bridge: "br0").first?.statistics.packetCount == 1)
  }

  @Test func onePortCannotTakeTheControllersFromTheOthers() throws {
    let bridge = try DatapathHarness.bridge()
    try bridge.changeFlows(bridge: "br0", [clear, rule(priority: 0, [], [.output(.controller, maximumByteCount: 64)])])
    var fromFlood = 0
    for _ in 0..<500 {
      _ = bridge.receive(bridge: "br0", port: "p1", frames: Array(repeating: frame(), count: 16))
      fromFlood += bridge.takeControllerPackets().count
    }
    #expect(fromFlood == Int(FlowScratch.controllerPacketsPerSecond))
    #expect(bridge.counters(bridge: "br0", port: "p1").receiveDrops[.controllerBusy] == 8000 - 4000)
    _ = ports(bridge, frame(), in: "p2")
    #expect(bridge.takeControllerPackets().count == 1)
  }

  @Test func groupsCopyAndSelect() throws {
    let bridge = try DatapathHarness.bridge()
    func group(_ id: UInt32, _ kind: GroupDescription.Kind, _ ports: [UInt32]) -> TableChange {
      var group = GroupDescription(id: id, kind: kind)
      group.buckets = ports.map { port in
        var bucket = GroupDescription.Bucket()
        bucket.actions = [output(port)]
        return bucket
      }
      return .group(GroupMod(.add, group))
    }
    try bridge.changeFlows(
      bridge: "br0",
      [
        clear, group(1, .all, [2, 3]), group(2, .select, [2, 3, 4]), rule([(.inPort, 1)], [.group(1)]),
        rule(priority: 200, [(.etherType, 0x0800), (.ipProtocol, 17), (.udpDestination, 7)], [.group(2)]),
        rule(priority: 150, [(.etherType, 0x0800), (.ipProtocol, 17)], [.group(2)]),
      ])
    var seen: [String: Int] = [:]
    for port in UInt16(100)..<400 {
      let first = ports(bridge, frame(port: port))
      #expect(first == ports(bridge, frame(port: port)), "a flow stays in its bucket")
      #expect(first.count == 1)
      for name in first { seen[name, default: 0] += 1 }
    }
    #expect(seen.count == 3, "\(seen)")
    #expect(seen.values.allSatisfy { $0 > 50 }, "\(seen)")
    var arp = FrameBuilder.arpRequest(
      from: FrameBuilder.address(1), senderIPv4: [10, 0, 0, 1], targetIPv4: [10, 0, 0, 2])
    arp += Array(repeating: 0, count: 18)
    #expect(ports(bridge, arp) == ["p2", "p3"])
  }

  @Test func failoverTakesTheFirstPortThatIsThere() throws {
    let bridge = try DatapathHarness.bridge()
    var group = GroupDescription(id: 1, kind: .fastFailover)
    group.buckets = [9, 3, 4].map { (port: UInt32) in
      var bucket = GroupDescription.Bucket()
      bucket.watchPort = PortNumber(port)
      bucket.actions = [output(port == 9 ? 2 : port)]
      return bucket
    }
    try bridge.changeFlows(
      bridge: "br0", [clear, .group(GroupMod(.add, group)), rule([(.inPort, 1)], [.group(1)])])
    #expect(ports(bridge, frame()) == ["p3"])
  }

  @Test func aMeterLimitsTheRate() throws {
    let bridge = try DatapathHarness.bridge()
    var meter = MeterDescription(id: 1, unit: .packetsPerSecond)
    meter.hasBurst = true
    meter.bands = [MeterDescription.Band(kind: .drop, rate: 1, burst: 10)]
    try bridge.changeFlows(
      bridge: "br0", [clear, .meter(MeterMod(.add, meter)), rule([(.inPort, 1)], [.meter(1), output(2)])])
    let passed = (0..<50).reduce(0) { count, _ in count + ports(bridge, frame()).count }
    #expect((10...12).contains(passed))
    #expect(bridge.counters(bridge: "br0", port: "p1").receiveDrops[.metered] == UInt64(50 - passed))
  }

  @Test func labelsArePutOnAndTakenOff() throws {
    let bridge = try DatapathHarness.bridge()
    try bridge.changeFlows(
      bridge: "br0",
      [
        clear,
        rule(
          [(.etherType, 0x0800), (.inPort, 1)],
          [.pushMPLS(etherType: 0x8847), .setField(.mplsLabel, value: 77, mask: 0xfffff), output(2)]),
        rule(
          [(.etherType, 0x8847), (.inPort, 2)],
          [.popMPLS(etherType: 0x0800), .decrementTTL(controllers: [0]), output(1)]),
      ])
    let outputs = bridge.receive(bridge: "br0", port: "p1", frame: frame())
    let labelled = try #require(outputs.first?.frame)
    #expect(Array(labelled[12..<14]) == [0x88, 0x47])
    #expect(Array(labelled[14..<18]) == UInt32(77 << 12 | 1 << 8 | 64).octets)
    let back = try #require(bridge.receive(bridge: "br0", port: "p2", frame: labelled).first?.frame)
    #expect(back[22] == 63 && complaint(about: back) == nil)
    #expect(back.count == frame().count && Array(back[26...]) == Array(frame()[26...]))
  }

  @Test func whenRecirculationIdsAreUsedUpTheCacheBeginsAnew() throws {
    let bridge = try DatapathHarness.bridge()
    try bridge.changeFlows(
      bridge: "br0",
      [
        clear, rule([(.etherType, 0x8847)], [.popMPLS(etherType: 0x0800)], goto: 1),
        rule(table: 1, [(.etherType, 0x0800), (.ipProtocol, 17), (.udpDestination, 80)], [output(2)]),
        rule(table: 1, priority: 1, [], [output(3)]),
      ])
    func labelled(_ port: UInt16) -> [UInt8] {
      Array(frame()[..<12]) + [0x88, 0x47] + UInt32(9 << 12 | 0x140).octets + frame(port: port)[14...]
    }
    for round in 0..<3 {
      if round == 1 { bridge.useUpRecirculationIDs(bridge: "br0") }
      // New flows each time, and some of before.
      for vlan in 0..<3 {
        var tagged = labelled(80)
        tagged.insert(contentsOf: [0x81, 0, 0, UInt8(10 * round + vlan)], at: 12)
        for _ in 0..<2 { #expect(ports(bridge, tagged) == ["p2"], "round \(round)") }
      }
      for _ in 0..<2 {
        #expect(ports(bridge, labelled(80)) == ["p2"] && ports(bridge, labelled(81)) == ["p3"], "round \(round)")
      }
    }
    let before = bridge.translationCount(bridge: "br0")
    #expect(ports(bridge, labelled(80)) == ["p2"])
    #expect(bridge.translationCount(bridge: "br0") == before, "what comes back is cached again")
  }

  @Test func aLabelGoesBehindAllTags() throws {
    let bridge = try DatapathHarness.bridge()
    let push = Action.pushVLAN(etherType: 0x8100)
    try bridge.changeFlows(
      bridge: "br0", [clear, rule([(.inPort, 1)], [push, push, push, .pushMPLS(etherType: 0x8847), output(2)])])
    let sent = try #require(bridge.receive(bridge: "br0", port: "p1", frame: frame()).first?.frame)
    #expect(Array(sent[12..<26]) == [0x81, 0, 0, 0, 0x81, 0, 0, 0, 0x81, 0, 0, 0, 0x88, 0x47])
    #expect(Array(sent[30...]) == Array(frame()[14...]))
  }

  @Test func normalTakesThePortThatRulesSayThePacketCameInBy() throws {
    let bridge = try DatapathHarness.bridge()
    let normal = Action.output(.normal, maximumByteCount: 0)
    func from(_ port: UInt128) -> Action { .setField(.inPort, value: port, mask: 0xffff_ffff) }
    try bridge.changeFlows(
      bridge: "br0", [clear, rule([(.inPort, 1)], [from(3), normal]), rule([(.inPort, 4)], [from(9), normal])])
    #expect(ports(bridge, frame()) == ["p1", "p2", "p4"], "flooded to all but the port that it is said to be of")
    #expect(bridge.stations(bridge: "br0").map(\.port) == ["p3"], "and learned there")
    #expect(bridge.counters(bridge: "br0", port: "p1").forwardedPackets == 1)
    #expect(ports(bridge, frame(), in: "p4") == [])
    #expect(bridge.counters(bridge: "br0", port: "p4").receiveDrops[.noSuchPort] == 1)
  }

  @Test(arguments: testSeeds(6))
  func cachedDecisionsAreThoseOfTheTables(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let bridge = try DatapathHarness.bridge()
    let fresh = try DatapathHarness.bridge()
    let frames = (0..<60).map { _ in RandomFrame.make(using: &random) }
    var sent = 0
    var rules: [TableChange] = []
    for round in 0..<30 {
      // The same rules in both; one of them is asked everything twice, the other forgets its cache before each frame.
      var changes: [TableChange] = round == 0 ? [clear] : []
      for _ in 0..<Int(random.next() % 4) {
        if !rules.isEmpty, random.next() % 3 == 0,
          case .flow(var rule) = rules.remove(at: Int(random.next() % UInt64(rules.count)))
        {
          rule.command = random.next() % 2 == 0 ? .deleteStrict : .modifyStrict
          rule.instructions = Instructions(apply: [output(UInt32(1 + random.next() % 4))])
          changes.append(.flow(rule))
        } else {
          rules.append(randomRule(&random))
          changes.append(contentsOf: rules.suffix(1))
        }
      }
      try bridge.changeFlows(bridge: "br0", changes)
      try fresh.changeFlows(bridge: "br0", changes)
      let frames = (0..<24).map { _ in frames[Int(random.next() % UInt64(frames.count))] }
      for _ in 0..<2 {
        for frame in frames {
          let port = "p\(1 + random.next() % 4)"
          fresh.forgetCachedFlows(bridge: "br0")
          let expected = fresh.receive(bridge: "br0", port: port, frame: frame)
          #expect(bridge.receive(bridge: "br0", port: port, frame: frame) == expected, "\(port) \(frame) \(changes)")
          sent += 1
        }
      }
    }
    for port in 1...4 {
      let counters = bridge.counters(bridge: "br0", port: "p\(port)")
      let dropped = counters.receiveDrops.values.reduce(0, +)
      #expect(counters.receivedPackets == counters.forwardedPackets + dropped)
    }
    #expect(sent == 30 * 24 * 2)
    #expect(bridge.translationCount(bridge: "br0") < fresh.translationCount(bridge: "br0"), "the cache was asked")
  }

  private func randomRule(_ random: inout SeededGenerator) -> TableChange {
    var match: [(Field, UInt128)] = []
    if random.next() % 2 == 0 { match.append((.inPort, UInt128(1 + random.next() % 4))) }
    switch random.next() % 5 {
    case 0: match.append((.ethernetDestination, 0x0200_0000_0000 | UInt128(random.next() % 8)))
    case 1: match += [(.etherType, 0x0800), (.ipv4Destination, 0x0a00_0000 | UInt128(random.next() % 4))]
    case 2: match += [(.etherType, 0x0800), (.ipProtocol, 6), (.tcpDestination, UInt128(1 + random.next() % 100))]
    case 3: match += [(.etherType, 0x86dd), (.ipProtocol, 17)]
    default: break
    }
    var actions: [Action] = []
    for _ in 0..<(1 + random.next() % 3) {
      switch random.next() % 6 {
      case 0: actions.append(.setField(.ethernetSource, value: 0x0200_0000_0077, mask: 0xffff_ffff_ffff))
      case 1: actions.append(.pushVLAN(etherType: 0x8100))
      case 2: actions.append(.clone([.pushVLAN(etherType: 0x88a8), output(UInt32(1 + random.next() % 4))]))
      case 3: actions.append(.output(.flood, maximumByteCount: 0))
      default: actions.append(output(UInt32(1 + random.next() % 4)))
      }
    }
    return rule(priority: UInt16(random.next() % 4), match, actions)
  }

  // MARK: the cache's limits

  /// Rules that look at ever more bits of the source address: each packet that meets another of them has a mask of its own.
  private func explodingRules() -> [TableChange] {
    var changes = [clear]
    for bits in 1...32 {
      for (field, priority) in [(Field.ipv4Source, 0), (.ipv4Destination, 1)] {
        var change = FlowMod()
        change.priority = UInt16(100 + 2 * bits + priority)
        change.match.set(.etherType, 0x0800)
        change.match.set(
          field, UInt128(0xffff_ffff) << UInt128(32 - bits) & 0xffff_ffff,
          mask: UInt128(0xffff_ffff) << UInt128(32 - bits) & 0xffff_ffff)
        change.match.set(.udpDestination, UInt128(bits))
        change.match.set(.ipProtocol, 17)
        change.instructions = Instructions(apply: [output(3)])
        changes.append(.flow(change))
      }
      var tos = FlowMod()
      tos.priority = UInt16(bits)
      tos.match.set(.etherType, 0x0800)
      tos.match.set(.ethernetSource, UInt128(1) << UInt128(bits), mask: UInt128(1) << UInt128(bits))
      tos.instructions = Instructions(apply: [output(4)])
      changes.append(.flow(tos))
    }
    changes.append(rule(priority: 0, [], [output(2)]))
    return changes
  }

  @Test(arguments: testSeeds(3))
  func moreMasksThanTheCacheHoldsAreForwardedAllTheSame(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let (small, fresh) = (try DatapathHarness.bridge(), try DatapathHarness.bridge())
    for bridge in [small, fresh] { try bridge.changeFlows(bridge: "br0", explodingRules()) }
    for _ in 0..<4000 {
      var source = UInt32.random(in: 0...UInt32.max, using: &random)
      source |= ~(UInt32.max >> UInt32.random(in: 0...31, using: &random))
      let address = [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: source >> $0) }
      let udp = FrameBuilder.udp(
        from: address, to: [255, 255, 255, 2], sourcePort: 1,
        destinationPort: UInt16.random(in: 0...33, using: &random),
        [1, 2, 3])
      let frame = FrameBuilder.ethernet(
        to: FrameBuilder.address(2), from: FrameBuilder.address(UInt32.random(in: 0...UInt32.max, using: &random)),
        etherType: 0x0800, FrameBuilder.ipv4(from: address, to: [255, 255, 255, 2], protocol: 17, udp))
      // What is translated for each packet is the judge.
      fresh.forgetCachedFlows(bridge: "br0")
      let (found, expected) = (ports(small, frame), ports(fresh, frame))
      #expect(found == expected && found.count == 1)
      if found != expected { return }
    }
    let cache = small.flowCache(bridge: "br0")
    // One port alone has a share of them.
    #expect((cache.maskLimit / 2...cache.maskLimit).contains(cache.maskCount), "\(cache)")
    #expect(cache.refusedCount > 0, "\(cache)")
    #expect(cache.flowCount <= cache.flowLimit)
  }

  @Test func moreFlowsThanTheCacheHoldsAreForwardedAllTheSame() throws {
    let bridge = try DatapathHarness.bridge()
    // A rule for one source makes each other source a flow of its own, bit by bit.
    try bridge.changeFlows(
      bridge: "br0",
      [clear]
        + (0..<32).map { bit in
          var change = FlowMod()
          change.match.set(.ethernetSource, UInt128(0x8000_0000_0000) | UInt128(1) << UInt128(bit))
          change.instructions = Instructions(apply: [output(4)])
          return .flow(change)
        } + [rule(priority: 1, [(.ethernetSource, 0x0200_0000_0001)], [output(3)]), rule(priority: 0, [], [output(2)])])
    var random = SeededGenerator(seed: 1)
    for number in 0..<bridge.flowCache(bridge: "br0").flowLimit {
      let source = UInt32.random(in: 2...UInt32.max, using: &random)
      let found = ports(
        bridge,
        FrameBuilder.ethernet(
          to: FrameBuilder.address(9), from: FrameBuilder.address(source), etherType: 0x1234, [1]))
      #expect(found == ["p2"], "packet \(number)")
      if found != ["p2"] { return }
    }
    let cache = bridge.flowCache(bridge: "br0")
    #expect(cache.flowCount <= cache.flowLimit)
    #expect(ports(bridge, frame()) == ["p3"])
  }
}
