// Connections that the switch tracks: listed, forgotten, counted. Methods of the control socket; results come as JSON.

import ArgumentParser
import OVSDB

struct ConntrackGroup: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "conntrack", abstract: "Show and forget connections that rules track with ct().",
    subcommands: [
      ListConnectionsCommand.self, ShowConnectionsCommand.self, FlushConnectionsCommand.self,
      FollowConnectionsCommand.self, ConntrackStatsCommand.self, ConntrackZonesCommand.self,
    ])
}

/// What connections are meant.
private let filterHelp = ArgumentHelp(
  "Which: a zone, then what the original direction has, then the reply: ct_nw_src, ct_nw_dst, ct_nw_proto, ct_tp_src, ct_tp_dst.",
  valueName: "zone=N ct_nw_src=A,…")

struct ListConnectionsCommand: ControlVerb {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "Print connections, a line each, as conntrack -L does.",
    discussion: "For example: vsctl conntrack list zone=5 ct_nw_src=10.0.0.1,ct_nw_proto=6,ct_tp_dst=80")

  @Argument(help: filterHelp) var filters: [String] = []

  func request() -> ControlRequest { ControlRequest(method: "conntrack/list", parameters: filters) }

  func output(_ result: JSONValue) -> CommandOutput {
    let lines = (result["connections"]?.array ?? []).compactMap { $0["line"]?.string }
    return CommandOutput(body: .text(lines.map { TextSafety.oneLine($0) + "\n" }.joined()), json: result)
  }
}

struct ShowConnectionsCommand: ControlVerb {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Print connections as a table.")

  @Argument(help: filterHelp) var filters: [String] = []

  func request() -> ControlRequest { ControlRequest(method: "conntrack/list", parameters: filters) }

  func output(_ result: JSONValue) throws(CommandFault) -> CommandOutput {
    func end(_ tuple: JSONValue?, _ address: String, _ port: String) -> String {
      let host = JSONText.cell(tuple?[address])
      guard let number = tuple?[port]?.integer else { return host }
      return host.contains(":") ? "[\(host)]:\(number)" : "\(host):\(number)"
    }
    let rows = (result["connections"]?.array ?? []).map { connection in
      let (original, reply) = (connection["original"], connection["reply"])
      let packets = (original?["packets"]?.integer ?? 0) + (reply?["packets"]?.integer ?? 0)
      let bytes = (original?["bytes"]?.integer ?? 0) + (reply?["bytes"]?.integer ?? 0)
      return [
        JSONText.cell(connection["zone"]), JSONText.cell(connection["protocol"]), end(original, "src", "sport"),
        end(original, "dst", "dport"), end(reply, "dst", "dport"), end(reply, "src", "sport"),
        JSONText.cell(connection["state"]), String(packets), String(bytes),
        JSONText.cell(connection["timeout_seconds"]),
      ]
    }
    return .table(
      ["zone", "protocol", "from", "to", "seen as", "answered by", "state", "packets", "bytes", "seconds left"], rows,
      rightAligned: [0, 7, 8, 9])
  }
}

struct FlushConnectionsCommand: ControlVerb {
  static let configuration = CommandConfiguration(
    commandName: "flush", abstract: "Forget connections: all, or those that are named.")

  @Argument(help: filterHelp) var filters: [String] = []

  func request() -> ControlRequest { ControlRequest(method: "dpctl/flush-conntrack", parameters: filters) }

  func output(_ result: JSONValue) -> CommandOutput {
    guard let count = result["removed"]?.integer else { return .none }
    return .line("\(count) removed", json: result)
  }
}

struct FollowConnectionsCommand: FollowingVerb {
  static let configuration = CommandConfiguration(
    commandName: "events", abstract: "Print what happens to connections from now on, as conntrack -E does.",
    discussion: "Ends with Ctrl-C, or after --count events.")

  @Option(help: ArgumentHelp("End after so many events.", valueName: "n")) var count: Int?
  @Argument(help: filterHelp) var filters: [String] = []

  func validate() throws {
    if let count, count < 1 { throw ValidationError("--count must be at least 1") }
  }

  func request(after next: Int64?) -> ControlRequest {
    ControlRequest(method: "conntrack/events", parameters: (next.map { ["after=\($0)"] } ?? []) + filters)
  }

  func output(_ result: JSONValue) -> CommandOutput {
    let lines = (result["events"]?.array ?? []).compactMap { $0["line"]?.string }
    return CommandOutput(body: .text(lines.map { TextSafety.oneLine($0) + "\n" }.joined()), json: result["events"])
  }

  func isEnough(_ count: Int) -> Bool { self.count.map { count >= $0 } ?? false }

  func count(_ result: JSONValue) -> Int { result["events"]?.array?.count ?? 0 }
}

struct ConntrackStatsCommand: ControlVerb {
  static let configuration = CommandConfiguration(
    commandName: "stats", abstract: "Print how many connections there are, and what became of others.")

  func request() -> ControlRequest { ControlRequest(method: "conntrack/stats", parameters: []) }

  func output(_ result: JSONValue) throws(CommandFault) -> CommandOutput {
    let names = [
      "connections", "limit", "created", "expired", "evicted", "refused", "invalid_packets", "ports_exhausted",
      "fragments_dropped", "expected",
    ]
    let rows = names.map { [$0.map { $0 == "_" ? " " : String($0) }.joined(), JSONText.cell(result[$0])] }
    return .table(["what", "count"], rows, rightAligned: [1])
  }
}

struct ConntrackZonesCommand: ControlVerb {
  static let configuration = CommandConfiguration(
    commandName: "zones", abstract: "Print the zones that have connections, a limit or timeouts of their own.")

  func request() -> ControlRequest { ControlRequest(method: "conntrack/zones", parameters: []) }

  func output(_ result: JSONValue) throws(CommandFault) -> CommandOutput {
    let names = ["zone", "connections", "limit", "refused", "timeouts"]
    let rows = (result["zones"]?.array ?? []).map { zone in names.map { JSONText.cell(zone[$0]) } }
    return .table(names, rows, rightAligned: [0, 1, 2, 3])
  }
}
