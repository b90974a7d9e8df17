// Whether a list of actions makes sense for the packets of a match, one action after the other: what an action changes
// about a packet is known to those behind it. Thread: control; values.

struct ActionValidator {
  /// What is known of packets before the next action; nil: nothing is asked of them (buckets, packet-outs).
  private var match: Match?
  /// OpenFlow 1.0's own actions need nothing: `FlowMod.allowsInconsistentActions`.
  private let isLenient: Bool

  init(match: Match? = nil, isLenient: Bool = false) {
    self.match = match
    self.isLenient = isLenient
  }

  mutating func check(_ actions: [Action]) throws(TableError) {
    if actions.contains(where: { if case .conjunction = $0 { true } else { false } }) {
      try ActionValidator.checkConjunctions(actions)
      return
    }
    for action in actions { try check(action) }
  }

  private mutating func check(_ action: Action) throws(TableError) {
    switch action {
    case .output(let port, _): try ActionValidator.check(port)
    case .outputTruncated(let port, let byteCount):
      try ActionValidator.check(port)
      if byteCount < 14 {
        throw .badArgument("A packet can't be cut to less than its Ethernet header: 14 bytes or more.")
      }
    case .enqueue(let port, _):
      guard port.isPhysical || port == .inPort else { throw .badOutPort(port) }
    case .setField, .move, .stackPush, .stackPop, .checkPacketLarger, .multipath, .bundle: try checkFields(action)
    case .pushVLAN, .popVLAN, .setVLANID, .setVLANPriority: try checkTag(action)
    case .pushMPLS, .popMPLS, .setMPLSTTL, .decrementMPLSTTL: try checkLabel(action)
    case .setTTL, .decrementTTL: try need(.ip, "Changing the TTL")
    case .resubmit(_, let table, _):
      if let table, Int(table) >= FlowTables.tableCount { throw .badTable(table) }
    case .learn(let learn): try check(learn)
    case .conntrack(let conntrack):
      try need(.ip, "Connection tracking")
      if let table = conntrack.recirculationTable, Int(table) >= FlowTables.tableCount { throw .badTable(table) }
    case .clone(let nested):
      var copy = self
      try copy.check(nested)
    default: break
    }
  }

  /// Whether packets can be sent to a port number, be there such a port or not.
  static func check(_ port: PortNumber) throws(TableError) {
    guard port.rawValue <= PortNumber.maximum || (port.rawValue > PortNumber.unset.rawValue && port != .any) else {
      throw .badOutPort(port)
    }
  }

  private func need(_ prerequisite: Prerequisite, _ what: String) throws(TableError) {
    guard let match else { return }
    if !match.satisfies(prerequisite) { throw .inconsistentMatch(what) }
  }

  // MARK: fields

  private mutating func checkFields(_ action: Action) throws(TableError) {
    switch action {
    case .setField(let field, let value, let mask):
      guard field.isWritable else { throw .badSetField(field) }
      guard value & ~field.fullMask == 0, mask & ~field.fullMask == 0 else { throw .badSetValue(field) }
      if !isLenient || mask != field.fullMask || !ActionValidator.isOfOpenFlow10(field) {
        try checkWrite(Subfield(field))
      }
      if field == .vlanTCI { match?.set(.vlanTCI, value & 0x1000, mask: mask & 0x1000) }
    case .move(let source, let destination):
      guard source.bitCount == destination.bitCount else {
        throw .badArgument("move needs as many bits on both sides.")
      }
      try need(source.field.prerequisite, source.field.name)
      try checkWrite(destination)
    case .stackPush(let source): try need(source.field.prerequisite, source.field.name)
    case .stackPop(let destination), .checkPacketLarger(_, let destination): try checkWrite(destination)
    case .multipath(let multipath): try checkWrite(multipath.destination)
    case .bundle(let bundle):
      for member in bundle.members where member.rawValue > PortNumber.maximum && member != .local && member != .any {
        throw .badOutPort(member)
      }
      if let destination = bundle.destination { try checkWrite(destination) }
    default: break
    }
  }

  private static func isOfOpenFlow10(_ field: Field) -> Bool {
    switch field {
    case .ipv4Source, .ipv4Destination, .ipDSCP, .tcpSource, .tcpDestination, .udpSource, .udpDestination, .sctpSource,
      .sctpDestination:
      true
    default: false
    }
  }

  private func checkWrite(_ destination: Subfield) throws(TableError) {
    let field = destination.field
    guard field.isWritable else { throw .badSetField(field) }
    // A tag has to be there before its VID can be set (OpenFlow 1.2 and later).
    try need(field == .vlanID ? .vlan : field.prerequisite, "Setting \(field.name)")
  }

  private func check(_ learn: LearnAction) throws(TableError) {
    if Int(learn.table) >= FlowTables.tableCount { throw .badTable(learn.table) }
    for specification in learn.specifications {
      switch specification {
      case .match(let source, let destination), .load(let source, let destination):
        switch source {
        case .field(let subfield):
          guard subfield.bitCount == destination.bitCount else {
            throw .badArgument("learn needs as many bits on both sides of \(destination.field.name).")
          }
          try need(subfield.field.prerequisite, subfield.field.name)
        case .immediate(_, let bitCount):
          guard bitCount == destination.bitCount else {
            throw .badArgument("learn needs a value with the bits of \(destination.field.name).")
          }
        }
        if case .load = specification, !destination.field.isWritable { throw .badSetField(destination.field) }
      case .output(let subfield): try need(subfield.field.prerequisite, subfield.field.name)
      }
    }
    if let result = learn.result, !result.field.isWritable { throw .badSetField(result.field) }
  }

  private static func checkConjunctions(_ actions: [Action]) throws(TableError) {
    for action in actions {
      switch action {
      case .conjunction(_, let clause, let clauseCount):
        guard (2...64).contains(clauseCount), clause < clauseCount else { throw .badConjunction }
      case .note: break
      default: throw .badConjunction
      }
    }
  }

  // MARK: tags and labels

  private mutating func checkTag(_ action: Action) throws(TableError) {
    switch action {
    case .pushVLAN(let etherType):
      guard etherType == 0x8100 || etherType == 0x88a8 else {
        throw .badArgument("A VLAN tag has the EtherType 0x8100 or 0x88a8.")
      }
      match?.set(.vlanTCI, 0x1000, mask: 0x1000)
    case .popVLAN:
      try need(.vlan, "pop_vlan")
      // Whether there is a tag below is not known; nothing is asked of what is not there.
      match?.set(.vlanTCI, 0, mask: 0x1000)
    default: match?.set(.vlanTCI, 0x1000, mask: 0x1000)  // adds a tag if there is none
    }
  }

  private mutating func checkLabel(_ action: Action) throws(TableError) {
    switch action {
    case .pushMPLS(let etherType):
      guard etherType == 0x8847 || etherType == 0x8848 else {
        throw .badArgument("An MPLS label has the EtherType 0x8847 or 0x8848.")
      }
      setEtherType(etherType)
    case .popMPLS(let etherType):
      try need(.mpls, "pop_mpls")
      setEtherType(etherType)
    default: try need(.mpls, "Changing the TTL of an MPLS label")
    }
  }

  /// The packet has another protocol now, of which nothing is known.
  private mutating func setEtherType(_ etherType: UInt16) {
    match?.set(.etherType, UInt128(etherType))
    match?.set(.ipProtocol, 0, mask: 0)
    match?.set(.ipFragment, 0, mask: 0)
  }
}
