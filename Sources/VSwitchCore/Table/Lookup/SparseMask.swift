// A mask by its words that are not 0, so that a lookup touches no others.
//
// Thread: made by control code, then never changed but for its use count; workers read. Memory: one block each, owned by
// `MaskStore`, which keeps one copy of equal masks; freed with the last rule or subtable that has it.
// Invariant: at most `FlowKey.wordCount` words, indices below that.

/// One word of a mask: the bits of `FlowKey.words[index]` that count.
struct MaskWord {
  let mask: UInt64
  let index: Int
}

/// What stands before the words.
@safe struct MaskBlock: ~Copyable {
  let count: Int
  let hash: UInt64
  /// Rules and subtables that have it.
  let useCount: ControlWord<Int>
  /// Address of the next with the same hash in the store; 0: none.
  let next: ControlWord<UInt>
}

/// Handle of a mask: copies name the same.
@safe struct SparseMask: Equatable, @unchecked Sendable {
  let block: UnsafeMutablePointer<MaskBlock>

  @inline(__always)
  var count: Int { unsafe block.pointee.count }

  @inline(__always)
  var words: UnsafeMutablePointer<MaskWord> {
    unsafe UnsafeMutableRawPointer(block + 1).assumingMemoryBound(to: MaskWord.self)
  }

  /// - Parameter i: below `count`.
  @inline(__always)
  subscript(_ i: Int) -> MaskWord { unsafe words[i] }

  @inline(__always) static func == (a: Self, b: Self) -> Bool { unsafe a.block == b.block }

  /// Whether it is the mask of a match: both have their words in the same order.
  func isMask(of match: Match) -> Bool {
    guard count == match.words.count else { return false }
    for i in 0..<count where match.words[i].index != self[i].index || match.words[i].mask != self[i].mask {
      return false
    }
    return true
  }

  /// Whether each bit of a match's mask is set here, too.
  func isSuperset(of match: Match) -> Bool {
    match.words.allSatisfy { word in
      for i in 0..<count where self[i].index == word.index { return word.mask & ~self[i].mask == 0 }
      return false
    }
  }

  /// Adds the bits to a lookup's mask.
  @inline(__always)
  func add(to mask: MaskWords) {
    for i in 0..<count { mask.add(self[i].mask, at: self[i].index) }
  }
}
