// Reading Open vSwitch's actions: headers, fields, outputs, the pipeline's way. Nested and hashing ones:
// `NiciraActionDecoder+Nested`, `NiciraActionDecoder+Hash`, `LearnDecoder`.

import VSwitchCore

extension ActionDecoder {
  /// Reads an action behind its subtype; at least 6 bytes are left.
  func niciraAction(_ subtype: UInt16, _ body: inout WireReader) throws(ErrorCode) -> Action {
    switch subtype {
    case NiciraAction.resubmit:
      try ActionDecoder.expect(&body, 6)
      let port = PortNumber(wire10: try body.u16())
      return .resubmit(port: port == .inPort ? nil : port, table: nil, withConntrackTuple: false)
    case NiciraAction.resubmitTable, NiciraAction.resubmitTableConntrack:
      try ActionDecoder.expect(&body, 6)
      let port = PortNumber(wire10: try body.u16())
      let table = try body.u8()
      try ActionDecoder.expectZeros(&body, 3)
      return .resubmit(
        port: port == .inPort ? nil : port, table: table == 0xff ? nil : table,
        withConntrackTuple: subtype == NiciraAction.resubmitTableConntrack)
    case NiciraAction.setTunnel: return whole(.tunnelID, UInt128(try word(&body)))
    case NiciraAction.setTunnel64:
      try ActionDecoder.expect(&body, 14)
      try body.skip(6)
      return whole(.tunnelID, UInt128(try body.u64()))
    case NiciraAction.setQueue where version == .v10: return .setQueue(try word(&body))
    case NiciraAction.group where version == .v10: return .group(try word(&body))
    case NiciraAction.popQueue: return try plain(.popQueue, &body)
    case NiciraAction.exit: return try plain(.exit, &body)
    case NiciraAction.decrementTTL where version == .v10: return try plain(.decrementTTL(controllers: [0]), &body)
    case NiciraAction.decrementMPLSTTL where version == .v10: return try plain(.decrementMPLSTTL, &body)
    case NiciraAction.conntrackClear: return try plain(.conntrackClear, &body)
    case NiciraAction.debugRecirculate: return try plain(.debugRecirculate, &body)
    case NiciraAction.decrementTTLControllers: return try decrementTTLControllers(&body)
    case NiciraAction.note: return .note(body.rest())
    case NiciraAction.registerMove where version < .v15: return try move(&body)
    case NiciraAction.registerLoad where version < .v15: return try load(&body)
    case NiciraAction.registerLoad2 where version < .v15:
      return try setField(&body, mayMask: true)
    case NiciraAction.outputRegister, NiciraAction.outputRegister2: return try outputField(subtype, &body)
    case NiciraAction.outputTruncated:
      try ActionDecoder.expect(&body, 6)
      let port = try ActionDecoder.outputPort(PortNumber(wire10: try body.u16()))
      return .outputTruncated(port, byteCount: try body.u32())
    case NiciraAction.finTimeout:
      try ActionDecoder.expect(&body, 6)
      return .finTimeout(idleSeconds: try body.u16(), hardSeconds: try body.u16())
    case NiciraAction.pushMPLS where version == .v10:
      try ActionDecoder.expect(&body, 6)
      return try pushMPLS(&body)
    case NiciraAction.popMPLS where version == .v10:
      try ActionDecoder.expect(&body, 6)
      return .popMPLS(etherType: try body.u16())
    case NiciraAction.setMPLSTTL where version == .v10:
      try ActionDecoder.expect(&body, 6)
      return .setMPLSTTL(try body.u8())
    case NiciraAction.setMPLSLabel where version == .v10:
      let label = UInt128(try word(&body))
      guard label <= Field.mplsLabel.fullMask else { throw .badActionBadArgument }
      return whole(.mplsLabel, label)
    case NiciraAction.setMPLSTrafficClass where version == .v10:
      try ActionDecoder.expect(&body, 6)
      let trafficClass = try body.u8()
      guard trafficClass < 8 else { throw .badActionBadArgument }
      return whole(.mplsTrafficClass, UInt128(trafficClass))
    case NiciraAction.stackPush, NiciraAction.stackPop: return try stack(subtype, &body)
    case NiciraAction.conjunction:
      try ActionDecoder.expect(&body, 6)
      let clause = try body.u8()
      let count = try body.u8()
      guard (2...64).contains(count), clause < count else { throw .niciraActionBadConjunction }
      return .conjunction(id: try body.u32(), clause: clause, clauseCount: count)
    case NiciraAction.checkPacketLarger:
      let byteCount = try body.u16()
      let bit = Int(try body.u16())
      let field = try body.fieldName(version)
      guard body.remaining < 8 else { throw .badActionBadLength }
      return .checkPacketLarger(
        byteCount: byteCount, to: try ActionDecoder.destination(field, firstBit: bit, bitCount: 1))
    case NiciraAction.deleteField:
      try ActionDecoder.expect(&body, 14)
      // Only fields for tunnel options can go, and none is known by name.
      _ = try body.fieldName(version)
      throw .badActionBadSetArgument
    case NiciraAction.controller, NiciraAction.controller2: return try controller(subtype, &body)
    case NiciraAction.sample, NiciraAction.sample2, NiciraAction.sample3: return try sample(subtype, &body)
    case NiciraAction.multipath: return try multipath(&body)
    case NiciraAction.bundle, NiciraAction.bundleLoad: return try bundle(subtype, &body)
    case NiciraAction.learn, NiciraAction.learn2: return .learn(try LearnDecoder.learn(subtype, version, &body))
    case NiciraAction.conntrack: return .conntrack(try conntrack(&body))
    case NiciraAction.clone:
      try body.skip(6, .badActionBadLength)
      var inner = ActionDecoder(version, match: match, depth: depth + 1)
      let actions = try inner.list(&body)
      guard inner.metadata == nil else { throw .badActionBadType }
      return .clone(actions)
    default: throw .badActionBadExperimenterType
    }
  }

