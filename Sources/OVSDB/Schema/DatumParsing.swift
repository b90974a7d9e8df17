// Column contents from JSON (RFC 7047 §5.1): type, number of elements, uniqueness and constraints are all checked
// here, so that a Datum in a row always fits its column. What a reference names is checked at commit.

/// The rows that a transaction names before they have a UUID (RFC 7047 §5.2.1, "uuid-name"). A name gets its UUID
/// when it is first seen, by whichever operation.
struct NamedUUIDs {
  struct Entry {
    var uuid: RowUUID
    var isCreated: Bool
  }

  var entries: [String: Entry] = [:]
  private(set) var generator: any RandomNumberGenerator

  init(generator: any RandomNumberGenerator) { self.generator = generator }

  mutating func makeUUID() -> RowUUID { RowUUID(generator: &generator) }

  mutating func entry(_ name: String) -> Entry {
    if let entry = entries[name] { return entry }
    let entry = Entry(uuid: makeUUID(), isCreated: false)
    entries[name] = entry
    return entry
  }
}

extension Datum {
  /// Parses a value that names only existing rows.
  /// - Throws: "syntax error", "constraint violation".
  package static func parse(_ json: JSONValue, as type: ColumnType) throws(OVSDBError) -> Datum {
    var none: NamedUUIDs?
    return try parse(json, as: type, names: &none)
  }

  static func parse(
    _ json: JSONValue, as type: ColumnType, names: inout NamedUUIDs?
  ) throws(OVSDBError) -> Datum {
    if let value = type.value {
      let elements = try elements(json, "map", type)
      var keys: [Atom] = []
      var pairs: [(Atom, Atom)] = []
      keys.reserveCapacity(elements.count)
      pairs.reserveCapacity(elements.count)
      for element in elements {
        guard case .array(let pair) = element, pair.count == 2 else {
          throw OVSDBError("syntax error", "expected 2-element array", syntax: element)
        }
        let key = try Atom.parse(pair[0], as: type.key, names: &names)
        keys.append(key)
        pairs.append((key, try Atom.parse(pair[1], as: value, names: &names)))
      }
      let map = Datum(map: pairs)
      if map.count != pairs.count { throw OVSDBError("ovsdb error", "map contains duplicate key") }
      return map
    }
    if json[0]?.string == "set" {
      let elements = try elements(json, "set", type)
      var atoms: [Atom] = []
      atoms.reserveCapacity(elements.count)
      for element in elements { atoms.append(try Atom.parse(element, as: type.key, names: &names)) }
      let set = Datum(set: atoms)
      if set.count != atoms.count { throw OVSDBError("ovsdb error", "set contains duplicate") }
      return set
    }
    return Datum(try Atom.parse(json, as: type.key, names: &names))
  }

  /// The array inside `["set", […]]` or `["map", […]]`, of a length that the type allows.
  private static func elements(
    _ json: JSONValue, _ word: String, _ type: ColumnType
  ) throws(OVSDBError) -> [JSONValue] {
    guard case .array(let outer) = json, outer.count == 2, outer[0].string == word, let elements = outer[1].array
    else { throw OVSDBError("syntax error", "expected [\"\(word)\", <array>]", syntax: json) }
    if elements.count < type.countMinimum || elements.count > type.countMaximum {
      let wanted =
        type.countMinimum == 1 && type.countMaximum == 1
        ? "exactly one member" : "\(type.countMinimum) to \(type.printedMaximum) members"
      throw OVSDBError(
        "syntax error", "\(word) must have \(wanted) but \(elements.count) are present", syntax: json)
    }
    return elements
  }
}

extension Atom {
  static func parse(
    _ json: JSONValue, as base: BaseType, names: inout NamedUUIDs?
  ) throws(OVSDBError) -> Atom {
    let atom: Atom
    switch (base.type, json) {
    case (.integer, .integer(let value)): atom = .integer(value)
    case (.real, .integer(let value)): atom = .real(Double(value))
    case (.real, .real(let value)): atom = .real(value)
    case (.boolean, .boolean(let value)): atom = .boolean(value)
    case (.string, .string(let value)): atom = .string(value)
    case (.uuid, _): atom = .uuid(try uuid(json, names: &names))
    default: throw OVSDBError("syntax error", "expected \(base.type)", syntax: json)
    }
    try base.check(atom)
    return atom
  }

  private static func uuid(_ json: JSONValue, names: inout NamedUUIDs?) throws(OVSDBError) -> RowUUID {
    if case .array(let pair) = json, pair.count == 2, let text = pair[1].string {
      if pair[0].string == "uuid" {
        if let uuid = RowUUID(text) { return uuid }
        throw OVSDBError("syntax error", "\"\(text)\" is not a valid UUID", syntax: json)
      }
      if pair[0].string == "named-uuid", names != nil {
        guard Identifier.isValid(text) else {
          throw OVSDBError("syntax error", "named-uuid string is not a valid <id>", syntax: json)
        }
        if let entry = names?.entry(text) { return entry.uuid }
      }
    }
    throw OVSDBError("syntax error", "expected [\"uuid\", <string>]", syntax: json)
  }
}
