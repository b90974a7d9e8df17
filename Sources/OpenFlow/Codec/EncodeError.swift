// Why a message cannot be written in a version.

import VSwitchCore

/// A message that a version has no words for.
package struct EncodeError: Error, Equatable, Sendable, CustomStringConvertible {
  /// What cannot be said.
  package var cause: String
  package var remedy: String

  package init(cause: String, remedy: String) {
    self.cause = cause
    self.remedy = remedy
  }

  package var description: String { "\(cause): \(remedy)" }

  static func field(_ field: Field) -> EncodeError {
    EncodeError(cause: "no OpenFlow message can name the field \(field.name)", remedy: "leave it out")
  }

  static func version(_ what: String, _ version: OpenFlowVersion, needs: OpenFlowVersion) -> EncodeError {
    EncodeError(cause: "OpenFlow \(version.name) has no \(what)", remedy: "use \(needs.name) or later")
  }

  static let tooLong = EncodeError(
    cause: "the message is longer than 65,535 bytes", remedy: "send it in several parts")
}
