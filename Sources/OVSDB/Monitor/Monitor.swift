// A client's standing request for changes: the first dump and the update for each set of changes. Pure: rows in, JSON
// out. Three forms, as old as the methods that ask for them:
//   update   (RFC 7047 §4.1.6): whole old and new rows;
//   update2  (monitor_cond): inserts without default values, modifications of sets and maps as differences;
//   update3  (monitor_cond_since): the same with the id of the last transaction that is in it.

/// A monitor.
package struct Monitor: Sendable {
  package enum Form: Sendable { case update, update2, update3 }

  /// What the client calls it: any JSON.
  package private(set) var id: JSONValue
  let form: Form
  private var tables: [String: MonitoredTable] = [:]

  /// - Parameter requests: tables to what is wanted of each.
  /// - Throws: `OVSDBError`.
  package init(id: JSONValue, form: Form, requests: JSONValue, schema: DatabaseSchema) throws(OVSDBError) {
    self.id = id
    self.form = form
    guard let members = requests.object else {
      throw OVSDBError("syntax error", "monitor-requests must be object", syntax: requests)
    }
    for (name, request) in members.sorted(by: { $0.key < $1.key }) {
      guard let table = schema.table(name) else { throw OVSDBError("syntax error", "no table named \(name)") }
      tables[name] = try MonitoredTable(request, schema: table, hasConditions: form != .update)
    }
  }

  /// The rows that are there when the monitor begins.
  package func initial(_ snapshot: DatabaseSnapshot) -> JSONValue {
    var result: [String: JSONValue] = [:]
    for (name, table) in tables where table.selection.contains(.initial) {
      var rows: [String: JSONValue] = [:]
      if let all = snapshot.table(name) {
        for row in all.unordered where table.matches(row) {
          let columns = table.rowJSON(row, for: .initial, defaults: form == .update)
          rows[row.uuid.description] = .object([form == .update ? "new" : "initial": columns])
        }
      }
      if !rows.isEmpty { result[name] = .object(rows) }
    }
    return .object(result)
  }

  /// The updates that a set of changes is to this client; nil if nothing it monitors has changed.
  package func updates(for changes: Changes) -> JSONValue? {
    var result: [String: JSONValue] = [:]
    for (name, changed) in changes.tables {
      guard let table = tables[name] else { continue }
      var rows: [String: JSONValue] = [:]
      for change in changed.values {
        let old = change.old.flatMap { table.matches($0) ? $0 : nil }
        let new = change.new.flatMap { table.matches($0) ? $0 : nil }
        if let json = rowUpdate(table, old, new) { rows[change.uuid.description] = json }
      }
      if !rows.isEmpty { result[name] = .object(rows) }
    }
    return result.isEmpty ? nil : .object(result)
  }

  /// The notification that carries updates: method and params.
  package func notification(
    _ updates: JSONValue, lastTransaction: RowUUID
  ) -> (method: String, params: JSONValue) {
    switch form {
    case .update: ("update", [id, updates])
    case .update2: ("update2", [id, updates])
    case .update3: ("update3", [id, .string(lastTransaction.description), updates])
    }
  }

  /// Changes the conditions of tables (monitor_cond_change).
  /// - Returns: the rows that came into view or left it; nil if none did.
  package mutating func change(
    id newID: JSONValue, requests: JSONValue, _ snapshot: DatabaseSnapshot
  ) throws(OVSDBError) -> JSONValue? {
    guard let members = requests.object else {
      throw OVSDBError("syntax error", "monitor-cond-change-requests must be object")
    }
    var changed: [String: MonitoredTable] = [:]
    for (name, request) in members.sorted(by: { $0.key < $1.key }) {
      if snapshot.table(name) == nil { throw OVSDBError("syntax error", "no table named \(name)") }
      guard let table = tables[name] else {
        throw OVSDBError("syntax error", "no table named \(name) in monitor session")
      }
      changed[name] = try table.withConditions(request)
    }
    var result: [String: JSONValue] = [:]
    for (name, after) in changed {
      guard let before = tables[name], let all = snapshot.table(name) else { continue }
      var rows: [String: JSONValue] = [:]
      for row in all.unordered {
        let update = rowUpdate(after, before.matches(row) ? row : nil, after.matches(row) ? row : nil)
        if let update { rows[row.uuid.description] = update }
      }
      if !rows.isEmpty { result[name] = .object(rows) }
      tables[name] = after
    }
    id = newID
    return result.isEmpty ? nil : .object(result)
  }

  private func rowUpdate(_ table: MonitoredTable, _ old: Row?, _ new: Row?) -> JSONValue? {
    switch (old, new) {
    case (nil, nil): return nil
    case (nil, let new?):
      guard table.selection.contains(.insert) else { return nil }
      let columns = table.rowJSON(new, for: .insert, defaults: form == .update)
      return .object([form == .update ? "new" : "insert": columns])
    case (let old?, nil):
      guard table.selection.contains(.delete) else { return nil }
      return form == .update ? ["old": table.rowJSON(old, for: .delete, defaults: true)] : ["delete": nil]
    case (let old?, let new?):
      var difference: [String: JSONValue] = [:]
      for column in table.columns where column.selection.contains(.modify) {
        let (a, b) = (column.content(of: old), column.content(of: new))
        if a == b { continue }
        difference[column.name] = form == .update ? a.json : a.difference(to: b, column.type).json
      }
      if difference.isEmpty { return nil }
      guard form == .update else { return ["modify": .object(difference)] }
      return ["old": .object(difference), "new": table.rowJSON(new, for: .modify, defaults: true)]
    }
  }
}

extension MonitoredTable {
  fileprivate func rowJSON(_ row: Row, for kind: MonitorSelection, defaults: Bool) -> JSONValue {
    var members: [String: JSONValue] = [:]
    for column in columns where column.selection.contains(kind) {
      let datum = column.content(of: row)
      if defaults || datum != column.defaultValue { members[column.name] = datum.json }
    }
    return .object(members)
  }
}
