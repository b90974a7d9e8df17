// A server's row updates applied to a local replica: the receiving side of Monitor.swift. Tables and columns that our
// schema has not are passed over, so that a client older than the server goes on working. Counts and constraints are
// not checked: a difference may hold more elements than its column, and the server answers for its own rows.

extension DatabaseSnapshot {
  enum UpdateForm {
    /// The first dump: "initial" of the newer methods, "new" of `monitor`.
    case initial
    /// `update`: whole rows.
    case whole
    /// `update2`, `update3`: modifications as differences.
    case difference
  }

  /// - Throws: `OVSDBError` for an update that can't be read.
  mutating func applyRowUpdates(_ updates: JSONValue, form: UpdateForm) throws(OVSDBError) {
    apply(try changes(applying: updates, form: form))
  }

  /// What updates would change here.
  /// - Throws: `OVSDBError` for an update that can't be read.
  func changes(applying updates: JSONValue, form: UpdateForm) throws(OVSDBError) -> Changes {
    var changes = Changes()
    for (name, rows) in updates.object ?? [:] {
      guard let table = schema.table(name) else { continue }
      for (text, update) in rows.object ?? [:] {
        guard let uuid = RowUUID(text) else { throw OVSDBError("syntax error", "bad uuid \(text)") }
        let old = row(name, uuid)
        changes.record(table, uuid, old: old, new: try table.row(uuid, after: update, from: old))
      }
    }
    return changes
  }

  /// What turns these contents into others of the same tables.
  func changes(to other: DatabaseSnapshot) -> Changes {
    var changes = Changes()
    for (name, table) in tables {
      let new = other.tables[name]
      for row in table.unordered where new?[row.uuid] == nil {
        changes.record(row.table, row.uuid, old: row, new: nil)
      }
      for row in new.map({ Array($0.unordered) }) ?? [] {
        let old = table[row.uuid]
        if let old, old.hasSameContent(as: row) { continue }
        changes.record(row.table, row.uuid, old: old, new: row)
      }
    }
    return changes
  }
}

extension DatabaseSchema {
  /// These tables under the version of another schema.
  func with(versionOf other: DatabaseSchema) -> DatabaseSchema {
    DatabaseSchema(name, version: other.version, checksum: other.checksum, tables: Array(tables.values))
  }
}

extension TableSchema {
  /// The row after an update; nil if it was deleted.
  fileprivate func row(_ uuid: RowUUID, after update: JSONValue, from old: Row?) throws(OVSDBError) -> Row? {
    if let columns = update["modify"] {
      guard let old else { return nil }
      return try filled(old, columns, asDifference: true)
    }
    if let columns = update["initial"] ?? update["insert"] ?? update["new"] {
      return try filled(old ?? Row(self, uuid: uuid), columns, asDifference: false)
    }
    return nil
  }

  private func filled(_ row: Row, _ columns: JSONValue, asDifference: Bool) throws(OVSDBError) -> Row {
    var result = row
    for (name, value) in columns.object ?? [:] {
      if name == "_version" {
        result.version = try Datum.parse(value, as: .uuid).uuid ?? .zero
        continue
      }
      guard let column = column(name) else { continue }
      var type = column.type
      type.key = BaseType(type.key.type)
      type.value = type.value.map { BaseType($0.type) }
      if !type.isScalar {
        type.countMinimum = 0
        type.countMaximum = .max
      }
      let datum = try Datum.parse(value, as: type)
      result[name] = asDifference ? row[name].applying(difference: datum, column.type) : datum
    }
    return result
  }
}
