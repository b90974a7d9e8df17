// Security groups: rows of tables Security_Group and Security_Group_Rule. Ports name them in their column secgroup.

import ArgumentParser
import OVSDB
import VSwitchCore

extension NameCompletion {
  static let securityGroup = CompletionKind.shellCommand("vsctl list-secgroups 2>/dev/null")
}

extension NetworkTables {
  static func securityNeeds(_ schema: DatabaseSchema) throws(CommandFault) -> Needs {
    try needs(schema, [("Security_Group", nil), ("Security_Group_Rule", nil)])
  }
}

extension Workspace {
  func securityGroup(_ name: String) throws(CommandFault) -> Row {
    if let row = rows("Security_Group", where: "name", is: name).first { return row }
    throw CommandFault(
      "no security group named \(name)",
      remedy: Suggestion.remedy(
        for: name, among: unorderedRows("Security_Group").map(\.name), listedAs: "security groups"))
  }
}

/// A rule as it is written: `in tcp 22,8000-8080 from=10.0.0.0/8`, or with the name of a service: `in ssh`.
struct SecurityRuleWords {
  /// What is known by name; each has a rule for each protocol.
  static let services: [String: [(ipProtocol: String, ports: [String])]] = [
    "dns": [("udp", ["53"]), ("tcp", ["53"])], "ftp": [("tcp", ["21"])], "http": [("tcp", ["80"])],
    "https": [("tcp", ["443"])], "ntp": [("udp", ["123"])], "ping": [("icmp", [])], "rdp": [("tcp", ["3389"])],
    "smtp": [("tcp", ["25"])], "ssh": [("tcp", ["22"])], "telnet": [("tcp", ["23"])], "tftp": [("udp", ["69"])],
    "web": [("tcp", ["80", "443"])],
  ]
  private static let protocols = ["tcp", "udp", "sctp", "icmp", "any"]
  private static let keys = ["name", "family", "proto", "ports", "from", "to"]
  /// The columns of each row.
  private(set) var rows: [[String: Datum]]

  init(_ words: [String]) throws(CommandFault) {
    var columns: [String: Datum] = [:]
    var contents: [[String: Datum]] = [[:]]
    for word in words {
      if SecurityRule.Direction(rawValue: word) != nil {
        columns["direction"] = .string(word)
      } else if let service = Self.services[word] {
        contents = service.map { service in
          var row: [String: Datum] = ["protocol": .string(service.ipProtocol)]
          if !service.ports.isEmpty { row["ports"] = .strings(service.ports) }
          return row
        }
        if columns["name"] == nil { columns["name"] = .string(word) }
      } else if Self.protocols.contains(word) {
        if word != "any" { columns["protocol"] = .string(word) }
      } else if ["ipv4", "ipv6"].contains(word) {
        columns["family"] = .string(word)
      } else if word.first?.isNumber == true {
        columns["ports"] = .strings(word.split(separator: ",").map(String.init))
      } else {
        try Self.read(word, &columns)
      }
    }
    rows = contents.map { $0.merging(columns) { first, _ in first } }
  }

  private static func read(_ word: String, _ columns: inout [String: Datum]) throws(CommandFault) {
    let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
    guard parts.count == 2, keys.contains(parts[0]) else {
      throw CommandFault(
        "\(word) says nothing about a rule",
        remedy: "write in or out, then a protocol and ports (tcp 22,8000-8080) or one of "
          + services.keys.sorted().joined(separator: " ") + ", and from=PREFIX or from=GROUP")
    }
    switch parts[0] {
    case "family":
      guard ["ipv4", "ipv6"].contains(parts[1]) else {
        throw CommandFault("\(parts[1]) is no IP version", remedy: "write ipv4 or ipv6")
      }
      columns["family"] = .string(parts[1])
    case "proto": columns["protocol"] = .string(parts[1])
    case "ports": columns["ports"] = .strings(parts[1].split(separator: ",").map(String.init))
    case "from", "to":
      let isGroup = IPPrefix(parts[1]) == nil && IPAddress(parts[1]) == nil && !parts[1].contains("/")
      columns[isGroup ? "remote_group" : "remote"] = .string(parts[1])
    default: columns["name"] = .string(parts[1])
    }
  }

  func matches(_ row: Row) -> Bool { rows.contains { $0.allSatisfy { row[$0.key] == $0.value } } }

  static func text(_ row: Row) -> String {
    let direction = row["direction"].string ?? ""
    var words = [direction]
    if let family = row["family"].string { words.append(family) }
    if let ipProtocol = row["protocol"].string {
      words.append(protocols.contains(ipProtocol) ? ipProtocol : "proto=\(ipProtocol)")
    }
    let ports = row["ports"].strings.sorted { ($0.utf8.count, $0) < ($1.utf8.count, $1) }
    if !ports.isEmpty { words.append(ports.joined(separator: ",")) }
    if let remote = row["remote"].string ?? row["remote_group"].string {
      words.append("\(direction == "out" ? "to" : "from")=\(remote)")
    }
    if let name = row["name"].string { words.append("name=\(name)") }
    return words.joined(separator: " ")
  }
}

private let ruleHelp = ArgumentHelp(
  "in|out [tcp|udp|sctp|icmp|any] [22,8000-8080] [from=PREFIX|GROUP] [ipv4|ipv6] [name=NAME], or a service: in ssh",
  valueName: "rule")

