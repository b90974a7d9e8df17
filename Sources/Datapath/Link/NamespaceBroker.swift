// Opens sockets in other network namespaces, by a process beside the daemon that may enter them (COFlow's
// coflow_namespace.h): a socket stays in the namespace where it was opened, so entering is needed for nothing else, and
// the daemon, which reads what guests and peers send, has no right to it (CAP_SYS_ADMIN).
//
// Thread: any; one request at a time, each takes microseconds.

import COFlow
import Glibc
import Synchronization

/// What was opened in a namespace; closed with it unless taken.
struct NamespaceDescriptors: ~Copyable {
  private var descriptors: coflow_namespace_descriptors

  fileprivate init(_ descriptors: coflow_namespace_descriptors) { self.descriptors = descriptors }

  /// A bound NETLINK_ROUTE socket; the caller's from now on.
  mutating func takeNetlink() -> Int32 { exchange(&descriptors.netlink, -1) }
  /// A socket for ioctls on links; the caller's from now on.
  mutating func takeInternet() -> Int32 { exchange(&descriptors.inet, -1) }
  /// An open /dev/net/tun, the caller's from now on, or a negative errno.
  mutating func takeTun() -> Int32 { exchange(&descriptors.tun, -EBADF) }

  deinit {
    for descriptor in [descriptors.netlink, descriptors.inet, descriptors.tun] where descriptor >= 0 {
      close(descriptor)
    }
  }
}

/// The process that opens them.
package final class NamespaceBroker: Sendable {
  /// The one of this process, started when first asked for.
  package static let shared = NamespaceBroker()

  /// Its socket, or why there is none, as a negative errno.
  private let socket: Mutex<Int32>

  private init() { socket = Mutex(coflow_namespace_broker_start()) }

  /// Starts it. Call before the first other thread, and while the process has the capabilities that it is to keep.
  package static func start() { _ = shared }

  /// Opens sockets in `namespace`.
  func open(in namespace: NetworkNamespace) throws(LinkError) -> NamespaceDescriptors {
    try namespace.withDescriptor { descriptor throws(LinkError) in
      var opened = coflow_namespace_descriptors()
      let result = socket.withLock { unsafe $0 < 0 ? $0 : coflow_namespace_open($0, descriptor, &opened) }
      switch result {
      case 0: return NamespaceDescriptors(opened)
      case -EINVAL:
        throw LinkError(
          .noSuchNamespace, cause: "\(namespace) is no network namespace", remedy: "delete it and create it anew")
      case -EPERM:
        throw LinkError(
          .notPermitted, cause: "could not enter \(namespace) (the switch was started without CAP_SYS_ADMIN)",
          remedy: "start it as root or with that capability")
      case -EPIPE:
        throw LinkError(
          .notPermitted, cause: "could not enter \(namespace) (the process that enters namespaces has ended)",
          remedy: "start the switch anew")
      default: throw LinkError(errno: -result, action: "enter \(namespace)")
      }
    }
  }
}

private func exchange(_ place: inout Int32, _ value: Int32) -> Int32 {
  defer { place = value }
  return place
}
