// What the operators of `find` mean, ovs-vsctl(8) "Database Command Syntax". Pure.

import OVSDB

extension ColumnArgument {
  /// Whether a row satisfies this condition.
  func isSatisfied(by row: Row, symbols: inout SymbolTable) throws(CommandFault) -> Bool {
    let have = row[column.name]
    if let key = try keyAtom(for: "check", symbols: &symbols), let base = column.type.value {
      let found = have.value(for: key)
      if found == nil && !relation.comparesSets { return false }
      let type = ColumnType(key: base, countMinimum: 0, countMaximum: relation.comparesSets ? .max : 1)
      let want = try DatumParser.datum(value, type, symbols: &symbols)
      return relation.holds(found.map { Datum($0) } ?? .empty, want)
    }
    var type = column.type
    type.countMinimum = 0
    return relation.holds(have, try DatumParser.datum(value, type, symbols: &symbols))
  }
}

extension RelationalOperator {
  func holds(_ a: Datum, _ b: Datum) -> Bool {
    switch self {
    case .equal, .setEqual: a == b
    case .notEqual, .setNotEqual: a != b
    case .less: Self.precedes(a, b)
    case .greater: Self.precedes(b, a)
    case .lessOrEqual: !Self.precedes(b, a)
    case .greaterOrEqual: !Self.precedes(a, b)
    case .subset, .isIn: Self.includes(b, a)
    case .superset: Self.includes(a, b)
    case .properSubset: a.count < b.count && Self.includes(b, a)
    case .properSuperset: a.count > b.count && Self.includes(a, b)
    case .notIn: !a.atoms.enumerated().contains { Self.contains(b, element: $0.offset, of: a) }
    }
  }

  /// Fewer elements first, then by elements, then by values.
  private static func precedes(_ a: Datum, _ b: Datum) -> Bool {
    if a.count != b.count { return a.count < b.count }
    if a.atoms != b.atoms { return a.atoms.lexicographicallyPrecedes(b.atoms) }
    return a.mapValues.lexicographicallyPrecedes(b.mapValues)
  }

  private static func includes(_ all: Datum, _ some: Datum) -> Bool {
    some.atoms.indices.allSatisfy { contains(all, element: $0, of: some) }
  }

  private static func contains(_ all: Datum, element index: Int, of some: Datum) -> Bool {
    let key = some.atoms[index]
    return some.isMap ? all.value(for: key) == some.mapValues[index] : all.contains(key)
  }
}
