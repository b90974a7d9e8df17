// `vsctl help TABLE` and `vsctl help TABLE COLUMN`. Pure.

import OVSDB

enum HelpTopic {
  /// The words after "help", if they name a table and not a verb.
  static func words(_ question: [String]) -> [String]? {
    guard question.first == "help", question.count > 1 else { return nil }
    let words = Array(question.dropFirst())
    // "port" is a group of verbs; with a column behind it, a table.
    let isGroup = words.count == 1 && VerbTable.all.contains { $0.configuration.commandName == words[0] }
    let isVerb = VerbTable.byName[words[0]] != nil || VerbTable.byName[words.prefix(2).joined(separator: " ")] != nil
    if isGroup || isVerb { return nil }
    return words
  }

  static func text(_ words: [String]) throws(CommandFault) -> String {
    guard words.count <= 2 else {
      throw CommandFault("help takes at most a table and a column", remedy: "write vsctl help \(words[0]) \(words[1])")
    }
    let schema: TableSchema
    do throws(CommandFault) {
      schema = try DatabaseSchema.openVSwitch.table(matching: words[0])
    } catch {
      throw CommandFault(
        "there is no help about \"\(words[0])\"",
        remedy: Suggestion.nearest(
          to: words[0], among: Array(VerbTable.byName.keys) + DatabaseSchema.openVSwitch.tables.keys
        ).map { "did you mean \($0)?" } ?? "see vsctl --help, or name a table: \(tableNames)")
    }
    guard words.count == 2 else { return table(schema) }
    let column = try schema.column(matching: words[1])
    guard let documentation = SchemaDocumentation.table(schema.name)?.column(column.name) else { return "" }
    var text = "\(schema.name) \(column.name): \(TypeText.of(column))\n\(documentation.text)\n"
    text += effect(documentation.effect) + "\n"
    for key in documentation.keys { text += "  \(column.name):\(key.name)\n    \(key.text)\n" }
    return text
  }

  private static var tableNames: String { SchemaDocumentation.tables.map(\.name).joined(separator: ", ") }

  private static func table(_ schema: TableSchema) -> String {
    guard let documentation = SchemaDocumentation.table(schema.name) else { return "" }
    let rows = documentation.columns.map { column in
      [column.name, column.effect.title, schema.column(column.name).map(TypeText.of) ?? ""]
    }
    return "\(documentation.name): \(documentation.text)\n\n"
      + AlignedTable(headings: ["column", "acts", "type"], rows: rows, separator: "  ", trimsLineEnds: true).text
      + "\nvsctl help \(schema.name) COLUMN says more.\n"
  }

  private static func effect(_ effect: ColumnEffect) -> String {
    switch effect {
    case .configuration: "The switch acts on it."
    case .status: "Status: written by the switch or its database."
    case .kept: "Kept for other programs: the switch does not look at it."
    case .ignored: "It has no effect in this switch yet."
    }
  }
}
