// Columns as they are declared, with the Swift type that their content is read and written as. A table's declaration
// is made of these, and `row[OpenVSwitch.Port.tag]` is an `Int64?`: a misspelt name or a wrong type does not compile.
// Pure values.

/// A column: its declaration, and the type of its content in Swift.
package struct Column<Value: ColumnContent>: ColumnDeclaration {
  package let schema: ColumnSchema

  package var name: String { schema.name }

  /// - Parameters:
  ///   - ephemeral: not kept over a restart.
  ///   - mutable: false: set at insert and never changed.
  ///   - documentation: one line for people, without a full stop at its end.
  package init(
    _ name: String, _ kind: ColumnKind<Value>, ephemeral: Bool = false, mutable: Bool = true,
    documentation: String = ""
  ) {
    schema = ColumnSchema(
      name, kind.type, ephemeral: ephemeral, mutable: mutable, documentation: documentation)
  }
}

/// A column whose content may be of any type.
package protocol ColumnDeclaration: Sendable {
  var schema: ColumnSchema { get }
}

/// A table that is declared in Swift.
package protocol TableDeclaration {
  static var schema: TableSchema { get }
}

/// A column type (RFC 7047 §3.2, <type>) whose content is read as `Value`.
package struct ColumnKind<Value: ColumnContent>: Sendable {
  let type: ColumnType
}

extension ColumnKind where Value: AtomContent {
  package static func one(_ base: AtomKind<Value>) -> Self { Self(type: .one(base.type)) }
}

extension ColumnKind {
  package static func optional<Element>(_ base: AtomKind<Element>) -> Self where Value == Element? {
    Self(type: .optional(base.type))
  }

  package static func set<Element>(
    _ base: AtomKind<Element>, from minimum: Int = 0, upTo maximum: Int = .max
  ) -> Self where Value == [Element] {
    Self(type: .set(base.type, from: minimum, upTo: maximum))
  }

  package static func map<Key, Element>(
    _ key: AtomKind<Key>, _ value: AtomKind<Element>
  ) -> Self where Value == [Key: Element] {
    Self(type: .map(key.type, value.type))
  }
}

extension ColumnKind<[String: String]> {
  /// The map of other_config, external_ids, status and their like.
  package static var stringMap: Self { .map(.string, .string) }
}

/// An atomic type with its constraints whose values are read as `Value`.
package struct AtomKind<Value: AtomContent>: Sendable {
  let type: BaseType
}

extension AtomKind<Int64> {
  package static var integer: Self { Self(type: .integer) }
  package static func integer(_ range: ClosedRange<Int64>) -> Self { Self(type: .integer(range)) }
  package static func integer(_ range: PartialRangeFrom<Int64>) -> Self { Self(type: .integer(range)) }
}

extension AtomKind<Bool> {
  package static var boolean: Self { Self(type: .boolean) }
}

extension AtomKind<String> {
  package static var string: Self { Self(type: .string) }
  /// One of these strings.
  package static func choice(_ values: String...) -> Self { Self(type: .choice(values)) }
}

extension AtomKind<RowUUID> {
  package static var uuid: Self { Self(type: .uuid) }
  /// A row of that table, which can't go while it is named here.
  package static func reference(_ table: String) -> Self { Self(type: .reference(table)) }
  /// A row of that table; drops out of the column when that row goes.
  package static func weakReference(_ table: String) -> Self { Self(type: .weakReference(table)) }
}
