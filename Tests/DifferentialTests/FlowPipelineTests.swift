// Random rules, groups and packets through the real datapath and through the naive pipeline, while rules, groups and ports
// change: the same bytes leave the same ports in the same order, the same packets go to controllers, the same rules are
// learned. The datapath's caches are at work all the time; now and then they are emptied. A failure prints its seed;
// VSWITCH_SEED repeats it.

import Datapath
import Foundation
import ReferenceSwitch
import TestSupport
import Testing
import VSwitchCore

struct FlowPipelineTests {
  static let seeds = testSeeds(Int(ProcessInfo.processInfo.environment["VSWITCH_DIFFERENTIAL_SEEDS"] ?? "") ?? 160)
  static let chunks = stride(from: 0, to: seeds.count, by: 20).map { Array(seeds[$0..<min($0 + 20, seeds.count)]) }

  @Test(arguments: chunks)
  func frameByFrameTheDatapathDoesWhatTheNaivePipelineDoes(seeds: [UInt64]) throws {
    var counts = Counts()
    for seed in seeds {
      let before = counts
      let (difference, after) = try onLargeStack { () -> (String?, Counts) in
        var counts = before
        do {
          var run = try FlowPipelineRun(seed: seed)
          return (run.run(&counts), counts)
        } catch { return ("\(error)", counts) }
      }
      counts = after
      if let difference {
        Issue.record("seed \(seed) \(difference)")
        return
      }
    }
    // What is compared has to be worth it.
    #expect(counts.compared > 20 * seeds.count, "\(counts)")
    guard seeds.count > 1 else { return }
    #expect(counts.outputs > counts.compared / 3 && counts.controllers > 0 && counts.learned > 0, "\(counts)")
    #expect(counts.changed > seeds.count && counts.translated < counts.compared, "\(counts)")
  }

  struct Counts: Sendable {
    var compared = 0
    var outputs = 0
    var controllers = 0
    var learned = 0
    var changed = 0
    var translated = 0
  }
}

/// One random switch and its naive twin.
struct FlowPipelineRun {
  private var random: SeededGenerator
  private let real: DatapathHarness
  private var naive: ReferenceFlowSwitch
  private let packetCount: Int
  private static let portNumbers: ClosedRange<UInt32> = 1...4

  init(seed: UInt64) throws {
    random = SeededGenerator(seed: seed ^ 0xb17e)
    var bridge = BridgeConfig(name: "br0")
    for number in Self.portNumbers {
      var interface = InterfaceConfig(name: "p\(number)", kind: .tap)
      interface.portNumberRequest = UInt16(number)
      var port = PortConfig(name: "p\(number)", interface: interface)
      // Stations of NORMAL are in the VLANs of the random packets' tags.
      if RandomPipeline.one(in: 3, &random) {
        port.vlan.mode = .access
        port.vlan.tag = UInt16.random(in: 4...6, using: &random)
      }
      bridge.ports.append(port)
    }
    var config = SwitchConfig()
    config.bridges = [bridge]
    real = try DatapathHarness(config, packetCount: 4096)
    packetCount = real.availablePackets
    var pipeline = ReferencePipeline()
    for number in Self.portNumbers { pipeline.ports[number] = [.exists, .isLive] }
    let names = Dictionary(uniqueKeysWithValues: Self.portNumbers.map { ($0, "p\($0)") })
    naive = ReferenceFlowSwitch(config, bridge: "br0", ports: names, pipeline)
    var clear = FlowMod()
    clear.command = .delete
    clear.table = FlowMod.allTables
    var changes = [TableChange.flow(clear)]
    // Meters that let everything pass: what they drop depends on time.
    for id in [UInt32(2), 7] {
      var meter = MeterDescription(id: id, unit: .packetsPerSecond)
      meter.bands = [MeterDescription.Band(kind: .drop, rate: 1_000_000_000)]
      changes.append(.meter(MeterMod(.add, meter)))
    }
    try real.changeFlows(bridge: "br0", changes)
    let start = RandomPipeline.pipeline(using: &random)
    for group in start.groups.values.sorted(by: { $0.id < $1.id }) { change(group, .add) }
    for rule in start.rules { add(rule) }
    // Most packets find a rule in every table.
    for table in UInt8(0)...4 where !RandomPipeline.one(in: 5, &random) {
      guard let other = start.rules.randomElement(using: &random) else { continue }
      var rule = other
      (rule.table, rule.priority, rule.match) = (table, 0, Match())
      rule.instructions.gotoTable = table + 1
      add(rule)
      rule.instructions = Instructions()
      rule.instructions.gotoTable = table + 1
      // What makes no sense for all packets has been refused.
      if !naive.pipeline.rules.contains(where: { $0.table == table && $0.isTableMiss }) { add(rule) }
    }
  }

