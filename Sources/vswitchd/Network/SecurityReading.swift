// Rows of security groups and what rows of ports say of security, as values, with what is wrong in them and what would mend it.
// Pure.

import OVSDB
import VSwitchCore

/// What a port's row asks for: columns `secgroup` and `port_security`.
struct PortSecurityReading: Equatable, Sendable {
  /// Names; nil: none asked for.
  private(set) var groups: [String]?
  /// Nil: its host may say what it likes.
  private(set) var hosts: [PortSecurity]?
  private(set) var isTrusted = false
  /// What is wrong in it; the port lets pass what the rest allows.
  private(set) var error: ConfigError?

  private typealias Columns = OpenVSwitch.Port

  /// Nil: the row asks for nothing of the kind.
  init?(_ row: Row) {
    let names = row[Columns.secgroup]
    let texts = row[Columns.portSecurity]
    if names.isEmpty, texts.isEmpty { return nil }
    if !names.isEmpty { groups = names.sorted() }
    isTrusted = Settings(row[Columns.otherConfig]).boolean("trusted")
    guard !texts.isEmpty else { return }
    hosts = []
    for text in texts.sorted() {
      if let host = PortSecurity(text) {
        hosts?.append(host)
      } else {
        error = ConfigError(
          cause: "port_security has \"\(text)\", which is no Ethernet address with IP addresses behind it",
          remedy: "write it as \"52:54:00:12:34:56 10.0.0.5 fd00::5\"")
      }
    }
  }
}

enum SecurityReading {
  private typealias Columns = OpenVSwitch.SecurityGroupRule

  static func rule(_ row: Row, _ database: DatabaseSnapshot) throws(ConfigError) -> SecurityRule {
    guard let direction = SecurityRule.Direction(rawValue: row[Columns.direction]) else {
      throw ConfigError(cause: "the rule has no direction", remedy: "give in or out")
    }
    var rule = SecurityRule(direction)
    rule.isIPv6 = row[Columns.family].map { $0 == "ipv6" }
    if let text = row[Columns.ipProtocol] { rule.ipProtocol = try RouterReading.ipProtocol(text) }
    rule.ports = try RouterReading.ports(row[Columns.ports])
    if !rule.ports.isEmpty, ![6, 17, 132].contains(rule.ipProtocol) {
      throw ConfigError(
        cause: "the rule has ports but no protocol of ports", remedy: "give protocol tcp, udp or sctp")
    }
    if let text = row[Columns.remote] {
      guard let prefix = IPPrefix(text) else {
        throw ConfigError(
          cause: "the rule has \"\(text)\", which is no prefix",
          remedy: "write it as 10.1.0.0/16, with zeros behind the prefix length")
      }
      rule.remotes = [prefix]
      if let family = rule.isIPv6, family != prefix.isIPv6 {
        throw ConfigError(
          cause: "the rule is about \(family ? "IPv6" : "IPv4"), and \(prefix) is of the other IP version",
          remedy: "give both of one version")
      }
    }
    if let group = row[Columns.remoteGroup] {
      guard rule.remotes == nil else {
        throw ConfigError(cause: "the rule has both remote and remote_group", remedy: "make two rules of it")
      }
      guard database.named(group, in: "Security_Group") != nil else {
        throw ConfigError(cause: "there is no security group \(group)", remedy: "add it: vsctl add-secgroup \(group)")
      }
      rule.remoteGroup = group
    }
    return rule
  }
}

extension NetworkState {
  /// Reads the security groups.
  mutating func readSecurityGroups(_ database: DatabaseSnapshot) {
    for row in database.rows("Security_Group") {
      var group = SecurityGroup(name: row.name)
      let rules = row[OpenVSwitch.SecurityGroup.rules]
      for uuid in rules { owners[uuid] = row.name }
      for rule in database.rows("Security_Group_Rule", rules).sorted(by: { $0.uuid < $1.uuid }) {
        note(rule, "Security_Group_Rule") { () throws(ConfigError) in
          group.rules.append(try SecurityReading.rule(rule, database))
        }
      }
      securityGroups[row.name] = group
    }
  }
}
