// What belongs to a NAT network: forwarded ports (table Forward), fixed addresses (Static_Lease), leases (DHCP_Lease).

import ArgumentParser
import Glibc
import OVSDB
import VSwitchCore

extension Workspace {
  /// Who forwards ports: a NAT network or a router, with its table.
  func forwarder(_ name: String) throws(CommandFault) -> (table: String, row: Row) {
    if let row = rows("Router", where: "name", is: name).first { return ("Router", row) }
    return ("NAT_Network", try natNetwork(name))
  }

  /// In order of protocol and port.
  func forwards(of network: Row) -> [Row] {
    network["forwards"].uuids.compactMap { row("Forward", $0) }.sorted { a, b in
      (a["protocol"].string ?? "", ForwardWords.firstPort(a)) < (b["protocol"].string ?? "", ForwardWords.firstPort(b))
    }
  }

  func staticLeases(of network: Row) -> [Row] {
    network["static_leases"].uuids.compactMap { row("Static_Lease", $0) }
      .sorted { ($0["mac"].string ?? "") < ($1["mac"].string ?? "") }
  }

  /// In order of their addresses.
  func leases(of network: String) -> [Row] {
    rows("DHCP_Lease", where: "network", is: network).sorted { a, b in
      (IPAddress(a["address"].string ?? "")?.bits ?? 0) < (IPAddress(b["address"].string ?? "")?.bits ?? 0)
    }
  }
}

/// A forward as it is written: `tcp 8080 web:80`.
enum ForwardWords {
  static func text(_ row: Row) -> String {
    var words = [row["protocol"].string ?? ""]
    let port = row["port"].string ?? ""
    words.append(row["address"].string.map { $0.contains(":") ? "[\($0)]:\(port)" : "\($0):\(port)" } ?? port)
    let target = row["target"].string ?? ""
    let host = target.contains(":") ? "[\(target)]" : target
    words.append(row["target_port"].integer.map { "\(host):\($0)" } ?? host)
    if let error = row["error"].string { words.append("(\(error))") }
    return words.joined(separator: " ")
  }

  static func firstPort(_ row: Row) -> Int {
    Int((row["port"].string ?? "").prefix { ("0"..."9").contains($0) }) ?? 0
  }

  /// `web`, `web:80`, `10.0.0.1:80`, `[fd00::5]:80`, `fd00::5`.
  static func target(_ text: String) throws(CommandFault) -> (host: String, port: UInt16?) {
    if IPAddress(text) != nil { return (text, nil) }
    var host = Substring(text)
    var port: UInt16?
    if let colon = text.lastIndex(of: ":") {
      guard let number = UInt16(text[text.index(after: colon)...]), number > 0 else {
        throw CommandFault("\"\(text)\" has no port behind its colon", remedy: "write HOST:PORT, such as web:80")
      }
      port = number
      host = text[..<colon]
    }
    if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
    guard IPAddress(host) != nil || DHCPMessage.hostName(String(host)) != nil else {
      throw CommandFault(
        "\"\(host)\" is neither an address nor a host name", remedy: "write HOST:PORT, such as web:80 or [fd00::5]:80")
    }
    return (String(host), port)
  }

  /// `8080` or `8000-8010`.
  static func checkPort(_ text: String) throws(CommandFault) {
    let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { UInt16($0) }
    guard (1...2).contains(ends.count), let first = ends.first ?? nil, let last = ends.last ?? nil, first > 0,
      first <= last
    else { throw CommandFault("\"\(text)\" is no port", remedy: "write 8080, or a range such as 8000-8010") }
  }

  static func checkProtocol(_ text: String) throws(CommandFault) {
    guard ["tcp", "udp"].contains(text) else {
      throw CommandFault("\"\(text)\" has no ports that can be forwarded", remedy: "write tcp or udp")
    }
  }
}

