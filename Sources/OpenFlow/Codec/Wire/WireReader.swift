// Reading bytes in network byte order within bounds. Thread: a value; any. Owner of memory: the span's. Invariant:
// 0 <= offset <= end <= bytes.byteCount, so that no read goes past the end; one that would throws.

/// A cursor over the bytes of a message or of a part of it.
struct WireReader: ~Escapable {
  private let bytes: RawSpan
  /// Of the next byte, from the beginning of the message.
  private(set) var offset: Int
  private let end: Int

  @_lifetime(copy bytes)
  init(_ bytes: RawSpan) {
    self.bytes = bytes
    offset = 0
    end = bytes.byteCount
  }

  @_lifetime(copy bytes)
  private init(_ bytes: RawSpan, _ offset: Int, _ end: Int) {
    self.bytes = bytes
    self.offset = offset
    self.end = end
  }

  /// Bytes that are left.
  var remaining: Int { end - offset }
  var isAtEnd: Bool { offset == end }

  /// Reads an integer. Throws `error` if too few bytes are left.
  @inline(__always)
  private mutating func integer<T: FixedWidthInteger & BitwiseCopyable>(_ error: ErrorCode) throws(ErrorCode) -> T {
    guard end - offset >= MemoryLayout<T>.size else { throw error }
    let value = T(bigEndian: unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: T.self))
    offset += MemoryLayout<T>.size
    return value
  }

  mutating func u8(_ error: ErrorCode = .badRequestBadLength) throws(ErrorCode) -> UInt8 { try integer(error) }
  mutating func u16(_ error: ErrorCode = .badRequestBadLength) throws(ErrorCode) -> UInt16 { try integer(error) }
  mutating func u32(_ error: ErrorCode = .badRequestBadLength) throws(ErrorCode) -> UInt32 { try integer(error) }
  mutating func u64(_ error: ErrorCode = .badRequestBadLength) throws(ErrorCode) -> UInt64 { try integer(error) }

  /// A MAC address.
  mutating func u48(_ error: ErrorCode = .badRequestBadLength) throws(ErrorCode) -> UInt64 {
    UInt64(try u16(error)) << 32 | UInt64(try u32(error))
  }

  /// An integer of 0 to 16 bytes.
  mutating func unsigned(byteCount: Int, _ error: ErrorCode = .badRequestBadLength) throws(ErrorCode) -> UInt128 {
    switch byteCount {
    case 1: return UInt128(try u8(error))
    case 2: return UInt128(try u16(error))
    case 4: return UInt128(try u32(error))
    case 8: return UInt128(try u64(error))
    case 16: return UInt128(try u64(error)) << 64 | UInt128(try u64(error))
    default:
      guard (0...16).contains(byteCount) else { throw error }
      var value: UInt128 = 0
      for _ in 0..<byteCount { value = value << 8 | UInt128(try u8(error)) }
      return value
    }
  }

  mutating func skip(_ byteCount: Int, _ error: ErrorCode = .badRequestBadLength) throws(ErrorCode) {
    guard byteCount >= 0, byteCount <= remaining else { throw error }
    offset += byteCount
  }

  /// Whether the next bytes, all of which are left, are 0; goes past them.
  mutating func zeros(_ byteCount: Int, _ error: ErrorCode = .badRequestBadLength) throws(ErrorCode) -> Bool {
    var any: UInt8 = 0
    for _ in 0..<max(byteCount, 0) { any |= try u8(error) }
    return any == 0
  }

  /// The next bytes as a cursor of their own, which cannot go past them.
  @_lifetime(copy self)
  mutating func part(_ byteCount: Int, _ error: ErrorCode = .badRequestBadLength) throws(ErrorCode) -> WireReader {
    guard byteCount >= 0, byteCount <= remaining else { throw error }
    let part = WireReader(bytes, offset, offset + byteCount)
    offset += byteCount
    return part
  }

  /// The next bytes, copied.
  mutating func array(_ byteCount: Int, _ error: ErrorCode = .badRequestBadLength) throws(ErrorCode) -> [UInt8] {
    guard byteCount >= 0, byteCount <= remaining else { throw error }
    let from = offset
    offset += byteCount
    let bytes = bytes.extracting(from..<from + byteCount)
    return unsafe bytes.withUnsafeBytes { unsafe Array($0) }
  }

  /// All bytes that are left, copied.
  mutating func rest() -> [UInt8] {
    let from = offset
    offset = end
    let bytes = bytes.extracting(from..<end)
    return unsafe bytes.withUnsafeBytes { unsafe Array($0) }
  }

  /// A text of fixed length, ended by a 0 byte if shorter. Bytes that are no UTF-8 are replaced.
  mutating func text(_ byteCount: Int) throws(ErrorCode) -> String {
    let bytes = try array(byteCount)
    return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
  }

  /// Whether all bytes that are left, eight to a word, are these.
  func isNext(_ words: [UInt64]) -> Bool {
    guard remaining == 8 * words.count else { return false }
    for (i, word) in words.enumerated()
    where unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset + 8 * i, as: UInt64.self) != word {
      return false
    }
    return true
  }

  /// All bytes that are left, for `isNext`; nil if they are no whole words.
  func nextWords() -> [UInt64]? {
    guard remaining % 8 == 0 else { return nil }
    return (0..<remaining / 8).map { i in
      unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset + 8 * i, as: UInt64.self)
    }
  }

  /// The 16-bit number `ahead` bytes from here, without going there.
  func peek16(at ahead: Int, _ error: ErrorCode = .badRequestBadLength) throws(ErrorCode) -> UInt16 {
    guard ahead >= 0, ahead <= remaining - 2 else { throw error }
    return UInt16(bigEndian: unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset + ahead, as: UInt16.self))
  }
}
