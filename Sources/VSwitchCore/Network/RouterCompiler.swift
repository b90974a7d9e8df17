// Makes the flow rules of a router: what comes in, who is where, what is for the router itself. The rest of a packet's way is in
// RouterCompiler+Routing.swift. Pure: the same configuration gives the same rules. Standards: RFC 1812, RFC 826, RFC 4861.

/// Compiles routers.
public enum RouterCompiler {
  /// All rules of a router but those of neighbours.
  public static func rules(of router: RouterConfig) -> BridgeRules {
    var compiler = Compilation(router)
    compiler.admission()
    compiler.neighbourNews()
    compiler.link()
    compiler.tracking()
    compiler.local()
    compiler.hopLimit()
    compiler.routing()
    compiler.policies()
    compiler.commit()
    compiler.exits()
    return compiler.rules
  }
}

/// One router on its way to rules.
struct Compilation {
  let router: RouterConfig
  var rules = BridgeRules()

  init(_ router: RouterConfig) { self.router = router }

  /// How much of a packet an ICMP error needs (RFC 1812 §4.3.2.3, RFC 4443 §2.4 c).
  static var quotedByteCount: UInt16 { 1300 }

  // MARK: what comes in

  /// Frames for the router's address on that port, and those for groups; none with a VLAN tag.
  mutating func admission() {
    for port in router.ports {
      let frames = Match().from(port.number).with(.vlanTCI, 0, mask: 0x1000)
      rules.add(
        .admission, 20, frames.with(.ethernetDestination, port.hardwareAddress.bits), next: .neighbourNews)
      rules.add(
        .admission, 10, frames.with(.ethernetDestination, 0x0100_0000_0000, mask: 0x0100_0000_0000),
        next: .neighbourNews)
    }
  }

  /// ARP that may tell where somebody is. What is known already is passed on by rules of the neighbours.
  mutating func neighbourNews() {
    for port in router.ports where port.hasIPv4 {
      let arp = Match.arp.from(port.number)
      rules.add(.neighbourNews, 30, arp.with(.arpOperation, 2), [.punt(.arp)])
      for address in port.addresses where !address.address.isIPv6 {
        let request = arp.with(.arpOperation, 1).with(.arpTargetAddress, address.address.bits)
        // A station that asks whether an address is free has none itself (RFC 5227).
        rules.add(.neighbourNews, 6, request.with(.arpSenderAddress, 0), next: .link)
        rules.add(.neighbourNews, 5, request, [.punt(.arp)], next: .link)
      }
    }
    rules.add(.neighbourNews, 0, Match(), next: .link)
  }

  // MARK: the link

  mutating func link() {
    for port in router.ports {
      for address in port.ownAddresses { addressResolution(address, port) }
      if port.hasIPv6 {
        // No neighbour is further than a hop (RFC 4861 §7.1.1, §7.1.2).
        rules.add(.link, 40, Self.discovery(136).from(port.number), [.punt(.neighbourDiscovery)])
        if port.advertisement != nil {
          rules.add(.link, 40, Self.discovery(133).from(port.number), [.punt(.routerSolicitation)])
        }
      }
      services(of: port)
    }
    // IP for the router's own Ethernet address is routed.
    for isIPv6 in [false, true] {
      rules.add(
        .link, 10, Match.ip(isIPv6: isIPv6).with(.ethernetDestination, 0, mask: 0x0100_0000_0000), next: .tracking)
    }
  }

  private static func discovery(_ type: UInt8) -> Match {
    Match.ipv6.with(.ipProtocol, 58).with(.icmpv6Type, type).with(.icmpv6Code, 0).with(.ipTTL, 255)
  }

  private mutating func addressResolution(_ address: IPAddress, _ port: RouterPort) {
    if address.isIPv6 {
      let solicitation = Self.discovery(135).from(port.number).with(.ndTarget, address.bits)
      rules.add(.link, 40, solicitation, [.punt(.neighbourDiscovery)])
      return
    }
    let request = Match.arp.from(port.number).with(.arpOperation, 1).with(.arpTargetAddress, address.bits)
    rules.add(
      .link, 40, request,
      [
        .copy(.ethernetSource, to: .ethernetDestination),
        .set(.ethernetSource, port.hardwareAddress.bits),
        .set(.arpOperation, 2),
        .copy(.arpSenderHardware, to: .arpTargetHardware),
        .set(.arpSenderHardware, port.hardwareAddress.bits),
        .copy(.arpSenderAddress, to: .arpTargetAddress),
        .set(.arpSenderAddress, address.bits),
        .output(.inPort),
      ])
  }

