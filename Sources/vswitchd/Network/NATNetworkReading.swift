// Rows of NAT networks as values, with what is wrong in them and what would mend it. Pure.

import OVSDB
import VSwitchCore

/// A NAT network as it was read, with what is to be said of its rows.
struct NATNetworkReading {
  /// Most addresses of a pool: what is remembered of leases has a limit.
  static let poolLimit = 65_536

  private(set) var config: NATNetworkConfig
  /// What is wrong with a static lease or a forward, by row; nil: nothing.
  private(set) var errors: [RowUUID: ConfigError?] = [:]

  private typealias Columns = OpenVSwitch.NATNetwork

  init(_ row: Row, zone: UInt16, _ database: DatabaseSnapshot) throws(ConfigError) {
    let name = row.name
    let kind = row[Columns.kind].flatMap(NATNetworkConfig.Kind.init(rawValue:)) ?? .nat
    let hardware = MACAddress(bits: 0x0200_0000_0000 | row.uuid.low & 0xff_ffff_ffff)
    config = NATNetworkConfig(
      name: name, kind: kind, bridge: row[Columns.bridge], addresses: [], hardwareAddress: hardware,
      outerHardwareAddress: MACAddress(bits: hardware.bits ^ 0x0400_0000_0000), zone: zone)
    try Self.checkBridge(config.bridge, of: name, database)
    config.tag = row[Columns.tag].flatMap(UInt16.init(exactly:))
    try readSubnets(row)
    try readUplink(row, database)
    if let device = config.hostDevice, device.utf8.count > 15 {
      throw ConfigError(
        cause: "network \(name): no device can be called \(device)",
        remedy: "choose a name of at most \(kind == .nat ? 10 : 15) bytes")
    }
    try readServices(row)
    for lease in database.rows("Static_Lease", row[Columns.staticLeases]) {
      do throws(ConfigError) {
        config.staticLeases.append(try staticLease(lease))
        errors[lease.uuid] = .some(nil)
      } catch { errors[lease.uuid] = error }
    }
    for forward in database.rows("Forward", row[Columns.forwards]) {
      do throws(ConfigError) {
        let read = try self.forward(forward)
        if let other = config.forwards.first(where: { $0.collides(with: read) }) {
          throw ConfigError(
            cause:
              "port \(forward[OpenVSwitch.Forward.port]) goes to port \(other.targetPort) of \(other.target.text) already",
            remedy: "take that away first: vsctl unforward")
        }
        config.forwards.append(read)
        errors[forward.uuid] = .some(nil)
      } catch { errors[forward.uuid] = error }
    }
  }

  static func checkBridge(_ bridge: String, of name: String, _ database: DatabaseSnapshot) throws(ConfigError) {
    guard let root = database.only("Open_vSwitch"), let row = database.named(bridge, in: "Bridge"),
      root[OpenVSwitch.Root.bridges].contains(row.uuid)
    else {
      throw ConfigError(
        cause: "network \(name): there is no bridge \(bridge)", remedy: "add it: vsctl add-br \(bridge)")
    }
  }

  // MARK: addresses

