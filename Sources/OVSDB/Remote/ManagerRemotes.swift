// The listeners and connections that the database itself asks for: a remote for each row of Manager, with the keys of
// the row of SSL. Follows the rows; writes `is_connected` and `status` back where they differ, every 5 s and soon
// after a change. An actor; each remote runs in a task of its own.

import Logging
import Transport

/// Where clients of the database may name files.
package struct RemotePlaces: Sendable {
  /// Of `punix:` and `unix:` targets.
  package var sockets: ConfinedDirectory
  /// Of the files that table SSL names.
  package var tlsFiles: ConfinedDirectory

  package init(sockets: ConfinedDirectory, tlsFiles: ConfinedDirectory) {
    self.sockets = sockets
    self.tlsFiles = tlsFiles
  }
}

/// Serves the database where its table Manager says.
package actor ManagerRemotes {
  private typealias Root = OpenVSwitch.Root
  private typealias Manager = OpenVSwitch.Manager

  private let database: DatabaseServer
  private let places: RemotePlaces
  private let logger: Logger
  private let statusInterval: Duration
  private var remotes: [RowUUID: Remote] = [:]
  private let wakeUps: AsyncStream<Void>
  private let wake: AsyncStream<Void>.Continuation

  /// - Parameter statusInterval: how often status is written where it changes all the time.
  package init(
    _ database: DatabaseServer, places: RemotePlaces, logger: Logger, statusInterval: Duration = .seconds(5)
  ) {
    self.database = database
    self.places = places
    self.logger = logger
    self.statusInterval = statusInterval
    (wakeUps, wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  /// Serves until the task is cancelled.
  package func run() async {
    let (snapshot, changes) = await database.changes()
    await follow(snapshot)
    await withTaskGroup(of: Void.self) { group in
      group.addTask { [self] in
        for await change in changes where Self.concerns(change) { await follow(database.snapshot()) }
      }
      group.addTask { [self] in
        while (try? await Task.sleep(for: statusInterval)) != nil { wake.yield() }
      }
      group.addTask { [self, wakeUps] in
        for await _ in wakeUps {
          await writeStatus()
          // Clients that come and go in quick succession do not make a transaction each.
          try? await Task.sleep(for: .milliseconds(200))
        }
      }
      await group.waitForAll()
    }
    for remote in remotes.values { await remote.stop() }
    remotes = [:]
  }

  /// Whether a change is of what rows ask for; what is written here is not.
  private static func concerns(_ changes: Changes) -> Bool {
    let managers = changes["Manager"].contains { change in
      [Manager.target.name, Manager.inactivityProbe.name, Manager.maxBackoff.name].contains(where: change.touches)
    }
    return managers || !changes["SSL"].isEmpty || changes["Open_vSwitch"].contains { $0.touches(Root.ssl.name) }
  }

  private func follow(_ snapshot: DatabaseSnapshot) async {
    let plans = Self.plans(snapshot)
    var leaving: [Remote] = []
    for (row, remote) in remotes where plans[row] != remote.plan {
      remotes[row] = nil
      leaving.append(remote)
    }
    // All of them first: a port may go from one row to another.
    for remote in leaving { await remote.stop() }
    for (row, plan) in plans where remotes[row] == nil {
      let remote = Remote(plan, database, places, logger, onChange: { [wake] in wake.yield() })
      remotes[row] = remote
      remote.start()
    }
  }

  private static func plans(_ snapshot: DatabaseSnapshot) -> [RowUUID: Remote.Plan] {
    typealias SSL = OpenVSwitch.SSL
    guard let root = snapshot.only("Open_vSwitch") else { return [:] }
    let keys = root[Root.ssl].flatMap { snapshot.row("SSL", $0) }
    var plans: [RowUUID: Remote.Plan] = [:]
    for row in snapshot.rows("Manager", root[Root.managerOptions]) {
      var plan = Remote.Plan(
        target: row[Manager.target], probeMilliseconds: row[Manager.inactivityProbe],
        backoffLimitMilliseconds: min(max(row[Manager.maxBackoff] ?? 8000, 1000), 86_400_000))
      if plan.target.hasPrefix("ssl:") || plan.target.hasPrefix("pssl:"), let keys {
        plan.tlsFiles = [keys[SSL.privateKey], keys[SSL.certificate], keys[SSL.caCertificate]]
        plan.wantsBootstrap = keys[SSL.bootstrapCACertificate]
      }
      plans[row.uuid] = plan
    }
    return plans
  }

  private func writeStatus() async {
    let snapshot = await database.snapshot()
    var operations: [JSONValue] = []
    for (uuid, remote) in remotes.sorted(by: { $0.key < $1.key }) {
      guard let row = snapshot.row("Manager", uuid) else { continue }
      let differing = await remote.columns().differing(from: row)
      if !differing.isEmpty { operations.append(Operation.update("Manager", uuid, differing)) }
    }
    if operations.isEmpty { return }
    let reply = await database.transact(operations)
    if let error = reply.error {
      logger.warning("could not write the managers' status", metadata: ["reason": "\(error)"])
    }
  }
}
