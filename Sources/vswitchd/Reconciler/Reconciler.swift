// Brings the datapath to what the database asks for and writes back what became of it.
//
// Three things wake it: a change of the database that concerns the datapath, a link event for a port that it has, and
// the statistics period, which is the only timer. Wakes that come while it works are merged. The datapath is called
// on a thread of its own. Invariants: one pass at a time; status and `cur_cfg` go in one transaction; a pass in which
// nothing changed makes none.

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
  private let blocking = BlockingCalls()
  private var numbering = PortNumbering()
  /// What the datapath was brought to; nil before the first pass.
  private var applied: SwitchConfig?
  private var states: [PortState] = []
  private var changes: AsyncStream<Changes>?
  /// What was logged last, so that a failure is told once and its end too.
  private var loggedOutcomes: [QualifiedPort: PortOutcome] = [:]
  private var loggedWarnings: Set<String> = []
  /// Rules that guests of vhost-user ports broke, as the log has them.
  private var loggedFaults: [QualifiedPort: [String: String]] = [:]
  private var statisticsMilliseconds = 5000

  /// Why a pass is due.
  private struct Causes {
    var configuration = false
    var links: Set<String> = []
    var statistics = false
  }
  private var causes = Causes()
  /// Tries of a failed port that link events caused in this statistics period. A port that makes its own device and
  /// then fails causes an event by every try: without a limit that would never end.
  private var retryCounts: [String: Int] = [:]
  private let retryLimit = 10

  init(store: any ConfigurationStore, plane: any SwitchPlane, logger: Logger) {
    self.store = store
    self.plane = plane
    self.logger = logger
  }

  /// The bridges that the datapath has.
  var bridgeNames: [String] { applied?.bridges.map(\.name) ?? [] }

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
    await cancelWhenGracefulShutdown {
      await withTaskGroup(of: Void.self) { group in
        group.addTask {
          for await change in changes where ChangeFilter.concernsDatapath(change) {
            await self.note { $0.configuration = true }
            wake.yield()
          }
        }
        group.addTask {
          for await case .linkChanged(let name) in self.plane.events where await self.hasInterface(name) {
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

  private func hasInterface(_ name: String) -> Bool {
    applied?.bridges.contains { $0.ports.contains { $0.interface.name == name } } ?? false
  }

  private func pass() async {
    if !causes.configuration, !causes.links.isEmpty {
      // A link that comes up says so several times within moments: one pass for all of them.
      try? await Task.sleep(for: .milliseconds(10))
    }
    let causes = causes
    self.causes = Causes()
    if causes.statistics || causes.configuration { retryCounts = [:] }
    // A port that failed is tried again when the user changes something, when its link says something, and with the
    // statistics: what else can mend it (a namespace that is made, a file that appears) tells nobody.
    let failed = Set(states.filter { $0.error != nil }.map(\.name))
    var mayApply = causes.configuration || (causes.statistics && !failed.isEmpty)
    if !causes.configuration, !causes.links.isEmpty || causes.statistics {
      states = await blocking { [plane] in plane.portStates() }
      for state in states where state.error != nil && causes.links.contains(state.name) {
        retryCounts[state.name, default: 0] += 1
        if retryCounts[state.name, default: 0] <= retryLimit { mayApply = true }
      }
    }
    await reconcile(await store.snapshot(), mayApply: mayApply, statistics: causes.statistics)
  }

  /// One pass.
  /// - Parameters:
  ///   - mayApply: whether failed ports are to be tried again; a changed configuration is applied in any case.
  ///   - statistics: whether counters are to be written too.
  private func reconcile(_ database: DatabaseSnapshot, mayApply: Bool, statistics: Bool) async {
    let desired = DesiredState(database, numbering: &numbering)
    if desired.config != applied || (mayApply && states.contains { $0.error != nil }) {
      states = await blocking { [plane] in plane.apply(desired.config) }
      applied = desired.config
    }
    let counters = statistics ? await blocking { [plane] in Counters(plane.counters()) } : nil
    log(desired)
    await writeBack(desired, database, counters)
    if let root = database.only("Open_vSwitch") {
      statisticsMilliseconds = Settings(root[OpenVSwitch.Root.otherConfig])
        .integer("stats-update-interval", default: 5000, in: 1000...3_600_000)
    }
  }

  private func writeBack(_ desired: DesiredState, _ database: DatabaseSnapshot, _ counters: Counters?) async {
    guard let root = database.only("Open_vSwitch") else { return }
    let statesByPort = Dictionary(states.map { (QualifiedPort($0.bridge, $0.name), $0) }, uniquingKeysWith: { $1 })
    var operations: [JSONValue] = []
    for interface in desired.interfaces {
      guard let row = database.row("Interface", interface.row) else { continue }
      let key = QualifiedPort(interface.bridge, interface.port)
      var columns: [String: Datum]
      if let error = interface.error {
        columns = StatusColumns.failedInterface(error)
      } else if let state = statesByPort[key] {
        columns = StatusColumns.interface(state)
        if state.error == nil, let values = counters?.byPort[key] {
          columns["statistics"] = StatusColumns.statistics(values)
        }
      } else {
        continue
      }
      if let update = StatusColumns.update(row, to: columns) { operations.append(update) }
    }
    for (name, uuid) in desired.bridges.sorted(by: { $0.key < $1.key }) {
      guard let row = database.row("Bridge", uuid) else { continue }
      let local = states.first { $0.bridge == name && $0.portNumber == PortNumbering.local }
      if let update = StatusColumns.update(row, to: StatusColumns.bridge(row, local: local)) {
        operations.append(update)
      }
    }
    if let update = StatusColumns.update(root, to: StatusColumns.root(root)) { operations.append(update) }
    guard !operations.isEmpty else { return }
    let reply = await store.transact(operations)
    if let error = reply.error {
      // The next pass tries again: the columns still differ.
      logger.error("could not write status to the database", metadata: ["reason": "\(error)"])
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
    for (port, outcome) in outcomes.sorted(by: { $0.key < $1.key }) where loggedOutcomes[port] != outcome {
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

/// A port's name within all bridges.
struct QualifiedPort: Hashable, Comparable, Sendable {
  var bridge: String
  var port: String

  init(_ bridge: String, _ port: String) {
    self.bridge = bridge
    self.port = port
  }

  static func < (a: Self, b: Self) -> Bool { (a.bridge, a.port) < (b.bridge, b.port) }
}

/// Counters of all ports at one moment.
struct Counters: Sendable {
  var byPort: [QualifiedPort: PortCounters]

  init(_ counters: [(bridge: String, port: String, portNumber: UInt16, counters: PortCounters)]) {
    byPort = Dictionary(
      counters.map { (QualifiedPort($0.bridge, $0.port), $0.counters) }, uniquingKeysWith: { $1 })
  }
}
