// Connections in the forms of ovs-appctl dpctl/dump-conntrack, of `conntrack -L`, and as JSON. Pure.

import Datapath
import OVSDB
import OpenFlow
import VSwitchCore

enum ConntrackText {
  // MARK: as Open vSwitch prints them

  /// - Parameters:
  ///   - counts: `-s`: packets, bytes and time left.
  ///   - isVerbose: `-m`: both ends' states.
  static func openVSwitch(_ connection: ConnectionDescription, counts: Bool, isVerbose: Bool) -> String {
    func tuple(_ tuple: ConnectionDescription.Tuple) -> String {
      var text = "src=\(address(tuple.source, connection)),dst=\(address(tuple.destination, connection))"
      if isICMP(connection) {
        text += ",id=\(tuple.icmpID),type=\(tuple.icmpType),code=\(tuple.icmpCode)"
      } else if hasPorts(connection) {
        text += ",sport=\(tuple.sourcePort),dport=\(tuple.destinationPort)"
      }
      if counts { text += ",packets=\(tuple.packetCount),bytes=\(tuple.byteCount)" }
      return text
    }
    var text = "\(name(connection)),orig=(\(tuple(connection.original))),reply=(\(tuple(connection.reply)))"
    if counts { text += ",timeout=\(connection.timeoutSeconds)" }
    if connection.zone != 0 { text += ",zone=\(connection.zone)" }
    if connection.mark != 0 { text += ",mark=\(connection.mark)" }
    if connection.label != 0 { text += ",labels=0x" + String(connection.label, radix: 16) }
    if let states = connection.tcpStates, let state = connection.tcpState {
      let names = ConnectionDescription.tcpStateNames
      text +=
        isVerbose
        ? ",protoinfo=(state_orig=\(names[Int(states.original)]),state_reply=\(names[Int(states.reply)]))"
        : ",protoinfo=(state=\(state))"
    }
    if let helper = connection.helper { text += ",helper=\(helper)" }
    return text
  }

  // MARK: as conntrack(8) prints them

  static func line(_ connection: ConnectionDescription) -> String {
    func tuple(_ tuple: ConnectionDescription.Tuple) -> String {
      var text = "src=\(address(tuple.source, connection)) dst=\(address(tuple.destination, connection))"
      if isICMP(connection) {
        text += " type=\(tuple.icmpType) code=\(tuple.icmpCode) id=\(tuple.icmpID)"
      } else if hasPorts(connection) {
        text += " sport=\(tuple.sourcePort) dport=\(tuple.destinationPort)"
      }
      return text + " packets=\(tuple.packetCount) bytes=\(tuple.byteCount)"
    }
    let name = name(connection)
    var text = name + String(repeating: " ", count: max(1, 9 - name.count))
    text += "\(connection.ipProtocol) \(connection.timeoutSeconds) "
    if let state = connection.tcpState { text += state + " " }
    text += tuple(connection.original) + " "
    if !connection.isReplied { text += "[UNREPLIED] " }
    text += tuple(connection.reply) + " "
    if connection.isReplied { text += "[ASSURED] " }
    text += "mark=\(connection.mark)"
    if connection.label != 0 { text += " labels=0x" + String(connection.label, radix: 16) }
    if let helper = connection.helper { text += " helper=\(helper)" }
    if connection.zone != 0 { text += " zone=\(connection.zone)" }
    return text
  }

  static func json(_ connection: ConnectionDescription) -> JSONValue {
    func tuple(_ tuple: ConnectionDescription.Tuple) -> JSONValue {
      var value: [String: JSONValue] = [
        "src": .string(address(tuple.source, connection)), "dst": .string(address(tuple.destination, connection)),
        "packets": JSONValue(tuple.packetCount), "bytes": JSONValue(tuple.byteCount),
      ]
      if isICMP(connection) {
        value["id"] = JSONValue(Int(tuple.icmpID))
        value["type"] = JSONValue(Int(tuple.icmpType))
        value["code"] = JSONValue(Int(tuple.icmpCode))
      } else if hasPorts(connection) {
        value["sport"] = JSONValue(Int(tuple.sourcePort))
        value["dport"] = JSONValue(Int(tuple.destinationPort))
      }
      return .object(value)
    }
    return [
      "protocol": .string(name(connection)), "protocol_number": JSONValue(Int(connection.ipProtocol)),
      "ip_version": JSONValue(connection.isIPv6 ? 6 : 4), "zone": JSONValue(Int(connection.zone)),
      "original": tuple(connection.original), "reply": tuple(connection.reply),
      "mark": JSONValue(Int(connection.mark)), "label": .string("0x" + String(connection.label, radix: 16)),
      "state": connection.tcpState.map(JSONValue.string) ?? .null,
      "timeout_seconds": JSONValue(Int(connection.timeoutSeconds)),
      "age_seconds": JSONValue(Int(connection.ageSeconds)), "replied": .boolean(connection.isReplied),
      "related": .boolean(connection.isRelated), "translated": .boolean(connection.isTranslated),
      "helper": connection.helper.map(JSONValue.string) ?? .null, "line": .string(line(connection)),
    ]
  }

  // MARK: what happened to them

  /// As conntrack(8) -E prints it.
  static func line(_ event: ConnectionEvent) -> String {
    let name = "[\(word(event.kind).uppercased())]"
    return String(repeating: " ", count: max(0, 9 - name.count)) + name + " " + line(event.connection)
  }

  static func json(_ event: ConnectionEvent) -> JSONValue {
    ["event": .string(word(event.kind)), "connection": json(event.connection), "line": .string(line(event))]
  }

  private static func word(_ kind: ConnectionEventKind) -> String {
    switch kind {
    case .new: "new"
    case .update: "update"
    case .destroy: "destroy"
    }
  }

  // MARK: parts

  static func name(_ connection: ConnectionDescription) -> String { name(connection.ipProtocol) }

  static func name(_ ipProtocol: UInt8) -> String {
    switch ipProtocol {
    case 1: "icmp"
    case 2: "igmp"
    case 6: "tcp"
    case 17: "udp"
    case 33: "dccp"
    case 58: "icmpv6"
    case 132: "sctp"
    case 136: "udplite"
    default: String(ipProtocol)
    }
  }

  private static func isICMP(_ connection: ConnectionDescription) -> Bool {
    connection.ipProtocol == 1 || connection.ipProtocol == 58
  }

  private static func hasPorts(_ connection: ConnectionDescription) -> Bool {
    connection.ipProtocol == 6 || connection.ipProtocol == 17 || connection.ipProtocol == 132
  }

  private static func address(_ address: UInt128, _ connection: ConnectionDescription) -> String {
    connection.isIPv6 ? AddressText.text(ipv6: address) : AddressText.text(ipv4: UInt32(truncatingIfNeeded: address))
  }
}
