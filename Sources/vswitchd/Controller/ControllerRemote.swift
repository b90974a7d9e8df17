// One row of Controller at work: a listener that is opened again until it can be, or a connection that is made again whenever
// it ends, each time after a longer pause (`max_backoff` at most). Runs in a task of its own until that is cancelled; what
// it says of itself is behind a mutex.

import Logging
import NIOCore
import OVSDB
import OpenFlow
import Synchronization
import Transport

/// A controller that the database names.
final class ControllerRemote: Sendable {
  private struct State {
    /// As Open vSwitch calls it: VOID, BACKOFF, CONNECTING, ACTIVE, IDLE; LISTENING beside those.
    var phase = "VOID"
    var failure: String?
    var connected: ContinuousClock.Instant?
    var disconnected: ContinuousClock.Instant?
    /// Sessions that have agreed on a version, by their numbers in the bridge.
    var sessions: [Int: ControllerSession] = [:]
    var port: Int?
  }

  let plan: ControllerPlan
  private let agent: BridgeAgent
  private let places: RemotePlaces
  private let group: any EventLoopGroup
  private let logger: Logger
  private let clock = ContinuousClock()
  private let onChange: @Sendable () -> Void
  private let state = Mutex(State())
  private let task = Mutex<Task<Void, Never>?>(nil)

  init(
    _ plan: ControllerPlan, _ agent: BridgeAgent, _ places: RemotePlaces, _ group: any EventLoopGroup,
    _ logger: Logger, onChange: @escaping @Sendable () -> Void
  ) {
    self.plan = plan
    self.agent = agent
    self.places = places
    self.group = group
    self.logger = logger
    self.onChange = onChange
  }

  func start() { task.withLock { $0 = Task { [self] in await run() } } }

  /// Returns when the listener and its sessions are gone. A connection that is being made is not waited for: it ends as soon
  /// as it is there.
  func stop() async {
    let task = task.withLock { $0 }
    task?.cancel()
    if plan.isListener { await task?.value }
  }

  /// Whether a session of it has agreed on a version.
  var isConnected: Bool { state.withLock { !$0.sessions.isEmpty } }

  /// `is_connected`, `role` and `status` of the row (ovs-vswitchd.conf.db(5), Controller).
  func columns() async -> ColumnContents {
    typealias Controller = OpenVSwitch.Controller
    let state = state.withLock { $0 }
    var status: [String: String] = [:]
    status["state"] = state.sessions.isEmpty ? state.phase : "ACTIVE"
    status["last_error"] = state.failure
    if state.sessions.count > 1 { status["n_connections"] = String(state.sessions.count) }
    if let port = state.port { status["bound_port"] = String(port) }
    func seconds(since instant: ContinuousClock.Instant) -> String { String((clock.now - instant).components.seconds) }
    status["sec_since_connect"] = state.connected.map(seconds)
    status["sec_since_disconnect"] = state.disconnected.map(seconds)
    var columns = ColumnContents()
    columns[Controller.isConnected] = !state.sessions.isEmpty
    columns[Controller.status] = status
    columns[Controller.role] = await state.sessions.min { $0.key < $1.key }?.value.roleName
    return columns
  }

  /// What a controller of 1.5 is told of this one.
  func statuses() async -> [ControllerStatus] {
    let sessions = state.withLock { $0.sessions }
    guard !sessions.isEmpty else {
      var status = ControllerStatus()
      status.isUp = false
      status.uri = plan.target
      return [status]
    }
    var statuses: [ControllerStatus] = []
    for session in sessions.sorted(by: { $0.key < $1.key }) {
      var status = ControllerStatus()
      status.uri = plan.target
      status.role = await session.value.role
      status.shortID = await session.value.controllerID
      statuses.append(status)
    }
    return statuses
  }

  private func change(_ body: (inout State) -> Void) {
    state.withLock { body(&$0) }
    onChange()
  }

  // MARK: the task

