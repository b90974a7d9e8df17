// The options that hold for the whole command line. Declared once, for parsing, help and completion; Invocation's list
// of their names is held against this declaration by a test.

import ArgumentParser
import Glibc
import OVSDB
import Transport

/// How `list` and `find` lay out what they found.
enum TableLayout: String, ExpressibleByArgument, CaseIterable {
  case table, list, html, csv, json
}

/// How cells are written.
enum CellFormat: String, ExpressibleByArgument, CaseIterable {
  case string, bare, json
}

struct GlobalOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "The daemon's run directory: database and control socket are there (or VSWITCH_RUNDIR; else /run/vswitch).",
      valueName: "dir"), completion: .directory)
  var runDir: String?

  @Option(
    name: .long,
    help: ArgumentHelp("Another database: unix:PATH, tcp:HOST:PORT or ssl:HOST:PORT.", valueName: "endpoint"))
  var db: String?

  @Option(
    name: [.customShort("t", allowingJoined: true), .long],
    help: ArgumentHelp("Give up after so many seconds (0: never; default).", valueName: "seconds"))
  var timeout: Int = 0

  @Flag(name: .long, help: "Don't wait until the datapath has the change.")
  var noWait = false

  @Flag(name: .long, help: "Check the commands and print what they would, but change nothing.")
  var dryRun = false

  @Flag(name: .long, help: "Print the output of each command on one line.")
  var oneline = false

  @Flag(name: .long, help: "Print JSON for programs.")
  var json = false

  @Option(
    name: [.customShort("f", allowingJoined: true), .long], help: "Layout of what list and find print.")
  var format: TableLayout = .list

  @Option(
    name: [.customShort("d", allowingJoined: true), .long], help: "Format of the cells that list and find print.")
  var data: CellFormat = .string

  @Flag(name: .long, help: "Leave out the headings of tables.")
  var noHeadings = false

  @Flag(name: .long, help: "Same as --format=list --data=bare --no-headings.")
  var bare = false

  @Flag(name: .long, help: "Print JSON over several lines, indented.")
  var pretty = false

  @Option(name: .long, help: ArgumentHelp("Cut cells of tables to so many characters.", valueName: "n"))
  var maxColumnWidth: Int = 0

  @Flag(name: .long, help: "Keep trying to connect.")
  var retry = false

  @Option(
    name: [.customShort("p", allowingJoined: true), .long],
    help: ArgumentHelp("Private key for ssl: (PEM).", valueName: "file"), completion: .file())
  var privateKey: String?

  @Option(
    name: [.customShort("c", allowingJoined: true), .long],
    help: ArgumentHelp("Certificate of the private key (PEM).", valueName: "file"), completion: .file())
  var certificate: String?

  @Option(
    name: [.customShort("C", allowingJoined: true), .long],
    help: ArgumentHelp("Certificate of the authority that vouches for the server (PEM), or none.", valueName: "file"),
    completion: .file())
  var caCert: String?

  @Option(name: .long, help: .hidden)
  var bootstrapCaCert: String?

  @Option(name: .long, help: .hidden)
  var peerCaCert: String?

  func validate() throws {
    if timeout < 0 {
      throw ValidationError("value \(timeout) on -t or --timeout is invalid: give seconds, 0 for no limit")
    }
  }

  /// The run directory asked for.
  var runDirectory: String { runDir ?? Program.vsctl.defaultRunDirectory }

  /// Where the database may be; of several the first that answers.
  func endpoints() throws(CommandFault) -> [Endpoint] {
    guard let db else { return [.unix(path: runDirectory + "/db.sock")] }
    let endpoints = db.split(separator: ",").map { Endpoint(String($0)) }
    if !endpoints.isEmpty, !endpoints.contains(nil) { return endpoints.compactMap(\.self) }
    throw CommandFault(
      "--db=\(db) is no address of a database", remedy: "give unix:PATH or tcp:HOST:PORT",
      reference: "\(db): database connection failed (Address family not supported by protocol)")
  }

  /// For `ssl:`; nil unless all three files are named.
  var tlsFiles: TLSFiles? {
    guard let privateKey, let certificate, let authorities = caCert ?? bootstrapCaCert else { return nil }
    return TLSFiles(privateKey: privateKey, certificate: certificate, authorities: authorities)
  }

  var output: OutputOptions {
    OutputOptions(
      json: json, layout: bare ? .list : format, cells: bare ? .bare : data, headings: !noHeadings && !bare,
      oneLine: oneline, pretty: pretty, columnWidth: maxColumnWidth)
  }

  static func environment(_ name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    let text = unsafe String(cString: value)
    return text.isEmpty ? nil : text
  }
}
