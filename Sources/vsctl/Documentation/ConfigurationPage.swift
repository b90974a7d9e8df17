// Docs/configuration.md from the schema and its documentation. Pure.

import OVSDB

enum ConfigurationPage {
  private static let introduction = """
    <!-- Generated: `vsctl document > Docs/configuration.md`. Edit Sources/OVSDB/Documentation. -->
    # Configuration

    The switch is configured by the database of Open vSwitch, schema 8.3.1: the tables and columns of
    ovs-vswitchd.conf.db(5), and what is said here. Values are written as in ovs-vsctl(8). `vsctl help TABLE` and
    `vsctl help TABLE COLUMN` print the same.

    | acts | means |
    |---|---|
    | yes | the switch brings itself to what the column says |
    | status | the switch or its database writes it |
    | kept | for other programs; the switch does not look at it |
    | no | means something to Open vSwitch, and may be written, but has no effect here yet |

    """

  static func text(_ schema: DatabaseSchema) -> String {
    introduction
      + SchemaDocumentation.tables.compactMap { table in
        schema.table(table.name).map { section(table, $0) }
      }.joined()
  }

  private static func section(_ table: TableDocumentation, _ schema: TableSchema) -> String {
    var text = "\n## \(table.name)\n\(table.text)\n\n| column | type | acts | |\n|---|---|---|---|\n"
    for column in table.columns {
      guard let declared = schema.column(column.name) else { continue }
      text += "| `\(column.name)` | \(cell(TypeText.of(declared))) | \(column.effect.title) | \(cell(column.text)) |\n"
      for key in column.keys { text += "| `\(column.name):\(key.name)` | | yes | \(cell(key.text)) |\n" }
    }
    return text
  }

  private static func cell(_ text: String) -> String {
    text.map { $0 == "|" ? "\\|" : $0 == "<" ? "&lt;" : String($0) }.joined()
  }
}

/// A column's type in words.
enum TypeText {
  static func of(_ column: ColumnSchema) -> String {
    let type = column.type
    var text = base(type.key)
    if let value = type.value {
      text = "map of \(text) to \(base(value))"
    } else if type.isOptional {
      text = "optional \(text)"
    } else if !type.isScalar {
      let count = type.countMaximum == .max ? "" : " of up to \(type.countMaximum)"
      text = "set\(count) of \(text)"
    }
    if !column.isMutable { text += ", set at creation" }
    if column.isEphemeral { text += ", not kept over a restart of the database" }
    return text
  }

  private static func base(_ base: BaseType) -> String {
    if let table = base.referencedTable { return base.referenceStrength == .weak ? "\(table) (weak)" : table }
    if let allowed = base.allowed { return allowed.atoms.map(DatumFormat.bare).joined(separator: " or ") }
    switch (base.integerMinimum, base.integerMaximum) {
    case (let low?, let high?): return "integer \(low) to \(high)"
    case (let low?, nil): return "integer from \(low)"
    case (nil, let high?): return "integer up to \(high)"
    case (nil, nil): return base.type.rawValue
    }
  }
}
