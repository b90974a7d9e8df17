// What routers need besides rules: takes their punted packets to handlers, sends what these want sent and changes rules as they
// say; and brings the rules of routers to their configuration. An actor; the datapath is called on a thread of its own, one
// call after the other.
//
// Invariants: of a router the rules are changed by what differs, as one bundle; handlers see packets of routers that there are, in
// the order in which the inbox gives them; what handlers want changed is done before what they want sent.

import Datapath
import Logging
import OVSDB
import ServiceLifecycle
import VSwitchCore

/// The datapath as the service uses it.
protocol RouterPlane: Sendable {
  func changeFlows(bridge: String, _ changes: TableChangeList) throws(FlowChangeError) -> FlowChangeOutcome
  func sendPacket(bridge: String, inPort: PortNumber, actions: [Action], data: [UInt8]) throws(FlowChangeError)
  func flushConnections(_ filter: ConnectionFilter) -> Int
  /// Nanoseconds.
  var flowClock: UInt64 { get }
}

extension Datapath: RouterPlane {}

/// Who brings routers to work.
protocol RouterFollower: Sendable {
  /// Brings the routers to these configurations.
  /// - Returns: why some don't work, by name.
  func follow(_ routers: [RouterConfig]) async -> [String: ConfigError]
}

/// The service of routers.
actor NetworkService: Service, RouterFollower {
  /// Packets that are handled before what came of them is done.
  private static let batchLimit = 64
  private static let ownPunts = 256

  nonisolated let inbox: PuntInbox
  private let plane: any RouterPlane
  private let logger: Logger
  private let blocking = BlockingCalls()
  private var routers: [String: RouterConfig] = [:]
  private let installer: RuleInstaller
  private var neighbours: NeighbourResolver
  private var errors = ICMPErrors()
  /// The handlers that are asked nothing else, those of router advertisements first.
  private var others: [any PuntHandler]
  /// When the timer that runs goes off.
  private var timer: (task: Task<Void, Never>, deadline: UInt64)?

  /// - Parameter handlers: those besides the ones that every router has.
  init(plane: any RouterPlane, logger: Logger, seed: UInt64, handlers: [any PuntHandler] = []) {
    self.plane = plane
    installer = RuleInstaller(plane: plane)
    self.logger = logger
    neighbours = NeighbourResolver(seed: seed)
    others = [RouterAdvertiser(seed: seed &+ 1)] + handlers
    inbox = PuntInbox { [plane] in plane.flowClock }
  }

  // MARK: configuration

  func follow(_ routers: [RouterConfig]) async -> [String: ConfigError] {
    var failures: [String: ConfigError] = [:]
    let old = self.routers
    self.routers = Dictionary(routers.map { ($0.name, $0) }, uniquingKeysWith: { $1 })
    inbox.follow(Set(self.routers.keys))
    await installer.keep(bridges: Set(self.routers.keys))
    for router in routers {
      let rules = RouterCompiler.rules(of: router)
      guard let error = await installer.install(rules, on: router.name) else { continue }
      failures[router.name] = Self.configError(error, router.name)
      logger.error("a router's rules were refused", metadata: ["router": "\(router.name)", "reason": "\(error)"])
    }
    for (name, router) in old { await forgetConnections(of: router, now: self.routers[name]) }
    let now = plane.flowClock
    let configs = routers
    var reaction = PuntReaction()
    reaction.append(neighbours.configure(configs, now: now))
    reaction.append(errors.configure(configs, now: now))
    for i in others.indices { reaction.append(others[i].configure(configs, now: now)) }
    await carryOut(reaction)
    arm(nil)
    return failures
  }

  /// Connections that an address has to do with that is no longer the router's are none any more.
  private func forgetConnections(of old: RouterConfig, now new: RouterConfig?) async {
    func addresses(_ router: RouterConfig) -> [InterfaceAddress] {
      router.ports.filter(\.masquerades).flatMap(\.addresses).sorted()
    }
    guard old.tracksConnections,
      new == nil || new?.zone != old.zone || new.map(addresses) != addresses(old) || new?.forwards != old.forwards
    else { return }
    let filters = [old.zone, old.hairpinZone].compactMap { $0.map { ConnectionFilter(zone: $0) } }
    await blocking { [plane] in for filter in filters { _ = plane.flushConnections(filter) } }
  }

  private static func configError(_ error: FlowChangeError, _ router: String) -> ConfigError {
    switch error {
    case .noBridge:
      ConfigError(cause: "router \(router) has no tables in the datapath", remedy: "free memory and change any setting")
    case .refused(_, let error): ConfigError(cause: "router \(router): \(error)", remedy: "see the daemon's log")
    }
  }

  // MARK: packets

  func run() async {
    await cancelWhenGracefulShutdown { [self] in
      for await _ in inbox.wakeUps { await handleWaiting() }
    }
    timer?.task.cancel()
  }

  private func handleWaiting() async {
    var delay: UInt64?
    repeat {
      let batch = inbox.next(Self.batchLimit)
      delay = batch.delay
      let now = plane.flowClock
      var reaction = PuntReaction()
      for (router, rule) in batch.expired {
        reaction.append(neighbours.ruleExpired(router: router, rule, now: now))
        for i in others.indices { reaction.append(others[i].ruleExpired(router: router, rule, now: now)) }
      }
      for (name, packet) in batch.packets {
        guard let router = routers[name], let punt = Punt(packet, router) else { continue }
        reaction.append(handle(punt, now))
      }
      reaction.append(tick(now))
      await carryOut(reaction)
    } while delay == 0
    arm(delay)
  }

  private func handle(_ punt: Punt, _ now: UInt64) -> PuntReaction {
    if errors.reasons.contains(punt.reason) { return errors.handle(punt, now: now) }
    var reaction = PuntReaction()
    if neighbours.reasons.contains(punt.reason) { reaction = neighbours.handle(punt, now: now) }
    for i in others.indices where others[i].reasons.contains(punt.reason) {
      reaction.append(others[i].handle(punt, now: now))
    }
    return reaction
  }

  private func tick(_ now: UInt64) -> PuntReaction {
    var reaction = neighbours.tick(now: now)
    reaction.append(errors.tick(now: now))
    for i in others.indices { reaction.append(others[i].tick(now: now)) }
    return reaction
  }

  /// Changes what is to be changed, then sends what is to be sent.
  private func carryOut(_ reaction: PuntReaction) async {
    var reaction = reaction
    // What handlers pass on to each other comes to an end soon; a bound all the same.
    for _ in 0..<4 where !reaction.punts.isEmpty {
      let punts = reaction.punts.prefix(Self.ownPunts)
      reaction.punts = []
      let now = plane.flowClock
      for punt in punts { reaction.append(handle(punt, now)) }
    }
    guard !reaction.isEmpty else { return }
    let changes = reaction.changes.filter { routers[$0.key] != nil }
    let frames = reaction.frames.filter { routers[$0.router] != nil }
    let refused = await blocking { [plane] () -> [String] in
      var refused: [String] = []
      for (router, mods) in changes {
        do throws(FlowChangeError) {
          _ = try plane.changeFlows(bridge: router, TableChangeList(mods.map { .flow($0) }))
        } catch { refused.append("\(router): \(error)") }
      }
      for frame in frames {
        do throws(FlowChangeError) {
          try plane.sendPacket(
            bridge: frame.router, inPort: frame.way.inPort, actions: frame.way.actions, data: frame.frame)
        } catch { refused.append("\(frame.router): \(error)") }
      }
      return refused
    }
    if let first = refused.first {
      logger.warning("what a router's service asked for was refused", metadata: ["reason": "\(first)"])
    }
  }

  // MARK: time

  /// Has a timer go off when something is due.
  private func arm(_ delay: UInt64?) {
    let now = plane.flowClock
    var deadline = delay.map { now + $0 }
    for due in [neighbours.nextDeadline, errors.nextDeadline] + others.map(\.nextDeadline) {
      if let due { deadline = min(deadline ?? .max, due) }
    }
    guard let deadline else { return }
    if let timer, timer.deadline <= deadline, timer.deadline > now { return }
    timer?.task.cancel()
    let pause = Duration.nanoseconds(Int64(clamping: deadline > now ? deadline - now : 0) + 1_000_000)
    let task = Task { [inbox] in
      guard (try? await Task.sleep(for: pause)) != nil else { return }
      inbox.wakeUp()
    }
    timer = (task, deadline)
  }

  // MARK: questions

  /// The routers as they are.
  var configs: [RouterConfig] { routers.values.sorted { $0.name < $1.name } }

  /// Nil: there is no such router.
  func neighbours(of router: String) -> [NeighbourDescription]? {
    routers[router] == nil ? nil : neighbours.neighbours(of: router, now: plane.flowClock)
  }
}

extension Punt {
  /// Nil: no packet of ours.
  init?(_ packet: ControllerPacket, _ router: RouterConfig) {
    guard let reason = packet.userData.first.flatMap(PuntReason.init(rawValue:)) else { return nil }
    self.init(
      router: router, reason: reason, inPort: PortNumber(packet.inPort), arguments: Array(packet.userData.dropFirst()),
      pipeline: packet.pipeline, frame: packet.data)
  }
}
