// A snapshot made by hand for tests of what reads one: rows by name, references by name too.

@testable import OVSDB

struct TestDatabase {
  private(set) var snapshot = DatabaseSnapshot(schema: .openVSwitch)
  private var count: UInt64 = 0
  private var bridges: [RowUUID] = []
  private let root: RowUUID

  init(_ columns: [String: Datum] = [:]) {
    root = RowUUID(high: 1, low: 0)
    put("Open_vSwitch", root, columns)
  }

  private mutating func put(_ table: String, _ uuid: RowUUID, _ columns: [String: Datum]) {
    guard let schema = snapshot.schema.table(table) else { return }
    put(Row(schema, uuid: uuid, columns: columns))
  }

  private mutating func put(_ row: Row) {
    var changes = Changes()
    changes.record(row.table, row.uuid, old: snapshot.row(row.table.name, row.uuid), new: row)
    snapshot.apply(changes)
  }

  @discardableResult
  mutating func insert(_ table: String, _ columns: [String: Datum]) -> RowUUID {
    count += 1
    let uuid = RowUUID(high: 2, low: count)
    put(table, uuid, columns)
    return uuid
  }

  /// A port with one interface of its name.
  mutating func port(
    _ name: String, type: String = "", _ columns: [String: Datum] = [:], interface: [String: Datum] = [:]
  ) -> RowUUID {
    var merged = interface
    merged["name"] = .string(name)
    merged["type"] = .string(type)
    let uuid = insert("Interface", merged)
    var port = columns
    port["name"] = .string(name)
    port["interfaces"] = port["interfaces"] ?? .uuid(uuid)
    return insert("Port", port)
  }

  mutating func bridge(_ name: String, _ columns: [String: Datum] = [:], ports: [RowUUID]) {
    var columns = columns
    columns["name"] = .string(name)
    columns["ports"] = .uuids(ports)
    bridges.append(insert("Bridge", columns))
    var row = snapshot.row("Open_vSwitch", root)
    row?["bridges"] = .uuids(bridges)
    if let row { put(row) }
  }
}
