// Packets that come back: from connection tracking, from a controller that the pipeline waited for, or to be parsed again
// when headers below a label are needed. Thread and memory: as `Translation`; how it is done: there.

extension Translation {
  /// Passes a point where packets come back.
  /// - Returns: whether this is the one where this packet does; then it is the packet as it is now that goes on.
  mutating func comesBack() -> Bool {
    let point = nextPoint
    nextPoint &+= 1
    guard isReplaying, unsafe resumptions[resumptionIndex].point == point else { return false }
    resume()
    return true
  }

  private mutating func resume() {
    resumptionIndex &+= 1
    isReplaying = unsafe resumptionIndex < resumptions.count
    let key = isReplaying ? unsafe resumptions[resumptionIndex].key : packetKey
    let setsPipeline = isReplaying ? unsafe resumptions[resumptionIndex].setsPipeline : setsPipeline
    // The entry port is the pipeline's.
    state.key.recirculationID = key.recirculationID
    var own = unsafe memory.packetBits.pointee
    own.words[0] = state.own.words[0]
    // What actions have set that is in no byte of the packet does not come back with it; a controller has been told, and says.
    if !setsPipeline {
      for index in 16...17 { own.words[index] &= state.own.words[index] }
      own[.packetMark] &= state.own[.packetMark]
    }
    for index in 1..<FlowKey.wordCount where PipelineState.isPacketWord(index) {
      state.key.words[index] = state.key.words[index] & ~own.words[index] | key.words[index] & own.words[index]
    }
    if setsPipeline {
      for index in 1..<FlowKey.wordCount where Resumption.isSetByControllers(index) {
        state.key.words[index] = key.words[index]
      }
    }
    state.own = own
    state.needsParse = false
    state.hiddenTagCount = 0
    state.isTTLDerived = false
    state.isMPLSTTLDerived = false
    nextPoint = 0
    conditionalDepth = 0
    floor = frameCount &- 1
    while floor > 0, unsafe !memory.frames[floor].isBoundary { floor &-= 1 }
    reason = .ruleDrops
    result.mask = FlowMask()
    maskWhatAlwaysCounts()
  }

  // MARK: Connection tracking

  mutating func conntrack(_ code: CodeStep) {
    let argument = code.argument
    let hasTable = argument & 1 << 8 != 0
    let zone =
      argument & 1 << 11 != 0
      ? UInt16(truncatingIfNeeded: read(PackedSubfield(bits: UInt32(truncatingIfNeeded: code[1]))))
      : UInt16(truncatingIfNeeded: code[1])
    let index = program.count
    var flags = ActionStep.ConntrackFlags()
    if argument & 1 << 9 != 0 { flags.insert(.commits) }
    if argument & 1 << 10 != 0 { flags.insert(.forces) }
    if argument & 1 << 12 != 0 { flags.insert(.translates) }
    if hasTable { flags.insert(.recirculates) }
    var step = ActionStep(.conntrack, number: UInt32(zone), half: flags.rawValue)
    step.low = code[1] >> 32 & 0xffff
    append(step)
    if flags.contains(.translates) {
      var translation = ActionStep(.conntrackTranslation)
      translation.low = code[2]
      translation.high = code[3]
      translation.maskHigh = code[4]
      append(translation)
      var last = ActionStep(.data)
      last.high = code[5]
      last.low = code[6]
      append(last)
    }
    var range = code.nested(from: 7)
    while let nested = range.next() { setConnection(nested) }
    if !isReplaying { program.closeBlock(at: index) }
    guard hasTable else { return }
    let table = UInt8(truncatingIfNeeded: argument)
    if comesBack() {
      var root = TranslationFrame(.root, range: memory.noActions)
      inherit(&root)
      push(root)
      floor = frameCount &- 1
      lookup(table: table, inPort: state.key.inPort, isResubmit: false, withTuple: false, isFirst: true)
    } else {
      if !isReplaying { program.setHigh(UInt64(nextPoint &- 1), at: index) }
      leave(at: nextPoint &- 1, .continuesAfterConntrack(table: table))
    }
  }

