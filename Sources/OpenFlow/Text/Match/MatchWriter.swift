// The parts of a printed match; `MatchPrinter` has their order.

import VSwitchCore

struct MatchWriter {
  let match: Match
  let names: NumberNames
  var parts: [String] = []

  private var etherType: UInt16? { match.mask[.etherType] == 0xffff ? match.key.etherType : nil }
  private var ipProtocol: UInt8? { match.mask[.ipProtocol] == 0xff ? match.key.ipProtocol : nil }
  private var isARP: Bool { etherType == 0x0806 || etherType == 0x8035 }
  private var isIPv6: Bool { etherType == 0x86dd }

  /// `name=0x1/0xf`
  mutating func hexadecimal(_ field: Field) {
    let mask = match.mask[field]
    guard mask != 0 else { return }
    let value = FieldValuePrinter.hex(match.key[field])
    parts.append("\(field.name)=\(value)" + (mask == field.fullMask ? "" : "/" + FieldValuePrinter.hex(mask)))
  }

  /// Decimal if whole, else hexadecimal with mask.
  mutating func number(_ field: Field, _ name: String) {
    let mask = match.mask[field]
    guard mask != 0 else { return }
    let value = match.key[field]
    parts.append(
      mask == field.fullMask
        ? "\(name)=\(value)" : "\(name)=0x\(String(value, radix: 16))/0x\(String(mask, radix: 16))")
  }

  mutating func formatted(_ field: Field, _ name: String) {
    let mask = match.mask[field]
    guard mask != 0 else { return }
    parts.append(name + "=" + FieldValuePrinter(names: names).text(field, match.key[field], mask: mask))
  }

  mutating func port(_ field: Field) {
    guard match.mask[field] != 0 else { return }
    parts.append(field.name + "=" + names.text(port: PortNumber(UInt32(truncatingIfNeeded: match.key[field]))))
  }

  mutating func connection() {
    if match.mask[.ctState] & UInt128(FlagText.connectionState.all) != 0 { formatted(.ctState, "ct_state") }
    number(.ctZone, "ct_zone")
    hexadecimal(.ctMark)
    hexadecimal(.ctLabel)
    formatted(.ctIPv4Source, "ct_nw_src")
    formatted(.ctIPv6Source, "ct_ipv6_src")
    formatted(.ctIPv4Destination, "ct_nw_dst")
    formatted(.ctIPv6Destination, "ct_ipv6_dst")
    if match.mask[.ctProtocol] != 0 {
      number(.ctProtocol, "ct_nw_proto")
      number(.ctTransportSource, "ct_tp_src")
      number(.ctTransportDestination, "ct_tp_dst")
    }
  }

  /// - Returns: what the shorthand says already.
  mutating func protocolName() -> (etherType: Bool, ipProtocol: Bool) {
    guard let etherType else { return (false, false) }
    let known = ProtocolName.all.filter { $0.etherType == etherType }
    guard let general = known.first(where: { $0.ipProtocol == nil }) else { return (false, false) }
    if let ipProtocol, let special = known.first(where: { $0.ipProtocol == ipProtocol }) {
      parts.append(special.name)
      return (true, true)
    }
    parts.append(general.name)
    return (true, false)
  }

  mutating func vlan(_ field: Field, suffix: String, usesOXM: Bool) {
    var value = UInt16(truncatingIfNeeded: match.key[field])
    var mask = UInt16(truncatingIfNeeded: match.mask[field])
    if usesOXM {
      // OXM has no PCP without a VID or tag, and no part of a PCP.
      let withPriority = mask & 0xe000 != 0 && value & mask & 0x1fff != 0
      mask = mask & 0x1fff | (withPriority ? 0xe000 : 0)
      value &= mask
    }
    guard mask != 0 else { return }
    let vid = mask & 0x0fff
    let priority = mask & 0xe000
    let isPlain = mask & value & 0x1000 != 0 && (vid == 0 || vid == 0x0fff) && (priority == 0 || priority == 0xe000)
    if isPlain, vid != 0 || priority != 0 {
      if vid != 0 { parts.append("dl_vlan\(suffix)=\(value & 0x0fff)") }
      if priority != 0 { parts.append("dl_vlan_pcp\(suffix)=\(value >> 13)") }
      return
    }
    let text = "vlan_tci\(suffix)=" + FieldValuePrinter.hex(value, digits: 4)
    parts.append(text + (mask == 0xffff ? "" : "/" + FieldValuePrinter.hex(mask, digits: 4)))
  }

  mutating func network(showsProtocol: Bool, showsEverything: Bool) {
    if isIPv6 {
      formatted(.ipv6Source, "ipv6_src")
      formatted(.ipv6Destination, "ipv6_dst")
      let mask = match.mask[.ipv6Label]
      if mask != 0 {
        let text = "ipv6_label=" + FieldValuePrinter.hex(match.key[.ipv6Label], digits: 5)
        parts.append(text + (mask == Field.ipv6Label.fullMask ? "" : "/" + FieldValuePrinter.hex(mask, digits: 5)))
      }
    } else if isARP {
      formatted(.arpSenderAddress, "arp_spa")
      formatted(.arpTargetAddress, "arp_tpa")
    } else {
      formatted(.ipv4Source, "nw_src")
      formatted(.ipv4Destination, "nw_dst")
    }
    if isARP {
      number(.arpOperation, "arp_op")
      formatted(.arpSenderHardware, "arp_sha")
      formatted(.arpTargetHardware, "arp_tha")
    } else if showsProtocol {
      number(.ipProtocol, "nw_proto")
    }
    if match.mask[.ipDSCP] != 0 { parts.append("nw_tos=\(match.key.ipTOS & 0xfc)") }
    number(.ipECN, "nw_ecn")
    number(.ipTTL, "nw_ttl")
    number(.mplsLabel, "mpls_label")
    number(.mplsTrafficClass, "mpls_tc")
    number(.mplsTTL, "mpls_ttl")
    number(.mplsBottomOfStack, "mpls_bos")
    let fragment = match.mask[.ipFragment]
    if fragment != 0 {
      parts.append("nw_frag=" + FieldValuePrinter.fragment(match.key[.ipFragment], mask: fragment))
    }
  }

  mutating func transport(showsEverything: Bool) {
    if etherType == 0x0800 && ipProtocol == 1 || isIPv6 && ipProtocol == 58 {
      number(.icmpType, "icmp_type")
      number(.icmpCode, "icmp_code")
      if isIPv6 {
        formatted(.ndTarget, "nd_target")
        formatted(.ndSourceLinkLayer, "nd_sll")
        formatted(.ndTargetLinkLayer, "nd_tll")
      }
    } else if !isARP {
      number(.tcpSource, "tp_src")
      number(.tcpDestination, "tp_dst")
      if showsEverything {
        formatted(.ndTarget, "nd_target")
        formatted(.ndSourceLinkLayer, "nd_sll")
        formatted(.ndTargetLinkLayer, "nd_tll")
      }
    }
    if ipProtocol == 6 { formatted(.tcpFlags, "tcp_flags") }
  }
}
