// One row. A value: copying it copies one pointer; changing one column copies the array of its columns. Rows hold
// their table's declaration, so that columns are read by name.

/// A row of a table.
package struct Row: Sendable {
  package let table: TableSchema
  package let uuid: RowUUID
  /// `_version`: another one after every change.
  package var version: RowUUID
  /// In the order of `table.columns`.
  package internal(set) var values: [Datum]

  /// A row with `columns` set and defaults in the others. Names that the table has not are ignored.
  package init(
    _ table: TableSchema, uuid: RowUUID, version: RowUUID = .zero, columns: [String: Datum] = [:]
  ) {
    self.table = table
    self.uuid = uuid
    self.version = version
    values = table.defaults
    for (name, datum) in columns { if let index = table.columnIndexes[name] { values[index] = datum } }
  }

  /// The content of a column, `_uuid` and `_version` included. The empty set for a column that the table has not:
  /// check names that a user gave with `table.column(_:)` first.
  package subscript(column: String) -> Datum {
    get {
      if let index = table.columnIndexes[column] { return values[index] }
      return switch column {
      case "_uuid": .uuid(uuid)
      case "_version": .uuid(version)
      default: .empty
      }
    }
    set { if let index = table.columnIndexes[column] { values[index] = newValue } }
  }

  /// `name`, in tables that have such a column; "" elsewhere.
  package var name: String { self["name"].string ?? "" }

  /// Same table, UUID and columns; `_version` does not count.
  package func hasSameContent(as other: Row) -> Bool {
    table === other.table && uuid == other.uuid && values == other.values
  }
}
