// Sets of named bits: ct_state and tcp_flags. `+a-b` names the bits that count, `a|b` says what the whole set is.

struct FlagText {
  /// Name of each bit, from the lowest.
  let names: [String]

  static let connectionState = FlagText(names: ["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"])
  static let tcp = FlagText(names: [
    "fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[200]", "[400]", "[800]",
  ])

  var all: UInt32 { UInt32(1) << UInt32(names.count) - 1 }

  func parse(_ slice: TextSlice, _ field: String) throws(FlowTextError) -> (value: UInt32, mask: UInt32) {
    let remedy =
      "write +\(names[1])-\(names[0]), or \(names[1])|\(names[0]) for exactly these; names: "
      + names.joined(separator: " ")
    if let (first, second) = slice.split(at: UInt8(ascii: "/")) {
      guard let value = first.integer(), let mask = second.integer(), value | mask <= UInt128(all) else {
        throw slice.error("\(slice.quoted) is no value and mask of \(field)", remedy: remedy)
      }
      return (UInt32(value & mask), UInt32(mask))
    }
    if slice.first == UInt8(ascii: "+") || slice.first == UInt8(ascii: "-") {
      return try parseSigned(slice, field, remedy)
    }
    var value: UInt32 = 0
    var start = slice.lower
    for i in slice.lower...slice.upper where i == slice.upper || slice.bytes[i] == UInt8(ascii: "|") {
      let part = slice.from(start, to: i)
      if let number = part.integer(), number <= UInt128(all) {
        value |= UInt32(number)
      } else if let bit = names.firstIndex(of: part.string) {
        value |= 1 << UInt32(bit)
      } else {
        throw part.error("\(part.quoted) is no flag of \(field)", remedy: remedy)
      }
      start = i + 1
    }
    return (value, all)
  }

  private func parseSigned(
    _ slice: TextSlice, _ field: String, _ remedy: String
  ) throws(FlowTextError) -> (value: UInt32, mask: UInt32) {
    var value: UInt32 = 0
    var mask: UInt32 = 0
    var i = slice.lower
    while i < slice.upper {
      var end = i + 1
      while end < slice.upper, slice.bytes[end] != UInt8(ascii: "+"), slice.bytes[end] != UInt8(ascii: "-") { end += 1 }
      let part = slice.from(i + 1, to: end)
      guard let bit = names.firstIndex(of: part.string) else {
        throw part.error("\(part.quoted) is no flag of \(field)", remedy: remedy)
      }
      guard mask & 1 << UInt32(bit) == 0 else {
        throw part.error("\(field) has \(part.string) twice", remedy: "name each flag once")
      }
      mask |= 1 << UInt32(bit)
      if slice.bytes[i] == UInt8(ascii: "+") { value |= 1 << UInt32(bit) }
      i = end
    }
    return (value, mask)
  }

  func text(_ value: UInt32, mask: UInt32) -> String {
    guard mask & all != all else {
      let set = names.indices.filter { value & 1 << UInt32($0) != 0 }
      return set.isEmpty ? "0" : set.map { names[$0] }.joined(separator: "|")
    }
    return names.indices.filter { mask & 1 << UInt32($0) != 0 }
      .map { (value & 1 << UInt32($0) != 0 ? "+" : "-") + names[$0] }.joined()
  }
}
