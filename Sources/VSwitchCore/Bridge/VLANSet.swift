// A set of VLANs as 4096 bits: one load and one test per packet.
//
// Memory: 512 bytes of its own, freed by `deallocate`: kept apart from the port it belongs to, because Swift would copy
// the bits with every use of a struct that holds them.

/// Handle of a set of VLAN IDs 0 to 4095; copies name the same set. Not changed once workers read it.
@safe public struct VLANSet: @unchecked Sendable {
  @usableFromInline let words: UnsafeMutablePointer<UInt64>

  /// The empty set, or with `all` every VLAN.
  public init(all: Bool = false) {
    unsafe words = .allocate(capacity: 64)
    unsafe words.initialize(repeating: all ? ~0 : 0, count: 64)
  }

  /// The given VLANs; only the low 12 bits of each count.
  public init(_ vlans: some Sequence<UInt16>) {
    self.init()
    for vlan in vlans { unsafe words[Int(vlan & 0xfff) >> 6] |= 1 << UInt64(vlan & 63) }
  }

  /// Frees the set; no copy of the handle may be used afterwards.
  public func deallocate() { unsafe words.deallocate() }

  /// Whether the set has `vlan` (its low 12 bits).
  @inlinable @inline(__always)
  public func contains(_ vlan: UInt16) -> Bool {
    // In range whatever the input: 6 bits of index.
    unsafe words[Int(vlan &>> 6) & 63] &>> UInt64(vlan & 63) & 1 != 0
  }
}