  /// An action without arguments.
  private func plain(_ action: Action, _ body: inout WireReader) throws(ErrorCode) -> Action {
    try ActionDecoder.expect(&body, 6)
    return action
  }

  /// A 32-bit argument, aligned to 4 bytes.
  private func word(_ body: inout WireReader) throws(ErrorCode) -> UInt32 {
    try ActionDecoder.expect(&body, 6)
    try body.skip(2)
    return try body.u32()
  }

  private func decrementTTLControllers(_ body: inout WireReader) throws(ErrorCode) -> Action {
    let count = Int(try body.u16(.badActionBadLength))
    try ActionDecoder.expectZeros(&body, 4)
    guard count > 0, body.remaining >= 2 * count else { throw .badActionBadLength }
    var controllers: [UInt16] = []
    for _ in 0..<count { controllers.append(try body.u16(.badActionBadLength)) }
    return .decrementTTL(controllers: controllers)
  }

  private func move(_ body: inout WireReader) throws(ErrorCode) -> Action {
    let bitCount = Int(try body.u16(.badActionBadLength))
    let sourceBit = Int(try body.u16(.badActionBadLength))
    let destinationBit = Int(try body.u16(.badActionBadLength))
    let from = try body.fieldName(version)
    let to = try body.fieldName(version)
    guard body.remaining < 8 else { throw .badActionBadLength }
    let bits = try ActionDecoder.move(
      from: from, firstBit: sourceBit, to: to, firstBit: destinationBit, bitCount: bitCount)
    return .move(from: bits.from, to: bits.to)
  }

  private func load(_ body: inout WireReader) throws(ErrorCode) -> Action {
    try ActionDecoder.expect(&body, 14)
    let (firstBit, bitCount) = ActionDecoder.bits(try body.u16())
    let field = try body.fieldName(version)
    guard body.remaining == 8 else { throw .badActionBadLength }
    let value = try body.u64()
    let lost = ActionDecoder.lostBitCount(field, firstBit: firstBit, bitCount: bitCount)
    let destination = try ActionDecoder.destination(field, firstBit: firstBit + lost, bitCount: bitCount - lost)
    guard bitCount == 64 || value >> UInt64(bitCount) == 0 else { throw .badActionBadArgument }
    if field.isInPort10, bitCount == 16 {
      // Reserved ports have other numbers in 16 bits.
      return whole(.inPort, UInt128(PortNumber(wire10: UInt16(truncatingIfNeeded: value)).rawValue))
    }
    return .setField(
      field.field, value: UInt128(value >> UInt64(lost)) << UInt128(destination.firstBit), mask: destination.mask)
  }

  /// First bit and number of bits (1 to 64) packed into 16 bits.
  static func bits(_ packed: UInt16) -> (firstBit: Int, bitCount: Int) {
    (Int(packed >> 6), Int(packed & 0x3f) + 1)
  }

  private func outputField(_ subtype: UInt16, _ body: inout WireReader) throws(ErrorCode) -> Action {
    try ActionDecoder.expect(&body, 14)
    let (firstBit, bitCount) = ActionDecoder.bits(try body.u16())
    var maximum: UInt16 = 0
    if subtype == NiciraAction.outputRegister2 { maximum = try body.u16() }
    let field = try body.fieldName(version)
    if subtype == NiciraAction.outputRegister {
      maximum = try body.u16(.badActionBadLength)
    }
    try ActionDecoder.expectZeros(&body, body.remaining)
    return .outputField(
      try ActionDecoder.source(field, firstBit: firstBit, bitCount: bitCount), maximumByteCount: maximum)
  }

  private func stack(_ subtype: UInt16, _ body: inout WireReader) throws(ErrorCode) -> Action {
    try ActionDecoder.expect(&body, 14)
    let firstBit = Int(try body.u16())
    let field = try body.fieldName(version)
    let bitCount = Int(try body.u16(.badActionBadLength))
    try ActionDecoder.expectZeros(&body, body.remaining)
    if subtype == NiciraAction.stackPush {
      return .stackPush(try ActionDecoder.source(field, firstBit: firstBit, bitCount: bitCount))
    }
    return .stackPop(try ActionDecoder.destination(field, firstBit: firstBit, bitCount: bitCount))
  }
}
