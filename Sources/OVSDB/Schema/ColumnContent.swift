// Swift types for the contents of columns: atoms as themselves, optional columns as optionals, sets as sorted arrays,
// maps as dictionaries. Reading never fails: rows of a server whose schema has another type in a column read as the
// default (0, "", empty).

/// What a column's content is in Swift.
package protocol ColumnContent: Sendable {
  init(datum: Datum)
  var datum: Datum { get }
}

/// What one atom is in Swift.
package protocol AtomContent: ColumnContent, Hashable {
  /// Nil for an atom of another type.
  init?(atom: Atom)
  var atom: Atom { get }
  /// What a column holds that nobody set.
  static var unset: Self { get }
}

extension AtomContent {
  package init(datum: Datum) { self = datum.scalar.flatMap(Self.init(atom:)) ?? Self.unset }
  package var datum: Datum { Datum(atom) }
}

extension Int64: AtomContent {
  package init?(atom: Atom) { if let value = atom.integer { self = value } else { return nil } }
  package var atom: Atom { .integer(self) }
  package static var unset: Int64 { 0 }
}

extension Bool: AtomContent {
  package init?(atom: Atom) { if let value = atom.boolean { self = value } else { return nil } }
  package var atom: Atom { .boolean(self) }
  package static var unset: Bool { false }
}

extension String: AtomContent {
  package init?(atom: Atom) { if let value = atom.string { self = value } else { return nil } }
  package var atom: Atom { .string(self) }
  package static var unset: String { "" }
}

extension RowUUID: AtomContent {
  package init?(atom: Atom) { if let value = atom.uuid { self = value } else { return nil } }
  package var atom: Atom { .uuid(self) }
  package static var unset: RowUUID { .zero }
}

extension Optional: ColumnContent where Wrapped: AtomContent {
  package init(datum: Datum) { self = datum.scalar.flatMap(Wrapped.init(atom:)) }
  package var datum: Datum { map { Datum($0.atom) } ?? .empty }
}

extension Array: ColumnContent where Element: AtomContent {
  /// In order; elements of another type are left out.
  package init(datum: Datum) { self = datum.isMap ? [] : datum.atoms.compactMap(Element.init(atom:)) }
  package var datum: Datum { Datum(set: map(\.atom)) }
}

extension Dictionary: ColumnContent where Key: AtomContent, Value: AtomContent {
  package init(datum: Datum) {
    self.init(minimumCapacity: datum.count)
    for (key, value) in datum.pairs {
      if let key = Key(atom: key), let value = Value(atom: value) { self[key] = value }
    }
  }
  package var datum: Datum { Datum(map: map { ($0.key.atom, $0.value.atom) }) }
}

extension Row {
  /// The content of a declared column.
  package subscript<Value>(column: Column<Value>) -> Value {
    get { Value(datum: self[column.name]) }
    set { self[column.name] = newValue.datum }
  }
}

/// Contents for some columns of a row, to be written: `contents[OpenVSwitch.Interface.mtu] = 1500`.
package struct ColumnContents: Sendable, Equatable {
  /// By name of the column.
  package private(set) var columns: [String: Datum] = [:]

  package init() {}

  /// Nil: not to be written.
  package subscript<Value>(column: Column<Value>) -> Value? {
    get { columns[column.name].map(Value.init(datum:)) }
    set { columns[column.name] = newValue?.datum }
  }

  /// What of it differs from a row.
  package func differing(from row: Row) -> [String: Datum] { columns.filter { row[$0.key] != $0.value } }
}
