// What packets a rule is for: values and which of their bits count. Kept by the words of the flow key that have any, so that a
// rule's change is small to hand on and to keep, as bundles of a million of them are.

/// One word of a match.
public struct MatchWord: Equatable, Sendable {
  /// Of `FlowKey.words`.
  public let index: Int
  /// Bits outside of the mask are 0.
  public internal(set) var value: UInt64
  /// Not 0.
  public internal(set) var mask: UInt64
}

/// A match. Invariant: words by `rank`, each at most once, so that equal matches are equal values.
public struct Match: Equatable, Sendable {
  public private(set) var words: [MatchWord] = []

  /// Matches every packet.
  public init() {}

  /// Bits of `key` outside `mask` are cleared.
  public init(key: FlowKey, mask: FlowMask) {
    for index in MaskStore.order where mask.words[index] != 0 {
      words.append(MatchWord(index: index, value: key.words[index] & mask.words[index], mask: mask.words[index]))
    }
  }

  init(words: [MatchWord]) { self.words = words }

  /// Place of a word in `MaskStore.order`.
  static func rank(_ index: Int) -> Int {
    switch index {
    case 0: 0
    case 15...: index - 14
    case ...5: index + 23
    case 6: 33
    case ...10: index + 22
    default: index + 23
    }
  }

  /// Gives each word another value, without bits outside of its mask.
  mutating func setValues(_ values: [UInt64], from start: Int) {
    for i in words.indices { words[i].value = values[start + i] }
  }

  /// The value and mask of a word of the flow key; zeros if none of its bits counts.
  public func word(_ index: Int) -> (value: UInt64, mask: UInt64) {
    for word in words where word.index == index { return (word.value, word.mask) }
    return (0, 0)
  }

  /// The values in the form with all words.
  public var key: FlowKey {
    var key = FlowKey()
    for word in words { key.words[word.index] = word.value }
    return key
  }

  /// The bits that count in the form with all words.
  public var mask: FlowMask {
    var mask = FlowMask()
    for word in words { mask.words[word.index] = word.mask }
    return mask
  }

  /// Sets what a field has to be, replacing what was said of its bits before.
  /// - Parameter fieldMask: the bits that count; nil for all. 0 leaves the field open.
  public mutating func set(_ field: Field, _ value: UInt128, mask fieldMask: UInt128? = nil) {
    let full = field.fullMask
    let bits = (fieldMask ?? full) & full
    let value = value & bits
    let place = field.layout
    if place.bitCount == 128 {
      set(place.wordIndex, UInt64(truncatingIfNeeded: value >> 64), UInt64(truncatingIfNeeded: bits >> 64), of: .max)
      set(place.wordIndex + 1, UInt64(truncatingIfNeeded: value), UInt64(truncatingIfNeeded: bits), of: .max)
    } else {
      let shift = UInt64(place.shift)
      set(
        place.wordIndex, UInt64(truncatingIfNeeded: value) << shift, UInt64(truncatingIfNeeded: bits) << shift,
        of: UInt64(truncatingIfNeeded: full) << shift)
    }
  }

  /// Adds what a field has to be, if nothing is said of it yet.
  /// - Parameters:
  ///   - value: without bits outside of the mask.
  ///   - fieldMask: of the field's bits.
  /// - Returns: false if something is.
  public mutating func add(_ field: Field, _ value: UInt128, mask fieldMask: UInt128) -> Bool {
    let place = field.layout
    guard place.bitCount <= 64 else {
      guard self.value(field) == nil else { return false }
      set(field, value, mask: fieldMask)
      return true
    }
    let shift = UInt64(place.shift)
    let ones: UInt64 = (place.bitCount == 64 ? .max : 1 << UInt64(place.bitCount) - 1) << shift
    let mask = UInt64(truncatingIfNeeded: fieldMask) << shift
    let value = UInt64(truncatingIfNeeded: value) << shift
    for i in words.indices where words[i].index == place.wordIndex {
      guard words[i].mask & ones == 0 else { return false }
      words[i].mask |= mask
      words[i].value |= value
      return true
    }
    if mask != 0 { insert(MatchWord(index: place.wordIndex, value: value, mask: mask)) }
    return true
  }

  private mutating func insert(_ word: MatchWord) {
    if words.isEmpty { words.reserveCapacity(5) }
    words.append(word)
    var place = words.count - 1
    while place > 0, Match.rank(words[place - 1].index) > Match.rank(word.index) {
      words.swapAt(place - 1, place)
      place -= 1
    }
  }

  private mutating func set(_ index: Int, _ value: UInt64, _ mask: UInt64, of field: UInt64) {
    let rank = Match.rank(index)
    var place = 0
    while place < words.count, Match.rank(words[place].index) < rank { place += 1 }
    if place < words.count, words[place].index == index {
      words[place].value = words[place].value & ~field | value
      words[place].mask = words[place].mask & ~field | mask
      if words[place].mask == 0 { words.remove(at: place) }
    } else if mask != 0 {
      insert(MatchWord(index: index, value: value, mask: mask))
    }
  }

  /// The value of a field and the bits that count; nil if none does.
  public func value(_ field: Field) -> (value: UInt128, mask: UInt128)? {
    let place = field.layout
    let (value, mask) = word(place.wordIndex)
    if place.bitCount == 128 {
      let low = word(place.wordIndex + 1)
      let bits = UInt128(mask) << 64 | UInt128(low.mask)
      return bits == 0 ? nil : (UInt128(value) << 64 | UInt128(low.value), bits)
    }
    let bits = UInt128(mask >> UInt64(place.shift)) & field.fullMask
    return bits == 0 ? nil : (UInt128(value >> UInt64(place.shift)) & field.fullMask, bits)
  }

  /// Whether the field is matched whole.
  public func isExact(_ field: Field) -> Bool { value(field)?.mask == field.fullMask }

  /// Whether a packet matches.
  public func matches(_ packet: FlowKey) -> Bool {
    words.allSatisfy { (packet.words[$0.index] ^ $0.value) & $0.mask == 0 }
  }

  /// Whether every packet that matches `self` matches `other` too: `self` is the narrower one (loose modify and delete).
  public func isWithin(_ other: Match) -> Bool {
    other.words.allSatisfy { wide in
      let own = word(wide.index)
      return wide.mask & ~own.mask == 0 && (own.value ^ wide.value) & wide.mask == 0
    }
  }

  /// Whether some packet could match both (OpenFlow 1.5 §6.4, OFPFF_CHECK_OVERLAP).
  public func overlaps(_ other: Match) -> Bool {
    other.words.allSatisfy { word in
      let own = self.word(word.index)
      return (own.value ^ word.value) & own.mask & word.mask == 0
    }
  }
}
