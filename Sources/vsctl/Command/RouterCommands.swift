// Virtual routers and their ports: rows of tables Router and Router_Port.

import ArgumentParser
import OVSDB
import VSwitchCore

extension NameCompletion {
  static let router = CompletionKind.shellCommand("vsctl list-routers 2>/dev/null")
}

/// What the tables of networks have in common for commands.
enum NetworkTables {
  /// Tables whose rows say in `error` why they don't work, and what their rows are called.
  static let reporting = [
    ("Router", "router"), ("Router_Port", "router port"), ("Route", "route"), ("Router_Policy", "policy"),
    ("NAT_Network", "NAT network"), ("Static_Lease", "static lease"), ("Forward", "forward"), ("Port", "port"),
    ("Security_Group_Rule", "rule"),
  ]

  /// Columns of a table that a command reads; an error where the database has no such table.
  static func needs(_ schema: DatabaseSchema, _ tables: [(String, [String]?)]) throws(CommandFault) -> Needs {
    var needs = Needs()
    for (name, columns) in tables {
      guard schema.table(name) != nil else {
        throw CommandFault(
          "the database has no table \(name)",
          remedy: "load this switch's schema into ovsdb-server: vsctl schema > vswitch.ovsschema")
      }
      needs.add(name, columns)
    }
    return needs
  }

  static func routerNeeds(_ schema: DatabaseSchema) throws(CommandFault) -> Needs {
    var needs = try needs(
      schema,
      [
        ("Router", nil), ("Router_Port", nil), ("Route", nil), ("Router_Policy", nil), ("Forward", nil),
        ("NAT_Network", ["name"]),
      ])
    needs.add(.bridges)
    needs.add("Interface", ["name"])
    return needs
  }

  /// Does one `column[:key]=value`; texts and lists of them are taken as they are.
  static func apply(
    _ setting: String, to uuid: RowUUID, in table: TableSchema, _ workspace: Workspace
  ) throws(CommandFault) {
    if let index = setting.firstIndex(of: "="), let column = table.column(String(setting[..<index])),
      column.type.key == .string, column.type.value == nil
    {
      let text = String(setting[setting.index(after: index)...])
      let column = try table.writableColumn(matching: column.name)
      let values = column.type.countMaximum > 1 ? text.split(separator: ",").map(String.init) : [text]
      workspace.set(table.name, uuid, column.name, to: .strings(values))
      return
    }
    try SetCommand.apply(setting, to: uuid, in: table, workspace)
  }
}

extension Workspace {
  func router(_ name: String) throws(CommandFault) -> Row {
    if let row = rows("Router", where: "name", is: name).first { return row }
    throw CommandFault(
      "no router named \(name)",
      remedy: Suggestion.remedy(for: name, among: unorderedRows("Router").map(\.name), listedAs: "routers"))
  }

  /// The router that has a port.
  func router(ofPort uuid: RowUUID) -> Row? {
    unorderedRows("Router").first { $0["ports"].uuids.contains(uuid) }
  }

  func routerPort(_ name: String) throws(CommandFault) -> Row {
    if let row = rows("Router_Port", where: "name", is: name).first { return row }
    throw CommandFault(
      "no router port named \(name)",
      remedy: Suggestion.remedy(for: name, among: unorderedRows("Router_Port").map(\.name), listedAs: "router ports"))
  }
}

struct AddRouterCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "add-router", abstract: "Add a virtual router and set columns of its row.",
    discussion: """
      For example two VLANs of a bridge, joined:
        vsctl add-router r1 -- add-router-port r1 br0 tag=10 addresses=10.0.10.1/24,fd00:10::1/64 \
      -- add-router-port r1 br0 tag=20 addresses=10.0.20.1/24,fd00:20::1/64
      Columns: vsctl help router
      """)

  @Flag(help: "Do nothing if there is such a router.") var mayExist = false
  @Argument var router: String
  @Argument(help: ArgumentHelp("Columns of Router: default_policy=drop", valueName: "column[:key]=value"))
  var settings: [String] = []

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { try NetworkTables.routerNeeds(schema) }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    guard let table = workspace.table("Router") else { return .none }
    if !workspace.rows("Router", where: "name", is: router).isEmpty {
      if mayExist { return .none }
      throw CommandFault(
        "there is a router \(router) already", remedy: "choose another name, or give --may-exist if it may be there")
    }
    if workspace.bridges.bridges[router] != nil {
      throw CommandFault("there is a bridge \(router)", remedy: "give the router another name")
    }
    if !workspace.rows("NAT_Network", where: "name", is: router).isEmpty {
      throw CommandFault("there is a NAT network \(router)", remedy: "give the router another name")
    }
    let uuid = workspace.insert(table, columns: ["name": .string(router)])
    for setting in settings { try NetworkTables.apply(setting, to: uuid, in: table, workspace) }
    return .none
  }
}

struct DeleteRouterCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "del-router", abstract: "Delete a virtual router with its ports, routes and policies.")

  @Flag(help: "Do nothing if there is no such router.") var ifExists = false
  @Argument(completion: NameCompletion.router) var router: String

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { try NetworkTables.routerNeeds(schema) }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    if ifExists, workspace.rows("Router", where: "name", is: router).isEmpty { return .none }
    let row = try workspace.router(router)
    for (column, table) in [
      ("ports", "Router_Port"), ("routes", "Route"), ("policies", "Router_Policy"), ("forwards", "Forward"),
    ] {
      for uuid in row[column].uuids { workspace.delete(table, uuid) }
    }
    workspace.delete("Router", row.uuid)
    return .none
  }
}

struct ListRoutersCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "list-routers", abstract: "Print the names of the virtual routers, one a line.")

  var mayWrite: Bool { false }
  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs {
    try NetworkTables.needs(schema, [("Router", ["name"])])
  }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    .names(workspace.rows("Router").map(\.name))
  }
}

