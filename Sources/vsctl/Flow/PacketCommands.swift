// packet-out and monitor: packets to and from the tables. ovs-ofctl(8).

import ArgumentParser
import OVSDB
import OpenFlow
import VSwitchCore

struct PacketOutCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "packet-out", abstract: "Send a packet by actions.",
    discussion: """
      For example: vsctl packet-out br0 in_port=CONTROLLER,packet=HEX,actions=output:p1. ovs-ofctl's other form, packet-out \
      BRIDGE IN_PORT ACTIONS PACKET ..., is taken, too.
      """)

  @OptionGroup var connection: ConnectionOptions
  @Argument(help: "in_port, packet in hexadecimal, actions.") var packet: String
  @Argument(help: .hidden) var more: [String] = []

  func run(_ session: FlowSession) async throws -> Int32 {
    guard more.count != 1 else {
      throw CommandFault("there is no packet", remedy: "give it in hexadecimal behind the actions")
    }
    let texts =
      more.isEmpty ? [packet] : more.dropFirst().map { "in_port=\(packet),packet=\($0),actions=\(more[0])" }
    try await session.change { parser in
      try texts.map { text in
        do throws(FlowTextError) {
          let packet = try parser.packetOut(text)
          // Other fields than the port are 1.5's.
          var fields = packet.metadata.mask
          fields[.inPort] = 0
          let versions = fields == FlowMask() ? VersionSet.all : VersionSet([.v15])
          return FlowChange(body: .packetOut(packet), versions: versions, text: text)
        } catch {
          throw FlowInput.fault(error, in: text, at: "")
        }
      }
    }
    return 0
  }
}

enum PacketFormatName: String, ExpressibleByArgument, CaseIterable {
  case standard
  case nxtPacketIn = "nxt_packet_in"
  case nxtPacketIn2 = "nxt_packet_in2"

  var format: PacketInFormat {
    switch self {
    case .standard: .standard
    case .nxtPacketIn: .nxm
    case .nxtPacketIn2: .packetIn2
    }
  }
}

struct MonitorCommand: FlowVerb {
  static let configuration = CommandConfiguration(
    commandName: "monitor",
    abstract: "Print packets that rules send to controllers, and what becomes of ports and rules.",
    discussion: """
      Words behind the bridge, in any order: how many bytes of a packet that no rule matched are sent; invalid_ttl, for \
      packets whose TTL has run out, too; watch:[WHAT,...], for changes of rules, where WHAT is !initial, !add, !delete, \
      !modify, !actions or !own for what to leave out, or what the rules match at least, with table=, out_port=, out_group=, \
      too. Ends when it is interrupted.
      """)

  @OptionGroup var connection: ConnectionOptions
  @OptionGroup var namesOptions: NamesOptions
  @Option(
    name: [.customShort("P"), .long],
    help: ArgumentHelp("Form of the packets: standard, nxt_packet_in, nxt_packet_in2 (default).", valueName: "format"))
  var packetInFormat = PacketFormatName.nxtPacketIn2
  @Argument(help: "Bytes of a packet that no rule matched (default: all); invalid_ttl; watch:[WHAT,...].")
  var words: [String] = []

  /// What the words ask for.
  private struct Wanted {
    var missLength: UInt16 = 0xffff
    var sendsInvalidTTL = false
    var monitors: [FlowMonitorRequest] = []

