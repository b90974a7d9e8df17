// Conditions on rows (RFC 7047 §5.1, <condition>): what `where` of operations and of monitors selects by. All clauses
// must hold; `true` and `false` stand for themselves (the extension of monitor_cond).

/// A parsed `where`.
package struct Condition: Sendable, Equatable {
  enum Function: String, Sendable {
    case less = "<"
    case lessOrEqual = "<="
    case equal = "=="
    case notEqual = "!="
    case greaterOrEqual = ">="
    case greater = ">"
    case includes, excludes
  }

  struct Clause: Sendable, Equatable {
    var column: String
    var function: Function
    var argument: Datum
  }

  private(set) var clauses: [Clause] = []
  /// A `false` among the clauses.
  private(set) var isNever = false
  /// A `true` among the clauses.
  private var hasTrue = false

  /// Holds for every row.
  package static let always = Condition()

  package var isAlways: Bool { clauses.isEmpty && !isNever }

  private init() {}

  /// - Throws: "syntax error", "unknown column", "unknown function", "constraint violation".
  package init(_ json: [JSONValue], table: TableSchema) throws(OVSDBError) {
    var none: NamedUUIDs?
    try self.init(json, table: table, names: &none)
  }

  init(_ json: [JSONValue], table: TableSchema, names: inout NamedUUIDs?) throws(OVSDBError) {
    for element in json {
      if let constant = element.boolean {
        if constant { hasTrue = true } else { isNever = true }
        continue
      }
      guard case .array(let parts) = element, parts.count == 3, let column = parts[0].string,
        let functionName = parts[1].string
      else { throw OVSDBError("syntax error", "Parse error in condition.", syntax: element) }
      guard var type = table.typeOfColumn(column) else {
        throw OVSDBError("unknown column", "No column \(column) in table \(table.name).", syntax: element)
      }
      guard let function = Function(rawValue: functionName) else {
        throw OVSDBError("unknown function", "No function named \(functionName).")
      }
      switch function {
      case .less, .lessOrEqual, .greaterOrEqual, .greater:
        let isNumber = type.key.type == .integer || type.key.type == .real
        guard isNumber, type.isScalar || type.isOptional else {
          throw OVSDBError(
            "syntax error",
            "Type mismatch: \"\(functionName)\" operator may not be applied to column \(column) of type "
              + "\(type.english).", syntax: element)
        }
        type.countMinimum = 1
      case .equal, .notEqual: break
      case .includes: if !type.isScalar { type.countMinimum = 0 }
      case .excludes:
        if !type.isScalar {
          type.countMinimum = 0
          type.countMaximum = .max
        }
      }
      let argument = try Datum.parse(parts[2], as: type, names: &names)
      clauses.append(Clause(column: column, function: function, argument: argument))
    }
  }

  /// The only row that can match, where the condition says so by `_uuid`.
  var onlyUUID: RowUUID? {
    clauses.first { $0.column == "_uuid" && $0.function == .equal }?.argument.uuid
  }

  /// What a column must be equal to.
  func equality(of column: String) -> Datum? {
    clauses.first { $0.column == column && $0.function == .equal }?.argument
  }

  /// Whether all clauses hold: the `where` of operations.
  package func matches(_ row: Row) -> Bool { !isNever && clauses.allSatisfy { $0.matches(row) } }

  /// Whether there is no clause or any of them holds: the `where` of monitors (ovsdb-server(7), monitor_cond).
  package func matchesAny(_ row: Row) -> Bool {
    hasTrue || clauses.isEmpty && !isNever || clauses.contains { $0.matches(row) }
  }
}

extension Condition.Clause {
  func matches(_ row: Row) -> Bool {
    let field = row[column]
    switch function {
    case .equal: return field == argument
    case .notEqual: return field != argument
    case .includes: return field.includes(argument)
    case .excludes: return field.excludes(argument)
    case .less, .lessOrEqual, .greaterOrEqual, .greater:
      guard let a = field.scalar, let b = argument.scalar else { return false }
      return switch function {
      case .less: a < b
      case .lessOrEqual: a <= b
      case .greaterOrEqual: a >= b
      default: a > b
      }
    }
  }
}

extension Datum {
  /// Whether every element (for maps: every pair) of `other` is here.
  package func includes(_ other: Datum) -> Bool {
    isMap ? other.pairs.allSatisfy { value(for: $0.key) == $0.value } : other.atoms.allSatisfy(contains)
  }

  /// Whether no element (for maps: no pair) of `other` is here.
  package func excludes(_ other: Datum) -> Bool {
    isMap ? !other.pairs.contains { value(for: $0.key) == $0.value } : !other.atoms.contains(where: contains)
  }
}

extension TableSchema {
  /// The type of a column, of `_uuid` and of `_version`; nil if there is none of that name.
  package func typeOfColumn(_ name: String) -> ColumnType? {
    if let column = column(name) { return column.type }
    return name == "_uuid" || name == "_version" ? .uuid : nil
  }
}
