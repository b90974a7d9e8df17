// What a transaction did, row by row: the only thing that leaves the engine for the store, for monitors and for the
// reconciler. Values. Rows that ended as they began are not in it.

/// A row before and after a transaction.
package struct RowChange: Sendable {
  package let table: TableSchema
  package let uuid: RowUUID
  /// Nil: the row was inserted.
  package var old: Row?
  /// Nil: the row was deleted.
  package var new: Row?

  /// Whether this column differs between old and new; true for inserts and deletes.
  package func touches(_ column: String) -> Bool {
    guard let old, let new else { return true }
    return old[column] != new[column]
  }

  /// The row ended as it began, or came and went.
  var isNothing: Bool {
    switch (old, new) {
    case (nil, nil): true
    case (let old?, let new?): old.hasSameContent(as: new)
    default: false
    }
  }
}

/// The rows that a transaction, or several in a row, inserted, modified or deleted.
package struct Changes: Sendable {
  package private(set) var tables: [String: [RowUUID: RowChange]] = [:]

  package init() {}

  package var isEmpty: Bool { tables.isEmpty }

  /// All changes, by table name and UUID in order.
  package var all: [RowChange] {
    tables.sorted { $0.key < $1.key }.flatMap { $0.value.values.sorted { $0.uuid < $1.uuid } }
  }

  /// A table's changes in order of UUID.
  package subscript(table: String) -> [RowChange] {
    tables[table]?.values.sorted { $0.uuid < $1.uuid } ?? []
  }

  package func change(_ table: String, _ uuid: RowUUID) -> RowChange? { tables[table]?[uuid] }

  /// Puts a row into its new state, whatever happened to it before. For the transaction that is making the changes.
  mutating func record(_ table: TableSchema, _ uuid: RowUUID, old: Row?, new: Row?) {
    tables[table.name, default: [:]][uuid] = RowChange(table: table, uuid: uuid, old: old, new: new)
  }

  /// Without the rows that ended as they began.
  func withoutNothing() -> Changes {
    var result = Changes()
    for (name, changes) in tables {
      let real = changes.filter { !$0.value.isNothing }
      if !real.isEmpty { result.tables[name] = real }
    }
    return result
  }

  /// Adds a change that happened after those already here.
  package mutating func append(_ change: RowChange) {
    let table = change.table.name
    guard let earlier = tables[table]?[change.uuid] else {
      tables[table, default: [:]][change.uuid] = change
      return
    }
    var merged = change
    merged.old = earlier.old
    tables[table]?[change.uuid] = merged.isNothing ? nil : merged
    if tables[table]?.isEmpty == true { tables[table] = nil }
  }

  /// Adds changes that happened after those already here.
  package mutating func append(_ later: Changes) {
    for changes in later.tables.values { for change in changes.values { append(change) } }
  }
}
