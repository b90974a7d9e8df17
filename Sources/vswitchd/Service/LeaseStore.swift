// Leases as rows of DHCP_Lease: read when a network comes, written before a client is told of its address. Pure but for what
// it remembers of the database. Owned by the service of NAT networks.

import OVSDB
import VSwitchCore

struct LeaseStore {
  struct Key: Hashable {
    var network: String
    var address: UInt32
  }

  /// Rows that the database has, as far as this knows.
  private var known: Set<Key> = []
  /// What could not be written yet.
  private var unwritten: [Key: DHCPLease?] = [:]

  private typealias Columns = OpenVSwitch.DHCPLease

  /// The leases of a network in the database.
  mutating func read(_ network: String, _ database: DatabaseSnapshot) -> [DHCPLease] {
    var leases: [DHCPLease] = []
    for row in database.rows("DHCP_Lease") where row[Columns.network] == network {
      guard let address = IPAddress(row[Columns.address]), !address.isIPv6, let mac = MACAddress(row[Columns.mac])
      else { continue }
      known.insert(Key(network: network, address: address.ipv4))
      leases.append(
        DHCPLease(
          address: address.ipv4, hardwareAddress: mac, clientIdentifier: row[Columns.clientID].flatMap(Self.bytes),
          name: row[Columns.name].flatMap(DHCPMessage.hostName), expires: row[Columns.expires]))
    }
    return leases
  }

  /// The rows of a network that the database has, as far as this knows.
  func written(_ network: String) -> Set<UInt32> {
    Set(known.filter { $0.network == network && unwritten[$0] == nil }.map(\.address))
  }

  /// Notes that somebody else has deleted a row.
  mutating func lost(_ key: Key) { known.remove(key) }

  /// Forgets a network that is no more.
  /// - Returns: the operation that deletes its rows.
  mutating func forget(_ network: String) -> JSONValue {
    known = known.filter { $0.network != network }
    unwritten = unwritten.filter { $0.key.network != network }
    return Operation.delete("DHCP_Lease", where: [["network", "==", .string(network)]])
  }

  /// Notes what is to be written; nil: the lease is gone.
  mutating func note(_ lease: DHCPLease?, _ key: Key) { unwritten[key] = .some(lease) }

  var hasUnwritten: Bool { !unwritten.isEmpty }

  /// Takes what is to be written, with the operations that do it.
  mutating func take() -> (changes: [Key: DHCPLease?], operations: [JSONValue]) {
    let changes = unwritten
    unwritten = [:]
    var operations: [JSONValue] = []
    for (key, lease) in changes.sorted(by: { ($0.key.network, $0.key.address) < ($1.key.network, $1.key.address) }) {
      let place: JSONValue = [
        ["network", "==", .string(key.network)],
        ["address", "==", .string(IPAddress(ipv4: key.address).description)],
      ]
      if lease == nil || !known.contains(key) {
        // Whatever is there gives way.
        operations.append(Operation.delete("DHCP_Lease", where: place))
      }
      guard let lease else { continue }
      let columns = Self.columns(lease, key)
      operations.append(
        known.contains(key)
          ? Operation.update("DHCP_Lease", where: place, columns) : Operation.insert("DHCP_Lease", columns))
    }
    return (changes, operations)
  }

  /// What was taken has been written, or has to be once more.
  mutating func finish(_ changes: [Key: DHCPLease?], isWritten: Bool) {
    for (key, lease) in changes {
      if !isWritten {
        if unwritten[key] == nil { unwritten[key] = .some(lease) }
      } else if lease == nil {
        known.remove(key)
      } else {
        known.insert(key)
      }
    }
    // Rows that others deleted are written anew by the next try.
    if !isWritten { known.subtract(changes.keys) }
  }

  private static func columns(_ lease: DHCPLease, _ key: Key) -> [String: JSONValue] {
    let empty: JSONValue = Operation.set([])
    return [
      "network": .string(key.network), "address": .string(IPAddress(ipv4: key.address).description),
      "mac": .string(lease.hardwareAddress.description),
      "client_id": lease.clientIdentifier.map { .string(hexadecimal($0)) } ?? empty,
      "name": lease.name.map { .string($0) } ?? empty, "expires": .integer(lease.expires),
    ]
  }

  private static func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  private static func bytes(_ text: String) -> [UInt8]? {
    let digits = Array(text.utf8)
    guard digits.count % 2 == 0, digits.count <= 128 else { return nil }
    var bytes: [UInt8] = []
    for i in stride(from: 0, to: digits.count, by: 2) {
      guard let byte = UInt8(String(decoding: digits[i...(i + 1)], as: UTF8.self), radix: 16) else { return nil }
      bytes.append(byte)
    }
    return bytes
  }
}
