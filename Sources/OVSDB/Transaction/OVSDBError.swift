// Errors in OVSDB's form (RFC 7047 §3.1, <error>): a fixed tag for programs, a sentence for people.

/// An error of the database.
package struct OVSDBError: Error, Equatable, Sendable, CustomStringConvertible {
  /// "constraint violation", "referential integrity violation", "timed out"...
  package var tag: String
  package var details: String?
  /// The JSON that was at fault.
  package var syntax: String?

  package init(_ tag: String, _ details: String? = nil, syntax: JSONValue? = nil) {
    self.tag = tag
    self.details = details
    self.syntax = syntax.map { $0.serialized() }
  }

  /// From an error member or result of a server; nil if it is none.
  package init?(json: JSONValue) {
    guard let tag = json["error"]?.string else { return nil }
    self.tag = tag
    details = json["details"]?.string
    syntax = json["syntax"]?.string
  }

  package var json: JSONValue {
    var members: [String: JSONValue] = ["error": .string(tag)]
    if let details { members["details"] = .string(details) }
    if let syntax { members["syntax"] = .string(syntax) }
    return .object(members)
  }

  package var description: String { details.map { "\(tag): \($0)" } ?? tag }
}
