// Requests that this switch and Open vSwitch answer differently, byte by byte: those that Docs/openflow.md tells of.
// Standard: OpenFlow 1.5 §7; the layouts of 1.0 and 1.3 where a request is of those.

import OpenFlow
import TestSupport
import VSwitchCore

/// What a switch says to a request.
enum RequestAnswer: Equatable, CustomStringConvertible {
  case accepted
  case reply
  case error(ErrorCode)
  /// An error without a number of the standard.
  case otherError

  var description: String {
    switch self {
    case .accepted: "accepted"
    case .reply: "reply"
    case .error(let code): "\(code)"
    case .otherError: "another error"
    }
  }
}

/// Requests of one line of the page; only the last one's answer counts.
struct MessageDifference {
  var row: String
  var version: OpenFlowVersion
  /// Types and bodies.
  var requests: [(type: UInt8, body: [UInt8])]
  var ours: RequestAnswer
  var theirs: RequestAnswer

  /// - Parameters:
  ///   - body: in hexadecimal digits.
  ///   - isTwice: the same request has come before.
  private init(
    _ row: String, _ type: UInt8, _ body: String, ours: RequestAnswer, theirs: RequestAnswer,
    _ version: OpenFlowVersion = .v13, isTwice: Bool = false
  ) {
    self.row = row
    self.version = version
    requests = Array(repeating: (type, Self.bytes(body)), count: isTwice ? 2 : 1)
    self.ours = ours
    self.theirs = theirs
  }

  static let all: [MessageDifference] = [
    actions, oldActions, foreignActions, ports, bundles, tables, multiparts, monitors, groups,
  ].flatMap { $0 }

  // MARK: layouts

  private static func bytes(_ hex: String) -> [UInt8] {
    let digits = Array(hex.filter { $0 != " " })
    return stride(from: 0, to: digits.count - 1, by: 2).compactMap { UInt8(String(digits[$0...$0 + 1]), radix: 16) }
  }

