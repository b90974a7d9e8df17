// Brings the datapath to what the database asks for and writes back what became of it.
//
// What wakes it: a change of the database that concerns the datapath, a link event for a port that it has, a store that
// has become ready again, and the statistics period. Wakes that come while it works are merged. The datapath is called
// on a thread of its own. A pass costs what has changed: rows and ports that are as they were are not looked at, but for those
// passes that are to find what nobody told of (statistics, a failed transaction). Invariants: one pass at a time; status and
// `cur_cfg` go in one transaction; a pass in which nothing changed makes none; a pass sees the database at one moment, and
// all that has changed up to then; while the store is away the datapath is kept as it was last wanted, and while another
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
  /// Told what is asked of OpenFlow and what is new of the ports, before the database says that it is so.
  private let onApplied: @Sendable ([BridgePlan], PortNews) async -> Void
  private let blocking = BlockingCalls()
  private(set) var numbering = PortNumbering()
  private var settled = SettledInterfaces()
  /// The database with all that `mailbox` has given.
  private var database = DatabaseSnapshot(schema: .openVSwitch)
  private var mailbox: ChangeMailbox?
  /// What has changed in it since the last pass.
  private var unread = Changes()
  /// What the last pass read, to which the datapath was brought; nil before the first.
  private var desired: DesiredState?
  /// The routers that the database asks for.
  private var network = NetworkState()
  /// What `routers` was told last.
  private var toldRouters: [RouterConfig] = []
  private let routers: (any RouterFollower)?
  private let natNetworks: (any NATNetworkFollower)?
  private var toldNATNetworks: [NATNetworkConfig] = []
  private let security: (any SecurityFollower)?
  private var toldSecuredPorts: [SecuredPort] = []
  /// Why bridges of such ports' rules don't work.
  private var securityFailures: [String: ConfigError] = [:]
  /// Rows of Port that say what is wrong with their security.
  private var portsWithErrors: Set<RowUUID> = []
  /// Somebody, maybe another one than the service, has deleted leases.
  private var haveLeasesGone = false
  private var states = PortStates()
  private var appliedTimeouts: [UInt16: ConnectionTimeouts] = [:]
  /// What `onApplied` was told last.
  private var toldPlans: [BridgePlan] = []
  /// What was to be written last has been.
  private var isWrittenBack = false
  private var log: ReconcilerLog
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
  private var retryCounts: [QualifiedPort: Int] = [:]
  private let retryLimit = 10

  init(
    store: any ConfigurationStore, plane: any SwitchPlane, logger: Logger, system: SystemInformation,
    coverage: Coverage = Coverage(), linkPause: Duration = .milliseconds(100),
    routers: (any RouterFollower)? = nil, natNetworks: (any NATNetworkFollower)? = nil,
    security: (any SecurityFollower)? = nil,
    onApplied: @escaping @Sendable ([BridgePlan], PortNews) async -> Void = { _, _ in }
  ) {
    self.linkPause = linkPause
    self.routers = routers
    self.natNetworks = natNetworks
    self.security = security
    self.store = store
    self.plane = plane
    self.logger = logger
    log = ReconcilerLog(logger)
    self.system = system
    self.coverage = coverage
    self.onApplied = onApplied
  }

  /// The bridges that the datapath has.
  var bridgeNames: [String] { desired?.bridges.keys.sorted() ?? [] }

  /// What is wrong with routers, by name; with what belongs to one, by its name and a slash.
  var networkErrors: [String: String] { network.errors }

  /// What the datapath was last brought to.
  var appliedConfig: SwitchConfig { desired?.config ?? SwitchConfig() }

  /// The first pass: when it returns, the datapath forwards by the stored configuration.
  func start() async {
    let (snapshot, mailbox) = await store.subscribe()
    database = snapshot
    self.mailbox = mailbox
    var causes = Causes()
    causes.configuration = true
    causes.statistics = true
    await pass(causes)
  }

  /// Works until the service is told to end; call `start` first.
  func run() async {
    guard let mailbox else { return }
    let (wakes, wake) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    self.wake = wake
    await cancelWhenGracefulShutdown {
      await withTaskGroup(of: Void.self) { group in
        group.addTask {
          for await _ in mailbox.signals { if await self.readMail() { wake.yield() } }
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
  private func concernsUs(link name: String) -> Bool { name.isEmpty || desired?.portsByDevice[name] != nil }

  /// Takes what has changed in the database.
  /// - Returns: whether it concerns the datapath.
  @discardableResult
  private func readMail() -> Bool {
    guard let changes = mailbox?.take(), !changes.isEmpty else { return false }
    coverage.count(.databaseChange)
    database.apply(changes)
    unread.append(changes)
    let isConcern = ChangeFilter.concernsDatapath(changes)
    if isConcern { causes.configuration = true }
    return isConcern
  }

  private func pass() async {
    readMail()
    if causes.isLinksOnly, mustWaitForLinks() { return }
    // Woken for what another pass has seen to already.
    if causes.isNone, isWrittenBack { return }
    linkPassDue = nil
    if !causes.links.isEmpty { lastLinkPass = .now }
    let causes = causes
    self.causes = Causes()
    await pass(causes)
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

  private func pass(_ causes: Causes) async {
    if causes.statistics || causes.configuration { retryCounts = [:] }
    coverage.count(.reconcilePass)
    if causes.statistics { coverage.sample() }
    let access = await store.access
    if access == .contended { return }
    // From here to its end the pass is about this moment.
    let database = database
    let changes = unread
    unread = Changes()
    var scope = read(changes, database)
    let news = await bringAbout(scope.ports, causes, isWhole: scope.mustApply)
    scope.ports?.formUnion(news.places)
    scope.ports?.formUnion(writtenPorts(changes))
    await applyTimeouts(of: database)
    await tellRouters()
    await tellSecurity()
    await tellOpenFlow(news, database, mayBeOthers: scope.ports == nil)
    if !isWrittenBack || causes.statistics { scope.ports = nil }
    isWrittenBack = false
    // Told first: who waits for the row finds the line.
    if let desired { log.tell(desired, states, scope: scope.ports) }
    if access.isReady { await writeBack(database, statistics: causes.statistics, scope: scope.ports) }
    if let root = database.only("Open_vSwitch") {
      statisticsMilliseconds = Settings(root[OpenVSwitch.Root.otherConfig])
        .integer("stats-update-interval", default: 5000, in: 1000...3_600_000)
    }
  }

  /// Reads the routers, if anything has changed that has to do with them.
  /// - Returns: whether bridges or ports follow from them that are others than before.
  private func readNetwork(_ changes: Changes, _ database: DatabaseSnapshot) -> Bool {
    guard desired == nil || ChangeFilter.concernsNetwork(changes, mayNameBridges: !network.status.isEmpty) else {
      return false
    }
    if let leases = changes.tables["DHCP_Lease"], leases.values.contains(where: { $0.new == nil }) {
      haveLeasesGone = true
    }
    let read = NetworkState(database)
    defer { network = read }
    return !read.hasSamePorts(as: network)
  }

  /// Has the routers' rules brought to what is wanted, if it is new or did not work.
  private func tellRouters() async {
    guard let routers, let desired else { return }
    let wanted = desired.numbered(network.routers)
    defer { haveLeasesGone = false }
    if wanted == toldRouters, network.natNetworks == toldNATNetworks, !haveLeasesGone { return }
    var failures = await routers.follow(wanted)
    toldRouters = failures.isEmpty ? wanted : []
    if let natNetworks {
      let others = await natNetworks.follow(network.natNetworks, wanted, database)
      toldNATNetworks = others.isEmpty ? network.natNetworks : []
      failures.merge(others) { first, _ in first }
    }
    for (name, error) in failures { network.fail(name, error) }
  }

  /// Has the rules of secured ports brought to what is wanted, if it is new or did not work.
  private func tellSecurity() async {
    guard let security, let desired else { return }
    let wanted = desired.secured(network.securityGroups)
    if wanted == toldSecuredPorts { return }
    securityFailures = await security.follow(wanted)
    toldSecuredPorts = securityFailures.isEmpty ? wanted : []
  }

  /// Gives zones of connection tracking the timeouts that the database has for them, if they are new.
  private func applyTimeouts(of database: DatabaseSnapshot) async {
    let timeouts = ConntrackSettings.timeouts(database)
    guard timeouts != appliedTimeouts else { return }
    await blocking { [plane] in plane.setConntrackTimeouts(timeouts) }
    appliedTimeouts = timeouts
  }

  /// Brings the desired state up to date.
  /// - Returns: ports that are wanted otherwise than before, nil for any; and whether the datapath has to be told of all.
  private func read(_ changes: Changes, _ database: DatabaseSnapshot) -> (ports: Set<QualifiedPort>?, mustApply: Bool) {
    let isSame = !readNetwork(changes, database)
    if isSame, let changed = desired?.update(changes, to: database, numbering: &numbering) { return (changed, false) }
    // An update that says no has left no state to compare with; the datapath compares by itself.
    desired = DesiredState(database, network: network, numbering: &numbering)
    return (nil, true)
  }

  /// Brings the datapath to what is desired, and asks how it is.
  /// - Parameter ports: those that are wanted otherwise than before; nil for any.
  /// - Returns: what is new of the ports.
  private func bringAbout(_ ports: Set<QualifiedPort>?, _ causes: Causes, isWhole: Bool) async -> PortNews {
    guard let desired else { return PortNews() }
    if isWhole {
      coverage.count(.datapathApply)
      let config = desired.config
      return states.takeAll(await blocking { [plane] in plane.apply(config) })
    }
    var news = PortNews()
    if causes.statistics || causes.isLinksOnly || causes.links.contains("") {
      news = states.takeAll(await blocking { [plane] in plane.portStates() })
    }
    var trying = ports ?? []
    // A port that failed is tried again when the user changes something, when its link says something, and with the
    // statistics: what else can mend it (a namespace that is made, a file that appears) tells nobody.
    if causes.configuration || causes.statistics { trying.formUnion(states.failed) }
    for link in causes.links {
      for place in link.isEmpty ? states.failed : Set([desired.portsByDevice[link]].compactMap(\.self)) {
        if !causes.isLinksOnly {
          trying.insert(place)
        } else if states.failed.contains(place) {
          retryCounts[place, default: 0] += 1
          if retryCounts[place, default: 0] <= retryLimit { trying.insert(place) }
        }
      }
    }
    if trying.isEmpty { return news }
    coverage.count(.datapathApply)
    let changes = trying.sorted().map { PortChange(bridge: $0.bridge, port: $0.port, config: desired[$0]?.config) }
    let found = await blocking { [plane] in plane.apply(changes) }
    news.append(states.take(found, gone: trying.filter { desired[$0]?.config == nil }))
    return news
  }

  /// Ports whose rows have been written where the switch writes: what others write there is set right.
  private func writtenPorts(_ changes: Changes) -> [QualifiedPort] {
    guard let desired else { return [] }
    return (changes.tables["Interface"] ?? [:]).values.compactMap { change in
      desired.portsByInterface[change.uuid].flatMap { ChangeFilter.touchesStatus(change) ? $0 : nil }
    }
  }

  /// Passes on what is asked of OpenFlow, and the ports' state, if either is new.
  /// - Parameter mayBeOthers: whether bridges may ask for something else than before.
  private func tellOpenFlow(_ news: PortNews, _ database: DatabaseSnapshot, mayBeOthers: Bool) async {
    guard let desired else { return }
    var plans = toldPlans
    if mayBeOthers || news.changed.contains(where: { $0.portNumber == PortNumbering.local }) {
      plans = []
      for (name, bridge) in desired.bridges.sorted(by: { $0.key < $1.key }) {
        guard let row = database.row("Bridge", bridge.row) else { continue }
        var plan = BridgePlan(row, database)
        let own = states.all[QualifiedPort(name, bridge.ownPort ?? name)]
        if let text = StatusColumns.bridge(row, local: own)["datapath_id"]?.string {
          plan.datapathID = UInt64(text, radix: 16) ?? 0
        }
        plans.append(plan)
      }
    }
    guard plans != toldPlans || !news.isEmpty else { return }
    toldPlans = plans
    await onApplied(plans, news)
  }

  private func writeBack(_ database: DatabaseSnapshot, statistics: Bool, scope: Set<QualifiedPort>?) async {
    guard let root = database.only("Open_vSwitch"), let desired else { return }
    let update = StatusUpdate(
      desired: desired, database: database, schemaVersion: await store.snapshot().schema.version, states: states.all,
      counters: statistics ? await blocking { [plane] in Counters(plane.counters()) } : nil, system: system,
      systemStatistics: StatusColumns.wantsStatistics(root) && (statistics || root["statistics"].isEmpty)
        ? await blocking { SystemStatistics.current() } : nil, scope: scope)
    let operations =
      update.operations(&settled) + network.operations(database)
      + desired.securityOperations(network.securityGroups, securityFailures, database, reported: &portsWithErrors)
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
}
