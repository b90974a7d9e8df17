// Operations of a transaction (RFC 7047 §5.2) spelt as JSON, for those who send them.

/// Makes operations.
package enum Operation {
  /// A reference to a row that this transaction inserts under that name.
  package static func named(_ name: String) -> JSONValue { ["named-uuid", .string(name)] }

  package static func uuid(_ uuid: RowUUID) -> JSONValue { ["uuid", .string(uuid.description)] }

  /// A set of any size in JSON notation.
  package static func set(_ elements: [JSONValue]) -> JSONValue { ["set", .array(elements)] }

  /// The condition that names one row.
  package static func isRow(_ uuid: RowUUID) -> JSONValue { [["_uuid", "==", Self.uuid(uuid)]] }

  /// - Parameters:
  ///   - name: what other operations call the new row; a valid <id>.
  ///   - uuid: nil to let the server choose.
  package static func insert(
    _ table: String, _ row: [String: JSONValue], name: String? = nil, uuid: RowUUID? = nil
  ) -> JSONValue {
    var members: [String: JSONValue] = ["op": "insert", "table": .string(table), "row": .object(row)]
    if let name { members["uuid-name"] = .string(name) }
    if let uuid { members["uuid"] = .string(uuid.description) }
    return .object(members)
  }

  package static func update(_ table: String, where condition: JSONValue, _ row: [String: JSONValue]) -> JSONValue {
    ["op": "update", "table": .string(table), "where": condition, "row": .object(row)]
  }

  package static func update(_ table: String, _ uuid: RowUUID, _ row: [String: Datum]) -> JSONValue {
    update(table, where: isRow(uuid), row.mapValues(\.json))
  }

  package static func mutate(_ table: String, where condition: JSONValue, _ mutations: [JSONValue]) -> JSONValue {
    ["op": "mutate", "table": .string(table), "where": condition, "mutations": .array(mutations)]
  }

  package static func delete(_ table: String, where condition: JSONValue) -> JSONValue {
    ["op": "delete", "table": .string(table), "where": condition]
  }

  package static func select(_ table: String, where condition: JSONValue = [], columns: [String]? = nil) -> JSONValue {
    var members: [String: JSONValue] = ["op": "select", "table": .string(table), "where": condition]
    if let columns { members["columns"] = .array(columns.map { .string($0) }) }
    return .object(members)
  }

  /// Fails the transaction unless the rows that match hold exactly these contents (`isEqual` false: unless they do
  /// not).
  /// - Parameter timeoutMilliseconds: how long to wait for it; nil without limit, 0 not at all.
  package static func wait(
    _ table: String, where condition: JSONValue, columns: [String], rows: [[String: JSONValue]],
    isEqual: Bool = true, timeoutMilliseconds: Int64? = 0
  ) -> JSONValue {
    var members: [String: JSONValue] = [
      "op": "wait", "table": .string(table), "where": condition, "columns": .array(columns.map { .string($0) }),
      "rows": .array(rows.map { .object($0) }), "until": isEqual ? "==" : "!=",
    ]
    if let timeoutMilliseconds { members["timeout"] = .integer(timeoutMilliseconds) }
    return .object(members)
  }

  package static func comment(_ text: String) -> JSONValue { ["op": "comment", "comment": .string(text)] }
  package static func assert(lock: String) -> JSONValue { ["op": "assert", "lock": .string(lock)] }
}
