// Values as text, byte for byte as `ovs-vsctl` prints them, and as plain JSON. Pure.

import OVSDB

enum DatumFormat {
  /// The simple format of `--data=string`: sets in [], maps in {}, strings quoted where they need it.
  static func string(_ datum: Datum, _ type: ColumnType) -> String {
    if type.isMap {
      return "{" + datum.pairs.map { "\(string($0.key))=\(string($0.value))" }.joined(separator: ", ") + "}"
    }
    let text = datum.atoms.map { string($0) }.joined(separator: ", ")
    return type.countMaximum > 1 || datum.isEmpty ? "[\(text)]" : text
  }

  /// The format of `--data=bare`: no punctuation, no quotes.
  static func bare(_ datum: Datum, _ type: ColumnType) -> String {
    if type.isMap { return datum.pairs.map { "\(bare($0.key))=\(bare($0.value))" }.joined(separator: " ") }
    return datum.atoms.map(bare).joined(separator: " ")
  }

  static func string(_ atom: Atom) -> String {
    if case .string(let text) = atom, needsQuotes(text) { return JSONValue.string(text).serialized() }
    return bare(atom)
  }

  static func bare(_ atom: Atom) -> String {
    switch atom {
    case .integer(let value): String(value)
    case .real(let value): real(value)
    case .boolean(let value): value ? "true" : "false"
    case .string(let value): value
    case .uuid(let value): value.description
    }
  }

  /// Without ".0", as C's %g.
  private static func real(_ value: Double) -> String {
    if let integer = Int64(exactly: value), abs(value) < 1e15 { return String(integer) }
    return value.description
  }

  /// Whether a string must be quoted to be read back as the same string.
  static func needsQuotes(_ text: String) -> Bool {
    var bytes = text.utf8.makeIterator()
    func isLetter(_ byte: UInt8) -> Bool { (65...90).contains(byte) || (97...122).contains(byte) }
    func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) }
    guard let first = bytes.next(), isLetter(first) || first == UInt8(ascii: "_") else { return true }
    while let byte = bytes.next() {
      guard isLetter(byte) || isDigit(byte) || "_-.".utf8.contains(byte) else { return true }
    }
    return text == "true" || text == "false" || RowUUID(text) != nil
  }

  /// Plain JSON for programs: a set is an array, an optional value itself or null, a map an object, a UUID a string.
  static func json(_ datum: Datum, _ type: ColumnType) -> JSONValue {
    if type.isMap {
      return .object(
        Dictionary(datum.pairs.map { (bare($0.key), json($0.value)) }, uniquingKeysWith: { _, last in last }))
    }
    if type.countMaximum > 1 { return .array(datum.atoms.map(json)) }
    return datum.atoms.first.map(json) ?? .null
  }

  static func json(_ atom: Atom) -> JSONValue {
    if case .uuid(let value) = atom { .string(value.description) } else { atom.json }
  }
}
