// Prints a cached flow as the tools for datapaths do (ovs-dpctl(8), dpctl/dump-flows): one word for each header, with the
// fields whose bits were looked at.

import VSwitchCore

package struct DatapathFlowPrinter {
  package init() {}

  /// - Parameter mask: bits that count; entry port, recirculation id and EtherType are shown even so.
  package func text(_ key: FlowKey, mask: FlowMask) -> String {
    var out = DatapathFlowWriter(key: key, mask: mask)
    out.metadata()
    out.link()
    out.network()
    out.transport()
    return out.words.joined(separator: ",") + String(repeating: ")", count: out.openCount)
  }
}

private struct DatapathFlowWriter {
  let key: FlowKey
  let mask: FlowMask
  var words: [String] = []
  /// Parentheses of encap(…) that stay open to the end.
  var openCount = 0

  /// `name=value`, with a mask if not all bits count; nil if none does.
  private func part(_ name: String, _ field: Field, _ text: (UInt128) -> String) -> String? {
    let bits = mask[field]
    guard bits != 0 else { return nil }
    return "\(name)=\(text(key[field] & bits))" + (bits == field.fullMask ? "" : "/" + text(bits))
  }

  private func decimal(_ name: String, _ field: Field) -> String? {
    let bits = mask[field]
    guard bits != 0 else { return nil }
    return "\(name)=\(key[field] & bits)" + (bits == field.fullMask ? "" : "/" + FieldValuePrinter.hex(bits))
  }

  private mutating func add(_ name: String, _ parts: [String?]) {
    let present = parts.compactMap { $0 }
    if !present.isEmpty { words.append("\(name)(" + present.joined(separator: ",") + ")") }
  }

  private static func mac(_ value: UInt128) -> String {
    MACAddress(bits: UInt64(truncatingIfNeeded: value)).description
  }
  private static func ipv4(_ value: UInt128) -> String { AddressText.text(ipv4: UInt32(truncatingIfNeeded: value)) }
  private static func ipv6(_ value: UInt128) -> String { AddressText.text(ipv6: value) }

  /// `name(0x5/0xf)`
  private mutating func plain(_ name: String, _ field: Field) {
    let bits = mask[field]
    guard bits != 0 else { return }
    let text = FieldValuePrinter.hex(key[field] & bits)
    words.append("\(name)(" + text + (bits == field.fullMask ? ")" : "/" + FieldValuePrinter.hex(bits) + ")"))
  }

  private mutating func flags(_ name: String, _ field: Field, _ flags: FlagText) {
    let bits = UInt32(truncatingIfNeeded: mask[field])
    guard bits != 0 else { return }
    words.append("\(name)(" + flags.text(UInt32(truncatingIfNeeded: key[field]) & bits, mask: bits) + ")")
  }

  mutating func metadata() {
    add(
      "tunnel",
      [
        part("tun_id", .tunnelID, FieldValuePrinter.hex), part("src", .tunnelSource, Self.ipv4),
        part("dst", .tunnelDestination, Self.ipv4),
      ])
    plain("skb_mark", .packetMark)
    flags("ct_state", .ctState, .connectionState)
    plain("ct_zone", .ctZone)
    plain("ct_mark", .ctMark)
    plain("ct_label", .ctLabel)
    let isIPv6 = key.etherType == 0x86dd
    add(
      isIPv6 ? "ct_tuple6" : "ct_tuple4",
      [
        isIPv6 ? part("src", .ctIPv6Source, Self.ipv6) : part("src", .ctIPv4Source, Self.ipv4),
        isIPv6 ? part("dst", .ctIPv6Destination, Self.ipv6) : part("dst", .ctIPv4Destination, Self.ipv4),
        decimal("proto", .ctProtocol), decimal("tp_src", .ctTransportSource),
        decimal("tp_dst", .ctTransportDestination),
      ])
    words.append("recirc_id(" + FieldValuePrinter.hex(key[.recirculationID]) + ")")
    plain("dp_hash", .hash)
    words.append("in_port(\(NumberNames().text(port: PortNumber(key.inPort))))")
  }

