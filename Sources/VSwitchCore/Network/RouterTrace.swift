// What a trace says of a router's tables: in the words of routes and policies, not of rules. Pure; control code's thread.

enum RouterTrace {
  /// Why a packet ended in a table, and a command that would let it through.
  static func end(
    bridge: String, table: UInt8, rule: (match: Match, priority: UInt16)?, key: FlowKey
  ) -> (explanation: String, remedy: String?) {
    switch RouterTable(rawValue: table) {
    case .admission:
      return (
        "The frame is not for the router: its destination is not the Ethernet address of the router's port.",
        "send it to the address that vsctl router show \(bridge) tells (dl_dst=…)"
      )
    case .neighbourNews, .link: return ("Nobody at the router waits for such frames.", nil)
    case .local:
      if let packet = addresses(key), packet.source.isUnspecified {
        return ("A packet from no address is not forwarded.", "say who sends it: nw_src=ADDRESS (ipv6_src=…)")
      }
      return ("The router does not forward packets from or to such addresses, or has no answer to it.", nil)
    case .routes:
      let destinations: IPPrefix? = rule.flatMap { prefix($0.match) }
      let remedy: String? = destinations.map { "vsctl del-route \(bridge) \($0)" }
      return ("A route of type blackhole drops it.", remedy)
    case .policies:
      let isDefault = (rule?.priority ?? 0) < 10
      let why =
        isDefault
        ? "No policy accepts the connection, and the router's default_policy is drop."
        : "A policy of the router drops the connection."
      return (why, policy(bridge, rule, key))
    default: return ("The router's rules send it nowhere.", nil)
    }
  }

  /// What the switch does with a punted packet, in words; what else it does with it; whether it ends there.
  static func punt(
    _ reason: PuntReason, bridge: String, rule: (match: Match, priority: UInt16)?, key: FlowKey
  ) -> (sentence: String, drop: String?, remedy: String?) {
    let packet = addresses(key)
    let isIPv6 = packet?.destination.isIPv6 ?? false
    func told(_ drop: String, _ why: String, _ remedy: String?) -> (String, String?, String?) {
      ("\(why) The sender is told (ICMP).", drop, remedy)
    }
    switch reason {
    case .neighbourMiss:
      let field = isIPv6 ? RouterRegister.nextHopIPv6 : RouterRegister.nextHopIPv4
      let nextHop = IPAddress(bits: key[field], isIPv6: isIPv6)
      return (
        "waits at router \(bridge) until \(nextHop) has said where it is (\(isIPv6 ? "neighbour discovery" : "ARP"))",
        nil,
        nil
      )
    case .arp, .neighbourDiscovery, .routerSolicitation: return ("goes to the router's neighbour discovery", nil, nil)
    case .dhcpv4, .dhcpv6: return ("goes to the switch's DHCP server", nil, nil)
    case .dhcpv4Client: return ("goes to the switch's DHCP client", nil, nil)
    case .dns: return ("goes to the switch's DNS server", nil, nil)
    case .ttlExpired:
      return told(
        "hop_limit_passed", "The packet's hop limit (TTL) does not let it go further.",
        "send it with a higher one (nw_ttl=64); if it had one, look for a loop of routes")
    case .noRoute:
      return told(
        "no_route", "Router \(bridge) has no route to \(packet?.destination.description ?? "there").",
        packet.map { "vsctl add-route \(bridge) \($0.destination)/\($0.destination.bitCount) via ADDRESS" })
    case .hostUnreachable:
      return told(
        "route_unreachable", "A route of type unreachable ends it.",
        rule.flatMap { prefix($0.match) }.map { "vsctl del-route \(bridge) \($0)" })
    case .prohibited:
      if let prefix = rule.flatMap({ prefix($0.match) }), rule.map({ $0.priority <= 138 }) == true,
        rule?.match.value(.inPort) == nil, key[RouterRegister.outPort] == 0
      {
        return told(
          "route_prohibit", "A route of type prohibit ends it.", "vsctl del-route \(bridge) \(prefix)")
      }
      return told(
        "policy", "A policy of the router rejects the connection, or its default_policy does.",
        policy(bridge, rule, key))
    case .tooBig:
      return told(
        "too_big", "The packet is larger than the MTU of the exit port.",
        "send smaller ones, or vsctl set router_port PORT mtu=…")
    case .portUnreachable, .protocolUnreachable:
      return told("not_listening", "It is for the router itself, which does not listen there.", nil)
    }
  }

  private static func addresses(_ key: FlowKey) -> (source: IPAddress, destination: IPAddress)? {
    switch key.etherType {
    case 0x0800: return (IPAddress(ipv4: key.ipv4Source), IPAddress(ipv4: key.ipv4Destination))
    case 0x86dd: return (IPAddress(ipv6: key[.ipv6Source]), IPAddress(ipv6: key[.ipv6Destination]))
    default: return nil
    }
  }

  /// The destinations of a route's rule.
  private static func prefix(_ match: Match) -> IPPrefix? {
    for (field, isIPv6) in [(Field.ipv4Destination, false), (.ipv6Destination, true)] {
      guard let (value, mask) = match.value(field) else { continue }
      return IPPrefix(IPAddress(bits: value, isIPv6: isIPv6), bitCount: mask.nonzeroBitCount)
    }
    return nil
  }

  /// The policy that would let a packet's connection pass.
  private static func policy(_ bridge: String, _ rule: (match: Match, priority: UInt16)?, _ key: FlowKey) -> String? {
    guard let packet = addresses(key) else { return nil }
    var words = ["vsctl add-router-policy \(bridge) accept src=\(packet.source) dst=\(packet.destination)"]
    let names: [UInt8: String] = [1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"]
    if key.ipProtocol != 0 { words.append("proto=\(names[key.ipProtocol] ?? "\(key.ipProtocol)")") }
    if [6, 17, 132].contains(key.ipProtocol), key.transportDestination != 0 {
      words.append("dport=\(key.transportDestination)")
    }
    if let priority = rule?.priority, priority >= 10 {
      words.append("priority=\(min((Int(priority) - 10) / 4 + 1, RouterPolicy.priorityLimit))")
    }
    return words.joined(separator: " ")
  }
}
