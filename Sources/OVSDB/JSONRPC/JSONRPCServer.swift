// The serving end: accepts clients on a unix socket or TCP port, with or without TLS, or connects out to one, and gives
// each a session.
// Threads: channels on the event loop, each session's requests in a task of its own; the table of sessions is behind
// a mutex. Bounds: when the listener is full, a new client takes the place of the oldest that never said anything,
// then of the one idle longest; so sockets that do nothing can't keep others out. Clients that wait for updates
// (`isPinned`) are kept, and when all are such, the new one is refused.

import Logging
import NIOCore
import NIOPosix
import Synchronization
import Transport

/// A JSON-RPC server on one unix socket or TCP port, or of one peer that it connected to.
package final class JSONRPCServer: Sendable {
  /// Answers one request; the next one of the same session waits for it.
  package typealias Handler = @Sendable (JSONRPCRequest, JSONRPCSession) async -> JSONRPCReply

  private let endpoint: Endpoint
  private let tls: ServerTLS?
  private let limits: JSONRPCLimits
  private let logger: Logger
  private let handler: Handler
  private let onConnect: @Sendable () -> Void
  private let onDisconnect: @Sendable (JSONRPCSession) async -> Void
  private let budget: JSONRPCInputBudget
  private let state = Mutex(State())
  private static let lastNumber = Atomic<Int>(0)

  private struct State {
    var sessions: [Int: JSONRPCSession] = [:]
    var listener: (any Channel)?
    var isClosed = false
    /// Why the last session that has gone ended.
    var lastFailure: String?
  }

  /// Listens, and serves until `close`. A unix socket has mode 0600 from birth, replaces a stale one, and serves
  /// only processes of root and of our own user.
  /// - Parameters:
  ///   - tls: for an `ssl` endpoint.
  ///   - onDisconnect: called once for each session when it has ended.
  /// - Throws: `TransportError`, cause and remedy in one line.
  package static func listen(
    on endpoint: Endpoint, tls: ServerTLS? = nil, limits: JSONRPCLimits = JSONRPCLimits(), logger: Logger,
    onConnect: @escaping @Sendable () -> Void = {},
    onDisconnect: @escaping @Sendable (JSONRPCSession) async -> Void = { _ in }, handler: @escaping Handler
  ) async throws -> JSONRPCServer {
    let server = JSONRPCServer(endpoint, tls, limits, logger, onConnect, onDisconnect, handler)
    try await server.start()
    return server
  }

  /// Connects to a peer and serves it as if it had connected to us, until `close` or its end.
  /// - Throws: `TransportError`, cause in one line.
  package static func dial(
    _ endpoint: Endpoint, tls: ServerTLS? = nil, limits: JSONRPCLimits, logger: Logger,
    onDisconnect: @escaping @Sendable (JSONRPCSession) async -> Void = { _ in }, handler: @escaping Handler
  ) async throws -> JSONRPCServer {
    let server = JSONRPCServer(endpoint, tls, limits, logger, {}, onDisconnect, handler)
    try await server.connect()
    return server
  }

  private init(
    _ endpoint: Endpoint, _ tls: ServerTLS?, _ limits: JSONRPCLimits, _ logger: Logger,
    _ onConnect: @escaping @Sendable () -> Void,
    _ onDisconnect: @escaping @Sendable (JSONRPCSession) async -> Void, _ handler: @escaping Handler
  ) {
    self.endpoint = endpoint
    self.tls = tls
    budget = JSONRPCInputBudget(byteLimit: limits.unfinishedInputByteLimit)
    self.limits = limits
    self.logger = logger
    self.onConnect = onConnect
    self.onDisconnect = onDisconnect
    self.handler = handler
  }

  private func start() async throws {
    let listener = try await opener.listen(backlog: 1024)
    state.withLock { $0.listener = listener }
  }

  private func connect() async throws { _ = try await opener.connect() }

  private var opener: SocketOpener {
    SocketOpener(endpoint, tls: tls, group: JSONRPCEventLoop.shared, logger: logger) { [self] in try open($0) }
  }

  /// Returns when the peer that was dialled has gone.
  /// - Returns: why, as far as it is known.
  package func waitForEnd() async -> String? {
    for session in state.withLock({ Array($0.sessions.values) }) {
      try? await session.connection.channel.closeFuture.get()
      if let failure = session.connection.failure { return failure }
    }
    return state.withLock { $0.lastFailure }
  }

  /// The port in use, for a TCP endpoint.
  package var port: Int? { state.withLock { $0.listener?.localAddress?.port } }

  /// The number of the peer that was dialled, while it is connected.
  var dialledSession: Int? { state.withLock { $0.listener == nil ? $0.sessions.keys.first : nil } }

  /// Clients connected now.
  package var sessionCount: Int { state.withLock { $0.sessions.count } }

  /// Stops listening, removes the socket file, and cuts every client.
  package func close() async {
    let (listener, sessions) = state.withLock { state in
      state.isClosed = true
      return (state.listener, Array(state.sessions.values))
    }
    if listener != nil { opener.removeFile() }
    try? await listener?.close().get()
    for session in sessions { session.close() }
    for session in sessions { try? await session.connection.channel.closeFuture.get() }
  }

  // MARK: - On the event loop

  private func open(_ channel: any Channel) throws {
    let connection = JSONRPCConnection(
      channel: channel, pendingOutputByteLimit: limits.pendingOutputByteLimit)
    let number = Self.lastNumber.wrappingAdd(1, ordering: .relaxed).newValue
    let session = JSONRPCSession(number: number, connection: connection)
    guard makeRoom(for: session) else {
      logger.warning("client refused: all connections are in use", metadata: ["limit": "\(limits.connectionLimit)"])
      throw JSONRPCError.connection("too many clients")
    }
    try channel.pipeline.syncOperations.addHandler(
      JSONRPCChannelHandler(connection: connection, limits: limits.json, budget: budget))
    onConnect()
    Task { [self] in
      await session.serve(handler)
      state.withLock { state in
        state.sessions[number] = nil
        state.lastFailure = session.connection.failure
      }
      await onDisconnect(session)
    }
    watch(session)
  }

  private func makeRoom(for session: JSONRPCSession) -> Bool {
    let (isAdmitted, victim) = state.withLock { state -> (Bool, JSONRPCSession?) in
      if state.isClosed { return (false, nil) }
      var victim: JSONRPCSession?
      if state.sessions.count >= limits.connectionLimit {
        let silent = state.sessions.values.filter { !$0.connection.hasSpoken }.min { $0.number < $1.number }
        victim =
          silent
          ?? state.sessions.values.filter { !$0.isPinned }
          .min { $0.connection.lastHeard < $1.connection.lastHeard }
        guard let victim else { return (false, nil) }
        state.sessions[victim.number] = nil
      }
      state.sessions[session.number] = session
      return (true, victim)
    }
    victim?.close()
    return isAdmitted
  }

  /// Closes a client that says nothing at all, and probes one that has fallen silent.
  private func watch(_ session: JSONRPCSession) {
    let connection = session.connection
    let handshake = limits.handshakeSeconds.map { seconds in
      connection.channel.eventLoop.scheduleTask(in: .seconds(Int64(seconds))) {
        if !connection.hasSpoken { session.close() }
      }
    }
    var probe: RepeatedTask?
    if let milliseconds = limits.probeMilliseconds {
      let interval = TimeAmount.milliseconds(Int64(milliseconds))
      probe = connection.channel.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in
        if NIODeadline.now() - connection.lastHeard >= interval, !connection.probe() { session.close() }
      }
    }
    connection.channel.closeFuture.whenComplete { [probe] _ in
      handshake?.cancel()
      probe?.cancel()
    }
  }
}

/// The one thread that all JSON-RPC connections of the process share.
enum JSONRPCEventLoop {
  static let shared = MultiThreadedEventLoopGroup(numberOfThreads: 1)
}
