// Transactions from their arrival to their answer. Those that have arrived when the store is free run one after the
// other on a scratch copy and become durable together (one fsync for all); then the copy becomes the database, and
// each is published and answered in order. If the store fails, nothing has happened: the scratch copy is dropped, and
// of several transactions each is tried alone, so that a big one can't take small ones down with it.
// A transaction whose `wait` does not hold yet stands aside and runs again after every change of the table that it waits
// for, until its time is up.

/// A transaction that has arrived.
struct PendingTransaction {
  enum Origin {
    case process(CheckedContinuation<TransactionReply, Never>)
    /// The continuation lets the session go on to its next request: when the transaction is answered or waits.
    case session(JSONRPCSession, JSONRPCRequest, CheckedContinuation<Void, Never>)
  }

  let number: Int
  let database: String
  let operations: [JSONValue]
  let origin: Origin
  let arrival: ContinuousClock.Instant
  var hasNotRun = true
  /// The table that its `wait` is about.
  var waitingTable: String?
  /// Runs it again when its time is up.
  var timer: Task<Void, Never>?

  func isFrom(_ session: JSONRPCSession) -> Bool {
    if case .session(let own, _, _) = origin { own === session } else { false }
  }
}

extension DatabaseServer {
  private static let groupLimit = 64

  func transact(_ request: JSONRPCRequest, _ session: JSONRPCSession) async -> JSONRPCReply {
    let wanted: String
    do throws(OVSDBError) { wanted = try database(request).schema.name } catch { return .error(error.json) }
    if waiting.count(where: { $0.isFrom(session) }) >= Self.perSessionLimit {
      return .error(
        OVSDBError("resources exhausted", "a client may have \(Self.perSessionLimit) waiting transactions").json)
    }
    let operations = Array((request.params.array ?? []).dropFirst())
    await withCheckedContinuation { continuation in
      submit(operations, on: wanted, from: .session(session, request, continuation))
    }
    return .deferred
  }

  func submit(_ operations: [JSONValue], on database: String, from origin: PendingTransaction.Origin) {
    lastTransactionNumber += 1
    queue.append(
      PendingTransaction(
        number: lastTransactionNumber, database: database, operations: operations, origin: origin,
        arrival: clock.now))
    startDraining()
  }

  private func startDraining() {
    if isDraining { return }
    isDraining = true
    Task { await drain() }
  }

  private func drain() async {
    var limit = Self.groupLimit
    while !queue.isEmpty {
      let group = Array(queue.prefix(limit))
      queue.removeFirst(group.count)
      var scratch = database
      var done: [(PendingTransaction, TransactionOutcome)] = []
      var merged = Changes()
      for transaction in group {
        let outcome = run(transaction, on: &scratch)
        if outcome.isWaiting {
          standAside(transaction, outcome)
        } else {
          merged.append(outcome.changes)
          done.append((transaction, outcome))
        }
      }
      do {
        let persistent = merged.persistent
        if !persistent.isEmpty { try await store.commit(persistent) }
      } catch {
        logger.error("the store failed, nothing was changed", metadata: ["error": "\(error)"])
        if done.count > 1 {
          queue.insert(contentsOf: done.map(\.0), at: 0)
          limit = 1
        } else {
          for (transaction, outcome) in done { answerFailed(transaction, outcome, error) }
        }
        // They have seen a state that is none.
        wakeWaiting { _ in true }
        continue
      }
      database = scratch
      for (transaction, outcome) in done {
        publish(outcome.changes)
        answer(transaction, outcome)
      }
      if !merged.isEmpty { wakeWaiting { $0.waitingTable.map { merged.tables[$0] != nil } ?? true } }
    }
    isDraining = false
  }

  private func wakeWaiting(where isConcerned: (PendingTransaction) -> Bool) {
    if waiting.isEmpty { return }
    queue.append(contentsOf: waiting.filter(isConcerned))
    waiting.removeAll(where: isConcerned)
  }

