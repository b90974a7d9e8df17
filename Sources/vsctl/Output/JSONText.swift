// Cells of tables from a daemon's JSON, and arguments for it. Pure. What another process says is escaped.

import OVSDB

enum JSONText {
  /// A scalar as text; "" for null and for what is missing.
  static func cell(_ value: JSONValue?) -> String {
    switch value {
    case .string(let text): TextSafety.oneLine(text)
    case .integer(let number): String(number)
    case .real(let number): String(number)
    case .boolean(let flag): flag ? "yes" : "no"
    case .none, .null: ""
    case .array, .object: TextSafety.oneLine(value?.serialized() ?? "")
    }
  }

  /// The sum of an object's numbers.
  static func sum(_ value: JSONValue?) -> String {
    let numbers = (value?.object ?? [:]).values.compactMap(\.integer)
    return String(numbers.reduce(0) { $0.addingReportingOverflow($1).overflow ? .max : $0 + $1 })
  }
}

extension JSONValue {
  /// Over several lines as Open vSwitch's programs indent it: two blanks a level, closing brackets behind the last
  /// element.
  func prettyPrinted(level: Int = 0) -> String {
    let indent = "\n" + String(repeating: " ", count: 2 * (level + 1))
    switch self {
    case .array(let elements) where !elements.isEmpty:
      return "[" + elements.map { indent + $0.prettyPrinted(level: level + 1) }.joined(separator: ",") + "]"
    case .object(let members) where !members.isEmpty:
      let sorted = members.sorted { Atom.precedes($0.key, $1.key) }
      return "{"
        + sorted.map {
          indent + "\(JSONValue.string($0.key).serialized()): \($0.value.prettyPrinted(level: level + 1))"
        }
        .joined(separator: ",") + "}"
    default: return serialized()
    }
  }
}

extension CommandOutput {
  static func table(_ headings: [String], _ rows: [[String]], rightAligned: Set<Int> = []) -> CommandOutput {
    CommandOutput(
      body: .text(
        AlignedTable(headings: headings, rows: rows, rightAligned: rightAligned, separator: "  ", trimsLineEnds: true)
          .text))
  }
}

enum VLANText {
  static func check(_ text: String) throws(CommandFault) -> String {
    if let id = Int(text), (0...4095).contains(id) { return String(id) }
    throw CommandFault("\(text) is no VLAN", remedy: "give a number from 0 to 4095")
  }
}

enum MACText {
  static func check(_ text: String) throws(CommandFault) -> String {
    let bytes = text.split(separator: ":", omittingEmptySubsequences: false)
    if bytes.count == 6, bytes.allSatisfy({ (1...2).contains($0.utf8.count) && UInt8($0, radix: 16) != nil }) {
      return text.lowercased()
    }
    throw CommandFault("\(text) is no MAC address", remedy: "write six bytes in hexadecimal, 52:54:00:12:34:56")
  }
}
