// Rows as they are: list, find and get of ovs-vsctl(8), "Database Commands".

import ArgumentParser
import OVSDB

/// The columns that `--columns` names; all in order of their names, `_uuid` first, without it.
private func columns(_ text: String?, of table: TableSchema) throws(CommandFault) -> [ColumnSchema] {
  guard let text else { return [TableSchema.uuidColumn] + table.columns.sorted { $0.name < $1.name } }
  var chosen: [ColumnSchema] = []
  for word in text.split(whereSeparator: { $0 == "," || $0 == " " }) {
    chosen.append(try table.readableColumn(matching: String(word)))
  }
  guard !chosen.isEmpty else {
    throw CommandFault("must specify at least one column name", remedy: "write --columns=name,…")
  }
  return chosen
}

/// The rows with these columns. Where nobody named columns, those that Open vSwitch's table has not are shown once a row has
/// something in them.
private func table(_ columns: [ColumnSchema], _ rows: [Row], of table: TableSchema, areNamed: Bool) -> ResultTable {
  if areNamed { return ResultTable(columns, rows) }
  return ResultTable(
    columns.filter { column in
      !table.isAdditional(column.name) || rows.contains { $0[column.name] != column.defaultValue }
    }, rows)
}

struct ListCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "Print the rows of a table, or those named.")

  @Flag(help: "Pass over records that don't exist.") var ifExists = false
  @Option(help: ArgumentHelp("Columns to print.", valueName: "column,...")) var columns: String?
  @Argument(completion: NameCompletion.table) var table: String
  @Argument var records: [String] = []

  var mayWrite: Bool { false }
  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs {
    let table = try schema.table(matching: table)
    let chosen = try vsctl.columns(columns, of: table)
    return .table(table, columns: columns == nil ? nil : chosen.map(\.name).filter { $0 != "_uuid" })
  }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let table = try workspace.schema.table(matching: table)
    let columns = try vsctl.columns(columns, of: table)
    let areNamed = self.columns != nil
    guard !records.isEmpty else {
      return vsctl.table(columns, workspace.rows(table.name), of: table, areNamed: areNamed).output
    }
    var rows: [Row] = []
    for record in records {
      if ifExists {
        if let row = try workspace.findRecord(record, in: table) { rows.append(row) }
      } else {
        rows.append(try workspace.record(record, in: table))
      }
    }
    return vsctl.table(columns, rows, of: table, areNamed: areNamed).output
  }
}

struct FindCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "find", abstract: "Print the rows of a table that satisfy all conditions.",
    discussion: "Operators: = != < > <= >=, and for sets {=} {!=} {<} {>} {<=} {>=} {in} {not-in}.")

  @Option(help: ArgumentHelp("Columns to print.", valueName: "column,...")) var columns: String?
  @Argument(completion: NameCompletion.table) var table: String
  @Argument(help: ArgumentHelp(valueName: "column[:key]=value")) var conditions: [String] = []

  var mayWrite: Bool { false }
  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs {
    let table = try schema.table(matching: table)
    var read = try vsctl.columns(columns, of: table).map(\.name)
    for condition in conditions { read.append(try ColumnArgument.column(of: condition, in: table).name) }
    return .table(table, columns: columns == nil ? nil : read.filter { $0 != "_uuid" })
  }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let table = try workspace.schema.table(matching: table)
    let columns = try vsctl.columns(columns, of: table)
    var rows = workspace.rows(table.name)
    // As ovs-vsctl: what there is no row for is not looked at.
    for text in conditions where !rows.isEmpty {
      let condition = try ColumnArgument.condition(text, in: table)
      var satisfying: [Row] = []
      for row in rows where try condition.isSatisfied(by: row, symbols: &workspace.symbols) { satisfying.append(row) }
      rows = satisfying
    }
    return vsctl.table(columns, rows, of: table, areNamed: self.columns != nil).output
  }
}

struct GetCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "get", abstract: "Print the content of columns of one row, one a line.")

  @Flag(help: "Print nothing for a record, an empty line for a key, that does not exist.") var ifExists = false
  @Option(help: ArgumentHelp("Name the row for other commands of the line.", valueName: "@name")) var id: String?
  @Argument(completion: NameCompletion.table) var table: String
  @Argument var record: String
  @Argument(help: ArgumentHelp(valueName: "column[:key]")) var columns: [String] = []

  var mayWrite: Bool { false }
  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs {
    let table = try schema.table(matching: table)
    var read: [String] = []
    for column in columns { read.append(try ColumnArgument.column(of: column, in: table).name) }
    return .table(table, columns: read.filter { $0 != "_uuid" })
  }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    if ifExists && id != nil {
      throw CommandFault("--if-exists and --id may not be specified together", remedy: "leave out one of them")
    }
    let table = try workspace.schema.table(matching: table)
    guard let row = ifExists ? try workspace.findRecord(record, in: table) : try workspace.record(record, in: table)
    else { return CommandOutput(json: .null) }
    if let id { _ = try workspace.symbols.define(id, as: row.uuid) }
    var lines: [String] = []
    var members: [String: JSONValue] = [:]
    for text in columns {
      let path = try ColumnArgument.path(text, in: table)
      guard let key = try path.keyAtom(for: "get", symbols: &workspace.symbols) else {
        lines.append(DatumFormat.string(row[path.column.name], path.column.type))
        members[path.column.name] = DatumFormat.json(row[path.column.name], path.column.type)
        continue
      }
      let value = row[path.column.name].value(for: key)
      if value == nil && !ifExists {
        throw CommandFault(
          "no key \"\(path.key ?? "")\" in \(table.name) record \"\(record)\" column \(path.column.name)",
          remedy: Suggestion.remedy(
            for: path.key ?? "", among: row[path.column.name].strings, listedAs: "keys"))
      }
      lines.append(value.map(DatumFormat.string) ?? "")
      members["\(path.column.name):\(DatumFormat.bare(key))"] = value.map { DatumFormat.json($0) } ?? .null
    }
    return CommandOutput(body: .text(lines.map { $0 + "\n" }.joined()), json: .object(members))
  }
}

struct WaitUntilCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "wait-until", abstract: "Wait until a row exists and satisfies all conditions.",
    discussion: "For example: vsctl --timeout=10 wait-until interface p1 'ofport!=[]' -- get interface p1 ofport")

  @Argument(completion: NameCompletion.table) var table: String
  @Argument var record: String
  @Argument(help: ArgumentHelp(valueName: "column[:key]=value")) var conditions: [String] = []

  var mayWrite: Bool { false }
  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs {
    let table = try schema.table(matching: table)
    var read: [String] = []
    for condition in conditions { read.append(try ColumnArgument.column(of: condition, in: table).name) }
    return .table(table, columns: read.filter { $0 != "_uuid" })
  }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let table = try workspace.schema.table(matching: table)
    guard let row = try workspace.findRecord(record, in: table) else { return .waiting }
    for text in conditions {
      let condition = try ColumnArgument.condition(text, in: table)
      guard try condition.isSatisfied(by: row, symbols: &workspace.symbols) else { return .waiting }
    }
    return .none
  }
}

struct CommentCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "comment", abstract: "Do nothing; the database's log has the whole command line.")

  @Argument var words: [String] = []

  var mayWrite: Bool { false }
  func needs(_ schema: DatabaseSchema) -> Needs { .root }
  func run(on workspace: Workspace) -> CommandOutput { .none }
}
