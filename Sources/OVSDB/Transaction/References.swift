// Which row names which (RFC 7047 §3.2, "refTable"): counts of strong references, garbage collection of rows that
// nobody names, and weak references that drop out. A row's references to itself do not count.

import HashTreeCollections

/// How many strong references each row has; rows with none are absent.
struct ReferenceCounts: Sendable {
  private var counts: [String: TreeDictionary<RowUUID, Int>] = [:]

  func count(_ table: String, _ uuid: RowUUID) -> Int { counts[table]?[uuid] ?? 0 }

  mutating func apply(_ deltas: [String: [RowUUID: Int]]) {
    for (table, deltas) in deltas {
      for (uuid, delta) in deltas where delta != 0 {
        let new = count(table, uuid) + delta
        counts[table, default: [:]][uuid] = new == 0 ? nil : new
      }
    }
  }
}

extension RowChange {
  /// Calls `body` with every strong reference that the change takes away (-1) or adds (+1): column, table and UUID of
  /// the target. What a large set of references keeps costs a comparison and no more.
  func forEachStrongReference(
    _ body: (ColumnSchema, String, RowUUID, Int) throws(OVSDBError) -> Void
  ) throws(OVSDBError) {
    for index in table.referringColumns {
      let column = table.columns[index]
      let (before, after) = (old?.values[index] ?? .empty, new?.values[index] ?? .empty)
      if before == after { continue }
      if let target = column.type.key.strongTable {
        for case .uuid(let uuid) in before.setDifference(after) where uuid != self.uuid {
          try body(column, target, uuid, -1)
        }
        for case .uuid(let uuid) in after.setDifference(before) where uuid != self.uuid {
          try body(column, target, uuid, 1)
        }
      }
      if let target = column.type.value?.strongTable {
        for case .uuid(let uuid) in before.mapValues where uuid != self.uuid { try body(column, target, uuid, -1) }
        for case .uuid(let uuid) in after.mapValues where uuid != self.uuid { try body(column, target, uuid, 1) }
      }
    }
  }

  /// Adds what the change does to the counts of the rows that it names.
  func countReferences(into deltas: inout [String: [RowUUID: Int]]) {
    // The closure throws nothing.
    try? forEachStrongReference { (_, table, uuid, sign) throws(OVSDBError) in
      deltas[table, default: [:]][uuid, default: 0] += sign
    }
  }
}

extension TransactionRun {
  /// Checks that every strong reference has its row, and deletes rows that have lost their last one.
  mutating func settleStrongReferences() throws(OVSDBError) {
    var deltas: [String: [RowUUID: Int]] = [:]
    let all = changes.all
    for change in all {
      try change.forEachStrongReference { (column, table, uuid, sign) throws(OVSDBError) in
        deltas[table, default: [:]][uuid, default: 0] += sign
        // A row that this transaction deletes is reported below, with the count of what still names it.
        if sign > 0 && base.snapshot.row(table, uuid) == nil && changes.change(table, uuid)?.new == nil {
          throw OVSDBError(
            "referential integrity violation",
            "Table \(change.table.name) column \(column.name) row \(change.uuid) references nonexistent row \(uuid) "
              + "in table \(table).")
        }
      }
    }
    for change in all where change.new == nil {
      let table = change.table.name
      let count = base.references.count(table, change.uuid) + (deltas[table]?[change.uuid] ?? 0)
      if count > 0 {
        throw OVSDBError(
          "referential integrity violation",
          "cannot delete \(table) row \(change.uuid) because of \(count) remaining reference(s)")
      }
    }
    collectGarbage(&deltas)
  }

  private mutating func collectGarbage(_ deltas: inout [String: [RowUUID: Int]]) {
    var candidates: [(String, RowUUID)] = changes.all.map { ($0.table.name, $0.uuid) }
    for (table, deltas) in deltas { for (uuid, delta) in deltas where delta < 0 { candidates.append((table, uuid)) } }
    while let (name, uuid) = candidates.popLast() {
      guard let table = schema.table(name), !schema.isRoot(table), let row = row(table, uuid),
        base.references.count(name, uuid) + (deltas[name]?[uuid] ?? 0) == 0
      else { continue }
      remove(row)
      try? RowChange(table: table, uuid: uuid, old: row, new: nil).forEachStrongReference {
        (_, table, uuid, sign) throws(OVSDBError) in
        deltas[table, default: [:]][uuid, default: 0] += sign
        candidates.append((table, uuid))
      }
    }
  }

  /// Drops weak references to rows that are not there.
  mutating func settleWeakReferences() throws(OVSDBError) {
    let deleted = changes.tables.mapValues { $0.values.filter { $0.old != nil && $0.new == nil }.count }
    for table in schema.tables.values.sorted(by: { $0.name < $1.name }) where !table.weakTargets.isEmpty {
      var suspects = changes[table.name].compactMap(\.new)
      if table.weakTargets.contains(where: { (deleted[$0] ?? 0) > 0 }) { suspects = rows(table, where: .always) }
      for row in suspects { try dropDeadReferences(of: row) }
    }
  }

  private mutating func dropDeadReferences(of row: Row) throws(OVSDBError) {
    var new = row
    for index in row.table.referringColumns {
      let column = row.table.columns[index]
      var datum = row.values[index]
      if let target = column.type.key.weakTable.flatMap(schema.table) {
        let dead = datum.atoms.filter { $0.uuid.map { self.row(target, $0) == nil } ?? false }
        datum = datum.subtracting(Datum(set: dead))
      }
      if let target = column.type.value?.weakTable.flatMap(schema.table) {
        let dead = datum.pairs.filter { $0.value.uuid.map { self.row(target, $0) == nil } ?? false }
        datum = datum.subtracting(Datum(set: dead.map(\.key)))
      }
      if datum == row.values[index] { continue }
      if datum.count < column.type.countMinimum {
        throw OVSDBError(
          "constraint violation",
          "Deletion of \(row.values[index].count - datum.count) weak reference(s) to deleted (or never-existing) rows "
            + "from column \"\(column.name)\" in \"\(row.table.name)\" row \(row.uuid) caused this column to become "
            + "empty, but constraints on this column disallow an empty column.")
      }
      new.values[index] = datum
    }
    if new.values != row.values { put(new) }
  }
}
