// What workers may still see of what was replaced, until they have all passed a quiescent point.
//
// Thread: control. A rule that was removed goes in two steps, each a grace period after the other: readers of older
// versions may still look for it, so it stays where lookups find it for the first; then it is taken out, and readers
// that stand on it may do so for the second.

/// Things to do in the order in which they came, each once its grace period is over.
struct RetiredMemory: ~Copyable {
  @safe enum Item {
    /// Take a removed rule out of its table. Its slot goes with it unless another rule has taken it over.
    case unlink(Rule, ownsSlot: Bool)
    case freeRule(Rule)
    case freeSubtable(Subtable)
    case unlinkGroup(Group)
    case freeGroup(Group)
    case unlinkMeter(Meter)
    case freeMeter(Meter)
    case freeMemory(UnsafeMutableRawPointer)
    case freeSlot(UInt32)
  }
  /// What to tell of a removed rule when its counts are final, which is before it is taken out.
  struct RemovalNotice {
    var rule: Rule
    var reason: RemovalReason
    var removedAt: UInt64
  }

  private var items: [(epoch: UInt64, item: Item)] = []
  private var first = 0
  private var notices: [(epoch: UInt64, notice: RemovalNotice)] = []
  private(set) var epoch: UInt64 = 0

  mutating func add(_ item: Item) { items.append((epoch, item)) }
  mutating func add(_ notice: RemovalNotice) { notices.append((epoch, notice)) }

  var isEmpty: Bool { first == items.count }
  var count: Int { items.count - first }

  /// Marks the end of what was retired so far.
  mutating func nextEpoch() -> UInt64 {
    defer { epoch += 1 }
    return epoch
  }

  /// What is to be told of rules up to an epoch, in order.
  mutating func takeNotices(upTo epoch: UInt64) -> [RemovalNotice] {
    guard !notices.isEmpty else { return [] }
    let count = notices.prefix { $0.epoch <= epoch }.count
    defer { notices.removeFirst(count) }
    return notices.prefix(count).map(\.notice)
  }

  /// Whether anything waits for the end of this epoch or an earlier one.
  func hasItems(upTo epoch: UInt64) -> Bool { first < items.count && items[first].epoch <= epoch }

  /// Calls `body` for the removed rules that are in their tables still, and whose counts went with them.
  func forEachLinked(_ body: (Rule) -> Void) {
    for (_, item) in items[first...] { if case .unlink(let rule, true) = item { body(rule) } }
  }

  /// The oldest item up to an epoch.
  mutating func next(upTo epoch: UInt64) -> Item? {
    guard first < items.count, items[first].epoch <= epoch else { return nil }
    let item = items[first].item
    first += 1
    if first == items.count, first <= 1024 {
      items.removeAll(keepingCapacity: true)
      first = 0
    } else if first > 1024, first * 2 > items.count {
      items = Array(items[first...])
      first = 0
    }
    return item
  }
}