  private mutating func readSubnets(_ row: Row) throws(ConfigError) {
    let name = config.name
    for text in row[Columns.subnets].sorted() {
      guard text.contains("/"), let given = InterfaceAddress(text), !given.address.isMulticast,
        !given.address.isLoopback, !given.address.isLinkLocal, given.bitCount > 7
      else {
        throw ConfigError(
          cause: "network \(name): \"\(text)\" is no network for guests",
          remedy: "write it as 192.168.77.0/24 or fd00:77::/64")
      }
      let isIPv6 = given.address.isIPv6
      guard given.bitCount <= (isIPv6 ? 64 : 29) else {
        throw ConfigError(
          cause: "network \(name): \(text) has too few addresses",
          remedy: "give one of at most /\(isIPv6 ? 64 : 29)")
      }
      guard config.address(isIPv6: isIPv6) == nil else {
        throw ConfigError(
          cause: "network \(name) has two \(isIPv6 ? "IPv6" : "IPv4") subnets", remedy: "make another network of one")
      }
      let network = given.network
      func host(_ number: UInt128) -> InterfaceAddress {
        InterfaceAddress(IPAddress(bits: network.address.bits | number, isIPv6: isIPv6), bitCount: given.bitCount)
      }
      // The address of a network stands for its first host.
      let isNetwork = given.address == network.address
      if !isIPv6, given.address == given.broadcast {
        throw ConfigError(cause: "network \(name): \(text) is an address for broadcasts", remedy: "give the network's")
      }
      if config.kind == .hostOnly {
        config.hostAddresses.append(host(given.address == host(1).address ? 2 : 1))
        config.addresses.append(isNetwork ? host(2) : given)
      } else {
        config.addresses.append(isNetwork ? host(1) : given)
      }
    }
    guard !config.addresses.isEmpty else {
      throw ConfigError(cause: "network \(name) has no subnet", remedy: "give one, such as 192.168.77.0/24")
    }
    if let text = row[Columns.pool] {
      try readPool(text)
    } else if let own = config.address(isIPv6: false) {
      // All hosts behind the switch's and the host's, else those before it.
      let (first, last) = (own.network.address.ipv4 + 1, own.network.last.ipv4 - 1)
      let taken = Set([own.address.ipv4] + config.hostAddresses.filter { !$0.address.isIPv6 }.map(\.address.ipv4))
      var start = first
      while taken.contains(start), start < last { start += 1 }
      config.pool = start...min(last, start + UInt32(Self.poolLimit - 1))
    }
  }

  private mutating func readPool(_ text: String) throws(ConfigError) {
    let ends = text.split(separator: "-").map { IPAddress($0.filter { $0 != " " }) }
    guard let own = config.address(isIPv6: false), ends.count == 2, let first = ends[0], let last = ends[1],
      !first.isIPv6, !last.isIPv6, first <= last, own.network.contains(first), own.network.contains(last)
    else {
      throw ConfigError(
        cause: "network \(config.name): \"\(text)\" is no range of addresses in it",
        remedy: "write it as 192.168.77.100-192.168.77.199")
    }
    guard last.ipv4 - first.ipv4 < UInt32(Self.poolLimit) else {
      throw ConfigError(
        cause: "network \(config.name): the pool \(text) is too large",
        remedy: "give one of at most \(Self.poolLimit) addresses")
    }
    // Not the addresses of the network and of all in it.
    let low = max(first.ipv4, own.network.address.ipv4 + 1)
    let high = min(last.ipv4, own.network.last.ipv4 - 1)
    config.pool = low...max(low, high)
  }

