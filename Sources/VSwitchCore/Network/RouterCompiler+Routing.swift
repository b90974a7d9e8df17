// Makes the flow rules of a router: routes, policies, what is kept of connections, neighbours, the way out. Pure. Standards:
// RFC 1812 §5, RFC 2992 (several ways of one route), RFC 1191 and RFC 8201 (path MTU).

extension Compilation {
  // MARK: routes

  mutating func routing() {
    for entry in router.routingTable {
      let packets = Match.ip(isIPv6: entry.prefix.isIPv6).destination(entry.prefix)
      let priority = 10 + entry.prefix.bitCount
      switch entry.kind {
      case .unicast:
        let ways = entry.hops.compactMap { way(of: $0, isIPv6: entry.prefix.isIPv6) }
        if ways.count == 1 {
          rules.add(.routes, priority, packets, ways[0], next: .policies)
        } else if ways.count > 1 {
          let resubmit = Action.resubmit(port: nil, table: RouterTable.policies.rawValue, withConntrackTuple: false)
          rules.add(.routes, priority, packets, [.group(rules.addGroup(ways.map { $0 + [resubmit] }))])
        }
      case .blackhole: rules.add(.routes, priority, packets)
      case .unreachable: reject(.routes, priority, packets, .hostUnreachable)
      case .prohibit: reject(.routes, priority, packets, .prohibited)
      }
    }
    let own = Match().with(RouterRegister.flags, RouterRegister.own, mask: RouterRegister.own)
    // What the router itself has to say to a link-local address goes where the question came from.
    for port in router.ports where port.hasIPv6 {
      guard let prefix = IPPrefix("fe80::/10"),
        let way = way(of: RouteHop(port: port.name, nextHop: nil), isIPv6: true)
      else { continue }
      var packets = Match.ipv6.from(port.number).destination(prefix)
      packets = packets.with(RouterRegister.flags, RouterRegister.own, mask: RouterRegister.own)
      rules.add(.routes, 200, packets, way, next: .policies)
    }
    rules.add(.routes, 1, own)
    for isIPv6 in [false, true] { reject(.routes, 0, .ip(isIPv6: isIPv6), .noRoute) }
  }

  private mutating func reject(_ table: RouterTable, _ priority: Int, _ packets: Match, _ reason: PuntReason) {
    rules.add(table, priority, packets, [.punt(reason, byteCount: Self.quotedByteCount)])
  }

  /// What a route does with a packet.
  private func way(of hop: RouteHop, isIPv6: Bool) -> [Action]? {
    guard let port = router.port(hop.port) else { return nil }
    let nextHop = isIPv6 ? RouterRegister.nextHopIPv6 : RouterRegister.nextHopIPv4
    return [
      .set(.ethernetSource, port.hardwareAddress.bits), .set(RouterRegister.outPort, port.number.rawValue),
      hop.nextHop.map { .set(nextHop, $0.bits) }
        ?? .copy(isIPv6 ? .ipv6Destination : .ipv4Destination, to: nextHop),
    ]
  }

  // MARK: policies

  mutating func policies() {
    guard router.tracksConnections else {
      rules.add(.policies, 0, Match(), next: .neighbours)
      return
    }
    let own = Match().with(RouterRegister.flags, RouterRegister.own, mask: RouterRegister.own)
    rules.add(.policies, 65000, own, next: .neighbours)
    let tracked = ConnectionState.tracked
    let known = ConnectionState.new | ConnectionState.invalid | tracked
    rules.add(
      .policies, 64000, Match().connection(ConnectionState.invalid | tracked, of: ConnectionState.invalid | tracked))
    for state in [ConnectionState.established, ConnectionState.related] {
      rules.add(.policies, 63000, Match().connection(state | tracked, of: state | known), next: .neighbours)
    }
    hairpinPackets()
    forwardedFragments()
    // Expected by a helper: another connection, which goes with the first one.
    let expected = ConnectionState.related | ConnectionState.new | tracked
    rules.add(.policies, 62000, Match().connection(expected, of: expected), next: .commit)
    for policy in router.policies { add(policy) }
    for isIPv6 in [false, true] { add(router.defaultVerdict, 0, .ip(isIPv6: isIPv6)) }
  }

  private mutating func add(_ verdict: RouterPolicy.Verdict, _ priority: Int, _ packets: Match) {
    switch verdict {
    case .accept: rules.add(.policies, priority, packets, next: .commit)
    case .drop: rules.add(.policies, priority, packets)
    case .reject: reject(.policies, priority, packets, .prohibited)
    }
  }

  private mutating func add(_ policy: RouterPolicy) {
    let versions: [Bool] =
      if let prefix = policy.source ?? policy.destination { [prefix.isIPv6] } else { [false, true] }
    // Of the same priority what forbids comes first.
    let place = policy.verdict == .accept ? 0 : policy.verdict == .reject ? 1 : 2
    let priority = 10 + 4 * min(max(policy.priority, 0), RouterPolicy.priorityLimit) + place
    for isIPv6 in versions {
      var packets = Match.ip(isIPv6: isIPv6)
      if let name = policy.inPort {
        guard let port = router.port(name) else { return }
        packets = packets.from(port.number)
      }
      if let name = policy.outPort {
        guard let port = router.port(name) else { return }
        packets = packets.with(RouterRegister.outPort, port.number.rawValue)
      }
      if let source = policy.source { packets = packets.source(source) }
      if let destination = policy.destination {
        if destination.isIPv6 != isIPv6 { continue }
        packets = packets.destination(destination)
      }
      if let number = policy.ipProtocol {
        // ICMP is another protocol in IPv6.
        if number == (isIPv6 ? 1 : 58) { continue }
        packets = packets.with(.ipProtocol, number)
      }
      for ports in policy.portMatches(packets) { add(policy.verdict, priority, ports) }
    }
  }