  private func run(_ transaction: PendingTransaction, on scratch: inout Database) -> TransactionOutcome {
    let waited = clock.now - transaction.arrival
    var session = 0
    if case .session(let origin, _, _) = transaction.origin { session = origin.number }
    let context = TransactionContext(
      heldLocks: heldLocks(of: session),
      waitedMilliseconds: waited.components.seconds * 1000 + waited.components.attoseconds / 1_000_000_000_000_000)
    if transaction.database == name { return scratch.transact(transaction.operations, context: context) }
    var database = serverDatabase
    let writing = ["insert", "update", "mutate", "delete"]
    for (index, operation) in transaction.operations.enumerated() {
      guard let word = operation["op"]?.string, writing.contains(word) else { continue }
      let error = OVSDBError(
        "not allowed", "\(word) operation not allowed on table in reserved database \(transaction.database)")
      var outcome = database.transact(Array(transaction.operations[..<index]), context: context)
      if outcome.error == nil {
        let rest = transaction.operations.count - index - 1
        outcome.results += [error.json] + Array(repeating: .null, count: rest)
        outcome.error = error
      }
      return outcome
    }
    return database.transact(transaction.operations, context: context)
  }

  // MARK: - Waiting

  private func standAside(_ transaction: PendingTransaction, _ outcome: TransactionOutcome) {
    var transaction = transaction
    transaction.waitingTable = outcome.waitingTable
    if transaction.hasNotRun {
      transaction.hasNotRun = false
      if case .session(_, _, let continuation) = transaction.origin { continuation.resume() }
      if let milliseconds = outcome.waitDeadlineMilliseconds {
        let deadline = transaction.arrival + .milliseconds(milliseconds)
        transaction.timer = Task { [weak self, clock, number = transaction.number] in
          guard (try? await clock.sleep(until: deadline)) != nil else { return }
          await self?.retry(number)
        }
      }
    }
    if case .session(let session, _, _) = transaction.origin, sessions[session.number] == nil {
      transaction.timer?.cancel()
      return
    }
    waiting.append(transaction)
  }

  private func retry(_ number: Int) {
    guard let index = waiting.firstIndex(where: { $0.number == number }) else { return }
    queue.append(waiting.remove(at: index))
    startDraining()
  }

  /// Ends a waiting transaction of this client (RFC 7047 §4.1.4).
  func cancelTransaction(_ id: JSONValue, _ session: JSONRPCSession) {
    for transaction in waiting {
      guard case .session(let own, let request, _) = transaction.origin, own === session, request.id == id
      else { continue }
      waiting.removeAll { $0.number == transaction.number }
      cancel(transaction)
    }
  }

  func cancel(_ transaction: PendingTransaction) {
    transaction.timer?.cancel()
    switch transaction.origin {
    case .process(let continuation):
      continuation.resume(returning: TransactionReply(results: [], error: OVSDBError("canceled")))
    case .session(let session, let request, _): session.respond(to: request, with: .error("canceled"))
    }
  }

  // MARK: - Answers

  private func answer(_ transaction: PendingTransaction, _ outcome: TransactionOutcome) {
    transaction.timer?.cancel()
    switch transaction.origin {
    case .process(let continuation):
      continuation.resume(returning: TransactionReply(results: outcome.results, error: outcome.error))
    case .session(let session, let request, let continuation):
      for comment in outcome.comments where outcome.error == nil {
        logger.info("configuration changed", metadata: ["comment": "\(JSONValue.string(comment).serialized())"])
      }
      flushBacklog(of: session.number, force: true)
      session.respond(to: request, with: .result(.array(outcome.results)))
      if transaction.hasNotRun { continuation.resume() }
    }
  }

  private func answerFailed(
    _ transaction: PendingTransaction, _ outcome: TransactionOutcome, _ failure: any Error
  ) {
    var outcome = outcome
    if outcome.error == nil {
      let error = OVSDBError("I/O error", "\(failure)")
      outcome.error = error
      outcome.results.append(error.json)
    }
    answer(transaction, outcome)
  }
}
