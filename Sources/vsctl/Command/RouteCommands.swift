// Routes and policies of virtual routers: rows of tables Route and Router_Policy. Routes are written as iproute2 writes them.

import ArgumentParser
import OVSDB
import VSwitchCore

/// A route as it is written: `10.1.0.0/16 via 10.0.0.254 dev r1-10 metric 5`, `blackhole 10.0.0.0/8`.
struct RouteWords {
  var prefix: IPPrefix
  var columns: [String: Datum] = [:]

  init(_ words: [String]) throws(CommandFault) {
    var rest = words[...]
    func next(_ what: String) throws(CommandFault) -> String {
      guard let word = rest.popFirst() else {
        throw CommandFault("\(what) is missing", remedy: "write 10.1.0.0/16 via 10.0.0.254, or blackhole 10.0.0.0/8")
      }
      return word
    }
    var text = try next("the prefix")
    if let kind = RouterRoute.Kind(rawValue: text) {
      if kind != .unicast { columns["type"] = .string(kind.rawValue) }
      text = try next("the prefix")
    }
    var nextHop: IPAddress?
    while let word = rest.popFirst() {
      switch word {
      case "via":
        let address = try next("the address behind via")
        guard let parsed = IPAddress(address) else {
          throw CommandFault("\(address) is no address", remedy: "write via 10.0.0.254")
        }
        nextHop = parsed
        columns["next_hop"] = .string(parsed.description)
      case "dev": columns["port"] = .string(try next("the port behind dev"))
      case "metric":
        let number = try next("the number behind metric")
        guard let metric = UInt32(number) else {
          throw CommandFault("\(number) is no metric", remedy: "give a number from 0 to 4294967295")
        }
        columns["metric"] = .integer(Int64(metric))
      default:
        throw CommandFault("\(word) says nothing about a route", remedy: "write via ADDRESS, dev PORT or metric NUMBER")
      }
    }
    if text == "default", nextHop?.isIPv6 == true { text = "::/0" }
    guard let prefix = IPPrefix(text) else {
      throw CommandFault(
        "\(text) is no prefix", remedy: "write it as 10.1.0.0/16, with zeros behind the prefix length, or default")
    }
    if let nextHop, nextHop.isIPv6 != prefix.isIPv6 {
      throw CommandFault("\(nextHop) and \(prefix) are of different IP versions", remedy: "give both of one version")
    }
    self.prefix = prefix
    columns["prefix"] = .string(prefix.description)
  }

  /// Whether a row is what the words say.
  func matches(_ row: Row) -> Bool { columns.allSatisfy { row[$0.key] == $0.value } }

  static func text(_ row: Row) -> String {
    var words: [String] = []
    if let type = row["type"].string { words.append(type) }
    words.append(row["prefix"].string ?? "")
    if let nextHop = row["next_hop"].string { words += ["via", nextHop] }
    if let port = row["port"].string { words += ["dev", port] }
    if let metric = row["metric"].integer, metric != 0 { words += ["metric", "\(metric)"] }
    return words.joined(separator: " ")
  }
}

private let routeHelp = ArgumentHelp(
  "[blackhole|unreachable|prohibit] PREFIX [via ADDRESS] [dev PORT] [metric NUMBER]", valueName: "route")

struct AddRouteCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "add-route", abstract: "Add a route to a router.",
    discussion: """
      For example: vsctl add-route r1 0.0.0.0/0 via 10.0.0.254
      Several routes with the same prefix and metric share the connections (ECMP).
      """)

  @Flag(help: "Do nothing if the router has the route already.") var mayExist = false
  @Argument(completion: NameCompletion.router) var router: String
  @Argument(help: routeHelp) var route: [String]

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { try NetworkTables.routerNeeds(schema) }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    guard let table = workspace.table("Route") else { return .none }
    let row = try workspace.router(router)
    let words = try RouteWords(route)
    let same = row["routes"].uuids.compactMap { workspace.row("Route", $0) }.first { known in
      words.matches(known) && RouteWords.text(known).split(separator: " ").count <= route.count
    }
    if same != nil {
      if mayExist { return .none }
      throw CommandFault(
        "router \(router) has the route \(words.prefix) already",
        remedy: "delete it first: del-route, or give --may-exist")
    }
    let uuid = workspace.insert(table, columns: words.columns)
    workspace.merge("Router", row.uuid, "routes", adding: Datum(.uuid(uuid)))
    return .none
  }
}

