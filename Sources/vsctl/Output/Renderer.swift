// From what the commands give to what is written, once all of them have succeeded. Pure; colours only if asked for.

import OVSDB

struct Renderer {
  var options: OutputOptions
  /// On a terminal, unless NO_COLOR is set (no-color.org).
  var isColoured = false

  /// The text of all outputs in order.
  /// - Parameter names: what the server called the new rows, by what this program called them.
  func text(_ outputs: [CommandOutput], renaming names: [String: String] = [:]) -> String {
    var isAfterTable = false
    var text = ""
    for output in outputs {
      var piece: String
      if options.json {
        piece = output.json.map { (options.pretty ? $0.prettyPrinted() : $0.serialized()) + "\n" } ?? ""
      } else {
        switch output.body {
        case .nothing: piece = ""
        case .text(let body): piece = body
        case .table(let table):
          // One JSON value a line and one HTML table after the other need nothing between them.
          let isSetApart = options.layout != .json && options.layout != .html
          piece = (isAfterTable && isSetApart ? "\n" : "") + table.text(options)
          isAfterTable = true
        }
        // Tables stay as they are.
        if options.oneLine, case .table = output.body {
        } else if options.oneLine {
          piece = Self.onOneLine(piece)
        } else if isColoured {
          piece = Self.coloured(piece)
        }
      }
      text += piece
    }
    guard !text.isEmpty else { return text }
    for (old, new) in names where text.contains(old) { text = Self.replacing(old, by: new, in: text) }
    return text
  }

  /// Line ends within a command's output as \n, as --oneline has it.
  private static func onOneLine(_ text: String) -> String {
    let body = text.hasSuffix("\n") ? String(text.dropLast()) : text
    return body.map { $0 == "\n" ? "\\n" : $0 == "\\" ? "\\\\" : String($0) }.joined() + "\n"
  }

  /// Lines that report a fault in red, underlined headings in bold.
  private static func coloured(_ text: String) -> String {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    return lines.enumerated().map { index, line in
      if line.drop(while: { $0 == " " }).hasPrefix("error:") { return "\u{1b}[31m\(line)\u{1b}[0m" }
      let isHeading = index + 1 < lines.count && lines[index + 1].hasPrefix("---")
      return isHeading && !line.isEmpty ? "\u{1b}[1m\(line)\u{1b}[0m" : line
    }.joined(separator: "\n")
  }

  private static func replacing(_ old: String, by new: String, in text: String) -> String {
    var result = ""
    var rest = text[...]
    while let range = rest.firstRange(of: old) {
      result += rest[..<range.lowerBound] + new
      rest = rest[range.upperBound...]
    }
    return result + rest
  }
}
