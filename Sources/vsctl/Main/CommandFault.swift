// The one form in which the command line says that something is wrong: one line, cause and remedy, and the exit code.
// A pure value. Foreign text (names from a database, messages of a daemon) is escaped where the line is made.

/// Why a command can't be done, and what would mend it.
struct CommandFault: Error, Equatable, CustomStringConvertible {
  /// What is wrong, naming the object; no full stop.
  var cause: String
  /// What the user can do, as an imperative; nil where the cause says it.
  var remedy: String?
  /// What ovs-vsctl says, where that is not the cause.
  var reference: String?
  /// The line of the input that is wrong and a caret below the place, where that helps.
  var excerpt: String?
  /// The process's exit status: 1, or 2 where the daemon refused a request on its control socket.
  var exitCode: Int32

  init(_ cause: String, remedy: String? = nil, reference: String? = nil, exitCode: Int32 = 1) {
    self.cause = cause
    self.remedy = remedy
    self.reference = reference
    self.exitCode = exitCode
  }

  /// One line.
  var description: String { TextSafety.oneLine(remedy.map { "\(cause): \($0)" } ?? cause) }

  /// One line in a program's own words.
  func text(as style: Program.Style) -> String {
    style == .vsctl ? description : TextSafety.oneLine(reference ?? cause)
  }
}

/// Text of others on its way to a terminal.
enum TextSafety {
  /// The text with control characters spelled out, so that a name can't move the cursor or forge a line.
  static func escaped(_ text: String, keeping kept: Set<Unicode.Scalar> = []) -> String {
    guard text.unicodeScalars.contains(where: { isControl($0) && !kept.contains($0) }) else { return text }
    var result = ""
    for scalar in text.unicodeScalars {
      if isControl(scalar) && !kept.contains(scalar) {
        result += "\\u{\(String(scalar.value, radix: 16))}"
      } else {
        result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  /// The text as one line: line ends become spaces.
  static func oneLine(_ text: String) -> String {
    escaped(text.split(whereSeparator: \.isNewline).joined(separator: " "))
  }

  private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value) || (0x202a...0x202e).contains(scalar.value)
      || (0x2066...0x2069).contains(scalar.value)
  }
}
