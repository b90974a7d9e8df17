// Random descriptions of flows, mostly right: some lack what a field or action needs, as users' do.

import TestSupport

struct FlowGenerator {
  var random: SeededGenerator

  init(seed: UInt64) { random = SeededGenerator(seed: seed) }

  mutating func number(_ range: ClosedRange<UInt64>) -> UInt64 { UInt64.random(in: range, using: &random) }
  mutating func chance(_ percent: UInt64) -> Bool { number(1...100) <= percent }
  mutating func pick<Value>(_ values: [Value]) -> Value { values[Int(number(0...UInt64(values.count - 1)))] }

  mutating func integer(_ bits: UInt64) -> String {
    let ones: UInt64 = bits >= 64 ? .max : (1 << bits) - 1
    let value = (chance(20) ? number(0...3) : random.next()) & ones
    return chance(50) ? "\(value)" : "0x" + String(value, radix: 16)
  }

  mutating func masked(_ bits: UInt64) -> String { integer(bits) + (chance(40) ? "/" + integer(bits) : "") }

  mutating func mac() -> String { (0..<6).map { _ in String(number(0...255), radix: 16) }.joined(separator: ":") }
  mutating func maskedMAC() -> String { mac() + (chance(30) ? "/" + mac() : "") }
  mutating func ipv4() -> String { (0..<4).map { _ in "\(number(0...255))" }.joined(separator: ".") }
  mutating func maskedIPv4() -> String {
    ipv4() + (chance(30) ? "/\(number(0...32))" : chance(20) ? "/" + ipv4() : "")
  }
  mutating func ipv6() -> String {
    let groups = (0..<8).map { _ in chance(60) ? "0" : String(number(0...0xffff), radix: 16) }
    return groups.joined(separator: ":")
  }
  mutating func maskedIPv6() -> String { ipv6() + (chance(40) ? "/\(number(0...128))" : "") }

  mutating func flags(_ names: [String]) -> String {
    let chosen = names.filter { _ in chance(40) }
    if chosen.isEmpty || chance(20) { return pick(names) }
    return chance(30) ? chosen.joined(separator: "|") : chosen.map { (chance(50) ? "+" : "-") + $0 }.joined()
  }

  mutating func matchField(_ protocolName: String) -> String {
    var general: [String] = [
      "in_port", "dl_src", "dl_dst", "metadata", "reg", "xreg", "tun_id", "pkt_mark", "ct_state", "vlan", "tci", "part",
      "ct_mark",
    ]
    let isIP = !["", "arp", "rarp", "mpls"].contains(protocolName)
    if isIP { general += ["tos", "ecn", "ttl", "frag"] + ["tos", "ttl"] }
    if isIP { general += Array(repeating: protocolName.contains("6") ? "ipv6" : "ipv4", count: 4) }
    if ["tcp", "udp", "sctp", "tcp6", "udp6", "sctp6"].contains(protocolName) {
      general += Array(repeating: "port", count: 5)
    }
    if protocolName.hasPrefix("tcp") { general += ["flags", "flags"] }
    if protocolName.hasPrefix("icmp") { general += Array(repeating: "icmp", count: 5) }
    if protocolName == "arp" || protocolName == "rarp" { general += Array(repeating: "arp", count: 6) }
    if protocolName == "mpls" { general += Array(repeating: "mpls", count: 6) }
    let side = pick(["src", "dst"])
    switch pick(general) {
    case "in_port": return "in_port=" + pick(["1", "2", "LOCAL", "16"])
    case "dl_src": return pick(["dl_src=", "eth_src="]) + maskedMAC()
    case "dl_dst": return pick(["dl_dst=", "eth_dst="]) + maskedMAC()
    case "metadata": return "metadata=" + masked(64)
    case "reg": return "reg\(number(0...15))=" + masked(32)
    case "xreg": return "xreg\(number(0...7))=" + masked(64)
    case "tun_id": return pick(["tun_id=", "tunnel_id="]) + masked(64)
    case "pkt_mark": return "pkt_mark=" + masked(32)
    case "ct_state": return "ct_state=" + flags(["new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat"])
    case "ct_mark": return "ct_mark=" + masked(32)
    case "vlan": return "dl_vlan=\(number(0...4095))" + (chance(30) ? ",dl_vlan_pcp=\(number(0...7))" : "")
    case "tci":
      return "vlan_vid=0x" + String(0x1000 | number(0...4095), radix: 16)
        + (chance(40) ? "/0x1" + String(number(0x100...0xfff), radix: 16) : "")
    case "part": return "reg\(number(0...15))[\(number(0...7))..\(number(8...31))]=\(number(0...1))"
    case "tos": return chance(50) ? "nw_tos=\(number(0...63) * 4)" : "ip_dscp=\(number(0...63))"
    case "ecn": return pick(["nw_ecn=", "ip_ecn="]) + "\(number(0...3))"
    case "ttl": return "nw_ttl=\(number(0...255))"
    case "frag": return pick(["ip_frag=", "nw_frag="]) + pick(["no", "yes", "first", "not_later"])
    case "ipv6": return chance(15) ? "ipv6_label=" + masked(20) : "ipv6_\(side)=" + maskedIPv6()
    case "ipv4": return pick(["nw_", "ip_"]) + "\(side)=" + maskedIPv4()
    case "port":
      let prefix = chance(30) ? "tp" : protocolName.hasSuffix("6") ? String(protocolName.dropLast()) : protocolName
      return "\(prefix)_\(side)=" + masked(16)
    case "flags": return "tcp_flags=" + flags(["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns"])
    case "icmp": return (protocolName == "icmp6" ? "icmpv6" : "icmp") + pick(["_type=", "_code="]) + integer(8)
    case "arp":
      return pick([
        "arp_op=\(number(0...255))", "arp_spa=" + maskedIPv4(), "arp_tpa=" + maskedIPv4(), "arp_sha=" + maskedMAC(),
        "arp_tha=" + maskedMAC(),
      ])
    default:
      return pick([
        "mpls_label=\(number(0...0xfffff))", "mpls_tc=\(number(0...7))", "mpls_bos=\(number(0...1))",
        "mpls_ttl=\(number(0...255))",
      ])
    }
  }

