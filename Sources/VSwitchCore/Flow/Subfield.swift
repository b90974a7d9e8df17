// A range of bits of a field, as `reg0[0..15]` in ovs-ofctl's syntax: source or destination of move, load and learn.

/// Bits `firstBit ..< firstBit + bitCount` of a field, 0 being the lowest.
public struct Subfield: Hashable, Sendable {
  public let field: Field
  public let firstBit: Int
  public let bitCount: Int

  /// The whole field.
  public init(_ field: Field) {
    self.field = field
    firstBit = 0
    bitCount = field.bitCount
  }

  /// - Returns: nil if the range is empty or goes past the field.
  public init?(_ field: Field, firstBit: Int, bitCount: Int) {
    guard firstBit >= 0, bitCount > 0, bitCount <= field.bitCount, firstBit <= field.bitCount - bitCount else {
      return nil
    }
    self.field = field
    self.firstBit = firstBit
    self.bitCount = bitCount
  }

  /// Whether these are all bits of the field.
  public var isWhole: Bool { bitCount == field.bitCount }

  /// The bits as a mask of the field's value.
  public var mask: UInt128 { (bitCount == 128 ? .max : (1 << UInt128(bitCount)) - 1) << UInt128(firstBit) }

  /// The bits' value in a key.
  public func value(in key: FlowKey) -> UInt128 { (key[field] & mask) >> UInt128(firstBit) }

  /// Changes the bits in a key to the low bits of a value.
  public func set(_ value: UInt128, in key: inout FlowKey) {
    key[field] = key[field] & ~mask | (value << UInt128(firstBit)) & mask
  }
}
