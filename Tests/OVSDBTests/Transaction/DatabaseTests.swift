import Testing

@testable import OVSDB

@Suite struct DatabaseTests {
  /// Every rule that holds between the rows of a committed database, by looking at all of them.
  static func faults(_ snapshot: DatabaseSnapshot) -> [String] {
    var faults: [String] = []
    var strong: [RowUUID: Int] = [:]
    for table in snapshot.schema.tables.values {
      let rows = snapshot.rows(table.name)
      if let limit = table.rowLimit, rows.count > limit { faults.append("\(table.name): \(rows.count) rows") }
      for index in table.indexes {
        let keys = Set(rows.map { row in index.map { row[$0] } })
        if keys.count != rows.count { faults.append("\(table.name): duplicate \(index)") }
        for row in rows where index.count == 1 {
          let found = snapshot.first(table.name, where: index[0], is: row[index[0]])
          if found?.uuid != row.uuid { faults.append("\(table.name): index does not find \(row.uuid)") }
        }
      }
      for row in rows {
        for (column, datum) in zip(table.columns, row.values) {
          if (try? Datum.parse(datum.json, as: column.type)) != datum {
            faults.append("\(table.name).\(column.name): \(datum.json)")
          }
          for (base, atoms) in [(column.type.key, datum.atoms), (column.type.value ?? .string, datum.mapValues)] {
            guard let target = base.referencedTable else { continue }
            for uuid in atoms.compactMap(\.uuid) {
              if snapshot.row(target, uuid) == nil { faults.append("\(table.name).\(column.name): no row \(uuid)") }
              if base.referenceStrength == .strong && uuid != row.uuid { strong[uuid, default: 0] += 1 }
            }
          }
        }
      }
    }
    for table in snapshot.schema.tables.values where !snapshot.schema.isRoot(table) {
      for row in snapshot.rows(table.name) where strong[row.uuid] == nil {
        faults.append("\(table.name): \(row.uuid) is garbage")
      }
    }
    return faults
  }

  static func contents(_ snapshot: DatabaseSnapshot) -> [String] {
    snapshot.schema.tables.keys.sorted().flatMap { table in
      snapshot.rows(table).map { row in
        table + row.uuid.description + row.version.description + "\(row.values.map { $0.json.serialized() })"
      }
    }
  }

  @Test(arguments: 100...115 as ClosedRange<UInt64>)
  func randomTransactionsKeepTheRules(seed: UInt64) {
    var transactions = RandomTransactions(seed: seed)
    var database = Database(schema: .stockOpenVSwitch)
    var replayed = database.snapshot
    _ = database.transact([Operation.insert("Open_vSwitch", [:], uuid: RowUUID(high: 1, low: 1))])
    replayed = database.snapshot
    for number in 0..<60 {
      let before = database.snapshot
      let operations = transactions.next()
      let outcome = database.transact(operations)
      let faults = Self.faults(database.snapshot)
      #expect(faults.isEmpty, "seed \(seed), transaction \(number): \(operations)")
      if outcome.error != nil || outcome.isWaiting {
        #expect(outcome.changes.isEmpty)
        #expect(Self.contents(before) == Self.contents(database.snapshot))
      }
      replayed.apply(outcome.changes)
    }
    #expect(Self.contents(replayed) == Self.contents(database.snapshot))
  }

  @Test(arguments: 200...205 as ClosedRange<UInt64>)
  func whatIsKeptLoadsAsItWas(seed: UInt64) throws {
    var transactions = RandomTransactions(seed: seed)
    var database = Database(schema: .stockOpenVSwitch)
    var kept: [MemoryStore.Key: PersistedRow] = [:]
    for number in 0..<60 {
      let root = Operation.insert("Open_vSwitch", [:], uuid: RowUUID(high: 1, low: 1))
      let changes = database.transact(number == 0 ? [root] : transactions.next()).changes
      for change in changes.persistent {
        switch change {
        case .put(let row): kept[.init(table: row.table, uuid: row.uuid)] = row
        case .remove(let table, let uuid): kept[.init(table: table, uuid: uuid)] = nil
        }
      }
    }
    var loaded = Database(schema: .stockOpenVSwitch)
    try loaded.load(
      kept.values.map { row in
        try Row(row, table: try #require(loaded.schema.table(row.table)), version: .zero)
      })
    for table in database.schema.tables.values {
      let (old, new) = (database.snapshot.rows(table.name), loaded.snapshot.rows(table.name))
      #expect(old.map(\.uuid) == new.map(\.uuid))
      for (a, b) in zip(old, new) {
        for column in table.columns {
          #expect(b[column.name] == (column.isEphemeral ? column.defaultValue : a[column.name]))
        }
      }
    }
  }

  @Test func stringsThatOnlyLookAlikeAreDifferent() {
    // U+00E9 and e + U+0301: equal for Swift, two values for OVSDB.
    let set = Datum.strings(["\u{e9}", "e\u{301}"])
    #expect(set.count == 2)
    #expect(Datum.string("\u{e9}") != .string("e\u{301}"))
  }

  @Test func rowsMaySwapTheirUniqueNames() {
    var database = Database(schema: .stockOpenVSwitch)
    let (a, b, root) = (RowUUID(high: 0, low: 1), RowUUID(high: 0, low: 2), RowUUID(high: 0, low: 3))
    let managers = Operation.set([Operation.uuid(a), Operation.uuid(b)])
    let first = database.transact([
      Operation.insert("Manager", ["target": "a"], uuid: a), Operation.insert("Manager", ["target": "b"], uuid: b),
      Operation.insert("Open_vSwitch", ["manager_options": managers], uuid: root),
    ])
    #expect(first.error == nil)
    let swap = database.transact([
      Operation.update("Manager", a, ["target": .string("b")]),
      Operation.update("Manager", b, ["target": .string("a")]),
    ])
    #expect(swap.error == nil)
    #expect(database.snapshot.first("Manager", where: "target", is: .string("a"))?.uuid == b)
    #expect(Self.faults(database.snapshot).isEmpty)
  }

  @Test func addingManyPortsCostsTimeLinearInTheirNumber() {
    // Rows in one transaction: the second half of 8,000 takes no more than 3 times the first.
    let clock = ContinuousClock()
    func add(_ range: Range<Int>, _ database: inout Database) -> Duration {
      clock.measure {
        let operations = range.flatMap { number -> [JSONValue] in
          [
            Operation.insert("Interface", ["name": .string("p\(number)")], name: "i\(number)"),
            Operation.insert(
              "Port", ["name": .string("p\(number)"), "interfaces": Operation.named("i\(number)")], name: "p\(number)"),
          ]
        }
        let ports = Operation.set(range.map { Operation.named("p\($0)") })
        let result = database.transact(
          operations + [Operation.mutate("Bridge", where: [], [["ports", "insert", ports]])])
        #expect(result.error == nil)
      }
    }
    var database = Database(schema: .stockOpenVSwitch)
    _ = database.transact([
      Operation.insert("Bridge", ["name": "br0"], name: "b"),
      Operation.insert("Open_vSwitch", ["bridges": Operation.named("b")]),
    ])
    let first = add(0..<4000, &database)
    let second = add(4000..<8000, &database)
    #expect(second < first * 3, "\(first), then \(second)")
    #expect(database.snapshot.table("Port")?.count == 8000)
  }
}
