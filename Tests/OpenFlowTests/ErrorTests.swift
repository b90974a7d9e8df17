import OpenFlow
import TestSupport
import Testing
import VSwitchCore

/// The refusals that Open vSwitch 3.1 was measured to give, and those of the standard where it gives none.
@Suite struct ErrorTests {
  private static func message(_ type: UInt8, _ body: [UInt8], version: UInt8 = 4) -> [UInt8] {
    let count = 8 + body.count
    return [version, type, UInt8(count >> 8), UInt8(count & 0xff), 0, 0, 0, 7] + body
  }

  /// A 1.3 flow add; `match` are fields, `instructions` whole.
  private static func flow(
    match fields: String = "", instructions: String = "", table: UInt8 = 0, command: UInt8 = 0, flags: UInt8 = 0,
    buffer: UInt32 = .max, matchType: UInt8 = 1, matchByteCount: Int? = nil
  ) -> [UInt8] {
    let oxm = bytes(hex: fields)
    let length = matchByteCount ?? oxm.count + 4
    var body = [UInt8](repeating: 0, count: 16) + [table, command, 0, 0, 0, 0, 0x80, 0]
    body += (0..<4).map { UInt8(truncatingIfNeeded: buffer >> (24 - 8 * UInt32($0))) }
    body += [UInt8](repeating: 0xff, count: 8) + [0, flags, 0, 0]
    body += [0, matchType, UInt8(length >> 8), UInt8(length & 0xff)] + oxm
    body += [UInt8](repeating: 0, count: (8 - (oxm.count + 4) % 8) % 8)
    return message(14, body + bytes(hex: instructions))
  }

  private static func apply(_ actions: String) -> String {
    let count = bytes(hex: actions).count + 8
    return "0004" + hex([UInt8(count >> 8), UInt8(count & 0xff)]) + "00000000" + actions
  }

  private static let ip = "80000a020800"

