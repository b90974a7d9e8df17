// One daemon per run dir: the pidfile <run dir>/vswitchd.pid, held under a write lock (fcntl) as long as the process
// lives. The kernel drops the lock whatever way the process ends, so a stale file is no obstacle. Open vSwitch's tools
// read the same file and test the lock with F_GETLK. Invariant: nothing else in the process opens the pidfile, since
// closing any descriptor of it would drop the lock.

import COFlow
import Glibc
import VSwitchCore

/// The held lock of a run dir.
final class RunDirectoryLock: Sendable {
  let directory: String
  let processID = getpid()
  private let descriptor: Int32

  /// Makes the directory if it is missing (mode 0700) and takes its lock.
  init(directory: String) throws(ConfigError) {
    self.directory = directory
    try Self.makeDirectory(directory)
    let path = directory + "/vswitchd.pid"
    // Between opening and locking, a daemon that ends may have removed the file: then what we hold is not its name's.
    for _ in 0..<8 {
      let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
      guard descriptor >= 0 else { throw Self.failure("could not open \(path)", errno, directory) }
      let result = coflow_lock_file(descriptor)
      if result > 0 {
        close(descriptor)
        throw ConfigError(
          cause: "another vswitchd runs in \(directory) (pid \(result))",
          remedy: "stop it (kill \(result)) or choose another --run-dir")
      }
      if result < 0 {
        close(descriptor)
        throw Self.failure("could not lock \(path)", -result, directory)
      }
      if Self.names(path, descriptor) {
        self.descriptor = descriptor
        let text = "\(processID)\n"
        guard ftruncate(descriptor, 0) == 0, unsafe pwrite(descriptor, text, text.utf8.count, 0) == text.utf8.count
        else { throw Self.failure("could not write \(path)", errno, directory) }
        linkCompatibleNames()
        return
      }
      close(descriptor)
    }
    throw ConfigError(
      cause: "\(path) is removed again and again by another process", remedy: "find and stop that process")
  }

  /// The control socket: `vswitchd.<pid>.ctl`, where Open vSwitch's tools look for it.
  var controlSocketPath: String { directory + "/vswitchd.\(processID).ctl" }
  private var compatiblePIDPath: String { directory + "/ovs-vswitchd.pid" }
  private var compatibleControlPath: String { directory + "/ovs-vswitchd.\(processID).ctl" }

  /// ovs-appctl's default target is `ovs-vswitchd`; a run dir without Open vSwitch in it serves it too.
  private func linkCompatibleNames() {
    Self.replaceLink(compatiblePIDPath, with: "vswitchd.pid")
    Self.replaceLink(compatibleControlPath, with: "vswitchd.\(processID).ctl")
  }

  /// Only a symbolic link of ours is replaced: a regular file is a real Open vSwitch's.
  private static func replaceLink(_ path: String, with target: String) {
    var information = stat()
    if unsafe lstat(path, &information) == 0 {
      guard information.st_mode & S_IFMT == S_IFLNK else { return }
      unsafe unlink(path)
    }
    unsafe symlink(target, path)
  }

  /// Removes the control sockets that daemons which were killed left behind; call with the lock held.
  func removeStaleSockets() {
    guard let listing = unsafe opendir(directory) else { return }
    defer { unsafe closedir(listing) }
    while let entry = unsafe readdir(listing) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      let own = ["vswitchd.\(processID).ctl", "ovs-vswitchd.\(processID).ctl"]
      guard name.hasPrefix("vswitchd.") || name.hasPrefix("ovs-vswitchd."), name.hasSuffix(".ctl"), !own.contains(name),
        name.split(separator: ".").count == 3
      else { continue }
      // A socket of Open vSwitch's own daemon belongs to it; ours is a link.
      let path = directory + "/" + name
      var information = stat()
      guard unsafe lstat(path, &information) == 0 else { continue }
      if name.hasPrefix("vswitchd.") || information.st_mode & S_IFMT == S_IFLNK { unsafe unlink(path) }
    }
  }

  /// Removes the names; the lock itself ends with the process.
  func release() {
    for path in [compatiblePIDPath, compatibleControlPath] {
      var information = stat()
      if unsafe lstat(path, &information) == 0, information.st_mode & S_IFMT == S_IFLNK { unsafe unlink(path) }
    }
    unsafe unlink(directory + "/vswitchd.pid")
  }

  /// Whether the path still names the open file.
  private static func names(_ path: String, _ descriptor: Int32) -> Bool {
    var byPath = stat()
    var byDescriptor = stat()
    guard unsafe stat(path, &byPath) == 0, unsafe fstat(descriptor, &byDescriptor) == 0 else { return false }
    return byPath.st_ino == byDescriptor.st_ino && byPath.st_dev == byDescriptor.st_dev
  }

  /// Makes the directory and what is missing above it.
  static func makeDirectory(_ path: String) throws(ConfigError) {
    var information = stat()
    if unsafe stat(path, &information) == 0 {
      guard information.st_mode & S_IFMT == S_IFDIR else {
        throw ConfigError(cause: "\(path) is no directory", remedy: "move it away or choose another --run-dir")
      }
      return
    }
    if let slash = path.lastIndex(of: "/"), slash != path.startIndex {
      try makeDirectory(String(path[..<slash]))
    }
    guard unsafe mkdir(path, 0o700) == 0 || errno == EEXIST else {
      throw failure("could not make \(path)", errno, path)
    }
  }

  static func failure(_ what: String, _ error: Int32, _ directory: String) -> ConfigError {
    let remedy =
      switch error {
      case EACCES, EPERM, EROFS: "run vswitchd as the owner of \(directory), or choose another --run-dir"
      case ENOSPC, EDQUOT: "free space on the file system of \(directory)"
      case ELOOP: "remove the symbolic link there"
      default: "check \(directory) or choose another --run-dir"
      }
    return ConfigError(cause: "\(what) (\(SystemError.text(error)))", remedy: remedy)
  }
}
