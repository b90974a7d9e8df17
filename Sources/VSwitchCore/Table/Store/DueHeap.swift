// What is due first: rules by the time at which they expire, or by how soon they give way in a full table.
//
// Thread: control. A binary heap of values. An entry is not sought out when its rule goes or gets more time: the owner
// finds that out when the entry comes to the top, and drops it or puts it in anew. Entries name a rule by its slot and the
// slot's generation.

struct DueHeap {
  struct Entry: Equatable {
    /// Lowest first.
    var key: UInt64
    var slot: UInt32
    var generation: UInt32
  }
  private var entries: [Entry] = []

  var count: Int { entries.count }
  var top: Entry? { entries.first }

  mutating func insert(_ entry: Entry) {
    entries.append(entry)
    var index = entries.count - 1
    while index > 0 {
      let parent = (index - 1) / 2
      guard entries[parent].key > entry.key else { break }
      entries[index] = entries[parent]
      index = parent
    }
    entries[index] = entry
  }

  @discardableResult
  mutating func removeTop() -> Entry? {
    guard let top = entries.first, let last = entries.popLast() else { return nil }
    if !entries.isEmpty { sink(last, from: 0) }
    return top
  }

  /// Keeps only some entries.
  mutating func filter(_ isKept: (Entry) -> Bool) {
    entries.removeAll { !isKept($0) }
    for index in (0..<entries.count / 2).reversed() { sink(entries[index], from: index) }
  }

  private mutating func sink(_ entry: Entry, from start: Int) {
    var index = start
    while 2 * index + 1 < entries.count {
      var child = 2 * index + 1
      if child + 1 < entries.count, entries[child + 1].key < entries[child].key { child += 1 }
      guard entries[child].key < entry.key else { break }
      entries[index] = entries[child]
      index = child
    }
    entries[index] = entry
  }
}