struct ForwardCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "forward",
    abstract: "Let connections to an outer port of a NAT network or a router come in to a host behind it.",
    discussion: """
      A guest is named by its lease or by its address, a host behind a router by its address; without a port it is the same \
      one.
        vsctl forward lab tcp 8080 web:80
        vsctl forward r1 tcp 8080 10.0.10.5:80
        vsctl forward lab udp 5000-5010 192.168.77.20
        vsctl forward lab tcp 8080 web:80 address=192.0.2.5
      """)

  @Argument(completion: NameCompletion.natNetwork) var network: String
  @Argument(help: ArgumentHelp("tcp or udp", valueName: "protocol")) var ipProtocol: String
  @Argument(help: ArgumentHelp("The outer port, or a range.")) var port: String
  @Argument(help: ArgumentHelp(valueName: "host[:port]")) var target: String
  @Argument(help: ArgumentHelp("Columns of Forward: address=192.0.2.5", valueName: "column=value"))
  var settings: [String] = []

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { try NetworkTables.natNetworkNeeds(schema) }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    guard let table = workspace.table("Forward") else { return .none }
    let (owner, row) = try workspace.forwarder(network)
    try ForwardWords.checkProtocol(ipProtocol)
    try ForwardWords.checkPort(port)
    let (host, targetPort) = try ForwardWords.target(target)
    let address = settings.first { $0.hasPrefix("address=") }.map { String($0.dropFirst(8)) }
    for other in workspace.forwards(of: row)
    where other["protocol"].string == ipProtocol && other["port"].string == port && other["address"].string == address {
      // The same port of addresses of the other IP version is another one.
      if let new = IPAddress(host), let old = other["target"].string.flatMap({ IPAddress($0) }),
        new.isIPv6 != old.isIPv6
      {
        continue
      }
      throw CommandFault(
        "\(ipProtocol) port \(port) is forwarded already: \(ForwardWords.text(other))",
        remedy: "take that away first: vsctl unforward \(network) \(ipProtocol) \(port)")
    }
    var columns: [String: Datum] = [
      "protocol": .string(ipProtocol), "port": .string(port), "target": .string(host),
    ]
    if let targetPort { columns["target_port"] = .integer(Int64(targetPort)) }
    let uuid = workspace.insert(table, columns: columns)
    for setting in settings { try NetworkTables.apply(setting, to: uuid, in: table, workspace) }
    workspace.merge(owner, row.uuid, "forwards", adding: Datum(.uuid(uuid)))
    return .none
  }
}

struct UnforwardCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "unforward", abstract: "Take a forwarded port away.")

  @Flag(help: "Do nothing if it is not forwarded.") var ifExists = false
  @Argument(completion: NameCompletion.natNetwork) var network: String
  @Argument(help: ArgumentHelp("tcp or udp", valueName: "protocol")) var ipProtocol: String
  @Argument(help: ArgumentHelp("The outer port or range, as it was given.")) var port: String

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { try NetworkTables.natNetworkNeeds(schema) }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let (owner, row) = try workspace.forwarder(network)
    let all = workspace.forwards(of: row)
    let found = all.filter { $0["protocol"].string == ipProtocol && $0["port"].string == port }
    if found.isEmpty {
      if ifExists { return .none }
      throw CommandFault(
        "\(network) does not forward \(ipProtocol) port \(port)",
        remedy: all.isEmpty ? "it forwards none" : "it forwards \(all.map(ForwardWords.text).joined(separator: "; "))")
    }
    for forward in found {
      workspace.remove(owner, row.uuid, "forwards") { atom, _ in atom.uuid == forward.uuid }
      workspace.delete("Forward", forward.uuid)
    }
    return .none
  }
}

struct ListForwardsCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "list-forwards", abstract: "Print the forwarded ports of a NAT network or a router, one a line.")

  @Argument(completion: NameCompletion.natNetwork) var network: String

  var mayWrite: Bool { false }
  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { try NetworkTables.natNetworkNeeds(schema) }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    .names(workspace.forwards(of: try workspace.forwarder(network).row).map(ForwardWords.text))
  }
}

// MARK: leases

