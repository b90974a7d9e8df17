// Whether a rule's instructions fit its match: a field is set only where its prerequisite holds, a tag is taken off only
// where there is one (OpenFlow 1.3 §7.2.5: OFPBAC_MATCH_INCONSISTENT). 1.0 has no such rule, and Open vSwitch holds its own
// extensions to it in every version; so is it here.

import VSwitchCore

enum InstructionCheck {
  /// Checks what a change would put into a table.
  static func check(_ mod: FlowMod, _ version: OpenFlowVersion) throws(ErrorCode) {
    if let target = mod.instructions.gotoTable, mod.table != FlowMod.allTables, target <= mod.table {
      throw .badInstructionBadTableID
    }
    var state = ActionState(match: mod.match, isStrict: version > .v10)
    try state.check(mod.instructions.apply)
    try state.check(mod.instructions.write)
    let all = mod.instructions.apply + mod.instructions.write
    let conjunctions = all.count { if case .conjunction = $0 { true } else { false } }
    let others = all.count {
      switch $0 {
      case .conjunction, .note: false
      default: true
      }
    }
    if conjunctions > 0, others > 0 { throw .niciraActionBadConjunction }
  }
}

/// What is known of a packet between two actions.
struct ActionState {
  private var match: Match
  /// Hold the standard's actions to the match, too.
  private let isStrict: Bool

  init(match: Match, isStrict: Bool) {
    self.match = match
    self.isStrict = isStrict
  }

  mutating func check(_ actions: [Action]) throws(ErrorCode) {
    for action in actions { try check(action) }
  }

  private mutating func check(_ action: Action) throws(ErrorCode) {
    switch action {
    case .setField(let field, let value, let mask):
      let needsTag = field == .vlanID && !match.satisfies(.vlan)
      if isStrict, needsTag || !match.satisfies(field.prerequisite) { throw .badActionMatchInconsistent }
      // What is set is known from here on, where it decides what can be set next.
      if field == .icmpv6Type || field == .icmpv6Code { match.set(field, value, mask: mask) }
    case .move(let from, let to):
      try read(from)
      try write(to)
    case .stackPush(let bits), .outputField(let bits, _): try read(bits)
    case .stackPop(let bits), .checkPacketLarger(_, let bits): try write(bits)
    case .multipath(let multipath): try write(multipath.destination)
    case .bundle(let bundle): if let destination = bundle.destination { try write(destination) }
    case .pushVLAN: match.set(.vlanTCI, 0x1000, mask: 0x1000)
    case .setVLANID, .setVLANPriority: match.set(.vlanTCI, 0x1000, mask: 0x1000)
    case .popVLAN:
      try require(.vlan)
      match.set(.vlanTCI, 0, mask: 0)
    case .pushMPLS(let etherType): change(etherType)
    case .popMPLS(let etherType):
      try require(.mpls)
      change(etherType)
    case .setMPLSTTL, .decrementMPLSTTL: try require(.mpls)
    case .setTTL, .decrementTTL: try require(.ip)
    case .conntrack(let conntrack):
      try require(.ip)
      if case .field(let bits) = conntrack.zone { try read(bits) }
      for action in conntrack.actions { try check(action) }
    case .clone(let actions):
      var inner = self
      try inner.check(actions)
    case .learn(let learn): try check(learn)
    default: break
    }
  }

  private func require(_ prerequisite: Prerequisite) throws(ErrorCode) {
    if isStrict, !match.satisfies(prerequisite) { throw .badActionMatchInconsistent }
  }

  private func read(_ bits: Subfield) throws(ErrorCode) {
    if !match.satisfies(bits.field.prerequisite) { throw .badActionMatchInconsistent }
  }

  private func write(_ bits: Subfield) throws(ErrorCode) { try read(bits) }

  /// Another EtherType: nothing is known of what is behind it.
  private mutating func change(_ etherType: UInt16) {
    var next = Match()
    for field in [Field.inPort, .vlanTCI] {
      if let (value, mask) = match.value(field) { next.set(field, value, mask: mask) }
    }
    next.set(.etherType, UInt128(etherType))
    match = next
  }

  /// The rule to be learned needs its prerequisites in its own match, in order.
  private func check(_ learn: LearnAction) throws(ErrorCode) {
    var learned = Match()
    for specification in learn.specifications {
      switch specification {
      case .match(let source, let to):
        if case .field(let bits) = source { try read(bits) }
        guard learned.satisfies(to.field.prerequisite) else { throw .badActionMatchInconsistent }
        if case .immediate(let value, _) = source, to.isWhole {
          learned.set(to.field, value)
        } else if case .field(let bits) = source, bits.field == to.field, to.isWhole, match.isExact(to.field) {
          learned.set(to.field, match.key[to.field])
        }
      case .load(let source, let to):
        if case .field(let bits) = source { try read(bits) }
        guard learned.satisfies(to.field.prerequisite) else { throw .badActionMatchInconsistent }
      case .output(let bits): try read(bits)
      }
    }
  }
}
