// Tables and columns by what users write: any case, - for _, unique beginnings. Pure.

import OVSDB

extension DatabaseSchema {
  /// The table that a word names.
  func table(matching word: String) throws(CommandFault) -> TableSchema {
    let names = tables.keys.sorted()
    switch NameMatch(word, in: names) {
    case .one(let name): if let table = tables[name] { return table }
    case .several(let found):
      // What is short enough for Open vSwitch's tables stays so beside ours.
      let stock = found.filter { DatabaseSchema.stockOpenVSwitch.tables[$0] != nil }
      if stock.count == 1, let table = tables[stock[0]] { return table }
      throw CommandFault(
        "\"\(word)\" matches multiple table names: \(found.joined(separator: ", "))",
        remedy: "write more of the name")
    case .none: break
    }
    throw CommandFault(
      "unknown table \"\(word)\"", remedy: Suggestion.remedy(for: word, among: names, listedAs: "tables"))
  }
}

extension TableSchema {
  /// The declared column that a word names.
  func column(matching word: String) throws(CommandFault) -> ColumnSchema {
    let names = columns.map(\.name).sorted()
    switch NameMatch(word, in: names) {
    case .one(let name): if let column = column(name) { return column }
    case .several(let found):
      // As for tables.
      let stock = found.filter { !isAdditional($0) }
      if stock.count == 1, let column = column(stock[0]) { return column }
      throw CommandFault(
        "\(name) contains more than one column whose name matches \"\(word)\": \(found.joined(separator: ", "))",
        remedy: "write more of the name")
    case .none: break
    }
    throw CommandFault(
      "\(name) does not contain a column whose name matches \"\(word)\"",
      remedy: Suggestion.remedy(for: word, among: names, listedAs: "columns"))
  }

  /// Whether a column is this switch's own in one of Open vSwitch's tables.
  func isAdditional(_ column: String) -> Bool {
    guard column != "_uuid", let stock = DatabaseSchema.stockOpenVSwitch.table(name) else { return false }
    return stock.column(column) == nil
  }

  /// As `column(matching:)`, and `_uuid`.
  func readableColumn(matching word: String) throws(CommandFault) -> ColumnSchema {
    let folded = word.lowercased()
    return folded == "_uuid" || folded == "-uuid" ? Self.uuidColumn : try column(matching: word)
  }

  /// As `column(matching:)`, refused if rows can't be changed in it.
  func writableColumn(matching word: String) throws(CommandFault) -> ColumnSchema {
    let column = try column(matching: word)
    guard column.isMutable else {
      throw CommandFault(
        "cannot modify read-only column \(column.name) in table \(name)",
        remedy: "delete what has the old \(column.name) and add it anew")
    }
    return column
  }

  static let uuidColumn = ColumnSchema("_uuid", .uuid, mutable: false)
}

/// Which of some names a word means.
enum NameMatch: Equatable {
  case none
  case one(String)
  case several([String])

  init(_ word: String, in names: [String]) {
    func folded(_ text: String) -> String { String(text.lowercased().map { $0 == "-" ? "_" : $0 }) }
    let word = folded(word)
    if let exact = names.first(where: { folded($0) == word }) {
      self = .one(exact)
      return
    }
    let found = word.isEmpty ? [] : names.filter { folded($0).hasPrefix(word) }
    self = found.isEmpty ? .none : found.count == 1 ? .one(found[0]) : .several(found)
  }
}
