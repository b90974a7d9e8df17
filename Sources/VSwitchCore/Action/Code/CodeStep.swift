// One step of compiled rule code as workers and the decoder read it.
//
// Layout of a step, in words of 64 bits: word 0 holds the operation (bits 0 to 7), the number of words of the step with
// this one (bits 8 to 31) and an argument (bits 32 to 63); the other words are more arguments; steps nested in a clone,
// in write-actions or in ct are the step's last words. What each operation keeps where: `CodeWriter`.
// Memory: of the `RuleCode`. Thread: any. Invariant: only `CodeWriter` makes steps, so that every length in them is right.

/// A step in place; valid as long as its code is.
@safe package struct CodeStep {
  let words: UnsafePointer<UInt64>

  @inline(__always) init(_ words: UnsafePointer<UInt64>) { unsafe self.words = words }

  @inline(__always) var operation: CodeOperation {
    CodeOperation(rawValue: UInt8(truncatingIfNeeded: self[0])) ?? .note
  }
  /// Words of the step, with the first.
  @inline(__always) var wordCount: Int { Int(self[0] &>> 8 & 0xff_ffff) }
  @inline(__always) var argument: UInt32 { UInt32(truncatingIfNeeded: self[0] &>> 32) }

  /// - Parameter index: below `wordCount`.
  @inline(__always) subscript(index: Int) -> UInt64 { unsafe words[index] }

  /// The value in two words, high half first.
  @inline(__always) func wide(_ index: Int) -> UInt128 { UInt128(self[index]) << 64 | UInt128(self[index &+ 1]) }

  /// The steps that are nested from a word on.
  @inline(__always) func nested(from index: Int) -> CodeRange {
    unsafe CodeRange(start: words + index, end: words + wordCount)
  }
}

/// Steps that follow one another.
@safe package struct CodeRange {
  private(set) var start: UnsafePointer<UInt64>
  let end: UnsafePointer<UInt64>

  @inline(__always) init(start: UnsafePointer<UInt64>, end: UnsafePointer<UInt64>) {
    unsafe self.start = start
    unsafe self.end = end
  }

  @inline(__always) var isEmpty: Bool { unsafe start >= end }

  /// The first step.
  @inline(__always) var first: CodeStep? { isEmpty ? nil : unsafe CodeStep(start) }

  /// The first step, which is taken off.
  @inline(__always) mutating func next() -> CodeStep? {
    guard !isEmpty else { return nil }
    let step = unsafe CodeStep(start)
    unsafe start += step.wordCount
    return step
  }
}

/// A subfield in 24 bits; never 0, so that 0 means none.
struct PackedSubfield {
  let bits: UInt32

  @inline(__always) init(bits: UInt32) { self.bits = bits & 0xff_ffff }
  init(_ subfield: Subfield) {
    bits = UInt32(subfield.field.rawValue) | UInt32(subfield.firstBit) << 8 | UInt32(subfield.bitCount) << 16
  }
  init(_ subfield: Subfield?) { self.init(bits: subfield.map { PackedSubfield($0).bits } ?? 0) }

  @inline(__always) var isNone: Bool { bits == 0 }
  @inline(__always) var field: Field { Field(rawValue: UInt8(truncatingIfNeeded: bits)) ?? .reg0 }
  @inline(__always) var firstBit: Int { Int(bits &>> 8 & 0xff) }
  @inline(__always) var bitCount: Int { Int(bits &>> 16 & 0xff) }

  /// The bits as a mask of the field's value.
  @inline(__always) var mask: UInt128 {
    (bitCount >= 128 ? .max : 1 &<< UInt128(bitCount) &- 1) &<< UInt128(firstBit)
  }

  /// Nil for none.
  var subfield: Subfield? { isNone ? nil : Subfield(field, firstBit: firstBit, bitCount: bitCount) }
}
