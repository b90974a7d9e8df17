// Where the embedded database keeps its rows over a restart. The server answers a transaction only after `commit`
// returned; if it throws, the transaction fails and nothing has changed. Ephemeral columns and default values are
// not kept, and a transaction that touches nothing else never comes here.

/// A row as it is kept: its columns that are not ephemeral and not at their default, as one JSON object in OVSDB's
/// notation (`{"name":"br0","ports":["set",[…]]}`).
package struct PersistedRow: Sendable, Equatable {
  package var table: String
  package var uuid: RowUUID
  package var columns: String

  package init(table: String, uuid: RowUUID, columns: String) {
    self.table = table
    self.uuid = uuid
    self.columns = columns
  }
}

/// A change to what is kept.
package enum PersistentChange: Sendable, Equatable {
  /// Insert the row or replace the one with its table and UUID.
  case put(PersistedRow)
  case remove(table: String, uuid: RowUUID)
}

/// Why a store can't keep something: one line of cause, one of remedy, for the user.
package struct StoreError: Error, CustomStringConvertible {
  package var cause: String
  package var remedy: String

  package init(cause: String, remedy: String) {
    self.cause = cause
    self.remedy = remedy
  }

  package var description: String { "\(cause): \(remedy)" }
}

/// Durable rows.
package protocol DurableStore: Sendable {
  /// Every row kept, in any order. Called once, before anything else.
  func load() async throws -> [PersistedRow]
  /// Makes all changes durable together, or none. One call may carry several transactions. Calls never overlap.
  /// - Throws: `StoreError` (any other error is shown with its description).
  func commit(_ changes: [PersistentChange]) async throws
}
