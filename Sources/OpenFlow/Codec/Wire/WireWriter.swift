// Writing bytes in network byte order. Thread: a value; any.

/// Bytes that grow.
struct WireWriter {
  private(set) var bytes: [UInt8] = []

  init() {}

  var count: Int { bytes.count }

  mutating func reserve(_ byteCount: Int) { bytes.reserveCapacity(byteCount) }

  mutating func u8(_ value: UInt8) { bytes.append(value) }
  mutating func u16(_ value: UInt16) {
    bytes.append(UInt8(truncatingIfNeeded: value >> 8))
    bytes.append(UInt8(truncatingIfNeeded: value))
  }
  mutating func u32(_ value: UInt32) {
    u16(UInt16(truncatingIfNeeded: value >> 16))
    u16(UInt16(truncatingIfNeeded: value))
  }
  mutating func u64(_ value: UInt64) {
    u32(UInt32(truncatingIfNeeded: value >> 32))
    u32(UInt32(truncatingIfNeeded: value))
  }
  /// A MAC address.
  mutating func u48(_ value: UInt64) {
    u16(UInt16(truncatingIfNeeded: value >> 32))
    u32(UInt32(truncatingIfNeeded: value))
  }

  /// The low bytes of a value, up to 16.
  mutating func unsigned(_ value: UInt128, byteCount: Int) {
    for index in stride(from: byteCount - 1, through: 0, by: -1) {
      bytes.append(UInt8(truncatingIfNeeded: value >> UInt128(8 * index)))
    }
  }

  mutating func zeros(_ byteCount: Int) {
    for _ in 0..<max(byteCount, 0) { bytes.append(0) }
  }

  mutating func array(_ more: some Sequence<UInt8>) { bytes.append(contentsOf: more) }

  /// A text of fixed length, filled with 0; cut (between characters) so that a 0 ends it.
  mutating func text(_ text: String, _ byteCount: Int) {
    var kept: [UInt8] = []
    for character in text.unicodeScalars {
      let encoded = Array(String(character).utf8)
      if kept.count + encoded.count >= byteCount { break }
      kept += encoded
    }
    array(kept)
    zeros(byteCount - kept.count)
  }

  /// Fills with 0 so that what began at `start` has a multiple of 8 bytes.
  mutating func pad8(from start: Int) { zeros((8 - (count - start) % 8) % 8) }

  /// Replaces two bytes that were written.
  mutating func patch16(_ value: UInt16, at offset: Int) {
    guard offset >= 0, offset + 2 <= bytes.count else { return }
    bytes[offset] = UInt8(truncatingIfNeeded: value >> 8)
    bytes[offset + 1] = UInt8(truncatingIfNeeded: value)
  }

  /// Takes back what was written from `offset` on.
  mutating func truncate(to offset: Int) {
    if offset < bytes.count { bytes.removeLast(bytes.count - offset) }
  }
}
