// The leases of one network, found by address, client and name. A value; owned by the server that gives them. Invariants: an
// address has one lease, a name one holder; no more leases than addresses in the pool and static ones.

/// Leases and where their holders are.
package struct LeaseTable: Equatable, Sendable {
  private var leases: [UInt32: DHCPLease] = [:]
  private var addressByMAC: [MACAddress: UInt32] = [:]
  private var addressByIdentifier: [[UInt8]: UInt32] = [:]
  private var addressByName: [String: UInt32] = [:]
  /// The port of the switch where a lease was asked for, if it is known.
  private var portByAddress: [UInt32: UInt32] = [:]
  private var countByPort: [UInt32: Int] = [:]

  package init() {}

  package var count: Int { leases.count }
  /// In order of their addresses.
  package var all: [DHCPLease] { leases.values.sorted { $0.address < $1.address } }

  package subscript(address: UInt32) -> DHCPLease? { leases[address] }

  package func lease(of client: DHCPClient) -> DHCPLease? {
    if let identifier = client.identifier, let address = addressByIdentifier[identifier] { return leases[address] }
    guard let address = addressByMAC[client.hardwareAddress], let lease = leases[address], client.owns(lease) else {
      return nil
    }
    return lease
  }

  /// The lease whose holder has that name.
  package func lease(named name: String) -> DHCPLease? { addressByName[name].flatMap { leases[$0] } }

  /// Number of leases that were asked for at a port.
  package func count(ofPort port: UInt32) -> Int { countByPort[port] ?? 0 }

  /// Puts a lease in the place of the one that its address had, and of its name's former holder the name away.
  package mutating func insert(_ lease: DHCPLease, port: UInt32?) {
    let oldPort = portByAddress[lease.address]
    remove(lease.address)
    if let name = lease.name {
      if let former = addressByName[name] { leases[former]?.name = nil }
      addressByName[name] = lease.address
    }
    leases[lease.address] = lease
    addressByMAC[lease.hardwareAddress] = lease.address
    if let identifier = lease.clientIdentifier { addressByIdentifier[identifier] = lease.address }
    if let port = port ?? oldPort {
      portByAddress[lease.address] = port
      countByPort[port, default: 0] += 1
    }
  }

  package mutating func remove(_ address: UInt32) {
    guard let lease = leases.removeValue(forKey: address) else { return }
    if addressByMAC[lease.hardwareAddress] == address { addressByMAC[lease.hardwareAddress] = nil }
    if let identifier = lease.clientIdentifier, addressByIdentifier[identifier] == address {
      addressByIdentifier[identifier] = nil
    }
    if let name = lease.name, addressByName[name] == address { addressByName[name] = nil }
    if let port = portByAddress.removeValue(forKey: address) {
      let rest = (countByPort[port] ?? 1) - 1
      countByPort[port] = rest > 0 ? rest : nil
    }
  }

  /// Takes out what has run out.
  /// - Returns: the addresses.
  package mutating func expire(now: Int64) -> [UInt32] {
    let addresses = leases.values.filter { $0.expires <= now }.map(\.address)
    for address in addresses { remove(address) }
    return addresses
  }
}
