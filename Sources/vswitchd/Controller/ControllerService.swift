// OpenFlow for every bridge: its controllers (table Controller), its management socket `<run dir>/<bridge>.mgmt`, as
// ovs-ofctl looks for it, and `<bridge>.snoop`; what the datapath has to tell to whoever is connected; and the controllers'
// status, written back where it differs, every 5 s and soon after a change. An actor; connections run in tasks of their own.

import Datapath
import Glibc
import Logging
import NIOCore
import NIOPosix
import OVSDB
import OpenFlow
import ServiceLifecycle
import Transport
import VSwitchCore

/// Serves OpenFlow.
actor ControllerService: Service {
  /// A socket in the run dir.
  private struct Listener {
    var opener: SocketOpener
    var channel: any Channel
    var room: ConnectionRoom
  }

  private let store: any ConfigurationStore
  private let plane: any FlowPlane
  private let places: RemotePlaces
  private let logger: Logger
  private let statusInterval: Duration
  /// Takes what is of routers, which are bridges without controllers.
  private let punts: PuntInbox?
  private var agents: [String: BridgeAgent] = [:]
  private var listeners: [String: [Listener]] = [:]
  /// What the database asked for last; nothing is done before `open`.
  private var plans: [BridgePlan] = []
  private var states = PortStates()
  private var isOpen = false
  private let eventLoops = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  private let wakeUps: AsyncStream<Void>
  private let wake: AsyncStream<Void>.Continuation

  init(
    store: any ConfigurationStore, plane: any FlowPlane, places: RemotePlaces, logger: Logger,
    statusInterval: Duration = .seconds(5), punts: PuntInbox? = nil
  ) {
    self.punts = punts
    self.store = store
    self.plane = plane
    self.places = places
    self.logger = logger
    self.statusInterval = statusInterval
    (wakeUps, wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  /// Begins to have sockets and to connect.
  func open() async {
    isOpen = true
    await follow(plans, isNew: true, PortNews())
  }

  /// Serves these bridges and no others, from `open` on, and tells of their ports.
  /// - Parameter news: what is new of the ports since the last call.
  func follow(_ plans: [BridgePlan], _ news: PortNews) async {
    _ = states.take(news.changed, gone: news.gone)
    let isNew = plans != self.plans
    let old = self.plans
    self.plans = plans
    if isOpen { await follow(old, isNew: isNew, news) }
  }

  /// - Parameters:
  ///   - old: the plans until now.
  ///   - isNew: whether there are others now.
  private func follow(_ old: [BridgePlan], isNew: Bool, _ news: PortNews) async {
    for (bridge, news) in news.byBridge { await agents[bridge]?.note(news) }
    guard isNew else { return }
    let names = Set(plans.map(\.name))
    for (name, agent) in agents where !names.contains(name) {
      agents[name] = nil
      await close(name)
      await agent.end()
    }
    for plan in plans {
      if let agent = agents[plan.name] {
        if old.first(where: { $0.name == plan.name }) != plan { await agent.follow(plan) }
        await agent.followControllers(places, eventLoops, logger) { [wake] in wake.yield() }
      } else {
        let agent = BridgeAgent(plan, plane: plane)
        agents[plan.name] = agent
        await agent.note(PortNews(changed: states.all.values.filter { $0.bridge == plan.name }))
        await agent.watchControllers()
        await listen(agent)
        await agent.followControllers(places, eventLoops, logger) { [wake] in wake.yield() }
      }
    }
  }

  // MARK: sockets

  private func listen(_ agent: BridgeAgent) async {
    do {
      try await listen(agent, "mgmt") { connection in await agent.serve(connection, ControllerPlan.Settings()) }
      try await listen(agent, "snoop") { connection in await agent.snoop.serve(connection, .all) }
    } catch {
      logger.error("no management socket", metadata: ["bridge": "\(agent.name)", "reason": "\(error)"])
    }
  }

  private func listen(
    _ agent: BridgeAgent, _ suffix: String, _ serve: @escaping @Sendable (OpenFlowConnection) async -> Void
  ) async throws {
    let room = ConnectionRoom()
    let path = "\(places.sockets.path)/\(agent.name).\(suffix)"
    let opener = SocketOpener(.unix(path: path), tls: nil, group: eventLoops, logger: logger) { channel in
      let connection = OpenFlowConnection(channel)
      guard room.admit(connection) else { throw TransportError("the listener is closed") }
      connection.limitHandshake(seconds: 10)
      try connection.install()
      Task { await serve(connection) }
    }
    let channel = try await opener.listen()
    listeners[agent.name, default: []].append(Listener(opener: opener, channel: channel, room: room))
  }

  private func close(_ bridge: String) async {
    for listener in listeners.removeValue(forKey: bridge) ?? [] {
      try? await listener.channel.close().get()
      listener.opener.removeFile()
      listener.room.close()
    }
  }

  // MARK: the service

  func run() async {
    await cancelWhenGracefulShutdown { [self] in
      await withTaskGroup(of: Void.self) { group in
        group.addTask { [self, plane, punts] in
          for await packet in plane.controllerPackets where punts?.take(packet) != true {
            await agents[packet.bridge]?.tell(packet.packet)
          }
        }
        group.addTask { [self, plane, punts] in
          for await outcome in plane.flowOutcomes where punts?.take(outcome) != true {
            await agents[outcome.bridge]?.tell(outcome.outcome)
          }
        }
        group.addTask { [self] in
          while (try? await Task.sleep(for: statusInterval, tolerance: statusInterval / 10)) != nil {
            if await hasControllers { wake.yield() }
          }
        }
        group.addTask { [self, wakeUps] in
          for await _ in wakeUps {
            await writeStatus()
            // Controllers that come and go in quick succession do not make a transaction each.
            try? await Task.sleep(for: .milliseconds(200))
          }
        }
        await group.waitForAll()
      }
    }
    isOpen = true
    await follow([], PortNews())
    try? await eventLoops.shutdownGracefully()
  }

  private var hasControllers: Bool { plans.contains { !$0.controllers.isEmpty } }

  private func writeStatus() async {
    guard await store.access.isReady else { return }
    let snapshot = await store.snapshot()
    var operations: [JSONValue] = []
    for agent in agents.values.sorted(by: { $0.name < $1.name }) {
      for (uuid, remote) in await agent.remotes.sorted(by: { $0.key < $1.key }) {
        guard let row = snapshot.row("Controller", uuid) else { continue }
        let differing = await remote.columns().differing(from: row)
        if !differing.isEmpty { operations.append(Operation.update("Controller", uuid, differing)) }
      }
    }
    if operations.isEmpty { return }
    let reply = await store.transact(operations)
    if let error = reply.error {
      logger.warning("could not write the controllers' status", metadata: ["reason": "\(error)"])
    }
  }
}

extension BridgeAgent {
  /// Has a remote for each row of Controller.
  func followControllers(
    _ places: RemotePlaces, _ group: any EventLoopGroup, _ logger: Logger, onChange: @escaping @Sendable () -> Void
  ) async {
    let wanted = plan.controllers
    let leaving = remotes.filter { wanted[$0.key] != $0.value.plan }
    for row in leaving.keys { remotes[row] = nil }
    // All of them first: a port may go from one row to another.
    for remote in leaving.values { await remote.stop() }
    for (row, plan) in wanted where remotes[row] == nil {
      let remote = ControllerRemote(plan, self, places, group, logger, onChange: onChange)
      remotes[row] = remote
      remote.start()
    }
  }

  /// The bridge is gone.
  func end() async {
    standIn.task?.cancel()
    for remote in remotes.values { await remote.stop() }
    remotes = [:]
    for session in sessions.values { await session.connection?.close() }
  }
}
