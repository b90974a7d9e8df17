// What a column may hold (RFC 7047 §3.2, <base-type> and <type>), and the check of a datum against it.

/// An atomic type with its constraints.
package struct BaseType: Equatable, Sendable {
  package enum ReferenceStrength: String, Sendable { case strong, weak }

  package var type: AtomicType
  /// Allowed values; nil for any. Never empty.
  package var allowed: Datum?
  package var integerMinimum: Int64?
  package var integerMaximum: Int64?
  package var realMinimum: Double?
  package var realMaximum: Double?
  /// In characters.
  package var lengthMinimum: Int?
  package var lengthMaximum: Int?
  /// For UUIDs: the table of the row that is named.
  package var referencedTable: String?
  package var referenceStrength = ReferenceStrength.strong

  package init(_ type: AtomicType) { self.type = type }

  package static let integer = BaseType(.integer)
  package static let real = BaseType(.real)
  package static let boolean = BaseType(.boolean)
  package static let string = BaseType(.string)
  package static let uuid = BaseType(.uuid)

  package static func integer(_ range: ClosedRange<Int64>) -> BaseType {
    var base = BaseType(.integer)
    base.integerMinimum = range.lowerBound
    base.integerMaximum = range.upperBound
    return base
  }

  package static func integer(_ range: PartialRangeFrom<Int64>) -> BaseType {
    var base = BaseType(.integer)
    base.integerMinimum = range.lowerBound
    return base
  }

  /// One of these strings.
  package static func choice(_ values: [String]) -> BaseType {
    var base = BaseType(.string)
    base.allowed = .strings(values)
    return base
  }

  /// The UUID of a row of that table, which can't go while it is named here.
  package static func reference(_ table: String) -> BaseType {
    var base = BaseType(.uuid)
    base.referencedTable = table
    return base
  }

  /// The UUID of a row of that table; drops out of the column when that row goes.
  package static func weakReference(_ table: String) -> BaseType {
    var base = reference(table)
    base.referenceStrength = .weak
    return base
  }
}

/// The type of a column: atom, optional, set or map.
package struct ColumnType: Equatable, Sendable {
  package var key: BaseType
  /// The type of a map's values; nil for anything but a map.
  package var value: BaseType?
  /// Fewest elements: 0 or 1.
  package var countMinimum: Int
  /// Most elements; `Int.max` for unlimited.
  package var countMaximum: Int

  package init(key: BaseType, value: BaseType? = nil, countMinimum: Int = 1, countMaximum: Int = 1) {
    self.key = key
    self.value = value
    self.countMinimum = countMinimum
    self.countMaximum = countMaximum
  }

  package static let integer = ColumnType(key: .integer)
  package static let real = ColumnType(key: .real)
  package static let boolean = ColumnType(key: .boolean)
  package static let string = ColumnType(key: .string)
  package static let uuid = ColumnType(key: .uuid)
  /// The map of other_config, external_ids, status and their like.
  package static let stringMap = map(.string, .string)

  package static func one(_ base: BaseType) -> ColumnType { ColumnType(key: base) }
  package static func optional(_ base: BaseType) -> ColumnType { ColumnType(key: base, countMinimum: 0) }
  package static func set(_ base: BaseType, from minimum: Int = 0, upTo maximum: Int = .max) -> ColumnType {
    ColumnType(key: base, countMinimum: minimum, countMaximum: maximum)
  }
  package static func map(_ key: BaseType, _ value: BaseType) -> ColumnType {
    ColumnType(key: key, value: value, countMinimum: 0, countMaximum: .max)
  }

  package var isMap: Bool { value != nil }
  /// Exactly one atom.
  package var isScalar: Bool { value == nil && countMinimum == 1 && countMaximum == 1 }
  /// One atom or none.
  package var isOptional: Bool { value == nil && countMinimum == 0 && countMaximum == 1 }

  /// What a row holds that nobody set (RFC 7047 §5.2.1).
  package var defaultValue: Datum {
    if countMinimum == 0 { return isMap ? .emptyMap : .empty }
    if let value { return Datum(map: [(.defaultValue(of: key.type), .defaultValue(of: value.type))]) }
    return Datum(.defaultValue(of: key.type))
  }
}