  private func run() async {
    await RemoteRun(
      target: plan.target, backoffLimitMilliseconds: plan.backoffLimitMilliseconds, wantsBootstrap: plan.wantsBootstrap,
      sockets: places.sockets, defaultPort: Endpoint.openFlowPort
    ).run(
      serve: { target in
        switch target {
        case .listen(let endpoint): try await listen(on: endpoint)
        case .connect(let endpoint): try await connect(to: endpoint)
        }
      }, fail: fail)
  }

  private func listen(on endpoint: Endpoint) async throws {
    let room = ConnectionRoom()
    let opener = SocketOpener(endpoint, tls: tls, group: group, logger: logger) { [self] channel in
      let connection = OpenFlowConnection(channel, mirror: mirror)
      guard room.admit(connection) else { throw TransportError("the listener is closed") }
      connection.limitHandshake(seconds: 10)
      try connection.install()
      Task { [self] in await serve(connection) }
    }
    let listener = try await opener.listen()
    logger.info("listening", metadata: ["bridge": "\(agent.name)", "target": "\(plan.target)"])
    change { state in
      state.port = listener.localAddress?.port
      state.phase = "LISTENING"
      state.failure = nil
    }
    while !Task.isCancelled { try? await clock.sleep(for: .seconds(3600)) }
    try? await listener.close().get()
    opener.removeFile()
    room.close()
    while room.count > 0 { try? await Task.sleep(for: .milliseconds(5)) }
  }

  private func connect(to endpoint: Endpoint) async throws {
    change { $0.phase = "CONNECTING" }
    let made = Mutex<OpenFlowConnection?>(nil)
    _ = try await SocketOpener(endpoint, tls: tls, group: group, logger: logger) { [self] channel in
      let connection = OpenFlowConnection(channel, mirror: mirror)
      connection.limitHandshake(seconds: 10)
      try connection.install()
      made.withLock { $0 = connection }
    }.connect()
    guard let connection = made.withLock({ $0 }) else { throw TransportError("no channel") }
    await withTaskCancellationHandler {
      await serve(connection)
    } onCancel: {
      connection.close()
    }
    let reason = connection.failure ?? "Connection closed by peer"
    let wasConnected = state.withLock { $0.phase == "IDLE" }
    if wasConnected, !Task.isCancelled {
      logger.warning(
        "controller lost",
        metadata: ["bridge": "\(agent.name)", "target": "\(plan.target)", "reason": "\(reason)"])
      change { state in
        state.phase = "BACKOFF"
        state.failure = reason
      }
    } else {
      throw TransportError(reason)
    }
  }

  /// Copies for those who listen in are of controllers' sessions, not of programs'.
  private var mirror: SnoopHub? { plan.settings.isService ? nil : agent.snoop }

  private func serve(_ connection: OpenFlowConnection) async {
    if let milliseconds = plan.probeMilliseconds { connection.startProbing(milliseconds: milliseconds) }
    await agent.serve(
      connection, plan.settings,
      onConnected: { [self] number, session in
        logger.info(
          "controller connected",
          metadata: [
            "bridge": "\(agent.name)", "target": "\(plan.target)", "version": "\(connection.version?.name ?? "")",
          ])
        change { state in
          state.sessions[number] = session
          state.connected = clock.now
          state.failure = nil
          // Until it ends; `columns` says ACTIVE.
          state.phase = "IDLE"
        }
      },
      onEnded: { [self] number in
        change { state in if state.sessions.removeValue(forKey: number) != nil { state.disconnected = clock.now } }
      })
  }

  private func fail(_ error: any Error) {
    let text = TransportError.reason(error)
    let isNew = state.withLock { $0.failure != text }
    if isNew, !Task.isCancelled {
      logger.warning(
        "a controller does not work",
        metadata: ["bridge": "\(agent.name)", "target": "\(plan.target)", "reason": "\(text)"])
    }
    change { state in
      state.phase = "BACKOFF"
      state.failure = text
    }
  }

  private var tls: ServerTLS? {
    guard let files = plan.tlsFiles, files.count == 3 else { return nil }
    return ServerTLS(privateKey: files[0], certificate: files[1], authorities: files[2], in: places.tlsFiles)
  }
}
