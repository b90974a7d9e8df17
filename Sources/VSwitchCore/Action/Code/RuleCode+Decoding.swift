// Compiled code back to instructions, for replies to controllers, and what filters ask of it. Thread: control code's.

extension RuleCode {
  /// What was compiled; values of set_field without the bits outside of their masks.
  public var instructions: Instructions {
    var result = Instructions()
    var range = steps
    while let step = range.next() {
      switch step.operation {
      case .meterInstruction: result.meter = step.argument
      case .clearActions: result.clearsActions = true
      case .writeActions: result.write = RuleCode.actions(step.nested(from: 1))
      case .writeMetadata: result.metadata = Instructions.MaskedMetadata(value: step[1], mask: step[2])
      case .gotoTable: result.gotoTable = UInt8(truncatingIfNeeded: step.argument)
      default: if let action = RuleCode.action(step) { result.apply.append(action) }
      }
    }
    return result
  }

  /// Whether a packet may be sent to this port by name (the filter `out_port` of deletes and requests).
  public func outputs(to port: PortNumber) -> Bool {
    RuleCode.contains(steps) { step in
      switch step.operation {
      case .output, .outputTruncated, .enqueue: step.argument == port.rawValue
      case .bundle: step.argument == 0 && (0..<Int(step[2])).contains { step[3 + $0] == UInt64(port.rawValue) }
      case .controller: port == .controller
      default: false
      }
    }
  }

  /// Whether the code refers to this group (the filter `out_group`; rules that go with a deleted group).
  public func uses(group: UInt32) -> Bool {
    RuleCode.contains(steps) { $0.operation == .group && $0.argument == group }
  }

  /// Whether the code refers to this meter (rules that go with a deleted meter).
  public func uses(meter: UInt32) -> Bool {
    RuleCode.contains(steps) {
      ($0.operation == .meter || $0.operation == .meterInstruction) && $0.argument == meter
        || $0.operation == .controller && $0.argument & 1 << 25 != 0 && $0[1] >> 32 == UInt64(meter)
    }
  }

  private static func contains(_ range: CodeRange, where holds: (CodeStep) -> Bool) -> Bool {
    var range = range
    while let step = range.next() {
      if holds(step) { return true }
      switch step.operation {
      case .writeActions, .clone: if contains(step.nested(from: 1), where: holds) { return true }
      default: break
      }
    }
    return false
  }

  static func actions(_ range: CodeRange) -> [Action] {
    var range = range
    var actions: [Action] = []
    while let step = range.next() {
      if let action = action(step) { actions.append(action) }
    }
    return actions
  }

