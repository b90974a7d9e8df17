// What a command is. Each verb is an ArgumentParser command, for its parsing, its help and its completion, that runs on
// a workspace of the database or over the control socket; the chain is run by Session.

import ArgumentParser
import OVSDB

/// Columns of tables that a command reads.
struct Needs: Equatable {
  /// All columns where the set is nil.
  private(set) var tables: [String: Set<String>?] = [:]
  /// Those of them that a database of another schema may lack: it has no rows of them then.
  private(set) var optionalTables: Set<String> = []

  init() {}

  init(_ table: String, _ columns: [String]?) { add(table, columns) }

  mutating func add(_ table: String, _ columns: [String]?) {
    merge(table, columns)
    optionalTables.remove(table)
  }

  /// Adds what is read where the database has it.
  mutating func addIfPresent(_ table: String, _ columns: [String]?) {
    if tables[table] == nil { optionalTables.insert(table) }
    merge(table, columns)
  }

  private mutating func merge(_ table: String, _ columns: [String]?) {
    switch tables[table] {
    case .none: tables[table] = .some(columns.map { Set($0) })
    case .some(.none): break
    case .some(.some(let old)): tables[table] = .some(columns.map { old.union($0) })
    }
  }

  mutating func add(_ other: Needs) {
    for (table, columns) in other.tables {
      let columns = columns.map { Array($0) }
      if other.optionalTables.contains(table) { addIfPresent(table, columns) } else { add(table, columns) }
    }
  }

  /// What every command line reads.
  static let root = Needs("Open_vSwitch", ["cur_cfg"])

  /// What bridges and ports are known by.
  static let bridges: Needs = {
    var needs = Needs("Open_vSwitch", ["bridges"])
    needs.add("Bridge", ["name", "ports"])
    needs.add("Port", ["name", "tag", "fake_bridge"])
    return needs
  }()

  /// What bridges, ports and interfaces are known by.
  static let interfaces: Needs = {
    var needs = bridges
    needs.add("Port", ["interfaces"])
    needs.add("Interface", ["name"])
    return needs
  }()

  /// The same, and what the switch says of interfaces that are added or changed.
  static let newInterfaces: Needs = {
    var needs = interfaces
    needs.add("Interface", ["ofport", "error"])
    return needs
  }()

  /// Columns of a table (all if nil), and what its rows may be called by.
  static func table(_ table: TableSchema, columns: [String]?) -> Needs {
    var needs = Needs(table.name, columns)
    for name in Workspace.recordNames(of: table.name) {
      switch name {
      case .column(let column): needs.add(table.name, [column])
      case .holder(let holders, let holderName, let column):
        needs.add(holders, [holderName, column].compactMap(\.self))
      case .only: break
      }
    }
    return needs
  }

  /// As `table`, for a command that writes these columns.
  static func written(_ table: TableSchema, columns: [String]) -> Needs {
    var needs = Needs.table(table, columns: columns)
    if table.name == "Interface" {
      needs.add("Interface", ["name", "ofport", "error"])
      if columns.contains("type") { needs.add("Open_vSwitch", ["iface_types"]) }
    }
    // What the switch says of them.
    if table.name == "Port", columns.contains("secgroup") || columns.contains("port_security") {
      needs.add("Port", ["name", "error"])
    }
    return needs
  }
}

/// What a command prints.
struct CommandOutput {
  enum Body {
    case nothing
    case text(String)
    case table(ResultTable)
  }

  var body = Body.nothing
  /// For `--json`; nil prints nothing.
  var json: JSONValue?
  /// Other than 0: the line ends here, nothing is printed or changed.
  var exitCode: Int32 = 0
  /// The line is to be run again when the database has changed.
  var waits = false

  static let none = CommandOutput()
  static let waiting = CommandOutput(waits: true)

  /// Names, one a line.
  static func names(_ names: [String]) -> CommandOutput {
    CommandOutput(
      body: .text(names.map { TextSafety.escaped($0) + "\n" }.joined()), json: .array(names.map(JSONValue.string)))
  }

  static func line(_ text: String, json: JSONValue? = nil) -> CommandOutput {
    CommandOutput(body: .text(TextSafety.escaped(text) + "\n"), json: json ?? .string(text))
  }
}

/// A command on the database.
protocol Verb: ParsableCommand {
  /// May change the database.
  var mayWrite: Bool { get }
  /// What it reads.
  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs
  /// Runs on the workspace; commands before it on the line have.
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput
}

extension Verb {
  var mayWrite: Bool { true }
  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { .bridges }
}

/// A command that asks nobody.
protocol StandaloneVerb: ParsableCommand {
  func output() throws(CommandFault) -> CommandOutput
}

/// A command on the running switch: one call on its control socket.
protocol ControlVerb: ParsableCommand {
  func request() throws(CommandFault) -> ControlRequest
  /// What to print for the result.
  func output(_ result: JSONValue) throws(CommandFault) -> CommandOutput
  /// What to say for the daemon's refusal.
  func fault(_ text: String) -> CommandFault
}

extension ControlVerb {
  func fault(_ text: String) -> CommandFault { CommandFault(text, exitCode: 2) }
}

/// A command that goes on: it asks for what is new again and again, until it has all that it wants or is interrupted.
protocol FollowingVerb: ParsableCommand {
  /// - Parameter next: of the last answer; nil for the first question.
  func request(after next: Int64?) -> ControlRequest
  /// What to print of an answer.
  func output(_ result: JSONValue) -> CommandOutput
  /// Whether so many things that were printed are enough.
  func isEnough(_ count: Int) -> Bool
  /// What was printed of an answer.
  func count(_ result: JSONValue) -> Int
}

struct ControlRequest: Equatable {
  var method: String
  var parameters: [String]
}
