// The connecting end: calls out, answers and notifications in. Threads: any; calls in flight are behind a mutex, what
// comes in is handled in one task, in order. The server is trusted to command, not to spell: its bytes pass the same
// parser and limits.

import Glibc
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization
import Transport

/// A connection to a JSON-RPC server. Answers `echo` by itself.
package final class JSONRPCClient: Sendable {
  private let connection: JSONRPCConnection
  package let endpoint: Endpoint
  private let state = Mutex(State())
  /// The peer's notifications in order; ends with the connection. For one reader; at most 4,096 wait for it, later
  /// ones are lost. Empty when `connect` was given a handler.
  package let notifications: AsyncStream<JSONRPCRequest>
  private let notificationContinuation: AsyncStream<JSONRPCRequest>.Continuation
  private let onNotification: (@Sendable (JSONRPCRequest) async -> Void)?

  private struct State {
    var lastID: Int64 = 0
    var calls: [Int64: CheckedContinuation<JSONValue, any Error>] = [:]
    var isClosed = false
  }

  /// Connects.
  /// - Parameters:
  ///   - tls: our key and certificate and whom to trust, for an `ssl` endpoint.
  ///   - onNotification: handles notifications in order; the connection is read no further until it returns.
  /// - Throws: `JSONRPCError.connection`, or `TransportError` for TLS files; cause and remedy in one line.
  package static func connect(
    to endpoint: Endpoint, tls: TLSFiles? = nil, limits: JSONLimits = .trusted,
    onNotification: (@Sendable (JSONRPCRequest) async -> Void)? = nil
  ) async throws -> JSONRPCClient {
    let made = MadeConnection()
    let context = try endpoint.isTLS ? TLSFiles.clientContext(tls, for: endpoint) : nil
    let bootstrap = ClientBootstrap(group: JSONRPCEventLoop.shared)
      .channelOption(.autoRead, value: false)
      .connectTimeout(.seconds(10))
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let connection = JSONRPCConnection(channel: channel, pendingOutputByteLimit: .max)
          made.connection.withLock { $0 = connection }
          if let context {
            let handler = try NIOSSLClientHandler(context: context, serverHostname: nil)
            try channel.pipeline.syncOperations.addHandler(handler)
          }
          try channel.pipeline.syncOperations.addHandler(
            JSONRPCChannelHandler(connection: connection, limits: limits))
        }
      }
    do {
      try await open(endpoint, bootstrap)
      // The server may have closed it already; then the first call says so.
      if let connection = made.connection.withLock({ $0 }) {
        return JSONRPCClient(connection, endpoint, onNotification)
      }
      throw JSONRPCError.connection("no channel")
    } catch {
      throw JSONRPCError.connection("\(endpoint): database connection failed (\(TransportError.reason(error)))")
    }
  }

  private static func open(_ endpoint: Endpoint, _ bootstrap: ClientBootstrap) async throws {
    switch endpoint {
    case .tcp(let host, let port), .ssl(let host, let port):
      _ = try await bootstrap.connect(host: host, port: port).get()
    case .unix(let path):
      var triesLeft = 100
      while true {
        do {
          _ = try await bootstrap.connect(unixDomainSocketPath: path).get()
          return
        } catch let error as IOError where error.errnoCode == EAGAIN && triesLeft > 0 {
          // The server's queue of new connections is full: where a blocking connect would wait, this one fails.
          triesLeft -= 1
          try await Task.sleep(for: .milliseconds(20))
        }
      }
    }
  }

  private init(
    _ connection: JSONRPCConnection, _ endpoint: Endpoint,
    _ onNotification: (@Sendable (JSONRPCRequest) async -> Void)?
  ) {
    self.connection = connection
    self.endpoint = endpoint
    self.onNotification = onNotification
    (notifications, notificationContinuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(4096))
    Task { await self.receive() }
  }

  /// Calls a method and waits for its result.
  /// - Throws: `JSONRPCError`; `CancellationError` when the task was cancelled.
  package func call(_ method: String, _ params: JSONValue) async throws -> JSONValue {
    let id = state.withLock { state in
      state.lastID += 1
      return state.lastID
    }
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let isClosed = state.withLock { state in
          if !state.isClosed { state.calls[id] = continuation }
          return state.isClosed
        }
        if isClosed { return continuation.resume(throwing: lost) }
        if Task.isCancelled { return finish(id, with: .failure(CancellationError())) }
        connection.send(["id": .integer(id), "method": .string(method), "params": params])
      }
    } onCancel: {
      finish(id, with: .failure(CancellationError()))
    }
  }

  /// Sends a notification.
  package func notify(_ method: String, _ params: JSONValue) {
    connection.send(["id": nil, "method": .string(method), "params": params])
  }

  /// Asks the peer for a sign of life.
  package func probe() { connection.send(["id": "echo", "method": "echo", "params": []]) }

  /// How long the peer has not sent a byte.
  package var silence: Duration {
    .nanoseconds((NIODeadline.now() - connection.lastHeard).nanoseconds)
  }

  package func close() async {
    connection.close()
    try? await connection.channel.closeFuture.get()
  }

  private var lost: JSONRPCError { .connection("\(endpoint): the server closed the connection: is it still running?") }

  private func finish(_ id: Int64, with result: Result<JSONValue, any Error>) {
    let continuation = state.withLock { $0.calls.removeValue(forKey: id) }
    continuation?.resume(with: result)
  }

  private func receive() async {
    for await batch in connection.batches {
      for message in batch.messages { await handle(message) }
      if batch.error != nil { connection.close() } else { connection.readMore() }
    }
    let calls = state.withLock { state in
      state.isClosed = true
      defer { state.calls = [:] }
      return state.calls
    }
    for continuation in calls.values { continuation.resume(throwing: lost) }
    notificationContinuation.finish()
  }

  private func handle(_ message: JSONValue) async {
    if let method = message["method"]?.string {
      let request = JSONRPCRequest(
        method: method, params: message["params"] ?? [], id: message["id"] ?? .null)
      if method == "echo" {
        connection.send(["id": request.id, "result": request.params, "error": nil])
      } else if let onNotification {
        await onNotification(request)
      } else {
        notificationContinuation.yield(request)
      }
    } else if let id = message["id"]?.integer {
      if let error = message["error"], !error.isNull {
        finish(id, with: .failure(JSONRPCError.remote(error)))
      } else {
        finish(id, with: .success(message["result"] ?? .null))
      }
    }
  }
}

/// Carries the connection out of the channel's initializer.
private final class MadeConnection: Sendable {
  let connection = Mutex<JSONRPCConnection?>(nil)
}
