// The checks of a whole transaction before anything of it shows (RFC 7047 §4.1.3 and §5.2): references, row limits,
// unique indexes. What passes gets new versions.

extension TransactionRun {
  mutating func commit() throws(OVSDBError) {
    changes = changes.withoutNothing()
    if changes.isEmpty { return }
    try settleStrongReferences()
    try checkRowLimits()
    try settleWeakReferences()
    changes = changes.withoutNothing()
    try checkIndexes()
    for change in changes.all {
      guard var new = change.new else { continue }
      new.version = makeUUID()
      put(new)
    }
  }

  private func checkRowLimits() throws(OVSDBError) {
    for (name, changes) in changes.tables.sorted(by: { $0.key < $1.key }) {
      guard let limit = schema.table(name)?.rowLimit else { continue }
      var count = base.snapshot.table(name)?.count ?? 0
      for change in changes.values { count += (change.new == nil ? 0 : 1) - (change.old == nil ? 0 : 1) }
      if count > limit {
        throw OVSDBError(
          "constraint violation",
          "transaction causes \"\(name)\" table to contain \(count) rows, greater than the schema-defined limit of "
            + "\(limit) row(s)")
      }
    }
  }

  private func checkIndexes() throws(OVSDBError) {
    for (name, changed) in changes.tables.sorted(by: { $0.key < $1.key }) {
      guard let rows = base.snapshot.table(name) else { continue }
      for index in rows.schema.indexes.indices {
        var seen: [[Datum]: RowUUID] = [:]
        for change in changed.values.sorted(by: { $0.uuid < $1.uuid }) {
          guard let new = change.new else { continue }
          let key = rows.key(index: index, of: new)
          let other =
            seen.updateValue(new.uuid, forKey: key)
            ?? rows.row(index: index, key: key).flatMap { $0 != new.uuid && changed[$0] == nil ? $0 : nil }
          if let other { throw duplicate(rows.schema, rows.schema.indexes[index], key, other, new.uuid) }
        }
      }
    }
  }

  private func duplicate(
    _ table: TableSchema, _ columns: [String], _ key: [Datum], _ first: RowUUID, _ second: RowUUID
  ) -> OVSDBError {
    func history(_ uuid: RowUUID) -> String {
      guard let change = changes.change(table.name, uuid) else {
        return "existed in the database before this transaction and was not modified by the transaction"
      }
      return change.old == nil
        ? "was inserted by this transaction"
        : "existed in the database before this transaction and was modified by the transaction"
    }
    func list(_ words: [String]) -> String {
      words.count < 3
        ? words.joined(separator: " and ")
        : words.dropLast().joined(separator: ", ") + ", and " + (words.last ?? "")
    }
    let values = list(key.map { $0.atoms.map(\.text).joined(separator: ", ") })
    let names = list(columns.map { "\"\($0)\"" })
    return OVSDBError(
      "constraint violation",
      "Transaction causes multiple rows in \"\(table.name)\" table to have identical values (\(values)) for index on "
        + "column\(columns.count == 1 ? "" : "s") \(names).  First row, with UUID \(first), \(history(first)).  "
        + "Second row, with UUID \(second), \(history(second)).")
  }
}
