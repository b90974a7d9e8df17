// Which of the worker's port slots are taken: a bit for each. A value; control code. Invariant: slots are below
// `Burst.portLimit`.

/// The slots that ports have.
struct SlotSet: Sendable {
  private var words = [UInt64](repeating: 0, count: Burst.portLimit / 64)

  /// Takes the lowest free slot; nil where none is left.
  mutating func insertLowest() -> UInt16? {
    guard let index = words.firstIndex(where: { $0 != .max }) else { return nil }
    let bit = (~words[index]).trailingZeroBitCount
    words[index] |= 1 << UInt64(bit)
    return UInt16(index * 64 + bit)
  }

  mutating func remove(_ slot: UInt16) {
    let index = Int(slot) / 64
    guard index < words.count else { return }
    words[index] &= ~(1 << UInt64(slot % 64))
  }

  /// One more than the highest slot that is taken; 0 where none is.
  var limit: Int {
    guard let index = words.lastIndex(where: { $0 != 0 }) else { return 0 }
    return index * 64 + 64 - words[index].leadingZeroBitCount
  }
}
