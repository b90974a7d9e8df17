// Values from the command line, in the syntax of ovs-vsctl(8) "Database Values", checked against the column's
// constraints before anything is sent. Pure but for the symbols, which name rows to come.

import OVSDB

/// Rows named `@name` on one command line.
struct SymbolTable {
  struct Symbol {
    var uuid: RowUUID
    /// A `create` or `get` with this `--id` has been run.
    var isDefined = false
    /// Some column holds it, weakly.
    var isReferenced = false
    /// Some column holds it so that the row lives, or it lives without.
    var isHeld = false
    /// Made on this command line.
    var isNew = true
  }

  private(set) var symbols: [String: Symbol] = [:]
  private var generator: any RandomNumberGenerator

  init(generator: any RandomNumberGenerator = SystemRandomNumberGenerator()) { self.generator = generator }

  /// A UUID for a row of this transaction; the server may choose another one.
  mutating func makeUUID() -> RowUUID { RowUUID(high: generator.next(), low: generator.next()) }

  mutating func reference(_ name: String, strength: BaseType.ReferenceStrength) -> RowUUID {
    var symbol = symbols[name] ?? Symbol(uuid: makeUUID())
    symbol.isReferenced = true
    if strength == .strong { symbol.isHeld = true }
    symbols[name] = symbol
    return symbol.uuid
  }

  /// - Parameters:
  ///   - uuid: the row that the name stands for; nil for one that is to be made.
  ///   - isRoot: the row lives without being referenced.
  mutating func define(_ name: String, as uuid: RowUUID? = nil, isRoot: Bool = false) throws(CommandFault) -> RowUUID {
    guard name.hasPrefix("@"), name.utf8.count > 1 else {
      throw CommandFault("row id \"\(name)\" does not begin with \"@\"", remedy: "write --id=@\(name)")
    }
    var symbol = symbols[name] ?? Symbol(uuid: uuid ?? makeUUID())
    if symbol.isDefined || uuid != nil && symbol.uuid != uuid {
      throw CommandFault(
        "row id \"\(name)\" may only be specified in one --id option, before its first use",
        remedy: "give the second row another id",
        reference: symbol.isDefined
          ? "row id \"\(name)\" may only be specified on one --id option"
          : "row id \"\(name)\" specified on \"get\" command was used before it was defined")
    }
    symbol.isDefined = true
    symbol.isNew = uuid == nil
    if isRoot { symbol.isHeld = true }
    symbols[name] = symbol
    return symbol.uuid
  }

  /// Checks that each name stands for a row.
  func checkDefined() throws(CommandFault) {
    for (name, symbol) in symbols.sorted(by: { $0.key < $1.key }) where !symbol.isDefined {
      throw CommandFault(
        "row id \"\(name)\" is referenced but never created", remedy: "add \"-- --id=\(name) create TABLE …\"",
        reference: "row id \"\(name)\" is referenced but never created (e.g. with \"-- --id=\(name) create ...\")")
    }
  }

  /// What to say of new rows that nothing holds: they go as soon as they are made.
  var warnings: [Warning] {
    symbols.filter { $0.value.isNew && $0.value.isDefined && !$0.value.isHeld }.sorted { $0.key < $1.key }.map {
      let reason =
        $0.value.isReferenced
        ? "only a weak reference to it was inserted" : "no reference to it was inserted"
      return Warning(
        module: "vsctl",
        text: "row id \"\($0.key)\" was created but \(reason), so it will not actually appear in the database")
    }
  }
}

enum DatumParser {
  /// Elements that one range may stand for.
  private static let rangeLimit = 4096

