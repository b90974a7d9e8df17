// The flow of the last packet with the same headers: one comparison instead of one look-up a mask.
//
// Thread: one worker. Memory: fixed, its own, lines resident once used. An entry names a megaflow by number and generation, so
// nothing has to be taken out when that goes. Only packets without pipeline fields (tunnel, connection, recirculation) are
// kept, so that the packet's words are the whole key.

import Glibc
import VSwitchCore

/// Handle of a bridge's cache in one worker: copies name the same.
@safe struct ExactMatchCache {
  static var entryCount: Int { 1 << 13 }

  struct Entry {
    // First, so that they are where the entry is.
    var words = InlineArray<15, UInt64>(repeating: 0)
    var flow: UInt32 = 0
    /// 0 is no flow's.
    var generation: UInt32 = 0
  }

  private let entries: UnsafeMutablePointer<Entry>
  /// Two random words for each two words of a key.
  private let factors: UnsafeMutablePointer<UInt64>

  init?(seed: UInt64) {
    // Zero is an entry that no key hits; pages that were never written take no memory.
    guard let memory = unsafe calloc(ExactMatchCache.entryCount, MemoryLayout<Entry>.stride) else { return nil }
    unsafe entries = memory.bindMemory(to: Entry.self, capacity: ExactMatchCache.entryCount)
    unsafe factors = .allocate(capacity: 16)
    var state = seed
    for index in 0..<16 {
      state &+= 0x9e37_79b9_7f4a_7c15
      var random = (state ^ state &>> 30) &* 0xbf58_476d_1ce4_e5b9
      random = (random ^ random &>> 27) &* 0x94d0_49bb_1331_11eb
      unsafe (factors + index).initialize(to: random ^ random &>> 31)
    }
  }

  func deallocate() {
    unsafe free(entries)
    unsafe factors.deallocate()
  }

  /// Where the key's entry is or would be: the top bits of a sum of products of words that have random ones added (Lemire and
  /// Kaser, "Strongly universal string hashing is fast", 2014: Multilinear-HM).
  /// - Parameter key: a key's first 15 words.
  @inline(__always)
  func entry(_ key: UnsafePointer<UInt64>) -> UnsafeMutablePointer<Entry> {
    var sum = unsafe (key[14] &+ factors[14]) &* (factors[15] | 1)
    var index = 0
    while index < 14 {
      let product = unsafe (key[index] &+ factors[index]) &* (key[index &+ 1] &+ factors[index &+ 1])
      // What is in the upper half of a word counts for the sum's top bits only by this.
      sum = sum &+ product
      sum ^= product &>> 32
      index &+= 2
    }
    return unsafe entries + Int(truncatingIfNeeded: (sum &* 0x9e37_79b9_7f4a_7c15) &>> 51)
  }

  /// Whether an entry is for a key, and if its flow is the same as when it was made.
  @inline(__always)
  func isHit(_ entry: UnsafeMutablePointer<Entry>, _ key: UnsafePointer<UInt64>, _ flows: MegaflowCache) -> Bool {
    let words = unsafe UnsafeRawPointer(entry).assumingMemoryBound(to: UInt64.self)
    var difference: UInt64 = 0
    for index in 0..<15 { difference |= unsafe words[index] ^ key[index] }
    guard difference == 0, unsafe entry.pointee.generation != 0 else { return false }
    return unsafe flows.flows[Int(entry.pointee.flow)].generation == entry.pointee.generation
  }

  func remember(
    _ entry: UnsafeMutablePointer<Entry>, _ key: UnsafePointer<UInt64>, flow: UInt32, _ flows: MegaflowCache
  ) {
    let words = unsafe UnsafeMutableRawPointer(entry).assumingMemoryBound(to: UInt64.self)
    for index in 0..<15 { unsafe words[index] = key[index] }
    unsafe entry.pointee.flow = flow
    unsafe entry.pointee.generation = flows.flows[Int(flow)].generation
  }
}
