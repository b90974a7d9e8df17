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
    var words = InlineArray<15, UInt64>(repeating: 0)
    var flow: UInt32 = 0
    /// 0 is no flow's.
    var generation: UInt32 = 0
  }

  private let entries: UnsafeMutablePointer<Entry>
  private let seed: UInt64

  init?(seed: UInt64) {
    // Zero is an entry that no key hits; pages that were never written take no memory.
    guard let memory = unsafe calloc(ExactMatchCache.entryCount, MemoryLayout<Entry>.stride) else { return nil }
    unsafe entries = memory.bindMemory(to: Entry.self, capacity: ExactMatchCache.entryCount)
    self.seed = seed
  }

  func deallocate() { unsafe free(entries) }

  /// Where the key's entry is or would be.
  @inline(__always)
  func entry(_ key: borrowing FlowKey) -> UnsafeMutablePointer<Entry> {
    // Two lanes, so that the multiplications overlap.
    var a = seed
    var b = ~seed
    var index = 0
    while index < 14 {
      a = (a ^ key.words[index]) &* 0x9e37_79b9_7f4a_7c15
      b = (b ^ key.words[index &+ 1]) &* 0xd6e8_feb8_6659_fd93
      a ^= a &>> 32
      b ^= b &>> 32
      index &+= 2
    }
    a = (a ^ key.words[14] ^ b) &* 0x9e37_79b9_7f4a_7c15
    return unsafe entries + Int(truncatingIfNeeded: a &>> 51)
  }

  /// Whether an entry is for a key, and if its flow is the same as when it was made.
  @inline(__always)
  func isHit(_ entry: UnsafeMutablePointer<Entry>, _ key: borrowing FlowKey, _ flows: MegaflowCache) -> Bool {
    var difference: UInt64 = 0
    for index in 0..<15 { difference |= unsafe entry.pointee.words[index] ^ key.words[index] }
    guard difference == 0, unsafe entry.pointee.generation != 0 else { return false }
    return unsafe flows.flows[Int(entry.pointee.flow)].generation == entry.pointee.generation
  }

  func remember(_ entry: UnsafeMutablePointer<Entry>, _ key: borrowing FlowKey, flow: UInt32, _ flows: MegaflowCache) {
    for index in 0..<15 { unsafe entry.pointee.words[index] = key.words[index] }
    unsafe entry.pointee.flow = flow
    unsafe entry.pointee.generation = flows.flows[Int(flow)].generation
  }
}
