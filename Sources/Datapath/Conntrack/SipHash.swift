// SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF") over whole words: what is looked up by what a packet
// says is hashed with a key that no sender knows, so that nobody can fill one bucket, and what is chosen by it can't be guessed.
// Thread: a value; any.

/// A hash being made.
struct SipHash {
  /// 128 bits that are nobody's but the owner's.
  struct Key: Sendable {
    var low: UInt64
    var high: UInt64
  }

  private var v0: UInt64
  private var v1: UInt64
  private var v2: UInt64
  private var v3: UInt64

  @inline(__always)
  init(_ key: Key) {
    v0 = key.low ^ 0x736f_6d65_7073_6575
    v1 = key.high ^ 0x646f_7261_6e64_6f6d
    v2 = key.low ^ 0x6c79_6765_6e65_7261
    v3 = key.high ^ 0x7465_6462_7974_6573
  }

  @inline(__always)
  mutating func add(_ word: UInt64) {
    v3 ^= word
    mix()
    v0 ^= word
  }

  @inline(__always)
  mutating func finish() -> UInt64 {
    v2 ^= 0xff
    mix()
    mix()
    mix()
    return v0 ^ v1 ^ v2 ^ v3
  }

  @inline(__always)
  private mutating func mix() {
    v0 &+= v1
    v1 = v1 &<< 13 | v1 &>> 51
    v1 ^= v0
    v0 = v0 &<< 32 | v0 &>> 32
    v2 &+= v3
    v3 = v3 &<< 16 | v3 &>> 48
    v3 ^= v2
    v0 &+= v3
    v3 = v3 &<< 21 | v3 &>> 43
    v3 ^= v0
    v2 &+= v1
    v1 = v1 &<< 17 | v1 &>> 47
    v1 ^= v2
    v2 = v2 &<< 32 | v2 &>> 32
  }
}
