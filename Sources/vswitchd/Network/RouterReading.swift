// Rows of routers' ports, routes and policies as values, with what is wrong in them and what would mend it. Pure.

import OVSDB
import VSwitchCore

enum RouterReading {
  /// Whether a router can have this name.
  static func checkName(_ name: String, _ database: DatabaseSnapshot) throws(ConfigError) {
    if name.isEmpty || name.contains("/") {
      throw ConfigError(cause: "\"\(name)\" is no name for a router", remedy: "give one without slashes")
    }
    if database.named(name, in: "Bridge") != nil {
      throw ConfigError(cause: "there is a bridge \(name)", remedy: "give the router another name")
    }
  }

  // MARK: ports

  static func port(
    _ row: Row, of router: RouterConfig, _ database: DatabaseSnapshot
  ) throws(ConfigError) -> RouterPort {
    let name = row.name
    let bridge = row[OpenVSwitch.RouterPort.bridge]
    guard let root = database.only("Open_vSwitch"), let target = database.named(bridge, in: "Bridge"),
      root[OpenVSwitch.Root.bridges].contains(target.uuid)
    else {
      throw ConfigError(
        cause: "port \(name): there is no bridge \(bridge)", remedy: "add it: vsctl add-br \(bridge)")
    }
    for table in ["Port", "Interface", "Bridge"] where database.named(name, in: table) != nil {
      throw ConfigError(
        cause: "port \(name): there is a \(table.lowercased()) of that name",
        remedy: "delete the router's port and add it with another name")
    }
    var hardware = MACAddress(bits: 0x0200_0000_0000 | row.uuid.low & 0xff_ffff_ffff)
    if let text = row[OpenVSwitch.RouterPort.mac] {
      guard let address = MACAddress(text), !address.isMulticast, address.bits != 0 else {
        throw ConfigError(
          cause: "port \(name): \"\(text)\" is no address of a station", remedy: "write it as 52:54:00:12:34:56")
      }
      hardware = address
    }
    var port = RouterPort(
      name: name, number: .any, bridge: bridge, tag: row[OpenVSwitch.RouterPort.tag].flatMap(UInt16.init(exactly:)),
      hardwareAddress: hardware)
    for text in row[OpenVSwitch.RouterPort.addresses] {
      port.addresses.append(try address(text, of: port, router))
    }
    port.addresses.sort()
    if let mtu = row[OpenVSwitch.RouterPort.mtu].flatMap(Int.init(exactly:)) { port.mtu = mtu }
    port.masquerades = row[OpenVSwitch.RouterPort.masquerade]
    if port.masquerades, port.addresses.allSatisfy(\.address.isLinkLocal) {
      throw ConfigError(
        cause: "port \(name) has no address to masquerade with", remedy: "give it one: addresses=192.0.2.2/24")
    }
    port.advertisement = try advertisement(row, port)
    return port
  }

  private static func address(
    _ text: String, of port: RouterPort, _ router: RouterConfig
  ) throws(ConfigError) -> InterfaceAddress {
    guard text.contains("/"), let given = InterfaceAddress(text) else {
      throw ConfigError(
        cause: "port \(port.name): \"\(text)\" is no address with a prefix length",
        remedy: "write it as 10.0.10.1/24 or fd00:10::1/64")
    }
    let address = given.address
    if address.isMulticast || address.isLoopback || address.isUnspecified
      || address.isIPv6 == false && address.ipv4 == .max
    {
      throw ConfigError(
        cause: "port \(port.name): \(address) can't be the address of a port", remedy: "give one of a network's hosts")
    }
    if given.bitCount == 0
      || !address.isIPv6 && given.bitCount < 31
        && (address == given.network.address || address == given.broadcast)
    {
      throw ConfigError(
        cause: "port \(port.name): \(text) is the address of a network, not of a host",
        remedy: "give the port an address in it")
    }
    for other in router.ports + [port] {
      for known in other.addresses where known.network.overlaps(given.network) {
        if address.isLinkLocal, other.name != port.name { continue }
        throw ConfigError(
          cause: "port \(port.name): \(text) overlaps with \(known) of port \(other.name)",
          remedy: "give each network of a router one address")
      }
    }
    return given
  }

  private static func advertisement(_ row: Row, _ port: RouterPort) throws(ConfigError) -> RouterAdvertisement? {
    let prefixes = port.addresses.filter { $0.address.isIPv6 && !$0.address.isLinkLocal && $0.bitCount == 64 }
      .map(\.network)
    let isWanted = row[OpenVSwitch.RouterPort.routerAdvertisements]
    guard isWanted ?? !prefixes.isEmpty, port.hasIPv6 else {
      if isWanted == true {
        throw ConfigError(
          cause: "port \(port.name) has no IPv6 address to advertise itself by",
          remedy: "give it one: addresses=fd00:10::1/64")
      }
      return nil
    }
    let settings = Settings(row[OpenVSwitch.RouterPort.otherConfig])
    var advertisement = RouterAdvertisement()
    advertisement.prefixes = prefixes
    advertisement.intervalSeconds = settings.integer("ra-interval", default: 600, in: 4...1800)
    advertisement.lifetimeSeconds = UInt16(
      settings.integer("ra-lifetime", default: min(3 * advertisement.intervalSeconds, 9000), in: 0...9000))
    advertisement.isManaged = settings.boolean("ra-managed")
    advertisement.hasOtherConfig = settings.boolean("ra-other")
    if port.mtu >= 1280 { advertisement.mtu = UInt32(port.mtu) }
    for text in (settings["ra-dns"] ?? "").split(separator: ",") {
      guard let server = IPAddress(text), server.isIPv6 else {
        throw ConfigError(
          cause: "port \(port.name): ra-dns has \"\(text)\", which is no IPv6 address",
          remedy: "write other_config:ra-dns=fd00:10::53")
      }
      advertisement.dnsServers.append(server)
    }
    for text in (settings["ra-domains"] ?? "").split(separator: ",") { advertisement.domains.append(String(text)) }
    return advertisement
  }

