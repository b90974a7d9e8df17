// The listening end: accepts clients on a unix socket or TCP port, and gives each a session.
// Threads: channels on the event loop, each session's requests in a task of its own; the table of sessions is behind
// a mutex. Bounds: when the listener is full, a new client takes the place of the oldest that never said anything,
// then of the one idle longest; so sockets that do nothing can't keep others out. Clients that wait for updates
// (`isPinned`) are kept, and when all are such, the new one is refused.

import Glibc
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// A JSON-RPC server on one unix socket or TCP port.
package final class JSONRPCServer: Sendable {
  /// Answers one request; the next one of the same session waits for it.
  package typealias Handler = @Sendable (JSONRPCRequest, JSONRPCSession) async -> JSONRPCReply

  private let endpoint: Endpoint
  private let limits: JSONRPCLimits
  private let logger: Logger
  private let handler: Handler
  private let onDisconnect: @Sendable (JSONRPCSession) async -> Void
  private let state = Mutex(State())
  private static let lastNumber = Atomic<Int>(0)

  private struct State {
    var sessions: [Int: JSONRPCSession] = [:]
    var listener: (any Channel)?
    var isClosed = false
  }

  /// Listens, and serves until `close`. A unix socket has mode 0600 from birth, replaces a stale one, and serves
  /// only processes of root and of our own user.
  /// - Parameters:
  ///   - onDisconnect: called once for each session when it has ended.
  /// - Throws: `JSONRPCError.connection`, cause and remedy in one line.
  package static func listen(
    on endpoint: Endpoint, limits: JSONRPCLimits = JSONRPCLimits(), logger: Logger,
    onDisconnect: @escaping @Sendable (JSONRPCSession) async -> Void = { _ in }, handler: @escaping Handler
  ) async throws -> JSONRPCServer {
    let server = JSONRPCServer(endpoint, limits, logger, onDisconnect, handler)
    try await server.start()
    return server
  }

  private init(
    _ endpoint: Endpoint, _ limits: JSONRPCLimits, _ logger: Logger,
    _ onDisconnect: @escaping @Sendable (JSONRPCSession) async -> Void, _ handler: @escaping Handler
  ) {
    self.endpoint = endpoint
    self.limits = limits
    self.logger = logger
    self.onDisconnect = onDisconnect
    self.handler = handler
  }

  private func start() async throws {
    let bootstrap = ServerBootstrap(group: JSONRPCEventLoop.shared)
      .serverChannelOption(.backlog, value: 1024)
      .childChannelOption(.autoRead, value: false)
      .childChannelInitializer { [self] channel in admit(channel) }
    let listener: any Channel
    switch endpoint {
    case .unix(let path):
      let socket = try UnixListener(path: path)
      do {
        listener = try await bootstrap.withBoundSocket(socket.descriptor).get()
        try socket.publish()
      } catch {
        socket.discard()
        throw error is JSONRPCError ? error : JSONRPCError.connection("cannot listen on \(path): \(error)")
      }
    case .tcp(let host, let port):
      do {
        listener = try await bootstrap.serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
          .bind(host: host, port: port).get()
      } catch {
        throw JSONRPCError.connection("cannot listen on \(endpoint): \(error): choose a free port of this host")
      }
    }
    state.withLock { $0.listener = listener }
  }

  /// The port in use, for a TCP endpoint.
  package var port: Int? { state.withLock { $0.listener?.localAddress?.port } }

  /// Clients connected now.
  package var sessionCount: Int { state.withLock { $0.sessions.count } }

  /// Stops listening, removes the socket file, and cuts every client.
  package func close() async {
    let (listener, sessions) = state.withLock { state in
      state.isClosed = true
      return (state.listener, Array(state.sessions.values))
    }
    if case .unix(let path) = endpoint { _ = unsafe unlink(path) }
    try? await listener?.close().get()
    for session in sessions { session.close() }
    for session in sessions { try? await session.connection.channel.closeFuture.get() }
  }

  // MARK: - On the event loop

  private func admit(_ channel: any Channel) -> EventLoopFuture<Void> {
    guard case .unix = endpoint, let provider = channel as? any SocketOptionProvider else {
      return channel.eventLoop.makeCompletedFuture { try open(channel) }
    }
    let credentials: EventLoopFuture<PeerCredentials> = provider.unsafeGetSocketOption(
      level: .socket, name: NIOBSDSocket.Option(rawValue: SO_PEERCRED))
    return credentials.flatMapThrowing { [self] peer in
      guard peer.uid == 0 || peer.uid == geteuid() else {
        logger.warning("client refused: it runs as another user", metadata: ["uid": "\(peer.uid)"])
        throw JSONRPCError.connection("client of uid \(peer.uid) refused")
      }
      try open(channel)
    }
  }

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
      JSONRPCChannelHandler(connection: connection, limits: limits.json))
    Task { [self] in
      await session.serve(handler)
      state.withLock { $0.sessions[number] = nil }
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
    let handshake = connection.channel.eventLoop.scheduleTask(in: .seconds(Int64(limits.handshakeSeconds))) {
      if !connection.hasSpoken { session.close() }
    }
    var probe: RepeatedTask?
    if let seconds = limits.probeSeconds {
      let interval = TimeAmount.seconds(Int64(seconds))
      probe = connection.channel.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in
        let silence = NIODeadline.now() - connection.lastHeard
        if silence > interval * 2 {
          session.close()
        } else if silence >= interval {
          connection.send(["id": "echo", "method": "echo", "params": []])
        }
      }
    }
    connection.channel.closeFuture.whenComplete { [probe] _ in
      handshake.cancel()
      probe?.cancel()
    }
  }
}

/// Linux's `struct ucred` (unix(7), SO_PEERCRED).
private struct PeerCredentials: Sendable {
  var pid: Int32 = 0
  var uid: UInt32 = 0
  var gid: UInt32 = 0
}

/// The one thread that all JSON-RPC connections of the process share.
enum JSONRPCEventLoop {
  static let shared = MultiThreadedEventLoopGroup(numberOfThreads: 1)
}