struct AddRouterPortCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "add-router-port",
    abstract: "Join a network of a bridge to a router and set columns of the port's row.",
    discussion: """
      The network is a VLAN of the bridge (tag=10), or what is untagged on it. The port is called ROUTER-TAG or \
      ROUTER-BRIDGE, if no name is given; bridge and router both have a port of that name.
        vsctl add-router-port r1 br0 tag=10 addresses=10.0.10.1/24,fd00:10::1/64
        vsctl add-router-port r1 br-out name=uplink addresses=192.0.2.2/24 masquerade=true
      Columns: vsctl help router_port
      """)

  @Flag(help: "Do nothing if the router has the port already.") var mayExist = false
  @Argument(completion: NameCompletion.router) var router: String
  @Argument(completion: NameCompletion.bridge) var bridge: String
  @Argument(
    help: ArgumentHelp(
      "name=NAME, and columns of Router_Port: tag=10 addresses=10.0.10.1/24 mtu=9000",
      valueName: "column[:key]=value"))
  var settings: [String] = []

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { try NetworkTables.routerNeeds(schema) }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    guard let table = workspace.table("Router_Port") else { return .none }
    let row = try workspace.router(router)
    let target = try workspace.bridges.realBridge(bridge)
    var given: String?
    var tag: String?
    var columns: [String] = []
    for setting in settings {
      if setting.hasPrefix("name=") {
        given = String(setting.dropFirst(5))
      } else {
        if setting.hasPrefix("tag=") { tag = String(setting.dropFirst(4)) }
        columns.append(setting)
      }
    }
    for setting in columns where setting.hasPrefix("addresses=") {
      for text in setting.dropFirst(10).split(separator: ",") {
        guard text.contains("/"), InterfaceAddress(text) != nil else {
          throw CommandFault(
            "\"\(text)\" is no address with a prefix length", remedy: "write it as 10.0.10.1/24 or fd00:10::1/64")
        }
      }
    }
    if given == nil, !mayExist, let known = same(row, tag, workspace) {
      throw CommandFault(
        "router \(router) has a port to that network already: \(known)",
        remedy: "give it more addresses with set router_port \(known), or give another name: name=NAME")
    }
    let name: String
    if let given { name = given } else { name = try freeName(tag, workspace) }
    if let known = workspace.rows("Router_Port", where: "name", is: name).first {
      if mayExist, row["ports"].uuids.contains(known.uuid) { return .none }
      let owner = workspace.router(ofPort: known.uuid)?.name ?? "none"
      throw CommandFault("router \(owner) has a port \(name) already", remedy: "give another name: name=NAME")
    }
    try workspace.bridges.checkUnused(name, for: "port named \(name)")
    let uuid = workspace.insert(table, columns: ["name": .string(name), "bridge": .string(target.name)])
    workspace.merge("Router", row.uuid, "ports", adding: Datum(.uuid(uuid)))
    for setting in columns { try NetworkTables.apply(setting, to: uuid, in: table, workspace) }
    return .none
  }

  /// The router's port to the same network.
  private func same(_ row: Row, _ tag: String?, _ workspace: Workspace) -> String? {
    row["ports"].uuids.compactMap { workspace.row("Router_Port", $0) }
      .first { $0["bridge"].string == bridge && $0["tag"].integer.map(String.init) == tag }?.name
  }

  /// A name that follows from what the port is for.
  private func freeName(_ tag: String?, _ workspace: Workspace) throws(CommandFault) -> String {
    let candidates = tag.map { ["\(router)-\($0)", "\(router)-\(bridge)-\($0)"] } ?? ["\(router)-\(bridge)"]
    let model = workspace.bridges
    let free = candidates.first { name in
      workspace.rows("Router_Port", where: "name", is: name).isEmpty && model.ports[name] == nil
        && model.interfaces[name] == nil
    }
    if let free { return free }
    if mayExist { return candidates[0] }
    throw CommandFault(
      "router \(router) has a port to that network already: \(candidates[0])", remedy: "give another name: name=NAME")
  }
}

struct DeleteRouterPortCommand: Verb {
  static let configuration = CommandConfiguration(commandName: "del-router-port", abstract: "Delete a router's port.")

  @Flag(help: "Do nothing if there is no such port.") var ifExists = false
  @Argument(help: ArgumentHelp("The port, or its router and the port.", valueName: "[router] port"))
  var names: [String]

  func validate() throws {
    if names.count > 2 { throw ValidationError("'del-router-port' command takes at most 2 arguments") }
  }

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { try NetworkTables.routerNeeds(schema) }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let name = names.last ?? ""
    if ifExists, workspace.rows("Router_Port", where: "name", is: name).isEmpty { return .none }
    let port = try workspace.routerPort(name)
    let owner = workspace.router(ofPort: port.uuid)
    if names.count == 2, owner?.name != names[0] {
      throw CommandFault(
        "router \(names[0]) has no port \(name)",
        remedy: owner.map { "it is of router \($0.name)" } ?? "see list-routers")
    }
    if let owner { workspace.remove("Router", owner.uuid, "ports") { atom, _ in atom.uuid == port.uuid } }
    workspace.delete("Router_Port", port.uuid)
    return .none
  }
}

struct ListRouterPortsCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "list-router-ports", abstract: "Print the names of a router's ports, one a line.")

  @Argument(completion: NameCompletion.router) var router: String

  var mayWrite: Bool { false }
  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { try NetworkTables.routerNeeds(schema) }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let row = try workspace.router(router)
    return .names(row["ports"].uuids.compactMap { workspace.row("Router_Port", $0)?.name }.sorted(by: Atom.precedes))
  }
}
