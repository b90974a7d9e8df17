// Writing lists of actions in a version: by the standard's action where it has one, else by Open vSwitch's extension, else
// it is refused. What is written decodes to the same actions, but for those named in Docs/openflow.md.

import VSwitchCore

struct ActionEncoder {
  let version: OpenFlowVersion
  /// Whether packets are known to have a VLAN tag here: before that, setting a VID the way of 1.0 pushes one.
  var hasVLAN = false
  var writer: WireWriter

  /// Writes actions behind what the writer has.
  /// - Parameter match: what the actions are for; nil: unknown.
  static func write(
    _ actions: [Action], _ version: OpenFlowVersion, match: Match? = nil, to writer: inout WireWriter
  ) throws(EncodeError) {
    var encoder = ActionEncoder(
      version: version, hasVLAN: match?.satisfies(.vlan) ?? false, writer: writer)
    writer = WireWriter()
    defer { writer = encoder.writer }
    for action in actions { try encoder.action(action) }
  }

  mutating func action(_ action: Action) throws(EncodeError) {
    switch action {
    case .output(let port, let maximum): output(port, maximum)
    case .setField(let field, let value, let mask): try setField(field, value, mask)
    case .setVLANID(let vid): try setVLAN(.vlanID, 0x1000 | UInt128(vid & 0xfff), legacyType: 1)
    case .setVLANPriority(let priority): try setVLAN(.vlanPriority, UInt128(priority & 7), legacyType: 2)
    case .popVLAN:
      standard(version == .v10 ? 3 : 18)
      hasVLAN = false
    case .pushVLAN(let etherType):
      // In 1.0 setting the VID or priority, which follows, adds the tag where there is none (as Open vSwitch has it).
      if version != .v10 { standard(17, UInt32(etherType) << 16) }
      hasVLAN = true
    case .pushMPLS(let etherType): standardOrNicira(19, NiciraAction.pushMPLS, half: etherType)
    case .popMPLS(let etherType): standardOrNicira(20, NiciraAction.popMPLS, half: etherType)
    case .setMPLSTTL(let ttl): standardOrNicira(15, NiciraAction.setMPLSTTL, half: UInt16(ttl) << 8)
    case .decrementMPLSTTL: standardOrNicira(16, NiciraAction.decrementMPLSTTL, half: 0)
    case .copyTTLOutwards:
      try needs13("copy_ttl_out")
      standard(11)
    case .copyTTLInwards:
      try needs13("copy_ttl_in")
      standard(12)
    case .setTTL(let ttl):
      if version == .v10 { try setField(.ipTTL, UInt128(ttl), 0xff) } else { standard(23, UInt32(ttl) << 24) }
    case .decrementTTL(let controllers): decrementTTL(controllers)
    case .setQueue(let queue):
      if version == .v10 { niciraWord(NiciraAction.setQueue, queue) } else { standard(21, queue) }
    case .group(let group):
      if version == .v10 { niciraWord(NiciraAction.group, group) } else { standard(22, group) }
    case .enqueue(let port, let queue): enqueue(port, queue)
    case .meter(let meter):
      // Before 1.5 it is an instruction; who writes instructions has taken it from here.
      if version == .v15 { standard(29, meter) }
    case .move(let from, let to): try move(from, to)
    default: try niciraAction(action)
    }
  }

  // MARK: frames

  /// An action of 8 bytes with an argument of 32 bits.
  mutating func standard(_ type: UInt16, _ argument: UInt32 = 0) {
    writer.u16(type)
    writer.u16(8)
    writer.u32(argument)
  }

  /// Writes an extension's action with type, length and padding around what `body` writes.
  mutating func nicira(
    _ subtype: UInt16, _ body: (inout WireWriter) throws(EncodeError) -> Void
  ) throws(EncodeError) {
    let start = writer.count
    niciraHeader(subtype)
    try body(&writer)
    finish(start)
  }

