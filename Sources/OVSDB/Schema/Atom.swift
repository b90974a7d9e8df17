// One value of an atomic type (RFC 7047 §3.1, <atom>). Strings are compared by their bytes, as ovsdb-server does:
// Swift's own equality would call "é" and "e" + accent the same and so drop one of them from a set.

/// The atomic types.
package enum AtomicType: String, Sendable, CaseIterable {
  case integer, real, boolean, string, uuid
}

/// A value of an atomic type.
package enum Atom: Sendable {
  case integer(Int64)
  case real(Double)
  case boolean(Bool)
  case string(String)
  case uuid(RowUUID)
}

extension Atom {
  package var type: AtomicType {
    switch self {
    case .integer: .integer
    case .real: .real
    case .boolean: .boolean
    case .string: .string
    case .uuid: .uuid
    }
  }

  /// What a column holds that nobody set: 0, 0.0, false, "", the zero UUID (RFC 7047 §5.2.1).
  package static func defaultValue(of type: AtomicType) -> Atom {
    switch type {
    case .integer: .integer(0)
    case .real: .real(0)
    case .boolean: .boolean(false)
    case .string: .string("")
    case .uuid: .uuid(.zero)
    }
  }

  package var integer: Int64? { if case .integer(let value) = self { value } else { nil } }
  package var real: Double? { if case .real(let value) = self { value } else { nil } }
  package var boolean: Bool? { if case .boolean(let value) = self { value } else { nil } }
  package var string: String? { if case .string(let value) = self { value } else { nil } }
  package var uuid: RowUUID? { if case .uuid(let value) = self { value } else { nil } }

  /// Order of two strings by their UTF-8 bytes.
  package static func precedes(_ a: String, _ b: String) -> Bool { a.utf8.lexicographicallyPrecedes(b.utf8) }

  /// JSON notation: a UUID is `["uuid", "…"]`.
  package var json: JSONValue {
    switch self {
    case .integer(let value): .integer(value)
    case .real(let value): Int64(exactly: value).map(JSONValue.integer) ?? .real(value)
    case .boolean(let value): .boolean(value)
    case .string(let value): .string(value)
    case .uuid(let value): .array([.string("uuid"), .string(value.description)])
    }
  }
}

extension Atom: Hashable, Comparable {
  package static func == (a: Atom, b: Atom) -> Bool {
    switch (a, b) {
    case (.integer(let a), .integer(let b)): a == b
    case (.real(let a), .real(let b)): a == b
    case (.boolean(let a), .boolean(let b)): a == b
    case (.string(let a), .string(let b)): a.utf8.elementsEqual(b.utf8)
    case (.uuid(let a), .uuid(let b)): a == b
    default: false
    }
  }

  package static func < (a: Atom, b: Atom) -> Bool {
    switch (a, b) {
    case (.integer(let a), .integer(let b)): a < b
    case (.real(let a), .real(let b)): a < b
    case (.boolean(let a), .boolean(let b)): !a && b
    case (.string(let a), .string(let b)): precedes(a, b)
    case (.uuid(let a), .uuid(let b)): a < b
    default: a.rank < b.rank
    }
  }

  package func hash(into hasher: inout Hasher) {
    switch self {
    case .integer(let value): hasher.combine(value)
    case .real(let value): hasher.combine(value)
    case .boolean(let value): hasher.combine(value)
    case .string(let value): hasher.combine(value)
    case .uuid(let value): hasher.combine(value)
    }
  }

  private var rank: Int {
    switch self {
    case .integer: 0
    case .real: 1
    case .boolean: 2
    case .string: 3
    case .uuid: 4
    }
  }
}
