// Adds, deletes and lists the IP addresses of links. See LinkService.swift.

import CNetlink
import Glibc

extension LinkService {
  /// Adds an address with its prefix ("192.0.2.1/24", "2001:db8::1/64").
  /// - Parameter skippingDuplicateDetection: an IPv6 address is usable at once (IFA_F_NODAD).
  package func addAddress(
    _ address: LinkAddress, index: Int, skippingDuplicateDetection: Bool = false
  ) throws(LinkError) {
    try unsafe withAddress(address, index, "add address \(address) to link number \(index) in \(namespace)") {
      (socket, object) throws(NetlinkFailure) in
      if skippingDuplicateDetection, unsafe rtnl_addr_get_family(object) == AF_INET6 {
        unsafe rtnl_addr_set_flags(object, 0x02)  // IFA_F_NODAD
      }
      try unsafe check(rtnl_addr_add(socket, object, NLM_F_EXCL))
    }
  }

  /// Deletes an address; it must be given with the prefix that it was added with.
  package func deleteAddress(_ address: LinkAddress, index: Int) throws(LinkError) {
    try unsafe withAddress(address, index, "delete address \(address) from link number \(index) in \(namespace)") {
      (socket, object) throws(NetlinkFailure) in
      try unsafe check(rtnl_addr_delete(socket, object, 0))
    }
  }

  /// The addresses of a link, IPv4 and IPv6.
  package func addresses(index: Int) throws(LinkError) -> [LinkAddress] {
    let action = "list the addresses of link number \(index) in \(namespace)"
    return try unsafe request(action) { (socket) throws(NetlinkFailure) in
      var cache: OpaquePointer?
      try unsafe check(rtnl_addr_alloc_cache(socket, &cache))
      guard let cache = unsafe cache else { throw NetlinkFailure(code: NLE_NOMEM) }
      defer { unsafe nl_cache_free(cache) }
      var addresses: [LinkAddress] = []
      var next = unsafe nl_cache_get_first(cache)
      while let object = unsafe next {
        if unsafe Int(rtnl_addr_get_ifindex(object)) == index, let local = unsafe rtnl_addr_get_local(object) {
          let text = unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { buffer in
            unsafe nl_addr2str(local, buffer.baseAddress, 128).map { unsafe String(cString: $0) } ?? ""
          }
          // libnl leaves out the prefix of a host address.
          let hostBitCount = unsafe rtnl_addr_get_family(object) == AF_INET6 ? 128 : 32
          addresses.append(LinkAddress(text.contains("/") ? text : "\(text)/\(hostBitCount)"))
        }
        unsafe next = nl_cache_get_next(object)
      }
      return addresses
    }
  }

  private func withAddress(
    _ address: LinkAddress, _ index: Int, _ action: String,
    _ body: (OpaquePointer, OpaquePointer) throws(NetlinkFailure) -> Void
  ) throws(LinkError) {
    var parsed: OpaquePointer?
    guard !address.text.utf8.contains(0), unsafe nl_addr_parse(address.text, AF_UNSPEC, &parsed) >= 0,
      let local = unsafe parsed
    else {
      throw LinkError(
        .invalidValue, cause: "\(address.text.debugDescription) is no IP address",
        remedy: "give one with its prefix, as 192.0.2.1/24 or 2001:db8::1/64")
    }
    defer { unsafe nl_addr_put(local) }
    let family = unsafe nl_addr_get_family(local)
    guard family == AF_INET || family == AF_INET6 else {
      throw LinkError(
        .invalidValue, cause: "\(address.text.debugDescription) is no IP address",
        remedy: "give one with its prefix, as 192.0.2.1/24 or 2001:db8::1/64")
    }
    guard let number = Int32(exactly: index), number > 0 else { throw LinkError(errno: ENODEV, action: action) }
    try unsafe request(action) { (socket) throws(NetlinkFailure) in
      guard let object = unsafe rtnl_addr_alloc() else { throw NetlinkFailure(code: NLE_NOMEM) }
      defer { unsafe rtnl_addr_put(object) }
      unsafe rtnl_addr_set_ifindex(object, number)
      try unsafe check(rtnl_addr_set_local(object, local))
      try unsafe body(socket, object)
    }
  }
}
