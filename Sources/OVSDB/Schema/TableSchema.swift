// Tables and databases as declared (RFC 7047 §3.2). Immutable after creation and shared by all rows, monitors and
// snapshots, hence a class for tables; deterministic order of columns, by declaration.

/// A column's declaration.
package struct ColumnSchema: Sendable {
  package let name: String
  package let type: ColumnType
  /// Not kept over a restart: status, statistics and what else the switch itself knows.
  package let isEphemeral: Bool
  /// False: set at insert and never changed.
  package let isMutable: Bool
  /// `type.defaultValue`, made once.
  package let defaultValue: Datum
  /// One line for people; empty where nothing is said.
  package let documentation: String

  package init(
    _ name: String, _ type: ColumnType, ephemeral: Bool = false, mutable: Bool = true, documentation: String = ""
  ) {
    self.name = name
    self.type = type
    self.documentation = documentation
    isEphemeral = ephemeral
    isMutable = mutable
    defaultValue = type.defaultValue
  }
}

extension ColumnSchema: Equatable {
  /// The documentation does not count: schemas that come over the wire have none.
  package static func == (a: ColumnSchema, b: ColumnSchema) -> Bool {
    a.name == b.name && a.type == b.type && a.isEphemeral == b.isEphemeral && a.isMutable == b.isMutable
  }
}

/// A table's declaration.
package final class TableSchema: Sendable {
  package let name: String
  /// One line for people; empty where nothing is said.
  package let documentation: String
  /// Without `_uuid` and `_version`, which every row has.
  package let columns: [ColumnSchema]
  /// Rows live without being referenced.
  package let isRoot: Bool
  package let rowLimit: Int?
  /// Sets of columns whose combined content is unique in the table.
  package let indexes: [[String]]
  package let columnIndexes: [String: Int]
  /// A new row's columns.
  package let defaults: [Datum]
  /// Indexes of the columns that hold references.
  let referringColumns: [Int]
  /// Tables whose rows are named weakly from here.
  let weakTargets: Set<String>

  package init(
    _ name: String, isRoot: Bool = false, rowLimit: Int? = nil, indexes: [[String]] = [], documentation: String = "",
    columns: [ColumnSchema]
  ) {
    self.name = name
    self.documentation = documentation
    self.columns = columns
    self.isRoot = isRoot
    self.rowLimit = rowLimit
    self.indexes = indexes
    columnIndexes = Dictionary(
      columns.enumerated().map { ($0.element.name, $0.offset) }, uniquingKeysWith: { first, _ in first })
    defaults = columns.map(\.defaultValue)
    referringColumns = columns.indices.filter {
      columns[$0].type.key.referencedTable != nil || columns[$0].type.value?.referencedTable != nil
    }
    weakTargets = Set(columns.flatMap { [$0.type.key.weakTable, $0.type.value?.weakTable].compactMap(\.self) })
  }

  /// A table made of columns with types in Swift.
  package convenience init(
    _ name: String, isRoot: Bool = false, rowLimit: Int? = nil, indexes: [[String]] = [], documentation: String = "",
    columns: [any ColumnDeclaration]
  ) {
    self.init(
      name, isRoot: isRoot, rowLimit: rowLimit, indexes: indexes, documentation: documentation,
      columns: columns.map(\.schema))
  }

  /// The same table with more columns.
  package func with(_ more: [any ColumnDeclaration]) -> TableSchema {
    if more.isEmpty { return self }
    return TableSchema(
      name, isRoot: isRoot, rowLimit: rowLimit, indexes: indexes, documentation: documentation,
      columns: columns + more.map(\.schema))
  }

  /// The column of that name; nil if there is none (`_uuid` and `_version` are not declared).
  package func column(_ name: String) -> ColumnSchema? { columnIndexes[name].map { columns[$0] } }
}

extension TableSchema: Equatable {
  package static func == (a: TableSchema, b: TableSchema) -> Bool {
    func sorted(_ table: TableSchema) -> [ColumnSchema] { table.columns.sorted { $0.name < $1.name } }
    return a === b
      || a.name == b.name && a.isRoot == b.isRoot && a.rowLimit == b.rowLimit && a.indexes == b.indexes
        && sorted(a) == sorted(b)
  }
}

/// A database's declaration.
package struct DatabaseSchema: Equatable, Sendable {
  package let name: String
  package let version: String
  /// As in the schema file, free text; nil if absent.
  package let checksum: String?
  package let tables: [String: TableSchema]
  /// No table is declared a root: then every table is one (RFC 7047 §3.2).
  package let everyTableIsRoot: Bool

  package init(_ name: String, version: String, checksum: String? = nil, tables: [TableSchema]) {
    self.name = name
    self.version = version
    self.checksum = checksum
    self.tables = Dictionary(tables.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    everyTableIsRoot = !tables.contains(where: \.isRoot)
  }

  package func table(_ name: String) -> TableSchema? { tables[name] }

  /// Whether rows of the table live without being referenced.
  package func isRoot(_ table: TableSchema) -> Bool { everyTableIsRoot || table.isRoot }
}
