// The last transactions, for clients that were away for a moment: whoever names the last one that it has seen gets
// what came after it and no more (ovsdb-server(7), monitor_cond_since). A value, owned by the server. Bounded by the
// number of transactions and by the memory that their rows take; whoever was away for longer reads everything anew.
// Kept in memory only: after a restart no name from before is known.

import DequeModule

struct TransactionHistory: Sendable {
  private struct Entry {
    var id: RowUUID
    var changes: Changes
    var atomCount: Int
  }

  private let transactionLimit: Int
  /// Atoms of all rows, old and new: some 30 bytes each.
  private let atomLimit: Int
  private var entries: Deque<Entry> = []
  private var atomCount = 0
  /// The transaction before the first that is kept.
  private var baseID: RowUUID

  /// - Parameter id: the name of the contents that the database begins with.
  init(beginning id: RowUUID, transactionLimit: Int = 1000, atomLimit: Int = 1 << 18) {
    baseID = id
    self.transactionLimit = transactionLimit
    self.atomLimit = atomLimit
  }

  /// The name of the contents now.
  var lastID: RowUUID { entries.last?.id ?? baseID }

  mutating func append(_ changes: Changes, id: RowUUID) {
    let count = changes.atomCount
    entries.append(Entry(id: id, changes: changes, atomCount: count))
    atomCount += count
    while entries.count > transactionLimit || atomCount > atomLimit, let oldest = entries.popFirst() {
      atomCount -= oldest.atomCount
      baseID = oldest.id
    }
  }

  /// What happened after a transaction; nil if it is not known here.
  func changes(since id: RowUUID) -> Changes? {
    guard id != .zero else { return nil }
    var first = 0
    if id != baseID {
      guard let index = entries.lastIndex(where: { $0.id == id }) else { return nil }
      first = index + 1
    }
    var merged = Changes()
    for entry in entries[first...] { merged.append(entry.changes) }
    return merged
  }
}

extension Changes {
  fileprivate var atomCount: Int {
    var count = 0
    for changes in tables.values {
      for change in changes.values {
        for row in [change.old, change.new] {
          for datum in row?.values ?? [] { count += 1 + datum.count * (datum.isMap ? 2 : 1) }
        }
      }
    }
    return count
  }
}