  // MARK: changes

  /// Connection tracking has its own tests, and a reference that knows connections.
  private static func isCompared(_ actions: [Action]) -> Bool {
    actions.allSatisfy { action in
      switch action {
      case .conntrack: false
      case .clone(let nested): isCompared(nested)
      default: true
      }
    }
  }

  private mutating func add(_ rule: ReferencePipelineRule) {
    guard Self.isCompared(rule.instructions.apply), Self.isCompared(rule.instructions.write) else { return }
    // Of two rules with one priority that both match, either may count.
    let rivals = naive.pipeline.rules.filter { $0.table == rule.table && $0.priority == rule.priority }
    guard rivals.allSatisfy({ $0.match == rule.match }) else { return }
    var mod = FlowMod()
    mod.table = rule.table
    mod.priority = rule.priority
    mod.match = rule.match
    mod.cookie = rule.cookie
    // What random actions have changed is to be seen.
    var rule = rule
    if RandomPipeline.one(in: 2, &random) {
      let port = [PortNumber.normal, .flood, PortNumber(1), PortNumber(2), PortNumber(3), PortNumber(4)]
      rule.instructions.apply.append(.output(port.randomElement(using: &random) ?? .flood, maximumByteCount: 0xffff))
    }
    mod.instructions = rule.instructions
    // Rules that make no sense are refused.
    guard (try? real.changeFlows(bridge: "br0", [.flow(mod)])) != nil else { return }
    naive.replace(rule)
  }

  private mutating func remove(_ rule: ReferencePipelineRule) {
    var mod = FlowMod()
    mod.command = .deleteStrict
    mod.table = rule.table
    mod.priority = rule.priority
    mod.match = rule.match
    _ = try? real.changeFlows(bridge: "br0", [.flow(mod)])
    naive.pipeline.rules.removeAll {
      $0.table == rule.table && $0.priority == rule.priority && $0.match == rule.match
    }
  }

  private mutating func change(_ group: GroupDescription, _ command: GroupMod.Command) {
    guard group.buckets.allSatisfy({ Self.isCompared($0.actions) }) else { return }
    guard (try? real.changeFlows(bridge: "br0", [.group(GroupMod(command, group))])) != nil else { return }
    naive.pipeline.groups[group.id] = group
  }

  private mutating func changeSomething() {
    let fresh = RandomPipeline.pipeline(using: &random)
    switch Int.random(in: 0..<8, using: &random) {
    case 0, 1, 2:
      guard var rule = fresh.rules.randomElement(using: &random) else { return }
      rule.priority = UInt16.random(in: 0...9, using: &random)
      add(rule)
    case 3:
      // Other instructions for a match that there is.
      guard var rule = naive.pipeline.rules.randomElement(using: &random),
        let other = fresh.rules.first(where: { $0.table == rule.table })
      else { return }
      rule.instructions = other.instructions
      add(rule)
    case 4, 5:
      let rules = naive.pipeline.rules.filter { !$0.isTableMiss || RandomPipeline.one(in: 8, &random) }
      if let rule = rules.randomElement(using: &random) { remove(rule) }
    case 6:
      guard let id = naive.pipeline.groups.keys.sorted().randomElement(using: &random) else { return }
      change(RandomPipeline.group(id, using: &random), .modify)
    default: changePort()
    }
  }

  private mutating func changePort() {
    let number = UInt32.random(in: Self.portNumbers, using: &random)
    var flags: PipelinePort = .exists
    if !RandomPipeline.one(in: 3, &random) { flags.insert(.isLive) }
    for flag in [PipelinePort.noForward, .isDown, .noReceive] where RandomPipeline.one(in: 6, &random) {
      flags.insert(flag)
    }
    naive.pipeline.ports[number] = flags
    real.setLink(bridge: "br0", port: "p\(number)", isUp: flags.contains(.isLive))
    var settings: [PortNumber: PipelinePort] = [:]
    for number in Self.portNumbers {
      settings[PortNumber(number)] = naive.pipeline.ports[number]?.subtracting([.exists, .isLive])
    }
    real.configurePorts(bridge: "br0", settings)
  }

  // MARK: packets

