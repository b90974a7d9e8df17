// One connection of a `RemoteDatabase` to one server: what has been learnt about it, and the questions that it is asked
// at the beginning. A value, owned by the actor.

import Transport

/// A session's state.
struct RemoteSession {
  let number: Int
  let endpoint: Endpoint
  let rpc: JSONRPCClient
  /// Has the contents.
  var isEstablished = false
  var holdsLock = false
  /// Why the session is ending.
  var loss: String?
  /// Notifications that came before the contents did.
  var early: [JSONRPCRequest] = []
  /// What the server says of its databases; nil for servers before 2.9, which say nothing.
  var servers: ServerDescription?
  /// What the server's schema and ours have in common, by table.
  var columns: [String: Set<String>] = [:]

  static let serverMonitor: JSONValue = ["monid", "_Server"]

  /// The operation without columns that the server has not; nil for an update that has nothing left.
  func writable(_ operation: JSONValue) -> JSONValue? {
    guard let table = operation["table"]?.string, var members = operation.object, let row = members["row"]?.object
    else { return operation }
    let known = columns[table] ?? []
    let kept = row.filter { known.contains($0.key) }
    if kept.isEmpty, !row.isEmpty, members["op"] == "update" { return nil }
    members["row"] = .object(kept)
    return .object(members)
  }

  /// Asks for the database `_Server`, and to be told of its changes.
  static func describe(_ database: String, _ rpc: JSONRPCClient) async throws -> ServerDescription? {
    let schema: JSONValue
    do {
      schema = try await rpc.call("get_schema", ["_Server"])
    } catch JSONRPCError.remote {
      return nil
    }
    let wanted = ["name", "model", "connected", "leader", "schema", "cid", "index"]
    let known = schema["tables"]?["Database"]?["columns"]?.object ?? [:]
    let columns = wanted.filter { known[$0] != nil }.map { JSONValue.string($0) }
    let rows = try await rpc.call(
      "monitor_cond", ["_Server", serverMonitor, ["Database": [["columns": .array(columns)]]]])
    var description = ServerDescription()
    try description.rows.applyRowUpdates(rows, form: .initial)
    return description
  }

  static func schema(
    _ database: String, _ description: ServerDescription?, _ rpc: JSONRPCClient
  ) async throws -> DatabaseSchema {
    if let text = description?.schemaText(database) {
      do {
        return try DatabaseSchema(json: JSONValue.parse(text))
      } catch let error as JSONError {
        throw OVSDBError("syntax error", "the schema of \(database): \(error.description)")
      }
    }
    return try DatabaseSchema(json: try await rpc.call("get_schema", [.string(database)]))
  }

  /// The columns that both have with one type, whatever their constraints.
  static func commonColumns(_ ours: DatabaseSchema, _ theirs: DatabaseSchema) -> [String: Set<String>] {
    var result: [String: Set<String>] = [:]
    for (name, table) in ours.tables {
      guard let other = theirs.table(name) else { continue }
      result[name] = Set(
        table.columns.filter { column in
          guard let type = other.column(column.name)?.type else { return false }
          return type.key.type == column.type.key.type && type.value?.type == column.type.value?.type
            && (type.countMaximum == 1) == (column.type.countMaximum == 1)
        }.map(\.name))
    }
    return result
  }

  /// The answer to a monitor request.
  struct MonitorStart {
    /// The rows are the changes since the transaction that was asked for; else they are all there is.
    var isDifference = false
    var transaction = RowUUID.zero
    var rows: JSONValue
  }

  /// Asks for the contents, and to be told of changes: by the newest method that the server knows.
  static func monitor(
    _ database: String, _ columns: [String: Set<String>], since transaction: RowUUID, _ rpc: JSONRPCClient
  ) async throws -> MonitorStart {
    let requests = columns.mapValues { columns -> JSONValue in
      [["columns": .array(columns.sorted().map { .string($0) })]]
    }
    let params: [JSONValue] = [.string(database), ["monid", .string(database)], .object(requests)]
    do {
      let reply = try await rpc.call("monitor_cond_since", .array(params + [.string(transaction.description)]))
      return MonitorStart(
        isDifference: reply[0]?.boolean ?? false, transaction: reply[1]?.string.flatMap { RowUUID($0) } ?? .zero,
        rows: reply[2] ?? [:])
    } catch JSONRPCError.remote(let error) where isUnknownMethod(error) {
      do {
        return MonitorStart(rows: try await rpc.call("monitor_cond", .array(params)))
      } catch JSONRPCError.remote(let error) where isUnknownMethod(error) {
        return MonitorStart(rows: try await rpc.call("monitor", .array(params)))
      }
    }
  }

  private static func isUnknownMethod(_ error: JSONValue) -> Bool {
    (error.string ?? error["error"]?.string) == "unknown method"
  }
}

/// What a server says of the databases that it serves: the contents of its `_Server` (ovsdb-server(5)).
struct ServerDescription {
  var rows = DatabaseSnapshot(schema: .server)

  mutating func apply(_ request: JSONRPCRequest) throws {
    try rows.applyRowUpdates(
      request.params[request.method == "update3" ? 2 : 1] ?? [:],
      form: request.method == "update" ? .whole : .difference)
  }

  private func row(_ database: String) -> Row? { rows.first("Database", where: "name", is: .string(database)) }

  func schemaText(_ database: String) -> String? { row(database)?["schema"].string }

  /// The newest entry of the log, for a cluster; 0 without one.
  func index(_ database: String) -> Int64 { row(database)?["index"].integer ?? 0 }

  /// - Throws: why this server is not the one to use.
  func check(_ database: String, isLeaderOnly: Bool, newestIndex: Int64) throws(OVSDBError) {
    guard let row = row(database) else {
      throw OVSDBError("unknown database", "the server has no database \(database)")
    }
    guard row["model"].string == "clustered" else {
      if row["connected"].boolean == false { throw OVSDBError("not connected", "the server has lost its own source") }
      return
    }
    if row["connected"].boolean != true {
      throw OVSDBError("not connected", "the server is not connected to a majority of its cluster")
    }
    if isLeaderOnly, row["leader"].boolean != true {
      throw OVSDBError("not leader", "the server is not the leader of its cluster")
    }
    if let index = row["index"].integer, index < newestIndex {
      throw OVSDBError("stale", "the server's contents are older than what was seen (\(index) < \(newestIndex))")
    }
  }
}
