// Words of Open vSwitch's value syntax: bare up to a delimiter, or a JSON string in double quotes. Pure; positions are
// indexes into the bytes of one argument.

import OVSDB

/// Reads words and delimiters from one argument.
struct TokenReader {
  let text: String
  private let bytes: [UInt8]
  private(set) var position = 0

  init(_ text: String) {
    self.text = text
    bytes = Array(text.utf8)
  }

  var next: UInt8? { position < bytes.count ? bytes[position] : nil }
  var isAtEnd: Bool { position == bytes.count }
  /// What has not been read yet.
  var rest: String { String(decoding: bytes[position...], as: UTF8.self) }

  static func isDelimiter(_ byte: UInt8) -> Bool { ":=, []{}!<>".utf8.contains(byte) }

  mutating func skip(_ count: Int = 1) { position = min(position + count, bytes.count) }

  mutating func skipSpaces() {
    while let byte = next, byte == UInt8(ascii: " ") || (9...13).contains(byte) { position += 1 }
  }

  /// Reads a delimiter if it is next.
  mutating func accept(_ character: Character) -> Bool {
    guard let byte = character.asciiValue, next == byte else { return false }
    position += 1
    return true
  }

  /// Reads a word as it stands, a quoted one with its quotes; empty if a delimiter or the end is next.
  mutating func word() throws(CommandFault) -> String {
    guard next == UInt8(ascii: "\"") else {
      let start = position
      while let byte = next, !Self.isDelimiter(byte) { position += 1 }
      return String(decoding: bytes[start..<position], as: UTF8.self)
    }
    let start = position
    position += 1
    while let byte = next {
      position += byte == UInt8(ascii: "\\") ? 2 : 1
      if byte == UInt8(ascii: "\"") { return String(decoding: bytes[start..<position], as: UTF8.self) }
    }
    throw CommandFault(
      "\(text): missing quote at end of quoted string", remedy: "close the string with \"",
      reference: "\(text): quoted string extends past end of argument")
  }

  /// The content of a whole JSON string, quotes included.
  static func unquoted(_ text: String) throws(CommandFault) -> String {
    do {
      if let string = try JSONValue.parse(text).string { return string }
    } catch {}
    throw CommandFault(
      "\(text) is not a valid quoted string",
      remedy: "write it as a JSON string, \"…\" with \\\" and \\\\ inside", reference: badEscape(in: text))
  }

  /// ovs-vsctl's complaint about an escape that JSON has not; nil if there is none.
  private static func badEscape(in text: String) -> String? {
    var rest = text[...]
    while let backslash = rest.firstIndex(of: "\\") {
      let next = rest.index(after: backslash)
      guard next < rest.endIndex else { return nil }
      if !"\"\\/bfnrtu".contains(rest[next]) { return "\(text): bad escape \\\(rest[next])" }
      rest = rest[rest.index(after: next)...]
    }
    return nil
  }
}