  /// What hosts ask for before they have an address, and where they don't know whom to ask.
  private mutating func services(of port: RouterPort) {
    if port.services.contains(.dhcpv4) {
      let request = Match.ipv4.from(port.number).with(.ipProtocol, 17).with(.ipFragment, 0).with(.udpDestination, 67)
      for address in [IPAddress(ipv4: .max)] + port.ownAddresses where !address.isIPv6 {
        rules.add(.link, 50, request.destination(address), [.punt(.dhcpv4)])
      }
    }
    if port.services.contains(.dhcpv4Client) {
      // Before there is an address, and after.
      let answer = Match.ipv4.from(port.number).with(.ipProtocol, 17).with(.ipFragment, 0).with(.udpSource, 67)
      rules.add(.link, 50, answer.with(.udpDestination, 68), [.punt(.dhcpv4Client)])
    }
    if port.services.contains(.dhcpv6), let group = IPAddress("ff02::1:2") {
      let request = Match.ipv6.from(port.number).with(.ipProtocol, 17).with(.ipFragment, 0).with(.udpDestination, 547)
      rules.add(.link, 50, request.destination(group), [.punt(.dhcpv6)])
    }
  }

  // MARK: connections

  /// Has every packet's connection looked up, with the addresses from before its translation, if anybody wants to know.
  mutating func tracking() {
    guard router.tracksConnections else {
      rules.add(.tracking, 0, Match(), next: .local)
      return
    }
    var track = ConntrackAction()
    track.zone = .immediate(router.zone)
    track.translation = NetworkTranslation()
    track.recirculationTable = RouterTable.forwards.rawValue
    for isIPv6 in [false, true] { rules.add(.tracking, 0, .ip(isIPv6: isIPv6), [.conntrack(track)]) }
    hairpinAnswers(track)
    if !router.helpers.isEmpty {
      // What a helper expects has the other end that its control connection has, before it is routed.
      let expected = ConnectionState.related | ConnectionState.new | ConnectionState.tracked
      var commit = track
      commit.commits = true
      commit.recirculationTable = RouterTable.local.rawValue
      for isIPv6 in [false, true] {
        rules.add(.forwards, 60, .ip(isIPv6: isIPv6).connection(expected, of: expected), [.conntrack(commit)])
      }
    }
    for forward in router.forwards { add(forward) }
    rules.add(.forwards, 0, Match(), next: .local)
  }

  private mutating func add(_ forward: PortForward) {
    guard [6, 17].contains(forward.ipProtocol), forward.address.isIPv6 == forward.target.isIPv6 else { return }
    let new = Match.ip(isIPv6: forward.address.isIPv6)
      .connection(ConnectionState.new | ConnectionState.tracked, of: ConnectionState.new | ConnectionState.tracked)
      .with(.ipProtocol, forward.ipProtocol).destination(forward.address)
    for (offset, port) in forward.ports.enumerated() {
      guard let targetPort = UInt16(exactly: Int(forward.targetPort) + offset) else { return }
      var translation = NetworkTranslation()
      translation.kind = .destination
      translation.addresses = forward.target.bits...forward.target.bits
      translation.isIPv6 = forward.target.isIPv6
      translation.ports = targetPort...targetPort
      var commit = ConntrackAction()
      commit.commits = true
      commit.zone = .immediate(router.zone)
      commit.translation = translation
      commit.recirculationTable = RouterTable.local.rawValue
      commit.helperPort = router.helperPort(forward.ipProtocol, targetPort)
      rules.add(
        .forwards, 50, new.with(forward.ipProtocol == 6 ? .tcpDestination : .udpDestination, port),
        [.conntrack(commit)])
    }
  }

