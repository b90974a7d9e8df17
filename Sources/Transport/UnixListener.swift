// A listening unix socket that nobody else can reach for an instant. Linux gives a socket file the mode of the
// socket, less the umask; so the mode is set before `bind`. The file is made under a temporary name beside its own
// and renamed over a stale one when it listens: no moment without a socket, none with a wrong mode (CVE-prone in
// servers that set the umask of a process with threads).

import Glibc

package struct UnixListener {
  package let descriptor: CInt
  private let path: String
  private let temporaryPath: String

  /// Binds.
  /// - Throws: `TransportError`, cause and remedy in one line.
  package init(path: String) throws(TransportError) {
    self.path = path
    temporaryPath = "\(path).\(getpid()).new"
    try Self.checkStale(path)
    let type = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
    descriptor = socket(AF_UNIX, type, 0)
    guard descriptor >= 0 else { throw Self.failure(path) }
    _ = unsafe unlink(temporaryPath)
    guard fchmod(descriptor, 0o600) == 0,
      unsafe try Self.withAddress(temporaryPath, { unsafe bind(descriptor, $0, $1) }) == 0
    else {
      let error = Self.failure(path)
      Glibc.close(descriptor)
      throw error
    }
  }

  /// Gives the socket its name, once it listens.
  package func publish() throws(TransportError) {
    guard unsafe rename(temporaryPath, path) == 0 else { throw Self.failure(path) }
  }

  /// Removes the temporary file after a failure.
  package func discard() { _ = unsafe unlink(temporaryPath) }

  /// Refuses to take the place of a living server or of a file that is no socket.
  private static func checkStale(_ path: String) throws(TransportError) {
    var status = stat()
    guard unsafe lstat(path, &status) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFSOCK else {
      throw TransportError("cannot listen on \(path): it exists and is no socket: remove it or choose another run dir")
    }
    let probe = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
    guard probe >= 0 else { throw failure(path) }
    defer { Glibc.close(probe) }
    if unsafe try withAddress(path, { unsafe connect(probe, $0, $1) }) == 0 {
      throw TransportError("cannot listen on \(path): another process does: stop it or choose another run dir")
    }
  }

  private static func failure(_ path: String) -> TransportError {
    let code = errno
    let reason = unsafe String(cString: strerror(code))
    let remedy =
      switch code {
      case EACCES, EPERM, EROFS: "run as a user who may write there, or choose another run dir"
      case ENOENT: "create the directory first"
      case ENOSPC: "free space on that file system"
      default: "choose another run dir"
      }
    return TransportError("cannot listen on \(path): \(reason): \(remedy)")
  }

  /// Calls `body` with the socket address of a path.
  private static func withAddress(
    _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt
  ) throws(TransportError) -> CInt {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
      throw TransportError("cannot listen on \(path): the path is longer than sockets allow: choose a shorter run dir")
    }
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
    return unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
  }
}
