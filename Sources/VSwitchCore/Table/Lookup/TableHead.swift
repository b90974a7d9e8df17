// One flow table as workers see it: where its rules are, by falling priority, and the lookup through them.
//
// Thread: control publishes, workers read at the same time. Memory: of the table's `Classifier`; a list of places is never
// changed but replaced by another.

import Glibc
import Synchronization

struct TableHead: ~Copyable {
  /// Address of the `PlaceList`; 0: no rules.
  let places: Atomic<UInt>
  /// Topmost node of the tree; the second word, where `Classifier` finds it.
  let treeRoot: Atomic<UInt>

  init() {
    places = Atomic(0)
    treeRoot = Atomic(0)
  }
}

/// A subtable, or the tree (subtable 0), and what may be found there.
struct Place {
  /// No rule there has a higher priority.
  var maximumPriority: UInt16
  var subtable: UInt
}

/// Places by falling priority, behind their number.
@safe struct PlaceList {
  struct Header {
    var count: Int
    /// Whether any rule of the table is a clause of a conjunction.
    var hasClauses: Bool
  }
  let header: UnsafeMutablePointer<Header>

  @inline(__always) init?(address: UInt) {
    guard let header = unsafe UnsafeMutablePointer<Header>(bitPattern: address) else { return nil }
    unsafe self.header = header
  }
  init(_ places: [Place], hasClauses: Bool) {
    let byteCount = MemoryLayout<Header>.stride + places.count * MemoryLayout<Place>.stride
    let memory = unsafe memoryBlock(byteCount: byteCount)
    unsafe header = memory.bindMemory(to: Header.self, capacity: 1)
    unsafe header.initialize(to: Header(count: places.count, hasClauses: hasClauses))
    for (i, place) in places.enumerated() { unsafe (self.places + i).initialize(to: place) }
  }
  @inline(__always) private var places: UnsafeMutablePointer<Place> {
    unsafe UnsafeMutableRawPointer(header + 1).assumingMemoryBound(to: Place.self)
  }
  @inline(__always) var address: UInt { unsafe UInt(bitPattern: header) }
  @inline(__always) var count: Int { unsafe header.pointee.count }
  @inline(__always) var hasClauses: Bool { unsafe header.pointee.hasClauses }
  /// - Parameter i: below `count`.
  @inline(__always) subscript(i: Int) -> Place { unsafe places[i] }
}

/// Handle of a table: copies name the same.
@safe struct Table: @unchecked Sendable {
  let head: UnsafeMutablePointer<TableHead>

  init(head: UnsafeMutablePointer<TableHead>) { unsafe self.head = head }

  @inline(__always) init?(address: UInt) {
    guard let head = unsafe UnsafeMutablePointer<TableHead>(bitPattern: address) else { return nil }
    unsafe self.head = head
  }

  /// The best rule: `FlowTablesReader.lookup`.
  func lookup(_ key: KeyWords, version: UInt64, mask: MaskWords) -> Rule? {
    guard let places = PlaceList(address: unsafe head.pointee.places.load(ordering: .acquiring)) else { return nil }
    var search = Search(version: version)
    run(&search, places, key, mask)
    guard places.hasClauses, let best = search.best, best.isClause else { return search.best }
    return lookupConjunction(from: best, places, key, version: version, mask: mask)
  }

  @inline(__always)
  private func run(_ search: inout Search, _ places: PlaceList, _ key: KeyWords, _ mask: MaskWords) {
    for i in 0..<places.count {
      let place = places[i]
      guard search.isWorth(place.maximumPriority) else { return }
      if let subtable = Subtable(address: place.subtable) {
        search.visit(subtable, key: key, mask: mask)
      } else {
        search.visit(unsafe head.pointee.treeRoot.load(ordering: .acquiring), key: key, mask: mask)
      }
    }
  }

  /// Conjunctive matches (ovs-fields(7)): a packet that matches a rule of every clause of a conjunction is looked up again
  /// with the conjunction's id; what is found then is the result. Else the search goes on below the clauses' priority.
  private func lookupConjunction(
    from first: Rule, _ places: PlaceList, _ key: KeyWords, version: UInt64, mask: MaskWords
  ) -> Rule? {
    var best = first
    while best.isClause {
      var previous: UInt32?
      while let conjunction = nextConjunction(
        after: previous, priority: best.priority, places, key, version: version, mask: mask)
      {
        if conjunction.isComplete {
          if let rule = lookup(conjunction.id, places, key, version: version, mask: mask) { return rule }
        }
        previous = conjunction.id
      }
      var search = Search(version: version)
      search.bound = UInt32(best.priority)
      run(&search, places, key, mask)
      guard let next = search.best else { return nil }
      best = next
    }
    return best
  }

  /// The best rule for the packet as one of a conjunction, which is in the mask by the rules' own masks.
  private func lookup(
    _ conjunction: UInt32, _ places: PlaceList, _ key: KeyWords, version: UInt64, mask: MaskWords
  ) -> Rule? {
    var again = FlowKey()
    for i in 0..<FlowKey.wordCount { again.words[i] = key[i] }
    again[.conjunctionID] = UInt128(conjunction)
    var search = Search(version: version)
    search.skipsClauses = true
    KeyWords.with(again) { run(&search, places, $0, mask) }
    return search.best
  }

  /// The conjunction with the lowest id above `previous` that has clauses of a priority which the packet matches.
  private func nextConjunction(
    after previous: UInt32?, priority: UInt16, _ places: PlaceList, _ key: KeyWords, version: UInt64,
    mask: MaskWords
  ) -> Conjunction? {
    var collector = ClauseCollector(version: version, priority: priority, previous: previous)
    for i in 0..<places.count {
      let place = places[i]
      guard place.maximumPriority >= priority else { break }
      if let subtable = Subtable(address: place.subtable) {
        collector.visit(subtable, key: key, mask: mask)
      } else {
        collector.visit(unsafe head.pointee.treeRoot.load(ordering: .acquiring), key: key, mask: mask)
      }
    }
    return collector.lowest
  }
}
