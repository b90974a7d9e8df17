// Rows changed: set, add, remove, clear, create and destroy of ovs-vsctl(8), "Database Commands".

import ArgumentParser
import OVSDB

/// A record that may be missing if the user said so.
private func row(
  _ record: String, _ table: TableSchema, _ ifExists: Bool, _ workspace: Workspace
) throws(CommandFault) -> Row? {
  ifExists ? try workspace.findRecord(record, in: table) : try workspace.record(record, in: table)
}

struct SetCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "set", abstract: "Set columns, or keys of columns, of one row.")

  @Flag(help: "Do nothing if the record does not exist.") var ifExists = false
  @Argument(completion: NameCompletion.table) var table: String
  @Argument var record: String
  @Argument(help: ArgumentHelp(valueName: "column[:key]=value")) var settings: [String]

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs {
    let table = try schema.table(matching: table)
    var written: [String] = []
    for setting in settings { written.append(try ColumnArgument.column(of: setting, in: table).name) }
    return .written(table, columns: written)
  }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let table = try workspace.schema.table(matching: table)
    guard let row = try vsctl.row(record, table, ifExists, workspace) else { return .none }
    for setting in settings {
      try Self.apply(setting, to: row.uuid, in: table, workspace)
      workspace.noteChange(of: try ColumnArgument.assignment(setting, in: table).column.name, in: table.name)
    }
    return .none
  }

  /// What one `column[:key]=value` asks for.
  enum Content {
    case pair(Atom, Atom)
    case whole(Datum)
  }

  private static func parse(
    _ setting: String, in table: TableSchema, _ allowingReadOnly: Bool, _ symbols: inout SymbolTable
  ) throws(CommandFault) -> (ColumnSchema, Content) {
    let assignment = try ColumnArgument.assignment(setting, in: table)
    let column = allowingReadOnly ? assignment.column : try table.writableColumn(matching: assignment.column.name)
    do throws(CommandFault) {
      if let key = try assignment.keyAtom(for: "set", symbols: &symbols), let base = column.type.value {
        return (column, .pair(key, try DatumParser.atom(assignment.value, base, symbols: &symbols)))
      }
      return (column, .whole(try DatumParser.datum(assignment.value, column.type, symbols: &symbols)))
    } catch {
      throw CommandFault(
        "\(setting): \(error.cause)", remedy: error.remedy, reference: error.reference ?? error.cause)
    }
  }

  /// Finds what is wrong with a setting before anything is changed.
  static func check(_ setting: String, in table: TableSchema) throws(CommandFault) {
    var symbols = SymbolTable()
    _ = try parse(setting, in: table, false, &symbols)
  }

  /// Does one `column[:key]=value`. The caller says if bridges may have changed by it.
  static func apply(
    _ setting: String, to uuid: RowUUID, in table: TableSchema, allowingReadOnly: Bool = false, _ workspace: Workspace
  ) throws(CommandFault) {
    let (column, content) = try parse(setting, in: table, allowingReadOnly, &workspace.symbols)
    switch content {
    case .pair(let key, let value): workspace.merge(table.name, uuid, column.name, adding: Datum(map: [(key, value)]))
    case .whole(let datum): workspace.set(table.name, uuid, column.name, to: datum)
    }
  }
}

struct AddCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "add", abstract: "Add values to a column of one row.")

  @Flag(help: "Do nothing if the record does not exist.") var ifExists = false
  @Argument(completion: NameCompletion.table) var table: String
  @Argument var record: String
  @Argument var column: String
  @Argument(help: ArgumentHelp(valueName: "[key=]value")) var values: [String]

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs {
    let table = try schema.table(matching: table)
    return .written(table, columns: [try table.column(matching: column).name])
  }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let table = try workspace.schema.table(matching: table)
    guard let row = try vsctl.row(record, table, ifExists, workspace) else { return .none }
    let column = try table.writableColumn(matching: column)
    var type = column.type
    type.countMinimum = 1
    type.countMaximum = .max
    var all: [Datum] = []
    for value in values { all.append(try DatumParser.datum(value, type, symbols: &workspace.symbols)) }
    let count = all.reduce(row[column.name], Workspace.union).count
    guard count <= column.type.countMaximum else {
      throw CommandFault(
        "\"add\" operation would put \(count) values in column \(column.name) of table \(table.name) but the maximum "
          + "number is \(column.type.countMaximum)",
        remedy: "replace what is there: set \(table.name) \(record) \(column.name)=…",
        reference: Self.refusal(count, column.type))
    }
    for datum in all { workspace.merge(table.name, row.uuid, column.name, adding: datum) }
    workspace.noteChange(of: column.name, in: table.name)
    return .none
  }

  /// ovs-vsctl leaves it to the server to refuse.
  private static func refusal(_ count: Int, _ type: ColumnType) -> String {
    let error: JSONValue = [
      "error": "constraint violation",
      "details": .string("Attempted to store \(count) elements in \(type.english)."),
    ]
    return "transaction error: \(error.serialized())"
  }
}

