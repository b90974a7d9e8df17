// Randomness that a seed repeats. Thread: a value; any. Algorithm: SplitMix64 (Steele, Lea, Flood 2014).

import Foundation

/// A random number generator whose whole state is its seed.
package struct SeededGenerator: RandomNumberGenerator, Sendable {
  private var state: UInt64

  package init(seed: UInt64) { state = seed }

  package mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z &>> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z &>> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z &>> 31)
  }

  /// An array of random bytes.
  package mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) } }
}

/// The seeds that a randomized test takes as arguments: `VSWITCH_SEED` alone if it is set, which repeats a failure.
/// - Parameter count: how many seeds otherwise.
package func testSeeds(_ count: Int) -> [UInt64] {
  if let text = ProcessInfo.processInfo.environment["VSWITCH_SEED"], let seed = UInt64(text) { return [seed] }
  return (1...UInt64(count)).map { $0 }
}
