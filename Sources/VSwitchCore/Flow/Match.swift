// What packets a rule is for: values and which of their bits count.

/// A match. Invariant: bits of the key outside the mask are 0, so that equal matches are equal values.
public struct Match: Equatable, Sendable {
  public private(set) var key = FlowKey()
  public private(set) var mask = FlowMask()

  /// Matches every packet.
  public init() {}

  /// Bits of `key` outside `mask` are cleared.
  public init(key: FlowKey, mask: FlowMask) {
    self.key = key
    self.mask = mask
    for i in 0..<FlowKey.wordCount { self.key.words[i] &= mask.words[i] }
  }

  /// Sets what a field has to be, replacing what was said of its bits before.
  /// - Parameter fieldMask: the bits that count; nil for all. 0 leaves the field open.
  public mutating func set(_ field: Field, _ value: UInt128, mask fieldMask: UInt128? = nil) {
    let bits = (fieldMask ?? field.fullMask) & field.fullMask
    mask[field] = bits
    key[field] = value & bits
  }

  /// The value of a field and the bits that count; nil if none does.
  public func value(_ field: Field) -> (value: UInt128, mask: UInt128)? {
    let bits = mask[field]
    return bits == 0 ? nil : (key[field], bits)
  }

  /// Whether the field is matched whole.
  public func isExact(_ field: Field) -> Bool { mask[field] == field.fullMask }

  /// Whether a packet matches.
  public func matches(_ packet: FlowKey) -> Bool { mask.matches(packet, key) }

  /// Whether every packet that matches `self` matches `other` too: `self` is the narrower one (loose modify and delete).
  public func isWithin(_ other: Match) -> Bool {
    mask.isSuperset(of: other.mask) && other.mask.matches(key, other.key)
  }

  /// Whether some packet could match both (OpenFlow 1.5 §6.4, OFPFF_CHECK_OVERLAP).
  public func overlaps(_ other: Match) -> Bool {
    var difference: UInt64 = 0
    for i in 0..<FlowKey.wordCount {
      difference |= (key.words[i] ^ other.key.words[i]) & mask.words[i] & other.mask.words[i]
    }
    return difference == 0
  }
}
