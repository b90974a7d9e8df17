// Looks up links of one network namespace by netlink (libnl) and ethtool.
//
// Thread: any; a lock lets one request at a time onto the socket, each takes microseconds to milliseconds (the kernel's
// own lock on links is taken). Memory: libnl's objects live inside one call. A service holds sockets of its namespace
// and thereby the namespace itself, even after its name is deleted: make one when needed and let it go.
// Standard: rtnetlink(7), RFC 3549.

import CNetlink
import COFlow
import Glibc
import Synchronization
import VSwitchCore

/// Links and addresses of one network namespace.
@safe package final class LinkService: Sendable {
  package let namespace: NetworkNamespace
  private let sockets: Mutex<Sockets>

  @safe private struct Sockets: ~Copyable {
    let netlink: OpaquePointer
    let ioctl: Int32
    deinit {
      unsafe nl_socket_free(netlink)
      close(ioctl)
    }
  }

  /// Opens the sockets in `namespace`.
  package init(_ namespace: NetworkNamespace = .own) throws(LinkError) {
    self.namespace = namespace
    guard let netlink = unsafe nl_socket_alloc() else {
      throw LinkError(errno: ENOMEM, action: "open a netlink socket")
    }
    do throws(LinkError) {
      let ioctl = try unsafe Self.connect(netlink, in: namespace)
      sockets = unsafe Mutex(Sockets(netlink: netlink, ioctl: ioctl))
    } catch {
      unsafe nl_socket_free(netlink)
      throw error
    }
  }

  /// - Returns: a socket for ioctls.
  private static func connect(_ netlink: OpaquePointer, in namespace: NetworkNamespace) throws(LinkError) -> Int32 {
    if case .own = namespace {
      let result = unsafe nl_connect(netlink, NETLINK_ROUTE)
      guard result >= 0 else { throw LinkError(netlink: result, action: "open a netlink socket") }
      let ioctl = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
      guard ioctl >= 0 else { throw LinkError(errno: errno, action: "open a socket") }
      return ioctl
    }
    var opened = try NamespaceBroker.shared.open(in: namespace)
    let descriptor = opened.takeNetlink()
    let result = unsafe nl_socket_set_fd(netlink, NETLINK_ROUTE, descriptor)
    guard result >= 0 else {
      close(descriptor)
      throw LinkError(netlink: result, action: "open a netlink socket in \(namespace)")
    }
    return opened.takeInternet()
  }

  /// The link with that name.
  package func link(named name: String) throws(LinkError) -> Link {
    try Self.checkName(name)
    return try find(index: 0, name: name, action: "find link \(name) in \(namespace)")
  }

  /// The link with that ifindex.
  package func link(index: Int) throws(LinkError) -> Link {
    try find(index: index, name: nil, action: "find link number \(index) in \(namespace)")
  }

  private func find(index: Int, name: String?, action: String) throws(LinkError) -> Link {
    guard let number = Int32(exactly: index), number > 0 || name != nil else {
      throw LinkError(errno: ENODEV, action: action)
    }
    return try unsafe request(action) { (socket) throws(NetlinkFailure) in
      var link: OpaquePointer?
      try unsafe check(rtnl_link_get_kernel(socket, number, name, &link))
      guard let link = unsafe link else { throw NetlinkFailure(code: NLE_NODEV) }
      defer { unsafe rtnl_link_put(link) }
      return unsafe Link(link)
    }
  }

  /// Every link of the namespace.
  package func links() throws(LinkError) -> [Link] {
    try unsafe request("list the links of \(namespace)") { (socket) throws(NetlinkFailure) in
      var cache: OpaquePointer?
      try unsafe check(rtnl_link_alloc_cache(socket, AF_UNSPEC, &cache))
      guard let cache = unsafe cache else { throw NetlinkFailure(code: NLE_NOMEM) }
      defer { unsafe nl_cache_free(cache) }
      var links: [Link] = []
      var next = unsafe nl_cache_get_first(cache)
      while let object = unsafe next {
        unsafe links.append(Link(object))
        unsafe next = nl_cache_get_next(object)
      }
      return links
    }
  }

  /// Driver, speed and duplex; what the driver does not know is nil.
  package func settings(ofLinkNamed name: String) throws(LinkError) -> LinkSettings {
    try Self.checkName(name)
    var raw = coflow_link_settings()
    let result = sockets.withLock { sockets in unsafe coflow_link_settings_get(sockets.ioctl, name, &raw) }
    guard result == 0 else {
      throw LinkError(errno: -result, action: "read the settings of link \(name) in \(namespace)")
    }
    let driver = unsafe withUnsafeBytes(of: &raw.driver) { bytes in
      unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    return LinkSettings(
      driver: driver.isEmpty ? nil : driver,
      speedMegabitsPerSecond: raw.speed_mbps > 0 ? Int(raw.speed_mbps) : nil,
      isFullDuplex: raw.duplex == 1 ? true : raw.duplex == 0 ? false : nil)
  }

  /// Throws unless the kernel could take `name` for a link (dev_valid_name).
  package static func checkName(_ name: String) throws(LinkError) {
    let isValid =
      (1...15).contains(name.utf8.count) && name != "." && name != ".."
      && !name.utf8.contains { $0 <= 0x20 || $0 == 0x2f || $0 == 0x3a || $0 == 0x7f }
    guard isValid else {
      throw LinkError(
        .invalidName, cause: "\(name.debugDescription) is no link name",
        remedy: "give 1 to 15 bytes without blanks, slash and colon")
    }
  }

  /// A libnl call's negative result on its way out of `request`.
  struct NetlinkFailure: Error { var code: Int32 }

  /// Runs `body` with the netlink socket, locked; turns its failure into one that names the action.
  func request<Value: Sendable>(
    _ action: @autoclosure () -> String, _ body: (OpaquePointer) throws(NetlinkFailure) -> Value
  ) throws(LinkError) -> Value {
    do throws(NetlinkFailure) {
      return try sockets.withLock { (sockets) throws(NetlinkFailure) in try unsafe body(sockets.netlink) }
    } catch {
      throw LinkError(netlink: error.code, action: action())
    }
  }

  /// Throws for a negative libnl result.
  func check(_ result: Int32) throws(NetlinkFailure) {
    guard result >= 0 else { throw NetlinkFailure(code: result) }
  }
}
