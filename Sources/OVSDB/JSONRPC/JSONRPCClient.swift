// The connecting end. Skeleton; see the types for the contract.

import NIOCore
import NIOPosix

/// A connection to a JSON-RPC server: calls out, notifications in. Answers `echo` by itself.
package final class JSONRPCClient: Sendable {
  /// Connects.
  /// - Throws: `JSONRPCError.connection`, cause and remedy in one line.
  package static func connect(to endpoint: Endpoint, limits: JSONLimits = .trusted) async throws -> JSONRPCClient {
    throw JSONRPCError.connection("not built yet")
  }

  private init() {}

  /// Calls a method and waits for its result.
  /// - Throws: `JSONRPCError`; `CancellationError` when the task was cancelled.
  package func call(_ method: String, _ params: JSONValue) async throws -> JSONValue { .null }

  /// The peer's notifications in order; ends with the connection. For one reader.
  package var notifications: AsyncStream<JSONRPCRequest> { AsyncStream { $0.finish() } }

  package func close() async {}
}
