// What a DHCP server of a network is to give its clients, and what it has given. Pure values; any thread.

/// An address that a station always gets, and its name.
package struct StaticLease: Equatable, Sendable {
  package var hardwareAddress: MACAddress
  /// Nil: any of the pool; only the name is fixed.
  package var address: UInt32?
  /// A host name in lower case.
  package var name: String?

  package init(hardwareAddress: MACAddress, address: UInt32?, name: String?) {
    self.hardwareAddress = hardwareAddress
    self.address = address
    self.name = name
  }
}

/// Settings of the server of one network; addresses in host order.
package struct DHCPSettings: Equatable, Sendable {
  /// The server's own, on that network.
  package var serverAddress: UInt32
  package var serverMAC: MACAddress
  package var prefixLength: Int
  /// From which addresses are given; inside the network, without the server's own.
  package var pool: ClosedRange<UInt32>
  /// Of the pool or not, never given to anybody but who has it as a static lease.
  package var reserved: Set<UInt32> = []
  package var staticLeases: [StaticLease] = []
  package var gateway: UInt32?
  package var dnsServers: [UInt32] = []
  package var mtu: UInt16?
  package var domain: String?
  package var search: [String] = []
  package var leaseSeconds: UInt32 = 3600
  /// Where clients that boot over the network get `bootFile` from (PXE); 0: nothing to boot.
  package var nextServer: UInt32 = 0
  package var bootFile = ""

  package init(serverAddress: UInt32, serverMAC: MACAddress, prefixLength: Int, pool: ClosedRange<UInt32>) {
    self.serverAddress = serverAddress
    self.serverMAC = serverMAC
    self.prefixLength = prefixLength
    self.pool = pool
  }

  package var mask: UInt32 { prefixLength <= 0 ? 0 : .max << UInt32(32 - min(prefixLength, 32)) }
  package func isOnNetwork(_ address: UInt32) -> Bool { (address ^ serverAddress) & mask == 0 }
  /// Number of addresses of the pool.
  package var poolCount: Int { Int(pool.upperBound) - Int(pool.lowerBound) + 1 }
}

/// An address that a client has.
package struct DHCPLease: Equatable, Sendable {
  package var address: UInt32
  package var hardwareAddress: MACAddress
  /// Option 61 where it says more than the hardware address.
  package var clientIdentifier: [UInt8]?
  package var name: String?
  /// Seconds since 1970.
  package var expires: Int64

  package init(
    address: UInt32, hardwareAddress: MACAddress, clientIdentifier: [UInt8]? = nil, name: String? = nil, expires: Int64
  ) {
    self.address = address
    self.hardwareAddress = hardwareAddress
    self.clientIdentifier = clientIdentifier
    self.name = name
    self.expires = expires
  }
}

/// A client as leases know it.
package struct DHCPClient: Equatable, Sendable {
  package var hardwareAddress: MACAddress
  package var identifier: [UInt8]?

  package init(hardwareAddress: MACAddress, identifier: [UInt8]? = nil) {
    self.hardwareAddress = hardwareAddress
    self.identifier = identifier
  }

  package init(_ message: DHCPMessage) {
    hardwareAddress = message.hardwareAddress
    identifier = message.options[DHCPOption.clientIdentifier]
    // What only repeats the hardware address tells no clients apart (udhcpc). Longer ones than names need are cut off.
    if let given = identifier, given.count < 2 || given == [1] + hardwareAddress.octets { identifier = nil }
    identifier = identifier.map { Array($0.prefix(64)) }
  }

  /// Whether a lease is this client's. Where one of the two has no identifier the hardware address decides: so a network boot
  /// and the system that it starts get the same address.
  package func owns(_ lease: DHCPLease) -> Bool {
    if let identifier, let other = lease.clientIdentifier { return identifier == other }
    return hardwareAddress == lease.hardwareAddress
  }
}