  mutating func niciraHeader(_ subtype: UInt16) {
    writer.u16(0xffff)
    writer.u16(0)
    writer.u32(Experimenter.nicira)
    writer.u16(subtype)
  }

  /// Pads the action that began at `start` and writes its length.
  mutating func finish(_ start: Int) {
    writer.pad8(from: start)
    writer.patch16(UInt16(truncatingIfNeeded: writer.count - start), at: start + 2)
  }

  /// An extension's action whose arguments are 6 bytes.
  mutating func niciraShort(_ subtype: UInt16, _ first: UInt16 = 0, _ rest: UInt32 = 0) {
    niciraHeader(subtype)
    writer.u16(first)
    writer.u32(rest)
    writer.patch16(16, at: writer.count - 14)
  }

  mutating func niciraWord(_ subtype: UInt16, _ word: UInt32) { niciraShort(subtype, 0, word) }

  /// A 16-bit argument: in 1.0 only the extension has the action.
  private mutating func standardOrNicira(_ type: UInt16, _ subtype: UInt16, half: UInt16) {
    if version == .v10 { niciraShort(subtype, half) } else { standard(type, UInt32(half) << 16) }
  }

  private func needs13(_ name: String) throws(EncodeError) {
    if version == .v10 { throw EncodeError.version("action \(name)", version, needs: .v13) }
  }

  // MARK: actions

  private mutating func output(_ port: PortNumber, _ maximum: UInt16) {
    if version == .v10 {
      standard(0, UInt32(port.wire10) << 16 | UInt32(maximum))
      return
    }
    writer.u16(0)
    writer.u16(16)
    writer.u32(port.rawValue)
    writer.u16(maximum)
    writer.zeros(6)
  }

  private mutating func decrementTTL(_ controllers: [UInt16]) {
    if controllers == [0] || controllers.isEmpty {
      if version == .v10 { niciraShort(NiciraAction.decrementTTL) } else { standard(24) }
      return
    }
    let start = writer.count
    niciraHeader(NiciraAction.decrementTTLControllers)
    writer.u16(UInt16(truncatingIfNeeded: controllers.count))
    writer.zeros(4)
    for controller in controllers { writer.u16(controller) }
    finish(start)
  }

  /// 1.0 has it; later it is three actions.
  private mutating func enqueue(_ port: PortNumber, _ queue: UInt32) {
    if version == .v10 {
      writer.u16(11)
      writer.u16(16)
      writer.u16(port.wire10)
      writer.zeros(6)
      writer.u32(queue)
    } else {
      standard(21, queue)
      output(port, 0)
      niciraShort(NiciraAction.popQueue)
    }
  }

  /// Later versions set the field of a tag that is there: one is pushed before.
  private mutating func setVLAN(_ field: Field, _ value: UInt128, legacyType: UInt16) throws(EncodeError) {
    if version == .v10 {
      standard(
        legacyType,
        field == .vlanID ? UInt32(truncatingIfNeeded: value & 0xfff) << 16 : UInt32(truncatingIfNeeded: value) << 24)
    } else {
      if !hasVLAN { standard(17, 0x8100 << 16) }
      try setField(field, value, field.fullMask)
    }
    hasVLAN = true
  }

  private mutating func move(_ from: Subfield, _ to: Subfield) throws(EncodeError) {
    let start = writer.count
    if version == .v15 {
      writer.u16(28)
      writer.u16(0)
    } else {
      niciraHeader(NiciraAction.registerMove)
    }
    writer.u16(UInt16(truncatingIfNeeded: from.bitCount))
    writer.u16(UInt16(truncatingIfNeeded: from.firstBit))
    writer.u16(UInt16(truncatingIfNeeded: to.firstBit))
    if version == .v15 { writer.zeros(2) }
    if version == .v15 {
      try writer.fieldName(from.field, version)
      try writer.fieldName(to.field, version)
    } else {
      try writer.niciraFieldName(from, version)
      try writer.niciraFieldName(to, version)
    }
    finish(start)
  }
}
