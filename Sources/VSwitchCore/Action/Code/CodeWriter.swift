// Compiles actions and instructions to the words of rule code. Thread: control code's. The layout that is written here is
// read by `CodeStep`'s users: the decoder (`RuleCode+Decoding`) and the translation.

/// Collects words; see `CodeStep` for the form of a step.
struct CodeWriter {
  private(set) var words: [UInt64] = []
  private var depth = 0

  /// Most actions inside actions (clone, ct, write-actions).
  static let depthLimit = 16
  /// Most words: what 24 bits can tell.
  static let wordLimit = 0xff_ffff

  init() {}

  // MARK: Instructions

  mutating func write(_ instructions: Instructions) throws(RuleCode.Fault) {
    if let meter = instructions.meter { step(.meterInstruction, meter) }
    try write(instructions.apply)
    if instructions.clearsActions { step(.clearActions) }
    if !instructions.write.isEmpty { try nest(.writeActions, actions: instructions.write) }
    if let metadata = instructions.metadata { step(.writeMetadata, 0, [metadata.value, metadata.mask]) }
    if let table = instructions.gotoTable { step(.gotoTable, UInt32(table)) }
  }

  mutating func write(_ actions: [Action]) throws(RuleCode.Fault) {
    for action in actions { try write(action) }
    if words.count > Self.wordLimit { throw .tooLong }
  }

  // MARK: Actions

  private mutating func write(_ action: Action) throws(RuleCode.Fault) {
    switch action {
    case .output(let port, let byteCount): step(.output, port.rawValue, [UInt64(byteCount)])
    case .outputField(let source, let byteCount): step(.outputField, packed(source), [UInt64(byteCount)])
    case .outputTruncated(let port, let byteCount): step(.outputTruncated, port.rawValue, [UInt64(byteCount)])
    case .controller(let controller): write(controller)
    case .enqueue(let port, let queue): step(.enqueue, port.rawValue, [UInt64(queue)])
    case .group(let id): step(.group, id)
    case .bundle(let bundle): write(bundle)
    case .setField(let field, let value, let mask): write(field, value, mask)
    case .move(let source, let destination): step(.move, packed(source), [UInt64(packed(destination))])
    case .stackPush(let source): step(.stackPush, packed(source))
    case .stackPop(let destination): step(.stackPop, packed(destination))
    case .pushVLAN(let type): step(.pushVLAN, UInt32(type))
    case .popVLAN: step(.popVLAN)
    case .setVLANID(let id): step(.setVLANID, UInt32(id))
    case .setVLANPriority(let priority): step(.setVLANPriority, UInt32(priority))
    case .pushMPLS(let type): step(.pushMPLS, UInt32(type))
    case .popMPLS(let type): step(.popMPLS, UInt32(type))
    case .setMPLSTTL(let ttl): step(.setMPLSTTL, UInt32(ttl))
    case .decrementMPLSTTL: step(.decrementMPLSTTL)
    case .copyTTLOutwards: step(.copyTTLOutwards)
    case .copyTTLInwards: step(.copyTTLInwards)
    case .setTTL(let ttl): step(.setTTL, UInt32(ttl))
    case .decrementTTL(let controllers): step(.decrementTTL, UInt32(controllers.count), controllers.map(UInt64.init))
    case .deleteField(let field): step(.deleteField, UInt32(field.rawValue))
    case .checkPacketLarger(let byteCount, let destination):
      step(.checkPacketLarger, packed(destination), [UInt64(byteCount)])
    case .setQueue(let queue): step(.setQueue, queue)
    case .popQueue: step(.popQueue)
    case .meter(let id): step(.meter, id)
    case .sample(let sample): write(sample)
    case .resubmit(let port, let table, let withTuple):
      step(
        .resubmit, UInt32(table ?? 0) | bit(8, table != nil) | bit(9, port != nil) | bit(10, withTuple),
        [UInt64(port?.rawValue ?? 0)])
    case .learn(let learn): write(learn)
    case .conjunction(let id, let clause, let clauseCount):
      step(.conjunction, id, [UInt64(clause) | UInt64(clauseCount) << 8])
    case .multipath(let multipath): write(multipath)
    case .conntrack(let conntrack): try write(conntrack)
    case .conntrackClear: step(.conntrackClear)
    case .clone(let actions): try nest(.clone, actions: actions)
    case .exit: step(.exit)
    case .finTimeout(let idle, let hard): step(.finTimeout, UInt32(idle) | UInt32(hard) << 16)
    case .note(let bytes): step(.note, UInt32(truncatingIfNeeded: bytes.count), CodeWriter.words(of: bytes))
    case .debugRecirculate: step(.debugRecirculate)
    }
  }

