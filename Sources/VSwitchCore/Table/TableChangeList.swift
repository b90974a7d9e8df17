// Many changes that wait to be made, kept small: what a controller gathers in a bundle may be a million rules, which do few
// different things. What changes of rules have in common is kept once (a shape); of each there are its values, cookie,
// priority and a tag of its owner's.
//
// Thread: a value; any. Memory: chunks, so that a list that grows is not copied.

/// A list of changes, each with a tag.
public struct TableChangeList: Sendable {
  /// Words of one chunk: no allocation of their own for short lists, and too few to be mapped by themselves.
  private static let chunkWordCount = 4096
  /// Number and tag, cookie, priority.
  private static let headWordCount = 3
  /// Shapes with one hash that are looked through.
  private static let candidateLimit = 8

  /// Entries one behind the other: for each its shape (32 bits) and tag (32 bits), cookie, priority, and the words of its match.
  private var chunks: [[UInt64]] = []
  /// Changes of rules without what is in the entries, and all others whole.
  private var shapes: [TableChange] = []
  private var shapesByHash: [UInt64: [UInt32]] = [:]
  private var latest: UInt32?
  public private(set) var count = 0

  public init() {}

  /// Without tags.
  public init(_ changes: some Sequence<TableChange>) { for change in changes { append(change, tag: 0) } }

  public var isEmpty: Bool { count == 0 }

  /// Memory of the entries; shapes are few, as a rule.
  public var byteCount: Int { chunks.reduce(0) { $0 + 8 * $1.capacity } }

  public mutating func append(_ change: TableChange, tag: UInt32) {
    guard case .flow(let mod) = change else {
      shapes.append(change)
      return append(shape: UInt32(shapes.count - 1), tag: tag, cookie: 0, priority: 0, [])
    }
    append(mod, tag: tag)
  }

  public mutating func append(_ mod: FlowMod, tag: UInt32) {
    append(shape: shape(of: mod), tag: tag, cookie: mod.cookie ?? 0, priority: mod.priority, mod.match.words)
  }

  private mutating func append(shape: UInt32, tag: UInt32, cookie: UInt64, priority: UInt16, _ words: [MatchWord]) {
    let wordCount = TableChangeList.headWordCount + words.count
    if chunks.isEmpty || chunks[chunks.count - 1].count + wordCount > TableChangeList.chunkWordCount {
      // The first chunk grows, the others are whole from the start.
      var chunk: [UInt64] = []
      if !chunks.isEmpty { chunk.reserveCapacity(TableChangeList.chunkWordCount) }
      chunks.append(chunk)
    }
    let last = chunks.count - 1
    chunks[last].append(UInt64(shape) << 32 | UInt64(tag))
    chunks[last].append(cookie)
    chunks[last].append(UInt64(priority))
    for word in words { chunks[last].append(word.value) }
    count += 1
  }

  // MARK: shapes

  private mutating func shape(of mod: FlowMod) -> UInt32 {
    if let latest, isOfShape(latest, mod) { return latest }
    let hash = TableChangeList.hash(mod)
    for shape in shapesByHash[hash, default: []].suffix(TableChangeList.candidateLimit) where isOfShape(shape, mod) {
      latest = shape
      return shape
    }
    let shape = UInt32(shapes.count)
    shapes.append(.flow(mod))
    shapesByHash[hash, default: []].append(shape)
    latest = shape
    return shape
  }

  private func isOfShape(_ shape: UInt32, _ mod: FlowMod) -> Bool {
    guard case .flow(let known) = shapes[Int(shape)], known.match.hasMask(of: mod.match) else { return false }
    return known.command == mod.command && known.table == mod.table && (known.cookie == nil) == (mod.cookie == nil)
      && known.cookieFilter == mod.cookieFilter && known.idleTimeoutSeconds == mod.idleTimeoutSeconds
      && known.hardTimeoutSeconds == mod.hardTimeoutSeconds && known.importance == mod.importance
      && known.flags == mod.flags && known.outPort == mod.outPort && known.outGroup == mod.outGroup
      && known.allowsInconsistentActions == mod.allowsInconsistentActions && known.instructions == mod.instructions
  }

