// Reading Open vSwitch's actions that hold others or properties: ct, nat, controller, sample.

import VSwitchCore

extension ActionDecoder {
  func controller(_ subtype: UInt16, _ body: inout WireReader) throws(ErrorCode) -> Action {
    var controller = ControllerAction()
    if subtype == NiciraAction.controller {
      try ActionDecoder.expect(&body, 6)
      controller.maximumByteCount = try body.u16()
      controller.controllerID = try body.u16()
      controller.reason = try reason(try body.u8())
      return .controller(controller)
    }
    try ActionDecoder.expectZeros(&body, 6)
    while !body.isAtEnd {
      var type: UInt16 = 0
      var value = try body.property(&type)
      switch type {
      case 0: controller.maximumByteCount = try value.u16(.badPropertyBadLength)
      case 1: controller.controllerID = try value.u16(.badPropertyBadLength)
      case 2: controller.reason = try reason(try value.u8(.badPropertyBadLength))
      case 3: controller.userData = value.rest()
      case 4: controller.pauses = true
      case 5: controller.meterID = try value.u32(.badPropertyBadLength)
      default: throw .badPropertyBadType
      }
    }
    return .controller(controller)
  }

  private func reason(_ number: UInt8) throws(ErrorCode) -> ControllerAction.Reason {
    guard let reason = ControllerAction.Reason(rawValue: number) else { throw .badActionBadArgument }
    return reason
  }

  func sample(_ subtype: UInt16, _ body: inout WireReader) throws(ErrorCode) -> Action {
    try ActionDecoder.expect(&body, subtype == NiciraAction.sample ? 14 : 22)
    var sample = SampleAction(probability: try body.u16())
    guard sample.probability > 0 else { throw .badActionBadArgument }
    sample.collectorSetID = try body.u32()
    sample.observationDomainID = try body.u32()
    sample.observationPointID = try body.u32()
    if subtype != NiciraAction.sample {
      let port = PortNumber(wire10: try body.u16())
      sample.samplingPort = port == .any ? nil : port
      sample.direction = try body.u8()
      guard subtype == NiciraAction.sample3 ? sample.direction <= 2 : sample.direction == 0 else {
        throw .badActionBadArgument
      }
      try ActionDecoder.expectZeros(&body, 5)
    }
    return .sample(sample)
  }

  func conntrack(_ body: inout WireReader) throws(ErrorCode) -> ConntrackAction {
    guard body.remaining >= 14 else { throw .badActionBadLength }
    var action = ConntrackAction()
    let flags = try body.u16()
    guard flags & ~3 == 0 else { throw .badActionBadArgument }
    action.commits = flags & 1 != 0
    action.forces = flags & 2 != 0
    guard action.commits || !action.forces else { throw .badActionBadArgument }
    var zoneField = try body.part(4)
    action.zone = try zone(&zoneField, number: try body.u16())
    let table = try body.u8()
    action.recirculationTable = table == 0xff ? nil : table
    try ActionDecoder.expectZeros(&body, 3)
    action.helperPort = try body.u16()
    while !body.isAtEnd { try nested(&body, in: &action) }
    guard action.commits || action.actions.isEmpty else { throw .badActionBadArgument }
    return action
  }

  /// A zone is a number, or up to 16 bits of a field.
  private func zone(_ name: inout WireReader, number: UInt16) throws(ErrorCode) -> ConntrackAction.Zone {
    if try name.peek16(at: 0) == 0, try name.peek16(at: 2) == 0 { return .immediate(number) }
    let field = try name.fieldName(version)
    let (firstBit, bitCount) = ActionDecoder.bits(number)
    guard bitCount == 16 else { throw .badActionBadSetLength }
    return .field(try ActionDecoder.source(field, firstBit: firstBit, bitCount: bitCount))
  }

  /// In ct(…) there can be nat, and settings of the connection's mark and label.
  private func nested(_ body: inout WireReader, in conntrack: inout ConntrackAction) throws(ErrorCode) {
    if body.remaining >= 10, try body.peek16(at: 0) == 0xffff, try body.peek16(at: 4) == 0,
      try body.peek16(at: 6) == UInt16(Experimenter.nicira), try body.peek16(at: 8) == NiciraAction.nat
    {
      let length = Int(try body.peek16(at: 2))
      guard length >= 16, length % 8 == 0, conntrack.translation == nil else { throw .badActionBadLength }
      var nat = try body.part(length, .badActionBadLength)
      try nat.skip(10)
      conntrack.translation = try translation(&nat)
      return
    }
    var inner = ActionDecoder(version, match: match, depth: depth + 1)
    switch try inner.action(&body) {
    case .setField(let field, let value, let mask)? where field == .ctMark || field == .ctLabel:
      conntrack.actions.append(.setField(field, value: value, mask: mask))
    case .move(let from, let to)? where to.field == .ctMark || to.field == .ctLabel:
      conntrack.actions.append(.move(from: from, to: to))
    default: throw .badActionBadArgument
    }
  }

  private func translation(_ body: inout WireReader) throws(ErrorCode) -> NetworkTranslation {
    try body.skip(2, .badActionBadLength)
    let flags = try body.u16(.badActionBadLength)
    let present = try body.u16(.badActionBadLength)
    guard flags & ~0x1f == 0, flags & 3 != 3, flags & 0x18 != 0x18, present & ~0x3f == 0 else {
      throw .badActionBadArgument
    }
    var translation = NetworkTranslation()
    translation.kind = flags & 1 != 0 ? .source : flags & 2 != 0 ? .destination : nil
    translation.persistent = flags & 4 != 0
    translation.hashes = flags & 8 != 0
    translation.randomizes = flags & 16 != 0
    // A largest value needs a smallest; two families cannot be at once; ranges need a direction.
    let hasV4 = present & 1 != 0
    let hasV6 = present & 4 != 0
    guard translation.kind != nil || present == 0 && flags & ~3 == 0, !(hasV4 && hasV6), hasV4 || present & 2 == 0,
      hasV6 || present & 8 == 0, present & 0x10 != 0 || present & 0x20 == 0
    else { throw .badActionBadArgument }
    if hasV4 || hasV6 {
      let byteCount = hasV4 ? 4 : 16
      let first = try body.unsigned(byteCount: byteCount, .badActionBadLength)
      let last = present & 0x0a != 0 ? try body.unsigned(byteCount: byteCount, .badActionBadLength) : first
      guard first <= last else { throw .badActionBadArgument }
      translation.addresses = first...last
      translation.isIPv6 = hasV6
    }
    if present & 0x10 != 0 {
      let first = try body.u16(.badActionBadLength)
      let last = present & 0x20 != 0 ? try body.u16(.badActionBadLength) : first
      guard first <= last else { throw .badActionBadArgument }
      translation.ports = first...last
    }
    guard body.remaining < 8 else { throw .badActionBadLength }
    return translation
  }
}

extension WireReader {
  /// Reads a property: type and length, then its value, then padding to 8 bytes (OpenFlow 1.4 §7.2.1.1).
  @_lifetime(copy self)
  mutating func property(_ type: inout UInt16) throws(ErrorCode) -> WireReader {
    type = try u16(.badPropertyBadLength)
    let length = Int(try u16(.badPropertyBadLength))
    guard length >= 4 else { throw .badPropertyBadLength }
    let value = try part(length - 4, .badPropertyBadLength)
    try skip(min((8 - length % 8) % 8, remaining), .badPropertyBadLength)
    return value
  }
}
