// One call on the daemon's control socket: JSON-RPC in the form that ovs-appctl speaks. The socket's name is in the
// run directory, with the process number that the pidfile holds.

import Glibc
import OVSDB

struct ControlSession {
  var options: GlobalOptions

  func run(_ verb: any ControlVerb) async throws(CommandFault) -> Int32 {
    let request = try verb.request()
    let result: JSONValue
    let client = try await connect()
    do throws(CallFault) {
      result = try await call(request, client)
    } catch {
      throw error.refusal.map(verb.fault) ?? error.fault
    }
    await client.close()
    try show(verb.output(result), result)
    return 0
  }

  /// Asks for what is new again and again.
  func follow(_ verb: any FollowingVerb) async throws(CommandFault) -> Int32 {
    let client = try await connect()
    var next: Int64?
    var count = 0
    while true {
      let result: JSONValue
      do throws(CallFault) {
        result = try await call(verb.request(after: next), client)
      } catch {
        throw error.refusal.map { CommandFault($0, exitCode: 2) } ?? error.fault
      }
      if let lost = result["lost"]?.integer, lost > 0 {
        Terminal.complain("\(lost) events were lost: more came than could be kept")
      }
      next = result["next"]?.integer
      if verb.count(result) > 0 {
        show(verb.output(result), result)
        count += verb.count(result)
      }
      if verb.isEnough(count) { break }
      try? await Task.sleep(for: Self.interval)
    }
    await client.close()
    return 0
  }

  /// Between two questions for what is new.
  private static let interval = Duration.milliseconds(200)

  /// Why a call gave no result.
  private struct CallFault: Error {
    /// What the daemon said.
    var refusal: String?
    var fault: CommandFault
  }

  private func connect() async throws(CommandFault) -> JSONRPCClient {
    let path = try Self.socketPath(in: options.runDirectory, options)
    try Reachability.checkSocket(path, options)
    do {
      return try await JSONRPCClient.connect(to: .unix(path: path))
    } catch {
      throw Reachability.fault(error, .unix(path: path), options)
    }
  }

  private func call(_ request: ControlRequest, _ client: JSONRPCClient) async throws(CallFault) -> JSONValue {
    do {
      let parameters = ["--json"] + request.parameters
      return try await client.call(request.method, .array(parameters.map(JSONValue.string)))
    } catch let JSONRPCError.remote(error) {
      let text = error.string ?? JSONRPCError.remote(error).description
      let line = text.split(whereSeparator: \.isNewline).joined(separator: " ")
      throw CallFault(refusal: line, fault: CommandFault(line))
    } catch {
      let path = (try? Self.socketPath(in: options.runDirectory, options)) ?? options.runDirectory
      throw CallFault(refusal: nil, fault: Reachability.fault(error, .unix(path: path), options))
    }
  }

  private func show(_ output: CommandOutput, _ result: JSONValue) {
    var output = output
    if output.json == nil { output.json = result }
    Terminal.print(Renderer(options: options.output, isColoured: Terminal.wantsColour).text([output]))
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
