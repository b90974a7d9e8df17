// Writing Open vSwitch's actions, the same in all versions.

import VSwitchCore

extension ActionEncoder {
  mutating func niciraAction(_ action: Action) throws(EncodeError) {
    switch action {
    case .resubmit(let port, let table, let withTuple): resubmit(port, table, withTuple)
    case .popQueue: niciraShort(NiciraAction.popQueue)
    case .exit: niciraShort(NiciraAction.exit)
    case .conntrackClear: niciraShort(NiciraAction.conntrackClear)
    case .debugRecirculate: niciraShort(NiciraAction.debugRecirculate)
    case .note(let bytes):
      try nicira(NiciraAction.note) { (writer) throws(EncodeError) in writer.array(bytes.prefix(0xff00)) }
    case .outputTruncated(let port, let byteCount):
      niciraShort(NiciraAction.outputTruncated, port.wire10, byteCount)
    case .finTimeout(let idle, let hard):
      niciraShort(NiciraAction.finTimeout, idle, UInt32(hard) << 16)
    case .conjunction(let id, let clause, let count):
      niciraShort(NiciraAction.conjunction, UInt16(clause) << 8 | UInt16(count), id)
    case .outputField(let source, let maximum): try outputField(source, maximum)
    case .stackPush(let bits): try stack(NiciraAction.stackPush, bits)
    case .stackPop(let bits): try stack(NiciraAction.stackPop, bits)
    case .checkPacketLarger(let byteCount, let to):
      let version = version
      try nicira(NiciraAction.checkPacketLarger) { (writer) throws(EncodeError) in
        writer.u16(byteCount)
        writer.u16(UInt16(truncatingIfNeeded: to.firstBit))
        try writer.niciraFieldName(to, version)
      }
    case .controller(let controller): try self.controller(controller)
    case .sample(let sample): try self.sample(sample)
    case .multipath(let multipath): try self.multipath(multipath)
    case .bundle(let bundle): try self.bundle(bundle)
    case .learn(let learn): try LearnEncoder.write(learn, &self)
    case .conntrack(let conntrack): try self.conntrack(conntrack)
    case .clone(let actions):
      let start = writer.count
      niciraHeader(NiciraAction.clone)
      writer.zeros(6)
      let outer = hasVLAN
      for action in actions { try self.action(action) }
      hasVLAN = outer
      finish(start)
    case .deleteField(let field):
      throw EncodeError(cause: "\(field.name) cannot be deleted", remedy: "only tunnel options can")
    default:
      throw EncodeError(cause: "no OpenFlow message can say this action", remedy: "leave it out")
    }
  }

  private mutating func resubmit(_ port: PortNumber?, _ table: UInt8?, _ withTuple: Bool) {
    niciraShort(
      withTuple ? NiciraAction.resubmitTableConntrack : NiciraAction.resubmitTable, (port ?? .inPort).wire10,
      UInt32(table ?? 0xff) << 24)
  }

  private mutating func outputField(_ source: Subfield, _ maximum: UInt16) throws(EncodeError) {
    guard let code = FieldCode.niciraCode(source, version) else { throw EncodeError.field(source.field) }
    let isShort = code.headerByteCount == 4
    niciraHeader(isShort ? NiciraAction.outputRegister : NiciraAction.outputRegister2)
    writer.u16(ActionEncoder.packed(source))
    if !isShort { writer.u16(maximum) }
    writer.fieldHeader(code)
    if isShort { writer.u16(maximum) }
    writer.zeros(isShort ? 6 : 2)
    writer.patch16(24, at: writer.count - 22)
  }

  private mutating func stack(_ subtype: UInt16, _ bits: Subfield) throws(EncodeError) {
    let version = version
    let start = writer.count
    niciraHeader(subtype)
    writer.u16(UInt16(truncatingIfNeeded: bits.firstBit))
    try writer.niciraFieldName(bits, version)
    writer.u16(UInt16(truncatingIfNeeded: bits.bitCount))
    writer.zeros(24 - (writer.count - start))
    finish(start)
  }

