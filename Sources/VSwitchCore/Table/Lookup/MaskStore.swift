// The masks of all rules, each once.
//
// Thread: control. Memory: the blocks; a mask lives as long as somebody uses it, and its users are freed a grace period
// after workers could find them, so a mask needs no grace period of its own.

import Glibc

@safe struct MaskStore: ~Copyable {
  private var first: [UInt64: UnsafeMutablePointer<MaskBlock>] = unsafe [:]
  /// Rules come in runs that have the same mask.
  private var latest: (mask: FlowMask, sparse: SparseMask)?
  /// Bytes of all masks.
  private(set) var byteCount = 0

  /// Words by the part of the packet that they are of: entry port and what the pipeline adds, Ethernet, IP, transport. So
  /// a hash over the first words of a mask needs only the lower layers.
  static let order: [Int] = [0] + Array(15..<38) + [1, 2, 3, 4, 5, 7, 8, 9, 10, 6, 11, 12, 13, 14]

  /// The mask in its sparse form, used once more; give it back by `release`.
  mutating func use(_ mask: FlowMask) -> SparseMask {
    if let latest, latest.mask == mask {
      unsafe latest.sparse.block.pointee.useCount.add(1)
      return latest.sparse
    }
    let sparse = find(mask) ?? make(mask)
    unsafe sparse.block.pointee.useCount.add(1)
    latest = (mask, sparse)
    return sparse
  }

  /// The mask if any rule has it; not one more use.
  func find(_ mask: FlowMask) -> SparseMask? {
    var candidate = unsafe first[MaskStore.hash(mask)]
    while let block = unsafe candidate {
      let sparse = unsafe SparseMask(block: block)
      if sparse.flowMask == mask { return sparse }
      unsafe candidate = UnsafeMutablePointer(bitPattern: block.pointee.next.value)
    }
    return nil
  }

  mutating func release(_ mask: SparseMask) {
    unsafe mask.block.pointee.useCount.add(-1)
    guard unsafe mask.block.pointee.useCount.value == 0 else { return }
    if latest?.sparse == mask { latest = nil }
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

  private mutating func make(_ mask: FlowMask) -> SparseMask {
    let indices = MaskStore.order.filter { mask.words[$0] != 0 }
    let hash = MaskStore.hash(mask)
    let memory = unsafe memoryBlock(byteCount: MaskStore.byteCount(indices.count))
    let block = unsafe memory.bindMemory(to: MaskBlock.self, capacity: 1)
    unsafe block.initialize(
      to: MaskBlock(
        count: indices.count, hash: hash, useCount: ControlWord(0), next: ControlWord(UInt(bitPattern: first[hash]))))
    let sparse = unsafe SparseMask(block: block)
    for (i, index) in indices.enumerated() {
      unsafe (sparse.words + i).initialize(to: MaskWord(mask: mask.words[index], index: index))
    }
    unsafe first[hash] = block
    byteCount += MaskStore.byteCount(indices.count)
    return sparse
  }

  private static func byteCount(_ wordCount: Int) -> Int {
    MemoryLayout<MaskBlock>.stride + wordCount * MemoryLayout<MaskWord>.stride
  }

  private static func hash(_ mask: FlowMask) -> UInt64 {
    var hash: UInt64 = 0
    for i in 0..<FlowKey.wordCount where mask.words[i] != 0 {
      hash = (hash ^ mask.words[i] ^ UInt64(i)) &* 0x9e37_79b9_7f4a_7c15
      hash ^= hash &>> 32
    }
    return hash
  }
}
