// The words of a key and of a mask in place, for the length of one lookup: handing on 304 bytes from function to function
// by value costs more than the lookup.
//
// Thread: a worker's, on its stack. Indices are those of `MaskWord`s and `TreeNode`s, which are below `wordCount`.

/// Words of a packet's key.
@safe struct KeyWords {
  private let base: UnsafePointer<UInt64>
  @inline(__always) subscript(index: Int) -> UInt64 { unsafe base[index] }

  /// Calls `body` with the words of a key, which are valid for as long.
  @inline(__always)
  static func with<Result>(_ key: borrowing FlowKey, _ body: (KeyWords) -> Result) -> Result {
    let span = key.words.span
    return unsafe span.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { preconditionFailure("an array of 38 words has an address") }
      return unsafe body(KeyWords(base: base))
    }
  }

  private init(base: UnsafePointer<UInt64>) { unsafe self.base = base }
}

/// Words of the mask that a lookup adds to.
@safe struct MaskWords {
  private let base: UnsafeMutablePointer<UInt64>

  @inline(__always)
  func add(_ bits: UInt64, at index: Int) { unsafe base[index] |= bits }

  @inline(__always)
  static func with<Result>(_ mask: inout FlowMask, _ body: (MaskWords) -> Result) -> Result {
    unsafe withUnsafeMutablePointer(to: &mask) { pointer in
      unsafe body(MaskWords(base: UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: UInt64.self)))
    }
  }

  private init(base: UnsafeMutablePointer<UInt64>) { unsafe self.base = base }
}
