// One transaction while it runs: the committed contents, which stay as they are, and what has been changed so far on
// top of them. A file beside this one has each step: operations, references, checks at commit.

/// What a transaction may know of the world.
package struct TransactionContext {
  /// Locks that the client holds, for `assert`.
  package var heldLocks: Set<String>
  /// How long the transaction has been waiting for its `wait` operations, in milliseconds.
  package var waitedMilliseconds: Int64
  package var generator: any RandomNumberGenerator

  package init(
    heldLocks: Set<String> = [], waitedMilliseconds: Int64 = 0,
    generator: any RandomNumberGenerator = SystemRandomNumberGenerator()
  ) {
    self.heldLocks = heldLocks
    self.waitedMilliseconds = waitedMilliseconds
    self.generator = generator
  }
}

/// What became of a transaction.
package struct TransactionOutcome: Sendable {
  /// One for each operation, as in RFC 7047 §4.1.3; after a failure its error and nulls. One more at the end where
  /// the operations passed and the commit failed.
  package var results: [JSONValue] = []
  /// Nil: the transaction took place.
  package var error: OVSDBError?
  /// What the transaction did; empty when it failed.
  package var changes = Changes()
  /// The transaction did nothing because a `wait` does not hold yet: run it again after the next change, and at
  /// `waitDeadlineMilliseconds` after its beginning at the latest.
  package var isWaiting = false
  /// The table that the `wait` is about: nothing but a change of it can make it hold.
  package var waitingTable: String?
  /// Nil: wait without limit.
  package var waitDeadlineMilliseconds: Int64?
  /// Of the `comment` operations, for the log.
  package var comments: [String] = []
}

/// The state of a running transaction.
struct TransactionRun {
  let base: Database
  let heldLocks: Set<String>
  let waitedMilliseconds: Int64
  var names: NamedUUIDs?
  var changes = Changes()
  var outcome = TransactionOutcome()

  var schema: DatabaseSchema { base.snapshot.schema }

  init(base: Database, context: TransactionContext) {
    self.base = base
    heldLocks = context.heldLocks
    waitedMilliseconds = context.waitedMilliseconds
    names = NamedUUIDs(generator: context.generator)
  }

  mutating func makeUUID() -> RowUUID { names?.makeUUID() ?? .zero }

  func row(_ table: TableSchema, _ uuid: RowUUID) -> Row? {
    if let change = changes.change(table.name, uuid) { return change.new }
    return base.snapshot.row(table.name, uuid)
  }

  /// In order of UUID.
  func rows(_ table: TableSchema, where condition: Condition) -> [Row] {
    if condition.isNever { return [] }
    if let uuid = condition.onlyUUID {
      guard let row = row(table, uuid), condition.matches(row) else { return [] }
      return [row]
    }
    let changed = changes.tables[table.name] ?? [:]
    var result: [Row] = []
    if let rows = base.snapshot.table(table.name) {
      if let (index, key) = rows.uniqueKey(in: condition) {
        if let uuid = rows.row(index: index, key: key), changed[uuid] == nil, let row = rows[uuid],
          condition.matches(row)
        {
          result.append(row)
        }
      } else {
        for row in rows.unordered where changed[row.uuid] == nil && condition.matches(row) { result.append(row) }
      }
    }
    for change in changed.values { if let row = change.new, condition.matches(row) { result.append(row) } }
    return result.sorted { $0.uuid < $1.uuid }
  }

  mutating func put(_ row: Row) { record(row.table, row.uuid, row) }
  mutating func remove(_ row: Row) { record(row.table, row.uuid, nil) }

  private mutating func record(_ table: TableSchema, _ uuid: RowUUID, _ new: Row?) {
    let old: Row? =
      if let change = changes.change(table.name, uuid) { change.old } else { base.snapshot.row(table.name, uuid) }
    changes.record(table, uuid, old: old, new: new)
  }

  /// Runs the operations in order, then the checks of the whole.
  mutating func run(_ operations: [JSONValue]) {
    for (index, json) in operations.enumerated() {
      do throws(OVSDBError) {
        var members = try OperationMembers(json, number: index + 1, of: operations.count)
        let result = try execute(&members)
        if outcome.isWaiting {
          outcome.results = []
          changes = Changes()
          return
        }
        outcome.results.append(result)
      } catch {
        fail(error)
        while outcome.results.count < operations.count { outcome.results.append(.null) }
        return
      }
    }
    do throws(OVSDBError) {
      try commit()
      outcome.changes = changes
    } catch {
      fail(error)
    }
  }

  private mutating func fail(_ error: OVSDBError) {
    outcome.error = error
    outcome.results.append(error.json)
    changes = Changes()
  }
}