  /// Parses a whole argument as the content of a column.
  static func datum(
    _ text: String, _ type: ColumnType, symbols: inout SymbolTable
  ) throws(CommandFault) -> Datum {
    let what = type.english
    var reader = TokenReader(text)
    reader.skipSpaces()
    guard !reader.isAtEnd else {
      throw CommandFault(
        "an empty value is no \(what)",
        remedy: type.isMap ? "use {} for the empty map" : "use [] for the empty set, \"\" for the empty string",
        reference: type.isMap ? "use \"{}\" to specify the empty map" : "use \"[]\" to specify the empty set")
    }
    let closing: Character? = reader.accept(type.isMap ? "{" : "[") ? (type.isMap ? "}" : "]") : nil
    reader.skipSpaces()
    var keys: [Atom] = []
    var values: [Atom] = []
    while let byte = reader.next, byte != closing?.asciiValue {
      guard !TokenReader.isDelimiter(byte) else {
        throw CommandFault(
          "\(text): unexpected \"\(Character(Unicode.Scalar(byte)))\" parsing \(what)",
          remedy: "quote text that has punctuation in it, as '\"\(text)\"'")
      }
      let key = try atoms(reader.word(), type.key, symbols: &symbols)
      if let base = type.value {
        reader.skipSpaces()
        guard reader.accept("=") else {
          let found = reader.next.map { "\"\(Character(Unicode.Scalar($0)))\"" } ?? "the end"
          // At the end ovs-vsctl's own message ends.
          throw CommandFault(
            "\(text): syntax error at \(found) expecting \"=\"", remedy: "write key=value",
            reference: reader.next == nil ? "\(text): syntax error at \"" : nil)
        }
        reader.skipSpaces()
        values.append(try atom(reader.word(), base, symbols: &symbols))
      }
      keys += key
      reader.skipSpaces()
      if reader.accept(",") { reader.skipSpaces() }
    }
    if let closing {
      guard reader.accept(closing) else {
        throw CommandFault("\(text): missing \"\(closing)\" at end of data", remedy: "close what you opened")
      }
      reader.skipSpaces()
      guard reader.isAtEnd else {
        throw CommandFault("\(text): trailing garbage after \"\(closing)\"", remedy: "leave out \(reader.rest)")
      }
    }
    guard Set(keys).count == keys.count else {
      throw CommandFault(
        "\(text): \(type.isMap ? "map contains duplicate key" : "set contains duplicate value")",
        remedy: "give each one once")
    }
    try checkCount(keys.count, type, text)
    return type.isMap ? Datum(map: zip(keys, values)) : Datum(set: keys)
  }

  private static func checkCount(_ count: Int, _ type: ColumnType, _ text: String) throws(CommandFault) {
    if count < type.countMinimum {
      throw CommandFault(
        "\(text): \(count) value(s) specified but the minimum number is \(type.countMinimum)", remedy: "give a value")
    }
    if count > type.countMaximum {
      throw CommandFault(
        "\(text): \(count) value(s) specified but the maximum number is \(type.countMaximum)", remedy: "give fewer")
    }
  }

  /// Parses one word; for integers a range `1-5` too.
  static func atoms(
    _ text: String, _ base: BaseType, symbols: inout SymbolTable
  ) throws(CommandFault) -> [Atom] {
    guard base.type == .integer, let dash = text.dropFirst().firstIndex(of: "-"),
      let low = Int64(text[..<dash]), let high = Int64(text[text.index(after: dash)...])
    else { return [try atom(text, base, symbols: &symbols)] }
    guard low <= high else {
      throw CommandFault(
        "\"\(text)\" is not a valid range", remedy: "give the smaller number first: \(high)-\(low)",
        reference: "\"\(text)\" is not a valid range. Range end cannot be before start.")
    }
    // The ends are in the range, so everything between is.
    for end in [low, high] { try check(.integer(end), base) }
    let (size, overflow) = high.subtractingReportingOverflow(low)
    guard !overflow, size < rangeLimit else {
      throw CommandFault(
        "\"\(text)\" has too many elements", remedy: "give ranges of at most \(rangeLimit)",
        reference: "constraint violation: Range \"\(text)\" is too big. Maximum allowed size is \(rangeLimit).")
    }
    return (low...high).map(Atom.integer)
  }

