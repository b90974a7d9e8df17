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

struct ListCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "Print the rows of a table, or those named.")

  @Flag(help: "Pass over records that don't exist.") var ifExists = false
  @Option(help: ArgumentHelp("Columns to print.", valueName: "column,...")) var columns: String?
  @Argument(completion: NameCompletion.table) var table: String
  @Argument var records: [String] = []

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs {
    let table = try schema.table(matching: table)
    _ = try vsctl.columns(columns, of: table)
    return .table(table)
  }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let table = try workspace.schema.table(matching: table)
    let columns = try vsctl.columns(columns, of: table)
    guard !records.isEmpty else { return ResultTable(columns, workspace.rows(table.name)).output }
    var rows: [Row] = []
    for record in records {
      if ifExists {
        if let row = try workspace.findRecord(record, in: table) { rows.append(row) }
      } else {
        rows.append(try workspace.record(record, in: table))
      }
    }
    return ResultTable(columns, rows).output
  }
}

struct FindCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "find", abstract: "Print the rows of a table that satisfy all conditions.",
    discussion: "Operators: = != < > <= >=, and for sets {=} {!=} {<} {>} {<=} {>=} {in} {not-in}.")

  @Option(help: ArgumentHelp("Columns to print.", valueName: "column,...")) var columns: String?
  @Argument(completion: NameCompletion.table) var table: String
  @Argument(help: ArgumentHelp(valueName: "column[:key]=value")) var conditions: [String] = []

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs {
    let table = try schema.table(matching: table)
    _ = try vsctl.columns(columns, of: table)
    for condition in conditions { _ = try ColumnArgument.condition(condition, in: table) }
    return .table(table)
  }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let table = try workspace.schema.table(matching: table)
    let columns = try vsctl.columns(columns, of: table)
    var rows = workspace.rows(table.name)
    for text in conditions {
      let condition = try ColumnArgument.condition(text, in: table)
      // Checked even if there is no row to check it on.
      _ = try condition.isSatisfied(by: Row(table, uuid: .zero), symbols: &workspace.symbols)
      var satisfying: [Row] = []
      for row in rows where try condition.isSatisfied(by: row, symbols: &workspace.symbols) { satisfying.append(row) }
      rows = satisfying
    }
    return ResultTable(columns, rows).output
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

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs {
    let table = try schema.table(matching: table)
    for column in columns { _ = try ColumnArgument.path(column, in: table) }
    return .table(table)
  }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
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
