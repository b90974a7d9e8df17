// Rows of forwarded ports as values: what NAT networks and routers have in common, and routers' own. Pure.

import OVSDB
import VSwitchCore

extension RouterReading {
  /// The outer ports of a forward, and the first one behind it.
  static func forwardedPorts(_ row: Row) throws(ConfigError) -> (ports: ClosedRange<UInt16>, targetPort: UInt16) {
    let text = row[OpenVSwitch.Forward.port]
    let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { UInt16($0) }
    guard (1...2).contains(ends.count), let first = ends.first ?? nil, let last = ends.last ?? nil, first > 0,
      first <= last, last - first < 1024
    else {
      throw ConfigError(
        cause: "\"\(text)\" is no port", remedy: "write 8080, or a range such as 8000-8010 of at most 1024 ports")
    }
    let targetPort = row[OpenVSwitch.Forward.targetPort].flatMap(UInt16.init(exactly:)) ?? first
    guard Int(targetPort) + Int(last - first) <= 65535 else {
      throw ConfigError(
        cause: "there are not that many ports from \(targetPort) on", remedy: "give a lower target port")
    }
    return (first...last, targetPort)
  }

  /// A forward of a router: for the address that it names, else for those of ports that masquerade.
  static func forwards(_ row: Row, of router: RouterConfig) throws(ConfigError) -> [PortForward] {
    typealias Columns = OpenVSwitch.Forward
    let (ports, targetPort) = try forwardedPorts(row)
    guard let target = IPAddress(row[Columns.target]) else {
      throw ConfigError(
        cause: "\"\(row[Columns.target])\" is no address",
        remedy: "write ADDRESS:PORT: a router knows no names of hosts")
    }
    guard !router.owns(target), !target.isMulticast, !target.isUnspecified, !target.isLoopback, !target.isLinkLocal
    else {
      throw ConfigError(cause: "\(target) is no host behind router \(router.name)", remedy: "give the address of one")
    }
    var outside: [IPAddress]
    if let text = row[Columns.address] {
      guard let given = IPAddress(text), router.owns(given), !given.isLinkLocal else {
        throw ConfigError(
          cause: "\"\(text)\" is no address of router \(router.name)",
          remedy:
            "it has \(router.ports.flatMap(\.addresses).map(\.address.description).joined(separator: ", "))")
      }
      guard given.isIPv6 == target.isIPv6 else {
        throw ConfigError(cause: "\(given) and \(target) are of two IP versions", remedy: "give both of one")
      }
      outside = [given]
    } else {
      outside = router.ports.filter(\.masquerades).compactMap { $0.translationSource(isIPv6: target.isIPv6) }
      guard !outside.isEmpty else {
        throw ConfigError(
          cause: "router \(router.name) has no port that masquerades, whose address would be meant",
          remedy: "say which address is: address=ADDRESS")
      }
    }
    let ipProtocol: UInt8 = row[Columns.ipProtocol] == "udp" ? 17 : 6
    return outside.map { address in
      PortForward(ipProtocol: ipProtocol, address: address, ports: ports, target: target, targetPort: targetPort)
    }
  }
}

extension PortForward {
  /// Whether both would take the same packets.
  func collides(with other: PortForward) -> Bool {
    ipProtocol == other.ipProtocol && address == other.address && ports.overlaps(other.ports)
  }
}