  /// - Returns: the first difference.
  mutating func run(_ counts: inout FlowPipelineTests.Counts) -> String? {
    let frames = (0..<12).map { _ in RandomPipeline.packet(using: &random).frame }
    let translated = real.translationCount(bridge: "br0")
    defer { counts.translated += Int(real.translationCount(bridge: "br0") - translated) }
    for step in 0..<60 {
      if RandomPipeline.one(in: 3, &random) {
        changeSomething()
        counts.changed += 1
      }
      if RandomPipeline.one(in: 20, &random) { real.forgetCachedFlows(bridge: "br0") }
      // A rule is learned once a second only.
      real.now += 1
      guard let frame = frames.randomElement(using: &random) else { return nil }
      let inPort = UInt32.random(in: Self.portNumbers, using: &random)
      guard let outcomes = naive.outcomes(frame, inPort: inPort, now: Int(real.now)) else { continue }
      let before = real.counters(bridge: "br0", port: "p\(inPort)")
      let outputs = Dictionary(
        grouping: real.receive(bridge: "br0", port: "p\(inPort)", frame: frame), by: \.port
      ).mapValues { $0.map(\.frame) }
      let controllers = real.handleEvents()
      let after = real.counters(bridge: "br0", port: "p\(inPort)")
      // The switch has limits that the naive pipeline has not, and gives up what is too much.
      let limits: [DropReason] = [.programTooLong, .recirculationLost, .tooManyActions, .headersTooLong, .noBuffer]
      if limits.contains(where: { after.receiveDrops[$0, default: 0] > before.receiveDrops[$0, default: 0] }) {
        return nil
      }
      let drops = after.receiveDrops.values.reduce(0, +)
      guard after.receivedPackets == after.forwardedPackets + drops, real.availablePackets == packetCount else {
        return "step \(step): \(after), \(real.availablePackets) of \(packetCount) packets are left"
      }
      guard let outcome = outcomes.first(where: { $0.outputs == outputs && isSame($0.controllers, controllers) }) else {
        return describe(step, frame, inPort, outputs, controllers, outcomes)
      }
      counts.compared += 1
      counts.outputs += outputs.isEmpty ? 0 : 1
      counts.controllers += controllers.count
      counts.learned += naive.settle(outcome).count
      guard real.rules(bridge: "br0").count == naive.pipeline.rules.count else {
        return "step \(step): \(real.rules(bridge: "br0").count) rules, expected \(naive.pipeline.rules.count)"
      }
    }
    return nil
  }

  private func isSame(_ expected: [PipelineEffect.ControllerMessage], _ packets: [ControllerPacket]) -> Bool {
    guard expected.count == packets.count else { return false }
    return zip(expected, packets).allSatisfy { message, packet in
      let frame = message.packet.frame
      let fields: [Field] = [.packetMark, .tunnelID]
      let words = [packet.pipeline.words[15]] + (18..<26).map { packet.pipeline.words[$0] }
      return message.reason == packet.reason.rawValue && message.controller == packet.controllerID
        && message.cookie == packet.cookie && message.table == packet.table && message.userData == packet.userData
        && message.pipeline == words
        && fields.allSatisfy { packet.pipeline[$0] == message.packet.metadata[$0] }
        && packet.totalByteCount == frame.count
        && packet.data == frame && packet.inPort == message.inPort
    }
  }

  private func describe(
    _ step: Int, _ frame: [UInt8], _ inPort: UInt32, _ outputs: [String: [[UInt8]]], _ controllers: [ControllerPacket],
    _ outcomes: [ReferenceFlowSwitch.Outcome]
  ) -> String {
    func text(_ outputs: [String: [[UInt8]]]) -> String {
      outputs.sorted { $0.key < $1.key }.map { "  \($0.key): \($0.value.map { short($0) })" }.joined(separator: "\n")
    }
    func short(_ bytes: [UInt8]) -> String {
      bytes.count > 120 ? Array(bytes[..<120]).hexadecimal + "…\(bytes.count)" : bytes.hexadecimal
    }
    let expected = outcomes.map { outcome in
      text(outcome.outputs) + "\n  controllers: "
        + outcome.controllers.map { "\($0.reason) \($0.table) \(short($0.packet.frame))" }.joined(separator: ", ")
    }
    let rules = naive.pipeline.rules.sorted { ($0.table, $0.priority) < ($1.table, $1.priority) }.map { rule in
      let fields = Field.allCases.compactMap { field in
        rule.match.value(field).map { "\(field.name)=\(String($0.value, radix: 16))/\(String($0.mask, radix: 16))" }
      }
      return "table \(rule.table) priority \(rule.priority) \(fields.joined(separator: ",")): \(rule.instructions)"
    }
    return """
      step \(step): port \(inPort) got \(short(frame))
      datapath:
      \(text(outputs))
        controllers: \(controllers.map { "\($0.reason.rawValue) \($0.table) \(short($0.data))" })
      naive:
      \(expected.prefix(4).joined(separator: "\nor\n"))
      \(rules.joined(separator: "\n"))
      \(naive.pipeline.groups.values.map { "\($0)" }.joined(separator: "\n"))
      \(naive.pipeline.ports)
      \(real.trace(bridge: "br0", port: "p\(inPort)", frame: frame)?.description ?? "")
      """
  }
}
