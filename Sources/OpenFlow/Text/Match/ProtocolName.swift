// Shorthands for EtherType and IP protocol (ovs-ofctl(8), "Flow Syntax").

struct ProtocolName {
  let name: String
  let etherType: UInt16
  let ipProtocol: UInt8?

  static let all: [ProtocolName] = [
    ProtocolName(name: "ip", etherType: 0x0800, ipProtocol: nil),
    ProtocolName(name: "ipv4", etherType: 0x0800, ipProtocol: nil),
    ProtocolName(name: "ip4", etherType: 0x0800, ipProtocol: nil),
    ProtocolName(name: "arp", etherType: 0x0806, ipProtocol: nil),
    ProtocolName(name: "icmp", etherType: 0x0800, ipProtocol: 1),
    ProtocolName(name: "tcp", etherType: 0x0800, ipProtocol: 6),
    ProtocolName(name: "udp", etherType: 0x0800, ipProtocol: 17),
    ProtocolName(name: "sctp", etherType: 0x0800, ipProtocol: 132),
    ProtocolName(name: "ipv6", etherType: 0x86dd, ipProtocol: nil),
    ProtocolName(name: "ip6", etherType: 0x86dd, ipProtocol: nil),
    ProtocolName(name: "icmp6", etherType: 0x86dd, ipProtocol: 58),
    ProtocolName(name: "tcp6", etherType: 0x86dd, ipProtocol: 6),
    ProtocolName(name: "udp6", etherType: 0x86dd, ipProtocol: 17),
    ProtocolName(name: "sctp6", etherType: 0x86dd, ipProtocol: 132),
    ProtocolName(name: "rarp", etherType: 0x8035, ipProtocol: nil),
    ProtocolName(name: "mpls", etherType: 0x8847, ipProtocol: nil),
    ProtocolName(name: "mplsm", etherType: 0x8848, ipProtocol: nil),
  ]

  static let byName: [String: ProtocolName] = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })
}
