// Naming a network namespace. Thread: any.
// A descriptor or socket of a namespace keeps it alive after its name is gone: hold neither for long.

import COFlow
import Glibc

/// Which network namespace a link lives in.
package enum NetworkNamespace: Hashable, Sendable, CustomStringConvertible {
  /// The one that the process was started in.
  case own
  /// `/run/netns/NAME`, as `ip netns` makes them.
  case named(String)
  /// A file that refers to a namespace, as `/proc/PID/ns/net`.
  case path(String)
  /// An open descriptor of one (SIOCGSKNS, TUNGETDEVNETNS); stays the caller's.
  case descriptor(Int32)

  package var description: String {
    switch self {
    case .own: "the switch's own namespace"
    case .named(let name): "namespace \(name)"
    case .path(let path): "the namespace at \(path)"
    case .descriptor(let descriptor): "the namespace of descriptor \(descriptor)"
    }
  }

  /// Where `ip netns` keeps its names.
  package static let directory = "/run/netns"

  /// Runs `body` with a descriptor of the namespace that is open for just as long.
  func withDescriptor<Value: ~Copyable>(_ body: (Int32) throws(LinkError) -> Value) throws(LinkError) -> Value {
    let path: String
    switch self {
    case .descriptor(let descriptor): return try body(descriptor)
    case .own: path = "/proc/self/ns/net"
    case .path(let given): path = given
    case .named(let name):
      // The name comes from the database: it must not lead out of the directory.
      guard !name.isEmpty, name != ".", name != "..", !name.utf8.contains(where: { $0 == 0x2f || $0 == 0 }),
        name.utf8.count <= 255
      else {
        throw LinkError(
          .invalidName, cause: "\(name.debugDescription) is no namespace name",
          remedy: "give the name of a file in \(Self.directory), without a slash")
      }
      path = "\(Self.directory)/\(name)"
    }
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      let error = errno
      if error == ENOENT || error == ENOTDIR {
        throw LinkError(
          .noSuchNamespace, cause: "\(self) does not exist", remedy: "create it first, as with `ip netns add`")
      }
      throw LinkError(errno: error, action: "open \(self)")
    }
    defer { close(descriptor) }
    return try body(descriptor)
  }
}
