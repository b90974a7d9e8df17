// Changes to a column in place (RFC 7047 §5.1, <mutation>). Arithmetic is checked: an overflow is a "range error",
// never a trap.

struct Mutation {
  enum Mutator: String {
    case add = "+="
    case subtract = "-="
    case multiply = "*="
    case divide = "/="
    case remainder = "%="
    case insert, delete
  }

  let column: ColumnSchema
  let mutator: Mutator
  let argument: Datum

  init(_ json: JSONValue, table: TableSchema, names: inout NamedUUIDs?) throws(OVSDBError) {
    guard case .array(let parts) = json, parts.count == 3, let name = parts[0].string, let word = parts[1].string
    else { throw OVSDBError("syntax error", "Parse error in mutation.", syntax: json) }
    let isPseudoColumn = name == "_uuid" || name == "_version"
    let found = table.column(name)
    if found == nil && !isPseudoColumn {
      throw OVSDBError("unknown column", "No column \(name) in table \(table.name).", syntax: json)
    }
    guard let column = found, column.isMutable else {
      throw OVSDBError(
        "constraint violation", "Cannot mutate immutable column \(name) in table \(table.name).", syntax: json)
    }
    guard let mutator = Mutator(rawValue: word) else {
      throw OVSDBError("unknown mutator", "No mutator named \(word).")
    }
    self.column = column
    self.mutator = mutator
    var type = column.type
    let mismatch = OVSDBError(
      "syntax error",
      "Type mismatch: \"\(word)\" operator may not be applied to column \(name) of type \(type.english).",
      syntax: json)
    switch mutator {
    case .insert, .delete:
      if type.isScalar { throw mismatch }
      type.countMinimum = 0
      if mutator == .delete { type.countMaximum = .max }
      do {
        argument = try Datum.parse(parts[2], as: type, names: &names)
      } catch {
        // Of a map, keys alone can be deleted too.
        guard type.isMap, mutator == .delete else { throw error }
        type.value = nil
        guard let keys = try? Datum.parse(parts[2], as: type, names: &names) else { throw error }
        argument = keys
      }
    case .add, .subtract, .multiply, .divide, .remainder:
      let isNumber = type.key.type == .integer || type.key.type == .real && mutator != .remainder
      guard isNumber, !type.isMap else { throw mismatch }
      argument = try Datum.parse(parts[2], as: ColumnType(key: BaseType(type.key.type)), names: &names)
    }
  }

  /// - Throws: "constraint violation", "range error", "domain error".
  func apply(to row: inout Row) throws(OVSDBError) {
    let old = row[column.name]
    let new: Datum
    switch mutator {
    case .insert: new = old.union(argument)
    case .delete: new = old.subtracting(argument)
    default: new = try arithmetic(on: old)
    }
    let type = column.type
    if new.count < type.countMinimum || new.count > type.countMaximum {
      throw OVSDBError("constraint violation", "Attempted to store \(new.count) elements in \(type.english).")
    }
    row[column.name] = new
  }

  private func arithmetic(on old: Datum) throws(OVSDBError) -> Datum {
    guard let operand = argument.scalar else { return old }
    var results: [Atom] = []
    results.reserveCapacity(old.count)
    for atom in old.atoms {
      let result = try compute(atom, operand)
      try column.type.key.check(result)
      results.append(result)
    }
    let set = Datum(set: results)
    if set.count != results.count {
      throw OVSDBError("constraint violation", "Result of \"\(mutator.rawValue)\" operation contains duplicates.")
    }
    return set
  }

  private func compute(_ a: Atom, _ b: Atom) throws(OVSDBError) -> Atom {
    let divides = mutator == .divide || mutator == .remainder
    switch (a, b) {
    case (.integer(let a), .integer(let b)):
      if divides && b == 0 { throw OVSDBError("domain error", "Division by zero.") }
      let (value, overflow) =
        switch mutator {
        case .add: a.addingReportingOverflow(b)
        case .subtract: a.subtractingReportingOverflow(b)
        case .multiply: a.multipliedReportingOverflow(by: b)
        case .divide: a.dividedReportingOverflow(by: b)
        default: a.remainderReportingOverflow(dividingBy: b)
        }
      if overflow { throw rangeError }
      return .integer(value)
    case (.real(let a), .real(let b)):
      if divides && b == 0 { throw OVSDBError("domain error", "Division by zero.") }
      let value =
        switch mutator {
        case .add: a + b
        case .subtract: a - b
        case .multiply: a * b
        default: a / b
        }
      guard value.isFinite else { throw rangeError }
      return .real(value)
    default: return a
    }
  }

  private var rangeError: OVSDBError {
    OVSDBError("range error", "Result of \"\(mutator.rawValue)\" operation is out of range.")
  }
}

extension Datum {
  /// With the elements of `other` added; a key that a map has already keeps its value.
  package func union(_ other: Datum) -> Datum {
    if other.isEmpty { return self }
    guard isMap else { return setUnion(other) }
    return Datum(map: other.pairs.map { ($0.key, $0.value) } + pairs.map { ($0.key, $0.value) })
  }

  /// Without the elements of `other`; from a map, a map takes equal pairs and a set takes keys.
  package func subtracting(_ other: Datum) -> Datum {
    if other.isEmpty || isEmpty { return self }
    guard isMap else { return Datum(set: setDifference(other)) }
    let kept = pairs.filter { pair in
      other.isMap ? other.value(for: pair.key) != pair.value : !other.contains(pair.key)
    }
    return Datum(map: kept.map { ($0.key, $0.value) })
  }
}
