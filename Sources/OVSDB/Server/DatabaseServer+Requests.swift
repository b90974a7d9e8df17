// The methods of the protocol (RFC 7047 §4.1; ovsdb-server(7) §4.1), for clients on sockets.

/// What the server knows of one client.
struct SessionState {
  let session: JSONRPCSession
  /// By the text of their id.
  var monitors: [String: ServedMonitor] = [:]
  /// Changes not yet sent to a client that reads slowly, by database.
  var backlog: [String: Changes] = [:]
  /// Since when the backlog has not shrunk.
  var backlogSince: ContinuousClock.Instant?

  struct ServedMonitor {
    var database: String
    var monitor: Monitor
  }
}

extension DatabaseServer {
  /// Monitors and waiting transactions of one client.
  static let perSessionLimit = 256

  func handle(_ request: JSONRPCRequest, _ session: JSONRPCSession) async -> JSONRPCReply {
    if sessions[session.number] == nil { sessions[session.number] = SessionState(session: session) }
    flushBacklog(of: session.number, force: true)
    if request.method == "transact" { return await transact(request, session) }
    // Sent from here, before anything else can happen: an update must not overtake the rows that it is about.
    do throws(OVSDBError) {
      session.respond(to: request, with: .result(try answer(request, session)))
    } catch {
      // These are bare words in ovsdb-server too.
      session.respond(to: request, with: .error(error.details == nil ? .string(error.tag) : error.json))
    }
    return .deferred
  }

  private func answer(_ request: JSONRPCRequest, _ session: JSONRPCSession) throws(OVSDBError) -> JSONValue {
    switch request.method {
    case "list_dbs": return .array([name, DatabaseSchema.server.name].sorted().map { .string($0) })
    case "get_schema": return try database(request).schema.json
    case "get_server_id": return .string(serverID.description)
    case "set_db_change_aware":
      // Our databases are there as long as the server: there is nothing to become aware of.
      guard let params = request.params.array, params.count == 1, params[0].boolean != nil else {
        throw OVSDBError(
          "syntax error", "set_db_change_aware: true or false parameter expected", syntax: request.params)
      }
      return [:]
    case "monitor": return try monitor(request, session, .update)
    case "monitor_cond": return try monitor(request, session, .update2)
    case "monitor_cond_since": return try monitor(request, session, .update3)
    case "monitor_cond_change": return try changeMonitor(request, session)
    case "monitor_cancel": return try cancelMonitor(request, session)
    case "lock", "steal": return try lock(request, session, steal: request.method == "steal")
    case "unlock": return try unlock(request, session)
    case "cancel" where request.id.isNull:
      cancelTransaction(request.params[0] ?? .null, session)
      return [:]
    default: throw OVSDBError("unknown method")
    }
  }

  /// The database that the first parameter names.
  func database(_ request: JSONRPCRequest) throws(OVSDBError) -> Database {
    guard let wanted = request.params[0]?.string else {
      throw OVSDBError(
        "syntax error", "\(request.method) request params must begin with <db-name>", syntax: request.params)
    }
    if wanted == name { return database }
    if wanted == DatabaseSchema.server.name { return serverDatabase }
    throw OVSDBError(
      "unknown database", "\(request.method) request specifies unknown database \(wanted)", syntax: request.params)
  }

  func disconnected(_ session: JSONRPCSession) {
    sessions[session.number] = nil
    // One that has not run yet can't be there: the session waits for it before it ends.
    for transaction in queue + waiting where transaction.isFrom(session) { transaction.timer?.cancel() }
    queue.removeAll { $0.isFrom(session) && !$0.hasNotRun }
    waiting.removeAll { $0.isFrom(session) }
    releaseLocks(of: session.number)
  }
}
