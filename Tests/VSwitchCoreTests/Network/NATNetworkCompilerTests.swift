// What routers and settings of services NAT networks become.

import Testing

@testable import VSwitchCore

@Suite struct NATNetworkCompilerTests {
  private func network(_ kind: NATNetworkConfig.Kind = .nat) -> NATNetworkConfig {
    var config = NATNetworkConfig(
      name: "lab", kind: kind, bridge: "br0",
      addresses: ["192.168.77.1/24", "fd00:77::1/64"].compactMap { InterfaceAddress($0) },
      hardwareAddress: MACAddress(bits: 0x0200_0000_0001), outerHardwareAddress: MACAddress(bits: 0x0600_0000_0001),
      zone: 65535)
    config.tag = 77
    config.pool = 0xc0a8_4d02...0xc0a8_4dfe
    config.domain = "lab"
    config.search = ["lab"]
    return config
  }

  private func outer(_ config: NATNetworkConfig) -> NATNetworkConfig {
    var config = config
    config.uplink = .bridge("br1", tag: 5)
    config.outerAddresses = ["192.0.2.5/24", "2001:db8::5/64"].compactMap { InterfaceAddress($0) }
    config.gateways = ["192.0.2.1", "2001:db8::1"].compactMap { IPAddress($0) }
    return config
  }

  @Test func aNetworkIsARouterWithAPortInsideAndOneOutside() throws {
    let router = outer(network()).router { _ in [] }
    #expect(router.name == "lab" && router.ports.map(\.name) == ["lab-in", "lab-out"])
    let (inside, outside) = (router.ports[0], router.ports[1])
    #expect(inside.bridge == "br0" && inside.tag == 77 && !inside.masquerades)
    #expect(inside.services == [.dhcpv4, .dhcpv6, .dns])
    #expect(inside.advertisement?.prefixes == [try #require(IPPrefix("fd00:77::/64"))])
    #expect(inside.advertisement?.dnsServers.map(\.description) == ["fd00:77::1"])
    #expect(outside.bridge == "br1" && outside.tag == 5 && outside.masquerades && outside.services.isEmpty)
    #expect(router.routes.map(\.prefix.description) == ["0.0.0.0/0", "::/0"])
    #expect(router.routes.allSatisfy { $0.port == "lab-out" })
    for route in router.routes { #expect(try router.hop(of: route) != nil) }
  }

  @Test func connectionsBeginInsideOnly() {
    let router = outer(network()).router { _ in [] }
    #expect(router.defaultVerdict == .drop)
    #expect(router.policies.count == 1)
    #expect(router.policies[0].inPort == "lab-in" && router.policies[0].outPort == "lab-out")
  }

  @Test func theLinkToTheHostIsEachNetworksOwn() throws {
    var seen: Set<IPPrefix> = []
    for zone in UInt16(65000)...65535 {
      var config = network()
      config.zone = zone
      for link in config.hostLink {
        #expect(link.own.network == link.host.network && link.own.address != link.host.address)
        #expect(seen.insert(link.own.network).inserted)
      }
      let router = config.router { _ in [] }
      #expect(router.ports[1].isHostDevice && router.ports[1].name == "lab-host")
      // The host itself is out of bounds.
      #expect(
        router.policies.filter { $0.verdict == .reject }.compactMap(\.destination) == config.hostLink.map(\.own.network)
      )
    }
  }

  @Test func forwardsLeadToAddressesAndToNamesThatAreKnown() {
    var config = outer(network())
    config.forwards = [
      NATForward(ipProtocol: 6, ports: 8080...8081, address: nil, target: .name("web"), targetPort: 80),
      NATForward(ipProtocol: 17, ports: 53...53, address: nil, target: .name("nobody"), targetPort: 53),
      NATForward(
        ipProtocol: 6, ports: 22...22, address: nil, target: .address(IPAddress(ipv4: 0xc0a8_4d09)), targetPort: 2222),
    ]
    let router = config.router { name in
      name == "web" ? ["192.168.77.5", "fd00:77::5"].compactMap { IPAddress($0) } : []
    }
    let lines = router.forwards.map { "\($0.ipProtocol) \($0.address) \($0.ports) \($0.target) \($0.targetPort)" }
    #expect(
      lines == [
        "6 192.0.2.5 8080...8081 192.168.77.5 80", "6 2001:db8::5 8080...8081 fd00:77::5 80",
        "6 192.0.2.5 22...22 192.168.77.9 2222",
      ])
    let opened = router.policies.filter { $0.destination != nil }
    #expect(opened.map(\.destinationPorts) == [[80...81], [80...81], [2222...2222]])
  }

  @Test func withoutAWayOutThereIsNoGatewayAndNoDefaultRouter() {
    for kind in [NATNetworkConfig.Kind.hostOnly, .internal] {
      let config = network(kind)
      let router = config.router { _ in [] }
      #expect(router.ports.count == 1 && router.routes.isEmpty && router.policies.isEmpty)
      #expect(router.ports[0].advertisement?.lifetimeSeconds == 0)
      #expect(config.dhcpSettings?.gateway == nil)
    }
    #expect(network().dhcpSettings?.gateway == 0xc0a8_4d01)
  }

  @Test func whatGuestsAreToldFollowsFromTheServices() {
    var config = network()
    #expect(config.dhcpSettings?.dnsServers == [0xc0a8_4d01])
    #expect(config.dhcpSettings?.mtu == nil)
    config.mtu = 1400
    config.hasDNS = false
    config.servers = ["9.9.9.9", "2620:fe::fe"].compactMap { IPAddress($0) }
    #expect(config.dhcpSettings?.dnsServers == [0x0909_0909])
    #expect(config.dhcpSettings?.mtu == 1400)
    #expect(config.dhcpv6Settings?.dnsServers.map(\.description) == ["2620:fe::fe"])
    #expect(config.router { _ in [] }.ports[0].services == [.dhcpv4, .dhcpv6])
    config.hasDHCP = false
    #expect(config.dhcpSettings == nil && config.dhcpv6Settings == nil)
    #expect(config.router { _ in [] }.ports[0].services.isEmpty)
  }
}
