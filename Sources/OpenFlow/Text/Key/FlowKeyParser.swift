// One packet's fields as text, as the FLOW of `vsctl trace` and ofproto/trace: the syntax of a match, but without masks.
// Protocols that the fields imply need not be said: tcp_dst=80 is a TCP packet.

import VSwitchCore

extension FlowTextParser {
  /// The key that a description gives; fields that it does not name are 0, the entry port "any".
  package func key(_ text: String) throws(FlowTextError) -> FlowKey {
    let slice = TextSlice(text)
    var reader = KeyValueReader(slice)
    var match = MatchParser(names: names)
    var seen: Set<String> = []
    var implied = ImpliedProtocol()
    var fields: [TextSlice] = []
    while let pair = try reader.next() {
      let key = pair.key.string
      guard pair.value.firstIndex(of: UInt8(ascii: "/")) == nil, !pair.value.equals("*") else {
        throw pair.value.error("a packet has no masks", remedy: "give the whole value of \(key)")
      }
      if ProtocolName.byName[key] == nil, NamedField(key) != nil || key.contains("["), pair.value.isEmpty {
        throw pair.key.error("\(key) has no value", remedy: "write \(key)=VALUE")
      }
      guard seen.insert(key).inserted else { throw pair.key.error("\(key) stands twice", remedy: "leave one out") }
      guard try match.take(pair) else {
        throw pair.key.error("a packet has no field \(pair.key.quoted)", remedy: "see ovs-fields(7)")
      }
      try implied.note(pair.key)
      fields.append(pair.key)
    }
    try implied.add(to: &match, text)
    let given = match.match
    let (normal, changed) = given.normalized()
    guard !changed, given.mask[.ipFragment] == 0 || normal.mask[.ipFragment] != 0 else {
      var printer = MatchPrinter(names: names)
      printer.showsEverything = true
      throw slice.error(
        "these fields are of different protocols: \(printer.text(given))", remedy: "give fields of one packet")
    }
    // These names are of several protocols.
    let shared = ["tp_src", "tp_dst", "nw_src", "nw_dst", "icmp_type", "icmp_code"]
    for name in fields where !shared.contains(name.string) {
      guard let field = try? SubfieldText.field(name).field, !normal.satisfies(field.prerequisite) else { continue }
      throw name.error("\(name.string) needs \(field.prerequisite.phrase)", remedy: "give fields of one packet")
    }
    var result = normal.key
    if normal.mask[.inPort] == 0 { result.inPort = PortNumber.any.rawValue }
    if result.vlanTCI & 0x1000 != 0 { result.vlanType = 0x8100 }
    if result.innerVLANTCI & 0x1000 != 0 { result.innerVLANType = 0x8100 }
    return result
  }
}

/// What the fields of a packet say about its protocols.
private struct ImpliedProtocol {
  private var etherType: UInt16?
  private var ipProtocol: UInt8?
  private var icmpType: UInt16?

  mutating func note(_ name: TextSlice) throws(FlowTextError) {
    guard let field = try? SubfieldText.field(name).field else { return }
    switch field.prerequisite {
    case .ipv4: etherType = etherType ?? 0x0800
    case .ipv6: etherType = 0x86dd
    case .ip: etherType = etherType ?? 0x0800
    case .arp: etherType = etherType ?? 0x0806
    case .mpls: etherType = etherType ?? 0x8847
    case .tcp: implyTransport(6, name)
    case .udp: implyTransport(17, name)
    case .sctp: implyTransport(132, name)
    case .icmp: (etherType, ipProtocol) = (etherType ?? 0x0800, ipProtocol ?? 1)
    case .icmpv6: (etherType, ipProtocol) = (0x86dd, ipProtocol ?? 58)
    case .neighbourSolicitation, .neighbourDiscovery:
      (etherType, ipProtocol, icmpType) = (0x86dd, 58, icmpType ?? 135)
    case .neighbourAdvertisement: (etherType, ipProtocol, icmpType) = (0x86dd, 58, 136)
    case .none, .vlan, .tunnel: break
    }
  }

  /// `tp_src` is of any transport protocol.
  private mutating func implyTransport(_ number: UInt8, _ name: TextSlice) {
    if etherType == nil { etherType = 0x0800 }
    if ipProtocol == nil, !name.hasPrefix("tp_") { ipProtocol = number }
  }

  func add(to match: inout MatchParser, _ text: String) throws(FlowTextError) {
    func set(_ name: StaticString, _ value: UInt16, unless field: Field) throws(FlowTextError) {
      guard match.match.mask[field] == 0 else { return }
      let key = TextSlice("\(name)")
      _ = try match.take(
        KeyValue(key: key, value: TextSlice("\(value)"), delimiter: UInt8(ascii: "="), destination: nil))
    }
    if let etherType { try set("eth_type", etherType, unless: .etherType) }
    let isIP = [0x0800, 0x86dd].contains(match.match.key.etherType)
    if isIP, let ipProtocol { try set("ip_proto", UInt16(ipProtocol), unless: .ipProtocol) }
    if match.match.key.ipProtocol == 58, let icmpType { try set("icmpv6_type", icmpType, unless: .icmpv6Type) }
  }
}
