// Makes the flow rules of secured ports, all of one bridge of rules: who sends is whom the port says, what servers only may send
// comes from servers only, and connections are those that groups allow. Pure: the same ports give the same rules.
// Standards: RFC 826, RFC 5227 (ARP), RFC 4861, RFC 7113 (RA guard), RFC 7513 (DHCP guard).
//
// A port's device is one port of that bridge, and the port's own bridge another one (`PortGuard`). Each secured port has a zone
// of connection tracking of its own: what one port's host was allowed to begin is new to the next one's.

/// Tables of the bridge of rules.
public enum SecurityTable: UInt8, Sendable, CaseIterable {
  /// By where it comes from; from the device: who is it from?
  case entry = 0
  /// From the device: what only servers and routers send.
  case servers = 1
  /// From the device: ARP, neighbour discovery and IP addresses.
  case addresses = 2
  /// From the device: which connection is it?
  case outTracking = 3
  /// From the device: may it begin?
  case out = 4
  /// To the device: which connection is it?
  case inTracking = 5
  /// To the device: may it begin?
  case `in` = 6
}

/// The addresses of groups' ports, by the groups' names: whom rules that name a group mean.
public struct SecurityMembers: Sendable {
  let addresses: [String: [IPPrefix]]

  /// - Parameter ports: all secured ports of the switch.
  public init(_ ports: [SecuredPort]) {
    var members: [String: Set<IPPrefix>] = [:]
    for port in ports {
      for group in port.groups ?? [] {
        members[group.name, default: []].formUnion((port.hosts ?? []).flatMap(\.addresses))
      }
    }
    addresses = members.mapValues { $0.sorted() }
  }
}

/// Compiles secured ports.
public enum SecurityCompiler {
  /// - Parameter ports: those whose rules are in one bridge, or some of them.
  public static func rules(of ports: [SecuredPort], _ members: SecurityMembers = SecurityMembers([])) -> BridgeRules {
    var compilation = SecurityCompilation(members: members)
    for port in ports { compilation.add(port) }
    return compilation.rules
  }
}

private struct SecurityCompilation {
  let members: SecurityMembers
  var rules = BridgeRules()

  init(members: SecurityMembers) { self.members = members }

  mutating func add(_ port: SecuredPort) {
    let device = PortNumber(openFlow10: port.guarding.deviceNumber)
    let bridge = PortNumber(openFlow10: port.guarding.bridgeNumber)
    entry(port, device)
    add(.entry, 1, Match().from(bridge), next: .inTracking)
    servers(port, device)
    addresses(port, device)
    let outward = port.groups == nil ? nil : port.rules(.out)
    tracking(.outTracking, .out, from: device, to: bridge, port)
    // Without a rule about what may leave, all may.
    connections(.out, from: device, to: bridge, port, outward?.isEmpty == true ? [SecurityRule(.out)] : outward ?? [])
    tracking(.inTracking, .in, from: bridge, to: device, port)
    connections(.in, from: bridge, to: device, port, port.rules(.in))
  }

  private mutating func add(
    _ table: SecurityTable, _ priority: Int, _ match: Match, _ actions: [Action] = [], next: SecurityTable? = nil
  ) {
    rules.add(table: table.rawValue, priority, match, actions, next: next?.rawValue)
  }

  // MARK: who it is from

  private mutating func entry(_ port: SecuredPort, _ device: PortNumber) {
    guard let hosts = port.hosts else {
      add(.entry, 1, Match().from(device), next: .servers)
      return
    }
    for host in hosts {
      add(.entry, 1, Match().from(device).with(.ethernetSource, host.hardwareAddress.bits), next: .servers)
    }
  }

  /// DHCP's answers, router advertisements and redirects come from servers and routers only. In fragments none of them counts for
  /// its receivers (RFC 6980).
  private mutating func servers(_ port: SecuredPort, _ device: PortNumber) {
    let frames = Match().from(device)
    if !port.isTrusted {
      let ipv4 = Match.ipv4.from(device).with(.ipProtocol, 17)
      let ipv6 = Match.ipv6.from(device)
      add(.servers, 10, ipv4.with(.ipFragment, 0, mask: 2).with(.udpSource, 67))
      add(.servers, 10, ipv6.with(.ipProtocol, 17).with(.ipFragment, 0, mask: 2).with(.udpSource, 547))
      for type in [134, 137] {
        add(.servers, 10, ipv6.with(.ipProtocol, 58).with(.ipFragment, 0, mask: 2).with(.icmpv6Type, type))
      }
    }
    add(.servers, 1, frames, next: .addresses)
  }