struct AddSecurityGroupCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "add-secgroup", abstract: "Add a security group.",
    discussion: """
      A firewall in three lines: only SSH and the web come in, and answers to what the host itself began:
        vsctl add-secgroup web
        vsctl add-secgroup-rule web in ssh -- add-secgroup-rule web in tcp 80,443
        vsctl set port vm1 secgroup=web
      """)

  @Flag(help: "Do nothing if there is such a group.") var mayExist = false
  @Argument var group: String

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { try NetworkTables.securityNeeds(schema) }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    guard let table = workspace.table("Security_Group") else { return .none }
    if group.isEmpty || group.contains(where: { $0.isWhitespace || $0 == "," }) {
      throw CommandFault("\"\(group)\" is no name for a security group", remedy: "give one without spaces and commas")
    }
    if !workspace.rows("Security_Group", where: "name", is: group).isEmpty {
      if mayExist { return .none }
      throw CommandFault(
        "there is a security group \(group) already",
        remedy: "choose another name, or give --may-exist if it may be there")
    }
    _ = workspace.insert(table, columns: ["name": .string(group)])
    return .none
  }
}

struct DeleteSecurityGroupCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "del-secgroup", abstract: "Delete a security group that no port has.")

  @Flag(help: "Do nothing if there is no such group.") var ifExists = false
  @Argument(completion: NameCompletion.securityGroup) var group: String

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs {
    var needs = try NetworkTables.securityNeeds(schema)
    needs.add("Port", ["name", "secgroup"])
    return needs
  }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    if ifExists, workspace.rows("Security_Group", where: "name", is: group).isEmpty { return .none }
    let row = try workspace.securityGroup(group)
    if let port = workspace.unorderedRows("Port").filter({ $0["secgroup"].strings.contains(group) }).map(\.name).min() {
      throw CommandFault(
        "port \(port) has security group \(group)",
        remedy: "take it away first: vsctl remove port \(port) secgroup \(group)")
    }
    for uuid in row["rules"].uuids { workspace.delete("Security_Group_Rule", uuid) }
    workspace.delete("Security_Group", row.uuid)
    return .none
  }
}

struct ListSecurityGroupsCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "list-secgroups", abstract: "Print the names of the security groups, one a line.")

  var mayWrite: Bool { false }
  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { try NetworkTables.securityNeeds(schema) }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    .names(workspace.rows("Security_Group").map(\.name))
  }
}

struct AddSecurityGroupRuleCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "add-secgroup-rule", abstract: "Let connections begin at the ports that have a security group.",
    discussion: """
      Without rules nothing may come in, and everything may go out; one rule about what may go out forbids the rest.
        vsctl add-secgroup-rule web in tcp 80,443
        vsctl add-secgroup-rule web in ssh from=10.0.0.0/8
        vsctl add-secgroup-rule db in tcp 5432 from=web name=sql
      """)

  @Argument(completion: NameCompletion.securityGroup) var group: String
  @Argument(help: ruleHelp) var rule: [String]

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { try NetworkTables.securityNeeds(schema) }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    guard let table = workspace.table("Security_Group_Rule") else { return .none }
    let row = try workspace.securityGroup(group)
    for columns in try SecurityRuleWords(rule).rows {
      guard columns["direction"] != nil else {
        throw CommandFault("the rule does not say which way", remedy: "write in or out")
      }
      let known = row["rules"].uuids.compactMap { workspace.row("Security_Group_Rule", $0) }
      let compared = ["direction", "family", "protocol", "ports", "remote", "remote_group"]
      if known.contains(where: { known in compared.allSatisfy { known[$0] == columns[$0] ?? .empty } }) {
        throw CommandFault("group \(group) has that rule already", remedy: "see vsctl list-secgroup-rules \(group)")
      }
      let uuid = workspace.insert(table, columns: columns)
      workspace.merge("Security_Group", row.uuid, "rules", adding: Datum(.uuid(uuid)))
    }
    return .none
  }
}

struct DeleteSecurityGroupRuleCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "del-secgroup-rule",
    abstract: "Delete rules of a security group: those of a name, or those that are as written.")

  @Flag(help: "Do nothing if there is no such rule.") var ifExists = false
  @Argument(completion: NameCompletion.securityGroup) var group: String
  @Argument(help: ArgumentHelp("NAME, or a rule as add-secgroup-rule takes it", valueName: "rule")) var rule: [String]

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { try NetworkTables.securityNeeds(schema) }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let row = try workspace.securityGroup(group)
    let rules = row["rules"].uuids.compactMap { workspace.row("Security_Group_Rule", $0) }
    var found = rule.count == 1 ? rules.filter { $0["name"].string == rule.first } : []
    if found.isEmpty, rule.count > 1 {
      let words = try SecurityRuleWords(rule)
      found = rules.filter(words.matches)
    }
    if found.isEmpty {
      if ifExists { return .none }
      throw CommandFault(
        "group \(group) has no rule \(rule.joined(separator: " "))", remedy: "see vsctl list-secgroup-rules \(group)")
    }
    let gone = Set(found.map(\.uuid))
    workspace.remove("Security_Group", row.uuid, "rules") { atom, _ in atom.uuid.map(gone.contains) ?? false }
    for uuid in gone { workspace.delete("Security_Group_Rule", uuid) }
    return .none
  }
}

struct ListSecurityGroupRulesCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "list-secgroup-rules", abstract: "Print the rules of a security group, one a line.")

  @Argument(completion: NameCompletion.securityGroup) var group: String

  var mayWrite: Bool { false }
  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { try NetworkTables.securityNeeds(schema) }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let row = try workspace.securityGroup(group)
    let rules = row["rules"].uuids.compactMap { workspace.row("Security_Group_Rule", $0).map(SecurityRuleWords.text) }
    return .names(rules.sorted())
  }
}