  private static let cases: [(String, [UInt8], ErrorCode?)] = [
    ("unknown type", message(99, []), .badRequestBadType),
    ("unknown experimenter", message(4, bytes(hex: "1234567800000000")), .badRequestBadExperimenter),
    ("unknown NXT", message(4, bytes(hex: "000023200000270f")), .badRequestBadExperimenterType),
    ("features with 4 more bytes", message(5, [0, 0, 0, 0]), .badRequestBadLength),
    ("set config too short", message(9, [0, 0]), .badRequestBadLength),
    ("set config flags", message(9, [0, 7, 0, 0]), .switchConfigFailedBadFlags),
    ("short flow mod", message(14, [UInt8](repeating: 0, count: 12)), .badRequestBadLength),
    ("multipart type 99", message(18, bytes(hex: "0063000000000000")), .badRequestBadMultipart),
    (
      "multipart experimenter", message(18, bytes(hex: "ffff00000000000012345678 00000001")), .badRequestBadExperimenter
    ),
    (
      "flow statistics 4 bytes short",
      message(
        18, bytes(hex: "0001000000000000 00000000 ffffffff ffffffff 00000000" + String(repeating: "0", count: 40))),
      .badRequestBadLength
    ),
    ("add to table 255", flow(table: 255), .flowModFailedBadTableID),
    ("command 9", flow(command: 9), .flowModFailedBadCommand),
    ("flag 0x80", flow(flags: 0x80), .flowModFailedBadFlags),
    ("buffer 5", flow(buffer: 5), .badRequestBufferUnknown),
    ("delete ignores the buffer", flow(command: 3, buffer: 5), nil),
    ("ipv4_dst without eth_type", flow(match: "800018040a000001"), .badMatchBadPrerequisite),
    ("ip_proto before eth_type", flow(match: "8000140106" + ip), .badMatchBadPrerequisite),
    ("vlan_pcp without a tag", flow(match: "80000e0103"), .badMatchBadPrerequisite),
    ("duplicate", flow(match: ip + ip), .badMatchDuplicateField),
    ("unknown field", flow(match: "8000c60400000000"), .badMatchBadField),
    ("length of in_port", flow(match: "800000020001"), .badMatchBadField),
    ("eth_type with a full mask", flow(match: "80000b040800ffff"), nil),
    ("bits outside the mask", flow(match: ip + "800017080a000001ffffff00"), .badMatchBadWildcards),
    ("mask that is no prefix", flow(match: ip + "800017080a000001ff0000ff"), nil),
    ("vlan_vid without the tag's bit", flow(match: "80000c020fff"), nil),
    ("ip_dscp 0x7f", flow(match: ip + "800010017f"), .badMatchBadValue),
    ("mask on ip_dscp", flow(match: ip + "800011020103"), .badMatchBadMask),
    ("match type 0", flow(matchType: 0), .badMatchBadLength),
    ("match type 7", flow(matchType: 7), .badMatchBadType),
    ("match longer than the message", flow(matchByteCount: 0x200), .badMatchBadLength),
    ("output to 0", flow(instructions: apply("0000001000000000 ffff000000000000")), nil),
    ("output to 999", flow(instructions: apply("00000010000003e7 ffff000000000000")), nil),
    ("output to 0xffffff01", flow(instructions: apply("00000010ffffff01 ffff000000000000")), .badActionBadOutPort),
    ("output to any", flow(instructions: apply("00000010ffffffff ffff000000000000")), .badActionBadOutPort),
    ("action 99", flow(instructions: apply("0063000800000000")), .badActionBadType),
    ("action of length 0", flow(instructions: apply("0000000000000000")), .badActionBadLength),
    (
      "unknown experimenter's action", flow(instructions: apply("ffff0010123456780000000000000000")),
      .badActionBadExperimenter
    ),
    (
      "actions not a multiple of 8",
      message(14, Array(flow(instructions: "0004001400000000").dropFirst(8)) + [0, 0, 0, 0]),
      .badRequestBadLength
    ),
    ("set in_port", flow(instructions: apply("00190010800000040000000100000000")), .badActionBadSetArgument),
    ("set eth_type", flow(instructions: apply("0019001080000a020800000000000000")), .badActionBadSetArgument),
    (
      "set with bits outside the mask",
      flow(match: ip, instructions: apply("001900108000 1908 0a000001ffffff00")), .badMatchBadWildcards
    ),
    (
      "set with a mask in 1.3", flow(match: ip, instructions: apply("001900108000 1908 0a000000ffffff00")),
      .badActionBadSetMask
    ),
    ("set an unknown field", flow(instructions: apply("00190010 8000c604 00000000 00000000")), .badActionBadSetType),
    ("push_vlan 0x1234", flow(instructions: apply("0011000812340000")), .badActionBadArgument),
    ("set_queue", flow(instructions: apply("0015000800000005")), nil),
    ("instruction 99", flow(instructions: "0063000800000000"), .badInstructionUnknownInstruction),
    ("unknown experimenter's instruction", flow(instructions: "ffff000812345678"), .badInstructionBadExperimenter),
    ("twice the same", flow(instructions: "00050008000000000005000800000000"), .badInstructionDuplicateInstruction),
    ("clear_actions of 16 bytes", flow(instructions: "00050010000000000000000000000000"), .badInstructionBadLength),
    ("instruction of 4 bytes", message(14, Array(flow().dropFirst(8)) + [0, 5, 0, 4]), .badRequestBadLength),
    ("conjunction 3/2", flow(instructions: apply("ffff001000002320 0022 03 02 00000001")), .niciraActionBadConjunction),
    ("group type 9", message(15, bytes(hex: "0000090000000001")), .groupModFailedBadType),
    ("group command 9", message(15, bytes(hex: "0009000000000001")), .groupModFailedBadCommand),
    ("group number for all", message(15, bytes(hex: "00000000fffffffc")), .groupModFailedInvalidGroup),
    ("indirect without a bucket", message(15, bytes(hex: "0000020000000001")), .groupModFailedInvalidGroup),
    (
      "weight in all", message(15, bytes(hex: "0000000000000001 00100005ffffffffffffffff00000000")),
      .groupModFailedInvalidGroup
    ),
    (
      "failover without a watch", message(15, bytes(hex: "0000030000000001 00100000ffffffffffffffff00000000")),
      .groupModFailedInvalidGroup
    ),
    ("bucket of 8 bytes", message(15, bytes(hex: "0000000000000001 0008000000000000")), .groupModFailedBadBucket),
    (
      "bucket longer than the message", message(15, bytes(hex: "0000000000000001 0020000000000000")),
      .groupModFailedBadBucket
    ),
    (
      "meter 0", message(29, bytes(hex: "0000000100000000 0001001000000001 0000000000000000")),
      .meterModFailedInvalidMeter
    ),
    (
      "meter band 9", message(29, bytes(hex: "0000000100000001 0009001000000001 0000000000000000")),
      .meterModFailedBadBand
    ),
    (
      "meter rate 0", message(29, bytes(hex: "0000000100000001 0001001000000000 0000000000000000")),
      .meterModFailedBadRate
    ),
    (
      "meter with both units", message(29, bytes(hex: "0000000300000001 0001001000000001 0000000000000000")),
      .meterModFailedBadFlags
    ),
    (
      "meter with no unit", message(29, bytes(hex: "0000000000000001 0001001000000001 0000000000000000")),
      .meterModFailedBadFlags
    ),
    ("meter command 9", message(29, bytes(hex: "0009000100000001")), .meterModFailedBadCommand),
    ("meter without bands", message(29, bytes(hex: "0000000100000001")), .meterModFailedOutOfBands),
    ("packet-out buffer 5", message(13, bytes(hex: "00000005 00000001 0000 000000000000")), .badRequestBufferUnknown),
    (
      "packet-out, too many actions", message(13, bytes(hex: "ffffffff 00000001 0100 000000000000")),
      .badRequestBadLength
    ),
    ("packet-out in_port 0", message(13, bytes(hex: "ffffffff 00000000 0000 000000000000")), nil),
    ("role 9", message(24, bytes(hex: "0000000900000000 0000000000000000")), .roleRequestFailedBadRole),
    ("table config 0x10", message(17, bytes(hex: "0100000000000010")), nil),
    (
      "1.0 command 9",
      message(
        14,
        bytes(hex: "003fffff") + [UInt8](repeating: 0, count: 36)
          + bytes(hex: "0000000000000000 0009 0000 0000 8000 ffffffff ffff 0000"), version: 1), .flowModFailedBadCommand
    ),
    (
      "1.0 emergency",
      message(
        14,
        bytes(hex: "003fffff") + [UInt8](repeating: 0, count: 36)
          + bytes(hex: "0000000000000000 0000 0000 0000 8000 ffffffff ffff 0004"), version: 1), .flowModFailedTableFull
    ),
    ("1.0 statistics 99", message(16, bytes(hex: "00630000"), version: 1), .badRequestBadMultipart),
    ("1.0 type 24", message(24, [], version: 1), .badRequestBadType),
    ("1.0 role 9", message(4, bytes(hex: "00002320 0000000a 00000009"), version: 1), .roleRequestFailedBadRole),
    (
      "1.0 tunnel option without a mapping",
      message(
        4,
        bytes(
          hex: """
            00002320 0000000d 0000000000000000 0000 0000 0000 8000 ffffffff ffff 0000 0008 000000000000 00019004 00000000
            """), version: 1), .niciraMatchInvalidTLVField
    ),
    (
      "1.0 ip_dst without eth_type",
      message(
        4,
        bytes(
          hex: """
            00002320 0000000d 0000000000000000 0000 0000 0000 8000 ffffffff ffff 0000 0008 000000000000 00001004 0a000001
            """), version: 1), .badMatchBadPrerequisite
    ),
    ("1.4 bundle flags", message(33, bytes(hex: "00000001 0000 0010"), version: 5), .bundleFailedBadFlags),
    ("1.4 bundle type 8", message(33, bytes(hex: "00000001 0008 0000"), version: 5), .bundleFailedBadType),
    (
      "1.4 inner echo", message(34, bytes(hex: "00000001 00000000 0502000800000007"), version: 5),
      .bundleFailedMessageUnsupported
    ),
    (
      "1.4 inner xid", message(34, bytes(hex: "00000001 00000000 050e000800000008"), version: 5),
      .bundleFailedMessageBadXID
    ),
    ("1.4 inner cut off", message(34, bytes(hex: "00000001 00000000 0506"), version: 5), .bundleFailedMessageBadLength),
    ("1.4 unknown mask", message(28, bytes(hex: "0063000800000000"), version: 5), .asyncConfigFailedUnsupported),
    (
      "1.4 table property", message(17, bytes(hex: "0100000000000000 0063000800000000"), version: 5),
      .badPropertyBadType
    ),
    (
      "1.5 copy_field length",
      message(14, Array(flow(instructions: apply("001c000800000000")).dropFirst(8)), version: 6),
      .badActionBadLength
    ),
    ("1.2 message", message(2, [], version: 3), .badRequestBadVersion),
  ]

