// Rows to what a store keeps and back. Only columns that are not ephemeral and differ from their default are kept, so
// that statistics never touch the disk and a schema may grow columns.

extension Row {
  /// The row as a store keeps it.
  package var persisted: PersistedRow {
    var members: [String: JSONValue] = [:]
    for (column, datum) in zip(table.columns, values) where !column.isEphemeral && datum != column.defaultValue {
      members[column.name] = datum.json
    }
    return PersistedRow(table: table.name, uuid: uuid, columns: JSONValue.object(members).serialized())
  }

  /// The row that a store kept. Columns that the schema has no more are left out.
  /// - Throws: "syntax error", "constraint violation", naming row and column.
  package init(_ kept: PersistedRow, table: TableSchema, version: RowUUID) throws(OVSDBError) {
    let json: JSONValue
    do throws(JSONError) {
      json = try JSONValue.parse(kept.columns)
    } catch {
      throw OVSDBError("syntax error", "kept row \(kept.table) \(kept.uuid): \(error.description)")
    }
    self.init(table, uuid: kept.uuid, version: version)
    for (name, value) in json.object ?? [:] {
      guard let column = table.column(name) else { continue }
      do throws(OVSDBError) {
        self[name] = try Datum.parse(value, as: column.type)
      } catch {
        throw OVSDBError(error.tag, "kept row \(kept.table) \(kept.uuid), column \(name): \(error.description)")
      }
    }
  }

  fileprivate func isKeptLike(_ other: Row) -> Bool {
    for (index, column) in table.columns.enumerated() where !column.isEphemeral {
      if values[index] != other.values[index] { return false }
    }
    return true
  }
}

extension Changes {
  /// What a store has to do for these changes; empty where only ephemeral columns changed.
  package var persistent: [PersistentChange] {
    all.compactMap { change in
      guard let new = change.new else { return .remove(table: change.table.name, uuid: change.uuid) }
      if let old = change.old, new.isKeptLike(old) { return nil }
      return .put(new.persisted)
    }
  }
}
