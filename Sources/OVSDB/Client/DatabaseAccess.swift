// What a process may do with a database at the moment. A value.

/// Whether the contents of a database are current and may be written.
package enum DatabaseAccess: Sendable, Equatable {
  /// Current, and ours to write.
  case ready
  /// No server can be used now: the contents are those last seen. The reason, in one line.
  case away(String)
  /// Another process holds the lock that makes the database ours: hands off.
  case contended

  package var isReady: Bool { self == .ready }
}

/// How large a database and the work for its clients are.
package struct DatabaseUsage: Sendable, Equatable {
  package var rows = 0
  /// Columns of all rows.
  package var cells = 0
  /// Clients connected.
  package var sessions = 0
  package var monitors = 0
  /// Transactions that wait for a `wait` to hold.
  package var triggers = 0

  package init() {}

  /// The size of the contents.
  package init(_ snapshot: DatabaseSnapshot) {
    for table in snapshot.tables.values {
      rows += table.count
      cells += table.count * table.schema.columns.count
    }
  }
}
