// Changes links: state, MTU, address, name, namespace; makes and deletes them. See LinkService.swift.

import CNetlink
import Glibc
import VSwitchCore

extension LinkService {
  /// Sets the link up or down (IFF_UP).
  package func setAdminUp(_ isUp: Bool, index: Int) throws(LinkError) {
    try unsafe change(index, "set link number \(index) \(isUp ? "up" : "down") in \(namespace)") { change in
      if isUp {
        unsafe rtnl_link_set_flags(change, UInt32(IFF_UP))
      } else {
        unsafe rtnl_link_unset_flags(change, UInt32(IFF_UP))
      }
    }
  }

  /// - Parameter mtu: bytes of an Ethernet payload; the driver has limits of its own.
  package func setMTU(_ mtu: Int, index: Int) throws(LinkError) {
    let action = "set the MTU of link number \(index) in \(namespace) to \(mtu)"
    guard let mtu = UInt32(exactly: mtu), mtu > 0 else { throw LinkError(errno: EINVAL, action: action) }
    try unsafe change(index, action) { change in unsafe rtnl_link_set_mtu(change, mtu) }
  }

  /// Some drivers refuse while the link is up.
  package func setMACAddress(_ address: MACAddress, index: Int) throws(LinkError) {
    let action = "set the address of link number \(index) in \(namespace) to \(address)"
    guard !address.isMulticast, address.bits != 0 else { throw LinkError(errno: EINVAL, action: action) }
    let octets = address.octets
    guard let value = unsafe nl_addr_build(AF_LLC, octets, octets.count) else {
      throw LinkError(errno: ENOMEM, action: action)
    }
    defer { unsafe nl_addr_put(value) }
    try unsafe change(index, action) { change in unsafe rtnl_link_set_addr(change, value) }
  }

  /// Older kernels refuse while the link is up.
  package func rename(index: Int, to name: String) throws(LinkError) {
    try Self.checkName(name)
    try unsafe change(index, "rename link number \(index) in \(namespace) to \(name)") { change in
      unsafe rtnl_link_set_name(change, name)
    }
  }

  /// Moves the link into another namespace, where it gets a new ifindex (the same if free) and is down.
  /// - Parameters:
  ///   - destination: where to.
  ///   - isUp: set it up there, in the same step, so that no privilege in `destination` is needed for it.
  ///   - mtu: set there, in the same step.
  package func move(
    index: Int, to destination: NetworkNamespace, settingUp isUp: Bool = false, mtu: Int? = nil
  ) throws(LinkError) {
    let action = "move link number \(index) from \(namespace) to \(destination)"
    try destination.withDescriptor { descriptor throws(LinkError) in
      try unsafe change(index, action) { change in
        unsafe rtnl_link_set_ns_fd(change, descriptor)
        if isUp { unsafe rtnl_link_set_flags(change, UInt32(IFF_UP)) }
        if let mtu = mtu.flatMap(UInt32.init(exactly:)) { unsafe rtnl_link_set_mtu(change, mtu) }
      }
    }
  }

  /// Makes two links that are each other's far end (veth(4)), both in this namespace and down.
  package func createVethPair(_ name: String, _ peerName: String) throws(LinkError) {
    try Self.checkName(name)
    try Self.checkName(peerName)
    try unsafe request("create veth pair \(name), \(peerName) in \(namespace)") { (socket) throws(NetlinkFailure) in
      guard let link = unsafe rtnl_link_veth_alloc() else { throw NetlinkFailure(code: NLE_NOMEM) }
      defer { unsafe rtnl_link_put(link) }
      guard let peer = unsafe rtnl_link_veth_get_peer(link) else { throw NetlinkFailure(code: NLE_NOMEM) }
      unsafe rtnl_link_set_name(link, name)
      unsafe rtnl_link_set_name(peer, peerName)
      unsafe rtnl_link_put(peer)
      try unsafe check(rtnl_link_add(socket, link, NLM_F_CREATE | NLM_F_EXCL))
    }
  }

  /// Deletes a virtual link; a veth takes its far end along.
  package func delete(index: Int) throws(LinkError) {
    let action = "delete link number \(index) in \(namespace)"
    guard let number = Int32(exactly: index), number > 0 else { throw LinkError(errno: ENODEV, action: action) }
    try unsafe request(action) { (socket) throws(NetlinkFailure) in
      guard let link = unsafe rtnl_link_alloc() else { throw NetlinkFailure(code: NLE_NOMEM) }
      defer { unsafe rtnl_link_put(link) }
      unsafe rtnl_link_set_ifindex(link, number)
      try unsafe check(rtnl_link_delete(socket, link))
    }
  }

  private func change(
    _ index: Int, _ action: String, _ fill: (OpaquePointer) -> Void
  ) throws(LinkError) {
    guard let number = Int32(exactly: index), number > 0 else { throw LinkError(errno: ENODEV, action: action) }
    try unsafe request(action) { (socket) throws(NetlinkFailure) in
      guard let original = unsafe rtnl_link_alloc() else { throw NetlinkFailure(code: NLE_NOMEM) }
      defer { unsafe rtnl_link_put(original) }
      guard let change = unsafe rtnl_link_alloc() else { throw NetlinkFailure(code: NLE_NOMEM) }
      defer { unsafe rtnl_link_put(change) }
      unsafe rtnl_link_set_ifindex(original, number)
      unsafe fill(change)
      try unsafe check(rtnl_link_change(socket, original, change, 0))
    }
  }
}
