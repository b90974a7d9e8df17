// A store that keeps rows as long as the process lives: for tests, and for a switch that is configured anew at every
// start. Can be told to fail, as a full disk does.

/// Rows in memory.
package actor MemoryStore: DurableStore {
  package struct Key: Hashable, Sendable {
    package var table: String
    package var uuid: RowUUID
  }

  package private(set) var rows: [Key: PersistedRow] = [:]
  package private(set) var commitCount = 0
  /// Thrown by every commit while set.
  package var failure: StoreError?

  package init(rows: [PersistedRow] = []) {
    for row in rows { self.rows[Key(table: row.table, uuid: row.uuid)] = row }
  }

  package func setFailure(_ failure: StoreError?) { self.failure = failure }

  package func load() async throws -> [PersistedRow] { Array(rows.values) }

  package func commit(_ changes: [PersistentChange]) async throws {
    if let failure { throw failure }
    commitCount += 1
    for change in changes {
      switch change {
      case .put(let row): rows[Key(table: row.table, uuid: row.uuid)] = row
      case .remove(let table, let uuid): rows[Key(table: table, uuid: uuid)] = nil
      }
    }
  }
}
