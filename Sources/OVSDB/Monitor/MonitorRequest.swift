// What a client wants to be told of a table (RFC 7047 §4.1.5; ovsdb-server(7) for the forms with conditions).

/// The kinds of change that a client asked for.
struct MonitorSelection: OptionSet, Sendable {
  let rawValue: UInt8
  static let initial = MonitorSelection(rawValue: 1)
  static let insert = MonitorSelection(rawValue: 2)
  static let delete = MonitorSelection(rawValue: 4)
  static let modify = MonitorSelection(rawValue: 8)
  static let all: MonitorSelection = [.initial, .insert, .delete, .modify]
}

/// One table of a monitor.
struct MonitoredTable: Sendable {
  struct Column: Sendable {
    var name: String
    var type: ColumnType
    var defaultValue: Datum
    var selection: MonitorSelection
    /// In the rows' values; nil for `_uuid` and `_version`.
    var index: Int?

    func content(of row: Row) -> Datum { index.map { row.values[$0] } ?? row[name] }
  }

  let schema: TableSchema
  private(set) var columns: [Column] = []
  private(set) var selection: MonitorSelection = []
  /// A row is seen if it matches any of them.
  private var conditions: [Condition] = []

  /// - Parameters:
  ///   - json: one request or an array of them.
  ///   - hasConditions: whether "where" is allowed.
  /// - Throws: "syntax error", "unknown column" and what else a condition throws.
  init(_ json: JSONValue, schema: TableSchema, hasConditions: Bool) throws(OVSDBError) {
    self.schema = schema
    for request in json.array ?? [json] { try add(request, hasConditions) }
  }

  private mutating func add(_ json: JSONValue, _ hasConditions: Bool) throws(OVSDBError) {
    let prefix = "Parsing table \(schema.name) failed: "
    guard let members = json.object else { throw OVSDBError("syntax error", prefix + "Object expected.") }
    var selection = MonitorSelection.all
    var condition = Condition.always
    var names = ["_version"] + schema.columns.map(\.name)
    for (name, value) in members.sorted(by: { $0.key < $1.key }) {
      func mismatch() -> OVSDBError {
        OVSDBError("syntax error", prefix + "Type mismatch for member '\(name)'.", syntax: json)
      }
      switch name {
      case "columns":
        guard let list = value.array else { throw mismatch() }
        names = list.compactMap(\.string)
        if names.count != list.count {
          throw OVSDBError("syntax error", "array of distinct column names expected", syntax: value)
        }
        if let unknown = names.first(where: { schema.typeOfColumn($0) == nil }) {
          throw OVSDBError("syntax error", "\(unknown) is not a valid column name", syntax: value)
        }
      case "select": selection = try MonitorSelection(value, table: schema.name, mismatch())
      case "where" where hasConditions:
        guard let clauses = value.array else { throw mismatch() }
        condition = try Condition(clauses, table: schema)
      default:
        throw OVSDBError("syntax error", prefix + "Member '\(name)' is present but not allowed here.", syntax: json)
      }
    }
    for name in names {
      if columns.contains(where: { $0.name == name }) {
        throw OVSDBError("syntax error", "column \(name) mentioned more than once", syntax: members["columns"])
      }
      let type = schema.typeOfColumn(name) ?? .uuid
      columns.append(
        Column(
          name: name, type: type, defaultValue: type.defaultValue, selection: selection,
          index: schema.columnIndexes[name]))
    }
    self.selection.formUnion(selection)
    conditions.append(condition)
  }

  func matches(_ row: Row) -> Bool { conditions.contains { $0.matchesAny(row) } }

  /// The same table with other conditions.
  func withConditions(_ json: JSONValue) throws(OVSDBError) -> MonitoredTable {
    var result = self
    result.conditions = []
    guard let requests = json.array else {
      throw OVSDBError("syntax error", "table \(schema.name) no monitor-cond-change JSON array")
    }
    if requests.isEmpty { return self }
    let prefix = "Parsing table \(schema.name) failed: "
    for request in requests {
      guard let members = request.object else { throw OVSDBError("syntax error", prefix + "Object expected.") }
      if let other = members.keys.filter({ $0 != "where" && $0 != "columns" }).min() {
        throw OVSDBError(
          "syntax error", prefix + "Member '\(other)' is present but not allowed here.", syntax: request)
      }
      if members["columns"] != nil {
        throw OVSDBError("syntax error", "changing columns is unsupported", syntax: request)
      }
      guard let filter = members["where"] else {
        result.conditions.append(.always)
        continue
      }
      guard let clauses = filter.array else {
        throw OVSDBError("syntax error", prefix + "Type mismatch for member 'where'.", syntax: request)
      }
      result.conditions.append(try Condition(clauses, table: schema))
    }
    return result
  }
}

extension MonitorSelection {
  /// - Parameter mismatch: thrown if this is no object.
  fileprivate init(_ json: JSONValue, table: String, _ mismatch: OVSDBError) throws(OVSDBError) {
    guard let choices = json.object else { throw mismatch }
    let kinds: [String: MonitorSelection] = [
      "initial": .initial, "insert": .insert, "delete": .delete, "modify": .modify,
    ]
    let prefix = "Parsing table \(table) select failed: "
    self = .all
    for (name, choice) in choices.sorted(by: { $0.key < $1.key }) {
      guard let kind = kinds[name] else {
        throw OVSDBError("syntax error", prefix + "Member '\(name)' is present but not allowed here.", syntax: json)
      }
      guard let isWanted = choice.boolean else {
        throw OVSDBError("syntax error", prefix + "Type mismatch for member '\(name)'.", syntax: json)
      }
      if !isWanted { remove(kind) }
    }
  }
}
