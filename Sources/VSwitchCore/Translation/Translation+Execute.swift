// One action or instruction: what each operation is passed on to. Thread and memory: as `Translation`.

extension Translation {
  mutating func execute(_ step: CodeStep) {
    let argument = step.argument
    switch step.operation {
    case .meterInstruction, .meter: append(ActionStep(.meter, number: argument))
    case .clearActions:
      state.setStart = state.setEnd
      setActionSetOutput(.unset)
    case .writeActions: writeActions(step)
    case .writeMetadata: state.write(.metadata, UInt128(step[1]), mask: UInt128(step[2]))
    case .gotoTable: gotoTable(UInt8(truncatingIfNeeded: argument))
    case .output: output(to: PortNumber(argument), cut: 0)
    case .outputField:
      let number = read(PackedSubfield(bits: argument))
      guard number <= UInt128(UInt32.max) else { return }
      output(to: PortNumber(UInt32(truncatingIfNeeded: number)), cut: 0)
    case .outputTruncated: output(to: PortNumber(argument), cut: step[1])
    case .controller: controller(step)
    case .enqueue: enqueue(PortNumber(argument), queue: UInt32(truncatingIfNeeded: step[1]))
    case .group: group(argument)
    case .bundle: bundle(step)
    case .setField: setField(step, value: UInt128(step[1]), mask: UInt128(step[2]))
    case .setWideField: setField(step, value: step.wide(1), mask: step.wide(3))
    case .move:
      move(from: PackedSubfield(bits: argument), to: PackedSubfield(bits: UInt32(truncatingIfNeeded: step[1])))
    case .stackPush: pushStack(PackedSubfield(bits: argument))
    case .stackPop: popStack(PackedSubfield(bits: argument))
    case .pushVLAN: pushVLAN(etherType: UInt16(truncatingIfNeeded: argument))
    case .popVLAN: popVLAN()
    case .setVLANID: setOrPushTag(UInt16(truncatingIfNeeded: argument) & 0xfff, mask: 0xfff)
    case .setVLANPriority: setOrPushTag((UInt16(truncatingIfNeeded: argument) & 7) << 13, mask: 0xe000)
    case .pushMPLS: pushMPLS(etherType: UInt16(truncatingIfNeeded: argument))
    case .popMPLS: popMPLS(etherType: UInt16(truncatingIfNeeded: argument))
    case .setMPLSTTL: set(.mplsTTL, UInt128(argument & 0xff), mask: 0xff)
    case .decrementMPLSTTL: decrementMPLSTTL()
    case .copyTTLOutwards: copyTTL(.copyTTLOutwards)
    case .copyTTLInwards: copyTTL(.copyTTLInwards)
    case .setTTL: set(.ipTTL, UInt128(argument & 0xff), mask: 0xff)
    case .decrementTTL: decrementTTL(step)
    case .deleteField:
      if let field = Field(rawValue: UInt8(truncatingIfNeeded: argument)) { set(field, 0, mask: field.fullMask) }
    case .checkPacketLarger: checkLength(step)
    case .setQueue:
      state.queue = argument
      append(ActionStep(.setQueue, number: argument))
    case .popQueue:
      state.queue = nil
      append(ActionStep(.popQueue))
    case .sample: sample(step)
    case .resubmit: resubmit(step)
    case .learn: learn(step)
    case .multipath: multipath(step)
    case .conntrack: conntrack(step)
    case .conntrackClear: clearConntrack()
    case .clone: beginCopy(.clone, range: step.nested(from: 1))
    case .exit: exit()
    case .finTimeout: finTimeout(argument)
    case .debugRecirculate: debugRecirculate()
    case .conjunction, .note: break
    }
  }

  // MARK: Tables

  private mutating func gotoTable(_ table: UInt8) {
    lookup(table: table, inPort: state.key.inPort, isResubmit: false, withTuple: false)
  }

  private mutating func resubmit(_ step: CodeStep) {
    let argument = step.argument
    let current = unsafe top.pointee.table
    let table = argument & 1 << 8 != 0 ? UInt8(truncatingIfNeeded: argument) : current
    var inPort = state.key.inPort
    if argument & 1 << 9 != 0, step[1] != UInt64(PortNumber.inPort.rawValue) {
      inPort = UInt32(truncatingIfNeeded: step[1])
    }
    lookup(table: table, inPort: inPort, isResubmit: true, withTuple: argument & 1 << 10 != 0)
  }