  private mutating func addresses(_ port: SecuredPort, _ device: PortNumber) {
    let frames = Match().from(device)
    guard let hosts = port.hosts else {
      add(.addresses, 0, frames, next: .outTracking)
      return
    }
    for host in hosts {
      let own = frames.with(.ethernetSource, host.hardwareAddress.bits)
      add(.addresses, 10, own, next: .outTracking)
      arp(host, own)
      discovery(host, own)
      if !host.addresses.isEmpty { sources(host, own) }
    }
  }

  private mutating func arp(_ host: PortSecurity, _ own: Match) {
    let arp = own.with(.etherType, 0x0806)
    let honest = arp.with(.arpSenderHardware, host.hardwareAddress.bits)
    add(.addresses, 30, arp)
    if host.addresses.isEmpty {
      add(.addresses, 40, honest, next: .outTracking)
      return
    }
    // Who asks whether an address is free has none itself (RFC 5227 §2.1.1).
    add(.addresses, 40, honest.with(.arpSenderAddress, 0), next: .outTracking)
    for prefix in host.addresses where !prefix.isIPv6 {
      add(
        .addresses, 40, honest.with(.arpSenderAddress, prefix.address.bits, mask: prefix.mask), next: .outTracking)
    }
  }

  /// Solicitations and advertisements that name the sender's own addresses, or none.
  private mutating func discovery(_ host: PortSecurity, _ own: Match) {
    let icmp = own.with(.etherType, 0x86dd).with(.ipProtocol, 58)
    let solicitation = icmp.with(.icmpv6Type, 135)
    let advertisement = icmp.with(.icmpv6Type, 136)
    add(.addresses, 60, solicitation)
    add(.addresses, 60, advertisement)
    for hardware in [host.hardwareAddress.bits, 0] {
      // Where only the MAC address is given, any other goes; else the IP source is looked at as that of other packets.
      let isWhole = host.addresses.isEmpty
      let sources = isWhole ? [nil] : Self.ipv6(host).map(Optional.some) + [IPPrefix("::/128")]
      for source in sources {
        let from = source.map { solicitation.source($0) } ?? solicitation
        add(.addresses, 70, from.with(.ndSourceLinkLayer, hardware), next: .outTracking)
      }
      for target in isWhole ? [nil] : Self.ipv6(host).map(Optional.some) {
        var answer = advertisement.with(.ndTargetLinkLayer, hardware)
        if let target { answer = answer.with(.ndTarget, target.address.bits, mask: target.mask).source(target) }
        add(.addresses, 70, answer, next: .outTracking)
      }
    }
  }

  private static func ipv6(_ host: PortSecurity) -> [IPPrefix] {
    host.addresses.filter(\.isIPv6) + [host.linkLocal]
  }

  private mutating func sources(_ host: PortSecurity, _ own: Match) {
    let (ipv4, ipv6) = (own.with(.etherType, 0x0800), own.with(.etherType, 0x86dd))
    add(.addresses, 30, ipv4)
    add(.addresses, 30, ipv6)
    for prefix in host.addresses where !prefix.isIPv6 {
      add(.addresses, 40, ipv4.source(prefix), next: .outTracking)
    }
    for prefix in Self.ipv6(host) { add(.addresses, 40, ipv6.source(prefix), next: .outTracking) }
    // A host without an address asks for one: DHCP (RFC 2131 §4.1), groups that it listens to (RFC 3810 §5.2.13).
    let request = ipv4.with(.ipv4Source, 0).with(.ipv4Destination, UInt32.max).with(.ipProtocol, 17)
    add(.addresses, 40, request.with(.udpSource, 68).with(.udpDestination, 67), next: .outTracking)
    let report = ipv6.with(.ipv6Source, 0).with(.ipProtocol, 58)
    add(.addresses, 40, report.with(.icmpv6Type, 143), next: .outTracking)
  }

  // MARK: connections

