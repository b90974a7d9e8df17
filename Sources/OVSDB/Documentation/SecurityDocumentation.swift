// Security groups. See SchemaDocumentation.swift.

extension SchemaDocumentation {
  static let securityGroup = TableDocumentation(
    "Security_Group",
    "Which connections may begin at ports that have the group (their column secgroup). "
      + "Rows live without being named. Not in Open vSwitch's schema.",
    [
      .init("name", .configuration, "Its name, by which ports name it."),
      .init(
        "rules", .configuration,
        "What is let in and out. Nothing is let in without a rule; everything out, as long as no rule is about that."),
      externalIDs,
    ])

  static let securityGroupRule = TableDocumentation(
    "Security_Group_Rule",
    "Connections that may begin; what belongs to one passes in both directions. Not in Open vSwitch's schema.",
    [
      .init("name", .configuration, "A name to delete it by."),
      .init("direction", .configuration, "\"in\": to the port's host; \"out\": from it."),
      .init("family", .configuration, "\"ipv4\" or \"ipv6\"; unset: both."),
      .init(
        "protocol", .configuration,
        "\"tcp\", \"udp\", \"sctp\", \"icmp\" (of either IP version) or a number; unset: any."),
      .init("ports", .configuration, "Destination ports such as 22 or 8000-8080; empty: all."),
      .init("remote", .configuration, "The other end's addresses, such as 10.0.0.0/8; unset: all."),
      .init(
        "remote_group", .configuration,
        "Or a security group: the addresses that column port_security gives to the ports that have it."),
      .init("error", .status, "Why it does not count, and what would mend it."),
      externalIDs,
    ])
}
