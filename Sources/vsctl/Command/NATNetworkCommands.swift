// NAT networks: rows of table NAT_Network. Their forwards and leases: NATNetworkContentCommands.swift.

import ArgumentParser
import OVSDB
import VSwitchCore

extension NameCompletion {
  static let natNetwork = CompletionKind.shellCommand("vsctl list-natnets 2>/dev/null")
}

extension NetworkTables {
  static func natNetworkNeeds(_ schema: DatabaseSchema) throws(CommandFault) -> Needs {
    var needs = try needs(
      schema,
      [
        ("NAT_Network", nil), ("Static_Lease", nil), ("Forward", nil), ("DHCP_Lease", nil),
        ("Router", ["name", "forwards"]),
      ])
    needs.add(.bridges)
    return needs
  }
}

extension Workspace {
  func natNetwork(_ name: String) throws(CommandFault) -> Row {
    if let row = rows("NAT_Network", where: "name", is: name).first { return row }
    throw CommandFault(
      "no NAT network named \(name)",
      remedy: Suggestion.remedy(for: name, among: unorderedRows("NAT_Network").map(\.name), listedAs: "NAT networks"))
  }
}

struct AddNATNetworkCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "add-natnet", abstract: "Add a network of guests with addresses, names and a way out.",
    discussion: """
      Ports with the network's tag get an address by DHCP, names are resolved, and connections go out with another source \
      address; none comes in but to ports that are forwarded (vsctl forward).
        vsctl add-natnet lab 192.168.77.0/24 tag=77
        vsctl add-natnet lab 192.168.77.0/24,fd00:77::/64 tag=77 uplink=br-out addresses=192.0.2.5/24 gateways=192.0.2.1
        vsctl add-natnet quiet 10.9.0.0/24 tag=9 kind=internal dns=off
      The bridge need not be named (bridge=br0) where there is one only. Columns: vsctl help nat_network
      """)

  @Flag(help: "Do nothing if there is such a network.") var mayExist = false
  @Argument var network: String
  @Argument(help: ArgumentHelp("One IPv4 and one IPv6 network, with a comma between them.", valueName: "subnet"))
  var subnets: String
  @Argument(
    help: ArgumentHelp(
      "Columns of NAT_Network: tag=77 kind=internal dns=off pool=192.168.77.100-192.168.77.199",
      valueName: "column[:key]=value"))
  var settings: [String] = []

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { try NetworkTables.natNetworkNeeds(schema) }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    guard let table = workspace.table("NAT_Network") else { return .none }
    if !workspace.rows("NAT_Network", where: "name", is: network).isEmpty {
      if mayExist { return .none }
      throw CommandFault(
        "there is a NAT network \(network) already",
        remedy: "choose another name, or give --may-exist if it may be there")
    }
    guard workspace.bridges.bridges[network] == nil, workspace.rows("Router", where: "name", is: network).isEmpty else {
      throw CommandFault("there is a bridge or router \(network)", remedy: "give the network another name")
    }
    let parts = subnets.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    for part in parts {
      guard part.contains("/"), InterfaceAddress(part) != nil else {
        throw CommandFault("\"\(part)\" is no network", remedy: "write it as 192.168.77.0/24 or fd00:77::/64")
      }
    }
    let isNamed = settings.contains { $0.hasPrefix("bridge=") }
    var columns: [String: Datum] = ["name": .string(network), "subnets": .strings(parts)]
    if !isNamed { columns["bridge"] = .string(try theBridge(workspace)) }
    let uuid = workspace.insert(table, columns: columns)
    for setting in settings {
      let setting = Self.spelled(setting)
      if setting.hasPrefix("bridge=") {
        _ = try workspace.bridges.realBridge(String(setting.dropFirst(7)))
      }
      try NetworkTables.apply(setting, to: uuid, in: table, workspace)
    }
    return .none
  }

  /// `on` and `off` for switches, hyphens in names of columns.
  static func spelled(_ setting: String) -> String {
    guard let index = setting.firstIndex(of: "=") else { return setting }
    var name = setting[..<index].replacing("-", with: "_")
    if ["address", "gateway"].contains(name) { name += name.hasSuffix("s") ? "es" : "s" }
    let value = setting[setting.index(after: index)...]
    guard ["dhcp", "dns"].contains(name) else { return "\(name)=\(value)" }
    return "\(name)=\(["on": "true", "yes": "true", "off": "false", "no": "false"][value] ?? String(value))"
  }

  /// The one bridge that there is, besides that of the uplink.
  private func theBridge(_ workspace: Workspace) throws(CommandFault) -> String {
    let uplink = settings.first { $0.hasPrefix("uplink=") }.map { $0.dropFirst(7).prefix { $0 != ":" } } ?? ""
    let all = workspace.bridges.bridges.values.filter { $0.parent == nil }.map(\.name).sorted(by: Atom.precedes)
    let others = all.filter { $0 != uplink }
    if let only = others.first, others.count == 1 { return only }
    if let only = all.first, all.count == 1 { return only }
    throw CommandFault(
      all.isEmpty ? "there is no bridge for the network yet" : "there are several bridges",
      remedy: all.first.map { "name the one with the guests: bridge=\(others.first ?? $0)" }
        ?? "add one: vsctl add-br br0")
  }
}