  /// ARP and neighbour discovery pass, so does what gives a host its address; of other IP packets the connection is looked up, if
  /// the port has groups.
  private mutating func tracking(
    _ table: SecurityTable, _ next: SecurityTable, from entry: PortNumber, to exit: PortNumber, _ port: SecuredPort
  ) {
    add(table, 0, Match().from(entry), [.output(exit)])
    guard port.groups != nil else { return }
    var track = ConntrackAction()
    track.zone = .immediate(port.zone)
    track.recirculationTable = next.rawValue
    for isIPv6 in [false, true] {
      add(table, 10, Match.ip(isIPv6: isIPv6).from(entry), [.conntrack(track)])
    }
    let ipv6 = Match.ipv6.from(entry)
    // Group membership, router and neighbour discovery (RFC 4890 §4.4.1).
    for type in [130, 131, 132, 133, 134, 135, 136, 143] {
      add(table, 20, ipv6.with(.ipProtocol, 58).with(.icmpv6Type, type), [.output(exit)])
    }
    let isOut = table == .outTracking
    let (source, destination) = isOut ? (68, 67) : (67, 68)
    let dhcp = Match.ipv4.from(entry).with(.ipProtocol, 17)
    add(table, 20, dhcp.with(.udpSource, source).with(.udpDestination, destination), [.output(exit)])
    let dhcpv6 = ipv6.with(.ipProtocol, 17)
    add(
      table, 20, dhcpv6.with(.udpSource, isOut ? 546 : 547).with(.udpDestination, isOut ? 547 : 546), [.output(exit)])
  }

  private mutating func connections(
    _ table: SecurityTable, from entry: PortNumber, to exit: PortNumber, _ port: SecuredPort, _ allowed: [SecurityRule]
  ) {
    guard port.groups != nil else { return }
    let frames = Match().from(entry)
    let tracked = ConnectionState.tracked
    let known = ConnectionState.new | ConnectionState.invalid | tracked
    for state in [ConnectionState.established, ConnectionState.related] {
      add(table, 30, frames.connection(state | tracked, of: state | known), [.output(exit)])
    }
    var commit = ConntrackAction()
    commit.commits = true
    commit.zone = .immediate(port.zone)
    let begin: [Action] = [.conntrack(commit), .output(exit)]
    let new = ConnectionState.new | tracked
    for isIPv6 in [false, true] {
      // Expected by a helper: it goes with the first one.
      let related = ConnectionState.related | new
      add(table, 20, Match.ip(isIPv6: isIPv6).from(entry).connection(related, of: related), begin)
      let fresh = Match.ip(isIPv6: isIPv6).from(entry).connection(new, of: new | ConnectionState.invalid)
      for var rule in allowed {
        if let group = rule.remoteGroup { rule.remotes = members.addresses[group] ?? [] }
        for match in rule.matches(fresh, isIPv6: isIPv6) { add(table, 10, match, begin) }
      }
    }
  }
}

extension SecuredPort {
  fileprivate func rules(_ direction: SecurityRule.Direction) -> [SecurityRule] {
    (groups ?? []).flatMap(\.rules).filter { $0.direction == direction }
  }
}

extension SecurityRule {
  /// What of the packets of an IP version it allows: as many matches as masks need.
  fileprivate func matches(_ packets: Match, isIPv6: Bool) -> [Match] {
    if let version = self.isIPv6, version != isIPv6 { return [] }
    var matches = [packets]
    if let ipProtocol {
      // ICMP is another protocol in IPv6.
      let number: UInt8 = ipProtocol == 1 && isIPv6 ? 58 : ipProtocol
      if number == 58, !isIPv6 { return [] }
      matches = [packets.with(.ipProtocol, number)]
      let field: Field? =
        switch number {
        case 6: .tcpDestination
        case 17: .udpDestination
        case 132: .sctpDestination
        default: nil
        }
      if let field, !ports.isEmpty {
        let blocks = ports.flatMap(RouterPolicy.blocks)
        matches = matches.flatMap { match in
          blocks.map { match.with(.ipFragment, 0, mask: 2).with(field, $0.value, mask: UInt128($0.mask)) }
        }
      }
    }
    guard let remotes else { return matches }
    let prefixes = remotes.filter { $0.isIPv6 == isIPv6 }
    return matches.flatMap { match in
      prefixes.map { direction == .in ? match.source($0) : match.destination($0) }
    }
  }
}
