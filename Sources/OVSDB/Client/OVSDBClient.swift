// A client of any OVSDB server, ours or ovsdb-server: transactions out, and a local replica of what it monitors.
// An actor; updates are applied in the order in which the server sent them, and a transaction's own updates are in
// the replica when `transact` returns.

import Transport

/// A connection to an OVSDB server, with a local replica of what it monitors.
package actor OVSDBClient {
  package let database: String
  package let endpoint: Endpoint
  private var rpc: JSONRPCClient?
  private var replica: DatabaseSnapshot
  private var monitorCount = 0
  private var monitorsBeginning = 0
  /// Updates that came while the first dump of a monitor was on its way to us.
  private var early: [JSONRPCRequest] = []
  private var waiters: [Int: Waiter] = [:]
  private var lastWaiter = 0
  private var failure: JSONRPCError?

  private struct Waiter {
    var predicate: @Sendable (DatabaseSnapshot) -> Bool
    var continuation: CheckedContinuation<DatabaseSnapshot, any Error>
  }

  /// Connects.
  /// - Throws: `JSONRPCError.connection`, cause and remedy in one line.
  package init(
    endpoint: Endpoint, tls: TLSFiles? = nil, database: String = "Open_vSwitch",
    schema: DatabaseSchema = .openVSwitch
  ) async throws {
    self.endpoint = endpoint
    self.database = database
    replica = DatabaseSnapshot(schema: schema)
    let rpc = try await JSONRPCClient.connect(to: endpoint, tls: tls) { [weak self] in await self?.received($0) }
    self.rpc = rpc
    Task { [weak self] in
      for await _ in rpc.notifications {}
      await self?.lost(.connection("\(rpc.endpoint): the server closed the connection: is it still running?"))
    }
  }

  /// Asks the server for the database's schema, and reads the replica by it from now on. Call before `monitor`.
  /// - Throws: `OVSDBError` ("unknown database"), `JSONRPCError`.
  package func fetchSchema() async throws -> DatabaseSchema {
    let schema = try DatabaseSchema(json: try await call("get_schema", [.string(database)]))
    replica = DatabaseSnapshot(schema: schema)
    return schema
  }

  /// Monitors columns of tables (all columns where the list is nil) and returns the first replica.
  /// - Throws: `OVSDBError` (an unknown table or column), `JSONRPCError`.
  @discardableResult
  package func monitor(_ tables: [String: [String]?]) async throws -> DatabaseSnapshot {
    let requests = tables.mapValues { columns -> JSONValue in
      guard let columns else { return [[:]] }
      return [["columns": .array(columns.map { .string($0) })]]
    }
    monitorCount += 1
    let id = JSONValue.array(["monid", .string(database), .integer(Int64(monitorCount))])
    monitorsBeginning += 1
    let rows: JSONValue
    do {
      rows = try await initialRows(id, .object(requests))
    } catch {
      monitorsBeginning -= 1
      throw error
    }
    monitorsBeginning -= 1
    try replica.applyRowUpdates(rows, form: .initial)
    if monitorsBeginning == 0 {
      for request in early { try apply(request) }
      early = []
    }
    wakeWaiters()
    return replica
  }

  /// The newest form of monitor that the server speaks.
  private func initialRows(_ id: JSONValue, _ requests: JSONValue) async throws -> JSONValue {
    let params: [JSONValue] = [.string(database), id, requests]
    do {
      let reply = try await call("monitor_cond_since", .array(params + [.string(RowUUID.zero.description)]))
      return reply[2] ?? [:]
    } catch let error as OVSDBError where error.tag == "unknown method" {
      do {
        return try await call("monitor_cond", .array(params))
      } catch let error as OVSDBError where error.tag == "unknown method" {
        return try await call("monitor", .array(params))
      }
    }
  }

  /// The monitored rows as far as updates have come in; columns not monitored read as their defaults.
  package func snapshot() -> DatabaseSnapshot { replica }

  /// Waits until the replica satisfies the predicate; returns that replica.
  /// - Parameter timeout: nil for as long as the connection lives.
  /// - Throws: `OVSDBError("timed out")`, `JSONRPCError.connection` when the server is gone, `CancellationError`.
  @discardableResult
  package func waitUntil(
    timeout: Duration? = nil, _ predicate: @Sendable @escaping (DatabaseSnapshot) -> Bool
  ) async throws -> DatabaseSnapshot {
    if predicate(replica) { return replica }
    if let failure { throw failure }
    lastWaiter += 1
    let number = lastWaiter
    var timer: Task<Void, Never>?
    if let timeout {
      timer = Task { [weak self] in
        guard (try? await Task.sleep(for: timeout)) != nil else { return }
        await self?.end(number, OVSDBError("timed out", "no answer within \(timeout)"))
      }
    }
    defer { timer?.cancel() }
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        waiters[number] = Waiter(predicate: predicate, continuation: continuation)
        if Task.isCancelled { end(number, CancellationError()) }
      }
    } onCancel: {
      Task { await self.end(number, CancellationError()) }
    }
  }

  /// Runs a transaction. A failed operation is in the reply, not thrown; a failed `wait` has the tag "timed out".
  /// - Throws: `JSONRPCError`, `OVSDBError` when the server refuses the request as a whole.
  package func transact(_ operations: [JSONValue]) async throws -> TransactionReply {
    let reply = try await call("transact", .array([.string(database)] + operations))
    let results = reply.array ?? []
    return TransactionReply(results: results, error: results.lazy.compactMap { OVSDBError(json: $0) }.first)
  }

  /// Calls any method.
  /// - Throws: `OVSDBError` for an error of the server, `JSONRPCError.connection`.
  package func call(_ method: String, _ params: JSONValue) async throws -> JSONValue {
    guard let rpc else { throw JSONRPCError.connection("\(endpoint): not connected") }
    do {
      return try await rpc.call(method, params)
    } catch JSONRPCError.remote(let error) {
      throw OVSDBError(json: error)
        ?? OVSDBError(error.string ?? "unknown error", error.string == nil ? "\(error)" : nil)
    }
  }

  package func close() async { await rpc?.close() }

  // MARK: - Updates

  private func received(_ request: JSONRPCRequest) {
    guard request.method.hasPrefix("update") else { return }
    if monitorsBeginning > 0 {
      early.append(request)
      return
    }
    do {
      try apply(request)
    } catch {
      lost(.connection("\(endpoint): the server sent an update that does not fit its schema: \(error)"))
    }
    wakeWaiters()
  }

  private func apply(_ request: JSONRPCRequest) throws {
    switch request.method {
    case "update": try replica.applyRowUpdates(request.params[1] ?? [:], form: .whole)
    case "update2": try replica.applyRowUpdates(request.params[1] ?? [:], form: .difference)
    case "update3": try replica.applyRowUpdates(request.params[2] ?? [:], form: .difference)
    default: break
    }
  }

  private func wakeWaiters() {
    for (number, waiter) in waiters where waiter.predicate(replica) {
      waiters[number] = nil
      waiter.continuation.resume(returning: replica)
    }
  }

  private func end(_ number: Int, _ error: any Error) {
    waiters.removeValue(forKey: number)?.continuation.resume(throwing: error)
  }

  private func lost(_ error: JSONRPCError) {
    if failure == nil { failure = error }
    for number in waiters.keys { end(number, error) }
  }
}