  // MARK: connections

  /// Keeps new connections that may pass, with another source where the exit port says so.
  mutating func commit() {
    guard router.tracksConnections else { return }
    var keep = ConntrackAction()
    keep.commits = true
    keep.zone = .immediate(router.zone)
    for port in router.ports where port.masquerades {
      for isIPv6 in [false, true] {
        guard let address = port.translationSource(isIPv6: isIPv6) else { continue }
        var translate = keep
        translate.translation = NetworkTranslation(source: address)
        translate.recirculationTable = RouterTable.neighbours.rawValue
        let leaving = Match.ip(isIPv6: isIPv6).with(RouterRegister.outPort, port.number.rawValue)
        rules.add(.commit, 10, leaving, [.conntrack(translate)])
        for (match, helped) in helped(translate) { rules.add(.commit, 11, match(leaving), [.conntrack(helped)]) }
      }
    }
    for isIPv6 in [false, true] {
      let packets = Match.ip(isIPv6: isIPv6)
      rules.add(.commit, 0, packets, [.conntrack(keep)], next: .neighbours)
      for (match, helped) in helped(keep) {
        rules.add(.commit, 1, match(packets), [.conntrack(helped)], next: .neighbours)
      }
    }
  }

  /// The same with a helper, for control connections.
  private func helped(_ action: ConntrackAction) -> [(match: (Match) -> Match, action: ConntrackAction)] {
    router.helpers.sorted { $0.rawValue < $1.rawValue }.map { helper in
      let (ipProtocol, port) = helper.service
      var action = action
      action.helperPort = port
      return (
        { packets in
          packets.with(.ipProtocol, ipProtocol).with(.ipFragment, 0, mask: 2)
            .with(ipProtocol == 6 ? .tcpDestination : .udpDestination, port)
        }, action
      )
    }
  }

  // MARK: the way out

  mutating func exits() {
    for isIPv6 in [false, true] {
      rules.add(.neighbours, 0, .ip(isIPv6: isIPv6), [.punt(.neighbourMiss)])
      rules.add(
        .output, 20,
        .ip(isIPv6: isIPv6).with(RouterRegister.flags, RouterRegister.tooBig, mask: RouterRegister.tooBig),
        [.punt(.tooBig)])
    }
    let tooBig = Subfield(RouterRegister.flags, firstBit: 0, bitCount: 1) ?? Subfield(RouterRegister.flags)
    for port in router.ports {
      let leaving = Match().with(RouterRegister.outPort, port.number.rawValue)
      // The length that is compared has the Ethernet header in it.
      rules.add(
        .mtu, 10, leaving, [.checkPacketLarger(byteCount: UInt16(clamping: port.mtu + 14), to: tooBig)], next: .output)
      rules.add(.output, 10, leaving.from(port.number), [.output(.inPort)])
      rules.add(.output, 5, leaving, [.output(port.number)])
    }
  }
}

extension RouterPolicy {
  /// The highest priority.
  public static var priorityLimit: Int { 10_000 }

  /// A match for each combination of what masks can say of the ports.
  fileprivate func portMatches(_ packets: Match) -> [Match] {
    let fields: (source: Field, destination: Field)
    switch ipProtocol {
    case 6: fields = (.tcpSource, .tcpDestination)
    case 17: fields = (.udpSource, .udpDestination)
    case 132: fields = (.sctpSource, .sctpDestination)
    default: return [packets]
    }
    if sourcePorts.isEmpty, destinationPorts.isEmpty { return [packets] }
    // Later fragments have no ports, but connection tracking knows them of the first one.
    return combinations(packets.with(.ipFragment, 0, mask: 2), fields.source, fields.destination)
      + combinations(packets.with(.ipFragment, 2, mask: 2), .ctTransportSource, .ctTransportDestination)
  }

  private func combinations(_ packets: Match, _ source: Field, _ destination: Field) -> [Match] {
    var matches = [packets]
    for (field, ranges) in [(source, sourcePorts), (destination, destinationPorts)] where !ranges.isEmpty {
      let blocks = ranges.flatMap(RouterPolicy.blocks)
      matches = matches.flatMap { match in
        blocks.map { match.with(field, $0.value, mask: UInt128($0.mask)) }
      }
    }
    return matches
  }

  /// Cuts a range into blocks that share their leading bits.
  static func blocks(_ range: ClosedRange<UInt16>) -> [(value: UInt16, mask: UInt16)] {
    var blocks: [(value: UInt16, mask: UInt16)] = []
    var first = UInt32(range.lowerBound)
    let end = UInt32(range.upperBound) + 1
    while first < end {
      var size: UInt32 = first == 0 ? 65536 : first & ~(first - 1)
      while first + size > end { size /= 2 }
      blocks.append((UInt16(first), UInt16(truncatingIfNeeded: ~(size - 1))))
      first += size
    }
    return blocks
  }
}
