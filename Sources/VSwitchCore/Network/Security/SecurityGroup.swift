// What a port's security groups and its own addresses allow, as plain values: what the reconciler makes of rows, and what the
// compiler makes flow rules of. Pure data; text is checked when it is made.

/// A named set of rules that ports may have.
public struct SecurityGroup: Equatable, Sendable {
  public var name: String
  public var rules: [SecurityRule] = []

  public init(name: String) { self.name = name }
}

/// Connections that may begin. What belongs to a connection that was let through passes in both directions.
public struct SecurityRule: Equatable, Sendable {
  public enum Direction: String, Sendable, CaseIterable {
    /// To the port's host.
    case `in`
    /// From it. Without any rule of this kind a port's host may begin what it likes.
    case out
  }
  public var direction: Direction
  /// Nil: both.
  public var isIPv6: Bool?
  /// IP protocol; nil: any.
  public var ipProtocol: UInt8?
  /// Of the destination, for TCP, UDP or SCTP; empty: any.
  public var ports: [ClosedRange<UInt16>] = []
  /// The other end is one of these; nil: any.
  public var remotes: [IPPrefix]?
  /// Or it is an address of a port that has the group of this name.
  public var remoteGroup: String?

  public init(_ direction: Direction) { self.direction = direction }
}

/// Who a port's host may say that it is: column `port_security`, as in OVN's Logical_Switch_Port.
public struct PortSecurity: Equatable, Sendable {
  public var hardwareAddress: MACAddress
  /// Its addresses, or networks of which it may have any; empty: any.
  public var addresses: [IPPrefix] = []

  public init(_ hardwareAddress: MACAddress) { self.hardwareAddress = hardwareAddress }

  /// Reads `52:54:00:12:34:56 10.0.0.5 fd00::/64`; nil for anything else.
  public init?(_ text: String) {
    let words = text.split(whereSeparator: { $0 == " " || $0 == "\t" })
    guard let first = words.first, let address = MACAddress(String(first)), !address.isMulticast, address.bits != 0
    else {
      return nil
    }
    self.init(address)
    for word in words.dropFirst() {
      guard let prefix = IPPrefix(word) else { return nil }
      addresses.append(prefix)
    }
  }

  /// What it has besides: the address that every host makes itself of its MAC address (RFC 4291 appendix A).
  var linkLocal: IPPrefix {
    IPPrefix(IPAddress(linkLocalOf: hardwareAddress), bitCount: 128)
  }
}

/// A port that has security groups, or says who its host is.
public struct SecuredPort: Equatable, Sendable {
  /// Zones of connection tracking from here on are such ports'; the highest ones are routers'.
  public static let firstZone: UInt16 = 32768
  public var name: String
  /// How its device is joined to its bridge.
  public var guarding: PortGuard
  /// Of connection tracking; the port's alone.
  public var zone: UInt16
  /// Nil: it has no groups, and all connections may begin. Empty: it has some, but none that there are.
  public var groups: [SecurityGroup]?
  /// Nil: its host may say what it likes. Empty: it may say nothing.
  public var hosts: [PortSecurity]?
  /// It may serve DHCP and advertise itself as router.
  public var isTrusted = false

  public init(name: String, guarding: PortGuard, zone: UInt16) {
    self.name = name
    self.guarding = guarding
    self.zone = zone
  }
}
