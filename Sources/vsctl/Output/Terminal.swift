// The process's own ends: standard output and error, written whole, and whether a person reads them.

import Glibc

enum Terminal {
  /// Writes all of the text; what can't be written (a closed pipe) is lost.
  static func write(_ text: String, to descriptor: Int32) {
    let bytes = Array(text.utf8)
    var sent = 0
    while sent < bytes.count {
      let count = unsafe bytes[sent...].withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      if count <= 0 { return }
      sent += count
    }
  }

  static func print(_ text: String) { write(text, to: STDOUT_FILENO) }

  /// A fault: a line, and below it the place in what was typed.
  static func complain(_ fault: CommandFault, as program: Program) {
    complain(fault.text(as: program.style), as: program)
    if let excerpt = fault.excerpt {
      write(TextSafety.escaped(excerpt, keeping: ["\n", "\t"]) + "\n", to: STDERR_FILENO)
    }
  }

  /// One line on standard error, with the program's name.
  static func complain(_ line: String, as program: Program = .vsctl) {
    write("\(program.name): \(TextSafety.oneLine(line))\n", to: STDERR_FILENO)
  }

  static func warn(_ warnings: [Warning], as program: Program, firstNumber: Int = 1) {
    for (offset, warning) in warnings.enumerated() {
      switch program.style {
      case .vsctl: complain("warning: \(warning.text)")
      case .openVSwitch:
        let line = warning.logLine(number: firstNumber + offset, at: time(nil))
        write(TextSafety.oneLine(line) + "\n", to: STDERR_FILENO)
      }
    }
  }

  /// Standard output is one.
  static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

  /// Colours are for people at a terminal who have not said no.
  static var wantsColour: Bool {
    isTerminal && GlobalOptions.environment("NO_COLOR") == nil
      && GlobalOptions.environment("TERM") != "dumb"
  }
}
