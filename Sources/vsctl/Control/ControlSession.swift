// One call on the daemon's control socket: JSON-RPC in the form that ovs-appctl speaks. The socket's name is in the
// run directory, with the process number that the pidfile holds.

import Glibc
import OVSDB

struct ControlSession {
  var options: GlobalOptions

  func run(_ verb: any ControlVerb) async throws(CommandFault) -> Int32 {
    let request = try verb.request()
    let path = try Self.socketPath(in: options.runDirectory, options)
    try Reachability.checkSocket(path, options)
    let result: JSONValue
    do {
      let client = try await JSONRPCClient.connect(to: .unix(path: path))
      let parameters = ["--json"] + request.parameters
      result = try await client.call(request.method, .array(parameters.map(JSONValue.string)))
      await client.close()
    } catch let JSONRPCError.remote(error) {
      let text = error.string ?? JSONRPCError.remote(error).description
      throw verb.fault(text.split(whereSeparator: \.isNewline).joined(separator: " "))
    } catch {
      throw Reachability.fault(error, .unix(path: path), options)
    }
    var output = try verb.output(result)
    if output.json == nil { output.json = result }
    Terminal.print(
      Renderer(options: options.output, isColoured: Terminal.wantsColour).text([output]))
    return 0
  }

  /// `<run dir>/vswitchd.<pid>.ctl`.
  static func socketPath(in directory: String, _ options: GlobalOptions) throws(CommandFault) -> String {
    let pidfile = directory + "/vswitchd.pid"
    try Reachability.checkReadable(pidfile, options)
    guard let text = FileText.read(pidfile, byteLimit: 64),
      let pid = Int32(text.prefix { $0.isNumber }), pid > 0
    else {
      throw CommandFault(
        "\(pidfile) holds no process number", remedy: "restart vswitchd, which writes it")
    }
    guard kill(pid, 0) == 0 || errno != ESRCH else {
      throw CommandFault(
        "vswitchd (process \(pid) of \(pidfile)) is not running", remedy: Reachability.start(options))
    }
    return "\(directory)/vswitchd.\(pid).ctl"
  }
}

/// Small files.
enum FileText {
  /// At most the first `byteLimit` bytes; nil if the file can't be read.
  static func read(_ path: String, byteLimit: Int) -> String? {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: byteLimit)
    let count = unsafe bytes.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
    return count < 0 ? nil : String(decoding: bytes.prefix(count), as: UTF8.self)
  }

  /// All of a file, or with "-" of standard input; nil if it can't be read: see errno.
  static func readAll(_ path: String) -> [UInt8]? {
    let descriptor = path == "-" ? STDIN_FILENO : unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { if descriptor != STDIN_FILENO { close(descriptor) } }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe chunk.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { return nil }
      guard count > 0 else { return bytes }
      bytes += chunk[..<count]
    }
  }
}
