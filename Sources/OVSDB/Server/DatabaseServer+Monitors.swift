// Monitors of clients: their first dumps and their updates. A client that reads more slowly than the database changes
// gets changes merged into one update (its backlog is then at most one change for each row); one that has read
// nothing for `stallLimit` is cut off.

extension DatabaseServer {
  private static let stallLimit = Duration.seconds(30)
  private static let retryInterval = Duration.milliseconds(50)

  func monitor(
    _ request: JSONRPCRequest, _ session: JSONRPCSession, _ form: Monitor.Form
  ) throws(OVSDBError) -> JSONValue {
    let database = try database(request)
    let since = form == .update3 ? try lastTransaction(request) : nil
    let id = request.params[1] ?? .null
    let key = id.serialized()
    let monitors = sessions[session.number]?.monitors ?? [:]
    if monitors[key] != nil { throw OVSDBError("syntax error", "duplicate monitor ID", syntax: id) }
    if monitors.count >= Self.perSessionLimit {
      throw OVSDBError("resources exhausted", "a client may have \(Self.perSessionLimit) monitors")
    }
    let monitor = try Monitor(id: id, form: form, requests: request.params[2] ?? .null, schema: database.schema)
    sessions[session.number]?.monitors[key] = .init(database: database.schema.name, monitor: monitor)
    session.isPinned = true
    guard let since else { return monitor.initial(database.snapshot) }
    let last = JSONValue.string(lastTransactionID(of: database.schema.name).description)
    if database.schema.name == name, let missed = history.changes(since: since) {
      return [true, last, monitor.updates(for: missed) ?? [:]]
    }
    return [false, last, monitor.initial(database.snapshot)]
  }

  private func lastTransaction(_ request: JSONRPCRequest) throws(OVSDBError) -> RowUUID {
    guard let params = request.params.array, params.count == 4 else {
      throw OVSDBError("syntax error", "invalid parameters", syntax: request.params)
    }
    guard let text = params[3].string else {
      throw OVSDBError("syntax error", "last-txn-id must be string", syntax: params[3])
    }
    guard let id = RowUUID(text) else {
      throw OVSDBError("syntax error", "last-txn-id must be UUID format.", syntax: params[3])
    }
    return id
  }

  /// `_Server` has no history.
  private func lastTransactionID(of database: String) -> RowUUID { database == name ? history.lastID : .zero }

  func changeMonitor(_ request: JSONRPCRequest, _ session: JSONRPCSession) throws(OVSDBError) -> JSONValue {
    guard let params = request.params.array, params.count == 3 else {
      throw OVSDBError("syntax error", "invalid parameters", syntax: request.params)
    }
    let (id, newID, requests) = (params[0], params[1], params[2])
    guard var served = sessions[session.number]?.monitors[id.serialized()] else {
      throw OVSDBError("syntax error", "unknown monitor session", syntax: id)
    }
    let newKey = newID.serialized()
    if newID != id, sessions[session.number]?.monitors[newKey] != nil {
      throw OVSDBError("syntax error", "duplicate monitor ID", syntax: newID)
    }
    let database = served.database == name ? database : serverDatabase
    let updates = try served.monitor.change(id: newID, requests: requests, database.snapshot)
    sessions[session.number]?.monitors[id.serialized()] = nil
    sessions[session.number]?.monitors[newKey] = served
    if let updates {
      notify(session, served, updates)
    }
    return [:]
  }

  private func notify(_ session: JSONRPCSession, _ served: SessionState.ServedMonitor, _ updates: JSONValue) {
    let id = lastTransactionID(of: served.database)
    let (method, params) = served.monitor.notification(updates, lastTransaction: id)
    session.notify(method, params)
  }

  func cancelMonitor(_ request: JSONRPCRequest, _ session: JSONRPCSession) throws(OVSDBError) -> JSONValue {
    // These errors are bare words in ovsdb-server, too.
    guard let params = request.params.array, params.count == 1 else { throw OVSDBError("invalid parameters") }
    let key = params[0].serialized()
    guard sessions[session.number]?.monitors.removeValue(forKey: key) != nil else {
      throw OVSDBError("unknown monitor")
    }
    session.isPinned = sessions[session.number]?.monitors.isEmpty == false
    return [:]
  }

  /// Tells every client and every reader in the process.
  func publish(_ changes: Changes) {
    if changes.isEmpty { return }
    var generator = SystemRandomNumberGenerator()
    history.append(changes, id: RowUUID(generator: &generator))
    for number in sessions.keys.sorted() {
      guard let state = sessions[number], !state.monitors.isEmpty else { continue }
      if !state.backlog.isEmpty || state.session.connection.isCongested {
        sessions[number]?.backlog[name, default: Changes()].append(changes)
        if state.backlogSince == nil { retryBacklog(of: number) }
      } else {
        send(changes, of: name, to: state)
      }
    }
    mailboxes.removeAll { $0.mailbox == nil }
    for mailbox in mailboxes { mailbox.mailbox?.put(changes) }
  }

  private func send(_ changes: Changes, of database: String, to state: SessionState) {
    for (_, served) in state.monitors.sorted(by: { $0.key < $1.key }) where served.database == database {
      guard let updates = served.monitor.updates(for: changes) else { continue }
      notify(state.session, served, updates)
    }
  }

  /// Sends what waits for a client, if it reads again, or at once if something else must follow it.
  func flushBacklog(of number: Int, force: Bool) {
    guard let state = sessions[number], !state.backlog.isEmpty else { return }
    if !force && state.session.connection.isCongested {
      if let since = state.backlogSince, clock.now - since > Self.stallLimit {
        logger.warning("client cut off: it does not read", metadata: ["session": "\(number)"])
        state.session.close()
        sessions[number]?.backlog = [:]
      } else {
        retryBacklog(of: number)
      }
      return
    }
    sessions[number]?.backlog = [:]
    sessions[number]?.backlogSince = nil
    for (database, changes) in state.backlog { send(changes, of: database, to: state) }
  }

  private func retryBacklog(of number: Int) {
    if sessions[number]?.backlogSince == nil { sessions[number]?.backlogSince = clock.now }
    Task { [weak self] in
      try? await Task.sleep(for: Self.retryInterval)
      await self?.flushBacklog(of: number, force: false)
    }
  }
}
