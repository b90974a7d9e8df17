// A part of the text that a parser reads, which knows where it lies: errors point at the character.

/// Bytes `lower ..< upper` of a text. Copies share the text.
struct TextSlice: Sendable {
  let bytes: [UInt8]
  let lower: Int
  let upper: Int

  init(_ text: String) {
    bytes = Array(text.utf8)
    lower = 0
    upper = bytes.count
  }

  /// - Parameter range: within the bytes of `whole`; cut to them.
  init(of whole: TextSlice, _ range: Range<Int>) {
    bytes = whole.bytes
    lower = min(max(range.lowerBound, 0), whole.bytes.count)
    upper = min(max(range.upperBound, lower), whole.bytes.count)
  }

  var isEmpty: Bool { lower >= upper }
  var count: Int { upper - lower }
  var string: String { String(decoding: bytes[lower..<upper], as: UTF8.self) }
  var first: UInt8? { isEmpty ? nil : bytes[lower] }

  /// Whether the slice is exactly this text.
  func equals(_ text: StaticString) -> Bool {
    guard text.utf8CodeUnitCount == count else { return false }
    return hasPrefix(text)
  }

  func hasPrefix(_ text: StaticString) -> Bool {
    guard text.utf8CodeUnitCount <= count else { return false }
    return text.withUTF8Buffer { buffer in
      for i in 0..<buffer.count where unsafe buffer[i] != bytes[lower + i] { return false }
      return true
    }
  }

  func dropFirst(_ n: Int) -> TextSlice { TextSlice(of: self, min(lower + n, upper)..<upper) }
  func dropLast(_ n: Int) -> TextSlice { TextSlice(of: self, lower..<max(lower, upper - n)) }
  func from(_ start: Int, to end: Int) -> TextSlice { TextSlice(of: self, start..<end) }

  /// Without spaces, tabs and line ends at both ends.
  var trimmed: TextSlice {
    var a = lower
    var b = upper
    while a < b, TextSlice.isSpace(bytes[a]) { a += 1 }
    while b > a, TextSlice.isSpace(bytes[b - 1]) { b -= 1 }
    return from(a, to: b)
  }

  static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0d || byte == 0x0a }

  /// Index in `bytes` of the first such byte.
  func firstIndex(of byte: UInt8) -> Int? {
    var i = lower
    while i < upper {
      if bytes[i] == byte { return i }
      i += 1
    }
    return nil
  }

  func lastIndex(of byte: UInt8) -> Int? {
    var i = upper
    while i > lower {
      i -= 1
      if bytes[i] == byte { return i }
    }
    return nil
  }

  /// Index in `bytes` where the text first occurs.
  func firstIndex(of text: StaticString) -> Int? {
    var i = lower
    while i + text.utf8CodeUnitCount <= upper {
      if from(i, to: upper).hasPrefix(text) { return i }
      i += 1
    }
    return nil
  }

  /// What lies before and behind the first such byte; nil if there is none.
  func split(at byte: UInt8) -> (TextSlice, TextSlice)? {
    firstIndex(of: byte).map { (from(lower, to: $0), from($0 + 1, to: upper)) }
  }

  func split(at text: StaticString) -> (TextSlice, TextSlice)? {
    firstIndex(of: text).map { (from(lower, to: $0), from($0 + text.utf8CodeUnitCount, to: upper)) }
  }

  /// The parts between commas and spaces, empty ones left out.
  func list() -> [TextSlice] {
    var parts: [TextSlice] = []
    var start = lower
    for i in lower...upper where i == upper || bytes[i] == UInt8(ascii: ",") || TextSlice.isSpace(bytes[i]) {
      if i > start { parts.append(from(start, to: i)) }
      start = i + 1
    }
    return parts
  }

  func error(_ cause: String, remedy: String) -> FlowTextError { FlowTextError(at: lower, cause, remedy: remedy) }

  /// The slice for a message: cut to a length that stays in one line.
  var quoted: String {
    let shown = count > 60 ? from(lower, to: lower + 57).string + "..." : string
    return "\"" + shown.map { $0.isNewline ? " " : String($0) }.joined() + "\""
  }
}
