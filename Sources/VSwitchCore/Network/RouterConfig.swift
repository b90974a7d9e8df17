// A virtual router as plain values: what the reconciler makes of rows of Router and its neighbours, or of a NAT network, and
// what the compiler makes flow rules of. Pure data; text is checked when it is made.

/// A router: in the datapath a bridge of its name, with a patch port for each of its ports.
public struct RouterConfig: Equatable, Sendable {
  public var name: String
  /// In order of their names.
  public var ports: [RouterPort] = []
  public var routes: [RouterRoute] = []
  /// In no particular order: each has its priority.
  public var policies: [RouterPolicy] = []
  /// What becomes of connections that no policy speaks of.
  public var defaultVerdict = RouterPolicy.Verdict.accept
  /// Of connection tracking; the router's alone.
  public var zone: UInt16
  /// Addresses and ports of the router that stand for ones behind it.
  public var forwards: [PortForward] = []
  /// Of connection tracking, for hosts that reach one of their own network by a forwarded port (hairpin): there the source is
  /// translated, too, so that the answer comes back to the router. Nil: they don't reach each other so.
  public var hairpinZone: UInt16?
  /// Protocols whose control connections are read for the data connections that they announce.
  public var helpers: Set<ConnectionHelperProtocol> = []

  public init(name: String, zone: UInt16) {
    self.name = name
    self.zone = zone
  }

  public func port(_ name: String) -> RouterPort? { ports.first { $0.name == name } }
  public func port(_ number: PortNumber) -> RouterPort? { ports.first { $0.number == number } }

  /// Whether an address is the router's own.
  public func owns(_ address: IPAddress) -> Bool {
    ports.contains { $0.linkLocal == address || $0.addresses.contains { $0.address == address } }
  }

  /// Whether packets have to go through connection tracking: without need none does.
  public var tracksConnections: Bool {
    !policies.isEmpty || defaultVerdict != .accept || !forwards.isEmpty || ports.contains { $0.masquerades }
  }
}

/// A protocol that opens further connections.
public enum ConnectionHelperProtocol: String, Sendable, CaseIterable {
  case ftp, tftp

  /// IP protocol and port of the control connection.
  public var service: (ipProtocol: UInt8, port: UInt16) {
    switch self {
    case .ftp: (6, 21)
    case .tftp: (17, 69)
    }
  }
}

/// A port of a router: where a network, mostly a VLAN of a bridge, reaches it.
public struct RouterPort: Equatable, Sendable {
  /// On its bridge and on the router: of all ports of the switch none else has it.
  public var name: String
  /// On the router.
  public var number: PortNumber
  /// The bridge that has the network.
  public var bridge: String
  /// Nil: what has no VLAN tag on that bridge.
  public var tag: UInt16?
  public var hardwareAddress: MACAddress
  public var addresses: [InterfaceAddress] = []
  /// Bytes of the largest IP packet.
  public var mtu = 1500
  /// Nil: the router does not advertise itself.
  public var advertisement: RouterAdvertisement?
  /// Connections that leave here get this port's address as their source.
  public var masquerades = false
  /// The port is a device of this host, of the port's name, and not on a bridge.
  public var isHostDevice = false
  /// What the switch itself serves here.
  public var services: Set<PuntReason> = []

  public init(name: String, number: PortNumber, bridge: String, tag: UInt16?, hardwareAddress: MACAddress) {
    self.name = name
    self.number = number
    self.bridge = bridge
    self.tag = tag
    self.hardwareAddress = hardwareAddress
  }

  public var hasIPv4: Bool { addresses.contains { !$0.address.isIPv6 } }
  public var hasIPv6: Bool { addresses.contains { $0.address.isIPv6 } }

  /// The address that every port with IPv6 has: the first one given in fe80::/10, else one made of the MAC address
  /// (RFC 4291 appendix A). Nil without IPv6.
  public var linkLocal: IPAddress? {
    guard hasIPv6 else { return nil }
    if let given = addresses.first(where: { $0.address.isIPv6 && $0.address.isLinkLocal }) { return given.address }
    return IPAddress(linkLocalOf: hardwareAddress)
  }

