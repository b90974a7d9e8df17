// A store of either kind for tests of what stands on one: the embedded server over memory, or a client of a real
// ovsdb-server that the test starts. A recorder in front of it counts the transactions of the switch.

import Logging
import OVSDB
import Synchronization
import TestSupport

@testable import vswitchd

enum StoreKind: CaseIterable, Sendable {
  case embedded, ovsdbServer

  /// Those that can be had on this machine.
  static var available: [StoreKind] { OVSDBServerProcess.isInstalled ? allCases : [.embedded] }
}

final class StoreFixture: ConfigurationStore {
  private let store: any ConfigurationStore
  private let transactions = Mutex<[[JSONValue]]>([])
  private let directory: TemporaryDirectory
  private let server: Mutex<OVSDBServerProcess?>
  private let remote: RemoteDatabase?

  /// An empty database: not even the row of Open_vSwitch.
  init(_ kind: StoreKind) async throws {
    directory = try TemporaryDirectory()
    switch kind {
    case .embedded:
      store = try await DatabaseServer(store: MemoryStore(), logger: Logger(label: "test"))
      server = Mutex(nil)
      remote = nil
    case .ovsdbServer:
      let process = try OVSDBServerProcess(directory: directory.path)
      var options = RemoteDatabase.Options(endpoints: [.unix(path: process.socket)])
      options.lock = "ovs_vswitchd"
      options.pause = .milliseconds(20)
      let remote = RemoteDatabase(options, logger: Logger(label: "test"))
      await remote.start()
      // Other tests may keep Swift's threads busy for long.
      for _ in 0..<12_000 where await !remote.access.isReady { try await Task.sleep(for: .milliseconds(10)) }
      guard await remote.access.isReady else { throw TestFailure("no connection to ovsdb-server") }
      server = Mutex(process)
      store = remote
      self.remote = remote
    }
  }

  /// What the switch, or the test, has written.
  var transactionCount: Int { transactions.withLock { $0.count } }

  func snapshot() async -> DatabaseSnapshot { await store.snapshot() }
  func subscribe() async -> (snapshot: DatabaseSnapshot, mailbox: ChangeMailbox) { await store.subscribe() }
  func transact(_ operations: [JSONValue]) async -> TransactionReply {
    transactions.withLock { $0.append(operations) }
    return await store.transact(operations)
  }
  var access: DatabaseAccess { get async { await store.access } }
  func readiness() async -> AsyncStream<Void> { await store.readiness() }
  func usage() async -> DatabaseUsage { await store.usage() }

  /// Waits for the contents to satisfy the condition, at most 2 minutes.
  func wait(_ condition: (DatabaseSnapshot) -> Bool) async throws -> Bool {
    for _ in 0..<12_000 {
      if condition(await snapshot()) { return true }
      try await Task.sleep(for: .milliseconds(10))
    }
    return false
  }

  /// What `ovs-vsctl` does at the end of its transactions.
  func raiseNextConfig() async {
    _ = await transact([["op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]]])
  }

  /// Takes a real server away and brings it back; does nothing for the embedded one.
  func loseServer() { server.withLock { $0?.kill9() } }
  func restartServer() throws { try server.withLock { try $0?.start() } }

  func close() async {
    await remote?.close()
    server.withLock { $0 = nil }
  }
}
