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

  /// - Parameter key: the caller's for the length of the lookup.
  @inline(__always)
  init(_ key: UnsafePointer<FlowKey>) {
    unsafe base = UnsafeRawPointer(key).assumingMemoryBound(to: UInt64.self)
  }
}

/// Words of the mask that a lookup adds to, and which bits of the key count there: those that the packet brought. Others were
/// set on its way and follow from what is in the mask already.
@safe struct MaskWords {
  private let base: UnsafeMutablePointer<UInt64>
  private let counted: UnsafePointer<UInt64>

  /// - Parameters:
  ///   - mask: gets the bits that are read.
  ///   - counted: what counts of them. Both are the caller's for the length of the lookup.
  @inline(__always)
  init(_ mask: UnsafeMutablePointer<FlowMask>, counting counted: UnsafePointer<FlowMask>) {
    unsafe base = UnsafeMutableRawPointer(mask).assumingMemoryBound(to: UInt64.self)
    unsafe self.counted = UnsafeRawPointer(counted).assumingMemoryBound(to: UInt64.self)
  }

  @inline(__always)
  func add(_ bits: UInt64, at index: Int) { unsafe base[index] |= bits & counted[index] }

  /// Calls `body` with the words of a mask, which gets all bits that are read.
  static func with<Result>(_ mask: inout FlowMask, _ body: (MaskWords) -> Result) -> Result {
    var all = FlowMask()
    all.words = InlineArray(repeating: .max)
    return unsafe withUnsafeMutablePointer(to: &mask) { mask in
      unsafe withUnsafePointer(to: &all) { unsafe body(MaskWords(mask, counting: $0)) }
    }
  }
}