  private mutating func readUplink(_ row: Row, _ database: DatabaseSnapshot) throws(ConfigError) {
    let name = config.name
    let text = row[Columns.uplink] ?? "host"
    let hasOuter = !row[Columns.addresses].isEmpty || !row[Columns.gateways].isEmpty
    guard config.kind == .nat else {
      if row[Columns.uplink] != nil || hasOuter {
        throw ConfigError(
          cause: "network \(name) is \(config.kind.rawValue) and has no way out",
          remedy: "remove uplink, addresses and gateways, or set kind=nat")
      }
      return
    }
    if text == "host" {
      if hasOuter {
        throw ConfigError(
          cause: "network \(name): with uplink=host the addresses outside are chosen by the switch",
          remedy: "name a bridge: uplink=br1, or remove addresses and gateways")
      }
      return
    }
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    var tag: UInt16?
    if parts.count == 2 {
      guard let number = UInt16(parts[1]), number < 4096 else {
        throw ConfigError(
          cause: "network \(name): \"\(parts[1])\" is no VLAN", remedy: "write uplink=BRIDGE:VLAN, 0 to 4095")
      }
      tag = number
    }
    let bridge = String(parts[0])
    try Self.checkBridge(bridge, of: name, database)
    if bridge == config.bridge, tag == config.tag {
      throw ConfigError(
        cause: "network \(name) would go out into itself", remedy: "give the uplink another bridge or VLAN")
    }
    config.uplink = .bridge(bridge, tag: tag)
    let lease = row[Columns.uplinkLease]
    for text in row[Columns.addresses].sorted() {
      var text = text
      if text == "dhcp" {
        config.hasOuterDHCP = true
        guard let given = lease["address"] else { continue }
        text = given
      }
      guard text.contains("/"), let address = InterfaceAddress(text), !address.address.isMulticast,
        !address.address.isLoopback, !address.address.isUnspecified, address.bitCount > 0
      else {
        throw ConfigError(
          cause: "network \(name): \"\(text)\" is no address with a prefix length",
          remedy: "write addresses=192.0.2.5/24")
      }
      if let other = (config.addresses + config.outerAddresses).first(where: { $0.network.overlaps(address.network) }) {
        throw ConfigError(
          cause: "network \(name): \(text) overlaps with \(other)", remedy: "choose networks that do not")
      }
      config.outerAddresses.append(address)
    }
    guard !config.outerAddresses.isEmpty || config.hasOuterDHCP else {
      throw ConfigError(
        cause: "network \(name) has no address on bridge \(bridge)",
        remedy: "set addresses=192.0.2.5/24, or addresses=dhcp")
    }
    if config.hasOuterDHCP, let gateway = lease["gateway"].flatMap({ IPAddress($0) }),
      config.outerAddresses.contains(where: { $0.network.contains(gateway) })
    {
      config.gateways.append(gateway)
    }
    for text in row[Columns.gateways].sorted() {
      guard let gateway = IPAddress(text), config.outerAddresses.contains(where: { $0.network.contains(gateway) }),
        !config.outerAddresses.contains(where: { $0.address == gateway })
      else {
        throw ConfigError(
          cause: "network \(name): \"\(text)\" is no router in its networks outside",
          remedy: "give an address of \(config.outerAddresses.map(\.network.description).joined(separator: " or "))")
      }
      if config.gateways.contains(where: { $0.isIPv6 == gateway.isIPv6 }) {
        throw ConfigError(cause: "network \(name) has two gateways", remedy: "give one of each IP version")
      }
      config.gateways.append(gateway)
    }
  }

  // MARK: services

  private mutating func readServices(_ row: Row) throws(ConfigError) {
    let name = config.name
    config.hasDHCP = row[Columns.dhcp] ?? true
    config.hasDNS = row[Columns.dns] ?? true
    if let seconds = row[Columns.leaseTime] { config.leaseSeconds = UInt32(clamping: seconds) }
    if let mtu = row[Columns.mtu] { config.mtu = Int(mtu) }
    let domain = row[Columns.domain] ?? name
    guard domain.isEmpty || DNSName(domain) != nil else {
      throw ConfigError(cause: "network \(name): \"\(domain)\" is no domain", remedy: "write domain=lab.example.org")
    }
    config.domain = domain.isEmpty ? nil : domain.lowercased()
    let search = row[Columns.search]
    if let bad = search.first(where: { DNSName($0)?.labels.isEmpty ?? true }) {
      throw ConfigError(cause: "network \(name): \"\(bad)\" is no domain", remedy: "write search=lab.example.org")
    }
    config.search = search.isEmpty ? [config.domain].compactMap(\.self) : search
    for text in row[Columns.servers] {
      guard let server = IPAddress(text), !server.isMulticast, !server.isUnspecified else {
        throw ConfigError(
          cause: "network \(name): \"\(text)\" is no DNS server", remedy: "write servers=192.0.2.53,2001:db8::53")
      }
      config.servers.append(server)
    }
    if let text = row[Columns.nextServer] {
      guard let server = IPAddress(text), !server.isIPv6 else {
        throw ConfigError(
          cause: "network \(name): \"\(text)\" is no IPv4 address", remedy: "write next_server=192.168.77.2")
      }
      config.nextServer = server.ipv4
    }
    config.bootFile = row[Columns.bootFile] ?? ""
    guard config.bootFile.utf8.count <= 127, !config.bootFile.utf8.contains(0) else {
      throw ConfigError(
        cause: "network \(name): the name of the boot file is too long", remedy: "give one of at most 127 bytes")
    }
  }