  private static func hex(_ value: Int, _ byteCount: Int) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 2 * byteCount - digits.count) + digits
  }

  /// OFPT_FLOW_MOD's body of 1.3 and later: adds a rule.
  private static func flow(_ fields: String = "", instructions: String = "") -> String {
    let count = 4 + bytes(fields).count
    let padding = String(repeating: "00", count: (8 - count % 8) % 8)
    let head = "0000000000000000 0000000000000000 00000000 00000064 ffffffff ffffffff ffffffff 00000000"
    return "\(head) 0001 \(hex(count, 2)) \(fields) \(padding) \(instructions)"
  }

  private static func apply(_ actions: String) -> String {
    "0004 \(hex(8 + bytes(actions).count, 2)) 00000000 \(actions)"
  }

  private static let ip = "80000a02 0800"
  private static let tcp = "80000a02 0800 80001401 06"
  private static let mpls = "80000a02 8847"
  private static let nsh = "80000a02 894f"
  private static let tagged = "80000d04 1000 1000"

  // MARK: lines

  private static var actions: [MessageDifference] {
    ["000b0008 00000000", "000c0008 00000000"].map { action in
      MessageDifference(
        "`copy_ttl_out`, `copy_ttl_in`", 14, flow(ip, instructions: apply(action)), ours: .accepted,
        theirs: .error(.badActionBadType))
    } + [
      MessageDifference(
        "`goto_table:254`", 14, flow(instructions: "00010008 fe000000"), ours: .error(.badInstructionBadTableID),
        theirs: .accepted)
    ]
  }

  private static var oldActions: [MessageDifference] {
    let old: [(String, String)] = [
      (tagged, "00010008 00050000"), (tagged, "00020008 03000000"), (ip, "00030010 020000000001 000000000000"),
      (ip, "00040010 020000000001 000000000000"), (ip, "00050008 0a000001"), (ip, "00060008 0a000001"),
      (ip, "00070008 08000000"), (ip, "00080008 01000000"), (tcp, "00090008 00500000"), (tcp, "000a0008 00500000"),
      (mpls, "000d0008 00000005"), (mpls, "000e0008 03000000"),
    ]
    let versions: [OpenFlowVersion] = [.v13, .v14, .v15]
    return versions.flatMap { version in
      old.map { match, action in
        MessageDifference(
          "the actions 1 to 10, 13 and 14 of 1.1 in later versions", 14, flow(match, instructions: apply(action)),
          ours: .error(.badActionBadType), theirs: .accepted, version)
      }
    }
  }

  private static var foreignActions: [MessageDifference] {
    let row = "encap, decap, dec_nsh_ttl, tunnel options, NSH"
    let actions: [(String, String)] = [
      ("", "ffff0010 00002320 002e0000 0001894f"), ("", "ffff0010 00002320 002f0000 00000000"),
      (nsh, "ffff0010 00002320 0030 000000000000"),
    ]
    return actions.map { match, action in
      MessageDifference(
        row, 14, flow(match, instructions: apply(action)), ours: .error(.badActionBadExperimenterType),
        theirs: .accepted, .v15)
    } + [
      MessageDifference(
        row, 14, flow(nsh + "ffff0205 005ad650 00"), ours: .error(.badMatchBadField), theirs: .accepted)
    ]
  }

  private static var ports: [MessageDifference] {
    [0xff00, 0xfffe, 0x10000, 0xffff_ff00].map { number in
      MessageDifference(
        "port numbers", 14, flow(instructions: apply("00000010 \(hex(number, 4)) 0000 000000000000")),
        ours: .accepted, theirs: .error(.badActionBadOutPort))
    }
      + ["00010000", "0000fffe"].map { number in
        MessageDifference(
          "port numbers", 14, flow("80000004 \(number)"), ours: .accepted, theirs: .error(.badMatchBadValue))
      }
  }

  private static var bundles: [MessageDifference] {
    let row = "bundle control of unknown type, unknown flags"
    return [
      MessageDifference(
        row, 33, "00000001 0008 0000", ours: .error(.bundleFailedBadType), theirs: .reply, .v14),
      MessageDifference(
        row, 33, "00000002 0000 0010", ours: .error(.bundleFailedBadFlags), theirs: .reply, .v14),
    ]
  }

  private static var tables: [MessageDifference] {
    let name = String(repeating: "61", count: 32)
    let rest = String(repeating: "00", count: 24)
    return [
      MessageDifference(
        "unknown property of a table mod", 17, "00000000 00000000 0009 0008 00000000",
        ours: .error(.badPropertyBadType),
        theirs: .error(.badRequestBadType), .v14),
      MessageDifference(
        "table features as a request", 18, "000c000000000000 0040 00 0000000000 \(name) \(rest)",
        ours: .error(.tableFeaturesFailedPermission), theirs: .otherError),
      MessageDifference(
        "meter band `dscp_remark`", 29, "0000 0001 00000001 0002 0010 000003e8 00000000 01 000000", ours: .accepted,
        theirs: .error(.meterModFailedBadBand)),
    ]
  }

  private static var multiparts: [MessageDifference] {
    [
      "0011000000000000 ff000000 ffffffff ffffffff 00000000 0000000000000000 0000000000000000 0001000400000000",
      "0012000000000000", "0013000000000000 00000000 00000000",
    ].map { request in
      MessageDifference(
        "1.5 flow statistics without instructions (17), controller status, bundle features", 18, request, ours: .reply,
        theirs: .error(.badRequestBadMultipart), .v15)
    }
  }

  private static var monitors: [MessageDifference] {
    let row = "a flow monitor's number given twice, an unknown one"
    let rest = "ffffffff ffffffff"
    return [
      MessageDifference(
        row, 18, "0010000000000000 00000001 \(rest) 0007 ff 00 0001000400000000",
        ours: .error(.flowMonitorFailedMonitorExists), theirs: .otherError, .v14, isTwice: true),
      MessageDifference(
        row, 18, "0010000000000000 00000009 \(rest) 0000 ff 02 0001000400000000",
        ours: .error(.flowMonitorFailedUnknownMonitor), theirs: .otherError, .v14),
    ]
  }

  private static var groups: [MessageDifference] {
    [
      MessageDifference(
        "a group in one of its own buckets", 15,
        "0000 00 00 00000005 0018 0000 ffffffff ffffffff 00000000 0016 0008 00000005",
        ours: .error(.groupModFailedLoop), theirs: .accepted)
    ]
  }
}