  /// - Parameter loads: also actions that Open vSwitch prints as they came.
  mutating func action(_ protocolName: String, depth: Int = 0) -> String {
    let side = pick(["src", "dst"])
    switch number(0...22) {
    case 0: return "output:\(number(1...100))"
    case 1: return pick(["NORMAL", "FLOOD", "ALL", "LOCAL", "IN_PORT", "CONTROLLER", "CONTROLLER:128", "5"])
    case 2: return "group:\(number(0...1000))"
    case 3: return "set_field:\(mac())->eth_\(side)"
    case 4: return "mod_dl_\(side):\(mac())"
    case 5: return "set_field:0x\(String(number(0...0xffff_ffff), radix: 16))->reg\(number(0...15))"
    case 6:
      let first = number(0...15)
      let last = number(16...31)
      return "load:\(number(0...1))->NXM_NX_REG\(number(0...15))[\(first)..\(last)]"
    case 7: return "move:NXM_NX_REG\(number(0...7))[]->NXM_NX_REG\(number(8...15))[]"
    case 8: return "resubmit(,\(number(1...200)))"
    case 9: return "resubmit(\(number(1...20)),\(number(0...200)))"
    case 10: return "set_queue:\(number(0...100))"
    case 11: return "pop_queue"
    case 12: return protocolName.contains("ip") || protocolName.contains("cp") ? "dec_ttl" : "exit"
    case 13:
      return "note:" + (0..<number(0...9)).map { _ in "0" + String(number(0...15), radix: 16) }.joined(separator: ".")
    case 14: return depth < 3 ? "clone(" + actions(protocolName, depth: depth + 1) + ")" : "ct_clear"
    case 15:
      return
        "learn(table=\(number(0...200)),hard_timeout=\(number(0...300)),NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])"
    case 16:
      return
        "multipath(symmetric_l4,\(number(0...65535)),hrw,\(number(1...16)),\(number(0...9)),NXM_NX_REG\(number(0...15))[0..3])"
    case 17: return "bundle(eth_src,\(number(0...65535)),active_backup,ofport,members:\(number(1...9)),LOCAL)"
    case 18: return "controller(max_len=\(number(0...65535)),id=\(number(1...65535)),userdata=0a.0b)"
    case 19: return "output:NXM_NX_REG\(number(0...15))[0..15]"
    case 20: return "mod_nw_\(side):\(ipv4())"
    case 21:
      return "ct("
        + pick(["commit", "commit,zone=\(number(0...65535))", "table=\(number(0...200))", "commit,force,table=3"]) + ")"
    default: return "check_pkt_larger(\(number(0...65535)))->NXM_NX_REG\(number(0...15))[\(number(0...31))]"
    }
  }

  mutating func actions(_ protocolName: String, depth: Int = 0) -> String {
    (0..<number(1...4)).map { _ in action(protocolName, depth: depth) }.joined(separator: ",")
  }

  mutating func flow() -> String {
    var parts: [String] = []
    if chance(40) { parts.append("priority=\(number(0...65535))") }
    if chance(40) { parts.append("table=\(number(1...200))") }
    if chance(20) { parts.append("cookie=0x" + String(random.next() >> 1, radix: 16)) }
    if chance(20) { parts.append("idle_timeout=\(number(0...65535))") }
    if chance(10) { parts.append("send_flow_rem") }
    let protocolName = pick([
      "", "ip", "tcp", "udp", "icmp", "arp", "ipv6", "tcp6", "udp6", "icmp6", "sctp", "mpls", "rarp",
    ])
    if !protocolName.isEmpty { parts.append(protocolName) }
    for _ in 0..<number(0...4) { parts.append(matchField(protocolName)) }
    let text = parts.joined(separator: chance(80) ? "," : ", ")
    return text + (text.isEmpty ? "" : chance(50) ? "," : " ") + "actions="
      + (chance(10) ? "drop" : actions(protocolName))
  }
}
