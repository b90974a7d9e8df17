// Aligned columns of text. Pure.

enum TextTable {
  enum Alignment { case left, right }

  /// Rows under a heading, columns two spaces apart, no spaces at the ends of lines.
  static func text(_ columns: [(heading: String, alignment: Alignment)], _ rows: [[String]]) -> String {
    let widths = columns.indices.map { index in
      rows.reduce(columns[index].heading.count) { max($0, index < $1.count ? $1[index].count : 0) }
    }
    return ([columns.map(\.heading)] + rows).map { row in
      var line = columns.indices.map { index in
        let cell = index < row.count ? row[index] : ""
        return padded(cell, to: widths[index], columns[index].alignment)
      }.joined(separator: "  ")
      while line.last == " " { line.removeLast() }
      return line + "\n"
    }.joined()
  }

  /// The text with spaces to the width in characters; longer texts stay whole.
  static func padded(_ text: String, to width: Int, _ alignment: Alignment = .left) -> String {
    let spaces = String(repeating: " ", count: max(0, width - text.count))
    return alignment == .left ? text + spaces : spaces + text
  }
}
