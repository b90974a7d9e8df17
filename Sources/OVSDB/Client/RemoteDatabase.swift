// A database that a real ovsdb-server holds, alone or as a cluster, for a process that outlives every connection to it:
// the contents as a replica, changes in order, transactions under a lock. An actor.
//
// One session at a time (RemoteSession.swift), made anew whenever it ends: the servers are tried in turn, and after each
// round in vain the pause doubles. A session counts once it has the contents: from the transaction last seen on where
// the server still knows it (monitor_cond_since), else whole, and then what differs is found by comparing. Either way
// every row ends as the server has it, whatever happened in between.
//
// Readers in the process are shown a change only while the lock is held. Without it, or without a server, the replica
// stays as it was shown last, and a transaction is refused.

import Logging
import Transport

/// The process's view of a database that another process serves.
package actor RemoteDatabase {
  package struct Options: Sendable {
    /// Where servers of the database may be found; each is tried in turn.
    package var endpoints: [Endpoint]
    package var tls: TLSFiles?
    /// The tables and columns that the process knows. What a server has not of it reads as unset, and writes to it are
    /// left out.
    package var schema = DatabaseSchema.openVSwitch
    /// Columns that the process does not want to hear of, by table.
    package var ignored: [String: Set<String>] = [:]
    /// What makes the database ours; nil for readers.
    package var lock: String?
    /// Follows the leader of a cluster, so that no answered transaction is missed; false: any member will do.
    package var isLeaderOnly = true
    /// A server on the network that is silent for that long is asked for a sign of life; one that has not answered twice
    /// counts as gone.
    package var probeInterval = Duration.seconds(5)
    /// A server that has not given its contents by then counts as gone.
    package var setUpLimit = Duration.seconds(30)
    /// The pause after the first round in vain; it doubles up to the limit.
    package var pause = Duration.milliseconds(250)
    package var pauseLimit = Duration.seconds(8)

    package init(endpoints: [Endpoint]) { self.endpoints = endpoints }
  }

  let options: Options
  let logger: Logger
  /// As the server has it, as far as we were told.
  private(set) var replica: DatabaseSnapshot
  /// As readers were shown it.
  private var published: DatabaseSnapshot
  private var unpublished = Changes()
  /// The transaction after which the replica is (ovsdb-server(7), monitor_cond_since); zero if unknown.
  private var lastTransaction = RowUUID.zero
  /// The newest entry of the cluster's log that a server had: one that is behind it has stale contents.
  private var newestIndex: Int64 = 0
  /// What the replica's columns were asked for by.
  private var monitoredColumns: [String: Set<String>] = [:]
  private var session: RemoteSession?
  private var lastSessionNumber = 0
  private var readers: [DatabaseServer.WeakMailbox] = []
  private var readyReaders: [AsyncStream<Void>.Continuation] = []
  private var lastReason: String
  private var isClosed = false
  private var supervisor: Task<Void, Never>?
  /// Sessions that had the contents, since the beginning.
  package private(set) var sessionCount = 0

  package init(_ options: Options, logger: Logger) {
    self.options = options
    self.logger = logger
    replica = DatabaseSnapshot(schema: options.schema)
    published = replica
    lastReason = "not connected yet"
  }

  /// Begins to connect, and keeps at it until `close`.
  package func start() {
    if supervisor != nil || isClosed { return }
    supervisor = Task { await self.supervise() }
  }

  package func close() async {
    isClosed = true
    supervisor?.cancel()
    await session?.rpc.close()
    for reader in readers { reader.mailbox?.finish() }
    for reader in readyReaders { reader.finish() }
    readers = []
    readyReaders = []
    await supervisor?.value
  }

  // MARK: - For the process

  /// The contents as far as they may be acted on.
  package func snapshot() -> DatabaseSnapshot { published }

  /// The contents now and every change from then on, none lost, none twice; a slow reader gets several merged.
  package func changes() -> (snapshot: DatabaseSnapshot, changes: AsyncStream<Changes>) {
    let (snapshot, mailbox) = subscribe()
    return (snapshot, mailbox.stream)
  }

  /// The same for a reader that takes changes when it likes.
  package func subscribe() -> (snapshot: DatabaseSnapshot, mailbox: ChangeMailbox) {
    let mailbox = ChangeMailbox()
    readers.append(DatabaseServer.WeakMailbox(mailbox: mailbox))
    return (published, mailbox)
  }

  package var access: DatabaseAccess {
    guard let session, session.isEstablished else { return .away(lastReason) }
    return options.lock == nil || session.holdsLock ? .ready : .contended
  }

  /// An element whenever `access` has become ready.
  package func readiness() -> AsyncStream<Void> {
    let (stream, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    readyReaders.append(continuation)
    if access.isReady { continuation.yield() }
    return stream
  }

  /// The server in use.
  package var endpoint: Endpoint? { session.flatMap { $0.isEstablished ? $0.endpoint : nil } }

  package func usage() -> DatabaseUsage { DatabaseUsage(replica) }

  /// Runs a transaction under the lock; when it returns, what it did is in the contents.
  /// - Returns: one result for each operation. The error "unavailable" means that nothing was sent; after "connection
  ///   lost" nobody knows whether it took place, until the contents are here again.
  package func transact(_ operations: [JSONValue]) async -> TransactionReply {
    guard let session, access.isReady else {
      let reason =
        if case .away(let reason) = access { reason } else { "another process holds the lock \(options.lock ?? "")" }
      return TransactionReply(results: [], error: OVSDBError("unavailable", reason))
    }
    let writable = operations.map(session.writable)
    var sent = writable.compactMap(\.self)
    // Only columns that the server has not: nothing to say.
    if sent.isEmpty { return TransactionReply(results: operations.map { _ in ["count": 0] }, error: nil) }
    if let lock = options.lock { sent.append(Operation.assert(lock: lock)) }
    do {
      let reply = try await session.rpc.call("transact", .array([.string(options.schema.name)] + sent))
      let results = reply.array ?? []
      let error = results.lazy.compactMap { OVSDBError(json: $0) }.first
      var next = results.makeIterator()
      return TransactionReply(
        results: writable.map { $0 == nil ? ["count": 0] : next.next() ?? .null }, error: error)
    } catch JSONRPCError.remote(let json) {
      return TransactionReply(results: [], error: OVSDBError(json: json) ?? OVSDBError("unknown error", "\(json)"))
    } catch {
      return TransactionReply(results: [], error: OVSDBError("connection lost", "\(error)"))
    }
  }

  // MARK: - Sessions

  private func supervise() async {
    var index = 0
    var failures = 0
    var pause = options.pause
    while !isClosed, !Task.isCancelled {
      let endpoint = options.endpoints[index % options.endpoints.count]
      let started = ContinuousClock.now
      let sessions = sessionCount
      let reason = await runSession(with: endpoint)
      if isClosed { return }
      if sessionCount > sessions, ContinuousClock.now - started > .seconds(1) {
        failures = 0
        pause = options.pause
      }
      tell(endpoint, reason, hadContents: sessionCount > sessions)
      index += 1
      failures += 1
      // A whole round before the first pause: the leader may be the next one.
      if failures % options.endpoints.count == 0 {
        try? await Task.sleep(for: pause)
        pause = min(pause * 2, options.pauseLimit)
      }
    }
  }

  private func tell(_ endpoint: Endpoint, _ reason: String, hadContents: Bool) {
    let text = reason.hasPrefix("\(endpoint): ") ? reason : "\(endpoint): \(reason)"
    if hadContents {
      logger.warning("the database is gone, looking for it", metadata: ["reason": "\(text)"])
    } else if text != lastReason {
      logger.info("no database there", metadata: ["reason": "\(text)"])
    }
    lastReason = text
  }

  /// One session from its connection to its end.
  /// - Returns: why it ended.
  private func runSession(with endpoint: Endpoint) async -> String {
    lastSessionNumber += 1
    let number = lastSessionNumber
    let rpc: JSONRPCClient
    do {
      rpc = try await JSONRPCClient.connect(to: endpoint, tls: options.tls) { [weak self] request in
        await self?.received(request, in: number)
      }
    } catch {
      return "\(error)"
    }
    if isClosed {
      await rpc.close()
      return "closed"
    }
    session = RemoteSession(number: number, endpoint: endpoint, rpc: rpc)
    let watch = Task { await self.watch(number, rpc) }
    do {
      try await establish(number, rpc)
      for await _ in rpc.notifications {}
    } catch {
      lose(number, "\(error)")
    }
    watch.cancel()
    await rpc.close()
    let reason = session?.loss ?? "the server closed the connection"
    session = nil
    return reason
  }

  /// Ends a session whose server has fallen silent.
  private func watch(_ number: Int, _ rpc: JSONRPCClient) async {
    let deadline = ContinuousClock.now + options.setUpLimit
    // What counts is questions without an answer, not time: it passes also while we are not let run.
    var unanswered = 0
    while !Task.isCancelled {
      guard (try? await Task.sleep(for: options.probeInterval, tolerance: options.probeInterval / 10)) != nil else {
        return
      }
      if session?.number != number { return }
      if session?.isEstablished != true, ContinuousClock.now > deadline {
        lose(number, "the server did not give its contents within \(options.setUpLimit)")
      }
      // A local server that is gone closes its socket; one that is busy is not gone.
      if case .unix = rpc.endpoint { continue }
      if rpc.silence < options.probeInterval {
        unanswered = 0
      } else if unanswered == 2 {
        lose(number, "the server does not answer")
      } else {
        unanswered += 1
        rpc.probe()
      }
    }
  }

  private func lose(_ number: Int, _ reason: String) {
    guard session?.number == number else { return }
    if session?.loss == nil { session?.loss = reason }
    if let rpc = session?.rpc { Task { await rpc.close() } }
  }

  /// Changes the session unless it has ended meanwhile.
  private func update(_ number: Int, _ body: (inout RemoteSession) -> Void) throws {
    guard session?.number == number, session?.loss == nil, session != nil else {
      throw JSONRPCError.connection(session?.loss ?? "the connection ended")
    }
    if var changed = session {
      body(&changed)
      session = changed
    }
  }

  /// From the bare connection to current contents.
  private func establish(_ number: Int, _ rpc: JSONRPCClient) async throws {
    let description = try await RemoteSession.describe(options.schema.name, rpc)
    if let description {
      try update(number) { $0.servers = description }
      try description.check(options.schema.name, isLeaderOnly: options.isLeaderOnly, newestIndex: newestIndex)
      newestIndex = max(newestIndex, description.index(options.schema.name))
      _ = try? await rpc.call("set_db_change_aware", [true])
    }
    let schema = try await RemoteSession.schema(options.schema.name, description, rpc)
    let columns = RemoteSession.commonColumns(options.schema, schema)
    var holdsLock = false
    if let lock = options.lock {
      holdsLock = try await rpc.call("lock", [.string(lock)])["locked"]?.boolean ?? false
    }
    var wanted = columns
    for (table, ignored) in options.ignored { wanted[table]?.subtract(ignored) }
    if wanted != monitoredColumns { lastTransaction = .zero }
    let start = try await RemoteSession.monitor(options.schema.name, wanted, since: lastTransaction, rpc)

    try update(number) { session in
      session.columns = columns
      session.holdsLock = holdsLock
    }
    monitoredColumns = wanted
    if start.isDifference {
      let changes = try replica.changes(applying: start.rows, form: .difference)
      replica.apply(changes)
      unpublished.append(changes)
    } else {
      var fresh = DatabaseSnapshot(schema: options.schema.with(versionOf: schema))
      try fresh.applyRowUpdates(start.rows, form: .initial)
      unpublished.append(replica.changes(to: fresh))
      replica = fresh
    }
    lastTransaction = start.transaction
    sessionCount += 1
    let early = session?.early ?? []
    try update(number) { session in
      session.isEstablished = true
      session.early = []
    }
    for request in early { handle(request, in: number) }
    if session?.loss != nil { return }
    logger.info(
      "database found",
      metadata: [
        "server": "\(rpc.endpoint)", "schema": "\(schema.version)",
        "resumed": "\(start.isDifference)", "lock": "\(options.lock == nil ? "none" : holdsLock ? "held" : "waiting")",
      ])
    if access == .contended { tellContention() }
    publish()
    if access.isReady { becomeReady() }
  }

  private func tellContention() {
    logger.warning(
      "another process holds the lock \(options.lock ?? "") of the database: this one changes nothing until it is free")
  }

  private func becomeReady() { for reader in readyReaders { reader.yield() } }

  // MARK: - Notifications

  private func received(_ request: JSONRPCRequest, in number: Int) {
    guard session?.number == number else { return }
    if session?.isEstablished == true { handle(request, in: number) } else { session?.early.append(request) }
  }

  private func handle(_ request: JSONRPCRequest, in number: Int) {
    guard session?.number == number, session?.loss == nil else { return }
    do {
      switch request.method {
      case "locked" where request.params[0]?.string == options.lock:
        session?.holdsLock = true
        logger.info("the lock \(options.lock ?? "") of the database is ours now")
        publish()
        becomeReady()
      case "stolen" where request.params[0]?.string == options.lock:
        session?.holdsLock = false
        tellContention()
      case "monitor_canceled":
        lastTransaction = .zero
        lose(number, "the database was removed or converted")
      case "update", "update2", "update3":
        if request.params[0] == RemoteSession.serverMonitor {
          try serverChanged(request, number)
        } else {
          try contentsChanged(request)
        }
      default: break
      }
    } catch {
      lastTransaction = .zero
      lose(number, "an update does not fit: \(error)")
    }
  }

  private func contentsChanged(_ request: JSONRPCRequest) throws {
    var form = DatabaseSnapshot.UpdateForm.difference
    if request.method == "update" { form = .whole }
    let rows = request.params[request.method == "update3" ? 2 : 1] ?? [:]
    let changes = try replica.changes(applying: rows, form: form)
    replica.apply(changes)
    unpublished.append(changes)
    if request.method == "update3", let id = request.params[1]?.string.flatMap({ RowUUID($0) }) {
      lastTransaction = id
    }
    publish()
  }

  private func serverChanged(_ request: JSONRPCRequest, _ number: Int) throws {
    guard var servers = session?.servers else { return }
    let before = servers.schemaText(options.schema.name)
    try servers.apply(request)
    session?.servers = servers
    if servers.schemaText(options.schema.name) != before {
      lastTransaction = .zero
      return lose(number, "the database was converted to another schema")
    }
    newestIndex = max(newestIndex, servers.index(options.schema.name))
    do {
      try servers.check(options.schema.name, isLeaderOnly: options.isLeaderOnly, newestIndex: 0)
    } catch {
      lose(number, "\(error)")
    }
  }

  /// Shows readers what has come in, if it may be acted on.
  private func publish() {
    guard access.isReady else { return }
    published = replica
    if unpublished.isEmpty { return }
    readers.removeAll { $0.mailbox == nil }
    for reader in readers { reader.mailbox?.put(unpublished) }
    unpublished = Changes()
  }
}
