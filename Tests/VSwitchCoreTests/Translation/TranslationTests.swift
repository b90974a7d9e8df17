// What single rules come to: the standard's and Open vSwitch's semantics, limits, masks, dependencies.

import ReferenceSwitch
import Testing
import VSwitchCore

struct TranslationTests {
  private var pipeline: ReferencePipeline = {
    var pipeline = ReferencePipeline()
    for number in UInt32(1)...4 { pipeline.ports[number] = [.exists, .isLive] }
    return pipeline
  }()

  private static func rule(
    _ table: UInt8, _ priority: UInt16 = 1, _ match: Match = Match(), _ apply: [Action] = [], write: [Action] = [],
    goto: UInt8? = nil
  ) -> ReferencePipelineRule {
    var instructions = Instructions(apply: apply)
    instructions.write = write
    instructions.gotoTable = goto
    return ReferencePipelineRule(
      table: table, priority: priority, match: match, cookie: 7, instructions: instructions)
  }

  private static func output(_ number: UInt32) -> Action { .output(PortNumber(number), maximumByteCount: 0) }

  private func translate(
    _ rules: [ReferencePipelineRule], _ packet: PipelinePacket = ipPacket(), inPort: UInt32 = 1
  ) throws -> Translated {
    var pipeline = pipeline
    pipeline.rules = rules
    var key = packet.key
    key.inPort = inPort
    return try ProgramRunner(LinearReader(pipeline), pipeline).translate(key)
  }

  private static func ipPacket(ttl: UInt8 = 64) -> PipelinePacket {
    var packet = PipelinePacket()
    packet.ethernetSource = 1
    packet.etherType = 0x0800
    packet.contentType = 0x0800
    packet.content.ipTTL = ttl
    packet.content.ipProtocol = 6
    return packet
  }

  private func ports(_ translated: Translated) -> [UInt32] {
    translated.steps.filter { $0.operation == .output }.map(\.number)
  }

  @Test func exitLeavesOutTheActionSet() throws {
    let translated = try translate([
      Self.rule(0, write: [Self.output(2)], goto: 1), Self.rule(1, 1, Match(), [.exit, Self.output(3)]),
    ])
    #expect(translated.steps.isEmpty)
    #expect(translated.result.drop == .ruleDrops)
  }

  @Test func aMissAfterGotoDropsTheActionSet() throws {
    let translated = try translate([Self.rule(0, write: [Self.output(2)], goto: 1)])
    #expect(translated.steps.isEmpty)
    #expect(translated.result.drop == .tableMiss)
    #expect(translated.result.dependencies.uses(table: 1))
    #expect(!translated.result.dependencies.uses(table: 2))
  }

  @Test func aMissAfterResubmitIsNothing() throws {
    let translated = try translate([
      Self.rule(0, 1, Match(), [.resubmit(port: nil, table: 1, withConntrackTuple: false), Self.output(2)])
    ])
    #expect(ports(translated) == [2])
  }

  @Test func theGroupOfAnActionSetGoesBeforeItsOutput() throws {
    var pipeline = pipeline
    var group = GroupDescription(id: 1, kind: .indirect)
    var bucket = GroupDescription.Bucket()
    bucket.actions = [Self.output(4)]
    group.buckets = [bucket]
    pipeline.groups[1] = group
    pipeline.rules = [Self.rule(0, write: [.group(1), Self.output(2), .popVLAN])]
    var key = Self.ipPacket().key
    key.inPort = 1
    let translated = try ProgramRunner(LinearReader(pipeline), pipeline).translate(key)
    #expect(ports(translated) == [4])
    #expect(translated.result.dependencies.usesGroups)
    // The rule, the group, its bucket.
    #expect(translated.hits.count == 3)
  }

  @Test func aPushedTagHasTheOuterTagsIDAndPriority() throws {
    var packet = Self.ipPacket()
    packet.pushTag(0x8100, 0x6005)
    let translated = try translate([Self.rule(0, 1, Match(), [.pushVLAN(etherType: 0x88a8), Self.output(2)])], packet)
    #expect(translated.steps.first == ActionStep(.pushVLAN, number: 0x6005, half: 0x88a8))
  }

  @Test func packetsOfOtherDistancesShareAFlowThatDecrementsTheirTTL() throws {
    let rules = [Self.rule(0, 1, Match(), [.decrementTTL(controllers: [0]), Self.output(2)])]
    #expect(try translate(rules).result.mask[.ipTTL].nonzeroBitCount == 1)
    #expect(try translate(rules).steps.map(\.operation) == [.decrementTTL, .output])
    let expired = try translate(rules, Self.ipPacket(ttl: 1))
    #expect(expired.result.mask[.ipTTL] == 0xfe)
    #expect(expired.steps.first?.field == ControllerAction.Reason.invalidTTL.rawValue)
    #expect(ports(expired) == [])
  }

  @Test func aFieldThatAnActionHasSetIsNotMasked() throws {
    var match = Match()
    match.set(.ethernetSource, 9)
    let translated = try translate([
      Self.rule(0, 1, Match(), [.setField(.ethernetSource, value: 9, mask: 0xffff_ffff_ffff)], goto: 1),
      Self.rule(1, 1, match, [Self.output(2)]),
    ])
    #expect(ports(translated) == [2])
    #expect(translated.result.mask[.ethernetSource] == 0)
    #expect(translated.result.mask[.inPort] == 0xffff_ffff)
  }

