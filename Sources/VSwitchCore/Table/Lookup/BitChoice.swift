// Which bit tells the rules of a leaf apart best. Thread: control.

enum BitChoice {
  /// The bit for a node over these rules: the one that leaves fewest for the worst lookup, which goes on with one of the
  /// two sides and with those that don't care. Of equal ones the first by layer and from the top of a field, as prefixes
  /// are.
  /// - Returns: nil if no bit tells any two apart.
  static func best(_ entries: [TreeEntry]) -> TreeBit? {
    // Number of rules that want a bit 0, and 1.
    var zeros = [UInt16](repeating: 0, count: FlowKey.wordCount * 64)
    var ones = zeros
    var unions = [UInt64](repeating: 0, count: FlowKey.wordCount)
    for entry in entries {
      guard let rule = entry.rule else { continue }
      let mask = rule.mask
      for i in 0..<mask.count {
        let word = mask[i]
        unions[word.index] |= word.mask
        let value = unsafe rule.values[i]
        var bits = word.mask
        while bits != 0 {
          let bit = bits.trailingZeroBitCount
          bits &= bits &- 1
          if value &>> UInt64(bit) & 1 == 0 {
            zeros[word.index * 64 + bit] &+= 1
          } else {
            ones[word.index * 64 + bit] &+= 1
          }
        }
      }
    }
    var best: TreeBit?
    var bestCost = entries.count * 2
    for index in MaskStore.order where unions[index] != 0 {
      for bit in (0..<64).reversed() where unions[index] &>> UInt64(bit) & 1 == 1 {
        let zero = Int(zeros[index * 64 + bit])
        let one = Int(ones[index * 64 + bit])
        let any = entries.count - zero - one
        // Rules that all want the same are not told apart, yet a packet that has it otherwise is spared them all.
        let cost = max(zero, one) + any + (zero == 0 || one == 0 ? any : 0)
        if cost < bestCost, max(zero, one, any) < entries.count {
          bestCost = cost
          best = TreeBit(wordIndex: index, bit: bit, examined: unions[index] & 0xff << UInt64(bit & 0x38))
        }
      }
    }
    return best
  }
}
