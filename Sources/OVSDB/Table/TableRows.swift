// The rows of one table with its unique indexes. Persistent hash trees: a copy is one pointer, a change after a copy
// rebuilds only the path to one leaf. So a snapshot for readers and the scratch state of a transaction cost nothing
// to take, however many rows there are.

import HashTreeCollections

/// The rows of one table.
package struct TableRows: Sendable {
  package let schema: TableSchema
  private(set) var rowsByUUID: TreeDictionary<RowUUID, Row> = [:]
  /// One for each of `schema.indexes`: row by content.
  private var rowsByIndex: [TreeDictionary<[Datum], RowUUID>]
  private let indexColumns: [[Int]]

  init(_ schema: TableSchema) {
    self.schema = schema
    indexColumns = schema.indexes.map { $0.compactMap { schema.columnIndexes[$0] } }
    rowsByIndex = Array(repeating: [:], count: indexColumns.count)
  }

  package var count: Int { rowsByUUID.count }

  package subscript(uuid: RowUUID) -> Row? { rowsByUUID[uuid] }

  /// In no particular order.
  package var unordered: some Sequence<Row> { rowsByUUID.values }

  /// In order of their UUIDs.
  package var sorted: [Row] { rowsByUUID.values.sorted { $0.uuid < $1.uuid } }

  /// The row whose indexed columns have this content.
  func row(index: Int, key: [Datum]) -> RowUUID? { rowsByIndex[index][key] }

  func key(index: Int, of row: Row) -> [Datum] { indexColumns[index].map { row.values[$0] } }

  /// The index, and the key in it, of the only row that can match a condition; nil where the condition leaves more open.
  func uniqueKey(in condition: Condition) -> (index: Int, key: [Datum])? {
    if condition.clauses.isEmpty || schema.indexes.isEmpty { return nil }
    for (number, columns) in schema.indexes.enumerated() {
      let key = columns.compactMap { condition.equality(of: $0) }
      if key.count == columns.count { return (number, key) }
    }
    return nil
  }

  /// The number of the index that is over this one column alone.
  func index(over column: String) -> Int? { schema.indexes.firstIndex(of: [column]) }

  /// Takes the old rows of all changes out before it puts the new ones in: two rows may swap their names.
  mutating func apply(_ changes: some Collection<RowChange>) {
    for change in changes {
      guard let old = rowsByUUID[change.uuid] else { continue }
      for index in indexColumns.indices { rowsByIndex[index][key(index: index, of: old)] = nil }
      if change.new == nil { rowsByUUID[change.uuid] = nil }
    }
    for change in changes {
      guard let new = change.new else { continue }
      rowsByUUID[new.uuid] = new
      for index in indexColumns.indices { rowsByIndex[index][key(index: index, of: new)] = new.uuid }
    }
  }
}
