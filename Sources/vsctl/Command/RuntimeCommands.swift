// What the running switch knows: MAC table, counters, drops, status. One method of the control socket each; results
// come as JSON and are laid out here.

import ArgumentParser
import OVSDB

struct FDBGroup: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fdb", abstract: "Show and change a bridge's MAC table.",
    subcommands: [ShowFDBCommand.self, FlushFDBCommand.self, AddFDBCommand.self, DeleteFDBCommand.self])
}

struct PortGroup: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "port", abstract: "Show what ports have counted.", subcommands: [PortStatsCommand.self])
}

struct ShowFDBCommand: ControlVerb {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Print the MAC addresses that a bridge knows.")

  @Argument(completion: NameCompletion.bridge) var bridge: String

  func request() -> ControlRequest { ControlRequest(method: "fdb/show", parameters: [bridge]) }

  func output(_ result: JSONValue) throws(CommandFault) -> CommandOutput {
    let rows = (result.array ?? []).map { entry in
      let age = entry["static"]?.boolean == true ? "static" : entry["age"]?.integer.map { String($0) } ?? ""
      return [JSONText.cell(entry["port"]), JSONText.cell(entry["vlan"]), JSONText.cell(entry["mac"]), age]
    }
    return .table(["port", "VLAN", "MAC", "age"], rows, rightAligned: [1, 3])
  }
}

struct FlushFDBCommand: ControlVerb {
  static let configuration = CommandConfiguration(
    commandName: "flush", abstract: "Forget learned MAC addresses: all, or those of a VLAN or a port.")

  @Argument(completion: NameCompletion.bridge) var bridge: String
  @Argument(help: ArgumentHelp(valueName: "vlan=VLAN port=PORT")) var filters: [String] = []

  func request() throws(CommandFault) -> ControlRequest {
    for filter in filters {
      if filter.hasPrefix("vlan="), filter.utf8.count > 5 {
        _ = try VLANText.check(String(filter.dropFirst(5)))
      } else if !filter.hasPrefix("port=") || filter.utf8.count == 5 {
        throw CommandFault("\(filter) says nothing about what to forget", remedy: "write vlan=10 or port=p1")
      }
    }
    return ControlRequest(method: "fdb/flush", parameters: [bridge] + filters)
  }

  func output(_ result: JSONValue) -> CommandOutput {
    guard let count = result["removed"]?.integer else { return .none }
    return .line("\(count) removed", json: result)
  }
}

struct AddFDBCommand: ControlVerb {
  static let configuration = CommandConfiguration(
    commandName: "add", abstract: "Add a static MAC address, which does not age and does not move.")

  @Argument(completion: NameCompletion.bridge) var bridge: String
  @Argument(completion: NameCompletion.port) var port: String
  @Argument var vlan: String
  @Argument var mac: String

  func request() throws(CommandFault) -> ControlRequest {
    ControlRequest(method: "fdb/add", parameters: [bridge, port, try VLANText.check(vlan), try MACText.check(mac)])
  }
  func output(_ result: JSONValue) -> CommandOutput { CommandOutput(json: result) }
}

struct DeleteFDBCommand: ControlVerb {
  static let configuration = CommandConfiguration(
    commandName: "del", abstract: "Remove a MAC address, static or learned.")

  @Argument(completion: NameCompletion.bridge) var bridge: String
  @Argument var vlan: String
  @Argument var mac: String

  func request() throws(CommandFault) -> ControlRequest {
    ControlRequest(method: "fdb/del", parameters: [bridge, try VLANText.check(vlan), try MACText.check(mac)])
  }
  func output(_ result: JSONValue) -> CommandOutput { CommandOutput(json: result) }
}

struct PortStatsCommand: ControlVerb {
  static let configuration = CommandConfiguration(
    commandName: "stats", abstract: "Print packets, bytes, errors and drops of ports.")

  @Argument(completion: NameCompletion.bridge) var bridge: String?
  @Argument(completion: NameCompletion.port) var port: String?

  func request() -> ControlRequest {
    ControlRequest(method: "port/stats", parameters: [bridge, port].compactMap { $0 })
  }

  func output(_ result: JSONValue) throws(CommandFault) -> CommandOutput {
    let names = ["rx_packets", "rx_bytes", "rx_errors", "tx_packets", "tx_bytes", "tx_errors"]
    let rows = (result.array ?? []).map { port in
      [JSONText.cell(port["bridge"]), JSONText.cell(port["port"])] + names.prefix(3).map { JSONText.cell(port[$0]) }
        + [JSONText.sum(port["rx_drops"])] + names.suffix(3).map { JSONText.cell(port[$0]) }
        + [JSONText.sum(port["tx_drops"])]
    }
    return .table(
      [
        "bridge", "port", "rx packets", "rx bytes", "rx errors", "rx drops", "tx packets", "tx bytes", "tx errors",
        "tx drops",
      ],
      rows, rightAligned: Set(2...9))
  }
}

struct DropsCommand: ControlVerb {
  static let configuration = CommandConfiguration(
    commandName: "drops", abstract: "Print why packets were dropped, port by port.")

  @Argument(completion: NameCompletion.bridge) var bridge: String?

  func request() -> ControlRequest { ControlRequest(method: "drops/show", parameters: [bridge].compactMap { $0 }) }

  func output(_ result: JSONValue) throws(CommandFault) -> CommandOutput {
    let names = ["bridge", "port", "direction", "packets", "reason", "description"]
    let rows = (result.array ?? []).map { drop in names.map { JSONText.cell(drop[$0]) } }
    return .table(names, rows, rightAligned: [3])
  }
}

struct StatusCommand: ControlVerb {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Print how the running switch and its ports are.")

  func request() -> ControlRequest { ControlRequest(method: "status", parameters: []) }

  func output(_ result: JSONValue) throws(CommandFault) -> CommandOutput {
    var facts: [[String]] = []
    for name in ["version", "pid", "run_dir", "uptime_seconds", "io_engine"] {
      guard let value = result[name] else { continue }
      facts.append([name.map { $0 == "_" ? " " : String($0) }.joined() + ":", JSONText.cell(value)])
    }
    let ports = result["ports"]?.array ?? []
    let rows = ports.map { port in
      let own = port["io_engine"]?.string
      var remarks = [port["error"]?.string].compactMap { $0 }.filter { !$0.isEmpty }
      if own == "epoll" { remarks.append("io_uring is refused here: runs on epoll") }
      return ["bridge", "port", "port_number", "link", "mtu", "mac", "io_engine"].map { JSONText.cell(port[$0]) }
        + [TextSafety.oneLine(remarks.joined(separator: "; "))]
    }
    let summary = AlignedTable(headings: [], rows: facts).text
    let table = AlignedTable(
      headings: ["bridge", "port", "number", "link", "mtu", "mac", "engine", "remarks"], rows: rows,
      rightAligned: [2, 4], separator: "  ", trimsLineEnds: true)
    return CommandOutput(body: .text(summary + (rows.isEmpty ? "" : "\n" + table.text)), json: result)
  }
}
