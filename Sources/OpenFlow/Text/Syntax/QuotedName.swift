// Names of ports and tables: letters and digits plain, all others in quotes with JSON's escapes (RFC 8259 §7).

enum QuotedName {
  /// A name as it stands in a flow.
  static func text(_ name: String) -> String {
    let plain = name.utf8.allSatisfy { byte in
      (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
        || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
    }
    let startsWithLetter = name.utf8.first.map { !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ?? false
    if plain && startsWithLetter { return name }
    var result = "\""
    for scalar in name.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  /// The name that a slice means; nil if its quotes or escapes are wrong.
  static func name(_ slice: TextSlice) -> String? {
    guard slice.first == UInt8(ascii: "\"") else { return slice.string }
    guard slice.count >= 2, slice.bytes[slice.upper - 1] == UInt8(ascii: "\"") else { return nil }
    var result = String.UnicodeScalarView()
    var scalars = slice.dropFirst(1).dropLast(1).string.unicodeScalars.makeIterator()
    while let scalar = scalars.next() {
      guard scalar == "\\" else {
        result.append(scalar)
        continue
      }
      switch scalars.next() {
      case "n": result.append("\n")
      case "r": result.append("\r")
      case "t": result.append("\t")
      case "b": result.append("\u{8}")
      case "f": result.append("\u{c}")
      case "u":
        var value: UInt32 = 0
        for _ in 0..<4 {
          guard let digit = scalars.next(), let bits = UInt32(String(digit), radix: 16) else { return nil }
          value = value << 4 | bits
        }
        guard let unescaped = Unicode.Scalar(value) else { return nil }
        result.append(unescaped)
      case let other?: result.append(other)
      case nil: return nil
      }
    }
    return String(result)
  }
}
