// The whole configuration at a glance, byte for byte as `ovs-vsctl show`, its beginning and its reset.

import ArgumentParser
import OVSDB

struct InitializeCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "init", abstract: "Make the database's root row if it is missing; any command does.")

  func needs(_ schema: DatabaseSchema) -> Needs { .root }
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput { .none }
}

struct EmergencyResetCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "emer-reset",
    abstract: "Take away controllers, managers, TLS, mirrors, flow export, policing and other_config.",
    discussion: "Bridges, ports and their VLANs stay, and other_config:hwaddr of bridges.")

  /// Columns that become empty (0 where they hold a number).
  private static let columns: [String: [String]] = [
    "Bridge": [
      "controller", "fail_mode", "mirrors", "netflow", "sflow", "ipfix", "flood_vlans", "other_config",
    ],
    "Port": ["other_config"],
    "Interface": ["ingress_policing_rate", "ingress_policing_burst"],
    "Open_vSwitch": ["manager_options", "ssl"],
  ]
  private static let emptied = [
    "Mirror", "Controller", "Manager", "NetFlow", "SSL", "sFlow", "IPFIX", "Flow_Sample_Collector_Set",
  ]

  func needs(_ schema: DatabaseSchema) -> Needs {
    var needs = Needs()
    for (table, columns) in Self.columns { needs.add(table, table == "Open_vSwitch" ? columns : columns + ["name"]) }
    for table in Self.emptied { needs.add(table, []) }
    return needs
  }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    for (name, columns) in Self.columns.sorted(by: { $0.key < $1.key }) {
      guard let table = workspace.table(name) else { continue }
      for row in workspace.rows(name) {
        for column in columns {
          let kept = name == "Bridge" && column == "other_config" ? row[column]["hwaddr"] : nil
          let value = kept.map { Datum(map: [(.string("hwaddr"), $0)]) } ?? table.column(column)?.defaultValue
          if let value { workspace.set(name, row.uuid, column, to: value) }
        }
      }
    }
    for table in Self.emptied { for row in workspace.rows(table) { workspace.delete(table, row.uuid) } }
    return .none
  }
}

struct ShowCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Print bridges, their ports and what is wrong with them.")

  /// What is shown of a table's rows, in this order.
  private static let columns: [String: [String]] = [
    "Open_vSwitch": ["manager_options", "bridges", "ovs_version"],
    "Bridge": ["controller", "fail_mode", "datapath_type", "ports"],
    "Port": ["tag", "trunks", "interfaces"],
    "Interface": ["type", "options", "bfd_status", "error"],
    "Controller": ["is_connected"],
    "Manager": ["is_connected"],
  ]
  private static let nameColumns = [
    "Bridge": "name", "Port": "name", "Interface": "name", "Controller": "target", "Manager": "target",
  ]

  var mayWrite: Bool { false }
  func needs(_ schema: DatabaseSchema) -> Needs {
    var needs = Needs()
    for (table, columns) in Self.columns { needs.add(table, columns + [Self.nameColumns[table]].compactMap { $0 }) }
    return needs
  }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    guard let root = workspace.rootRow else { return .none }
    var text = ""
    Self.show(root, level: 0, workspace, into: &text)
    var json = Self.json(root, workspace)
    json["_uuid"] = .string(root.uuid.description)
    return CommandOutput(body: .text(text), json: .object(json))
  }

  /// The rows that a column names, if their table is one of those shown.
  private static func referenced(_ row: Row, _ column: ColumnSchema, _ workspace: Workspace) -> [Row]? {
    guard let table = column.type.key.referencedTable, columns[table] != nil else { return nil }
    return row[column.name].uuids.compactMap { workspace.row(table, $0) }
  }

  private static func show(_ row: Row, level: Int, _ workspace: Workspace, into text: inout String) {
    text += String(repeating: " ", count: 4 * level)
    if let name = nameColumns[row.table.name] {
      text += "\(row.table.name) \(DatumFormat.string(.string(row[name].string ?? "")))\n"
    } else {
      text += "\(row.uuid)\n"
    }
    for name in columns[row.table.name] ?? [] {
      guard let column = row.table.column(name) else { continue }
      if let rows = referenced(row, column, workspace) {
        for row in rows { show(row, level: level + 1, workspace, into: &text) }
      } else if row[name] != column.defaultValue {
        text += String(repeating: " ", count: 4 * (level + 1))
        text += "\(name): \(DatumFormat.string(row[name], column.type))\n"
      }
    }
  }

  /// The same as nested objects, all columns present, lists in order of names.
  private static func json(_ row: Row, _ workspace: Workspace) -> [String: JSONValue] {
    var members: [String: JSONValue] = [:]
    if let name = nameColumns[row.table.name] { members[name] = .string(row[name].string ?? "") }
    for name in columns[row.table.name] ?? [] {
      guard let column = row.table.column(name) else { continue }
      if let rows = referenced(row, column, workspace) {
        let sorted = rows.sorted { Atom.precedes($0.name, $1.name) }
        members[name] = .array(sorted.map { .object(json($0, workspace)) })
      } else {
        members[name] = DatumFormat.json(row[name], column.type)
      }
    }
    return members
  }
}
