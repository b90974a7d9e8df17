// The masks of all rules, each once.
//
// Thread: control. Memory: the blocks; a mask lives as long as somebody uses it, and its users are freed a grace period
// after workers could find them, so a mask needs no grace period of its own.

import Glibc

@safe struct MaskStore: ~Copyable {
  private var first: [UInt64: UnsafeMutablePointer<MaskBlock>] = unsafe [:]
  /// Rules come in runs that have the same mask.
  private var latest: SparseMask?
  /// Bytes of all masks.
  private(set) var byteCount = 0

  /// Words by the part of the packet that they are of: entry port and what the pipeline adds, Ethernet, IP, transport. So
  /// a hash over the first words of a mask needs only the lower layers.
  static let order: [Int] = [0] + Array(15..<38) + [1, 2, 3, 4, 5, 7, 8, 9, 10, 6, 11, 12, 13, 14]

  /// The mask of a match in its sparse form, used once more; give it back by `release`.
  mutating func use(_ match: Match) -> SparseMask {
    if let latest, latest.isMask(of: match) {
      unsafe latest.block.pointee.useCount.add(1)
      return latest
    }
    let sparse = find(match) ?? make(match)
    unsafe sparse.block.pointee.useCount.add(1)
    latest = sparse
    return sparse
  }

  /// The mask of a match if any rule has it; not one more use.
  func find(_ match: Match) -> SparseMask? {
    var candidate = unsafe first[MaskStore.hash(match)]
    while let block = unsafe candidate {
      let sparse = unsafe SparseMask(block: block)
      if sparse.isMask(of: match) { return sparse }
      unsafe candidate = UnsafeMutablePointer(bitPattern: block.pointee.next.value)
    }
    return nil
  }

  mutating func release(_ mask: SparseMask) {
    unsafe mask.block.pointee.useCount.add(-1)
    guard unsafe mask.block.pointee.useCount.value == 0 else { return }
    if latest == mask { latest = nil }
    let hash = unsafe mask.block.pointee.hash
    if unsafe first[hash] == mask.block {
      unsafe first[hash] = UnsafeMutablePointer(bitPattern: mask.block.pointee.next.value)
    } else {
      var before = unsafe first[hash]
      while let block = unsafe before, unsafe block.pointee.next.value != UInt(bitPattern: mask.block) {
        unsafe before = UnsafeMutablePointer(bitPattern: block.pointee.next.value)
      }
      unsafe before?.pointee.next.set(mask.block.pointee.next.value)
    }
    byteCount -= MaskStore.byteCount(mask.count)
    unsafe free(mask.block)
  }

  private mutating func make(_ match: Match) -> SparseMask {
    let count = match.words.count
    let hash = MaskStore.hash(match)
    let memory = unsafe memoryBlock(byteCount: MaskStore.byteCount(count))
    let block = unsafe memory.bindMemory(to: MaskBlock.self, capacity: 1)
    unsafe block.initialize(
      to: MaskBlock(
        count: count, hash: hash, useCount: ControlWord(0), next: ControlWord(UInt(bitPattern: first[hash]))))
    let sparse = unsafe SparseMask(block: block)
    for (i, word) in match.words.enumerated() {
      unsafe (sparse.words + i).initialize(to: MaskWord(mask: word.mask, index: word.index))
    }
    unsafe first[hash] = block
    byteCount += MaskStore.byteCount(count)
    return sparse
  }

  private static func byteCount(_ wordCount: Int) -> Int {
    MemoryLayout<MaskBlock>.stride + wordCount * MemoryLayout<MaskWord>.stride
  }

  private static func hash(_ match: Match) -> UInt64 {
    var hash: UInt64 = 0
    for word in match.words {
      hash = (hash ^ word.mask ^ UInt64(word.index)) &* 0x9e37_79b9_7f4a_7c15
      hash ^= hash &>> 32
    }
    return hash
  }
}
