// The listening end. Skeleton; see the types for the contract.

import Logging
import NIOCore
import NIOPosix

/// One client's connection, as a request handler sees it.
package final class JSONRPCSession: Sendable {
  /// Unique in this process.
  package let number: Int
  init(number: Int) { self.number = number }

  /// Sends a notification; in the order of the calls.
  package func notify(_ method: String, _ params: JSONValue) {}
  /// Answers a request for which the handler returned `.deferred`.
  package func respond(to request: JSONRPCRequest, with reply: JSONRPCReply) {}
  /// Cuts the connection.
  package func close() {}
}

/// A JSON-RPC server on one unix socket or TCP port.
package final class JSONRPCServer: Sendable {
  /// Answers one request; the next one of the same session waits for it.
  package typealias Handler = @Sendable (JSONRPCRequest, JSONRPCSession) async -> JSONRPCReply

  /// Listens, and serves until `close`. A unix socket has mode 0600 from birth, replaces a stale one, and serves
  /// only processes of root and of our own user.
  /// - Parameters:
  ///   - onDisconnect: called once for each session when it has ended.
  /// - Throws: `JSONRPCError.connection`, cause and remedy in one line.
  package static func listen(
    on endpoint: Endpoint, limits: JSONRPCLimits = JSONRPCLimits(), logger: Logger,
    onDisconnect: @escaping @Sendable (JSONRPCSession) async -> Void = { _ in }, handler: @escaping Handler
  ) async throws -> JSONRPCServer {
    throw JSONRPCError.connection("not built yet")
  }

  private init() {}

  /// Stops listening, removes the socket file, and cuts every client.
  package func close() async {}
}