struct DeleteNATNetworkCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "del-natnet", abstract: "Delete a NAT network with its forwards and leases.")

  @Flag(help: "Do nothing if there is no such network.") var ifExists = false
  @Argument(completion: NameCompletion.natNetwork) var network: String

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { try NetworkTables.natNetworkNeeds(schema) }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    if ifExists, workspace.rows("NAT_Network", where: "name", is: network).isEmpty { return .none }
    let row = try workspace.natNetwork(network)
    for (column, table) in [("static_leases", "Static_Lease"), ("forwards", "Forward")] {
      for uuid in row[column].uuids { workspace.delete(table, uuid) }
    }
    for lease in workspace.rows("DHCP_Lease", where: "network", is: network) {
      workspace.delete("DHCP_Lease", lease.uuid)
    }
    workspace.delete("NAT_Network", row.uuid)
    return .none
  }
}

struct ListNATNetworksCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "list-natnets", abstract: "Print the names of the NAT networks, one a line.")

  var mayWrite: Bool { false }
  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs {
    try NetworkTables.needs(schema, [("NAT_Network", ["name"])])
  }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    .names(workspace.rows("NAT_Network").map(\.name))
  }
}

struct ShowNATNetworkCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "show-natnet", abstract: "Print what a NAT network is, with its forwards and leases.")

  @Argument(completion: NameCompletion.natNetwork) var network: String

  var mayWrite: Bool { false }
  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { try NetworkTables.natNetworkNeeds(schema) }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let row = try workspace.natNetwork(network)
    var lines: [(String, String)] = []
    func add(_ title: String, _ text: String?) { if let text, !text.isEmpty { lines.append((title, text)) } }
    func status(_ key: String) -> String? { row["status"][key]?.string }
    let tag = row["tag"].integer.map { " tag \($0)" } ?? ""
    add("kind", row["kind"].string ?? "nat")
    add("bridge", (row["bridge"].string ?? "") + tag)
    add("subnets", row["subnets"].strings.joined(separator: ", "))
    add("switch", status("addresses"))
    add("outside", status("outer-addresses"))
    add("host", status("host-addresses"))
    add("pool", status("pool"))
    add("error", row["error"].string)
    for forward in workspace.forwards(of: row) { add("forward", ForwardWords.text(forward)) }
    for lease in workspace.leases(of: network) { add("lease", LeaseText.words(lease).joined(separator: " ")) }
    let text = lines.map { TextSafety.oneLine("\($0.0): \($0.1)") + "\n" }.joined()
    var json: [String: JSONValue] = ["name": .string(network)]
    for (title, text) in lines {
      let list = json[title]?.array ?? []
      json[title] = .array(list + [.string(text)])
    }
    return CommandOutput(body: .text(text), json: .object(json))
  }
}
