// A set of VLANs as 4096 bits: one load and one test per packet.

/// A set of VLAN IDs 0 to 4095.
public struct VLANSet: Sendable {
  @usableFromInline var words: InlineArray<64, UInt64>

  /// The empty set, or with `all` every VLAN.
  public init(all: Bool = false) { words = InlineArray(repeating: all ? ~0 : 0) }

  /// The given VLANs; only the low 12 bits of each count.
  public init(_ vlans: some Sequence<UInt16>) {
    self.init()
    for vlan in vlans { insert(vlan) }
  }

  /// Adds one VLAN.
  public mutating func insert(_ vlan: UInt16) { words[Int(vlan & 0xfff) >> 6] |= 1 << UInt64(vlan & 63) }

  /// Whether the set has `vlan` (its low 12 bits).
  @inlinable @inline(__always)
  public func contains(_ vlan: UInt16) -> Bool {
    // In range whatever the input: 6 bits of index.
    unsafe words[unchecked: Int(vlan &>> 6) & 63] &>> UInt64(vlan & 63) & 1 != 0
  }
}
