// The Internet checksum (RFC 1071), incremental update of one (RFC 1624), and the pseudo headers of TCP and UDP
// (RFC 9293 §3.1, RFC 768, RFC 8200 §8.1).
//
// Thread: a value; any. Memory: reads what the caller lends. Invariant: reads no byte outside, never traps.
// The one's complement sum does not care about byte order or word size, so bytes are added in words of 8 as the
// machine has them (RFC 1071 §2 B, C) and swapped once at the end.

/// A running one's complement sum. Pieces may be added one after the other, of odd length too.
@frozen
public struct InternetChecksum: BitwiseCopyable, Sendable {
  /// Sum of 16-bit words in host order, not yet folded. A piece adds at most 0xffff, so 2^48 of them fit.
  @usableFromInline var total: UInt64
  /// An odd number of bytes was added: the next piece begins with the low byte of a word.
  @usableFromInline var isOdd: Bool

  @inlinable @inline(__always)
  public init() {
    total = 0
    isOdd = false
  }

  /// The folded sum, in host order, not complemented: what goes into the checksum field of a partial checksum.
  @inlinable
  public var sum: UInt16 { Self.fold(total) }

  /// The checksum: complement of the sum, in host order.
  @inlinable
  public var value: UInt16 { ~sum }

  /// The checksum for a UDP header, where 0 would mean "none" and 0xffff stands for it (RFC 768).
  @inlinable
  public var udpValue: UInt16 {
    let value = value
    return value == 0 ? 0xffff : value
  }

  /// Adds bytes as they follow those added before.
  @inlinable
  public mutating func add(_ bytes: UnsafeRawBufferPointer) {
    let partial = unsafe Self.sum(of: bytes)
    total &+= UInt64(isOdd ? partial.byteSwapped : partial)
    isOdd = isOdd != (bytes.count & 1 != 0)
  }

  /// Adds bytes as they follow those added before.
  @inlinable
  public mutating func add(_ bytes: RawSpan) {
    unsafe bytes.withUnsafeBytes { unsafe add($0) }
  }

  /// Adds bytes as they follow those added before; for control code.
  public mutating func add(_ bytes: [UInt8]) { unsafe bytes.withUnsafeBytes { unsafe add($0) } }

  /// Adds a 16-bit word (host order); for words of headers that are at an even place.
  @inlinable @inline(__always)
  public mutating func add(_ word: UInt16) { total &+= UInt64(word) }

  /// Adds a 32-bit word (host order).
  @inlinable @inline(__always)
  public mutating func add(_ word: UInt32) { total &+= UInt64(word &>> 16) &+ UInt64(word & 0xffff) }

  /// Adds a 64-bit word (host order).
  @inlinable @inline(__always)
  public mutating func add(_ word: UInt64) {
    add(UInt32(truncatingIfNeeded: word &>> 32))
    add(UInt32(truncatingIfNeeded: word))
  }

  /// Adds a sum that was made elsewhere (a `sum`, or the content of a partial checksum field), in host order.
  @inlinable @inline(__always)
  public mutating func add(sum: UInt16) { total &+= UInt64(sum) }

  /// - Parameters: addresses in host order; `byteCount` of transport header and payload.
  @inlinable
  public mutating func addIPv4PseudoHeader(
    source: UInt32, destination: UInt32, transportProtocol: UInt8, byteCount: UInt32
  ) {
    add(source)
    add(destination)
    add(UInt16(transportProtocol))
    add(byteCount)
  }

  /// - Parameters: addresses in host order, high half first; `byteCount` of transport header and payload.
  @inlinable
  public mutating func addIPv6PseudoHeader(
    source: (UInt64, UInt64), destination: (UInt64, UInt64), transportProtocol: UInt8, byteCount: UInt32
  ) {
    add(source.0)
    add(source.1)
    add(destination.0)
    add(destination.1)
    add(UInt16(transportProtocol))
    add(byteCount)
  }

  /// The folded sum of `bytes`, in host order, as if they began at an even place.
  @inlinable
  public static func sum(of bytes: UnsafeRawBufferPointer) -> UInt16 {
    guard let base = bytes.baseAddress else { return 0 }
    let count = bytes.count
    // Words of 8 with the carries in the upper half of 128 bits (add, adc). Vector code is no faster here, and stalls
    // on a header whose fields were just stored one by one.
    var total: UInt64 = 0
    var offset = 0
    let blockEnd = count & ~63
    while offset < blockEnd {
      var sum = UInt128(unsafe word(base, offset))
      sum &+= UInt128(unsafe word(base, offset &+ 8))
      sum &+= UInt128(unsafe word(base, offset &+ 16))
      sum &+= UInt128(unsafe word(base, offset &+ 24))
      sum &+= UInt128(unsafe word(base, offset &+ 32))
      sum &+= UInt128(unsafe word(base, offset &+ 40))
      sum &+= UInt128(unsafe word(base, offset &+ 48))
      sum &+= UInt128(unsafe word(base, offset &+ 56))
      total &+= halves(sum)
      offset &+= 64
    }
    var rest: UInt128 = 0
    let wordEnd = count & ~7
    while offset < wordEnd {
      rest &+= UInt128(unsafe word(base, offset))
      offset &+= 8
    }
    total &+= halves(rest)
    if count & 4 != 0 {
      total &+= UInt64(unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
      offset &+= 4
    }
    if count & 2 != 0 {
      total &+= UInt64(unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
      offset &+= 2
    }
    if count & 1 != 0 {
      // The pad byte follows it: as a big-endian word, byte then 0.
      total &+= UInt64((UInt16(unsafe base.load(fromByteOffset: offset, as: UInt8.self)) &<< 8).bigEndian)
    }
    return UInt16(bigEndian: fold(total))
  }

  @inlinable @inline(__always)
  static func word(_ base: UnsafeRawPointer, _ offset: Int) -> UInt64 {
    unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
  }

  /// Less than 2^34: 2^30 of them fit 64 bits.
  @inlinable @inline(__always)
  static func halves(_ sum: UInt128) -> UInt64 {
    let low = UInt64(truncatingIfNeeded: sum)
    return (low & 0xffff_ffff) &+ (low &>> 32) &+ UInt64(truncatingIfNeeded: sum &>> 64)
  }

  /// The checksum after a 16-bit word under it changed (RFC 1624, equation 3).
  /// - Parameters: all in host order; the word at an even place.
  @inlinable
  public static func updating(_ checksum: UInt16, from old: UInt16, to new: UInt16) -> UInt16 {
    ~fold(UInt64(~checksum) &+ UInt64(~old) &+ UInt64(new))
  }

  /// The checksum after a 32-bit word under it changed.
  @inlinable
  public static func updating(_ checksum: UInt16, from old: UInt32, to new: UInt32) -> UInt16 {
    let inverted = ~old
    return ~fold(
      UInt64(~checksum) &+ UInt64(inverted &>> 16) &+ UInt64(inverted & 0xffff) &+ UInt64(new &>> 16)
        &+ UInt64(new & 0xffff))
  }

  /// Adds the carries back in until 16 bits are left.
  @inlinable @inline(__always)
  static func fold(_ total: UInt64) -> UInt16 {
    var total = (total & 0xffff_ffff) &+ (total &>> 32)
    total = (total & 0xffff) &+ (total &>> 16)
    total = (total & 0xffff) &+ (total &>> 16)
    total = (total & 0xffff) &+ (total &>> 16)
    return UInt16(truncatingIfNeeded: total)
  }
}
