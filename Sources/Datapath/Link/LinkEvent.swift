// What the kernel tells about links, and how it is read out of netlink messages.
//
// Thread: values; any. Memory: reads the lent message. Invariant: no byte outside the message is read, whatever it says.
// Standard: rtnetlink(7), netlink(7).

import CNetlink
import Glibc
import VSwitchCore

/// A link at the moment of a change.
package struct LinkNotice: Equatable, Sendable {
  /// The id that `LinkMonitor.watch` gave for the link's namespace; nil for the switch's own.
  package var namespaceID: Int32?
  package var index: Int
  package var name: String
  /// IFF_… as in <linux/if.h>.
  package var flags: UInt32
  package var mtu: Int
  /// Nil if the link has none of 6 bytes.
  package var macAddress: MACAddress?

  /// IFF_UP: set up by the administrator.
  package var isAdminUp: Bool { flags & 0x1 != 0 }
  /// IFF_LOWER_UP: the driver sees a carrier.
  package var hasCarrier: Bool { flags & 0x1_0000 != 0 }
}

/// A change of links.
package enum LinkEvent: Equatable, Sendable {
  /// Appeared: made, or moved here from another namespace.
  case added(LinkNotice)
  /// Name, flags, MTU, address or carrier may be others.
  case changed(LinkNotice)
  /// Gone: deleted, or moved to another namespace.
  case deleted(LinkNotice)
  /// A watched namespace and all its links are gone; its id may be given to another.
  case namespaceDeleted(Int32)
  /// Messages were lost: look every link up again.
  case resync
}

extension LinkEvent {
  /// The events of one datagram.
  /// - Parameters:
  ///   - message: netlink messages one after the other.
  ///   - namespaceID: where they come from; nil for the switch's own namespace.
  static func parse(_ message: UnsafeMutableRawBufferPointer, namespaceID: Int32?) -> [LinkEvent] {
    var events: [LinkEvent] = []
    guard let base = message.baseAddress, message.count <= Int32.max else { return events }
    var header = unsafe base.assumingMemoryBound(to: nlmsghdr.self)
    var remaining = Int32(message.count)
    while unsafe nlmsg_ok(header, remaining) != 0 {
      if let event = unsafe event(header, namespaceID: namespaceID) { events.append(event) }
      unsafe header = nlmsg_next(header, &remaining)
    }
    return events
  }

  /// NETNSA_NSID of <linux/net_namespace.h>.
  private static var namespaceIDAttribute: Int32 { 1 }

  private static func event(_ header: UnsafeMutablePointer<nlmsghdr>, namespaceID: Int32?) -> LinkEvent? {
    let type = unsafe Int(header.pointee.nlmsg_type)
    switch type {
    case Int(RTM_NEWLINK), Int(RTM_DELLINK):
      let headerByteCount = Int32(MemoryLayout<ifinfomsg>.size)
      guard unsafe nlmsg_valid_hdr(header, headerByteCount) != 0, let data = unsafe nlmsg_data(header) else {
        return nil
      }
      let info = unsafe data.loadUnaligned(as: ifinfomsg.self)
      // Bridges and IPv6 tell of their own view of a link in messages of the same type.
      guard Int32(info.ifi_family) == AF_UNSPEC else { return nil }
      let notice = LinkNotice(
        namespaceID: namespaceID, index: Int(info.ifi_index),
        name: unsafe attribute(header, headerByteCount, Int32(IFLA_IFNAME)).map { bytes in
          unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        } ?? "",
        flags: info.ifi_flags,
        mtu: unsafe attribute(header, headerByteCount, Int32(IFLA_MTU)).flatMap { bytes in
          bytes.count >= 4 ? Int(unsafe bytes.loadUnaligned(as: UInt32.self)) : nil
        } ?? 0,
        macAddress: unsafe attribute(header, headerByteCount, Int32(IFLA_ADDRESS)).flatMap { bytes in
          unsafe MACAddress(octets: bytes)
        })
      if type == Int(RTM_DELLINK) { return .deleted(notice) }
      // The kernel marks a registration by "everything changed".
      return info.ifi_change == UInt32.max ? .added(notice) : .changed(notice)
    case Int(RTM_DELNSID):
      let headerByteCount = Int32(MemoryLayout<rtgenmsg>.size)
      // Told about by a namespace that is not the switch's own, the id is one of that namespace.
      guard namespaceID == nil, unsafe nlmsg_valid_hdr(header, headerByteCount) != 0,
        let id = unsafe attribute(header, headerByteCount, namespaceIDAttribute), id.count >= 4
      else { return nil }
      return .namespaceDeleted(unsafe id.loadUnaligned(as: Int32.self))
    default:
      return nil
    }
  }

  private static func attribute(
    _ header: UnsafeMutablePointer<nlmsghdr>, _ headerByteCount: Int32, _ type: Int32
  ) -> UnsafeRawBufferPointer? {
    guard let attribute = unsafe nlmsg_find_attr(header, headerByteCount, type) else { return nil }
    return unsafe UnsafeRawBufferPointer(start: nla_data(attribute), count: Int(max(0, nla_len(attribute))))
  }
}
