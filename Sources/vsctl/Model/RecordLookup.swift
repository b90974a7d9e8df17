// Which row a `record` argument means: a UUID or its first digits, a name, "." for the only row of Open_vSwitch, or for
// rows without a name that of the row which holds them (ovs-vsctl(8), "Identifying Tables, Records, and Columns").

import OVSDB

extension Workspace {
  /// How rows of a table are called besides their UUIDs.
  enum RecordName {
    case column(String)
    /// The name of the row of another table whose column names this row.
    case holder(table: String, column: String)
    case only
  }

  static func recordNames(of table: String) -> [RecordName] {
    switch table {
    case "Open_vSwitch", "SSL": [.only]
    case "Manager": [.column("target")]
    case "Controller": [.column("target"), .holder(table: "Bridge", column: "controller")]
    case "NetFlow": [.holder(table: "Bridge", column: "netflow")]
    case "sFlow": [.holder(table: "Bridge", column: "sflow")]
    case "IPFIX": [.holder(table: "Bridge", column: "ipfix")]
    case "AutoAttach": [.holder(table: "Bridge", column: "auto_attach")]
    case "QoS": [.holder(table: "Port", column: "qos")]
    default: [.column("name")]
    }
  }

  /// The row that a word means.
  /// - Throws: if there is none or more than one.
  func record(_ word: String, in table: TableSchema) throws(CommandFault) -> Row {
    if let row = try findRecord(word, in: table) { return row }
    let known = rows(table.name).map(\.name).filter { !$0.isEmpty }
    throw CommandFault(
      "no row \"\(word)\" in table \(table.name)",
      remedy: known.isEmpty
        ? "see \"vsctl list \(table.name)\"" : Suggestion.remedy(for: word, among: known, listedAs: "rows"))
  }

  /// The row that a word means; nil if there is none.
  func findRecord(_ word: String, in table: TableSchema) throws(CommandFault) -> Row? {
    if let uuid = RowUUID(word) { return row(table.name, uuid) }
    if word.hasPrefix("@"), let symbol = symbols.symbols[word] { return row(table.name, symbol.uuid) }
    // Bridges, ports and interfaces in use are at hand by name.
    switch table.name {
    case "Port": if let port = bridges.ports[word] { return row("Port", port.uuid) }
    case "Interface": if let interface = bridges.interfaces[word] { return row("Interface", interface.uuid) }
    default: break
    }
    for name in Self.recordNames(of: table.name) {
      let found = matches(word, name, in: table)
      if found.count > 1 {
        throw CommandFault("multiple rows in \(table.name) match \"\(word)\"", remedy: "name the row by its UUID")
      }
      if let row = found.first { return row }
    }
    guard word.utf8.count >= 4, word.allSatisfy({ $0.isHexDigit || $0 == "-" }) else { return nil }
    let found = unorderedRows(table.name).filter { $0.uuid.description.hasPrefix(word.lowercased()) }
    return found.count == 1 ? found.first : nil
  }

  private func matches(_ word: String, _ name: RecordName, in table: TableSchema) -> [Row] {
    switch name {
    case .only: return word == "." ? rows(table.name) : []
    case .column(let column):
      guard table.column(column) != nil else { return [] }
      return unorderedRows(table.name).filter { $0[column].string == word }
    case .holder(let holders, let column):
      return rows(holders).filter { $0.name == word }.flatMap { $0[column].uuids }.compactMap { row(table.name, $0) }
    }
  }
}
