// The rows of one table with its unique indexes. Persistent hash trees: a copy is one pointer, a change after a copy
// rebuilds only the path to one leaf. So a snapshot for readers and the scratch state of a transaction cost nothing
// to take, however many rows there are.

import HashTreeCollections

/// The rows of one table.
package struct TableRows: Sendable {
  package let schema: TableSchema
  private(set) var rowsByUUID: TreeDictionary<RowUUID, Row> = [:]
  /// One for each of `schema.indexes`: row by content. A key that two rows share holds only the later one; the
  /// transaction that made the second is refused before anyone sees it.
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

  /// The number of the index that is over this one column alone.
  func index(over column: String) -> Int? { schema.indexes.firstIndex(of: [column]) }

  /// Puts a row in place of the one with its UUID, if any.
  mutating func put(_ row: Row) {
    if let old = rowsByUUID.updateValue(row, forKey: row.uuid) { removeFromIndexes(old, unlessSameAs: row) }
    for index in indexColumns.indices { rowsByIndex[index][key(index: index, of: row)] = row.uuid }
  }

  mutating func remove(_ uuid: RowUUID) {
    if let old = rowsByUUID.removeValue(forKey: uuid) { removeFromIndexes(old, unlessSameAs: nil) }
  }

  private mutating func removeFromIndexes(_ old: Row, unlessSameAs new: Row?) {
    for index in indexColumns.indices {
      let key = key(index: index, of: old)
      if let new, self.key(index: index, of: new) == key { continue }
      if rowsByIndex[index][key] == old.uuid { rowsByIndex[index][key] = nil }
    }
  }
}
