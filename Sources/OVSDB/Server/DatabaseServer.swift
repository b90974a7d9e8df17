// The embedded OVSDB server (RFC 7047 and ovsdb-server(7)): one configuration database and `_Server`, for clients on
// sockets and for the daemon in the same process. An actor: every answer and every notification is sent from inside
// it, so that each client sees them in the order in which things happened. Files beside this one hold its parts:
// requests, transactions, monitors, locks.

import Logging
import Transport

/// What became of a transaction.
package struct TransactionReply: Sendable {
  /// One for each operation, as in RFC 7047 §4.1.3; after a failure an error object and nulls.
  package var results: [JSONValue]
  /// Nil when the transaction took place; otherwise its first error.
  package var error: OVSDBError?
}

/// Serves one database and `_Server` to clients on sockets and to the daemon in the process.
package actor DatabaseServer {
  /// What is granted to clients in general; a listener may have its own.
  package static var defaultLimits: JSONRPCLimits {
    var limits = JSONRPCLimits()
    limits.json = .database
    return limits
  }

  let name: String
  let store: any DurableStore
  let logger: Logger
  let clock = ContinuousClock()
  let serverID: RowUUID
  /// Locks that the daemon holds for as long as it serves, so that a second switch keeps its hands off.
  let ownLocks: Set<String>

  /// Committed, durable, shown to everybody.
  var database: Database
  var serverDatabase: Database
  var history: TransactionHistory
  var sessions: [Int: SessionState] = [:]
  var mailboxes: [WeakMailbox] = []
  var locks: [String: LockQueue] = [:]
  var queue: [PendingTransaction] = []
  var waiting: [PendingTransaction] = []
  var isDraining = false
  var lastTransactionNumber = 0
  private var listeners: [JSONRPCServer] = []

  /// Loads the store's rows.
  /// - Parameter ownLocks: locks that no client gets unless it steals them.
  /// - Throws: what the store throws; `OVSDBError` for rows that don't fit the schema.
  package init(
    schema: DatabaseSchema = .openVSwitch, store: any DurableStore, logger: Logger,
    ownLocks: Set<String> = ["ovs_vswitchd"]
  ) async throws {
    name = schema.name
    self.store = store
    self.logger = logger
    self.ownLocks = ownLocks
    var generator = SystemRandomNumberGenerator()
    serverID = RowUUID(generator: &generator)
    history = TransactionHistory(beginning: RowUUID(generator: &generator))
    var database = Database(schema: schema)
    var rows: [Row] = []
    for kept in try await store.load() {
      guard let table = schema.table(kept.table) else {
        logger.warning("kept row ignored: the schema has no such table", metadata: ["table": "\(kept.table)"])
        continue
      }
      rows.append(try Row(kept, table: table, version: RowUUID(generator: &generator)))
    }
    try database.load(rows)
    self.database = database
    serverDatabase = try Self.makeServerDatabase(describing: schema)
    for lock in ownLocks { locks[lock] = LockQueue(waiters: [LockQueue.Waiter(session: 0, isThief: false)]) }
  }

  /// Listens for clients; may be called for several endpoints.
  /// - Returns: the port in use, for TCP.
  /// - Throws: `TransportError`, cause and remedy in one line.
  @discardableResult
  package func listen(on endpoint: Endpoint, limits: JSONRPCLimits? = nil) async throws -> Int? {
    try await open(endpoint, tls: nil, limits: limits ?? Self.defaultLimits).port
  }

  /// Listens until `close` of this listener.
  /// - Parameter onSession: called with true when a client has come and with false when one has gone.
  func open(
    _ endpoint: Endpoint, tls: ServerTLS?, limits: JSONRPCLimits,
    onSession: @escaping @Sendable (Bool) -> Void = { _ in }
  ) async throws -> JSONRPCServer {
    let listener = try await JSONRPCServer.listen(
      on: endpoint, tls: tls, limits: limits, logger: logger, onConnect: { onSession(true) },
      onDisconnect: { [weak self] in
        await self?.disconnected($0)
        onSession(false)
      }, handler: handler)
    listeners.append(listener)
    return listener
  }

  /// Connects to a peer that then is a client like any other.
  func dial(_ endpoint: Endpoint, tls: ServerTLS?, limits: JSONRPCLimits) async throws -> JSONRPCServer {
    let listener = try await JSONRPCServer.dial(
      endpoint, tls: tls, limits: limits, logger: logger,
      onDisconnect: { [weak self] in await self?.disconnected($0) }, handler: handler)
    listeners.append(listener)
    return listener
  }

  /// Ends one listener or connection.
  func close(_ listener: JSONRPCServer) async {
    listeners.removeAll { $0 === listener }
    await listener.close()
  }

  private nonisolated var handler: JSONRPCServer.Handler {
    { [weak self] in
      await self?.handle($0, $1) ?? .error(OVSDBError("canceled", "the server is ending").json)
    }
  }

  /// Stops listening and cuts every client; what was answered is durable.
  package func close() async {
    let listeners = self.listeners
    self.listeners = []
    for listener in listeners { await listener.close() }
    for mailbox in mailboxes { mailbox.mailbox?.finish() }
    mailboxes = []
    for transaction in waiting { cancel(transaction) }
    waiting = []
  }

  /// Clients connected now.
  package var sessionCount: Int { listeners.reduce(0) { $0 + $1.sessionCount } }

  /// The committed contents. Cheap.
  package func snapshot() -> DatabaseSnapshot { database.snapshot }

  /// The contents now and every change from then on, none lost, none twice. A slow reader gets several
  /// transactions merged into one element, so nothing piles up.
  package func changes() -> (snapshot: DatabaseSnapshot, changes: AsyncStream<Changes>) {
    let (snapshot, mailbox) = subscribe()
    return (snapshot, mailbox.stream)
  }

  /// The same for a reader that takes changes when it likes.
  package func subscribe() -> (snapshot: DatabaseSnapshot, mailbox: ChangeMailbox) {
    let mailbox = ChangeMailbox()
    mailboxes.append(WeakMailbox(mailbox: mailbox))
    return (database.snapshot, mailbox)
  }

  /// Runs a transaction; returns when it is durable and monitors have been told.
  package func transact(_ operations: [JSONValue]) async -> TransactionReply {
    await withCheckedContinuation { continuation in
      submit(operations, on: name, from: .process(continuation))
    }
  }

  /// A reader that may have gone.
  struct WeakMailbox {
    weak var mailbox: ChangeMailbox?
  }

  private static func makeServerDatabase(describing schema: DatabaseSchema) throws(OVSDBError) -> Database {
    typealias Description = ServerSchema.Database
    var generator = SystemRandomNumberGenerator()
    var database = Database(schema: .server)
    let rows = [DatabaseSchema.server, schema].map { described in
      var row = Row(Description.schema, uuid: RowUUID(generator: &generator))
      row[Description.name] = described.name
      row[Description.model] = "standalone"
      row[Description.connected] = true
      row[Description.leader] = true
      row[Description.schemaText] = described.json.serialized()
      return row
    }
    try database.load(rows)
    return database
  }
}
