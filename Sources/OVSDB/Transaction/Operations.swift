// The operations of a transaction (RFC 7047 §5.2), each against the state that the ones before it left.

extension TransactionRun {
  mutating func execute(_ members: inout OperationMembers) throws(OVSDBError) -> JSONValue {
    let name = try members.required("op", OperationMembers.identifier)
    switch name {
    case "insert": return try insert(&members)
    case "select": return try select(&members)
    case "update": return try update(&members)
    case "mutate": return try mutate(&members)
    case "delete": return try delete(&members)
    case "wait": return try wait(&members)
    case "commit":
      _ = try members.required("durable") { $0.boolean }
      try members.finish()
      return [:]
    case "abort":
      try members.finish()
      throw OVSDBError("aborted", "aborted by request")
    case "comment":
      let comment = try members.required("comment") { $0.string }
      try members.finish()
      outcome.comments.append(comment)
      return [:]
    case "assert":
      let lock = try members.required("lock", OperationMembers.identifier)
      try members.finish()
      if !heldLocks.contains(lock) { throw OVSDBError("not owner", "Asserted lock \(lock) not held.") }
      return [:]
    default: throw members.failure("No operation \"\(name)\"")
    }
  }

  private mutating func insert(_ members: inout OperationMembers) throws(OVSDBError) -> JSONValue {
    let table = try members.table(in: schema)
    let chosen = try members.optional("uuid") { $0.string }
    let name = try members.optional("uuid-name", OperationMembers.identifier)
    let columns = try members.required("row") { $0.object }
    try members.finish()
    var uuid: RowUUID?
    if let chosen {
      guard let parsed = RowUUID(chosen) else {
        throw OVSDBError("syntax error", "bad uuid", syntax: .string(chosen))
      }
      // The zero UUID is what an unset reference holds.
      if parsed == .zero || row(table, parsed) != nil || changes.change(table.name, parsed) != nil {
        throw OVSDBError(
          "duplicate uuid",
          "This UUID would duplicate a UUID already present within the table or deleted within the same transaction.",
          syntax: .string(chosen))
      }
      uuid = parsed
    }
    if let name, var entry = names?.entry(name) {
      if entry.isCreated {
        throw OVSDBError(
          "duplicate uuid-name", "This \"uuid-name\" appeared on an earlier \"insert\" operation.",
          syntax: .string(name))
      }
      entry.isCreated = true
      if let uuid { entry.uuid = uuid }
      uuid = entry.uuid
      names?.entries[name] = entry
    }
    var row = Row(table, uuid: uuid ?? makeUUID(), version: makeUUID())
    for (column, datum) in try parseRow(columns, table) { row[column] = datum }
    for (column, datum) in zip(table.columns, row.values) where columns[column.name] == nil {
      if datum.isEmpty { continue }
      for atom in datum.atoms { try column.type.key.check(atom) }
    }
    put(row)
    return ["uuid": ["uuid", .string(row.uuid.description)]]
  }

  private mutating func select(_ members: inout OperationMembers) throws(OVSDBError) -> JSONValue {
    let table = try members.table(in: schema)
    let filter = try members.required("where") { $0.array }
    let columnList = try members.optional("columns") { $0.array }
    try members.finish()
    let condition = try Condition(filter, table: table, names: &names)
    let columns = try parseColumns(columnList, table)
    // Rows are told apart by the columns asked for: equal ones count once.
    var seen: Set<[Datum]> = []
    var rows: [JSONValue] = []
    let isKeyed = columns.contains("_uuid")
    for row in self.rows(table, where: condition) {
      if !isKeyed && !seen.insert(columns.map { row[$0] }).inserted { continue }
      rows.append(.object(Dictionary(columns.map { ($0, row[$0].json) }, uniquingKeysWith: { first, _ in first })))
    }
    return ["rows": .array(rows)]
  }

  private mutating func update(_ members: inout OperationMembers) throws(OVSDBError) -> JSONValue {
    let table = try members.table(in: schema)
    let filter = try members.required("where") { $0.array }
    let columns = try members.required("row") { $0.object }
    try members.finish()
    let values = try parseRow(columns, table)
    let immutable = columns.keys.sorted().first { table.column($0)?.isMutable != true }
    if let immutable {
      throw OVSDBError(
        "constraint violation", "Cannot update immutable column \(immutable) in table \(table.name).",
        syntax: members.json)
    }
    let condition = try Condition(filter, table: table, names: &names)
    let matching = rows(table, where: condition)
    for var row in matching {
      for (column, datum) in values { row[column] = datum }
      put(row)
    }
    return ["count": .integer(Int64(matching.count))]
  }

