// A NAT network as plain values: what the reconciler makes of rows of NAT_Network and its neighbours, and what routers and
// settings of services are made of. Pure data; text is checked when it is made.

/// A network of guests: a router with one port in it, DHCP, a resolver, and for some a way out.
package struct NATNetworkConfig: Equatable, Sendable {
  package enum Kind: String, Sendable, CaseIterable {
    /// Guests reach what is outside.
    case nat
    /// Guests reach the host.
    case hostOnly = "host-only"
    /// Guests reach each other.
    case `internal`
  }

  /// Where a network goes out.
  package enum Uplink: Equatable, Sendable {
    /// A device of the host, which forwards.
    case host
    /// A VLAN of a bridge; nil: what is untagged there.
    case bridge(String, tag: UInt16?)
  }

  package var name: String
  package var kind: Kind
  package var bridge: String
  package var tag: UInt16?
  /// The switch's own addresses in the network, at most one of each IP version.
  package var addresses: [InterfaceAddress]
  /// The host's in a host-only network.
  package var hostAddresses: [InterfaceAddress] = []
  package var uplink = Uplink.host
  /// The switch's addresses outside.
  package var outerAddresses: [InterfaceAddress] = []
  package var gateways: [IPAddress] = []
  /// The outer IPv4 address and its gateway are those that a DHCP server outside gives.
  package var hasOuterDHCP = false
  /// Ethernet addresses inside and outside.
  package var hardwareAddress: MACAddress
  package var outerHardwareAddress: MACAddress
  package var zone: UInt16
  /// For guests that reach their neighbours by forwarded ports.
  package var hairpinZone: UInt16?
  package var helpers: Set<ConnectionHelperProtocol> = []
  package var hasDHCP = true
  package var hasDNS = true
  package var pool: ClosedRange<UInt32>?
  package var leaseSeconds: UInt32 = 3600
  package var domain: String?
  package var search: [String] = []
  /// DNS servers: asked in place of the host's, or told to guests where the network has no resolver.
  package var servers: [IPAddress] = []
  package var mtu = 1500
  package var nextServer: UInt32 = 0
  package var bootFile = ""
  package var staticLeases: [StaticLease] = []
  package var forwards: [NATForward] = []

  package init(
    name: String, kind: Kind, bridge: String, addresses: [InterfaceAddress], hardwareAddress: MACAddress,
    outerHardwareAddress: MACAddress, zone: UInt16
  ) {
    self.name = name
    self.kind = kind
    self.bridge = bridge
    self.addresses = addresses
    self.hardwareAddress = hardwareAddress
    self.outerHardwareAddress = outerHardwareAddress
    self.zone = zone
  }

  /// The device of the host that the network has, if it has one.
  package var hostDevice: String? {
    switch kind {
    case .nat: uplink == .host ? name + "-host" : nil
    case .hostOnly: name
    case .internal: nil
    }
  }

  package func address(isIPv6: Bool) -> InterfaceAddress? { addresses.first { $0.address.isIPv6 == isIPv6 } }
}

/// A port that is forwarded.
package struct NATForward: Equatable, Sendable {
  package enum Target: Equatable, Sendable {
    case address(IPAddress)
    /// Of a lease.
    case name(String)
  }

  /// 6 or 17.
  package var ipProtocol: UInt8
  package var ports: ClosedRange<UInt16>
  /// Nil: every outer address of the target's IP version.
  package var address: IPAddress?
  package var target: Target
  /// The first one.
  package var targetPort: UInt16

  package init(
    ipProtocol: UInt8, ports: ClosedRange<UInt16>, address: IPAddress?, target: Target, targetPort: UInt16
  ) {
    self.ipProtocol = ipProtocol
    self.ports = ports
    self.address = address
    self.target = target
    self.targetPort = targetPort
  }
}