  /// Of what shapes differ in most often.
  private static func hash(_ mod: FlowMod) -> UInt64 {
    func mix(_ hash: UInt64, _ word: UInt64) -> UInt64 {
      let mixed = (hash ^ word) &* 0x9e37_79b9_7f4a_7c15
      return mixed ^ mixed &>> 29
    }
    var hash = mix(UInt64(mod.command.rawValue), UInt64(mod.table) << 32 | UInt64(mod.instructions.gotoTable ?? 255))
    hash = mix(hash, UInt64(mod.idleTimeoutSeconds) << 32 | UInt64(mod.hardTimeoutSeconds))
    for word in mod.match.words { hash = mix(hash, word.mask ^ UInt64(word.index)) }
    for case .output(let port, _) in mod.instructions.apply { hash = mix(hash, UInt64(port.rawValue)) }
    for case .setField(let field, let value, _) in mod.instructions.apply {
      hash = mix(hash, UInt64(truncatingIfNeeded: value) ^ UInt64(field.rawValue) << 56)
    }
    return hash
  }

  // MARK: reading

  /// Goes through a list.
  public struct Cursor {
    private let list: TableChangeList
    private var chunk = 0
    private var position = 0
    private var shape: UInt32?
    /// The latest change, if it is one of a rule. There is one copy at a time, so that its words are changed in place.
    public private(set) var flowMod = FlowMod()
    /// The latest change, if it is another one.
    public private(set) var other: TableChange?
    /// Its tag.
    public private(set) var tag: UInt32 = 0

    fileprivate init(_ list: TableChangeList) { self.list = list }

    /// Goes on to the next change.
    /// - Returns: false if there is none.
    public mutating func next() -> Bool {
      if chunk < list.chunks.count, position == list.chunks[chunk].count {
        chunk += 1
        position = 0
      }
      guard chunk < list.chunks.count else { return false }
      let head = list.chunks[chunk][position]
      let number = UInt32(head >> 32)
      tag = UInt32(truncatingIfNeeded: head)
      if number != shape {
        shape = number
        switch list.shapes[Int(number)] {
        case .flow(let mod):
          flowMod = mod
          other = nil
        case let change: other = change
        }
      }
      if other == nil {
        if flowMod.cookie != nil { flowMod.cookie = list.chunks[chunk][position + 1] }
        flowMod.priority = UInt16(truncatingIfNeeded: list.chunks[chunk][position + 2])
        flowMod.match.setValues(list.chunks[chunk], from: position + TableChangeList.headWordCount)
        position += flowMod.match.words.count
      }
      position += TableChangeList.headWordCount
      return true
    }

    /// What the values of a later change would hash to, if it is of the same shape: a guess by which memory is fetched early.
    /// - Parameter distance: in changes, from 1.
    func upcomingHash(_ distance: Int, seed: UInt64) -> UInt32? {
      let wordCount = flowMod.match.words.count
      let start = position + (distance - 1) * (TableChangeList.headWordCount + wordCount)
      let first = start + TableChangeList.headWordCount
      guard other == nil, chunk < list.chunks.count, first + wordCount <= list.chunks[chunk].count,
        UInt32(list.chunks[chunk][start] >> 32) == shape
      else { return nil }
      var hash = seed
      for i in first..<first + wordCount { hash = Subtable.mix(hash, list.chunks[chunk][i]) }
      return Subtable.finish(hash)
    }

    public var change: TableChange { other ?? .flow(flowMod) }
  }

  public var cursor: Cursor { Cursor(self) }

  /// A change and its tag.
  /// - Parameter index: below `count`.
  public subscript(index: Int) -> (change: TableChange, tag: UInt32) {
    var cursor = cursor
    for _ in 0...index { _ = cursor.next() }
    return (cursor.change, cursor.tag)
  }
}

extension Match {
  /// Whether the same bits count.
  fileprivate func hasMask(of other: Match) -> Bool {
    guard words.count == other.words.count else { return false }
    for i in words.indices where words[i].index != other.words[i].index || words[i].mask != other.words[i].mask {
      return false
    }
    return true
  }
}
