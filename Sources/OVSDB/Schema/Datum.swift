// The content of one column of one row (RFC 7047 §3.1, <value>): a set of atoms (a scalar is a set of one, an absent
// optional value the empty set) or a map. Canonical: keys sorted and unique, one-element sets in one form only, so
// that equal contents are equal values. A pure value; an empty or one-element set owns no heap memory but its string.

/// A column's content.
package struct Datum: Hashable, Sendable {
  private enum Storage: Hashable, Sendable {
    case one(Atom)
    case set([Atom])  // sorted, never exactly one
    case map([Atom], [Atom])  // keys sorted
  }

  private let storage: Storage

  /// A set of one.
  package init(_ atom: Atom) { storage = .one(atom) }

  /// A set; duplicates count once.
  package init(set atoms: some Sequence<Atom>) {
    let sorted = atoms.sorted()
    var unique: [Atom] = []
    unique.reserveCapacity(sorted.count)
    for atom in sorted where unique.last != atom { unique.append(atom) }
    self.init(canonicalSet: unique)
  }

  /// A set whose elements are sorted and unique already.
  private init(canonicalSet atoms: [Atom]) { storage = atoms.count == 1 ? .one(atoms[0]) : .set(atoms) }

  /// A map; of two pairs with one key the last one counts.
  package init(map pairs: some Sequence<(Atom, Atom)>) {
    let sorted = Dictionary(pairs, uniquingKeysWith: { _, last in last }).sorted { $0.key < $1.key }
    storage = .map(sorted.map(\.key), sorted.map(\.value))
  }

  /// The empty set.
  package static let empty = Datum(set: [])
  /// The empty map.
  package static let emptyMap = Datum(map: [])

  package static func integer(_ value: Int64) -> Datum { Datum(.integer(value)) }
  package static func boolean(_ value: Bool) -> Datum { Datum(.boolean(value)) }
  package static func string(_ value: String) -> Datum { Datum(.string(value)) }
  package static func uuid(_ value: RowUUID) -> Datum { Datum(.uuid(value)) }
  package static func strings(_ values: some Sequence<String>) -> Datum { Datum(set: values.map(Atom.string)) }
  package static func integers(_ values: some Sequence<Int64>) -> Datum { Datum(set: values.map(Atom.integer)) }
  package static func uuids(_ values: some Sequence<RowUUID>) -> Datum { Datum(set: values.map(Atom.uuid)) }
  package static func map(_ values: [String: String]) -> Datum {
    Datum(map: values.map { (.string($0.key), .string($0.value)) })
  }
  package static func map(_ values: [String: Int64]) -> Datum {
    Datum(map: values.map { (.string($0.key), .integer($0.value)) })
  }
}

extension Datum {
  package var isMap: Bool { if case .map = storage { true } else { false } }
  package var isEmpty: Bool { count == 0 }

  /// Elements of the set or pairs of the map.
  package var count: Int {
    switch storage {
    case .one: 1
    case .set(let atoms): atoms.count
    case .map(let keys, _): keys.count
    }
  }

  /// The elements of the set, or the keys of the map, in order.
  package var atoms: [Atom] {
    switch storage {
    case .one(let atom): [atom]
    case .set(let atoms): atoms
    case .map(let keys, _): keys
    }
  }

  /// The map's values in the order of its keys; empty for a set.
  package var mapValues: [Atom] { if case .map(_, let values) = storage { values } else { [] } }

  /// The map's pairs in order of their keys; empty for a set.
  package var pairs: [(key: Atom, value: Atom)] {
    if case .map(let keys, let values) = storage { zip(keys, values).map { ($0, $1) } } else { [] }
  }

  /// The only element of a set of one; nil for larger and empty sets, and for maps.
  package var scalar: Atom? { if case .one(let atom) = storage { atom } else { nil } }

  package var integer: Int64? { scalar?.integer }
  package var real: Double? { scalar?.real }
  package var boolean: Bool? { scalar?.boolean }
  package var string: String? { scalar?.string }
  package var uuid: RowUUID? { scalar?.uuid }
  /// The elements (or keys) that are of this type, in order.
  package var integers: [Int64] { atoms.compactMap(\.integer) }
  package var strings: [String] { atoms.compactMap(\.string) }
  package var uuids: [RowUUID] { atoms.compactMap(\.uuid) }

  /// A string-to-string map; pairs of other types are left out.
  package var map: [String: String] {
    var result: [String: String] = [:]
    for (key, value) in pairs { if let key = key.string, let value = value.string { result[key] = value } }
    return result
  }

  /// The value of a string key in a map; nil if absent.
  package subscript(key: String) -> Atom? { value(for: .string(key)) }

  /// The value of a key in a map; nil if absent.
  package func value(for key: Atom) -> Atom? {
    guard case .map(let keys, let values) = storage, let index = Self.index(of: key, in: keys) else { return nil }
    return values[index]
  }

  /// Whether a set has the element, or a map the key.
  package func contains(_ atom: Atom) -> Bool {
    switch storage {
    case .one(let only): only == atom
    case .set(let atoms): Self.index(of: atom, in: atoms) != nil
    case .map(let keys, _): Self.index(of: atom, in: keys) != nil
    }
  }

  private static func index(of atom: Atom, in sorted: [Atom]) -> Int? {
    var low = 0
    var high = sorted.count
    while low < high {
      let middle = low + (high - low) / 2
      if sorted[middle] < atom { low = middle + 1 } else { high = middle }
    }
    return low < sorted.count && sorted[low] == atom ? low : nil
  }

  /// The set of the elements of both sets; linear.
  func setUnion(_ other: Datum) -> Datum {
    Datum(canonicalSet: Self.merge(atoms, other.atoms) { _, _ in true })
  }

  /// The elements (or keys) that are here and not in `other`; linear.
  package func setDifference(_ other: Datum) -> [Atom] {
    Self.merge(atoms, other.atoms) { here, there in here && !there }
  }

  /// The set of the elements that are in one of the sets only; linear.
  func setSymmetricDifference(_ other: Datum) -> Datum {
    Datum(canonicalSet: Self.merge(atoms, other.atoms) { here, there in here != there })
  }

  /// Walks two sorted lists and keeps what `keep` says, knowing in which of them it is.
  private static func merge(_ a: [Atom], _ b: [Atom], keep: (Bool, Bool) -> Bool) -> [Atom] {
    var result: [Atom] = []
    result.reserveCapacity(a.count + b.count)
    var (i, j) = (0, 0)
    while i < a.count || j < b.count {
      let takesA = j == b.count || i < a.count && !(b[j] < a[i])
      let takesB = i == a.count || j < b.count && !(a[i] < b[j])
      if keep(takesA, takesB) { result.append(takesA ? a[i] : b[j]) }
      if takesA { i += 1 }
      if takesB { j += 1 }
    }
    return result
  }

  /// JSON notation: a scalar plain, other sets `["set", […]]`, maps `["map", [[key, value], …]]`.
  package var json: JSONValue {
    switch storage {
    case .one(let atom): atom.json
    case .set(let atoms): .array([.string("set"), .array(atoms.map(\.json))])
    case .map(let keys, let values):
      .array([.string("map"), .array(zip(keys, values).map { .array([$0.json, $1.json]) })])
    }
  }
}
