// Compiled code says what the instructions said.

import Testing
import VSwitchCore

struct RuleCodeTests {
  /// One of each action, with arguments that use all of their bits.
  static let actions: [Action] = {
    var controller = ControllerAction()
    controller.maximumByteCount = 128
    controller.reason = .invalidTTL
    controller.controllerID = 0xfedc
    controller.userData = Array(1...19)
    controller.pauses = true
    controller.meterID = 0xdead_beef
    var sample = SampleAction(probability: 0xfffe)
    sample.collectorSetID = 0xffff_fff1
    sample.observationDomainID = 0xffff_fff2
    sample.observationPointID = 0xffff_fff3
    sample.samplingPort = .local
    sample.direction = 2
    var learn = LearnAction(table: 253)
    learn.priority = 0xfff1
    learn.cookie = 0xffff_0000_0000_fff2
    learn.idleTimeoutSeconds = 0xfff3
    learn.hardTimeoutSeconds = 0xfff4
    learn.finIdleTimeoutSeconds = 0xfff5
    learn.finHardTimeoutSeconds = 0xfff6
    learn.flags = [.sendFlowRemoved, .deleteLearned, .writeResult]
    learn.limit = 0xffff_fff7
    learn.result = Subfield(.reg3, firstBit: 31, bitCount: 1)
    learn.specifications = [
      .match(.field(Subfield(.ethernetSource)), to: Subfield(.ethernetDestination)),
      .match(.immediate(0x800, bitCount: 16), to: Subfield(.etherType)),
      .load(.immediate(.max, bitCount: 128), to: Subfield(.xxreg1)),
      .load(.field(Subfield(.inPort)), to: Subfield(.reg1)),
      .output(Subfield(.inPort)),
    ]
    var conntrack = ConntrackAction()
    conntrack.commits = true
    conntrack.forces = true
    conntrack.zone = .field(Subfield(.reg2, firstBit: 8, bitCount: 16) ?? Subfield(.ctZone))
    conntrack.recirculationTable = 254
    conntrack.helperPort = 69
    conntrack.actions = [.setField(.ctLabel, value: .max, mask: .max), .setField(.ctMark, value: 1, mask: 0xff)]
    var translation = NetworkTranslation()
    translation.kind = .destination
    translation.persistent = true
    translation.randomizes = true
    translation.addresses = 1...UInt128.max
    translation.isIPv6 = true
    translation.ports = 1...0xffff
    conntrack.translation = translation
    var plainConntrack = ConntrackAction()
    plainConntrack.zone = .immediate(0xffff)
    return [
      .output(PortNumber(7), maximumByteCount: 0xffff), .outputField(Subfield(.reg0), maximumByteCount: 64),
      .outputTruncated(.inPort, byteCount: 0xffff_ffff), .controller(controller), .controller(ControllerAction()),
      .enqueue(.local, queue: 0xffff_fffe), .group(0xffff_ff00),
      .bundle(
        BundleAction(
          fields: .symmetricL3, basis: 0xffff, algorithm: .highestRandomWeight,
          members: [PortNumber(1), .local], destination: Subfield(.reg15))),
      .bundle(BundleAction(fields: .symmetricL4, basis: 1, algorithm: .activeBackup, members: [])),
      .setField(.ethernetSource, value: 0xffff_0000_0001, mask: 0xffff_0000_ffff),
      .setField(.ipv6Source, value: .max << 4, mask: .max << 4), .setField(.xreg7, value: 1 << 63, mask: 1 << 63),
      .move(from: Subfield(.ipv6Source), to: Subfield(.xxreg3)), .stackPush(Subfield(.ipv6Destination)),
      .stackPop(Subfield(.xxreg0)), .pushVLAN(etherType: 0x88a8), .popVLAN, .setVLANID(0xfff), .setVLANPriority(7),
      .pushMPLS(etherType: 0x8848), .popMPLS(etherType: 0x86dd), .setMPLSTTL(255), .decrementMPLSTTL,
      .copyTTLOutwards, .copyTTLInwards, .setTTL(254), .decrementTTL(controllers: [0, 0xffff]),
      .decrementTTL(controllers: []), .deleteField(.tunnelID),
      .checkPacketLarger(byteCount: 0xffff, to: Subfield(.reg0, firstBit: 7, bitCount: 1) ?? Subfield(.reg0)),
      .setQueue(0xffff_ffff), .popQueue, .meter(0xffff_0000), .sample(sample),
      .resubmit(port: .inPort, table: 200, withConntrackTuple: true),
      .resubmit(port: nil, table: nil, withConntrackTuple: false), .learn(learn),
      .conjunction(id: 0xffff_ffff, clause: 63, clauseCount: 64),
      .multipath(
        MultipathAction(
          fields: .networkSource, basis: 0xfffe, algorithm: .iterativeHash, maxLink: 0xffff, argument: 0xffff_fffd,
          destination: Subfield(.reg4))),
      .conntrack(conntrack), .conntrack(plainConntrack), .conntrackClear,
      .clone([.clone([.popVLAN, .output(.local, maximumByteCount: 0)]), .exit]), .clone([]), .exit,
      .finTimeout(idleSeconds: 0xfff8, hardSeconds: 0xfff9), .note([]), .note(Array(0...20)), .debugRecirculate,
    ]
  }()

  @Test func everyActionComesBack() throws {
    for action in Self.actions {
      let code = try RuleCode(Instructions(apply: [action]))
      defer { code.deallocate() }
      #expect(code.instructions.apply == [action])
    }
  }

  @Test func everyInstructionComesBack() throws {
    var instructions = Instructions(apply: Self.actions)
    instructions.meter = 0xffff_0001
    instructions.clearsActions = true
    instructions.write = Self.actions
    instructions.metadata = Instructions.MaskedMetadata(value: 1 << 63, mask: .max)
    instructions.gotoTable = 253
    let code = try RuleCode(instructions)
    defer { code.deallocate() }
    #expect(code.instructions == instructions)
    let empty = try RuleCode(Instructions())
    defer { empty.deallocate() }
    #expect(empty.instructions.isEmpty)
    #expect(empty.byteCount == 8)
    #expect(!empty.isEqual(to: code))
    #expect(code.isEqual(to: code))
  }

  @Test func filtersFindPortsGroupsAndMetersInNestedActions() throws {
    var instructions = Instructions(apply: [.clone([.output(PortNumber(7), maximumByteCount: 0), .meter(3)])])
    instructions.write = [.group(9)]
    let code = try RuleCode(instructions)
    defer { code.deallocate() }
    #expect(code.outputs(to: PortNumber(7)))
    #expect(!code.outputs(to: PortNumber(9)))
    #expect(code.uses(group: 9))
    #expect(!code.uses(group: 7))
    #expect(code.uses(meter: 3))
    #expect(!code.uses(meter: 9))
    #expect(!code.isConjunction)
    let clause = try RuleCode(Instructions(apply: [.conjunction(id: 1, clause: 0, clauseCount: 2)]))
    defer { clause.deallocate() }
    #expect(clause.isConjunction)
  }

  @Test func anOutputTakes24Bytes() throws {
    let code = try RuleCode(Instructions(apply: [.output(PortNumber(1), maximumByteCount: 0)]))
    defer { code.deallocate() }
    #expect(code.byteCount == 24)
  }

  @Test func tooDeepActionsAreRefused() {
    var action = Action.clone([])
    for _ in 0..<20 { action = .clone([action]) }
    let instructions = Instructions(apply: [action])
    #expect(throws: RuleCode.Fault.tooDeep) { try RuleCode(instructions) }
  }
}
