// What secured ports add to the desired state: a bridge of rules for each bridge that has such ports, in no row of Bridge, and
// for each port its place there.

import OVSDB
import VSwitchCore

extension DesiredState {
  /// The bridge of rules that a bridge's secured ports have; no bridge of the database's can have its name.
  static func securityBridge(of bridge: String) -> String { "\(bridge)/security" }

  /// The bridges that have secured ports.
  private var bridgesWithSecurity: Set<String> { Set(securedPorts.lazy.map(\.bridge)) }

  /// Whether there are just the bridges of rules that are needed.
  var hasSecurityBridges: Bool { bridgesWithSecurity == securityBridges }

  /// Adds the bridges of rules.
  mutating func attachSecurity(_ numbering: inout PortNumbering) {
    securityBridges = bridgesWithSecurity
    for bridge in securityBridges {
      var config = BridgeConfig(name: Self.securityBridge(of: bridge))
      // Nothing passes before its rules.
      config.isSecure = true
      bridges[config.name] = Bridge(row: RowUUID(high: 0, low: 0), config: config)
    }
    numbering.keepGuards(of: Set(securedPorts.compactMap { self[$0]?.row }))
    for place in securedPorts.sorted() { setGuard(place, &numbering) }
  }

  /// Gives a secured port its place in the bridge of rules. A port for which there is none is not tried: what it is to keep out
  /// would come in.
  mutating func setGuard(_ place: QualifiedPort, _ numbering: inout PortNumbering) {
    guard let port = self[place], port.security != nil, port.config != nil, let row = port.row
    else { return }
    guard let index = numbering.guardIndex(of: row) else {
      let error = ConfigError(
        cause: "port \(place.port): no more than \(PortNumbering.guardLimit) ports can have security groups",
        remedy: "take secgroup and port_security from another port")
      bridges[place.bridge]?.ports[place.port]?.config = nil
      for i in port.interfaces.indices { bridges[place.bridge]?.ports[place.port]?.interfaces[i].error = error }
      return
    }
    var guarding = PortGuard(
      bridge: Self.securityBridge(of: place.bridge), deviceNumber: UInt16(2 * index + 1),
      bridgeNumber: UInt16(2 * index + 2))
    guarding.groups = port.security?.groups ?? []
    bridges[place.bridge]?.ports[place.port]?.config?.guarding = guarding
  }

  /// The ports that have a guard, in order of their bridges' names and their own.
  /// - Parameter groups: by name.
  func secured(_ groups: [String: SecurityGroup]) -> [SecuredPort] {
    securedPorts.sorted().compactMap { place in
      guard let port = self[place], let security = port.security, let guarding = port.config?.guarding else {
        return nil
      }
      let zone = SecuredPort.firstZone + (guarding.deviceNumber - 1) / 2
      var secured = SecuredPort(name: place.port, guarding: guarding, zone: zone)
      secured.groups = security.groups?.compactMap { groups[$0] }
      secured.hosts = security.hosts
      secured.isTrusted = security.isTrusted
      return secured
    }
  }

  /// The operations that bring ports' rows to what is to be said of their security.
  /// - Parameters:
  ///   - failures: why bridges of rules don't work, by name.
  ///   - reported: the rows in which something is said.
  func securityOperations(
    _ groups: [String: SecurityGroup], _ failures: [String: ConfigError], _ database: DatabaseSnapshot,
    reported: inout Set<RowUUID>
  ) -> [JSONValue] {
    if securedPorts.isEmpty, reported.isEmpty { return [] }
    var operations: [JSONValue] = []
    for place in securedPorts.union(reported.compactMap { portsByRow[$0] }).sorted() {
      guard let port = self[place], let row = port.row.flatMap({ database.row("Port", $0) }) else { continue }
      let missing = port.security?.groups?.first { groups[$0] == nil }.map {
        ConfigError(cause: "there is no security group \($0)", remedy: "add it: vsctl add-secgroup \($0)")
      }
      let failure = port.security.flatMap { _ in failures[Self.securityBridge(of: place.bridge)] }
      let error = port.security?.error ?? missing ?? failure
      let text = error.map { Datum.string($0.description) } ?? .empty
      if let update = StatusColumns.update(row, to: ["error": text]) { operations.append(update) }
      if error == nil { reported.remove(row.uuid) } else { reported.insert(row.uuid) }
    }
    reported.formIntersection(portsByRow.keys)
    return operations
  }
}
