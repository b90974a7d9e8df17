// What the database asks for in routers, read from a snapshot: their configurations, what they need of bridges, and what is to be
// said of each row. Pure and deterministic: rows are taken in order of their names. One bad row does not stop the others.

import OVSDB
import VSwitchCore

/// Routers as they are wanted, and where they were written.
struct NetworkState: Equatable, Sendable {
  /// What the switch says of a row.
  struct Status: Equatable, Sendable {
    var table: String
    var row: RowUUID
    var columns: [String: Datum]
  }

  /// In order of their names. Ports have no numbers yet.
  var routers: [RouterConfig] = []
  var status: [Status] = []
  /// Names of the ports that bridges have for routers.
  var portNames: Set<String> = []
  /// In order of their names.
  var natNetworks: [NATNetworkConfig] = []
  var hostPorts: [HostPort] = []
  /// By name.
  var securityGroups: [String: SecurityGroup] = [:]
  /// Rows of the routers; of what was made of other rows those.
  var rows: [String: (table: String, row: RowUUID)] = [:]
  /// The routers that rows of ports, routes and policies belong to.
  var owners: [RowUUID: String] = [:]

  static func == (a: Self, b: Self) -> Bool {
    a.routers == b.routers && a.status == b.status && a.portNames == b.portNames && a.natNetworks == b.natNetworks
      && a.hostPorts == b.hostPorts && a.securityGroups == b.securityGroups
  }

  init() {}

  init(_ database: DatabaseSnapshot) {
    readSecurityGroups(database)
    let rows = database.rows("Router").sorted { $0.name < $1.name }
    if rows.isEmpty, database.rows("NAT_Network").isEmpty { return }
    var zones = ZoneChoice(database)
    for row in rows { read(row, database, &zones) }
    readNATNetworks(database, &zones)
    readHairpinZones(database, &zones)
  }

  /// Whether the same bridges and ports follow from both.
  func hasSamePorts(as other: NetworkState) -> Bool {
    guard routers.count == other.routers.count, hostPorts == other.hostPorts else { return false }
    return zip(routers, other.routers).allSatisfy { a, b in
      a.name == b.name && a.ports.count == b.ports.count
        && zip(a.ports, b.ports).allSatisfy {
          $0.name == $1.name && $0.bridge == $1.bridge && $0.tag == $1.tag
            && $0.hardwareAddress == $1.hardwareAddress && $0.isHostDevice == $1.isHostDevice
        }
    }
  }

  /// What the switch found out about a router when it was to work, in place of what its row says.
  mutating func fail(_ router: String, _ error: ConfigError) {
    guard let place = rows[router] else { return }
    for i in status.indices where status[i].row == place.row {
      status[i].columns["error"] = .string(error.description)
    }
  }

  /// What is wrong, by the router's name; with its ports, routes and policies, by that, a slash and the row.
  var errors: [String: String] {
    var found: [String: String] = [:]
    for status in status {
      guard let error = status.columns["error"]?.string else { continue }
      let router = rows.first { $0.value.row == status.row }?.key
      found[router ?? "\(owners[status.row] ?? "")/\(status.row)"] = error
    }
    return found
  }

  /// The operations that bring the rows to what is to be said of them.
  func operations(_ database: DatabaseSnapshot) -> [JSONValue] {
    status.compactMap { status in
      database.row(status.table, status.row).flatMap { StatusColumns.update($0, to: status.columns) }
    }
  }

  // MARK: reading