  private mutating func mutate(_ members: inout OperationMembers) throws(OVSDBError) -> JSONValue {
    let table = try members.table(in: schema)
    let filter = try members.required("where") { $0.array }
    let list = try members.required("mutations") { $0.array }
    try members.finish()
    var mutations: [Mutation] = []
    for json in list { mutations.append(try Mutation(json, table: table, names: &names)) }
    let condition = try Condition(filter, table: table, names: &names)
    let matching = rows(table, where: condition)
    for var row in matching {
      for mutation in mutations { try mutation.apply(to: &row) }
      put(row)
    }
    return ["count": .integer(Int64(matching.count))]
  }

  private mutating func delete(_ members: inout OperationMembers) throws(OVSDBError) -> JSONValue {
    let table = try members.table(in: schema)
    let filter = try members.required("where") { $0.array }
    try members.finish()
    let matching = rows(table, where: try Condition(filter, table: table, names: &names))
    for row in matching { remove(row) }
    return ["count": .integer(Int64(matching.count))]
  }

  private mutating func wait(_ members: inout OperationMembers) throws(OVSDBError) -> JSONValue {
    let timeout = try members.optional("timeout") { $0.integer }
    let table = try members.table(in: schema)
    let filter = try members.required("where") { $0.array }
    let columnList = try members.optional("columns") { $0.array }
    let until = try members.required("until") { $0.string }
    let wanted = try members.required("rows") { $0.array }
    try members.finish()
    if let timeout, timeout < 0 {
      throw OVSDBError("syntax error", "timeout must be nonnegative", syntax: .integer(timeout))
    }
    let condition = try Condition(filter, table: table, names: &names)
    let columns = try parseColumns(columnList, table)
    guard until == "==" || until == "!=" else {
      throw OVSDBError("syntax error", "\"until\" must be \"==\" or \"!=\"", syntax: .string(until))
    }
    var expected: [[Datum]] = []
    for json in wanted {
      guard let members = json.object else {
        throw OVSDBError("syntax error", "row must be JSON object", syntax: json)
      }
      let values = try parseRow(members, table)
      let unset = Row(table, uuid: .zero)
      expected.append(columns.map { values[$0] ?? unset[$0] })
    }
    let found = rows(table, where: condition).map { row in columns.map { row[$0] } }
    // One row by its UUID is what clients ask for most, and about sets of a thousand: comparing them is enough.
    let isSame = found.count == 1 && expected.count == 1 ? found == expected : Set(found) == Set(expected)
    if isSame == (until == "==") { return [:] }
    if timeout == 0 { throw OVSDBError("timed out", "\"where\" clause test failed") }
    // Nobody waits for longer than a year; and no clock overflows.
    let limit = timeout.map { min($0, 365 * 86_400_000) }
    if let limit, waitedMilliseconds >= limit {
      throw OVSDBError("timed out", "\"wait\" timed out after \(waitedMilliseconds) ms")
    }
    outcome.isWaiting = true
    outcome.waitingTable = table.name
    outcome.waitDeadlineMilliseconds = limit
    return [:]
  }

  /// The columns of a "row" member; `_uuid` and `_version` are checked and let go, as ovsdb-server does.
  private mutating func parseRow(
    _ columns: [String: JSONValue], _ table: TableSchema
  ) throws(OVSDBError) -> [String: Datum] {
    var values: [String: Datum] = [:]
    // In order, so that of several errors always the same is told.
    for (name, json) in columns.count < 2 ? Array(columns) : columns.sorted(by: { $0.key < $1.key }) {
      guard let type = table.typeOfColumn(name) else {
        throw OVSDBError(
          "unknown column", "No column \(name) in table \(table.name).", syntax: .object(columns))
      }
      values[name] = try Datum.parse(json, as: type, names: &names)
    }
    return values
  }

  /// A "columns" member; all columns where it is missing.
  private func parseColumns(_ list: [JSONValue]?, _ table: TableSchema) throws(OVSDBError) -> [String] {
    guard let list else { return ["_uuid", "_version"] + table.columns.map(\.name) }
    var columns: [String] = []
    for json in list {
      guard let name = json.string else {
        throw OVSDBError("syntax error", "array of distinct column names expected", syntax: .array(list))
      }
      guard table.typeOfColumn(name) != nil else {
        throw OVSDBError("syntax error", "\(name) is not a valid column name", syntax: .array(list))
      }
      columns.append(name)
    }
    if columns.count > 1, Set(columns).count != columns.count {
      throw OVSDBError("syntax error", "array of distinct column names expected", syntax: .array(list))
    }
    return columns
  }
}