  @Test(arguments: cases.indices)
  func eachFaultHasItsError(index: Int) {
    let (name, bytes, expected) = Self.cases[index]
    do {
      let message = try MessageDecoder().decode(bytes)
      #expect(expected == nil, "\(name): read as \(message)")
    } catch {
      guard case .refused(let refusal) = error else {
        Issue.record("\(name): \(error)")
        return
      }
      #expect(refusal.code == expected, "\(name)")
      #expect(refusal.xid == 7 && refusal.data == bytes)
    }
  }

  @Test func errorsThatAVersionHasNoNumberForUseOpenVSwitchs() throws {
    func sent(_ code: ErrorCode, _ version: OpenFlowVersion) throws -> String {
      hex(try MessageEncoder().encode(Message(version, xid: 7, .error(ErrorMessage(code, data: [0xaa])))).dropFirst(8))
    }
    #expect(try sent(.badInstructionDuplicateInstruction, .v13) == "ffff0a284f4e4600aa")
    #expect(try sent(.badInstructionDuplicateInstruction, .v14) == "00030009aa")
    #expect(try sent(.badMatchBadPrerequisite, .v10) == "b0c200000000232000010104aa")
    #expect(try sent(.roleRequestFailedBadRole, .v10) == "b0c200000000232000010201aa")
    #expect(try sent(.meterModFailedUnknownMeter, .v10) == "b0c200000000232000010209aa")
    #expect(try sent(.badActionBadOutGroup, .v13) == "00020009aa")
    #expect(try sent(.groupModFailedUnknownBucket, .v13) == "ffff000a00002320aa")
  }
}