  // MARK: routes

  static func route(_ row: Row) throws(ConfigError) -> RouterRoute {
    let text = row[OpenVSwitch.Route.prefix]
    guard let prefix = IPPrefix(text) else {
      throw ConfigError(
        cause: "\"\(text)\" is no prefix", remedy: "write it as 10.1.0.0/16, with zeros behind the prefix length")
    }
    var route = RouterRoute(prefix)
    route.kind = row[OpenVSwitch.Route.type].flatMap(RouterRoute.Kind.init(rawValue:)) ?? .unicast
    route.metric = Int(row[OpenVSwitch.Route.metric])
    route.port = row[OpenVSwitch.Route.port]
    if let text = row[OpenVSwitch.Route.nextHop] {
      guard let nextHop = IPAddress(text), !nextHop.isMulticast, !nextHop.isUnspecified else {
        throw ConfigError(
          cause: "route \(prefix): \"\(text)\" is no address of a router", remedy: "write it as 10.0.0.254")
      }
      guard nextHop.isIPv6 == prefix.isIPv6 else {
        throw ConfigError(
          cause: "route \(prefix): \(nextHop) is of the other IP version",
          remedy: "give the next hop in the prefix's own")
      }
      route.nextHop = nextHop
    }
    return route
  }

  // MARK: policies

  static func policy(_ row: Row, of router: RouterConfig) throws(ConfigError) -> RouterPolicy {
    guard let verdict = RouterPolicy.Verdict(rawValue: row[OpenVSwitch.RouterPolicy.action]) else {
      throw ConfigError(cause: "the policy has no action", remedy: "give accept, drop or reject")
    }
    var policy = RouterPolicy(verdict)
    policy.priority = Int(row[OpenVSwitch.RouterPolicy.priority])
    for (name, column) in [
      (row[OpenVSwitch.RouterPolicy.inPort], \RouterPolicy.inPort),
      (row[OpenVSwitch.RouterPolicy.outPort], \RouterPolicy.outPort),
    ] {
      guard let name else { continue }
      guard router.port(name) != nil else {
        throw ConfigError(
          cause: "the policy names port \(name), which router \(router.name) does not have",
          remedy: "its ports are \(router.ports.map(\.name).joined(separator: ", "))")
      }
      policy[keyPath: column] = name
    }
    for (text, column) in [
      (row[OpenVSwitch.RouterPolicy.source], \RouterPolicy.source),
      (row[OpenVSwitch.RouterPolicy.destination], \RouterPolicy.destination),
    ] {
      guard let text else { continue }
      guard let prefix = IPPrefix(text) else {
        throw ConfigError(
          cause: "the policy has \"\(text)\", which is no prefix",
          remedy: "write it as 10.1.0.0/16, with zeros behind the prefix length")
      }
      policy[keyPath: column] = prefix
    }
    if let source = policy.source, let destination = policy.destination, source.isIPv6 != destination.isIPv6 {
      throw ConfigError(
        cause: "the policy has addresses of both IP versions", remedy: "make one policy for each version")
    }
    if let text = row[OpenVSwitch.RouterPolicy.ipProtocol] { policy.ipProtocol = try ipProtocol(text) }
    policy.sourcePorts = try ports(row[OpenVSwitch.RouterPolicy.sourcePorts])
    policy.destinationPorts = try ports(row[OpenVSwitch.RouterPolicy.destinationPorts])
    if !policy.sourcePorts.isEmpty || !policy.destinationPorts.isEmpty,
      ![6, 17, 132].contains(policy.ipProtocol)
    {
      throw ConfigError(
        cause: "the policy has ports but no protocol of ports", remedy: "give protocol tcp, udp or sctp")
    }
    return policy
  }

  static func ipProtocol(_ text: String) throws(ConfigError) -> UInt8 {
    switch text {
    case "tcp": return 6
    case "udp": return 17
    case "sctp": return 132
    case "icmp": return 1
    case "icmpv6": return 58
    default:
      if let number = UInt8(text) { return number }
      throw ConfigError(
        cause: "\"\(text)\" is no protocol", remedy: "give tcp, udp, sctp, icmp, icmpv6 or a number up to 255")
    }
  }

  static func ports(_ texts: [String]) throws(ConfigError) -> [ClosedRange<UInt16>] {
    var ranges: [ClosedRange<UInt16>] = []
    for text in texts {
      let parts = text.split(separator: "-", omittingEmptySubsequences: false).map { UInt16($0) }
      guard (1...2).contains(parts.count), let first = parts.first ?? nil, let last = parts.last ?? nil, first <= last
      else {
        throw ConfigError(cause: "\"\(text)\" is no port", remedy: "write 22 or a range such as 8000-8080")
      }
      ranges.append(first...last)
    }
    return ranges
  }
}
