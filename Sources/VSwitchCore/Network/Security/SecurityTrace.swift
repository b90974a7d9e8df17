// What a trace says of the rules between a port's device and its bridge: in the words of security groups, not of rules. Pure;
// control code's thread.

/// The port whose rules a trace goes through.
public struct TracedGuard: Equatable, Sendable {
  public var port: String
  /// Names of its security groups.
  public var groups: [String]

  public init(port: String, groups: [String]) {
    self.port = port
    self.groups = groups
  }
}

enum SecurityTrace {
  /// Why a packet ended in a table, and a command that would let it through.
  static func end(_ port: TracedGuard, table: UInt8, key: FlowKey) -> (explanation: String, remedy: String?) {
    let name = port.port
    let source = MACAddress(bits: key.ethernetSource)
    switch SecurityTable(rawValue: table) {
    case .entry:
      return (
        "Port \(name) may not send as \(source): its port_security does not name that address.",
        "vsctl add port \(name) port_security \(source)"
      )
    case .servers:
      return (
        "Port \(name) may neither serve DHCP nor advertise itself as router.",
        "vsctl set port \(name) other_config:trusted=true"
      )
    case .addresses:
      let address = sender(key).map { " \($0)" } ?? ""
      return (
        "Port \(name) may not send in the name of\(address.isEmpty ? " that address" : address): its port_security does "
          + "not give it to \(source).",
        address.isEmpty ? nil : "vsctl set port \(name) 'port_security=\"\(source)\(address)\"'"
      )
    case .out: return ("No rule of port \(name)'s security groups lets that connection begin.", rule(port, .out, key))
    case .in: return ("No rule of port \(name)'s security groups lets that connection in.", rule(port, .in, key))
    default: return ("The port's rules send it nowhere.", nil)
    }
  }

  private static func sender(_ key: FlowKey) -> IPAddress? {
    switch key.etherType {
    case 0x0800: IPAddress(ipv4: key.ipv4Source)
    case 0x0806: IPAddress(bits: key[.arpSenderAddress], isIPv6: false)
    case 0x86dd: IPAddress(ipv6: key[.ipv6Source])
    default: nil
    }
  }

  /// The rule that would let a packet's connection begin.
  private static func rule(_ port: TracedGuard, _ direction: SecurityRule.Direction, _ key: FlowKey) -> String? {
    guard let group = port.groups.first else { return nil }
    var words = ["vsctl add-secgroup-rule \(group) \(direction.rawValue)"]
    let names: [UInt8: String] = [1: "icmp", 6: "tcp", 17: "udp", 58: "icmp", 132: "sctp"]
    if key.ipProtocol != 0 { words.append(names[key.ipProtocol] ?? "proto=\(key.ipProtocol)") }
    if [6, 17, 132].contains(key.ipProtocol), key.transportDestination != 0 {
      words.append("\(key.transportDestination)")
    }
    return words.joined(separator: " ")
  }
}