struct RemoveCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "remove", abstract: "Remove values, or keys, from a column of one row.")

  @Flag(help: "Do nothing if the record does not exist.") var ifExists = false
  @Argument(completion: NameCompletion.table) var table: String
  @Argument var record: String
  @Argument var column: String
  @Argument(help: ArgumentHelp("A value; of a map a key, or key=value.", valueName: "value")) var values: [String]

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs {
    let table = try schema.table(matching: table)
    return .written(table, columns: [try table.column(matching: column).name])
  }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let table = try workspace.schema.table(matching: table)
    guard let row = try vsctl.row(record, table, ifExists, workspace) else { return .none }
    let column = try table.writableColumn(matching: column)
    var type = column.type
    type.countMinimum = 1
    type.countMaximum = .max
    for value in values {
      let isPair = type.isMap ? try Self.isPair(value) : false
      if type.isMap && !isPair { type.value = nil }
      let datum = try DatumParser.datum(value, type, symbols: &workspace.symbols)
      type.value = column.type.value
      workspace.remove(table.name, row.uuid, column.name) { key, found in
        isPair ? datum.value(for: key) == found : datum.contains(key)
      }
    }
    let count = workspace.row(table.name, row.uuid)?[column.name].count ?? 0
    guard count >= column.type.countMinimum else {
      throw CommandFault(
        "\"remove\" operation would put \(count) values in column \(column.name) of table \(table.name) but the minimum "
          + "number is \(column.type.countMinimum)", remedy: "use set to give it another value")
    }
    workspace.noteChange(of: column.name, in: table.name)
    return .none
  }

  /// Whether the first element is `key=value`.
  private static func isPair(_ text: String) throws(CommandFault) -> Bool {
    var reader = TokenReader(text)
    reader.skipSpaces()
    _ = reader.accept("{")
    reader.skipSpaces()
    _ = try reader.word()
    reader.skipSpaces()
    return reader.accept("=")
  }
}

struct ClearCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "clear", abstract: "Make columns of one row empty.")

  @Flag(help: "Do nothing if the record does not exist.") var ifExists = false
  @Argument(completion: NameCompletion.table) var table: String
  @Argument var record: String
  @Argument var columns: [String]

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs {
    let table = try schema.table(matching: table)
    var written: [String] = []
    for column in columns { written.append(try table.column(matching: column).name) }
    return .written(table, columns: written)
  }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let table = try workspace.schema.table(matching: table)
    guard let row = try vsctl.row(record, table, ifExists, workspace) else { return .none }
    for word in columns {
      let column = try table.writableColumn(matching: word)
      guard column.type.countMinimum == 0 else {
        throw CommandFault(
          "\"clear\" operation cannot be applied to column \(column.name) of table \(table.name), which is not allowed to be empty",
          remedy: "use set to give it another value")
      }
      workspace.set(table.name, row.uuid, column.name, to: column.type.isMap ? .emptyMap : .empty)
      workspace.noteChange(of: column.name, in: table.name)
    }
    return .none
  }
}

struct CreateCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "create", abstract: "Make a row and print its UUID.",
    discussion: "Rows of most tables live only while another row refers to them: name the row with --id.")

  @Option(
    help: ArgumentHelp("Name the row for other commands of the line, or choose its UUID.", valueName: "@name|uuid"))
  var id: String?
  @Argument(completion: NameCompletion.table) var table: String
  @Argument(help: ArgumentHelp(valueName: "column[:key]=value")) var settings: [String]

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs {
    let table = try schema.table(matching: table)
    var written: [String] = []
    for setting in settings { written.append(try ColumnArgument.column(of: setting, in: table).name) }
    return .written(table, columns: written)
  }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let table = try workspace.schema.table(matching: table)
    var wanted: RowUUID?
    if let chosen = id.flatMap({ RowUUID($0) }) {
      wanted = chosen
      workspace.chosenUUIDs.insert(chosen)
    } else if let id {
      wanted = try workspace.symbols.define(id, isRoot: table.isRoot)
    } else if !table.isRoot {
      workspace.warn(
        "db_ctl_base", "applying \"create\" command to table \(table.name) without --id option will have no effect")
    }
    let uuid = workspace.insert(table, uuid: wanted)
    for setting in settings { try SetCommand.apply(setting, to: uuid, in: table, allowingReadOnly: true, workspace) }
    workspace.noteChange(of: nil, in: table.name)
    return .line(uuid.description)
  }
}

struct DestroyCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "destroy", abstract: "Delete rows of a table whose rows don't go by themselves, such as QoS.")

  @Flag(help: "Pass over records that don't exist.") var ifExists = false
  @Flag(help: "Delete all rows of the table.") var all = false
  @Argument(completion: NameCompletion.table) var table: String
  @Argument var records: [String] = []

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs {
    .table(try schema.table(matching: table), columns: [])
  }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let table = try workspace.schema.table(matching: table)
    if all && !records.isEmpty {
      throw CommandFault("--all and records argument should not be specified together", remedy: "leave out one of them")
    }
    if all && ifExists {
      throw CommandFault("--all and --if-exists should not be specified together", remedy: "leave out one of them")
    }
    var rows = all ? workspace.rows(table.name) : []
    for record in records { if let row = try vsctl.row(record, table, ifExists, workspace) { rows.append(row) } }
    for row in rows { workspace.delete(table.name, row.uuid) }
    workspace.noteChange(of: nil, in: table.name)
    return .none
  }
}
