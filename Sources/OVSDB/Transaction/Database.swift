// The engine: contents and reference counts of one database, changed by transactions only. A value, pure and
// deterministic: time, locks and randomness come in with the context. Whoever needs to undo keeps the old value;
// copies are cheap.

/// A database.
package struct Database: Sendable {
  package private(set) var snapshot: DatabaseSnapshot
  private(set) var references = ReferenceCounts()

  /// An empty database.
  package init(schema: DatabaseSchema) { snapshot = DatabaseSnapshot(schema: schema) }

  package var schema: DatabaseSchema { snapshot.schema }

  /// Runs a transaction: all of it takes place or nothing.
  package mutating func transact(
    _ operations: [JSONValue], context: TransactionContext = TransactionContext()
  ) -> TransactionOutcome {
    var run = TransactionRun(base: self, context: context)
    run.run(operations)
    apply(run.outcome.changes)
    return run.outcome
  }

  /// Puts rows from a store in, with every check of a transaction: a store that was changed by other hands can't
  /// make an inconsistent database.
  /// - Throws: `OVSDBError`.
  package mutating func load(_ rows: [Row], context: TransactionContext = TransactionContext()) throws(OVSDBError) {
    var run = TransactionRun(base: self, context: context)
    for row in rows { run.put(row) }
    try run.commit()
    apply(run.changes)
  }

  private mutating func apply(_ changes: Changes) {
    if changes.isEmpty { return }
    var deltas: [String: [RowUUID: Int]] = [:]
    for changes in changes.tables.values { for change in changes.values { change.countReferences(into: &deltas) } }
    references.apply(deltas)
    snapshot.apply(changes)
  }
}
