// Bytes as hexadecimal text. Thread: any.

/// Reads hexadecimal digits; blanks are passed over, anything else ends the text.
func bytes(hex: String) -> [UInt8] {
  var bytes: [UInt8] = []
  var high: UInt8?
  for character in hex where !character.isWhitespace {
    guard let digit = character.hexDigitValue else { break }
    if let first = high {
      bytes.append(first << 4 | UInt8(digit))
      high = nil
    } else {
      high = UInt8(digit)
    }
  }
  return bytes
}

/// Writes bytes as hexadecimal digits.
func hex(_ bytes: some Sequence<UInt8>) -> String {
  bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}
