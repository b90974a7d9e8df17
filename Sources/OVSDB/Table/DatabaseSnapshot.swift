// The contents of a database at one moment: a value that costs nothing to copy and that later changes leave alone.
// Readers (reconciler, command line, monitors) hold one for as long as they like, on any thread.

/// The rows of a database at one moment.
package struct DatabaseSnapshot: Sendable {
  package let schema: DatabaseSchema
  private(set) var tables: [String: TableRows]

  /// A database without rows.
  package init(schema: DatabaseSchema) {
    self.schema = schema
    tables = schema.tables.mapValues(TableRows.init)
  }

  /// The table of that name; nil if the schema has none.
  package func table(_ name: String) -> TableRows? { tables[name] }

  /// A table's rows in order of their UUIDs; none for an unknown table.
  package func rows(_ table: String) -> [Row] { tables[table]?.sorted ?? [] }

  package func row(_ table: String, _ uuid: RowUUID) -> Row? { tables[table]?[uuid] }

  /// The rows that a column names, in order of UUID; UUIDs of rows that are not there are left out.
  package func rows(_ table: String, _ uuids: [RowUUID]) -> [Row] { uuids.compactMap { row(table, $0) } }

  /// The row with this content in a column: by index where there is one, else the first by UUID.
  package func first(_ table: String, where column: String, is value: Datum) -> Row? {
    guard let rows = tables[table] else { return nil }
    if let index = rows.index(over: column) { return rows.row(index: index, key: [value]).flatMap { rows[$0] } }
    return rows.sorted.first { $0[column] == value }
  }

  /// The row with this name.
  package func named(_ name: String, in table: String) -> Row? { first(table, where: "name", is: .string(name)) }

  /// The only row of a table with at most one, such as Open_vSwitch.
  package func only(_ table: String) -> Row? { tables[table]?.unordered.first { _ in true } }

  /// Brings the contents from before `changes` to after them.
  package mutating func apply(_ changes: Changes) {
    for (table, changes) in changes.tables { tables[table]?.apply(changes.values) }
  }
}