  mutating func link() {
    add("eth", [part("src", .ethernetSource, Self.mac), part("dst", .ethernetDestination, Self.mac)])
    for (type, tci) in [(key.vlanType, Field.vlanTCI), (key.innerVLANType, .innerVLANTCI)] where type != 0 {
      words.append("eth_type(" + FieldValuePrinter.hex(type, digits: 4) + ")")
      let value = key[tci]
      let bits = mask[tci]
      let vid = bits & 0xfff
      let priority = bits >> 13
      let parts = [
        vid != 0 ? "vid=\(value & vid)" + (vid == 0xfff ? "" : "/" + FieldValuePrinter.hex(vid)) : nil,
        priority != 0
          ? "pcp=\(value >> 13 & priority)" + (priority == 7 ? "" : "/" + FieldValuePrinter.hex(priority)) : nil,
      ]
      add("vlan", parts)
      words.append("encap(")
      openCount += 1
    }
    words.append("eth_type(" + FieldValuePrinter.hex(key.etherType, digits: 4) + ")")
    // The parenthesis opens what follows it.
    words = words.reduce(into: [String]()) { result, word in
      if let last = result.last, last.hasSuffix("encap(") {
        result[result.count - 1] = last + word
      } else {
        result.append(word)
      }
    }
  }

  private func tos() -> String? {
    let bits = mask[.ipDSCP] << 2 | mask[.ipECN]
    guard bits != 0 else { return nil }
    let value = UInt128(key.ipTOS) & bits
    return bits == 0xff
      ? FieldValuePrinter.hex(value) : FieldValuePrinter.hex(value) + "/" + FieldValuePrinter.hex(bits)
  }

  private func fragment() -> String? {
    let bits = mask[.ipFragment]
    guard bits != 0 else { return nil }
    return "frag=" + FieldValuePrinter.fragment(key[.ipFragment], mask: bits)
  }

  mutating func network() {
    switch key.etherType {
    case 0x0800:
      add(
        "ipv4",
        [
          part("src", .ipv4Source, Self.ipv4), part("dst", .ipv4Destination, Self.ipv4), decimal("proto", .ipProtocol),
          tos().map { "tos=" + $0 }, decimal("ttl", .ipTTL), fragment(),
        ])
    case 0x86dd:
      add(
        "ipv6",
        [
          part("src", .ipv6Source, Self.ipv6), part("dst", .ipv6Destination, Self.ipv6),
          part("label", .ipv6Label, FieldValuePrinter.hex), decimal("proto", .ipProtocol), tos().map { "tclass=" + $0 },
          decimal("hlimit", .ipTTL), fragment(),
        ])
    case 0x0806, 0x8035:
      add(
        "arp",
        [
          part("sip", .arpSenderAddress, Self.ipv4), part("tip", .arpTargetAddress, Self.ipv4),
          decimal("op", .arpOperation), part("sha", .arpSenderHardware, Self.mac),
          part("tha", .arpTargetHardware, Self.mac),
        ])
    case 0x8847, 0x8848:
      add(
        "mpls",
        [
          decimal("label", .mplsLabel), decimal("tc", .mplsTrafficClass), decimal("ttl", .mplsTTL),
          decimal("bos", .mplsBottomOfStack),
        ])
    default: break
    }
  }

  mutating func transport() {
    guard key.etherType == 0x0800 || key.etherType == 0x86dd, key.ipFragment & 2 == 0 else { return }
    switch key.ipProtocol {
    case 6:
      add("tcp", [decimal("src", .tcpSource), decimal("dst", .tcpDestination)])
      flags("tcp_flags", .tcpFlags, .tcp)
    case 17: add("udp", [decimal("src", .udpSource), decimal("dst", .udpDestination)])
    case 132: add("sctp", [decimal("src", .sctpSource), decimal("dst", .sctpDestination)])
    case 1 where key.etherType == 0x0800: add("icmp", [decimal("type", .icmpType), decimal("code", .icmpCode)])
    case 58 where key.etherType == 0x86dd:
      add("icmpv6", [decimal("type", .icmpv6Type), decimal("code", .icmpv6Code)])
      add(
        "nd",
        [
          part("target", .ndTarget, Self.ipv6), part("sll", .ndSourceLinkLayer, Self.mac),
          part("tll", .ndTargetLinkLayer, Self.mac),
        ])
    default: break
    }
  }
}