  // MARK: the router itself

  mutating func local() {
    rules.add(
      .local, 1000, Match().with(RouterRegister.flags, RouterRegister.own, mask: RouterRegister.own), next: .routes)
    for port in router.ports where port.services.contains(.dns) {
      for address in port.ownAddresses {
        let whole = Match.ip(isIPv6: address.isIPv6).from(port.number).destination(address).with(.ipFragment, 0)
        rules.add(.local, 210, whole.with(.ipProtocol, 17).with(.udpDestination, 53), [.punt(.dns)])
        rules.add(.local, 210, whole.with(.ipProtocol, 6).with(.tcpDestination, 53), [.punt(.dns)])
      }
    }
    for address in Set(router.ports.flatMap(\.ownAddresses)) { answers(of: address) }
    for port in router.ports {
      for broadcast in port.addresses.compactMap(\.broadcast) {
        rules.add(.local, 60, Match.ipv4.destination(broadcast))
      }
    }
    // Never forwarded (RFC 1812 §5.3.7, RFC 4291 §2.5.2, §2.5.6, §2.7).
    for text in ["0.0.0.0/8", "127.0.0.0/8", "::1/128", "::/128", "fe80::/10"] {
      guard let prefix = IPPrefix(text) else { continue }
      let packets = Match.ip(isIPv6: prefix.isIPv6)
      rules.add(.local, 50, packets.destination(prefix))
      rules.add(.local, 50, packets.source(prefix))
    }
    for text in ["224.0.0.0/4", "255.255.255.255/32", "ff00::/8"] {
      guard let prefix = IPPrefix(text) else { continue }
      rules.add(.local, 50, Match.ip(isIPv6: prefix.isIPv6).destination(prefix))
    }
    rules.add(.local, 0, Match(), next: .hopLimit)
  }

  private mutating func answers(of address: IPAddress) {
    let isIPv6 = address.isIPv6
    let packets = Match.ip(isIPv6: isIPv6).destination(address)
    let (source, destination): (Field, Field) =
      isIPv6 ? (.ipv6Source, .ipv6Destination) : (.ipv4Source, .ipv4Destination)
    let back: [Action] = [
      .copy(source, to: RouterRegister.scratch), .set(source, address.bits),
      .copy(RouterRegister.scratch, to: destination), .setTTL(64),
      .set(RouterRegister.flags, RouterRegister.own, mask: RouterRegister.own),
    ]
    let icmp = packets.with(.ipProtocol, isIPv6 ? 58 : 1)
    let type = isIPv6 ? Field.icmpv6Type : .icmpType
    let code = isIPv6 ? Field.icmpv6Code : .icmpCode
    // An echo is answered by rules alone: whoever asks much costs the services nothing. Its later fragments say no type.
    rules.add(
      .local, 200, icmp.with(type, isIPv6 ? 128 : 8).with(code, 0).with(.ipFragment, 0, mask: 2),
      back + [.set(type, isIPv6 ? 129 : 0)], next: .routes)
    rules.add(.local, 200, icmp.with(.ipFragment, 2, mask: 2), back, next: .routes)
    rules.add(.local, 110, icmp)
    for transport in [6, 17] {
      let unfragmented = packets.with(.ipProtocol, transport).with(.ipFragment, 0, mask: 2)
      rules.add(.local, 100, unfragmented, [.punt(.portUnreachable, byteCount: Self.quotedByteCount)])
    }
    rules.add(
      .local, 90, packets.with(.ipFragment, 0, mask: 2), [.punt(.protocolUnreachable, byteCount: Self.quotedByteCount)])
    rules.add(.local, 80, packets)
  }

  /// A packet that may go no further ends here; the others have one hop less.
  mutating func hopLimit() {
    for isIPv6 in [false, true] {
      let packets = Match.ip(isIPv6: isIPv6)
      for last in 0...1 {
        rules.add(
          .hopLimit, 10, packets.with(.ipTTL, last), [.punt(.ttlExpired, byteCount: Self.quotedByteCount)])
      }
      rules.add(.hopLimit, 0, packets, [.decrementTTL(controllers: [0])], next: .routes)
    }
  }
}
