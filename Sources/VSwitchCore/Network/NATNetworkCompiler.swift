// Makes of a NAT network the router that it is and the settings of its services. Pure: the same configuration and leases give the
// same router.
//
// New connections come from inside, or to ports that are forwarded; nothing else. Towards the host the router has addresses of
// link-local and local ranges that follow from its zone, which no other network has.

extension NATNetworkConfig {
  /// Names of the router's ports, which are also those of the patch ports on the bridges.
  package var innerPortName: String { name + "-in" }
  package var outerPortName: String { hostDevice.flatMap { kind == .nat ? $0 : nil } ?? name + "-out" }

  /// Addresses of the link to the host, of the switch and of the host; both IP versions where the network has both.
  package var hostLink: [(own: InterfaceAddress, host: InterfaceAddress)] {
    let index = UInt32(UInt16.max - zone)
    var links: [(InterfaceAddress, InterfaceAddress)] = []
    if address(isIPv6: false) != nil {
      // Networks of four addresses from 169.254.1.0 on (RFC 3927 §2.1 keeps the first 256 free).
      let base: UInt32 = 0xa9fe_0100 + 4 * index
      links.append(
        (
          InterfaceAddress(IPAddress(ipv4: base + 2), bitCount: 30),
          InterfaceAddress(IPAddress(ipv4: base + 1), bitCount: 30)
        ))
    }
    if address(isIPv6: true) != nil {
      // Of a local prefix (RFC 4193): "sw" and the number.
      let base = UInt128(0xfd73_7700) << 96 | UInt128(index) << 64
      links.append(
        (
          InterfaceAddress(IPAddress(ipv6: base | 2), bitCount: 64),
          InterfaceAddress(IPAddress(ipv6: base | 1), bitCount: 64)
        ))
    }
    return links
  }

  /// The addresses that guests appear with outside.
  package var outside: [InterfaceAddress] {
    guard kind == .nat else { return [] }
    return uplink == .host ? hostLink.map(\.own) : outerAddresses
  }

  /// The router that the network is.
  /// - Parameter resolve: the addresses of a lease's name.
  package func router(resolve: (String) -> [IPAddress]) -> RouterConfig {
    var router = RouterConfig(name: name, zone: zone)
    var inside = RouterPort(
      name: innerPortName, number: .any, bridge: bridge, tag: tag, hardwareAddress: hardwareAddress)
    inside.addresses = addresses
    inside.mtu = mtu
    inside.advertisement = advertisement
    if hasDHCP, address(isIPv6: false) != nil { inside.services.insert(.dhcpv4) }
    if hasDHCP, address(isIPv6: true) != nil { inside.services.insert(.dhcpv6) }
    if hasDNS { inside.services.insert(.dns) }
    router.ports = [inside]
    // Between guests of one network the router has nothing to do, and without NAT there is no other.
    router.defaultVerdict = .drop
    guard kind == .nat else { return router }
    var outer = RouterPort(
      name: outerPortName, number: .any, bridge: "", tag: nil, hardwareAddress: outerHardwareAddress)
    outer.addresses = outside
    outer.masquerades = true
    if hasOuterDHCP { outer.services.insert(.dhcpv4Client) }
    var gateways = gateways
    switch uplink {
    case .host:
      outer.isHostDevice = true
      gateways = hostLink.map(\.host.address)
    case .bridge(let bridge, let tag): (outer.bridge, outer.tag) = (bridge, tag)
    }
    router.ports.append(outer)
    for gateway in gateways {
      guard let all = IPPrefix(gateway.isIPv6 ? "::/0" : "0.0.0.0/0") else { continue }
      var route = RouterRoute(all)
      route.nextHop = gateway
      route.port = outer.name
      router.routes.append(route)
    }
    var accept = RouterPolicy(.accept)
    accept.inPort = inside.name
    accept.outPort = outer.name
    router.policies = [accept]
    if uplink == .host {
      // The host's own services are not for guests.
      for link in hostLink {
        var drop = RouterPolicy(.reject)
        drop.priority = 200
        drop.inPort = inside.name
        drop.destination = link.own.network
        router.policies.append(drop)
      }
    }
    router.hairpinZone = hairpinZone
    router.helpers = helpers
    for forward in forwards { forward.add(to: &router, outside: outside.map(\.address), resolve) }
    return router
  }

  private var advertisement: RouterAdvertisement? {
    guard let address = address(isIPv6: true), address.bitCount == 64 else { return nil }
    var advertisement = RouterAdvertisement()
    advertisement.prefixes = [address.network]
    advertisement.hasOtherConfig = hasDHCP
    if kind != .nat { advertisement.lifetimeSeconds = 0 }
    if mtu >= 1280 { advertisement.mtu = UInt32(mtu) }
    advertisement.dnsServers = guestServers(isIPv6: true)
    advertisement.domains = search
    return advertisement
  }

  /// The DNS servers that guests are told.
  private func guestServers(isIPv6: Bool) -> [IPAddress] {
    hasDNS
      ? addresses.map(\.address).filter { $0.isIPv6 == isIPv6 } : servers.filter { $0.isIPv6 == isIPv6 }
  }

  /// What the network's DHCP server gives; nil: it has none for IPv4.
  package var dhcpSettings: DHCPSettings? {
    guard hasDHCP, let own = address(isIPv6: false), let pool else { return nil }
    var settings = DHCPSettings(
      serverAddress: own.address.ipv4, serverMAC: hardwareAddress, prefixLength: own.bitCount, pool: pool)
    settings.reserved = Set(hostAddresses.filter { !$0.address.isIPv6 }.map(\.address.ipv4))
    settings.staticLeases = staticLeases
    if kind == .nat { settings.gateway = own.address.ipv4 }
    settings.dnsServers = guestServers(isIPv6: false).map(\.ipv4)
    if mtu != 1500 { settings.mtu = UInt16(clamping: mtu) }
    settings.domain = domain
    settings.search = search
    settings.leaseSeconds = leaseSeconds
    settings.nextServer = nextServer
    settings.bootFile = bootFile
    return settings
  }

  package var dhcpv6Settings: DHCPv6Settings? {
    guard hasDHCP, address(isIPv6: true) != nil else { return nil }
    return DHCPv6Settings(
      serverMAC: hardwareAddress, dnsServers: guestServers(isIPv6: true), search: search)
  }
}

extension NATForward {
  /// Adds what it takes to a router. One whose name nobody has yet adds nothing.
  fileprivate func add(to router: inout RouterConfig, outside: [IPAddress], _ resolve: (String) -> [IPAddress]) {
    let targets =
      switch target {
      case .address(let address): [address]
      case .name(let name): resolve(name)
      }
    for target in targets {
      for address in outside where address.isIPv6 == target.isIPv6 && (self.address ?? address) == address {
        router.forwards.append(
          PortForward(ipProtocol: ipProtocol, address: address, ports: ports, target: target, targetPort: targetPort))
        var accept = RouterPolicy(.accept)
        accept.priority = 300
        accept.ipProtocol = ipProtocol
        accept.destination = IPPrefix(target, bitCount: target.bitCount)
        let last = Int(targetPort) + ports.count - 1
        accept.destinationPorts = [targetPort...UInt16(clamping: max(last, Int(targetPort)))]
        if !router.policies.contains(accept) { router.policies.append(accept) }
      }
    }
  }
}