  /// Argument: controller's id, reason << 16, pauses << 24, has a meter << 25. Words: byte limit | meter << 32; number of
  /// bytes of user data; these.
  private mutating func write(_ action: ControllerAction) {
    step(
      .controller,
      UInt32(action.controllerID) | UInt32(action.reason.rawValue) << 16 | bit(24, action.pauses)
        | bit(25, action.meterID != nil),
      [
        UInt64(action.maximumByteCount) | UInt64(action.meterID ?? 0) << 32, UInt64(action.userData.count),
      ] + CodeWriter.words(of: action.userData))
  }

  /// Argument: destination or 0. Words: fields | basis << 16 | algorithm << 32; number of members; these.
  private mutating func write(_ action: BundleAction) {
    step(
      .bundle, PackedSubfield(action.destination).bits,
      [
        UInt64(action.fields.rawValue) | UInt64(action.basis) << 16 | UInt64(action.algorithm.rawValue) << 32,
        UInt64(action.members.count),
      ] + action.members.map { UInt64($0.rawValue) })
  }

  /// Argument: the field. Words: value and mask, of fields over 64 bits two each.
  private mutating func write(_ field: Field, _ value: UInt128, _ mask: UInt128) {
    let mask = mask & field.fullMask
    let value = value & mask
    if field.bitCount > 64 {
      step(.setWideField, UInt32(field.rawValue), halves(value) + halves(mask))
    } else {
      step(
        .setField, UInt32(field.rawValue), [UInt64(truncatingIfNeeded: value), UInt64(truncatingIfNeeded: mask)])
    }
  }

  /// Argument: probability | direction << 16 | has a port << 24. Words: collector set | domain << 32; point | port << 32.
  private mutating func write(_ action: SampleAction) {
    step(
      .sample, UInt32(action.probability) | UInt32(action.direction) << 16 | bit(24, action.samplingPort != nil),
      [
        UInt64(action.collectorSetID) | UInt64(action.observationDomainID) << 32,
        UInt64(action.observationPointID) | UInt64(action.samplingPort?.rawValue ?? 0) << 32,
      ])
  }

  /// Argument: the table. Words: priority | idle << 16 | hard << 32 | FIN idle << 48; FIN hard | flags << 16 | limit << 32;
  /// cookie; result or 0; number of specifications; three words each: kind | is immediate << 8 | immediate's bits << 16 |
  /// destination << 32, then the source subfield or the immediate value.
  private mutating func write(_ action: LearnAction) {
    var arguments: [UInt64] = [
      UInt64(action.priority) | UInt64(action.idleTimeoutSeconds) << 16 | UInt64(action.hardTimeoutSeconds) << 32
        | UInt64(action.finIdleTimeoutSeconds) << 48,
      UInt64(action.finHardTimeoutSeconds) | UInt64(action.flags.rawValue) << 16 | UInt64(action.limit) << 32,
      action.cookie, UInt64(PackedSubfield(action.result).bits), UInt64(action.specifications.count),
    ]
    for specification in action.specifications {
      switch specification {
      case .match(let source, let destination): arguments += words(.match, source, packed(destination))
      case .load(let source, let destination): arguments += words(.load, source, packed(destination))
      case .output(let source): arguments += words(.output, .field(source), 0)
      }
    }
    step(.learn, UInt32(action.table), arguments)
  }

  private func words(
    _ kind: LearnSpecificationKind, _ source: LearnAction.Source, _ destination: UInt32
  ) -> [UInt64] {
    let head = UInt64(kind.rawValue) | UInt64(destination) << 32
    return switch source {
    case .field(let subfield): [head, 0, UInt64(packed(subfield))]
    case .immediate(let value, let bitCount):
      [head | 1 << 8 | UInt64(UInt8(truncatingIfNeeded: bitCount)) << 16] + halves(value)
    }
  }

