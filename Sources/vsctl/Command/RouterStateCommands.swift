// What running routers are and know. Methods of the control socket; results come as JSON.

import ArgumentParser
import OVSDB

struct RouterGroup: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "router", abstract: "Show virtual routers: ports, routes, neighbours.",
    subcommands: [ShowRouterCommand.self, RouterRoutesCommand.self, RouterNeighboursCommand.self])
}

struct ShowRouterCommand: ControlVerb {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Print routers with their ports, and what is wrong with them.")

  @Argument(completion: NameCompletion.router) var router: String?

  func request() -> ControlRequest {
    ControlRequest(method: "router/show", parameters: [router].compactMap(\.self))
  }

  func output(_ result: JSONValue) -> CommandOutput {
    let lines = (result.array ?? []).flatMap { ($0["lines"]?.array ?? []).compactMap(\.string) }
    return CommandOutput(body: .text(lines.map { TextSafety.oneLine($0) + "\n" }.joined()), json: result)
  }
}

struct RouterRoutesCommand: ControlVerb {
  static let configuration = CommandConfiguration(
    commandName: "routes", abstract: "Print the routes that a router uses, the longest prefixes first.")

  @Argument(completion: NameCompletion.router) var router: String

  func request() -> ControlRequest { ControlRequest(method: "router/routes", parameters: [router]) }

  func output(_ result: JSONValue) throws(CommandFault) -> CommandOutput {
    let rows = (result.array ?? []).map { route in
      ["prefix", "type", "next_hop", "port", "metric"].map { JSONText.cell(route[$0]) }
    }
    return .table(["prefix", "type", "next hop", "port", "metric"], rows, rightAligned: [4])
  }
}

struct RouterNeighboursCommand: ControlVerb {
  static let configuration = CommandConfiguration(
    commandName: "neighbours", abstract: "Print the hosts and routers that a router has found, as ip neighbour does.",
    aliases: ["neighbors"])

  @Argument(completion: NameCompletion.router) var router: String

  func request() -> ControlRequest { ControlRequest(method: "router/neighbours", parameters: [router]) }

  func output(_ result: JSONValue) throws(CommandFault) -> CommandOutput {
    let rows = (result.array ?? []).map { neighbour in
      ["address", "port", "mac", "state", "age", "waiting"].map { JSONText.cell(neighbour[$0]) }
    }
    return .table(["address", "port", "MAC", "state", "age", "packets waiting"], rows, rightAligned: [4, 5])
  }
}
