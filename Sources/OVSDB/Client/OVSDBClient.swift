// A client of any OVSDB server, ours or ovsdb-server. Skeleton; see the types for the contract.

/// A connection to an OVSDB server, with a local replica of what it monitors.
package actor OVSDBClient {
  /// Connects.
  /// - Throws: `JSONRPCError.connection`, cause and remedy in one line.
  package init(
    endpoint: Endpoint, database: String = "Open_vSwitch", schema: DatabaseSchema = .openVSwitch
  ) async throws {
    replica = DatabaseSnapshot(schema: schema)
  }

  private var replica: DatabaseSnapshot

  /// Asks the server for the database's schema, and reads the replica by it from now on. Call before `monitor`.
  /// - Throws: `OVSDBError` ("unknown database"), `JSONRPCError`.
  package func fetchSchema() async throws -> DatabaseSchema { replica.schema }

  /// Monitors columns of tables (all columns where the list is nil) and returns the first replica.
  /// - Throws: `OVSDBError` (an unknown table or column), `JSONRPCError`.
  @discardableResult
  package func monitor(_ tables: [String: [String]?]) async throws -> DatabaseSnapshot { replica }

  /// The monitored rows as far as updates have come in; columns not monitored read as their defaults.
  package func snapshot() -> DatabaseSnapshot { replica }

  /// Waits until the replica satisfies the predicate; returns that replica.
  /// - Parameter timeout: nil for as long as the connection lives.
  /// - Throws: `OVSDBError("timed out")`, `JSONRPCError.connection` when the server is gone.
  @discardableResult
  package func waitUntil(
    timeout: Duration? = nil, _ predicate: @Sendable @escaping (DatabaseSnapshot) -> Bool
  ) async throws -> DatabaseSnapshot { replica }

  /// Runs a transaction. A failed operation is in the reply, not thrown; a failed `wait` has the tag "timed out".
  /// - Throws: `JSONRPCError`, `OVSDBError` when the server refuses the request as a whole.
  package func transact(_ operations: [JSONValue]) async throws -> TransactionReply { TransactionReply(results: []) }

  package func close() async {}
}