    init(_ words: [String], _ names: NumberNames) throws(CommandFault) {
      for word in words {
        if let length = UInt16(word) {
          missLength = length
        } else if word == "invalid_ttl" {
          sendsInvalidTTL = true
        } else if word.hasPrefix("watch:") {
          let text = String(word.dropFirst(6))
          do throws(FlowTextError) {
            var request = try FlowTextParser(names: names).monitor(text)
            request.id = UInt32(monitors.count + 1)
            monitors.append(request)
          } catch {
            throw FlowInput.fault(error, in: text, at: "watch: ")
          }
        } else {
          throw CommandFault(
            "\"\(word)\" is nothing to monitor", remedy: "give a number of bytes, invalid_ttl, or watch:[WHAT,...]")
        }
      }
    }
  }

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.connected { client in
      let names = try await session.names(client)
      let wanted = try Wanted(words, names)
      guard case .getConfigReply(var configuration) = try await client.ask(.getConfigRequest).body else {
        throw OpenFlowClientError.closed
      }
      configuration.missSendByteCount = wanted.missLength
      configuration.sendsInvalidTTL = wanted.sendsInvalidTTL
      try await client.send(.setConfig(configuration))
      try await client.send(.setPacketInFormat(packetInFormat.format))
      _ = try await client.ask(.barrierRequest)
      for request in wanted.monitors {
        try await client.send(.multipartRequest(client.version.monitorRequest(request)))
      }
      let report = ReplyReport(names: namesOptions.showsNames ? names : NumberNames(), version: client.version)
      while let message = try await client.next() {
        if case .error(let refusal) = message.body {
          throw OpenFlowClientError.refused(refusal, xid: message.xid)
        }
        if session.wantsJSON {
          for value in Self.json(message, names, report) { session.print("", json: value) }
        } else if let text = report.text(message) {
          session.print(text)
        }
      }
      throw OpenFlowClientError.closed
    }
  }

  private static func json(_ message: Message, _ names: NumberNames, _ report: ReplyReport) -> [JSONValue] {
    switch message.body {
    case .packetIn(let packet, _):
      let digits = packet.data.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
      return [
        [
          "event": "packet_in", "in_port": .string(names.text(port: packet.inPort)),
          "reason": .string(ReplyReport.name(packet.reason)), "table": .integer(Int64(packet.table)),
          "cookie": .string("0x" + String(packet.cookie, radix: 16)),
          "total_bytes": .integer(Int64(packet.totalByteCount)), "packet": .string(digits.joined()),
          "headers": .string(report.headers(packet)),
        ]
      ]
    case .flowRemoved(let removed, _):
      return [
        [
          "event": "flow_removed", "table": .integer(Int64(removed.table)),
          "priority": .integer(Int64(removed.priority)),
          "match": .string(MatchPrinter(names: names).text(removed.match)),
          "reason": .string(ReplyReport.name(removed.reason)), "packets": FlowJSON.number(removed.packetCount),
          "bytes": FlowJSON.number(removed.byteCount),
        ]
      ]
    case .portStatus(let status):
      return [
        [
          "event": .string(
            "port_\(status.reason == .add ? "added" : status.reason == .delete ? "removed" : "changed")"),
          "port": FlowJSON.value(status.port),
        ]
      ]
    case .multipartReply(let part):
      guard case .flowMonitor(let updates) = part.body else { return [] }
      let printer = FlowPrinter(names: names, version: report.version)
      return updates.map { json($0, printer) }
    default: return []
    }
  }

  private static func json(_ update: FlowUpdate, _ printer: FlowPrinter) -> JSONValue {
    guard case .change(let change) = update else { return ["event": .string(printer.text(update))] }
    let event =
      switch change.event {
      case .initial: "initial"
      case .added: "added"
      case .removed: "deleted"
      case .modified: "modified"
      }
    var values: [String: JSONValue] = [
      "event": .string("flow_" + event), "table": .integer(Int64(change.table)),
      "priority": .integer(Int64(change.priority)), "cookie": .string("0x" + String(change.cookie, radix: 16)),
      "match": .string(printer.match(change.match)),
      "actions": .string(printer.instructions(change.instructions, of: change.match)),
    ]
    if change.event == .removed { values["reason"] = .string(ReplyReport.name(change.reason)) }
    return .object(values)
  }
}

extension OpenFlowVersion {
  /// Asks to watch rules: before 1.4 by an extension.
  fileprivate func monitorRequest(_ request: FlowMonitorRequest) -> MultipartRequest {
    MultipartRequest(.flowMonitor([request]), form: self < .v14 ? .extension : .standard)
  }
}
