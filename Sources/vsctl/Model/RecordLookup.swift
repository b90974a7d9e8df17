// Which row a `record` argument means: a UUID or its first digits, a name, "." for the only row of Open_vSwitch, or for
// rows without a name that of the row which holds them (ovs-vsctl(8), "Identifying Tables, Records, and Columns").

import OVSDB

extension Workspace {
  /// How rows of a table are called besides their UUIDs.
  enum RecordName {
    case column(String)
    /// The name of the row of another table whose column names this row; "." for the only row where that has none.
    case holder(table: String, name: String?, column: String)
    /// "." for the only row.
    case only
  }

  static func recordNames(of table: String) -> [RecordName] {
    switch table {
    case "Open_vSwitch", "Datapath": [.only]
    case "SSL": [.holder(table: "Open_vSwitch", name: nil, column: "ssl")]
    case "Manager": [.column("target")]
    case "Controller": [.holder(table: "Bridge", name: "name", column: "controller")]
    case "NetFlow": [.holder(table: "Bridge", name: "name", column: "netflow")]
    case "sFlow": [.holder(table: "Bridge", name: "name", column: "sflow")]
    case "IPFIX": [.holder(table: "Bridge", name: "name", column: "ipfix")]
    case "AutoAttach": [.holder(table: "Bridge", name: "name", column: "auto_attach")]
    case "QoS": [.holder(table: "Port", name: "name", column: "qos")]
    case "Flow_Sample_Collector_Set": [.column("id")]
    case "Bridge", "Port", "Interface", "Mirror", "Flow_Table", "Router", "Router_Port", "NAT_Network":
      [.column("name")]
    default: []
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
    if let uuid = RowUUID(word), let row = row(table.name, uuid) { return row }
    if word.hasPrefix("@"), let symbol = symbols.symbols[word], let row = row(table.name, symbol.uuid) { return row }
    for name in Self.recordNames(of: table.name) {
      if let row = try row(called: word, name, in: table) { return row }
    }
    return try row(beginningWith: word, in: table)
  }

  private func row(
    called word: String, _ name: RecordName, in table: TableSchema
  ) throws(CommandFault) -> Row? {
    switch name {
    case .only: return word == "." ? only(of: unorderedRows(table.name)) : nil
    case .column(let column):
      let integer = table.column(column)?.type.key.type == .integer ? Int64(word) : nil
      let found =
        integer.map { number in unorderedRows(table.name).filter { $0[column].integer == number } }
        ?? rows(table.name, where: column, is: word)
      return try theOne(found, of: table, word)
    case .holder(let holders, let name, let column):
      let holder =
        name == nil
        ? (word == "." ? only(of: unorderedRows(holders)) : nil)
        : try theOne(rows(holders, where: name ?? "", is: word), of: table, word)
      return holder?[column].uuid.flatMap { row(table.name, $0) }
    }
  }

  private func only(of rows: some Collection<Row>) -> Row? { rows.count == 1 ? rows.first : nil }

  private func theOne(_ found: [Row], of table: TableSchema, _ word: String) throws(CommandFault) -> Row? {
    if found.count > 1 {
      throw CommandFault("multiple rows in \(table.name) match \"\(word)\"", remedy: "name the row by its UUID")
    }
    return found.first
  }

  /// By the first digits of its UUID, at least four.
  private func row(beginningWith word: String, in table: TableSchema) throws(CommandFault) -> Row? {
    guard word.utf8.count >= 4, word.allSatisfy({ $0.isHexDigit || $0 == "-" }) else { return nil }
    let found = unorderedRows(table.name).filter { $0.uuid.description.hasPrefix(word.lowercased()) }
    guard found.count > 1 else { return found.first }
    let sorted = found.sorted { $0.uuid < $1.uuid }
    throw CommandFault(
      "\(table.name) contains 2 or more rows whose UUIDs begin with \(word): at least \(sorted[0].uuid) and "
        + "\(sorted[1].uuid)", remedy: "write more of the UUID")
  }
}
