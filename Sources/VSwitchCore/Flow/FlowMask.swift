// Which bits of a flow key count: of a rule's match, of a cached flow. Same shape as `FlowKey`.

/// A mask over the words of a flow key; a set bit is compared.
public struct FlowMask: Equatable, Sendable {
  public var words: InlineArray<38, UInt64>

  /// No bit counts: matches every packet.
  @inlinable public init() { words = InlineArray(repeating: 0) }

  @inlinable
  public static func == (a: Self, b: Self) -> Bool {
    // By spans: arrays of this size would be copied for each access.
    let first = a.words.span
    let second = b.words.span
    var difference: UInt64 = 0
    for i in 0..<FlowKey.wordCount { difference |= unsafe first[unchecked: i] ^ second[unchecked: i] }
    return difference == 0
  }

  /// Adds the bits of another mask.
  @inlinable
  public mutating func formUnion(_ other: FlowMask) {
    for i in 0..<FlowKey.wordCount { words[i] |= other.words[i] }
  }

  /// Whether every bit of `other` is set here too.
  @inlinable
  public func isSuperset(of other: FlowMask) -> Bool {
    var missing: UInt64 = 0
    for i in 0..<FlowKey.wordCount { missing |= other.words[i] & ~words[i] }
    return missing == 0
  }

  /// Whether a packet's key has the bits of `value` where they count.
  @inlinable
  public func matches(_ key: FlowKey, _ value: FlowKey) -> Bool {
    var difference: UInt64 = 0
    for i in 0..<FlowKey.wordCount { difference |= (key.words[i] ^ value.words[i]) & words[i] }
    return difference == 0
  }

  /// Number of bits that count.
  public var bitCount: Int {
    var count = 0
    for i in 0..<FlowKey.wordCount { count += words[i].nonzeroBitCount }
    return count
  }
}
