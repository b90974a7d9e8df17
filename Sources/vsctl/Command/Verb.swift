// What a command is. Each verb is an ArgumentParser command, for its parsing, its help and its completion, that runs on
// a workspace of the database or over the control socket; the chain is run by Session.

import ArgumentParser
import OVSDB

/// Columns of tables that a command reads.
struct Needs: Equatable {
  /// All columns where the set is nil.
  private(set) var tables: [String: Set<String>?] = [:]

  init() {}

  init(_ table: String, _ columns: [String]?) { add(table, columns) }

  mutating func add(_ table: String, _ columns: [String]?) {
    switch tables[table] {
    case .none: tables[table] = .some(columns.map { Set($0) })
    case .some(.none): break
    case .some(.some(let old)): tables[table] = .some(columns.map { old.union($0) })
    }
  }

  mutating func add(_ other: Needs) {
    for (table, columns) in other.tables { add(table, columns.map { Array($0) }) }
  }

  /// What bridges, ports and interfaces are known by.
  static let bridges: Needs = {
    var needs = Needs("Open_vSwitch", ["bridges", "next_cfg", "cur_cfg", "iface_types"])
    needs.add("Bridge", ["name", "ports", "external_ids", "fail_mode", "controller"])
    needs.add("Port", ["name", "interfaces", "tag", "fake_bridge", "external_ids"])
    needs.add("Interface", ["name", "type", "ofport", "error"])
    return needs
  }()

  /// A whole table, and what its rows may be called by.
  static func table(_ table: TableSchema) -> Needs {
    var needs = Needs(table.name, nil)
    for name in Workspace.recordNames(of: table.name) {
      if case .holder(let holders, let column) = name { needs.add(holders, ["name", column]) }
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
  /// Other than 0: the line ends here, nothing is changed.
  var exitCode: Int32 = 0

  static let none = CommandOutput()

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
  /// What it reads, beyond `Needs.bridges`.
  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs
  /// Runs on the workspace; commands before it on the line have.
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput
}

extension Verb {
  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs { Needs() }
}

/// A command on the running switch: one call on its control socket.
protocol ControlVerb: ParsableCommand {
  func request() throws(CommandFault) -> ControlRequest
  /// What to print for the result.
  func output(_ result: JSONValue) throws(CommandFault) -> CommandOutput
}

struct ControlRequest: Equatable {
  var method: String
  var parameters: [String]
}
