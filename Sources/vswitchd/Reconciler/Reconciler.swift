// Brings the datapath to what the database asks for and writes back what became of it.
//
// What wakes it: a change of the database that concerns the datapath, a link event for a port that it has, a store that
// has become ready again, and the statistics period. Wakes that come while it works are merged. The datapath is called
// on a thread of its own. Invariants: one pass at a time; status and `cur_cfg` go in one transaction; a pass in which
// nothing changed makes none; while the store is away the datapath is kept as it was last wanted, and while another
// process has the database's lock nothing is touched.

import Datapath
import Logging
import OVSDB
import ServiceLifecycle
import VSwitchCore

/// Keeps datapath and database in agreement.
actor Reconciler: Service {
  private let store: any ConfigurationStore
  private let plane: any SwitchPlane
  private let logger: Logger
  private let system: SystemInformation
  private let coverage: Coverage
  /// Told what is asked of OpenFlow and how the ports are, before the database says that it is so.
  private let onApplied: @Sendable ([BridgePlan], [PortState]) async -> Void
  private let blocking = BlockingCalls()
  private var numbering = PortNumbering()
  private var readings = PortReadings()
  private var settled = SettledInterfaces()
  /// What the datapath was brought to; nil before the first pass.
  private var applied: SwitchConfig? {
    didSet { interfaceNames = Set(applied?.bridges.lazy.flatMap(\.ports).map(\.interface.name) ?? []) }
  }
  private var interfaceNames: Set<String> = []
  private var states: [PortState] = []
  /// What `onApplied` was told last.
  private var toldPlans: [BridgePlan] = []
  private var toldStates: [PortState] = []
  /// What the last pass over the whole database read.
  private var desired: DesiredState?
  /// What was to be written last has been.
  private var isWrittenBack = false
  private var changes: AsyncStream<Changes>?
  /// What was logged last, so that a failure is told once and its end too.
  private var loggedOutcomes: [QualifiedPort: PortOutcome] = [:]
  private var loggedWarnings: Set<String> = []
  /// Rules that guests of vhost-user ports broke, as the log has them.
  private var loggedFaults: [QualifiedPort: [String: String]] = [:]
  private var statisticsMilliseconds = 5000
  private var wake: AsyncStream<Void>.Continuation?
  /// Status was refused by the database: a pass is due that changes nothing but tries again.
  private var retryIsDue = false
  private static let retryPause = Duration.seconds(1)
  /// Links that go up and down all the time cause a pass that often and no more.
  private let linkPause: Duration
  private var lastLinkPass: ContinuousClock.Instant?
  /// When a pass for link events alone is to come, once one waits.
  private var linkPassDue: ContinuousClock.Instant?

  /// Why a pass is due.
  private struct Causes {
    var configuration = false
    var links: Set<String> = []
    var statistics = false

    var isNone: Bool { links.isEmpty && !configuration && !statistics }
    /// Neither a change of the database nor a try after a failure.
    var isLinksOnly: Bool { !links.isEmpty && !configuration && !statistics }
  }
  private var causes = Causes()
  /// Tries of a failed port that link events caused in this statistics period. A port that makes its own device and
  /// then fails causes an event by every try: without a limit that would never end.
  private var retryCounts: [String: Int] = [:]
  private let retryLimit = 10

  init(
    store: any ConfigurationStore, plane: any SwitchPlane, logger: Logger, system: SystemInformation,
    coverage: Coverage = Coverage(), linkPause: Duration = .milliseconds(100),
    onApplied: @escaping @Sendable ([BridgePlan], [PortState]) async -> Void = { _, _ in }
  ) {
    self.linkPause = linkPause
    self.store = store
    self.plane = plane
    self.logger = logger
    self.system = system
    self.coverage = coverage
    self.onApplied = onApplied
  }

  /// The bridges that the datapath has.
  var bridgeNames: [String] { applied?.bridges.map(\.name) ?? [] }

  /// What the datapath was last brought to.
  var appliedConfig: SwitchConfig { applied ?? SwitchConfig() }

  /// The ports as they were at the last pass.
  var portStates: [PortState] { states }

  /// The first pass: when it returns, the datapath forwards by the stored configuration.
  func start() async {
    let (snapshot, changes) = await store.changes()
    self.changes = changes
    await reconcile(snapshot, mayApply: true, statistics: true)
  }

  /// Works until the service is told to end; call `start` first.
  func run() async {
    guard let changes else { return }
    let (wakes, wake) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    self.wake = wake
    await cancelWhenGracefulShutdown {
      await withTaskGroup(of: Void.self) { group in
        group.addTask {
          for await change in changes {
            self.coverage.count(.databaseChange)
            guard ChangeFilter.concernsDatapath(change) else { continue }
            await self.note { $0.configuration = true }
            wake.yield()
          }
        }
        group.addTask {
          for await _ in await self.store.readiness() {
            await self.note { $0.configuration = true }
            wake.yield()
          }
        }
        group.addTask {
          for await case .linkChanged(let name) in self.plane.events where await self.concernsUs(link: name) {
            self.coverage.count(.linkEvent)
            await self.note { $0.links.insert(name) }
            wake.yield()
          }
        }
        group.addTask {
          while !Task.isCancelled {
            let period = await self.statisticsMilliseconds
            try? await Task.sleep(for: .milliseconds(period), tolerance: .milliseconds(period / 10))
            await self.note { $0.statistics = true }
            wake.yield()
          }
        }
        for await _ in wakes {
          if Task.isCancelled { break }
          await self.pass()
        }
        group.cancelAll()
      }
    }
  }

  private func note(_ change: (inout Causes) -> Void) { change(&causes) }

  /// An empty name stands for any link.
  private func concernsUs(link name: String) -> Bool { name.isEmpty || interfaceNames.contains(name) }

  private func pass() async {
    if causes.isLinksOnly, mustWaitForLinks() { return }
    // Woken for what another pass has seen to already.
    if causes.isNone, isWrittenBack { return }
    linkPassDue = nil
    if !causes.links.isEmpty { lastLinkPass = .now }
    let causes = causes
    self.causes = Causes()
    if causes.statistics || causes.configuration { retryCounts = [:] }
    // A port that failed is tried again when the user changes something, when its link says something, and with the
    // statistics: what else can mend it (a namespace that is made, a file that appears) tells nobody.
    let failed = Set(states.filter { $0.error != nil }.map(\.name))
    var mayApply = causes.configuration || (causes.statistics && !failed.isEmpty)
    var changed: Set<QualifiedPort> = []
    if !causes.configuration, !causes.links.isEmpty || causes.statistics {
      let before = states
      states = await blocking { [plane] in plane.portStates() }
      for (index, state) in states.enumerated() {
        if index >= before.count || before[index] != state { changed.insert(QualifiedPort(state.bridge, state.name)) }
        guard state.error != nil, causes.links.contains(state.name) || causes.links.contains("") else { continue }
        retryCounts[state.name, default: 0] += 1
        if retryCounts[state.name, default: 0] <= retryLimit { mayApply = true }
      }
    }
    if causes.isLinksOnly, !mayApply, isWrittenBack, let desired {
      await report(changed, of: desired)
    } else {
      await reconcile(await store.snapshot(), mayApply: mayApply, statistics: causes.statistics)
    }
  }

  /// A link that comes up says so several times within moments: one pass for all of them, and not too many passes. A
  /// change of the database waits for none of it.
  private func mustWaitForLinks() -> Bool {
    if let linkPassDue { return .now < linkPassDue }
    let due = max(.now + .milliseconds(10), lastLinkPass.map { $0 + linkPause } ?? .now)
    linkPassDue = due
    Task {
      try? await Task.sleep(until: due)
      wake?.yield()
    }
    return true
  }

  /// A pass in which nothing but the state of some ports has changed.
  private func report(_ ports: Set<QualifiedPort>, of desired: DesiredState) async {
    coverage.count(.reconcilePass)
    if ports.isEmpty { return }
    isWrittenBack = false
    let database = await store.snapshot()
    await tellOpenFlow(desired, database)
    if await store.access.isReady { await writeBack(desired, database, statistics: false, scope: ports) }
    log(desired)
  }

  /// One pass.
  /// - Parameters:
  ///   - mayApply: whether failed ports are to be tried again; a changed configuration is applied in any case.
  ///   - statistics: whether counters are to be written too.
  private func reconcile(_ database: DatabaseSnapshot, mayApply: Bool, statistics: Bool) async {
    coverage.count(.reconcilePass)
    if statistics { coverage.sample() }
    let access = await store.access
    if access == .contended { return }
    let desired = DesiredState(database, numbering: &numbering, readings: &readings)
    self.desired = desired
    if desired.config != applied || (mayApply && states.contains { $0.error != nil }) {
      coverage.count(.datapathApply)
      states = await blocking { [plane] in plane.apply(desired.config) }
      applied = desired.config
    }
    await tellOpenFlow(desired, database)
    isWrittenBack = false
    if access.isReady { await writeBack(desired, database, statistics: statistics) }
    log(desired)
    if let root = database.only("Open_vSwitch") {
      statisticsMilliseconds = Settings(root[OpenVSwitch.Root.otherConfig])
        .integer("stats-update-interval", default: 5000, in: 1000...3_600_000)
    }
  }

  /// Passes on what is asked of OpenFlow, and the ports' state, if either is new.
  private func tellOpenFlow(_ desired: DesiredState, _ database: DatabaseSnapshot) async {
    var plans: [BridgePlan] = []
    let ownPorts = states.ownPorts
    for (name, uuid) in desired.bridges.sorted(by: { $0.key < $1.key }) {
      guard let row = database.row("Bridge", uuid) else { continue }
      var plan = BridgePlan(row, database)
      if let text = StatusColumns.bridge(row, local: ownPorts[name])["datapath_id"]?.string {
        plan.datapathID = UInt64(text, radix: 16) ?? 0
      }
      plans.append(plan)
    }
    guard plans != toldPlans || states != toldStates else { return }
    toldPlans = plans
    toldStates = states
    await onApplied(plans, states)
  }

  private func writeBack(
    _ desired: DesiredState, _ database: DatabaseSnapshot, statistics: Bool, scope: Set<QualifiedPort>? = nil
  ) async {
    guard let root = database.only("Open_vSwitch") else { return }
    isWrittenBack = false
    let update = StatusUpdate(
      desired: desired, database: database, states: states,
      counters: statistics ? await blocking { [plane] in Counters(plane.counters()) } : nil, system: system,
      systemStatistics: StatusColumns.wantsStatistics(root) && (statistics || root["statistics"].isEmpty)
        ? await blocking { SystemStatistics.current() } : nil, scope: scope)
    let operations = update.operations(&settled)
    guard !operations.isEmpty else {
      isWrittenBack = true
      return
    }
    coverage.count(.statusTransaction)
    let reply = await store.transact(operations)
    isWrittenBack = reply.error == nil
    guard let error = reply.error else { return }
    coverage.count(.statusTransactionFailed)
    // The columns still differ: the next pass tries again, and one comes when the store is back.
    if error.tag == "unavailable" || error.tag == "connection lost" { return }
    logger.error("could not write status to the database", metadata: ["reason": "\(error)"])
    retryLater()
  }

  private func retryLater() {
    if retryIsDue { return }
    retryIsDue = true
    Task {
      try? await Task.sleep(for: Self.retryPause)
      retryIsDue = false
      wake?.yield()
    }
  }

  private func log(_ desired: DesiredState) {
    var outcomes: [QualifiedPort: PortOutcome] = [:]
    for state in states {
      outcomes[QualifiedPort(state.bridge, state.name)] = PortOutcome(number: state.portNumber, error: state.error)
    }
    for interface in desired.interfaces {
      if let error = interface.error {
        outcomes[QualifiedPort(interface.bridge, interface.port)] = PortOutcome(number: nil, error: error)
      }
    }
    let changed = outcomes.filter { loggedOutcomes[$0.key] != $0.value }
    for (port, outcome) in changed.sorted(by: { $0.key < $1.key }) {
      var metadata: Logger.Metadata = ["bridge": "\(port.bridge)", "port": "\(port.port)"]
      if let error = outcome.error {
        metadata["reason"] = "\(error)"
        logger.warning("port does not work", metadata: metadata)
      } else {
        if let number = outcome.number { metadata["number"] = "\(number)" }
        logger.info(
          loggedOutcomes[port]?.error == nil ? "port works" : "port works again", metadata: metadata)
      }
    }
    for port in loggedOutcomes.keys.filter({ outcomes[$0] == nil }).sorted() {
      logger.info("port removed", metadata: ["bridge": "\(port.bridge)", "port": "\(port.port)"])
    }
    loggedOutcomes = outcomes
    logFaults()
    let warnings = Set(desired.warnings)
    for warning in warnings.subtracting(loggedWarnings).sorted() { logger.warning("\(warning)") }
    loggedWarnings = warnings
  }

  /// Tells, once, which rule a guest broke.
  private func logFaults() {
    var all: [QualifiedPort: [String: String]] = [:]
    for state in states {
      let port = QualifiedPort(state.bridge, state.name)
      let faults = state.status.filter { $0.key.hasSuffix("_fault") }
      guard !faults.isEmpty else { continue }
      all[port] = faults
      for (key, rule) in faults.sorted(by: { $0.key < $1.key }) where loggedFaults[port]?[key] != rule {
        logger.warning(
          "a guest broke a rule",
          metadata: ["bridge": "\(port.bridge)", "port": "\(port.port)", "what": "\(key)", "rule": "\(rule)"])
      }
    }
    loggedFaults = all
  }
}

/// What the log has said of a port.
private struct PortOutcome: Equatable {
  var number: UInt16?
  var error: ConfigError?
}
