// JSON text from a value (RFC 8259): UTF-8, no white space, members sorted by the bytes of their names, so that the
// same value always gives the same bytes. Recursion is as deep as the value; what a peer sent has passed the parser's
// depth limit.

extension JSONValue: CustomStringConvertible {
  /// The value as JSON text.
  package var description: String { serialized() }

  /// The value as JSON text on one line.
  package func serialized() -> String { String(decoding: serializedBytes(), as: UTF8.self) }

  /// The value as JSON text, UTF-8, on one line.
  package func serializedBytes() -> [UInt8] {
    var output: [UInt8] = []
    write(to: &output)
    return output
  }

  package func write(to output: inout [UInt8]) {
    switch self {
    case .null: output += "null".utf8
    case .boolean(let value): output += (value ? "true" : "false").utf8
    case .integer(let value): output += String(value).utf8
    case .real(let value): output += (value.isFinite ? value.description : "null").utf8
    case .string(let value): Self.write(value, to: &output)
    case .array(let elements):
      output.append(UInt8(ascii: "["))
      for (index, element) in elements.enumerated() {
        if index > 0 { output.append(UInt8(ascii: ",")) }
        element.write(to: &output)
      }
      output.append(UInt8(ascii: "]"))
    case .object(let members):
      output.append(UInt8(ascii: "{"))
      let sorted = members.count < 2 ? Array(members) : members.sorted { Atom.precedes($0.key, $1.key) }
      for (index, member) in sorted.enumerated() {
        if index > 0 { output.append(UInt8(ascii: ",")) }
        Self.write(member.key, to: &output)
        output.append(UInt8(ascii: ":"))
        member.value.write(to: &output)
      }
      output.append(UInt8(ascii: "}"))
    }
  }

  /// Nothing in it needs an escape.
  private static func isPlain(_ text: String) -> Bool {
    let found = unsafe text.utf8.withContiguousStorageIfAvailable { bytes -> Bool in
      var index = 0
      while index < bytes.count {
        let byte = unsafe bytes[index]
        if byte < 0x20 || byte == 0x7f || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { return false }
        index += 1
      }
      return true
    }
    return found ?? false
  }

  private static func write(_ text: String, to output: inout [UInt8]) {
    output.append(UInt8(ascii: "\""))
    defer { output.append(UInt8(ascii: "\"")) }
    if isPlain(text) {
      output += text.utf8
      return
    }
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""): output += [UInt8(ascii: "\\"), byte]
      case UInt8(ascii: "\\"): output += [byte, byte]
      case 0x08: output += [UInt8(ascii: "\\"), UInt8(ascii: "b")]
      case 0x0c: output += [UInt8(ascii: "\\"), UInt8(ascii: "f")]
      case 0x0a: output += [UInt8(ascii: "\\"), UInt8(ascii: "n")]
      case 0x0d: output += [UInt8(ascii: "\\"), UInt8(ascii: "r")]
      case 0x09: output += [UInt8(ascii: "\\"), UInt8(ascii: "t")]
      case 0..<0x20, 0x7f:
        let digits = Array("0123456789abcdef".utf8)
        output += "\\u00".utf8
        output += [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      default: output.append(byte)
      }
    }
  }
}
