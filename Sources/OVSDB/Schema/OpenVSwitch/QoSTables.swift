// Open_vSwitch schema 8.3.1, see DatabaseSchema+OpenVSwitch.swift. Shaping: QoS policies and their queues.

extension OpenVSwitch {
  /// Table QoS.
  package enum QoS: TableDeclaration {
    package static let type = Column<String>("type", .one(.string))
    package static let queues = Column<[Int64: RowUUID]>(
      "queues", .map(.integer(0...4_294_967_295), .reference("Queue")))
    package static let otherConfig = Column<[String: String]>("other_config", .stringMap)
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)

    package static let schema = TableSchema(
      "QoS", isRoot: true,
      columns: [
        type, queues, otherConfig, externalIDs,
      ])
  }

  /// Table Queue.
  package enum Queue: TableDeclaration {
    package static let dscp = Column<Int64?>("dscp", .optional(.integer(0...63)))
    package static let otherConfig = Column<[String: String]>("other_config", .stringMap)
    package static let externalIDs = Column<[String: String]>("external_ids", .stringMap)

    package static let schema = TableSchema(
      "Queue", isRoot: true,
      columns: [
        dscp, otherConfig, externalIDs,
      ])
  }
}
