// The `_Server` database (ovsdb-server(5)): one row for each database that a server offers, this one included.
// Clients read it first, to learn the model and schema of the database they want.

extension DatabaseSchema {
  /// The `_Server` database, schema version 1.2.0.
  package static let server = DatabaseSchema(
    "_Server", version: "1.2.0", checksum: "3009684573 744",
    tables: [
      TableSchema(
        "Database",
        columns: [
          .init("name", .string),
          .init("model", .one(.choice("standalone", "clustered", "relay"))),
          .init("connected", .boolean),
          .init("leader", .boolean),
          .init("schema", .optional(.string)),
          .init("cid", .optional(.uuid)),
          .init("sid", .optional(.uuid)),
          .init("index", .optional(.integer)),
        ])
    ])
}
