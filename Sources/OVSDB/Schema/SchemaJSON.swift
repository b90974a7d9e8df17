// Schemas as JSON (RFC 7047 §3.2), both ways, in the shortest form as ovsdb-server prints it. Read with care: a
// client gets schemas from servers, and people edit the files.

extension DatabaseSchema {
  /// The schema as `get_schema` answers it.
  package var json: JSONValue {
    var members: [String: JSONValue] = [
      "name": .string(name), "version": .string(version),
      "tables": .object(tables.mapValues { $0.json(everyTableIsRoot: everyTableIsRoot) }),
    ]
    if let checksum { members["cksum"] = .string(checksum) }
    return .object(members)
  }

  /// - Throws: "syntax error", with what is wrong where.
  package init(json: JSONValue) throws(OVSDBError) {
    guard let name = json["name"]?.string, let members = json["tables"]?.object else {
      throw OVSDBError("syntax error", "a schema needs \"name\" and \"tables\"")
    }
    var tables: [TableSchema] = []
    for (name, table) in members.sorted(by: { $0.key < $1.key }) {
      tables.append(try TableSchema(name: name, json: table))
    }
    self.init(name, version: json["version"]?.string ?? "0.0.0", checksum: json["cksum"]?.string, tables: tables)
    for table in tables {
      for column in table.columns {
        for base in [column.type.key, column.type.value] {
          if let target = base?.referencedTable, self.tables[target] == nil {
            throw OVSDBError(
              "syntax error", "column \(column.name) of table \(table.name) refers to undefined table \(target)")
          }
        }
      }
    }
  }
}

extension TableSchema {
  func json(everyTableIsRoot: Bool) -> JSONValue {
    let columns = Dictionary(self.columns.map { ($0.name, $0.json) }, uniquingKeysWith: { first, _ in first })
    var members: [String: JSONValue] = ["columns": .object(columns)]
    if isRoot { members["isRoot"] = true }
    if let rowLimit { members["maxRows"] = .integer(Int64(rowLimit)) }
    if !indexes.isEmpty {
      members["indexes"] = .array(indexes.map { .array($0.map { JSONValue.string($0) }) })
    }
    return .object(members)
  }

  convenience init(name: String, json: JSONValue) throws(OVSDBError) {
    guard let members = json["columns"]?.object else {
      throw OVSDBError("syntax error", "table \(name) needs \"columns\"")
    }
    var columns: [ColumnSchema] = []
    for (column, declaration) in members.sorted(by: { $0.key < $1.key }) {
      guard let type = declaration["type"] else {
        throw OVSDBError("syntax error", "column \(column) of table \(name) needs a \"type\"")
      }
      columns.append(
        ColumnSchema(
          column, try ColumnType(json: type), ephemeral: declaration["ephemeral"]?.boolean ?? false,
          mutable: declaration["mutable"]?.boolean ?? true))
    }
    let indexes = (json["indexes"]?.array ?? []).map { ($0.array ?? []).compactMap(\.string) }
    self.init(
      name, isRoot: json["isRoot"]?.boolean ?? false, rowLimit: json["maxRows"]?.integer.map(Int.init(clamping:)),
      indexes: indexes, columns: columns)
    for column in indexes.joined() where self.column(column) == nil {
      throw OVSDBError("syntax error", "an index of table \(name) is over undefined column \(column)")
    }
  }
}

extension ColumnSchema {
  var json: JSONValue {
    var members: [String: JSONValue] = ["type": type.json]
    if isEphemeral { members["ephemeral"] = true }
    if !isMutable { members["mutable"] = false }
    return .object(members)
  }
}

extension ColumnType {
  var json: JSONValue {
    if isScalar && !key.hasConstraints { return key.json }
    var members: [String: JSONValue] = ["key": key.json]
    if let value { members["value"] = value.json }
    if countMinimum != 1 { members["min"] = .integer(Int64(countMinimum)) }
    if countMaximum == .max {
      members["max"] = "unlimited"
    } else if countMaximum != 1 {
      members["max"] = .integer(Int64(countMaximum))
    }
    return .object(members)
  }

  init(json: JSONValue) throws(OVSDBError) {
    guard let key = json["key"] else {
      self.init(key: try BaseType(json: json))
      return
    }
    let minimum = json["min"]?.integer ?? 1
    var maximum = Int64.max
    if json["max"]?.string != "unlimited" { maximum = json["max"]?.integer ?? 1 }
    guard minimum == 0 || minimum == 1, maximum >= 1 else {
      throw OVSDBError("syntax error", "\"min\" must be 0 or 1 and \"max\" at least 1", syntax: json)
    }
    var value: BaseType?
    if let json = json["value"] { value = try BaseType(json: json) }
    self.init(
      key: try BaseType(json: key), value: value, countMinimum: Int(minimum), countMaximum: Int(clamping: maximum))
  }
}

extension BaseType {
  var json: JSONValue {
    if !hasConstraints { return .string(type.rawValue) }
    var members: [String: JSONValue] = ["type": .string(type.rawValue)]
    if let allowed { members["enum"] = .array([.string("set"), .array(allowed.atoms.map(\.json))]) }
    if let integerMinimum { members["minInteger"] = .integer(integerMinimum) }
    if let integerMaximum { members["maxInteger"] = .integer(integerMaximum) }
    if let realMinimum { members["minReal"] = .real(realMinimum) }
    if let realMaximum { members["maxReal"] = .real(realMaximum) }
    if let lengthMinimum { members["minLength"] = .integer(Int64(lengthMinimum)) }
    if let lengthMaximum { members["maxLength"] = .integer(Int64(lengthMaximum)) }
    if let referencedTable {
      members["refTable"] = .string(referencedTable)
      if referenceStrength == .weak { members["refType"] = "weak" }
    }
    return .object(members)
  }

  init(json: JSONValue) throws(OVSDBError) {
    guard let name = json.string ?? json["type"]?.string, let type = AtomicType(rawValue: name) else {
      throw OVSDBError("syntax error", "expected an atomic type", syntax: json)
    }
    self.init(type)
    if let values = json["enum"] {
      let allowed = try Datum.parse(values, as: .set(BaseType(type), from: 1))
      self.allowed = allowed
    }
    integerMinimum = json["minInteger"]?.integer
    integerMaximum = json["maxInteger"]?.integer
    realMinimum = json["minReal"]?.double
    realMaximum = json["maxReal"]?.double
    lengthMinimum = json["minLength"]?.integer.map(Int.init(clamping:))
    lengthMaximum = json["maxLength"]?.integer.map(Int.init(clamping:))
    referencedTable = json["refTable"]?.string
    if json["refType"]?.string == "weak" { referenceStrength = .weak }
  }
}
