// The check of one value against its base type, and the words that errors are made of: the same as ovsdb-server's,
// since people search for them.

extension BaseType {
  /// - Throws: "constraint violation".
  func check(_ atom: Atom) throws(OVSDBError) {
    if let allowed {
      if !allowed.contains(atom) {
        let list = allowed.atoms.map(\.text).joined(separator: ", ")
        throw OVSDBError("constraint violation", "\(atom.text) is not one of the allowed values ([\(list)])")
      }
      return
    }
    switch atom {
    case .integer(let value):
      try Self.check(value, from: integerMinimum, to: integerMaximum)
    case .real(let value):
      try Self.check(value, from: realMinimum, to: realMaximum)
    case .string(let value):
      if lengthMinimum == nil && lengthMaximum == nil { return }
      let length = value.unicodeScalars.count
      if let lengthMinimum, length < lengthMinimum {
        throw OVSDBError(
          "constraint violation",
          "\"\(value)\" length \(length) is less than minimum allowed length \(lengthMinimum)")
      }
      if let lengthMaximum, length > lengthMaximum {
        throw OVSDBError(
          "constraint violation",
          "\"\(value)\" length \(length) is greater than maximum allowed length \(lengthMaximum)")
      }
    case .boolean, .uuid: break
    }
  }

  private static func check<Number: Comparable>(
    _ value: Number, from minimum: Number?, to maximum: Number?
  ) throws(OVSDBError) {
    let isLow = minimum.map { value < $0 } ?? false
    let isHigh = maximum.map { value > $0 } ?? false
    guard isLow || isHigh else { return }
    let details: String
    if let minimum, let maximum {
      details = "\(value) is not in the valid range \(minimum) to \(maximum) (inclusive)"
    } else if let minimum {
      details = "\(value) is less than minimum allowed value \(minimum)"
    } else if let maximum {
      details = "\(value) is greater than maximum allowed value \(maximum)"
    } else {
      return
    }
    throw OVSDBError("constraint violation", details)
  }

  var hasConstraints: Bool {
    var plain = BaseType(type)
    plain.referenceStrength = referenceStrength
    return self != plain
  }

  /// The table that is named strongly; nil if this is no strong reference.
  var strongTable: String? { referenceStrength == .strong ? referencedTable : nil }
  /// The table that is named weakly; nil if this is no weak reference.
  var weakTable: String? { referenceStrength == .weak ? referencedTable : nil }
}

extension ColumnType {
  /// "integer", "set of up to 4096 integers", "map of (string, string) pairs".
  package var english: String {
    if isScalar { return key.type.rawValue }
    var text = isMap ? "map of" : "set of"
    if countMaximum == .max {
      if countMinimum > 0 { text += " \(countMinimum) or more" }
    } else if countMinimum > 0 {
      text += " \(countMinimum) to \(countMaximum)"
    } else {
      text += " up to \(countMaximum)"
    }
    if let value { return text + " (\(key.type), \(value.type)) pairs" }
    return text + " \(key.type)s"
  }

  /// The largest count as ovsdb-server prints it.
  var printedMaximum: Int { countMaximum == .max ? 4_294_967_295 : countMaximum }
}

extension Atom {
  /// As command lines write it: a string stands in quotes unless it is a plain word.
  package var text: String {
    switch self {
    case .integer(let value): return String(value)
    case .real(let value): return Int64(exactly: value).map(String.init) ?? String(value)
    case .boolean(let value): return value ? "true" : "false"
    case .uuid(let value): return value.description
    case .string(let value):
      return Self.needsQuotes(value) ? JSONValue.string(value).serialized() : value
    }
  }

  private static func needsQuotes(_ text: String) -> Bool {
    func isLetter(_ byte: UInt8) -> Bool {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"): true
      default: false
      }
    }
    guard let first = text.utf8.first, isLetter(first) else { return true }
    let isWord = text.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."): true
      default: isLetter(byte)
      }
    }
    return !isWord || text == "true" || text == "false" || RowUUID(text) != nil
  }
}
