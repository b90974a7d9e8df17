// Splits "key=value,key(value) key:value,…" into pairs, as Open vSwitch's tools do: separated by commas and white space;
// a value behind "=" or ":" ends at the next of these outside parentheses, one in parentheses at its closing one.
// Quoted parts ("…" with JSON's escapes) are taken whole.

/// A key with its value.
struct KeyValue {
  let key: TextSlice
  /// Empty if there is none.
  let value: TextSlice
  /// What stood between: `=`, `:`, `(`, or 0 for nothing.
  let delimiter: UInt8
  /// Behind a value in parentheses: `->destination`.
  let destination: TextSlice?

  var hasValue: Bool { delimiter != 0 }
  /// From the key to the end of the value.
  var position: Int { key.lower }
}

/// Gives the pairs of a text one after the other.
struct KeyValueReader {
  private let text: TextSlice
  private(set) var position: Int

  init(_ text: TextSlice) {
    self.text = text
    position = text.lower
  }

  /// What has not been read.
  var rest: TextSlice { text.from(position, to: text.upper) }

  private static func isSeparator(_ byte: UInt8) -> Bool { byte == UInt8(ascii: ",") || TextSlice.isSpace(byte) }

  /// The end of a quoted part that starts here: behind the closing quote, or the end of the text.
  private func endOfQuote(from start: Int) -> Int {
    var i = start + 1
    while i < text.upper, text.bytes[i] != UInt8(ascii: "\"") { i += text.bytes[i] == UInt8(ascii: "\\") ? 2 : 1 }
    return min(i + 1, text.upper)
  }

  private func endOfValue(from start: Int, inParentheses: Bool) -> Int {
    var i = start
    var depth = 0
    while i < text.upper {
      let byte = text.bytes[i]
      if byte == UInt8(ascii: "\"") {
        i = endOfQuote(from: i)
        continue
      }
      if depth == 0, inParentheses ? byte == UInt8(ascii: ")") : KeyValueReader.isSeparator(byte) { return i }
      if byte == UInt8(ascii: "(") { depth += 1 }
      if byte == UInt8(ascii: ")"), depth > 0 { depth -= 1 }
      i += 1
    }
    return text.upper
  }

  mutating func next() throws(FlowTextError) -> KeyValue? {
    while position < text.upper, KeyValueReader.isSeparator(text.bytes[position]) { position += 1 }
    guard position < text.upper else { return nil }
    let start = position
    var i = text.bytes[start] == UInt8(ascii: "\"") ? endOfQuote(from: start) : start
    var delimiter: UInt8 = 0
    while i < text.upper, !KeyValueReader.isSeparator(text.bytes[i]) {
      let byte = text.bytes[i]
      if byte == UInt8(ascii: "=") || byte == UInt8(ascii: ":") || byte == UInt8(ascii: "(") {
        delimiter = byte
        break
      }
      i += 1
    }
    let key = text.from(start, to: i)
    guard delimiter != 0 else {
      position = i
      return KeyValue(key: key, value: text.from(i, to: i), delimiter: 0, destination: nil)
    }
    let inParentheses = delimiter == UInt8(ascii: "(")
    let end = endOfValue(from: i + 1, inParentheses: inParentheses)
    let value = text.from(i + 1, to: end)
    position = end
    var destination: TextSlice?
    if inParentheses {
      guard end < text.upper else {
        throw FlowTextError(at: i, "this parenthesis is not closed", remedy: "add \")\"")
      }
      position = end + 1
      if text.from(position, to: text.upper).hasPrefix("->") {
        let stop = endOfValue(from: position + 2, inParentheses: false)
        destination = text.from(position + 2, to: stop)
        position = stop
      }
    }
    return KeyValue(key: key, value: value, delimiter: delimiter, destination: destination)
  }
}