  private func staticLease(_ row: Row) throws(ConfigError) -> StaticLease {
    let text = row[OpenVSwitch.StaticLease.mac]
    guard let mac = MACAddress(text), !mac.isMulticast, mac.bits != 0 else {
      throw ConfigError(cause: "\"\(text)\" is no address of a station", remedy: "write it as 52:54:00:12:34:56")
    }
    guard !config.staticLeases.contains(where: { $0.hardwareAddress == mac }) else {
      throw ConfigError(cause: "\(mac) has a static lease already", remedy: "change that, or delete it first")
    }
    var address: UInt32?
    if let text = row[OpenVSwitch.StaticLease.address] {
      guard let own = config.address(isIPv6: false), let given = IPAddress(text), own.network.contains(given),
        given != own.network.address, given != own.broadcast
      else {
        throw ConfigError(
          cause: "\"\(text)\" is no address of a guest in network \(config.name)",
          remedy: "give one of \(config.address(isIPv6: false)?.network.description ?? "an IPv4 subnet")")
      }
      guard given != own.address, !config.hostAddresses.contains(where: { $0.address == given }) else {
        throw ConfigError(cause: "\(given) is the switch's or the host's own address", remedy: "give another one")
      }
      if let other = config.staticLeases.first(where: { $0.address == given.ipv4 }) {
        throw ConfigError(cause: "\(given) is \(other.hardwareAddress)'s already", remedy: "give another one")
      }
      address = given.ipv4
    }
    var name: String?
    if let text = row[OpenVSwitch.StaticLease.name] {
      guard let label = DHCPMessage.hostName(text) else {
        throw ConfigError(
          cause: "\"\(text)\" is no host name", remedy: "give letters, digits and hyphens, at most 63, no domain")
      }
      if let other = config.staticLeases.first(where: { $0.name == label }) {
        throw ConfigError(cause: "\(label) is the name of \(other.hardwareAddress) already", remedy: "give another one")
      }
      name = label
    }
    return StaticLease(hardwareAddress: mac, address: address, name: name)
  }

  // MARK: forwards

  private func forward(_ row: Row) throws(ConfigError) -> NATForward {
    typealias Columns = OpenVSwitch.Forward
    guard config.kind == .nat else {
      throw ConfigError(cause: "network \(config.name) has no way in", remedy: "forward ports of a network of kind nat")
    }
    let (ports, targetPort) = try RouterReading.forwardedPorts(row)
    var address: IPAddress?
    if let text = row[Columns.address] {
      guard let given = IPAddress(text), config.outside.contains(where: { $0.address == given }) else {
        throw ConfigError(
          cause: "\"\(text)\" is no outer address of network \(config.name)",
          remedy: "it has \(config.outside.map(\.address.description).joined(separator: ", "))")
      }
      address = given
    }
    let targetText = row[Columns.target]
    let target: NATForward.Target
    if let given = IPAddress(targetText) {
      guard config.addresses.contains(where: { $0.network.contains(given) && $0.address != given }) else {
        throw ConfigError(
          cause: "\(given) is no guest of network \(config.name)",
          remedy: "give an address of \(config.addresses.map(\.network.description).joined(separator: " or "))")
      }
      if let address, address.isIPv6 != given.isIPv6 {
        throw ConfigError(cause: "\(address) and \(given) are of two IP versions", remedy: "give both of one")
      }
      target = .address(given)
    } else if let label = DHCPMessage.hostName(targetText) {
      target = .name(label)
    } else {
      throw ConfigError(
        cause: "\"\(targetText)\" is neither an address nor a host name", remedy: "write HOST:PORT, such as web:80")
    }
    return NATForward(
      ipProtocol: row[Columns.ipProtocol] == "udp" ? 17 : 6, ports: ports, address: address, target: target,
      targetPort: targetPort)
  }
}

extension NATForward {
  /// Whether both would take the same packets.
  fileprivate func collides(with other: NATForward) -> Bool {
    guard ipProtocol == other.ipProtocol, ports.overlaps(other.ports) else { return false }
    if let address, let second = other.address { return address == second }
    switch (target, other.target) {
    case (.address(let a), .address(let b)): return a.isIPv6 == b.isIPv6
    default: return true
    }
  }
}

extension NATForward.Target {
  fileprivate var text: String {
    switch self {
    case .address(let address): address.description
    case .name(let name): name
    }
  }
}
