// Why the daemon can't be reached, in terms of the path, and what to do about it. System calls: access(2), stat(2).

import Glibc
import OVSDB
import Transport

enum Reachability {
  /// Looks at a unix socket's path before connecting, for the reasons that connect(2) does not tell apart.
  static func check(_ endpoint: Endpoint, _ options: GlobalOptions) throws(CommandFault) {
    guard case .unix(let path) = endpoint else { return }
    try checkSocket(path, options)
  }

  static func checkSocket(_ path: String, _ options: GlobalOptions) throws(CommandFault) {
    guard path.utf8.count <= 107 else {
      throw CommandFault(
        "the socket path \(path) is too long", remedy: "choose a run directory with a shorter name",
        reference: refused(path, ENAMETOOLONG))
    }
    try check(path, R_OK | W_OK, options)
  }

  static func checkReadable(_ path: String, _ options: GlobalOptions) throws(CommandFault) {
    try check(path, R_OK, options)
  }

  private static func check(_ path: String, _ mode: Int32, _ options: GlobalOptions) throws(CommandFault) {
    guard unsafe access(path, mode) != 0 else { return }
    let number = errno
    let directory = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    switch number {
    case EACCES:
      throw CommandFault(
        "no permission to use \(path)",
        remedy: "run vsctl as root, or as a user who may use it", reference: refused(path, number))
    case ENOENT where unsafe access(directory.isEmpty ? "/" : directory, F_OK) != 0:
      throw CommandFault(
        "there is no directory \(directory), so no switch runs there",
        remedy: "\(start(options)), or name its run directory with --run-dir", reference: refused(path, number))
    case ENOENT:
      throw CommandFault(
        "there is no \(path): vswitchd is not running there", remedy: start(options), reference: refused(path, number))
    default:
      throw CommandFault(
        "\(path): \(message(number))", remedy: "name the daemon's run directory with --run-dir",
        reference: refused(path, number))
    }
  }

  private static func refused(_ path: String, _ number: Int32) -> String {
    "unix:\(path): database connection failed (\(message(number)))"
  }

  /// What the library says about a connection, with the remedy for a socket that nobody listens on.
  static func fault(_ error: any Error, _ endpoint: Endpoint, _ options: GlobalOptions) -> CommandFault {
    if let fault = error as? CommandFault { return fault }
    let text = "\(error)"
    if text.lowercased().contains("refused") {
      return CommandFault("nobody answers on \(endpoint)", remedy: start(options), reference: text)
    }
    if let error = error as? OVSDBError { return CommandFault("database error: \(error)") }
    return CommandFault("\(endpoint): \(text)", reference: text)
  }

  static func start(_ options: GlobalOptions) -> String {
    options.runDirectory == "/run/vswitch"
      ? "start it with \"systemctl start vswitchd\" or \"vswitchd\""
      : "start it with \"vswitchd --run-dir \(options.runDirectory)\""
  }

  static func message(_ number: Int32) -> String {
    unsafe strerror(number).map { unsafe String(cString: $0) } ?? "error \(number)"
  }
}
