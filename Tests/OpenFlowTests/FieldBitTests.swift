import OpenFlow
import TestSupport
import Testing
import VSwitchCore

/// Fields whose names in NXM have other bits than the model: NXM_OF_IP_TOS has the DSCP in its upper 6 of 8 bits,
/// NXM_OF_IN_PORT 16 bits with other numbers for reserved ports. ovs-fields(7).
@Suite struct FieldBitTests {
  private static let tos = "00000a01"
  private static let inPort = "00000002"
  private static let reg0 = "00010004"

  /// The action of a rule for IPv4 that has one of Open vSwitch's, in 1.3.
  private func action(_ subtype: String, _ arguments: String) throws -> Action? {
    let own = bytes(hex: "ffff0000 00002320" + subtype + arguments)
    let padded = own + [UInt8](repeating: 0, count: (8 - own.count % 8) % 8)
    var actions = padded
    actions[3] = UInt8(padded.count)
    let instruction = bytes(hex: "0004 00") + [UInt8(8 + actions.count)] + [0, 0, 0, 0] + actions
    let head = bytes(hex: "0000000000000000 0000000000000000 00000000 00000064 ffffffff ffffffff ffffffff 00000000")
    let body = head + bytes(hex: "0001000a 80000a02 0800 000000000000") + instruction
    let message = try MessageDecoder().decode([4, 14, 0, UInt8(8 + body.count), 0, 0, 0, 7] + body)
    guard case .flowMod(let mod) = message.body else { return nil }
    return mod.instructions.apply.first
  }

  /// - Parameter bits: the first and how many.
  private func load(_ value: UInt64, _ name: String, _ bits: (Int, Int)) throws -> Action? {
    let packed = UInt16(bits.0 << 6 | bits.1 - 1)
    return try action("0007", hex([UInt8(packed >> 8), UInt8(packed & 255)]) + name + hex(value.octets))
  }

  private func move(_ from: String, _ firstBit: UInt16, to: String, _ toBit: UInt16, count: UInt16) throws -> Action? {
    try action("0006", hex(count.octets + firstBit.octets + toBit.octets) + from + to)
  }

  @Test func bitsOfTheTOSAreThoseOfTheDSCPTwoBitsBelow() throws {
    #expect(try load(1, Self.tos, (2, 1)) == .setField(.ipDSCP, value: 1, mask: 1))
    #expect(try load(3, Self.tos, (2, 6)) == .setField(.ipDSCP, value: 3, mask: 0x3f))
    // The lower two bits are not the field's: what is written there is lost.
    for value: UInt64 in [0x10, 0x12] {
      #expect(try load(value, Self.tos, (0, 8)) == .setField(.ipDSCP, value: 4, mask: 0x3f))
    }
    #expect(try load(5, Self.tos, (1, 3)) == .setField(.ipDSCP, value: 2, mask: 3))
    let part = try #require(Subfield(.reg0, firstBit: 2, bitCount: 6))
    #expect(try move(Self.reg0, 0, to: Self.tos, 0, count: 8) == .move(from: part, to: Subfield(.ipDSCP)))
    #expect(try move(Self.tos, 2, to: Self.reg0, 2, count: 6) == .move(from: Subfield(.ipDSCP), to: part))
    // They read as 0 with Open vSwitch; here they can't be read.
    #expect(throws: (any Error).self) { try move(Self.tos, 0, to: Self.reg0, 0, count: 8) }
    #expect(throws: (any Error).self) { try load(1, Self.tos, (0, 2)) }
  }

  @Test func learnedRulesHaveTheDSCPOfTheTOS() throws {
    // Idle 0, hard 0, priority 1, cookie 0, flags 0, table 5; then TOS[] from TOS[], and TOS[] = 0x10.
    let head = "0000 0000 0001 0000000000000000 0000 05 00 0000 0000"
    let learned = try action("0010", head + "0008 \(Self.tos) 0000 \(Self.tos) 0000" + "2008 0010 \(Self.tos) 0000")
    guard case .learn(let learn)? = learned else {
      Issue.record("\(String(describing: learned))")
      return
    }
    let dscp = Subfield(.ipDSCP)
    #expect(learn.specifications == [.match(.field(dscp), to: dscp), .match(.immediate(4, bitCount: 6), to: dscp)])
  }

  @Test func reservedPortsAreLoadedByTheirNumbersOf16Bits() throws {
    let whole = Field.inPort.fullMask
    for (number, port) in [(UInt64(9), PortNumber(9)), (0xfffe, .local), (0xfffd, .controller), (0xffff, .any)] {
      #expect(
        try load(number, Self.inPort, (0, 16)) == .setField(.inPort, value: UInt128(port.rawValue), mask: whole))
    }
  }
}