  /// Looks up a table and runs what the rule says.
  /// - Parameters:
  ///   - inPort: what the rule sees as the entry port.
  ///   - isResubmit: nothing happens if there is no rule, the caller's actions go on.
  ///   - isFirst: a table that comes after no other: it does not count for the depth.
  mutating func lookup(table: UInt8, inPort: UInt32, isResubmit: Bool, withTuple: Bool, isFirst: Bool = false) {
    let oldTable = unsafe top.pointee.table
    let deepens = table <= oldTable && !isFirst
    var table = table
    resubmitCount &+= 1
    guard resubmitCount <= memory.resubmitLimit else {
      fault = .tooManyResubmits
      return
    }
    // Most lookups are for the packet as it is; only for others is a copy made of its fields.
    let asItIs =
      inPort == state.key.inPort && !withTuple && !(state.isIP && state.key.ipFragment != 0)
      && !state.isTTLDerived && !state.isMPLSTTLDerived
    while true {
      result.dependencies.add(table: table)
      let rule: PipelineRule?
      if asItIs {
        rule = lookup(table: table)
      } else {
        guard let found = lookupOther(table: table, inPort: inPort, withTuple: withTuple) else {
          record(.remark(.notTracked))
          return
        }
        rule = found
      }
      record(.lookup(table: table, rule: rule))
      if let rule {
        run(rule, deepens: deepens)
        return
      }
      hit(ActionStep(.countRule, slot: UInt32(table)), slot: UInt32(table))
      guard !isResubmit, reader.missBehaviour(table: table) == .nextTable, table < 253 else { break }
      table &+= 1
    }
    if !isResubmit { miss(table) }
  }

  /// Looks up a packet as it is.
  @inline(__always)
  private mutating func lookup(table: UInt8) -> PipelineRule? {
    let reader = reader
    let version = version
    // By pointers: key and masks would be copied.
    return unsafe withUnsafePointer(to: &state.key) { key in
      unsafe withUnsafePointer(to: &state.own) { own in
        unsafe withUnsafeMutablePointer(to: &result.mask) { mask in
          unsafe reader.rule(table: table, key: key, version: version, mask: mask, counting: own)
        }
      }
    }
  }

  /// Looks up a packet whose fields are not those that the table is to see, or are not its own.
  /// - Returns: nil if it has no connection whose tuple could be shown.
  @inline(never)
  private mutating func lookupOther(table: UInt8, inPort: UInt32, withTuple: Bool) -> PipelineRule?? {
    guard let key = keyForLookup(inPort: inPort, withTuple: withTuple) else { return nil }
    var bits = FlowMask()
    let rule = reader.rule(table: table, key: key, version: version, mask: &bits)
    if withTuple { Self.swapTuple(&bits.words) }
    read(bits)
    return .some(rule)
  }

  /// The packet's fields as a lookup is to see them; nil if it has no connection whose tuple could be shown.
  private mutating func keyForLookup(inPort: UInt32, withTuple: Bool) -> FlowKey? {
    var key = state.key
    key.inPort = inPort
    if withTuple, !swapTuple(&key) { return nil }
    if state.isIP, key.ipFragment != 0, reader.fragmentHandling == .normal {
      key.transportSource = 0
      key.transportDestination = 0
    }
    return key
  }

  private mutating func run(_ rule: PipelineRule, deepens: Bool) {
    hit(ActionStep(.countRule, slot: rule.slot), slot: rule.slot)
    reason = .ruleDrops
    push(rule, deepens: deepens)
  }

  /// No rule: the packet ends (OpenFlow 1.5 §5.4), and with it its action set, or goes to the controller.
  private mutating func miss(_ table: UInt8) {
    let port = PortNumber(state.key.inPort)
    if reader.missBehaviour(table: table) == .drop {
      reason = .tableMiss
    } else if reader.port(port).contains(.noPacketIn) {
      result.dependencies.usesPorts = true
      record(.remark(.portSendsNoPacketIn(port.rawValue)))
      reason = .tableMiss
    } else {
      result.dependencies.usesPorts = true
      controller(
        reason: .noMatch, id: 0, table: table, cookie: .max, meter: nil, userData: nil)
    }
    if state.setEnd > state.setStart {
      record(.remark(.missDropsActionSet))
      state.setStart = state.setEnd
      setActionSetOutput(.unset)
    }
  }

  // MARK: The data stack

  private mutating func pushStack(_ source: PackedSubfield) {
    guard stackEnd < TranslationMemory.stackLimit else {
      fault = .stackTooDeep
      return
    }
    let value = read(source)
    unsafe (memory.stack + stackEnd).initialize(
      to: TranslationMemory.StackEntry(value: value, below: state.stackTop))
    state.stackTop = stackEnd
    stackEnd &+= 1
  }

  private mutating func popStack(_ destination: PackedSubfield) {
    guard state.stackTop >= 0 else {
      record(.remark(.stackIsEmpty))
      return
    }
    let entry = unsafe memory.stack[state.stackTop]
    state.stackTop = entry.below
    set(destination, entry.value)
  }

  // MARK: Smaller ones

  private mutating func sample(_ code: CodeStep) {
    var step = ActionStep(.sample, number: UInt32(truncatingIfNeeded: code[1]))
    step.half = UInt16(truncatingIfNeeded: code.argument)
    step.field = UInt8(truncatingIfNeeded: code.argument >> 16)
    step.low = (code[1] >> 32) << 32 | code[2] & 0xffff_ffff
    step.high = code.argument & 1 << 24 != 0 ? code[2] >> 32 : UInt64(PortNumber.any.rawValue)
    append(step)
  }

  private mutating func finTimeout(_ argument: UInt32) {
    guard isProtocol(6), unsafe top.pointee.ruleSlot != .max else { return }
    var step = ActionStep(.finTimeout, number: argument)
    step.low = unsafe UInt64(top.pointee.ruleSlot)
    append(step)
  }
}
