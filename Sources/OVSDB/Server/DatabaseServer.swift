// The embedded OVSDB server. Skeleton; see the types for the contract.

import Logging

/// What became of a transaction.
package struct TransactionReply: Sendable {
  /// One for each operation, as in RFC 7047 §4.1.3; after a failure an error object and nulls.
  package var results: [JSONValue]
  /// Nil when the transaction took place; otherwise its first error.
  package var error: OVSDBError?
}

/// Serves one database and `_Server` to clients on sockets and to the daemon in the process.
package actor DatabaseServer {
  /// Loads the store's rows.
  /// - Throws: what the store throws; `OVSDBError` for rows that don't fit the schema.
  package init(schema: DatabaseSchema = .openVSwitch, store: any DurableStore, logger: Logger) async throws {
    database = DatabaseSnapshot(schema: schema)
  }

  private var database: DatabaseSnapshot

  /// Listens for clients; may be called for several endpoints.
  package func listen(on endpoint: Endpoint, limits: JSONRPCLimits? = nil) async throws {}

  /// Stops listening and cuts every client; what was answered is durable.
  package func close() async {}

  /// The committed contents. Cheap.
  package func snapshot() -> DatabaseSnapshot { database }

  /// The contents now and every change from then on, none lost, none twice. A slow reader gets several
  /// transactions merged into one element, so nothing piles up.
  package func changes() -> (snapshot: DatabaseSnapshot, changes: AsyncStream<Changes>) {
    (database, AsyncStream { $0.finish() })
  }

  /// Runs a transaction; returns when it is durable and monitors have been told.
  package func transact(_ operations: [JSONValue]) async -> TransactionReply { TransactionReply(results: []) }
}