struct DeleteRouteCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "del-route", abstract: "Delete routes of a router: all to the prefix, or those that are as written.")

  @Flag(help: "Do nothing if there is no such route.") var ifExists = false
  @Argument(completion: NameCompletion.router) var router: String
  @Argument(help: routeHelp) var route: [String]

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { try NetworkTables.routerNeeds(schema) }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let row = try workspace.router(router)
    let words = try RouteWords(route)
    let found = row["routes"].uuids.filter { workspace.row("Route", $0).map(words.matches) ?? false }
    if found.isEmpty, !ifExists {
      let known = row["routes"].uuids.compactMap { workspace.row("Route", $0)?["prefix"].string }
      throw CommandFault(
        "router \(router) has no such route to \(words.prefix)",
        remedy: Suggestion.remedy(for: words.prefix.description, among: known, listedAs: "routes"))
    }
    let gone = Set(found)
    workspace.remove("Router", row.uuid, "routes") { atom, _ in atom.uuid.map(gone.contains) ?? false }
    for uuid in found { workspace.delete("Route", uuid) }
    return .none
  }
}

struct ListRoutesCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "list-routes", abstract: "Print the routes that a router was given, one a line.",
    discussion: "What it does with all its routes: vsctl router routes ROUTER")

  @Argument(completion: NameCompletion.router) var router: String

  var mayWrite: Bool { false }
  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { try NetworkTables.routerNeeds(schema) }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let row = try workspace.router(router)
    return .names(row["routes"].uuids.compactMap { workspace.row("Route", $0).map(RouteWords.text) }.sorted())
  }
}

// MARK: policies

/// A policy as it is written: `drop in=r1-10 out=r1-20 proto=tcp dport=22,8000-8080 priority=200`.
struct PolicyWords {
  /// The columns by the words for them; lists have commas.
  static let keys: [(word: String, column: String)] = [
    ("priority", "priority"), ("in", "in_port"), ("out", "out_port"), ("src", "source"), ("dst", "destination"),
    ("proto", "protocol"), ("sport", "source_ports"), ("dport", "destination_ports"),
  ]
  var columns: [String: Datum] = [:]

  init(_ words: [String]) throws(CommandFault) {
    for word in words {
      if RouterPolicy.Verdict(rawValue: word) != nil {
        columns["action"] = .string(word)
        continue
      }
      let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
      guard parts.count == 2, let key = Self.keys.first(where: { $0.word == parts[0] || $0.column == parts[0] }) else {
        throw CommandFault(
          "\(word) says nothing about a policy",
          remedy: "write accept, drop or reject, and \(Self.keys.map { $0.word + "=" }.joined(separator: " "))")
      }
      let text = parts[1]
      switch key.word {
      case "priority":
        guard let number = Int64(text), (0...Int64(RouterPolicy.priorityLimit)).contains(number) else {
          throw CommandFault("\(text) is no priority", remedy: "give a number from 0 to \(RouterPolicy.priorityLimit)")
        }
        columns[key.column] = .integer(number)
      case "src", "dst":
        guard let prefix = IPPrefix(text), text != "default" else {
          throw CommandFault(
            "\(text) is no prefix", remedy: "write it as 10.1.0.0/16, with zeros behind the prefix length")
        }
        columns[key.column] = .string(prefix.description)
      case "sport", "dport": columns[key.column] = .strings(text.split(separator: ",").map(String.init))
      default: columns[key.column] = .string(text)
      }
    }
  }

