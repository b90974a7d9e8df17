// Bytes of a message read in order, for codecs of the control world (DHCP, DNS). A value; any thread. Invariant: no read
// goes past the end, none traps.

/// Reads numbers in network byte order from the front of some bytes.
struct ByteReader {
  private let bytes: [UInt8]
  /// Of the next byte.
  private(set) var offset: Int

  init(_ bytes: [UInt8], at offset: Int = 0) {
    self.bytes = bytes
    self.offset = min(max(offset, 0), bytes.count)
  }

  var remaining: Int { bytes.count - offset }

  /// Nil if fewer are left; then nothing is taken.
  mutating func uint8() -> UInt8? {
    guard remaining >= 1 else { return nil }
    defer { offset += 1 }
    return bytes[offset]
  }

  mutating func uint16() -> UInt16? { integer(2).map { UInt16(truncatingIfNeeded: $0) } }
  mutating func uint32() -> UInt32? { integer(4).map { UInt32(truncatingIfNeeded: $0) } }

  /// - Parameter count: not negative.
  mutating func take(_ count: Int) -> [UInt8]? {
    guard count >= 0, remaining >= count else { return nil }
    defer { offset += count }
    return Array(bytes[offset..<(offset + count)])
  }

  private mutating func integer(_ count: Int) -> UInt64? {
    guard remaining >= count else { return nil }
    var value: UInt64 = 0
    for i in offset..<(offset + count) { value = value << 8 | UInt64(bytes[i]) }
    offset += count
    return value
  }
}

extension FixedWidthInteger {
  /// The bytes in network order.
  var networkOrder: [UInt8] {
    stride(from: Self.bitWidth - 8, through: 0, by: -8).map { UInt8(truncatingIfNeeded: self >> Self($0)) }
  }
}
