// Text in columns. Widths are in characters; the last column is not padded. Pure.

struct AlignedTable {
  /// Empty: no heading row.
  var headings: [String]
  var rows: [[String]]
  /// Columns of numbers.
  var rightAligned: Set<Int> = []
  var separator = " "
  /// Blanks at the ends of lines are left out; ovs-vsctl's tables keep them.
  var trimsLineEnds = false
  /// A line under each heading.
  var underlines = true

  var text: String {
    let count = max(headings.count, rows.map(\.count).max() ?? 0)
    var widths = headings.map(\.count) + Array(repeating: 0, count: count - headings.count)
    for row in rows { for (index, cell) in row.enumerated() { widths[index] = max(widths[index], cell.count) } }
    var lines: [String] = []
    if !headings.isEmpty {
      lines.append(line(headings, widths))
      if underlines { lines.append(line(widths.map { String(repeating: "-", count: $0) }, widths)) }
    }
    lines += rows.map { line($0, widths) }
    return lines.map { $0 + "\n" }.joined()
  }

  private func line(_ cells: [String], _ widths: [Int]) -> String {
    let line = cells.enumerated().map { index, cell in
      let padding = String(repeating: " ", count: max(0, widths[index] - cell.count))
      if rightAligned.contains(index) { return padding + cell }
      return index == cells.count - 1 ? cell : cell + padding
    }.joined(separator: separator)
    guard trimsLineEnds else { return line }
    return String(line.reversed().drop { $0 == " " }.reversed())
  }
}
