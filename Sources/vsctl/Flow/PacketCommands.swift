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
    discussion: "Ends when it is interrupted.")

  @OptionGroup var connection: ConnectionOptions
  @OptionGroup var namesOptions: NamesOptions
  @Option(
    name: [.customShort("P"), .long],
    help: ArgumentHelp("Form of the packets: standard, nxt_packet_in, nxt_packet_in2 (default).", valueName: "format"))
  var packetInFormat = PacketFormatName.nxtPacketIn2
  @Argument(help: "Bytes of a packet that no rule matched (default: all).") var missLength: UInt16 = 0xffff

  func run(_ session: FlowSession) async throws -> Int32 {
    try await session.connected { client in
      let names = try await session.names(client)
      guard case .getConfigReply(var configuration) = try await client.ask(.getConfigRequest).body else {
        throw OpenFlowClientError.closed
      }
      configuration.missSendByteCount = missLength
      try await client.send(.setConfig(configuration))
      try await client.send(.setPacketInFormat(packetInFormat.format))
      _ = try await client.ask(.barrierRequest)
      let report = ReplyReport(names: namesOptions.showsNames ? names : NumberNames(), version: client.version)
      while let message = try await client.next() {
        if session.wantsJSON {
          if let value = Self.json(message, names, report) { session.print("", json: value) }
        } else if let text = report.text(message) {
          session.print(text)
        }
      }
      throw OpenFlowClientError.closed
    }
  }

  private static func json(_ message: Message, _ names: NumberNames, _ report: ReplyReport) -> JSONValue? {
    switch message.body {
    case .packetIn(let packet, _):
      let digits = packet.data.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
      return [
        "event": "packet_in", "in_port": .string(names.text(port: packet.inPort)),
        "reason": .string(ReplyReport.name(packet.reason)), "table": .integer(Int64(packet.table)),
        "cookie": .string("0x" + String(packet.cookie, radix: 16)),
        "total_bytes": .integer(Int64(packet.totalByteCount)), "packet": .string(digits.joined()),
        "headers": .string(report.headers(packet)),
      ]
    case .flowRemoved(let removed, _):
      return [
        "event": "flow_removed", "table": .integer(Int64(removed.table)),
        "priority": .integer(Int64(removed.priority)),
        "match": .string(MatchPrinter(names: names).text(removed.match)),
        "reason": .string(ReplyReport.name(removed.reason)), "packets": FlowJSON.number(removed.packetCount),
        "bytes": FlowJSON.number(removed.byteCount),
      ]
    case .portStatus(let status):
      return [
        "event": .string("port_\(status.reason == .add ? "added" : status.reason == .delete ? "removed" : "changed")"),
        "port": FlowJSON.value(status.port),
      ]
    default: return nil
    }
  }
}