  /// - Returns: nil for an instruction.
  static func action(_ step: CodeStep) -> Action? {
    let argument = step.argument
    func subfield(_ bits: UInt32) -> Subfield { PackedSubfield(bits: bits).subfield ?? Subfield(.reg0) }
    func has(_ bit: UInt32) -> Bool { argument & 1 << bit != 0 }
    let half = UInt16(truncatingIfNeeded: argument)
    let byte = UInt8(truncatingIfNeeded: argument)
    return switch step.operation {
    case .meterInstruction, .clearActions, .writeActions, .writeMetadata, .gotoTable: nil
    case .output: .output(PortNumber(argument), maximumByteCount: UInt16(truncatingIfNeeded: step[1]))
    case .outputField: .outputField(subfield(argument), maximumByteCount: UInt16(truncatingIfNeeded: step[1]))
    case .outputTruncated: .outputTruncated(PortNumber(argument), byteCount: UInt32(truncatingIfNeeded: step[1]))
    case .controller: .controller(controllerAction(step))
    case .enqueue: .enqueue(PortNumber(argument), queue: UInt32(truncatingIfNeeded: step[1]))
    case .group: .group(argument)
    case .bundle: .bundle(bundleAction(step))
    case .setField:
      .setField(Field(rawValue: byte) ?? .reg0, value: UInt128(step[1]), mask: UInt128(step[2]))
    case .setWideField: .setField(Field(rawValue: byte) ?? .xxreg0, value: step.wide(1), mask: step.wide(3))
    case .move: .move(from: subfield(argument), to: subfield(UInt32(truncatingIfNeeded: step[1])))
    case .stackPush: .stackPush(subfield(argument))
    case .stackPop: .stackPop(subfield(argument))
    case .pushVLAN: .pushVLAN(etherType: half)
    case .popVLAN: .popVLAN
    case .setVLANID: .setVLANID(half)
    case .setVLANPriority: .setVLANPriority(byte)
    case .pushMPLS: .pushMPLS(etherType: half)
    case .popMPLS: .popMPLS(etherType: half)
    case .setMPLSTTL: .setMPLSTTL(byte)
    case .decrementMPLSTTL: .decrementMPLSTTL
    case .copyTTLOutwards: .copyTTLOutwards
    case .copyTTLInwards: .copyTTLInwards
    case .setTTL: .setTTL(byte)
    case .decrementTTL:
      .decrementTTL(controllers: (0..<Int(argument)).map { UInt16(truncatingIfNeeded: step[1 + $0]) })
    case .deleteField: .deleteField(Field(rawValue: byte) ?? .reg0)
    case .checkPacketLarger:
      .checkPacketLarger(byteCount: UInt16(truncatingIfNeeded: step[1]), to: subfield(argument))
    case .setQueue: .setQueue(argument)
    case .popQueue: .popQueue
    case .meter: .meter(argument)
    case .sample: .sample(sampleAction(step))
    case .resubmit:
      .resubmit(
        port: has(9) ? PortNumber(UInt32(truncatingIfNeeded: step[1])) : nil, table: has(8) ? byte : nil,
        withConntrackTuple: has(10))
    case .learn: .learn(learnAction(step))
    case .conjunction:
      .conjunction(
        id: argument, clause: UInt8(truncatingIfNeeded: step[1]), clauseCount: UInt8(truncatingIfNeeded: step[1] >> 8))
    case .multipath: .multipath(multipathAction(step))
    case .conntrack: .conntrack(conntrackAction(step))
    case .conntrackClear: .conntrackClear
    case .clone: .clone(actions(step.nested(from: 1)))
    case .exit: .exit
    case .finTimeout: .finTimeout(idleSeconds: half, hardSeconds: UInt16(truncatingIfNeeded: argument >> 16))
    case .note: .note(bytes(step, from: 1, count: Int(argument)))
    case .debugRecirculate: .debugRecirculate
    }
  }

