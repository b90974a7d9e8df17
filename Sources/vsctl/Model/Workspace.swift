// The database as one command line sees it: what the server had, and on top what the commands before have done. Only
// when all commands have succeeded does it become one transaction (Workspace+Transaction.swift). One thread; the rows
// are values of its own.

import OVSDB

/// A scratch copy of the monitored rows, with a record of what was changed.
final class Workspace {
  /// How a column was changed.
  enum Write { case replaced, merged }

  struct RowID: Hashable {
    var table: String
    var uuid: RowUUID
  }

  let schema: DatabaseSchema
  let original: DatabaseSnapshot
  private var rowsByTable: [String: [RowUUID: Row]] = [:]
  private(set) var writes: [RowID: [String: Write]] = [:]
  /// In the order of their making.
  private(set) var inserted: [RowID] = []
  private(set) var deleted: Set<RowID> = []
  /// New rows whose UUIDs the user chose.
  var chosenUUIDs: Set<RowUUID> = []
  /// The root row's UUID; it is inserted with the first change if the database has none.
  private(set) var root: RowUUID
  var symbols: SymbolTable
  /// What is odd about the commands so far.
  private(set) var warnings: [Warning] = []
  private var bridgeModel: BridgeModel?
  /// Rows of tables by their names, for tables that were searched.
  private var rowsByName: [String: [String: Set<RowUUID>]] = [:]

  init(_ snapshot: DatabaseSnapshot, symbols: SymbolTable = SymbolTable()) {
    schema = snapshot.schema
    original = snapshot
    self.symbols = symbols
    if let row = snapshot.only("Open_vSwitch") {
      root = row.uuid
    } else {
      root = self.symbols.makeUUID()
      rowsByTable["Open_vSwitch"] = table("Open_vSwitch").map { [root: Row($0, uuid: root)] }
    }
  }

  var hasRoot: Bool { original.row("Open_vSwitch", root) != nil }

  func table(_ name: String) -> TableSchema? { schema.table(name) }

  private func load(_ table: String) -> [RowUUID: Row] {
    if let rows = rowsByTable[table] { return rows }
    let rows = Dictionary(original.rows(table).map { ($0.uuid, $0) }, uniquingKeysWith: { first, _ in first })
    rowsByTable[table] = rows
    return rows
  }

  func row(_ table: String, _ uuid: RowUUID) -> Row? { load(table)[uuid] }
  var rootRow: Row? { row("Open_vSwitch", root) }

  /// In no particular order.
  func unorderedRows(_ table: String) -> some Collection<Row> { load(table).values }

  /// By name where rows have one, else by UUID: the same order on every run.
  func rows(_ table: String) -> [Row] {
    load(table).values.sorted { a, b in
      let (nameA, nameB) = (a.name, b.name)
      return nameA == nameB ? a.uuid < b.uuid : Atom.precedes(nameA, nameB)
    }
  }

  /// A table's rows with that content of a string column: by an index for names, which never change.
  func rows(_ table: String, where column: String, is text: String) -> [Row] {
    guard column == "name" else { return load(table).values.filter { $0[column].string == text } }
    if rowsByName[table] == nil {
      var index: [String: Set<RowUUID>] = [:]
      for row in load(table).values { index[row.name, default: []].insert(row.uuid) }
      rowsByName[table] = index
    }
    return (rowsByName[table]?[text] ?? []).compactMap { row(table, $0) }
  }

  func warn(_ module: String, _ text: String) { warnings.append(Warning(module: module, text: text)) }

  /// The bridges as built from the rows; kept until a command changes the rows by other ways.
  var bridges: BridgeModel {
    if let bridgeModel { return bridgeModel }
    let model = BridgeModel(self)
    bridgeModel = model
    return model
  }

  /// Called where rows change not through `BridgeModel`; nil for whole rows.
  func noteChange(of column: String?, in table: String) {
    guard ["Open_vSwitch", "Bridge", "Port", "Interface"].contains(table) else { return }
    let structure: Set<String> = ["bridges", "ports", "interfaces", "name", "tag", "fake_bridge"]
    if column.map(structure.contains) ?? true { bridgeModel = nil }
  }

  // MARK: Changes

  @discardableResult
  func insert(_ table: TableSchema, uuid: RowUUID? = nil, columns: [String: Datum] = [:]) -> RowUUID {
    let uuid = uuid ?? symbols.makeUUID()
    let id = RowID(table: table.name, uuid: uuid)
    _ = load(table.name)
    let row = Row(table, uuid: uuid, columns: columns)
    rowsByTable[table.name, default: [:]][uuid] = row
    if rowsByName[table.name] != nil { rowsByName[table.name]?[row.name, default: []].insert(uuid) }
    inserted.append(id)
    deleted.remove(id)
    return uuid
  }

  func delete(_ table: String, _ uuid: RowUUID) {
    let id = RowID(table: table, uuid: uuid)
    if let row = load(table)[uuid] { rowsByName[table]?[row.name]?.remove(uuid) }
    rowsByTable[table]?[uuid] = nil
    writes[id] = nil
    if let index = inserted.firstIndex(of: id) { inserted.remove(at: index) } else { deleted.insert(id) }
  }

  /// Gives a column a new content.
  func set(_ table: String, _ uuid: RowUUID, _ column: String, to datum: Datum) {
    write(table, uuid, column, datum, .replaced)
  }

  /// Adds to a set or map; keys that are there get the new value.
  func merge(_ table: String, _ uuid: RowUUID, _ column: String, adding datum: Datum) {
    guard let old = row(table, uuid)?[column] else { return }
    write(table, uuid, column, Self.union(old, datum), .merged)
  }

  /// All elements of two sets, or pairs of two maps, the second map's values first.
  static func union(_ old: Datum, _ datum: Datum) -> Datum {
    datum.isMap
      ? Datum(map: old.pairs.map { ($0.key, $0.value) } + datum.pairs.map { ($0.key, $0.value) })
      : Datum(set: old.atoms + datum.atoms)
  }

  /// Takes elements out of a set or map.
  func remove(_ table: String, _ uuid: RowUUID, _ column: String, where isRemoved: (Atom, Atom?) -> Bool) {
    guard let old = row(table, uuid)?[column] else { return }
    let new =
      old.isMap
      ? Datum(map: old.pairs.filter { !isRemoved($0.key, $0.value) }.map { ($0.key, $0.value) })
      : Datum(set: old.atoms.filter { !isRemoved($0, nil) })
    write(table, uuid, column, new, .merged)
  }

  private func write(_ table: String, _ uuid: RowUUID, _ column: String, _ datum: Datum, _ write: Write) {
    guard var row = row(table, uuid) else { return }
    if column == "name" { rowsByName[table] = nil }
    row[column] = datum
    rowsByTable[table]?[uuid] = row
    let id = RowID(table: table, uuid: uuid)
    if writes[id]?[column] != .replaced { writes[id, default: [:]][column] = write }
  }

  /// The interfaces whose rows this command line made or changed, by name.
  var touchedInterfaces: [Row] { touched("Interface") }

  /// The rows of a table that this command line made or changed, by name.
  func touched(_ table: String) -> [Row] {
    let touched = Set((Array(writes.keys) + inserted).filter { $0.table == table }.map(\.uuid))
    return touched.compactMap { row(table, $0) }.sorted { Atom.precedes($0.name, $1.name) }
  }
}
