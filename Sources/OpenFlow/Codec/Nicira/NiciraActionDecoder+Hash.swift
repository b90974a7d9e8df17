// Reading Open vSwitch's actions that choose by a hash: multipath, bundle, bundle_load.

import VSwitchCore

extension ActionDecoder {
  /// More members of a bundle are refused.
  static let bundleMemberLimit = 2048

  func multipath(_ body: inout WireReader) throws(ErrorCode) -> Action {
    try ActionDecoder.expect(&body, 22)
    let fields = try hashFields(try body.u16())
    let basis = try body.u16()
    try body.skip(2)
    guard let algorithm = MultipathAction.Algorithm(rawValue: try body.u16()) else { throw .badActionBadArgument }
    let maxLink = try body.u16()
    let argument = try body.u32()
    try body.skip(2)
    let (firstBit, bitCount) = ActionDecoder.bits(try body.u16())
    let field = try body.fieldName(version)
    guard body.isAtEnd else { throw .badActionBadLength }
    let destination = try ActionDecoder.destination(field, firstBit: firstBit, bitCount: bitCount)
    guard bitCount >= 16 || Int(maxLink) < 1 << bitCount else { throw .badActionBadArgument }
    return .multipath(
      MultipathAction(
        fields: fields, basis: basis, algorithm: algorithm, maxLink: maxLink, argument: argument,
        destination: destination))
  }

  func bundle(_ subtype: UInt16, _ body: inout WireReader) throws(ErrorCode) -> Action {
    guard body.remaining >= 22 else { throw .badActionBadLength }
    guard let algorithm = BundleAction.Algorithm(rawValue: try body.u16()) else { throw .badActionBadArgument }
    let fields = try hashFields(try body.u16())
    let basis = try body.u16()
    // Members are named as NXM_OF_IN_PORT: 16-bit port numbers.
    guard try body.u32() == 0x0000_0002 else { throw .badActionBadArgument }
    let count = Int(try body.u16())
    let packed = try body.u16()
    var name = try body.part(4)
    try ActionDecoder.expectZeros(&body, 4)
    var destination: Subfield?
    if subtype == NiciraAction.bundleLoad {
      let (firstBit, bitCount) = ActionDecoder.bits(packed)
      let field = try name.fieldName(version)
      destination = try ActionDecoder.destination(field, firstBit: firstBit, bitCount: bitCount)
      // A member's number has 16 bits.
      guard bitCount >= 16 else { throw .badActionBadArgument }
    } else {
      guard packed == 0, try name.u32() == 0 else { throw .badActionBadArgument }
    }
    guard count <= ActionDecoder.bundleMemberLimit else { throw .badActionBadArgument }
    guard body.remaining >= 2 * count else { throw .badActionBadLength }
    var members: [PortNumber] = []
    for _ in 0..<count {
      let port = PortNumber(wire10: try body.u16())
      guard port.isOutput || port == .any else { throw .badActionBadOutPort }
      members.append(port)
    }
    guard body.remaining < 8 else { throw .badActionBadLength }
    return .bundle(
      BundleAction(fields: fields, basis: basis, algorithm: algorithm, members: members, destination: destination))
  }

  private func hashFields(_ number: UInt16) throws(ErrorCode) -> HashFields {
    guard let fields = HashFields(rawValue: number) else { throw .badActionBadArgument }
    return fields
  }
}
