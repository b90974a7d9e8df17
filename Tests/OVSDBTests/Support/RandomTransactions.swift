// Random transactions over the schema, mostly valid, sometimes not: small pools of names and rows, so that they meet.
// All UUIDs are chosen here, so that two databases given the same transactions can be compared; where servers are to
// name some rows, these are symbols (see RowSymbols).

import OVSDB

/// SplitMix64.
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

struct RandomTransactions {
  static let tables = [
    "Open_vSwitch", "Bridge", "Port", "Interface", "Mirror", "QoS", "Queue", "NetFlow", "Manager", "Flow_Table",
    "Controller", "Datapath", "CT_Zone", "Flow_Sample_Collector_Set", "SSL",
  ]
  var generator: SeededGenerator
  let schema = DatabaseSchema.stockOpenVSwitch
  /// UUIDs that were or will be rows, by table.
  private var pool: [String: [RowUUID]] = [:]
  private var faultsLeft = 0
  /// Some inserts leave the UUID to the server, and name the row for the other operations of their transaction.
  var letsServersNameRows = false
  /// Half of the transactions are long, and of operations that most often succeed.
  var hasLongOnes = false
  private var isLong = false
  /// Rows of this transaction that the server names.
  private var unnamed: Set<RowUUID> = []

  init(seed: UInt64) {
    generator = SeededGenerator(seed: seed)
    for table in Self.tables { pool[table] = (0..<5).map { _ in RowUUID(generator: &generator) } }
  }