  /// Parses one value, all of the text.
  static func atom(
    _ text: String, _ base: BaseType, symbols: inout SymbolTable
  ) throws(CommandFault) -> Atom {
    let atom: Atom
    switch base.type {
    case .integer:
      guard let value = Int64(text) else {
        throw CommandFault("\"\(text)\" is not a valid integer or range", remedy: "give \(wanted(base))")
      }
      atom = .integer(value)
    case .real:
      guard let value = Double(text), value.isFinite else {
        throw CommandFault("\"\(text)\" is not a valid real number", remedy: "give \(wanted(base))")
      }
      atom = .real(value)
    case .boolean:
      switch text {
      case "true", "yes", "on", "1": atom = .boolean(true)
      case "false", "no", "off", "0": atom = .boolean(false)
      default:
        throw CommandFault(
          "\"\(text)\" is not a valid boolean", remedy: "give true or false",
          reference: "\"\(text)\" is not a valid boolean (use \"true\" or \"false\")")
      }
    case .string:
      guard !text.isEmpty else {
        throw CommandFault(
          "an empty value is not valid", remedy: "use '\"\"' for the empty string",
          reference: "An empty string is not valid as input; use \"\" to represent the empty string")
      }
      atom = .string(text.hasPrefix("\"") ? try TokenReader.unquoted(text) : text)
    case .uuid:
      if text.hasPrefix("@") {
        atom = .uuid(symbols.reference(text, strength: base.referenceStrength))
      } else if let uuid = RowUUID(text) {
        atom = .uuid(uuid)
      } else {
        throw CommandFault(
          "\"\(text)\" is not a valid UUID", remedy: "give a row's UUID, or @name with \"-- --id=@name create …\"")
      }
    }
    try check(atom, base)
    return atom
  }

  /// The column's constraints.
  private static func check(_ atom: Atom, _ base: BaseType) throws(CommandFault) {
    if let allowed = base.allowed, !allowed.contains(atom) {
      let known = allowed.atoms.map(DatumFormat.bare)
      throw CommandFault(
        "constraint violation: \(DatumFormat.bare(atom)) is not one of the allowed values (\(DatumFormat.string(allowed, .set(base))))",
        remedy: Suggestion.nearest(to: DatumFormat.bare(atom), among: known).map { "did you mean \($0)?" }
          ?? "give one of these")
    }
    var isInRange = true
    switch atom {
    case .integer(let value):
      isInRange = value >= base.integerMinimum ?? .min && value <= base.integerMaximum ?? .max
    case .real(let value):
      isInRange = value >= base.realMinimum ?? -.infinity && value <= base.realMaximum ?? .infinity
    case .string(let value):
      let count = value.unicodeScalars.count
      isInRange = count >= base.lengthMinimum ?? 0 && count <= base.lengthMaximum ?? .max
    default: break
    }
    guard isInRange else {
      throw CommandFault(
        "constraint violation: \(DatumFormat.bare(atom)) is not in the valid range", remedy: "give \(wanted(base))",
        reference: "constraint violation: \(outOfRange(atom, base))")
    }
  }

  /// In the words of ovs-vsctl.
  private static func outOfRange(_ atom: Atom, _ base: BaseType) -> String {
    let text = DatumFormat.bare(atom)
    switch (base.integerMinimum, base.integerMaximum) {
    case (let low?, let high?): return "\(text) is not in the valid range \(low) to \(high) (inclusive)"
    case (let low?, nil): return "\(text) is less than minimum allowed value \(low)"
    case (nil, let high?): return "\(text) is greater than maximum allowed value \(high)"
    case (nil, nil): return "\(text) is not in the valid range"
    }
  }

  /// "a number from 0 to 4095".
  static func wanted(_ base: BaseType) -> String {
    switch base.type {
    case .integer:
      switch (base.integerMinimum, base.integerMaximum) {
      case (let low?, let high?): "a number from \(low) to \(high)"
      case (let low?, nil): "a number of at least \(low)"
      case (nil, let high?): "a number of at most \(high)"
      case (nil, nil): "a whole number"
      }
    case .real: "a number"
    case .boolean: "true or false"
    case .string:
      base.lengthMinimum != nil || base.lengthMaximum != nil
        ? "text of \(base.lengthMinimum ?? 0) to \(base.lengthMaximum.map(String.init) ?? "any number of") characters"
        : "text"
    case .uuid: "a UUID"
    }
  }
}