  /// First bit and number of bits less one in 16 bits.
  static func packed(_ bits: Subfield) -> UInt16 {
    UInt16(truncatingIfNeeded: bits.firstBit << 6 | (bits.bitCount - 1) & 0x3f)
  }

  private mutating func controller(_ controller: ControllerAction) throws(EncodeError) {
    if controller.userData.isEmpty, !controller.pauses, controller.meterID == nil {
      niciraShort(
        NiciraAction.controller, controller.maximumByteCount,
        UInt32(controller.controllerID) << 16 | UInt32(controller.reason.rawValue) << 8)
      return
    }
    guard controller.userData.count < 0xff00 else { throw EncodeError.tooLong }
    try nicira(NiciraAction.controller2) { (writer) throws(EncodeError) in
      writer.zeros(6)
      if controller.maximumByteCount != 0xffff {
        writer.property(0) { $0.u16(controller.maximumByteCount) }
      }
      if controller.controllerID != 0 { writer.property(1) { $0.u16(controller.controllerID) } }
      if controller.reason != .action { writer.property(2, exactLength: true) { $0.u8(controller.reason.rawValue) } }
      if !controller.userData.isEmpty { writer.property(3, exactLength: true) { $0.array(controller.userData) } }
      if controller.pauses { writer.property(4, exactLength: true) { _ in } }
      if let meter = controller.meterID { writer.property(5) { $0.u32(meter) } }
    }
  }

  private mutating func sample(_ sample: SampleAction) throws(EncodeError) {
    let isPlain = sample.samplingPort == nil && sample.direction == 0
    let subtype =
      isPlain ? NiciraAction.sample : sample.direction == 0 ? NiciraAction.sample2 : NiciraAction.sample3
    try nicira(subtype) { (writer) throws(EncodeError) in
      writer.u16(sample.probability)
      writer.u32(sample.collectorSetID)
      writer.u32(sample.observationDomainID)
      writer.u32(sample.observationPointID)
      if !isPlain {
        writer.u16((sample.samplingPort ?? .any).wire10)
        writer.u8(sample.direction)
        writer.zeros(5)
      }
    }
  }

  private mutating func multipath(_ multipath: MultipathAction) throws(EncodeError) {
    let version = version
    try nicira(NiciraAction.multipath) { (writer) throws(EncodeError) in
      writer.u16(multipath.fields.rawValue)
      writer.u16(multipath.basis)
      writer.u16(0)
      writer.u16(multipath.algorithm.rawValue)
      writer.u16(multipath.maxLink)
      writer.u32(multipath.argument)
      writer.u16(0)
      writer.u16(ActionEncoder.packed(multipath.destination))
      try writer.niciraFieldName(multipath.destination, version)
    }
  }

  private mutating func bundle(_ bundle: BundleAction) throws(EncodeError) {
    guard bundle.members.count <= ActionDecoder.bundleMemberLimit else { throw EncodeError.tooLong }
    let version = version
    try nicira(bundle.destination == nil ? NiciraAction.bundle : NiciraAction.bundleLoad) {
      (writer) throws(EncodeError) in
      writer.u16(bundle.algorithm.rawValue)
      writer.u16(bundle.fields.rawValue)
      writer.u16(bundle.basis)
      writer.u32(0x0000_0002)
      writer.u16(UInt16(truncatingIfNeeded: bundle.members.count))
      if let destination = bundle.destination {
        writer.u16(ActionEncoder.packed(destination))
        try writer.niciraFieldName(destination, version)
      } else {
        writer.zeros(6)
      }
      writer.zeros(4)
      for member in bundle.members { writer.u16(member.wire10) }
    }
  }
}

extension WireWriter {
  /// Writes a property with its padding (OpenFlow 1.4 §7.2.1.1). Open vSwitch counts the padding of 16-bit values as
  /// part of them; `exactLength` does not.
  mutating func property(_ type: UInt16, exactLength: Bool = false, _ value: (inout WireWriter) -> Void) {
    let start = count
    u16(type)
    u16(0)
    value(&self)
    if !exactLength { pad8(from: start) }
    patch16(UInt16(truncatingIfNeeded: count - start), at: start + 2)
    pad8(from: start)
  }
}