  private static func bytes(_ step: CodeStep, from index: Int, count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: step[index + $0 / 8] >> UInt64($0 % 8 * 8)) }
  }

  private static func controllerAction(_ step: CodeStep) -> ControllerAction {
    var action = ControllerAction()
    action.controllerID = UInt16(truncatingIfNeeded: step.argument)
    action.reason = ControllerAction.Reason(rawValue: UInt8(truncatingIfNeeded: step.argument >> 16)) ?? .action
    action.pauses = step.argument & 1 << 24 != 0
    action.maximumByteCount = UInt16(truncatingIfNeeded: step[1])
    if step.argument & 1 << 25 != 0 { action.meterID = UInt32(truncatingIfNeeded: step[1] >> 32) }
    action.userData = bytes(step, from: 3, count: Int(step[2]))
    return action
  }

  private static func bundleAction(_ step: CodeStep) -> BundleAction {
    BundleAction(
      fields: HashFields(rawValue: UInt16(truncatingIfNeeded: step[1])) ?? .ethernetSource,
      basis: UInt16(truncatingIfNeeded: step[1] >> 16),
      algorithm: BundleAction.Algorithm(rawValue: UInt16(truncatingIfNeeded: step[1] >> 32)) ?? .activeBackup,
      members: (0..<Int(step[2])).map { PortNumber(UInt32(truncatingIfNeeded: step[3 + $0])) },
      destination: PackedSubfield(bits: step.argument).subfield)
  }

  private static func sampleAction(_ step: CodeStep) -> SampleAction {
    var action = SampleAction(probability: UInt16(truncatingIfNeeded: step.argument))
    action.direction = UInt8(truncatingIfNeeded: step.argument >> 16)
    action.collectorSetID = UInt32(truncatingIfNeeded: step[1])
    action.observationDomainID = UInt32(truncatingIfNeeded: step[1] >> 32)
    action.observationPointID = UInt32(truncatingIfNeeded: step[2])
    if step.argument & 1 << 24 != 0 { action.samplingPort = PortNumber(UInt32(truncatingIfNeeded: step[2] >> 32)) }
    return action
  }

  private static func learnAction(_ step: CodeStep) -> LearnAction {
    var action = LearnAction(table: UInt8(truncatingIfNeeded: step.argument))
    action.priority = UInt16(truncatingIfNeeded: step[1])
    action.idleTimeoutSeconds = UInt16(truncatingIfNeeded: step[1] >> 16)
    action.hardTimeoutSeconds = UInt16(truncatingIfNeeded: step[1] >> 32)
    action.finIdleTimeoutSeconds = UInt16(truncatingIfNeeded: step[1] >> 48)
    action.finHardTimeoutSeconds = UInt16(truncatingIfNeeded: step[2])
    action.flags = LearnAction.Flags(rawValue: UInt16(truncatingIfNeeded: step[2] >> 16))
    action.limit = UInt32(truncatingIfNeeded: step[2] >> 32)
    action.cookie = step[3]
    action.result = PackedSubfield(bits: UInt32(truncatingIfNeeded: step[4])).subfield
    action.specifications = (0..<Int(step[5])).map { index in
      let head = step[6 + 3 * index]
      let source = PackedSubfield(bits: UInt32(truncatingIfNeeded: step[8 + 3 * index])).subfield
      let destination = PackedSubfield(bits: UInt32(truncatingIfNeeded: head >> 32)).subfield ?? Subfield(.reg0)
      let value: LearnAction.Source =
        head & 1 << 8 != 0
        ? .immediate(step.wide(7 + 3 * index), bitCount: Int(head >> 16 & 0xff)) : .field(source ?? Subfield(.reg0))
      return switch LearnSpecificationKind(rawValue: UInt8(truncatingIfNeeded: head)) {
      case .match, nil: .match(value, to: destination)
      case .load: .load(value, to: destination)
      case .output: .output(source ?? Subfield(.reg0))
      }
    }
    return action
  }

  private static func multipathAction(_ step: CodeStep) -> MultipathAction {
    MultipathAction(
      fields: HashFields(rawValue: UInt16(truncatingIfNeeded: step[1])) ?? .ethernetSource,
      basis: UInt16(truncatingIfNeeded: step[1] >> 16),
      algorithm: MultipathAction.Algorithm(rawValue: UInt16(truncatingIfNeeded: step[1] >> 32)) ?? .moduloN,
      maxLink: UInt16(truncatingIfNeeded: step[1] >> 48), argument: UInt32(truncatingIfNeeded: step[2]),
      destination: PackedSubfield(bits: step.argument).subfield ?? Subfield(.reg0))
  }

  private static func conntrackAction(_ step: CodeStep) -> ConntrackAction {
    var action = ConntrackAction()
    let argument = step.argument
    if argument & 1 << 8 != 0 { action.recirculationTable = UInt8(truncatingIfNeeded: argument) }
    action.commits = argument & 1 << 9 != 0
    action.forces = argument & 1 << 10 != 0
    if argument & 1 << 11 != 0, let zone = PackedSubfield(bits: UInt32(truncatingIfNeeded: step[1])).subfield {
      action.zone = .field(zone)
    } else {
      action.zone = .immediate(UInt16(truncatingIfNeeded: step[1]))
    }
    action.helperPort = UInt16(truncatingIfNeeded: step[1] >> 32)
    if argument & 1 << 12 != 0 { action.translation = translation(step) }
    action.actions = actions(step.nested(from: 7))
    return action
  }

  private static func translation(_ step: CodeStep) -> NetworkTranslation {
    var translation = NetworkTranslation()
    let flags = step[2]
    translation.kind =
      switch flags & 3 {
      case 1: .source
      case 2: .destination
      default: nil
      }
    translation.persistent = flags & 1 << 2 != 0
    translation.hashes = flags & 1 << 3 != 0
    translation.randomizes = flags & 1 << 4 != 0
    translation.isIPv6 = flags & 1 << 6 != 0
    let (first, last) = (step.wide(3), step.wide(5))
    if flags & 1 << 5 != 0, first <= last { translation.addresses = first...last }
    let (firstPort, lastPort) = (UInt16(truncatingIfNeeded: flags >> 32), UInt16(truncatingIfNeeded: flags >> 48))
    if flags & 1 << 7 != 0, firstPort <= lastPort { translation.ports = firstPort...lastPort }
    return translation
  }
}