  /// All addresses to which it answers.
  public var ownAddresses: [IPAddress] {
    let given = addresses.map(\.address)
    guard let linkLocal, !given.contains(linkLocal) else { return given }
    return given + [linkLocal]
  }

  /// The address that it gives connections instead of their source; not the link-local one of IPv6, which means nothing further on.
  public func translationSource(isIPv6: Bool) -> IPAddress? {
    addresses.first { $0.address.isIPv6 == isIPv6 && !(isIPv6 && $0.address.isLinkLocal) }?.address
  }

  /// The address that the router uses towards another one of a kind: of the same network, else the first.
  public func source(towards other: IPAddress) -> IPAddress? {
    if other.isIPv6, other.isLinkLocal { return linkLocal }
    let candidates = addresses.filter { $0.address.isIPv6 == other.isIPv6 }
    return (candidates.first { $0.network.contains(other) } ?? candidates.first)?.address
  }
}

/// What a router tells the hosts of a network of itself (RFC 4861 §4.2).
public struct RouterAdvertisement: Equatable, Sendable {
  /// Longest time between two, 4 to 1800.
  public var intervalSeconds = 600
  /// How long hosts use it as default router; 0: not at all.
  public var lifetimeSeconds: UInt16 = 1800
  /// Prefixes of which hosts make themselves addresses.
  public var prefixes: [IPPrefix] = []
  /// Hosts get addresses by DHCPv6 (M flag).
  public var isManaged = false
  /// Hosts get other settings by DHCPv6 (O flag).
  public var hasOtherConfig = false
  /// Told to hosts; nil: nothing is said.
  public var mtu: UInt32?
  /// Recursive DNS servers (RFC 8106 §5.1).
  public var dnsServers: [IPAddress] = []
  /// Search domains (RFC 8106 §5.2).
  public var domains: [String] = []

  public init() {}
}

/// A route that is given. Those to the networks of ports follow from their addresses. Several of the same prefix and metric
/// share the connections (ECMP).
public struct RouterRoute: Equatable, Sendable {
  public enum Kind: String, Sendable, CaseIterable {
    case unicast
    /// Dropped in silence.
    case blackhole
    /// Answered: there is no such host.
    case unreachable
    /// Answered: it is forbidden.
    case prohibit
  }
  public var prefix: IPPrefix
  public var kind = Kind.unicast
  /// The router to send to; nil: the destination is on the port's network.
  public var nextHop: IPAddress?
  /// Nil: the port whose network has the next hop.
  public var port: String?
  /// The lowest counts.
  public var metric = 0

  public init(_ prefix: IPPrefix) { self.prefix = prefix }
}

/// Whether connections of a kind may pass. What belongs to a connection that was let through passes, in both directions.
public struct RouterPolicy: Equatable, Sendable {
  public enum Verdict: String, Sendable, CaseIterable {
    case accept
    case drop
    /// Dropped, and the sender is told.
    case reject
  }
  /// The highest that matches counts; 0 to `priorityLimit`.
  public var priority = 100
  public var verdict: Verdict
  /// Names of router ports; nil: any.
  public var inPort: String?
  public var outPort: String?
  public var source: IPPrefix?
  public var destination: IPPrefix?
  /// IP protocol; nil: any.
  public var ipProtocol: UInt8?
  /// Of TCP, UDP or SCTP; empty: any.
  public var sourcePorts: [ClosedRange<UInt16>] = []
  public var destinationPorts: [ClosedRange<UInt16>] = []

  public init(_ verdict: Verdict) { self.verdict = verdict }
}

/// What comes to an address and port of the router goes to a host behind it.
public struct PortForward: Equatable, Sendable {
  /// 6 or 17.
  public var ipProtocol: UInt8
  /// An address of the router.
  public var address: IPAddress
  public var ports: ClosedRange<UInt16>
  public var target: IPAddress
  /// The first one; the others follow.
  public var targetPort: UInt16

  public init(
    ipProtocol: UInt8, address: IPAddress, ports: ClosedRange<UInt16>, target: IPAddress, targetPort: UInt16
  ) {
    self.ipProtocol = ipProtocol
    self.address = address
    self.ports = ports
    self.target = target
    self.targetPort = targetPort
  }
}