  @Test func thePacketIsNotSentBackUnlessToldTo() throws {
    #expect(try translate([Self.rule(0, 1, Match(), [Self.output(1)])]).result.drop == .samePort)
    #expect(try ports(translate([Self.rule(0, 1, Match(), [.output(.inPort, maximumByteCount: 0)])])) == [1])
  }

  @Test func aLoopOfResubmitsIsDroppedWhole() throws {
    let loop = Self.rule(
      0, 1, Match(), [Self.output(2), .resubmit(port: nil, table: 0, withConntrackTuple: false)])
    let translated = try translate([loop])
    #expect(translated.result.drop == .tooDeep)
    #expect(translated.steps.isEmpty)
    let wide = Self.rule(
      0, 1, Match(), Array(repeating: .resubmit(port: nil, table: 1, withConntrackTuple: false), count: 5000))
    #expect(try translate([wide, Self.rule(1, 1, Match(), [])]).result.drop == .tooManyResubmits)
  }

  @Test func whatDoesNotFitIsDroppedWhole() throws {
    let outputs = Array(repeating: Self.output(2), count: ProgramRunner<LinearReader>.stepLimit + 1)
    #expect(try translate([Self.rule(0, 1, Match(), outputs)]).result.drop == .programTooLong)
    let pushes = Array(repeating: Action.stackPush(Subfield(.reg0)), count: 3000)
    #expect(try translate([Self.rule(0, 1, Match(), pushes + [Self.output(2)])]).result.drop == .stackTooDeep)
    let writes = Array(repeating: Self.output(2), count: 5000)
    #expect(try translate([Self.rule(0, write: writes)]).result.drop == .tooManyActions)
  }

  @Test func headersBelowALabelAreParsedOnlyIfNeeded() throws {
    var packet = Self.ipPacket()
    packet.pushLabel(0x8847, 0x10140)
    let pop = Action.popMPLS(etherType: 0x0800)
    let plain = try translate([Self.rule(0, 1, Match(), [pop, Self.output(2)])], packet)
    #expect(plain.steps.map(\.operation) == [.popMPLS, .output])
    let deep = try translate(
      [Self.rule(0, 1, Match(), [pop, .decrementTTL(controllers: []), Self.output(2)])], packet)
    #expect(deep.steps.map(\.operation) == [.popMPLS, .recirculate])
  }

  @Test func multipathGivesAFlowAlwaysTheSameLinkAndUsesAll() throws {
    for algorithm in MultipathAction.Algorithm.allCases {
      let action = Action.multipath(
        MultipathAction(
          fields: .symmetricL4, basis: 5, algorithm: algorithm, maxLink: 3, argument: 8,
          destination: Subfield(.reg0)))
      let rules =
        [Self.rule(0, 1, Match(), [action], goto: 1)]
        + (0..<4).map { link in
          var match = Match()
          match.set(.reg0, UInt128(link))
          return Self.rule(1, UInt16(link + 1), match, [Self.output(UInt32(link + 10))])
        }
      var pipeline = pipeline
      for number in UInt32(10)...13 { pipeline.ports[number] = .exists }
      pipeline.rules = rules
      let runner = try ProgramRunner(LinearReader(pipeline), pipeline)
      var used: Set<UInt32> = []
      for number in UInt16(0)..<100 {
        var packet = Self.ipPacket()
        packet.content.transportSource = number
        packet.content.transportDestination = 80
        var key = packet.key
        key.inPort = 1
        let there = ports(runner.translate(key))
        swap(&packet.ethernetSource, &packet.ethernetDestination)
        packet.content.transportSource = 80
        packet.content.transportDestination = number
        key = packet.key
        key.inPort = 1
        #expect(ports(runner.translate(key)) == there)
        #expect(there.count == 1)
        used.formUnion(there)
      }
      #expect(used.count == 4, "\(algorithm)")
    }
  }

  @Test func aBundleByHashLosesOnlyTheFlowsOfTheLinkThatFailed() throws {
    let action = Action.bundle(
      BundleAction(
        fields: .networkSource, basis: 0, algorithm: .highestRandomWeight, members: (2...4).map { PortNumber($0) }))
    var before: [UInt32: UInt32] = [:]
    var pipeline = pipeline
    pipeline.rules = [Self.rule(0, 1, Match(), [action])]
    for isFirst in [true, false] {
      if !isFirst { pipeline.ports[3] = .exists }
      let runner = try ProgramRunner(LinearReader(pipeline), pipeline)
      for address in UInt32(0)..<60 {
        var packet = Self.ipPacket()
        packet.content.ipv4Source = address
        var key = packet.key
        key.inPort = 1
        let port = try #require(ports(runner.translate(key)).first)
        if isFirst {
          before[address] = port
        } else {
          #expect(before[address] == 3 ? port != 3 : port == before[address])
        }
      }
    }
    #expect(Set(before.values) == [2, 3, 4])
  }
}
