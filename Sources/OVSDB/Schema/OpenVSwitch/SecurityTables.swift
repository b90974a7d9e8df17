// Tables of this switch's own, see DatabaseSchema+OpenVSwitch.swift. Security groups, which ports name in column secgroup.

extension OpenVSwitch {
  /// Table Security_Group. Rows live without being named.
  package enum SecurityGroup: TableDeclaration {
    package static let name = Column<String>("name", .one(.string), mutable: false)
    package static let rules = Column<[RowUUID]>("rules", .set(.reference("Security_Group_Rule")))
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)

    package static let schema = TableSchema(
      "Security_Group", isRoot: true, indexes: [["name"]], columns: [name, rules, externalIDs])
  }

  /// Table Security_Group_Rule.
  package enum SecurityGroupRule: TableDeclaration {
    package static let name = Column<String?>("name", .optional(.string))
    package static let direction = Column<String>("direction", .one(.choice("in", "out")))
    package static let family = Column<String?>("family", .optional(.choice("ipv4", "ipv6")))
    package static let ipProtocol = Column<String?>("protocol", .optional(.string))
    package static let ports = Column<[String]>("ports", .set(.string))
    package static let remote = Column<String?>("remote", .optional(.string))
    package static let remoteGroup = Column<String?>("remote_group", .optional(.string))
    package static let error = Column<String?>("error", .optional(.string))
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)

    package static let schema = TableSchema(
      "Security_Group_Rule",
      columns: [name, direction, family, ipProtocol, ports, remote, remoteGroup, error, externalIDs])
  }
}
