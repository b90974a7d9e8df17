// A link (network device) as the kernel describes it. Thread: a value; any. Standard: rtnetlink(7), RFC 2863 (states).

import CNetlink
import Glibc
import VSwitchCore

/// One network device, at the moment of asking.
package struct Link: Equatable, Sendable {
  /// RFC 2863 ifOperStatus, numbered as Linux does.
  package enum OperationalState: UInt8, Sendable {
    case unknown = 0
    case notPresent, down, lowerLayerDown, testing, dormant, up
  }

  package var index: Int
  package var name: String
  /// Nil if the link has none of 6 bytes.
  package var macAddress: MACAddress?
  /// Bytes of an Ethernet payload.
  package var mtu: Int
  /// IFF_… as in <linux/if.h>.
  package var flags: UInt32
  package var operationalState: OperationalState
  /// IFLA_CARRIER: the driver sees a carrier, be the link up or not. Of a tap: a program has it open.
  package var isCarrierOn: Bool
  /// The driver family: "tun" (taps too), "veth", "bridge"...; nil for hardware.
  package var kind: String?

  /// IFF_UP: set up by the administrator.
  package var isAdminUp: Bool { flags & UInt32(IFF_UP) != 0 }
  /// IFF_LOWER_UP: the driver sees a carrier. Only meaningful while up.
  package var hasCarrier: Bool { flags & 0x1_0000 != 0 }
  /// Up and able to carry frames.
  package var isOperational: Bool { isAdminUp && hasCarrier && operationalState != .dormant }

  /// Copies what is needed out of libnl's object, which stays the caller's.
  init(_ link: OpaquePointer) {
    index = unsafe Int(rtnl_link_get_ifindex(link))
    name = unsafe rtnl_link_get_name(link).map { unsafe String(cString: $0) } ?? ""
    mtu = unsafe Int(rtnl_link_get_mtu(link))
    flags = unsafe rtnl_link_get_flags(link)
    operationalState = unsafe OperationalState(rawValue: rtnl_link_get_operstate(link)) ?? .unknown
    isCarrierOn = unsafe rtnl_link_get_carrier(link) != 0
    kind = unsafe rtnl_link_get_type(link).map { unsafe String(cString: $0) }
    if let address = unsafe rtnl_link_get_addr(link), unsafe nl_addr_get_len(address) == 6,
      let bytes = unsafe nl_addr_get_binary_addr(address)
    {
      macAddress = unsafe MACAddress(octets: UnsafeRawBufferPointer(start: bytes, count: 6))
    }
  }
}

/// What the driver of a link tells by ethtool.
package struct LinkSettings: Equatable, Sendable {
  /// Nil if the driver does not say.
  package var driver: String?
  package var speedMegabitsPerSecond: Int?
  package var isFullDuplex: Bool?
}

/// An address of a link with its prefix, as "192.0.2.1/24".
package struct LinkAddress: Hashable, Sendable, CustomStringConvertible {
  package var text: String
  package var description: String { text }
  package init(_ text: String) { self.text = text }
}

extension MACAddress {
  /// - Parameter octets: six bytes in the order of transmission; nil for another count.
  init?(octets: UnsafeRawBufferPointer) {
    guard octets.count == 6 else { return nil }
    var bits: UInt64 = 0
    for i in 0..<6 { bits = unsafe bits << 8 | UInt64(octets[i]) }
    self.init(bits: bits)
  }
}