  /// Actions inside of ct: they change what is kept of the connection, and not this packet's fields.
  private mutating func setConnection(_ code: CodeStep) {
    let argument = UInt8(truncatingIfNeeded: code.argument)
    switch code.operation {
    case .setField, .setWideField:
      guard let field = Field(rawValue: argument) else { return }
      let isWide = code.operation == .setWideField
      append(
        ActionStep(
          .conntrackSet, field: field, value: isWide ? code.wide(1) : UInt128(code[1]),
          mask: isWide ? code.wide(3) : UInt128(code[2])))
    case .move:
      let destination = PackedSubfield(bits: UInt32(truncatingIfNeeded: code[1]))
      let value = read(PackedSubfield(bits: code.argument)) &<< UInt128(destination.firstBit)
      append(
        ActionStep(
          .conntrackSet, field: destination.field, value: value & destination.mask, mask: destination.mask))
    default: break
    }
  }

  mutating func clearConntrack() {
    append(ActionStep(.conntrackClear))
    for index in 27..<36 {
      let bits: UInt64 = index == 31 ? 0xffff_ffff_0000_0000 : .max
      state.key.words[index] &= ~bits
      state.own.words[index] &= ~bits
    }
    state.key.words[26] &= 0xffff_ffff_0000_0000
    state.own.words[26] &= ~0xffff_ffff
  }

  mutating func debugRecirculate() {
    guard !comesBack() else { return }
    append(ActionStep(.recirculate, number: nextPoint &- 1))
    leave(at: nextPoint &- 1, .continuesAfterParsing)
    suspend()
  }

  // MARK: The connection's original tuple, for resubmit(,,ct)

  /// Exchanges addresses, ports and protocol with those of the connection's first packet.
  /// - Returns: false if the packet has none.
  mutating func swapTuple(_ key: inout FlowKey) -> Bool {
    guard state.isIP, read(.ctProtocol) != 0 else { return false }
    Self.swapTuple(&key.words)
    return true
  }

  /// The bits that a lookup read of an exchanged key, as bits of the key.
  static func swapTuple(_ words: inout InlineArray<38, UInt64>) {
    let network = words[4]
    words[4] = words[30]
    words[30] = network
    for i in 0..<4 {
      let word = words[7 + i]
      words[7 + i] = words[32 + i]
      words[32 + i] = word
    }
    let number = words[5] &>> 24 & 0xff
    words[5] = words[5] & ~0xff00_0000 | (words[29] &>> 8 & 0xff) &<< 24
    words[29] = words[29] & ~0xff00 | number &<< 8
    let ports = words[6] & 0xffff_ffff_0000_0000
    words[6] = words[6] & 0xffff_ffff | words[31] & 0xffff_ffff_0000_0000
    words[31] = words[31] & 0xffff_ffff | ports
  }

  // MARK: Headers that have not been parsed

  /// Whether an action needs headers below a label or tag that was taken off.
  func reads(headersIn step: CodeStep) -> Bool {
    switch step.operation {
    case .output, .outputTruncated, .enqueue, .controller, .group, .setQueue, .popQueue, .meter, .meterInstruction,
      .sample, .note, .exit, .clone, .conjunction, .conntrackClear, .clearActions, .writeActions, .writeMetadata,
      .debugRecirculate:
      step.operation == .output && step.argument == PortNumber.table.rawValue
    case .setField, .setWideField, .deleteField: isHeader(UInt8(truncatingIfNeeded: step.argument))
    case .outputField, .stackPush, .stackPop, .checkPacketLarger: isHeader(UInt8(truncatingIfNeeded: step.argument))
    case .move:
      isHeader(UInt8(truncatingIfNeeded: step.argument)) || isHeader(UInt8(truncatingIfNeeded: step[1]))
    default: true
    }
  }

  /// Whether a field may be below what was taken off.
  private func isHeader(_ number: UInt8) -> Bool {
    guard let field = Field(rawValue: number) else { return false }
    return (3..<15).contains(field.layout.wordIndex) || field == .etherType || field.prerequisite != .none
      || field == .vlanTCI
  }
}