  func matches(_ row: Row) -> Bool { columns.allSatisfy { row[$0.key] == $0.value } }

  static func text(_ row: Row) -> String {
    var words = [row["action"].string ?? ""]
    for key in keys {
      let value = row[key.column]
      if let number = value.integer {
        words.append("\(key.word)=\(number)")
      } else if !value.strings.isEmpty {
        words.append("\(key.word)=\(value.strings.joined(separator: ","))")
      }
    }
    return words.joined(separator: " ")
  }
}

private let policyHelp = ArgumentHelp(
  "accept|drop|reject [in=PORT] [out=PORT] [src=PREFIX] [dst=PREFIX] [proto=tcp] [sport=PORTS] [dport=22,8000-8080] [priority=100]",
  valueName: "policy")

struct AddRouterPolicyCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "add-router-policy", abstract: "Say which connections may pass a router.",
    discussion: """
      A policy is about who may begin: what belongs to a connection that may pass, passes in both directions.
      Of several that match the one with the highest priority counts, and of these one that forbids. What no policy \
      speaks of does as the router's default_policy says.
        vsctl add-router-policy r1 drop in=r1-20 out=r1-10
        vsctl add-router-policy r1 accept in=r1-20 dst=10.0.10.5 proto=tcp dport=80,443 priority=200
      """)

  @Argument(completion: NameCompletion.router) var router: String
  @Argument(help: policyHelp) var policy: [String]

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { try NetworkTables.routerNeeds(schema) }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    guard let table = workspace.table("Router_Policy") else { return .none }
    let row = try workspace.router(router)
    var words = try PolicyWords(policy)
    guard words.columns["action"] != nil else {
      throw CommandFault("the policy says nothing about what to do", remedy: "write accept, drop or reject")
    }
    if words.columns["priority"] == nil { words.columns["priority"] = .integer(100) }
    let uuid = workspace.insert(table, columns: words.columns)
    workspace.merge("Router", row.uuid, "policies", adding: Datum(.uuid(uuid)))
    return .none
  }
}

struct DeleteRouterPolicyCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "del-router-policy", abstract: "Delete those policies of a router that are as written, or all.")

  @Flag(help: "Delete all policies of the router.") var all = false
  @Argument(completion: NameCompletion.router) var router: String
  @Argument(help: policyHelp) var policy: [String] = []

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { try NetworkTables.routerNeeds(schema) }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let row = try workspace.router(router)
    if policy.isEmpty != all {
      throw CommandFault(
        "del-router-policy \(router) does not say which",
        remedy: "write the policy as list-router-policies does, or --all")
    }
    let words = try PolicyWords(policy)
    let found = row["policies"].uuids.filter { workspace.row("Router_Policy", $0).map(words.matches) ?? false }
    if found.isEmpty, !all {
      throw CommandFault("router \(router) has no such policy", remedy: "see list-router-policies \(router)")
    }
    let gone = Set(found)
    workspace.remove("Router", row.uuid, "policies") { atom, _ in atom.uuid.map(gone.contains) ?? false }
    for uuid in found { workspace.delete("Router_Policy", uuid) }
    return .none
  }
}

struct ListRouterPoliciesCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "list-router-policies", abstract: "Print a router's policies in the order in which they count.")

  @Argument(completion: NameCompletion.router) var router: String

  var mayWrite: Bool { false }
  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { try NetworkTables.routerNeeds(schema) }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let row = try workspace.router(router)
    let order = ["drop": 0, "reject": 1, "accept": 2]
    let policies = row["policies"].uuids.compactMap { workspace.row("Router_Policy", $0) }
      .map { (-($0["priority"].integer ?? 0), order[$0["action"].string ?? ""] ?? 3, PolicyWords.text($0)) }.sorted(
        by: <)
    return .names(policies.map(\.2) + ["\(row["default_policy"].string ?? "accept") all else"])
  }
}