  private mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &generator) < percent }

  mutating func next() -> [JSONValue] {
    faultsLeft = chance(15) ? 1 : 0
    unnamed = []
    var operations: [JSONValue] = []
    isLong = hasLongOnes && chance(50)
    if chance(50) { operations += makeBridge() }
    for _ in 0..<Int.random(in: isLong ? 10...40 : 1...4, using: &generator) { operations.append(operation()) }
    return unnamed.isEmpty ? operations : operations.map(namingRows)
  }

  private mutating func insert(_ table: String, _ row: [String: JSONValue], _ uuid: RowUUID, isNew: Bool) -> JSONValue {
    if letsServersNameRows && isNew && chance(50) {
      unnamed.insert(uuid)
      return Operation.insert(table, row, name: RowSymbols.rowName(uuid))
    }
    return Operation.insert(table, row, uuid: uuid)
  }

  /// With `named-uuid` for rows that have no UUID yet.
  private func namingRows(_ json: JSONValue) -> JSONValue {
    switch json {
    case .array(let parts):
      if parts.count == 2, parts[0] == "uuid", let uuid = parts[1].string.flatMap({ RowUUID($0) }),
        unnamed.contains(uuid)
      {
        return ["named-uuid", .string(RowSymbols.rowName(uuid))]
      }
      return .array(parts.map(namingRows))
    case .object(let members): return .object(members.mapValues(namingRows))
    default: return json
    }
  }

  /// A whole subtree in one transaction, as add-br makes it; or not quite.
  private mutating func makeBridge() -> [JSONValue] {
    func uuid(_ generator: inout SeededGenerator) -> RowUUID { RowUUID(generator: &generator) }
    let (bridge, port, interface) = (uuid(&generator), uuid(&generator), uuid(&generator))
    remember("Bridge", bridge)
    remember("Port", port)
    remember("Interface", interface)
    let name = JSONValue.string("n\(Int.random(in: 0..<6, using: &generator))")
    return [
      insert("Interface", ["name": name], interface, isNew: true),
      insert("Port", ["name": name, "interfaces": Operation.uuid(interface)], port, isNew: true),
      insert("Bridge", ["name": name, "ports": Operation.uuid(port)], bridge, isNew: true),
      Operation.mutate("Open_vSwitch", where: [], [["bridges", "insert", Operation.uuid(bridge)]]),
    ]
  }

  private mutating func remember(_ table: String, _ uuid: RowUUID) {
    pool[table, default: []].append(uuid)
    if pool[table, default: []].count > 12 { pool[table]?.removeFirst() }
  }

  /// An operation on columns without references, ranges that can be left, and indexes.
  private mutating func safeOperation() -> JSONValue {
    let names = ["QoS", "Queue", "Port", "Interface", "Bridge", "Mirror", "Open_vSwitch", "Controller", "Flow_Table"]
    guard let name = names.randomElement(using: &generator), let table = schema.table(name) else { return [:] }
    let columns = table.columns.filter {
      $0.isMutable && $0.name != "name" && $0.type.key.referencedTable == nil && $0.type.value?.referencedTable == nil
    }
    guard let column = columns.randomElement(using: &generator) else { return [:] }
    switch Int.random(in: 0..<8, using: &generator) {
    case 0...1 where name == "QoS" || name == "Queue":
      let uuid = RowUUID(generator: &generator)
      remember(name, uuid)
      return insert(name, [column.name: value(column.type)], uuid, isNew: true)
    case 0...3: return Operation.update(name, where: condition(table), [column.name: value(column.type)])
    case 4...5 where column.type.countMaximum > 4 && column.type.countMinimum == 0:
      return Operation.mutate(
        name, where: condition(table), [[.string(column.name), chance(60) ? "insert" : "delete", value(column.type)]])
    case 4...5: return Operation.mutate("Open_vSwitch", where: [], [["next_cfg", chance(70) ? "+=" : "-=", 1]])
    case 6 where name == "QoS" || name == "Queue": return Operation.delete(name, where: condition(table))
    default: return Operation.select(name, where: condition(table), columns: ["_uuid"] + table.columns.map(\.name))
    }
  }

  private mutating func operation() -> JSONValue {
    if isLong { return safeOperation() }
    guard let name = Self.tables.randomElement(using: &generator), let table = schema.table(name) else { return [:] }
    switch Int.random(in: 0..<10, using: &generator) {
    case 0...2:
      let isNew = chance(80)
      let uuid = isNew ? RowUUID(generator: &generator) : anyRow(of: name)
      remember(name, uuid)
      return insert(name, row(table, isNew: true), uuid, isNew: isNew)
    case 3...4: return Operation.update(name, where: condition(table), row(table, isNew: false))
    case 5...6: return Operation.mutate(name, where: condition(table), [mutation(table), mutation(table)])
    case 7: return Operation.delete(name, where: condition(table))
    case 8: return Operation.select(name, where: condition(table), columns: ["_uuid"] + table.columns.map(\.name))
    default:
      let column = column(table)
      return Operation.wait(
        name, where: condition(table), columns: [column.name], rows: [[column.name: value(column.type)]],
        isEqual: chance(20))
    }
  }

  private mutating func anyRow(of table: String) -> RowUUID {
    pool[table]?.randomElement(using: &generator) ?? RowUUID(generator: &generator)
  }

  private mutating func column(_ table: TableSchema) -> ColumnSchema {
    table.columns[Int.random(in: 0..<table.columns.count, using: &generator)]
  }

  private mutating func row(_ table: TableSchema, isNew: Bool) -> [String: JSONValue] {
    var row: [String: JSONValue] = [:]
    for column in table.columns {
      let isNeeded = isNew && (column.type.countMinimum == 1 && column.type.key.type == .uuid || column.name == "name")
      if !isNeeded && !chance(15) { continue }
      if !isNew && !column.isMutable && !chance(3) { continue }
      row[column.name] = value(column.type)
    }
    return row
  }

  private mutating func condition(_ table: TableSchema) -> JSONValue {
    if chance(10) { return [] }
    if chance(60) { return [["_uuid", "==", Operation.uuid(anyRow(of: table.name))]] }
    let column = column(table)
    var functions = ["==", "!=", "includes", "excludes"]
    let isNumber = column.type.key.type == .integer && (column.type.isScalar || column.type.isOptional)
    if isNumber || chance(2) { functions += ["<", "<=", ">", ">="] }
    return [[.string(column.name), .string(functions.randomElement(using: &generator) ?? "=="), value(column.type)]]
  }

  private mutating func mutation(_ table: TableSchema) -> JSONValue {
    let column = column(table)
    if !column.type.isScalar && chance(80) {
      return [.string(column.name), chance(60) ? "insert" : "delete", value(column.type)]
    }
    let mutator = ["+=", "-=", "*=", "/=", "%=", "insert"].randomElement(using: &generator) ?? "+="
    let operand = Int64([0, 1, 2, 7, -3, 4095, Int64.max].randomElement(using: &generator) ?? 1)
    return [.string(column.name), .string(mutator), .integer(operand)]
  }

  private mutating func value(_ type: ColumnType) -> JSONValue {
    if faultsLeft > 0 && chance(3) {
      faultsLeft -= 1
      return ["x", 1.5, ["set", [1, "a"]], ["map", [["a"]]], -5, 70000, ["uuid", "x"], ["set", []], nil]
        .randomElement(using: &generator) ?? nil
    }
    if let value = type.value {
      var pairs: [Atom: JSONValue] = [:]
      for _ in 0..<Int.random(in: 0...3, using: &generator) { pairs[atom(type.key)] = atom(value).json }
      return ["map", .array(pairs.sorted { $0.key < $1.key }.map { [$0.key.json, $0.value] })]
    }
    if type.isScalar { return atom(type.key).json }
    let most = min(type.countMaximum, 3)
    var atoms: Set<Atom> = []
    for _ in 0..<Int.random(in: type.countMinimum...most, using: &generator) { atoms.insert(atom(type.key)) }
    return Datum(set: atoms).json
  }

  private mutating func atom(_ base: BaseType) -> Atom {
    if let allowed = base.allowed?.atoms.randomElement(using: &generator) { return allowed }
    switch base.type {
    case .boolean: return .boolean(chance(50))
    case .string:
      return .string(["", "a", "n0", "n1", "n2", "n3", "ü", "\u{1}\""].randomElement(using: &generator) ?? "")
    case .real: return .real(0.5)
    case .integer:
      let low = base.integerMinimum ?? -3
      return .integer(low + Int64.random(in: 0...4, using: &generator))
    case .uuid: return .uuid(anyRow(of: base.referencedTable ?? ""))
    }
  }
}