  /// Argument: destination. Words: fields | basis << 16 | algorithm << 32 | largest link << 48; the algorithm's argument.
  private mutating func write(_ action: MultipathAction) {
    step(
      .multipath, packed(action.destination),
      [
        UInt64(action.fields.rawValue) | UInt64(action.basis) << 16 | UInt64(action.algorithm.rawValue) << 32
          | UInt64(action.maxLink) << 48, UInt64(action.argument),
      ])
  }

  /// Argument: table | has a table << 8 | commits << 9 | forces << 10 | zone is a field << 11 | translates << 12. Words: zone
  /// or its subfield | helper's port << 32; `ConntrackStep.translationWords` of the translation; nested actions.
  private mutating func write(_ action: ConntrackAction) throws(RuleCode.Fault) {
    var zone = UInt64(0)
    var zoneIsField = false
    switch action.zone {
    case .immediate(let number): zone = UInt64(number)
    case .field(let subfield):
      zone = UInt64(packed(subfield))
      zoneIsField = true
    }
    let argument =
      UInt32(action.recirculationTable ?? 0) | bit(8, action.recirculationTable != nil) | bit(9, action.commits)
      | bit(10, action.forces) | bit(11, zoneIsField) | bit(12, action.translation != nil)
    try nest(
      .conntrack, argument, [zone | UInt64(action.helperPort) << 32] + words(of: action.translation),
      actions: action.actions)
  }

  /// Kind (0 none, 1 source, 2 destination) | persistent << 2 | hashes << 3 | randomizes << 4 | has addresses << 5 | IPv6 <<
  /// 6 | has ports << 7 | first port << 32 | last port << 48; first and last address.
  private func words(of translation: NetworkTranslation?) -> [UInt64] {
    guard let translation else { return [0, 0, 0, 0, 0] }
    let kind: UInt32 =
      switch translation.kind {
      case nil: 0
      case .source: 1
      case .destination: 2
      }
    let flags =
      kind | bit(2, translation.persistent) | bit(3, translation.hashes) | bit(4, translation.randomizes)
      | bit(5, translation.addresses != nil) | bit(6, translation.isIPv6) | bit(7, translation.ports != nil)
    let ports = UInt64(translation.ports?.lowerBound ?? 0) << 32 | UInt64(translation.ports?.upperBound ?? 0) << 48
    return [UInt64(flags) | ports] + halves(translation.addresses?.lowerBound ?? 0)
      + halves(translation.addresses?.upperBound ?? 0)
  }

  // MARK: Words

  private mutating func step(_ operation: CodeOperation, _ argument: UInt32 = 0, _ arguments: [UInt64] = []) {
    words.append(head(operation, argument, wordCount: arguments.count + 1))
    words += arguments
  }

  private mutating func nest(
    _ operation: CodeOperation, _ argument: UInt32 = 0, _ arguments: [UInt64] = [], actions: [Action]
  ) throws(RuleCode.Fault) {
    guard depth < Self.depthLimit else { throw .tooDeep }
    let position = words.count
    step(operation, argument, arguments)
    depth += 1
    try write(actions)
    depth -= 1
    words[position] = head(operation, argument, wordCount: words.count - position)
  }

  private func head(_ operation: CodeOperation, _ argument: UInt32, wordCount: Int) -> UInt64 {
    // A longer one is refused when the actions are written.
    UInt64(operation.rawValue) | UInt64(min(wordCount, Self.wordLimit)) << 8 | UInt64(argument) << 32
  }

  private func packed(_ subfield: Subfield) -> UInt32 { PackedSubfield(subfield).bits }
  private func bit(_ position: UInt32, _ isSet: Bool) -> UInt32 { isSet ? 1 << position : 0 }
  private func halves(_ value: UInt128) -> [UInt64] {
    [UInt64(truncatingIfNeeded: value >> 64), UInt64(truncatingIfNeeded: value)]
  }

  /// Bytes in words, the first in the lowest 8 bits.
  private static func words(of bytes: [UInt8]) -> [UInt64] {
    stride(from: 0, to: bytes.count, by: 8).map { start in
      bytes[start..<min(start + 8, bytes.count)].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
  }
}

/// What a part of a learn action makes.
enum LearnSpecificationKind: UInt8 {
  case match, load, output
}
