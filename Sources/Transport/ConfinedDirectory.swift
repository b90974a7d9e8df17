// The one directory below which a client of the database may name files of one kind: what it names is looked up
// component by component, following no symbolic link, and never leaves the directory. Any thread; small files, read
// whole.

import Glibc

/// A directory whose files clients may name.
package struct ConfinedDirectory: Sendable, Equatable {
  /// Absolute, without a slash at its end, trusted.
  package let path: String

  package init(_ path: String) { self.path = path }

  /// What tells one state of a file from another.
  package struct FileState: Equatable, Sendable {
    package var inode: UInt64
    package var byteCount: Int64
    package var modificationSeconds: Int
    package var modificationNanoseconds: Int
  }

  private static let byteLimit = 1 << 20

  /// The components below the directory that a name has.
  /// - Parameter name: relative, or absolute with the directory in front.
  /// - Throws: `TransportError`, cause and remedy in one line.
  package func components(of name: String) throws(TransportError) -> [String] {
    var relative = Substring(name)
    if relative.hasPrefix("/") {
      guard relative.hasPrefix(path + "/") else { throw outside(name) }
      relative = relative.dropFirst(path.utf8.count + 1)
    }
    let components = relative.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard !components.contains(where: { $0.isEmpty || $0 == "." || $0 == ".." || $0.utf8.contains(0) }) else {
      throw outside(name)
    }
    return components
  }

  /// Reads a regular file.
  /// - Throws: `TransportError`, cause and remedy in one line.
  package func read(_ name: String) throws(TransportError) -> (bytes: [UInt8], state: FileState) {
    let file = try open(name)
    defer { close(file) }
    let state = try state(of: file, name)
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 16384)
    while true {
      let count = unsafe Glibc.read(file, &buffer, buffer.count)
      guard count >= 0 else { throw failure(name, errno) }
      if count == 0 { return (bytes, state) }
      bytes += buffer[..<count]
      guard bytes.count <= Self.byteLimit else {
        throw TransportError("\(name) is larger than \(Self.byteLimit) bytes: name a PEM file")
      }
    }
  }

  /// The state of a regular file.
  /// - Throws: `TransportError`, cause and remedy in one line.
  package func state(of name: String) throws(TransportError) -> FileState {
    let file = try open(name)
    defer { close(file) }
    return try state(of: file, name)
  }

  private func state(of file: CInt, _ name: String) throws(TransportError) -> FileState {
    var status = stat()
    guard unsafe fstat(file, &status) == 0 else { throw failure(name, errno) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw TransportError("\(name) is no regular file: name one in \(path)")
    }
    return FileState(
      inode: UInt64(status.st_ino), byteCount: Int64(status.st_size), modificationSeconds: status.st_mtim.tv_sec,
      modificationNanoseconds: status.st_mtim.tv_nsec)
  }

  private func open(_ name: String) throws(TransportError) -> CInt {
    let components = try components(of: name)
    var directory = unsafe Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard directory >= 0 else { throw failure(path, errno) }
    for component in components.dropLast() {
      let next = unsafe openat(directory, component, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
      let error = errno
      close(directory)
      guard next >= 0 else { throw failure(name, error) }
      directory = next
    }
    // Not to wait for the other end of a named pipe before it is seen to be one.
    let flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC
    let file = unsafe openat(directory, components.last ?? "", flags)
    let error = errno
    close(directory)
    guard file >= 0 else { throw failure(name, error) }
    return file
  }

  private func outside(_ name: String) -> TransportError {
    TransportError("\(name.debugDescription) is not below \(path): name a file inside that directory")
  }

  private func failure(_ name: String, _ code: CInt) -> TransportError {
    let remedy =
      switch code {
      case ELOOP, ENOTDIR: "name the file itself, not a symbolic link"
      case EACCES, EPERM: "let the daemon's user read it"
      default: "put it there"
      }
    return TransportError("could not open \(name) (\(unsafe String(cString: strerror(code)))): \(remedy)")
  }
}
