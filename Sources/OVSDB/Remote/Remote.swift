// One row of Manager at work: a listener that is opened again until it can be, or a connection that is made again
// whenever it ends, each time after a longer pause (`max_backoff` at most). Runs in a task of its own until that is
// cancelled; what it says of itself is behind a mutex.

import Logging
import Synchronization
import Transport

/// A listener or an outgoing connection of the database.
final class Remote: Sendable {
  /// What the rows say; another plan is another remote.
  struct Plan: Equatable, Sendable {
    var target: String
    /// Nil: not given.
    var probeMilliseconds: Int64?
    var backoffLimitMilliseconds: Int64
    /// Private key, certificate and CA certificate; nil where table SSL has no row.
    var tlsFiles: [String]?
    var wantsBootstrap = false
  }

  private struct State {
    var server: JSONRPCServer?
    var phase = "VOID"
    var failure: String?
    var connected: ContinuousClock.Instant?
    var disconnected: ContinuousClock.Instant?
  }

  let plan: Plan
  private let database: DatabaseServer
  private let places: RemotePlaces
  private let logger: Logger
  private let clock = ContinuousClock()
  private let onChange: @Sendable () -> Void
  private let state = Mutex(State())
  private let task = Mutex<Task<Void, Never>?>(nil)

  init(
    _ plan: Plan, _ database: DatabaseServer, _ places: RemotePlaces, _ logger: Logger,
    onChange: @escaping @Sendable () -> Void
  ) {
    self.plan = plan
    self.database = database
    self.places = places
    self.logger = logger
    self.onChange = onChange
  }

  func start() { task.withLock { $0 = Task { [self] in await run() } } }

  /// Returns when the listener and its clients are gone.
  func stop() async {
    let task = task.withLock { $0 }
    task?.cancel()
    await task?.value
  }

  /// `is_connected` and `status` of the row (ovs-vswitchd.conf.db(5), Manager).
  func columns() async -> ColumnContents {
    let state = state.withLock { $0 }
    let count = state.server?.sessionCount ?? 0
    var status: [String: String] = [:]
    status["state"] = count > 0 ? "ACTIVE" : state.phase
    status["last_error"] = state.failure
    if count > 1 { status["n_connections"] = String(count) }
    if let port = state.server?.port { status["bound_port"] = String(port) }
    func seconds(since instant: ContinuousClock.Instant) -> String { String((clock.now - instant).components.seconds) }
    status["sec_since_connect"] = state.connected.map(seconds)
    status["sec_since_disconnect"] = state.disconnected.map(seconds)
    // Of a listener's many clients, none of which is the manager, ovsdb-server tells nothing either.
    if let session = state.server?.dialledSession {
      let locks = await database.sessionLocks(of: session)
      for (key, names) in [("locks_held", locks.held), ("locks_waiting", locks.waiting), ("locks_lost", locks.lost)]
      where !names.isEmpty {
        status[key] = names.joined(separator: " ")
      }
    }
    var columns = ColumnContents()
    columns[OpenVSwitch.Manager.isConnected] = count > 0
    columns[OpenVSwitch.Manager.status] = status
    return columns
  }

  private func change(_ body: (inout State) -> Void) {
    state.withLock { body(&$0) }
    onChange()
  }

  private func run() async {
    await RemoteRun(
      target: plan.target, backoffLimitMilliseconds: plan.backoffLimitMilliseconds, wantsBootstrap: plan.wantsBootstrap,
      sockets: places.sockets, defaultPort: Endpoint.databasePort
    ).run(
      serve: { target in
        switch target {
        case .listen(let endpoint): try await listen(on: endpoint)
        case .connect(let endpoint): try await connect(to: endpoint)
        }
      }, fail: fail)
  }

  private func listen(on endpoint: Endpoint) async throws {
    let server = try await database.open(
      endpoint, tls: tls(), limits: limits(endpoint), onSession: { [self] in sessionsChanged($0) })
    logger.info("listening", metadata: ["target": "\(plan.target)"])
    change { state in
      state.server = server
      state.phase = "IDLE"
      state.failure = nil
    }
    while !Task.isCancelled { try? await clock.sleep(for: .seconds(3600)) }
    await database.close(server)
  }

  private func sessionsChanged(_ isNew: Bool) {
    change { state in
      if isNew { state.connected = clock.now } else { state.disconnected = clock.now }
    }
  }

  private func connect(to endpoint: Endpoint) async throws {
    change { $0.phase = "CONNECTING" }
    var limits = limits(endpoint)
    limits.handshakeSeconds = nil
    limits.connectionLimit = 1
    let server = try await database.dial(endpoint, tls: tls(), limits: limits)
    change { state in
      state.server = server
      state.phase = "ACTIVE"
      state.connected = clock.now
    }
    let reason = await withTaskCancellationHandler {
      await server.waitForEnd()
    } onCancel: {
      Task { await server.close() }
    }
    await database.close(server)
    change { state in
      state.server = nil
      state.phase = "BACKOFF"
      state.disconnected = clock.now
      state.failure = reason ?? "Connection closed by peer"
    }
  }

  private func fail(_ error: any Error) {
    let text = TransportError.reason(error)
    let isNew = state.withLock { $0.failure != text }
    if isNew { logger.warning("a manager does not work", metadata: ["target": "\(plan.target)", "reason": "\(text)"]) }
    change { state in
      state.phase = "BACKOFF"
      state.failure = text
    }
  }

  private func tls() -> ServerTLS? {
    guard let files = plan.tlsFiles, files.count == 3 else { return nil }
    return ServerTLS(
      privateKey: files[0], certificate: files[1], authorities: files[2], in: places.tlsFiles)
  }

  private func limits(_ endpoint: Endpoint) -> JSONRPCLimits {
    var limits = DatabaseServer.defaultLimits
    // A peer on this host can't vanish without a word.
    let standard: Int64 = if case .unix = endpoint { 0 } else { 5000 }
    let probe = min(plan.probeMilliseconds ?? standard, 86_400_000)
    limits.probeMilliseconds = probe > 0 ? Int(probe) : nil
    return limits
  }
}