  private mutating func read(_ row: Row, _ database: DatabaseSnapshot, _ zones: inout ZoneChoice) {
    let zone = zones.zone(for: row)
    var router = RouterConfig(name: row.name, zone: zone)
    var columns: [String: Datum] = ["zone": .integer(Int64(zone)), "error": .empty]
    rows[row.name] = ("Router", row.uuid)
    do throws(ConfigError) {
      try RouterReading.checkName(row.name, database)
    } catch {
      columns["error"] = .string(error.description)
      status.append(Status(table: "Router", row: row.uuid, columns: columns))
      return
    }
    for column in [
      OpenVSwitch.Router.ports, OpenVSwitch.Router.routes, OpenVSwitch.Router.policies, OpenVSwitch.Router.forwards,
    ] {
      for uuid in row[column] { owners[uuid] = row.name }
    }
    router.defaultVerdict =
      row[OpenVSwitch.Router.defaultPolicy].flatMap(RouterPolicy.Verdict.init(rawValue:)) ?? .accept
    for port in database.rows("Router_Port", row[OpenVSwitch.Router.ports]).sorted(by: { $0.name < $1.name }) {
      var columns: [String: Datum] = ["error": .empty, "mac_in_use": .empty]
      do throws(ConfigError) {
        guard !portNames.contains(port.name) else {
          throw ConfigError(
            cause: "port \(port.name) already belongs to another router", remedy: "add another port to this one")
        }
        let read = try RouterReading.port(port, of: router, database)
        router.ports.append(read)
        portNames.insert(port.name)
        columns["mac_in_use"] = .string(read.hardwareAddress.description)
      } catch { columns["error"] = .string(error.description) }
      status.append(Status(table: "Router_Port", row: port.uuid, columns: columns))
    }
    for route in database.rows("Route", row[OpenVSwitch.Router.routes]) {
      note(route, "Route") { () throws(ConfigError) in
        let read = try RouterReading.route(route)
        _ = try router.hop(of: read)
        router.routes.append(read)
      }
    }
    router.helpers = Set(row[OpenVSwitch.Router.helpers].compactMap(ConnectionHelperProtocol.init(rawValue:)))
    for forward in database.rows("Forward", row[OpenVSwitch.Router.forwards]) {
      note(forward, "Forward") { () throws(ConfigError) in
        for read in try RouterReading.forwards(forward, of: router) {
          if let other = router.forwards.first(where: { $0.collides(with: read) }) {
            throw ConfigError(
              cause:
                "port \(forward[OpenVSwitch.Forward.port]) goes to port \(other.targetPort) of \(other.target) already",
              remedy: "take that away first: vsctl unforward")
          }
          router.forwards.append(read)
        }
      }
    }
    for policy in database.rows("Router_Policy", row[OpenVSwitch.Router.policies]) {
      note(policy, "Router_Policy") { () throws(ConfigError) in
        router.policies.append(try RouterReading.policy(policy, of: router))
      }
    }
    routers.append(router)
    status.append(Status(table: "Router", row: row.uuid, columns: columns))
  }

  /// Gives those that forward ports their second zone, after all have their first.
  private mutating func readHairpinZones(_ database: DatabaseSnapshot, _ zones: inout ZoneChoice) {
    for i in routers.indices where !routers[i].forwards.isEmpty {
      guard let place = rows[routers[i].name], let row = database.row(place.table, place.row) else { continue }
      let zone = zones.hairpinZone(for: row)
      routers[i].hairpinZone = zone
      for j in status.indices where status[j].row == place.row {
        status[j].columns["hairpin_zone"] = .integer(Int64(zone))
      }
    }
  }

  mutating func note(_ row: Row, _ table: String, _ read: () throws(ConfigError) -> Void) {
    var columns: [String: Datum] = ["error": .empty]
    do throws(ConfigError) { try read() } catch { columns["error"] = .string(error.description) }
    status.append(Status(table: table, row: row.uuid, columns: columns))
  }
}

/// Gives routers their zones of connection tracking: the one in the row, else the highest that nobody has.
struct ZoneChoice {
  /// Which of a row's zones.
  private struct Owner: Equatable {
    var row: RowUUID
    var column: String
  }

  private static let columns = ["zone", "hairpin_zone"]
  private var taken: Set<UInt16> = []
  /// Zones that rows have, by the first one that has it.
  private var owners: [UInt16: Owner] = [:]

  init(_ database: DatabaseSnapshot) {
    for datapath in database.rows("Datapath") {
      taken.formUnion(datapath[OpenVSwitch.Datapath.ctZones].keys.compactMap(UInt16.init(exactly:)))
    }
    let rows = ["Router", "NAT_Network"].flatMap { database.rows($0).sorted { $0.name < $1.name } }
    for column in Self.columns {
      for row in rows {
        if let zone = row[column].integer.flatMap(UInt16.init(exactly:)), owners[zone] == nil {
          owners[zone] = Owner(row: row.uuid, column: column)
        }
      }
    }
    taken.formUnion(owners.keys)
  }

  mutating func zone(for row: Row) -> UInt16 { zone(for: row, "zone") }

  /// The one for hosts that reach each other by forwarded ports.
  mutating func hairpinZone(for row: Row) -> UInt16 { zone(for: row, "hairpin_zone") }

  private mutating func zone(for row: Row, _ column: String) -> UInt16 {
    if let zone = row[column].integer.flatMap(UInt16.init(exactly:)),
      owners[zone] == Owner(row: row.uuid, column: column)
    {
      return zone
    }
    return next()
  }

  /// The highest zone that nobody has.
  mutating func next() -> UInt16 {
    var zone = UInt16.max
    while zone > 1, taken.contains(zone) { zone -= 1 }
    taken.insert(zone)
    return zone
  }
}
