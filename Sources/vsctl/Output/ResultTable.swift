// What `list` and `find` found, in the layouts that `ovs-vsctl` offers, byte for byte. Pure.

import OVSDB

/// How things are printed.
struct OutputOptions: Equatable {
  var json = false
  var layout = TableLayout.list
  var cells = CellFormat.string
  var headings = true
  /// Each command's output on one line.
  var oneLine = false
  /// JSON over several lines.
  var pretty = false
  /// Characters that a cell of a 2-D table may have; 0: any number.
  var columnWidth = 0
}

/// Rows with the columns asked for.
struct ResultTable {
  let columns: [ColumnSchema]
  let rows: [Row]

  init(_ columns: [ColumnSchema], _ rows: [Row]) {
    self.columns = columns
    self.rows = rows
  }

  var output: CommandOutput {
    let objects = rows.map { row in
      JSONValue.object(
        Dictionary(
          columns.map { ($0.name, DatumFormat.json(row[$0.name], $0.type)) }, uniquingKeysWith: { first, _ in first }))
    }
    return CommandOutput(body: .table(self), json: .array(objects))
  }

  private func cell(_ row: Row, _ column: ColumnSchema, _ format: CellFormat) -> String {
    switch format {
    case .string: DatumFormat.string(row[column.name], column.type)
    case .bare: DatumFormat.bare(row[column.name], column.type)
    case .json: row[column.name].json.serialized()
    }
  }

  private func cells(_ options: OutputOptions) -> [[String]] {
    rows.map { row in columns.map { cell(row, $0, options.cells) } }
  }

  func text(_ options: OutputOptions) -> String {
    switch options.layout {
    case .list: list(options)
    case .table: table(options)
    case .csv:
      ((options.headings ? [columns.map(\.name)] : []) + cells(options))
        .map { $0.map(Self.csv).joined(separator: ",") + "\n" }.joined()
    case .html: html(options)
    case .json: (options.pretty ? json.prettyPrinted() : json.serialized()) + "\n"
    }
  }

  private func table(_ options: OutputOptions) -> String {
    var rows = cells(options)
    if options.columnWidth > 0 {
      // A heading that is printed keeps its width.
      let limits = columns.map { options.headings ? max(options.columnWidth, $0.name.count) : options.columnWidth }
      rows = rows.map { zip($0, limits).map { String($0.prefix($1)) } }
    }
    return AlignedTable(headings: options.headings ? columns.map(\.name) : [], rows: rows).text
  }

  private func list(_ options: OutputOptions) -> String {
    cells(options).map { row in
      zip(columns, row).map { column, cell in
        guard options.headings else { return cell + "\n" }
        let name = column.name
        return name + String(repeating: " ", count: max(0, 20 - name.utf8.count)) + ": \(cell)\n"
      }.joined()
    }.joined(separator: "\n")
  }

  /// RFC 4180.
  private static func csv(_ cell: String) -> String {
    guard cell.utf8.contains(where: { "\",\n\r".utf8.contains($0) }) else { return cell }
    return "\"" + cell.map { $0 == "\"" ? "\"\"" : String($0) }.joined() + "\""
  }

  private func html(_ options: OutputOptions) -> String {
    func row(_ cells: [String], _ element: String) -> String {
      "  <tr>\n" + cells.map { "    <\(element)>\(Self.escapedForHTML($0))</\(element)>\n" }.joined() + "  </tr>\n"
    }
    return "<table border=1>\n" + (options.headings ? row(columns.map(\.name), "th") : "")
      + cells(options).map { row($0, "td") }.joined() + "</table>\n"
  }

  private static func escapedForHTML(_ text: String) -> String {
    text.map { character in
      switch character {
      case "&": "&amp;"
      case "<": "&lt;"
      case ">": "&gt;"
      case "\"": "&quot;"
      case "'": "&apos;"
      default: String(character)
      }
    }.joined()
  }

  private var json: JSONValue {
    [
      "headings": .array(columns.map { .string($0.name) }),
      "data": .array(rows.map { row in .array(columns.map { row[$0.name].json }) }),
    ]
  }
}
