// The members of one operation object, taken one by one and checked for type; what nobody took is refused, so that a
// misspelt member never passes silently. Errors are worded as ovsdb-server's.

struct OperationMembers {
  let json: JSONValue
  private let members: [String: JSONValue]
  private let number: Int
  private let operationCount: Int
  /// Those that are there, in the order in which they were asked for.
  private var taken: [String] = []

  /// - Parameters:
  ///   - number: 1 for the first operation of the transaction.
  init(_ json: JSONValue, number: Int, of count: Int) throws(OVSDBError) {
    self.json = json
    self.number = number
    operationCount = count
    guard let members = json.object else {
      throw OVSDBError("syntax error", Self.prefix(number, count) + "Object expected.")
    }
    self.members = members
  }

  private static func prefix(_ number: Int, _ count: Int) -> String {
    "Parsing ovsdb operation \(number) of \(count) failed: "
  }

  func failure(_ details: String) -> OVSDBError {
    OVSDBError("syntax error", Self.prefix(number, operationCount) + details, syntax: json)
  }

  mutating func optional<Value>(
    _ name: String, _ convert: (JSONValue) -> Value?
  ) throws(OVSDBError) -> Value? {
    guard let member = members[name] else { return nil }
    if !taken.contains(name) { taken.append(name) }
    guard let value = convert(member) else { throw failure("Type mismatch for member '\(name)'.") }
    return value
  }

  mutating func required<Value>(_ name: String, _ convert: (JSONValue) -> Value?) throws(OVSDBError) -> Value {
    guard let value = try optional(name, convert) else {
      throw failure("Required '\(name)' member is missing.")
    }
    return value
  }

  mutating func table(in schema: DatabaseSchema) throws(OVSDBError) -> TableSchema {
    let name = try required("table") { $0.string }
    guard let table = schema.table(name) else { throw failure("No table named \(name).") }
    return table
  }

  /// Call when all members were taken.
  func finish() throws(OVSDBError) {
    if taken.count == members.count { return }
    let others = members.keys.filter { !taken.contains($0) }.sorted()
    guard let first = others.first else { return }
    switch others.count {
    case 1: throw failure("Member '\(first)' is present but not allowed here.")
    case 2: throw failure("Member '\(first)' and 1 other member are present but not allowed here.")
    default:
      throw failure("Member '\(first)' and \(others.count - 1) other members are present but not allowed here.")
    }
  }

  /// A string that is a valid <id>.
  static func identifier(_ json: JSONValue) -> String? { json.string.flatMap { Identifier.isValid($0) ? $0 : nil } }
}
