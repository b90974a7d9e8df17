// One atomic transaction (RFC 7047 §5.2) from what the commands changed. A row that is changed must still be there:
// a `wait` on its name, or on the old content of what is written, fails the transaction if another client was faster,
// and the command line is run again on the new state. The order is deterministic, for tests and for reading traces.

import OVSDB

extension Workspace {
  /// A transaction and where to find what it answers.
  struct Transaction {
    var operations: [JSONValue]
    /// Index of the `insert` of each new row.
    var insertIndexes: [RowUUID: Int]
    /// Index of the `select` of `next_cfg`; nil if not asked for.
    var nextConfigIndex: Int?
  }

  /// The transaction; nil if nothing was changed.
  /// - Parameters:
  ///   - asksForConfig: raise `next_cfg`, so that the switch can be waited for.
  ///   - comment: for the database's log.
  func transaction(asksForConfig: Bool, comment: String) -> Transaction? {
    var waits: [JSONValue] = []
    var inserts: [JSONValue] = []
    var insertIndexes: [RowUUID: Int] = [:]
    var changes: [JSONValue] = []
    let made = Set(inserted.map(\.uuid)).union(hasRoot ? [] : [root])

    for id in inserted {
      insertIndexes[id.uuid] = inserts.count
      inserts.append(insertOperation(id, made))
    }
    for (id, columns) in writes.sorted(by: { ($0.key.table, $0.key.uuid) < ($1.key.table, $1.key.uuid) }) {
      guard !made.contains(id.uuid), let old = original.row(id.table, id.uuid), let new = row(id.table, id.uuid)
      else { continue }
      let changed = columns.filter { old[$0.key] != new[$0.key] }.sorted { $0.key < $1.key }
      guard !changed.isEmpty else { continue }
      if id.table != "Open_vSwitch" { waits.append(waitOperation(old, changed.map(\.key))) }
      changes += changeOperations(id, old, new, changed, made)
    }
    for id in deleted.sorted(by: { ($0.table, $0.uuid) < ($1.table, $1.uuid) })
    where schema.table(id.table)?.isRoot == true {
      changes.append(["op": "delete", "table": .string(id.table), "where": Self.match(.string(id.uuid.description))])
    }
    // Any command makes the root row that is missing.
    guard !inserts.isEmpty || !changes.isEmpty || !hasRoot else { return nil }

    if !hasRoot {
      waits.append(
        ["op": "wait", "table": "Open_vSwitch", "where": [], "rows": [], "until": "==", "timeout": 0])
      inserts.append(insertOperation(RowID(table: "Open_vSwitch", uuid: root), made))
    }
    for key in insertIndexes.keys { insertIndexes[key, default: 0] += waits.count }
    var operations = waits + inserts + changes
    var nextConfigIndex: Int?
    if asksForConfig {
      let isRoot: JSONValue = .array([.array(["_uuid", "==", Self.reference(root, made)])])
      operations.append(
        ["op": "mutate", "table": "Open_vSwitch", "where": isRoot, "mutations": [["next_cfg", "+=", 1]]])
      nextConfigIndex = operations.count
      operations.append(["op": "select", "table": "Open_vSwitch", "where": isRoot, "columns": ["next_cfg"]])
    }
    operations.append(["op": "comment", "comment": .string(comment)])
    return Transaction(operations: operations, insertIndexes: insertIndexes, nextConfigIndex: nextConfigIndex)
  }

  private func insertOperation(_ id: RowID, _ made: Set<RowUUID>) -> JSONValue {
    var columns: [String: JSONValue] = [:]
    if let row = row(id.table, id.uuid) {
      for column in row.table.columns where row[column.name] != column.defaultValue {
        columns[column.name] = Self.json(row[column.name], made)
      }
    }
    var members: [String: JSONValue] = [
      "op": "insert", "table": .string(id.table), "row": .object(columns),
      "uuid-name": .string(Self.rowName(id.uuid)),
    ]
    if chosenUUIDs.contains(id.uuid) { members["uuid"] = .string(id.uuid.description) }
    return .object(members)
  }

  private func waitOperation(_ old: Row, _ columns: [String]) -> JSONValue {
    let names = old.table.column("name") == nil ? columns : ["name"]
    let row = Dictionary(names.map { ($0, old[$0].json) }, uniquingKeysWith: { first, _ in first })
    return [
      "op": "wait", "table": .string(old.table.name), "where": Self.match(.string(old.uuid.description)),
      "columns": .array(names.map(JSONValue.string)), "rows": [.object(row)], "until": "==", "timeout": 0,
    ]
  }

  private func changeOperations(
    _ id: RowID, _ old: Row, _ new: Row, _ changed: [(key: String, value: Write)], _ made: Set<RowUUID>
  ) -> [JSONValue] {
    var updates: [String: JSONValue] = [:]
    var mutations: [JSONValue] = []
    for (column, write) in changed {
      guard write == .merged, old.table.column(column)?.type.countMaximum ?? 1 > 1 else {
        updates[column] = Self.json(new[column], made)
        continue
      }
      let (gone, added) = Self.difference(old[column], new[column])
      if !gone.isEmpty { mutations.append([.string(column), "delete", Self.json(gone, made)]) }
      if !added.isEmpty { mutations.append([.string(column), "insert", Self.json(added, made)]) }
    }
    var operations: [JSONValue] = []
    let match = Self.match(.string(id.uuid.description))
    if !updates.isEmpty {
      operations.append(["op": "update", "table": .string(id.table), "where": match, "row": .object(updates)])
    }
    if !mutations.isEmpty {
      operations.append(
        ["op": "mutate", "table": .string(id.table), "where": match, "mutations": .array(mutations)])
    }
    return operations
  }

  /// What to delete (for a map: keys) and what to insert.
  private static func difference(_ old: Datum, _ new: Datum) -> (gone: Datum, added: Datum) {
    if old.isMap || new.isMap {
      let gone = old.pairs.filter { new.value(for: $0.key) != $0.value }.map(\.key)
      let added = new.pairs.filter { old.value(for: $0.key) != $0.value }.map { ($0.key, $0.value) }
      return (Datum(set: gone), added.isEmpty ? .empty : Datum(map: added))
    }
    return (Datum(set: old.atoms.filter { !new.contains($0) }), Datum(set: new.atoms.filter { !old.contains($0) }))
  }

  private static func match(_ uuid: JSONValue) -> JSONValue { [["_uuid", "==", .array(["uuid", uuid])]] }

  private static func rowName(_ uuid: RowUUID) -> String {
    "row" + uuid.description.map { $0 == "-" ? "_" : String($0) }.joined()
  }

  private static func reference(_ uuid: RowUUID, _ made: Set<RowUUID>) -> JSONValue {
    made.contains(uuid)
      ? ["named-uuid", .string(rowName(uuid))] : ["uuid", .string(uuid.description)]
  }

  private static func json(_ datum: Datum, _ made: Set<RowUUID>) -> JSONValue {
    guard !made.isEmpty,
      datum.atoms.contains(where: { $0.uuid != nil }) || datum.mapValues.contains(where: { $0.uuid != nil })
    else { return datum.json }
    func json(_ atom: Atom) -> JSONValue { atom.uuid.map { reference($0, made) } ?? atom.json }
    if datum.isMap { return ["map", .array(datum.pairs.map { [json($0.key), json($0.value)] })] }
    return ["set", .array(datum.atoms.map(json))]
  }
}
