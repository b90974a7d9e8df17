// The arguments `column[:key]`, `column[:key]=value` and `column[:key]{>=}value` of the database commands. Pure.

import OVSDB

/// How `find` compares.
enum RelationalOperator: String, CaseIterable {
  case equal = "="
  case notEqual = "!="
  case less = "<"
  case greater = ">"
  case lessOrEqual = "<="
  case greaterOrEqual = ">="
  case setEqual = "{=}"
  case setNotEqual = "{!=}"
  case properSubset = "{<}"
  case properSuperset = "{>}"
  case subset = "{<=}"
  case superset = "{>=}"
  case isIn = "{in}"
  case notIn = "{not-in}"

  var comparesSets: Bool { rawValue.hasPrefix("{") }
}

/// A column, perhaps with a key, and what follows.
struct ColumnArgument {
  var column: ColumnSchema
  var key: String?
  var relation = RelationalOperator.equal
  /// As written, after the operator.
  var value = ""

  /// The column that an argument begins with; what follows is looked at when it is used.
  static func column(of text: String, in table: TableSchema) throws(CommandFault) -> ColumnSchema {
    var reader = TokenReader(text)
    return try head(&reader, in: table).column
  }

  /// `column[:key]` and nothing more.
  static func path(_ text: String, in table: TableSchema) throws(CommandFault) -> ColumnArgument {
    var reader = TokenReader(text)
    let argument = try head(&reader, in: table)
    guard reader.isAtEnd else {
      throw CommandFault(
        "\(text): trailing garbage \"\(reader.rest)\" in argument", remedy: "write column or column:key")
    }
    return argument
  }

  /// `column[:key]=value`.
  static func assignment(_ text: String, in table: TableSchema) throws(CommandFault) -> ColumnArgument {
    try operation(text, in: table, [.equal], wanted: "column=value or column:key=value")
  }

  /// `column[:key]` OPERATOR `value`.
  static func condition(_ text: String, in table: TableSchema) throws(CommandFault) -> ColumnArgument {
    try operation(
      text, in: table, RelationalOperator.allCases,
      wanted: "column=value; other operators: != < > <= >= {=} {!=} {<} {>} {<=} {>=} {in} {not-in}")
  }

  private static func operation(
    _ text: String, in table: TableSchema, _ allowed: [RelationalOperator], wanted: String
  ) throws(CommandFault) -> ColumnArgument {
    var reader = TokenReader(text)
    var argument = try head(&reader, in: table)
    let rest = reader.rest
    let found = allowed.filter { rest.hasPrefix($0.rawValue) }.max { $0.rawValue.utf8.count < $1.rawValue.utf8.count }
    guard let found, rest.utf8.count > found.rawValue.utf8.count else {
      let operators = allowed.map { "\"\($0.rawValue)\"" }
      let list =
        operators.count == 1
        ? operators[0] : operators.dropLast().joined(separator: ", ") + ", or \(operators.last ?? "")"
      let cause = "\(text): argument does not end in \(list) followed by a value"
      throw CommandFault(
        cause, remedy: "write \(wanted) ('\"\"' is the empty string, [] the empty set)", reference: cause + ".")
    }
    argument.relation = found
    argument.value = String(rest.dropFirst(found.rawValue.count))
    return argument
  }

  private static func head(_ reader: inout TokenReader, in table: TableSchema) throws(CommandFault) -> ColumnArgument {
    let name = try reader.word()
    guard !name.isEmpty else {
      throw CommandFault("\(reader.text): missing column name", remedy: "begin with a column of \(table.name)")
    }
    let column = try table.readableColumn(matching: name)
    guard reader.accept(":") else { return ColumnArgument(column: column) }
    let key = try reader.word()
    return ColumnArgument(column: column, key: key)
  }

  /// The key as an atom of the map's key type.
  /// - Parameter purpose: "set", "get" or "check".
  func keyAtom(for purpose: String, symbols: inout SymbolTable) throws(CommandFault) -> Atom? {
    guard let key else { return nil }
    guard column.type.isMap else {
      throw CommandFault(
        "cannot specify key to \(purpose) for non-map column \(column.name)",
        remedy: "write \(column.name) without :\(key)")
    }
    return try DatumParser.atom(key, column.type.key, symbols: &symbols)
  }
}
