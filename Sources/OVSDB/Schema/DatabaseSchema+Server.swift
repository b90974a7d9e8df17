// The `_Server` database (ovsdb-server(5)): one row for each database that a server offers, this one included.
// Clients read it first, to learn the model and schema of the database they want.

/// The tables of `_Server`.
package enum ServerSchema {
  package enum Database: TableDeclaration {
    package static let name = Column<String>("name", .one(.string))
    package static let model = Column<String>("model", .one(.choice("standalone", "clustered", "relay")))
    package static let connected = Column<Bool>("connected", .one(.boolean))
    package static let leader = Column<Bool>("leader", .one(.boolean))
    package static let schemaText = Column<String?>("schema", .optional(.string))
    package static let clusterID = Column<RowUUID?>("cid", .optional(.uuid))
    package static let serverID = Column<RowUUID?>("sid", .optional(.uuid))
    package static let index = Column<Int64?>("index", .optional(.integer))

    package static let schema = TableSchema(
      "Database", columns: [name, model, connected, leader, schemaText, clusterID, serverID, index])
  }
}

extension DatabaseSchema {
  /// The `_Server` database, schema version 1.2.0.
  package static let server = DatabaseSchema(
    "_Server", version: "1.2.0", checksum: "3009684573 744", tables: [ServerSchema.Database.schema])
}
