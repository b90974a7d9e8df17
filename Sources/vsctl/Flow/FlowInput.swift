// Where descriptions of flows, groups and meters come from: an argument, a file, or standard input ("-"); and what is said
// of one that can't be read: file, line and character, with a caret below it.

import Glibc
import OpenFlow
import VSwitchCore

/// A change as it was written.
struct FlowChange {
  var body: MessageBody
  /// In which versions it can be said.
  var versions = VersionSet.all
  /// Whether it says in which table; a modify of 1.0 that does not means all.
  var namesTable = true
  /// Its line in the file, from 1; nil for an argument.
  var lineNumber: Int?
  /// As it was written.
  var text: String
}

/// One text, and what it is called.
struct FlowInput {
  /// The text of a file, or what was given as an argument.
  var text: String
  /// Nil for an argument.
  var fileName: String?

  private init(text: String) { self.text = text }

  /// An argument that describes one object; "-" for standard input.
  init(argument: String) throws(CommandFault) {
    if argument == "-" {
      try self.init(file: "-")
    } else {
      self.init(text: argument)
    }
  }

  /// A file, or "-" for standard input.
  init(file: String) throws(CommandFault) {
    fileName = file == "-" ? "standard input" : file
    guard let bytes = FileText.readAll(file) else {
      throw CommandFault(
        "\(file) can't be read (\(Reachability.message(errno)))",
        remedy: "name a file that is there, or - for standard input")
    }
    text = String(decoding: bytes, as: UTF8.self)
  }

  var isFile: Bool { fileName != nil }

  /// Reads every line of a file, or the argument.
  func read<Value>(_ parse: (String) throws(FlowTextError) -> Value) throws(CommandFault) -> [(
    value: Value, line: Int?, text: String
  )] {
    guard let fileName else {
      do throws(FlowTextError) {
        return [(try parse(text), nil, text)]
      } catch {
        throw Self.fault(error, in: text, at: "")
      }
    }
    do throws(FlowFileError) {
      return try FlowTextParser.lines(text, parse).map { ($0.value, $0.number, $0.line) }
    } catch {
      throw Self.fault(error.error, in: error.line, at: "\(fileName):\(error.lineNumber): ")
    }
  }

  /// One line with cause and remedy, the description, a caret.
  static func fault(_ error: FlowTextError, in text: String, at place: String) -> CommandFault {
    var fault = CommandFault("\(place)character \(error.position + 1): \(error.cause)", remedy: error.remedy)
    if !text.contains(where: \.isNewline) { fault.excerpt = error.caret(under: text) }
    return fault
  }
}
