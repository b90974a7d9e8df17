// The checks of a store's file before SQLite touches it, so that a file that is refused stays as it is, byte by byte.
// The marks are those that SQLite keeps for programs in its header (https://sqlite.org/fileformat.html §1.3).

import Glibc
import OVSDB

enum StoreFile {
  /// `PRAGMA application_id`: "VSWT".
  static let applicationID: UInt32 = 0x5653_5754
  /// `PRAGMA user_version` of the tables as this program makes and reads them.
  static let version: UInt32 = 1

  /// What a header says.
  enum Header: Equatable {
    /// No file yet, or an empty one.
    case empty
    case store(version: UInt32)
    /// A SQLite database of another program.
    case foreign
    /// Not SQLite.
    case unreadable
  }

  /// Reads a header.
  /// - Parameter bytes: the file's first 100 bytes, fewer if it is shorter.
  static func header(_ bytes: [UInt8]) -> Header {
    if bytes.isEmpty { return .empty }
    guard bytes.count == 100, bytes.starts(with: Array("SQLite format 3".utf8) + [0]) else { return .unreadable }
    func word(_ offset: Int) -> UInt32 { bytes[offset..<offset + 4].reduce(0) { $0 << 8 | UInt32($1) } }
    guard word(68) == applicationID else { return .foreign }
    return .store(version: word(60))
  }

  /// Makes the file (mode 0600) and its directory (0700) if they are missing, and refuses one that this program can't
  /// use.
  /// - Returns: whether it is new.
  static func prepare(_ path: String) throws(StoreError) -> Bool {
    if let slash = path.lastIndex(of: "/"), slash != path.startIndex {
      do {
        try RunDirectoryLock.makeDirectory(String(path[..<slash]))
      } catch {
        throw StoreError(cause: error.cause, remedy: "make it, or choose another --store")
      }
    }
    let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw failure("could not open the store \(path)", errno, path) }
    defer { close(descriptor) }
    var information = stat()
    guard unsafe fstat(descriptor, &information) == 0, information.st_mode & S_IFMT == S_IFREG else {
      throw StoreError(cause: "the store \(path) is no regular file", remedy: "choose another --store")
    }
    if information.st_mode & 0o077 != 0 { fchmod(descriptor, 0o600) }
    var bytes = [UInt8](repeating: 0, count: 100)
    let count = unsafe pread(descriptor, &bytes, bytes.count, 0)
    guard count >= 0 else { throw failure("could not read the store \(path)", errno, path) }
    switch header(Array(bytes[..<count])) {
    case .empty: return true
    case .store(version: version): return false
    case .store(let found):
      throw StoreError(
        cause: "the store \(path) has version \(found), and this vswitchd reads up to version \(version)",
        remedy: "start the vswitchd that wrote it, or choose another --store")
    case .foreign:
      throw StoreError(cause: "\(path) is a database of another program", remedy: "choose another --store")
    case .unreadable:
      throw StoreError(
        cause: "the store \(path) is damaged or no database",
        remedy: "put a backup in its place, or move it away to start with an empty one")
    }
  }

  static func failure(_ what: String, _ error: Int32, _ path: String) -> StoreError {
    let remedy =
      switch error {
      case EACCES, EPERM, EROFS: "let the daemon's user write there, or choose another --store"
      case ENOSPC, EDQUOT: "free space on its file system"
      case ELOOP: "name the file itself, not a symbolic link"
      default: "check \(path) or choose another --store"
      }
    return StoreError(cause: "\(what) (\(SystemError.text(error)))", remedy: remedy)
  }
}
