// What is wrong with a flow, group or other description in ovs-ofctl's syntax: where, why, and what would be right.

/// A refusal of a description. One line, with the place in the input.
package struct FlowTextError: Error, Equatable, Sendable, CustomStringConvertible {
  /// Offset in UTF-8 bytes from the start of the text that was given to the parser.
  package var position: Int
  /// What is wrong.
  package var cause: String
  /// What would be right.
  package var remedy: String

  package init(at position: Int, _ cause: String, remedy: String) {
    self.position = position
    self.cause = cause
    self.remedy = remedy
  }

  /// The whole error in one line; characters are counted from 1.
  package var description: String { "character \(position + 1): \(cause): \(remedy)" }

  /// The text and a caret below the place, in two lines without a newline at the end.
  /// Tabs stay tabs, so that the caret stands right on a terminal.
  /// - Parameter text: what was given to the parser, one line.
  package func caret(under text: String) -> String {
    let before = String(decoding: Array(text.utf8.prefix(max(0, position))), as: UTF8.self)
    let padding = before.map { $0 == "\t" ? "\t" : " " }.joined()
    return text + "\n" + padding + "^"
  }
}