struct AddLeaseCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "add-lease", abstract: "Fix the address, the name or both of a station of a NAT network.",
    discussion: "For example: vsctl add-lease lab 52:54:00:12:34:56 192.168.77.20 web")

  @Argument(completion: NameCompletion.natNetwork) var network: String
  @Argument(help: ArgumentHelp("The station's Ethernet address.")) var mac: String
  @Argument(help: ArgumentHelp("An IPv4 address, a host name, or both.", valueName: "address|name")) var words: [String]

  func validate() throws {
    if words.isEmpty || words.count > 2 { throw ValidationError("give an address, a name or both") }
  }

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { try NetworkTables.natNetworkNeeds(schema) }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    guard let table = workspace.table("Static_Lease") else { return .none }
    let row = try workspace.natNetwork(network)
    guard let station = MACAddress(mac), !station.isMulticast else {
      throw CommandFault("\"\(mac)\" is no address of a station", remedy: "write it as 52:54:00:12:34:56")
    }
    for other in workspace.staticLeases(of: row) where MACAddress(other["mac"].string ?? "") == station {
      throw CommandFault(
        "\(station) has a static lease already", remedy: "delete it first: vsctl del-lease \(network) \(station)")
    }
    var columns: [String: Datum] = ["mac": .string(station.description)]
    for word in words {
      let column = IPAddress(word) == nil ? "name" : "address"
      guard columns[column] == nil else {
        throw CommandFault("two \(column)s were given", remedy: "give one address and one name")
      }
      columns[column] = .string(word)
    }
    let uuid = workspace.insert(table, columns: columns)
    workspace.merge("NAT_Network", row.uuid, "static_leases", adding: Datum(.uuid(uuid)))
    return .none
  }
}

struct DeleteLeaseCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "del-lease", abstract: "Delete a fixed address or name of a NAT network, or a lease.",
    discussion: """
      A lease that is deleted may be given to somebody else at once; a guest that still has the address keeps it until it \
      asks again.
      """)

  @Flag(help: "Do nothing if there is none.") var ifExists = false
  @Argument(completion: NameCompletion.natNetwork) var network: String
  @Argument(help: ArgumentHelp("Which: its Ethernet address, address or name.", valueName: "mac|address|name"))
  var lease: String

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { try NetworkTables.natNetworkNeeds(schema) }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let row = try workspace.natNetwork(network)
    let all = workspace.staticLeases(of: row)
    let wanted = MACAddress(lease)?.description ?? lease
    let found = all.filter { [$0["mac"].string, $0["address"].string, $0["name"].string].contains(wanted) }
    guard let first = found.first else {
      let leases = workspace.leases(of: network)
      if let given = leases.first(where: {
        [$0["mac"].string, $0["address"].string, $0["name"].string].contains(wanted)
      }) {
        workspace.delete("DHCP_Lease", given.uuid)
        return .none
      }
      if ifExists { return .none }
      let known = (all + leases).compactMap { $0["mac"].string }
      throw CommandFault(
        "network \(network) has no lease \(lease)",
        remedy: known.isEmpty ? "it has none" : "it has those of \(known.joined(separator: ", "))")
    }
    workspace.remove("NAT_Network", row.uuid, "static_leases") { atom, _ in atom.uuid == first.uuid }
    workspace.delete("Static_Lease", first.uuid)
    return .none
  }
}

enum LeaseText {
  /// Address, hardware address, name, end.
  static func words(_ row: Row) -> [String] {
    [
      row["address"].string ?? "", row["mac"].string ?? "", row["name"].string ?? "-",
      time(row["expires"].integer ?? 0),
    ]
  }

  /// As in RFC 3339, UTC.
  static func time(_ seconds: Int64) -> String {
    var time = time_t(seconds)
    var parts = unsafe tm()
    guard unsafe gmtime_r(&time, &parts) != nil else { return String(seconds) }
    var buffer = [CChar](repeating: 0, count: 32)
    let count = unsafe strftime(&buffer, buffer.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
    return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

struct LeasesCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "leases", abstract: "Print the addresses that guests of NAT networks have by DHCP.")

  @Argument(completion: NameCompletion.natNetwork) var network: String?

  var mayWrite: Bool { false }
  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { try NetworkTables.natNetworkNeeds(schema) }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let names =
      try network.map { name throws(CommandFault) in [try workspace.natNetwork(name).name] }
      ?? workspace.rows("NAT_Network").map(\.name)
    var rows: [[String]] = []
    var objects: [JSONValue] = []
    for name in names {
      for lease in workspace.leases(of: name) {
        let words = LeaseText.words(lease)
        rows.append([name] + words)
        objects.append(
          .object([
            "network": .string(name), "address": .string(words[0]), "mac": .string(words[1]),
            "name": lease["name"].string.map { .string($0) } ?? .null, "expires": .string(words[3]),
          ]))
      }
    }
    let table = AlignedTable(headings: ["network", "address", "mac", "name", "expires"], rows: rows)
    return CommandOutput(body: .text(table.text), json: .array(objects))
  }
}
