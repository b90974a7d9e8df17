// NAT networks in the state that is wanted: each is a router besides those of table Router. See NetworkState.swift.

import OVSDB
import VSwitchCore

/// A device of this host on a bridge, for a host-only network.
struct HostPort: Equatable, Sendable {
  var name: String
  var bridge: String
  var tag: UInt16?
}

extension NetworkState {
  mutating func readNATNetworks(_ database: DatabaseSnapshot, _ zones: inout ZoneChoice) {
    for row in database.rows("NAT_Network").sorted(by: { $0.name < $1.name }) {
      let zone = zones.zone(for: row)
      var columns: [String: Datum] = ["zone": .integer(Int64(zone)), "error": .empty, "status": Datum(map: [])]
      rows[row.name] = ("NAT_Network", row.uuid)
      for column in [OpenVSwitch.NATNetwork.staticLeases, OpenVSwitch.NATNetwork.forwards] {
        for uuid in row[column] { owners[uuid] = row.name }
      }
      do throws(ConfigError) {
        try RouterReading.checkName(row.name, database)
        if routers.contains(where: { $0.name == row.name }) || database.named(row.name, in: "Router") != nil {
          throw ConfigError(cause: "there is a router \(row.name)", remedy: "give the network another name")
        }
        let reading = try NATNetworkReading(row, zone: zone, database)
        var config = reading.config
        config.helpers = Set(
          row[OpenVSwitch.NATNetwork.helpers].compactMap(ConnectionHelperProtocol.init(rawValue:)))
        let router = config.router { Self.addresses(of: $0, in: config, database) }
        for name in router.ports.map(\.name) + [config.hostDevice].compactMap(\.self) {
          for table in ["Port", "Interface", "Bridge", "Router_Port"] where database.named(name, in: table) != nil {
            throw ConfigError(
              cause: "network \(row.name) needs the name \(name), which another port has",
              remedy: "give the network or that port another name")
          }
        }
        portNames.formUnion(router.ports.map(\.name))
        if config.kind == .hostOnly {
          hostPorts.append(HostPort(name: config.name, bridge: config.bridge, tag: config.tag))
        }
        natNetworks.append(config)
        routers.append(router)
        columns["status"] = Datum(
          map: Self.status(of: config).map { (Atom.string($0), Atom.string($1)) })
        for (uuid, error) in reading.errors {
          let table = database.row("Forward", uuid) == nil ? "Static_Lease" : "Forward"
          let text = error.map { Datum.string($0.description) } ?? .empty
          status.append(Status(table: table, row: uuid, columns: ["error": text]))
        }
      } catch { columns["error"] = .string(error.description) }
      status.append(Status(table: "NAT_Network", row: row.uuid, columns: columns))
    }
    routers.sort { $0.name < $1.name }
    status.sort { ($0.table, $0.row) < ($1.table, $1.row) }
  }

  private static func status(of config: NATNetworkConfig) -> [(String, String)] {
    func list(_ addresses: [InterfaceAddress]) -> String { addresses.map(\.description).joined(separator: ", ") }
    var pairs = [("addresses", list(config.addresses))]
    if config.kind == .nat { pairs.append(("outer-addresses", list(config.outside))) }
    if config.kind == .nat, config.uplink == .host {
      pairs.append(("host-addresses", list(config.hostLink.map(\.host))))
    }
    if config.kind == .hostOnly { pairs.append(("host-addresses", list(config.hostAddresses))) }
    if config.hasDHCP, let pool = config.pool {
      pairs.append(("pool", "\(IPAddress(ipv4: pool.lowerBound))-\(IPAddress(ipv4: pool.upperBound))"))
    }
    return pairs
  }

  /// The addresses of a lease's name: the IPv4 address that is leased, and the IPv6 address that a host makes of its hardware
  /// address (RFC 4862 §5.5.3).
  private static func addresses(
    of name: String, in config: NATNetworkConfig, _ database: DatabaseSnapshot
  ) -> [IPAddress] {
    typealias Columns = OpenVSwitch.DHCPLease
    let fixed = config.staticLeases.first { $0.name == name }
    let lease = database.rows("DHCP_Lease").first { row in
      row[Columns.network] == config.name
        && (fixed.map { $0.hardwareAddress == MACAddress(row[Columns.mac]) } ?? (row[Columns.name] == name))
    }
    var addresses: [IPAddress] = []
    if let address = fixed?.address {
      addresses.append(IPAddress(ipv4: address))
    } else if let address = lease.flatMap({ IPAddress($0[Columns.address]) }) {
      addresses.append(address)
    }
    let mac = fixed?.hardwareAddress ?? lease.flatMap { MACAddress($0[Columns.mac]) }
    if let mac, let own = config.address(isIPv6: true), own.bitCount == 64 {
      let identifier = (mac.bits >> 24 ^ 0x02_0000) << 40 | 0xff_fe00_0000 | mac.bits & 0xff_ffff
      addresses.append(IPAddress(ipv6: own.network.address.bits | UInt128(identifier)))
    }
    return addresses
  }
}
