// A write to a field in the terms of a version: OpenFlow 1.0's own action where there is one, else loads of Nicira's
// extension; set_field without a mask from 1.2 on, with one from 1.5 on.

import VSwitchCore

struct FieldActionPrinter {
  let names: NumberNames
  let version: OpenFlowVersion

  func words(_ field: Field, _ value: UInt128, _ mask: UInt128) -> [String] {
    let full = field.fullMask
    if version == .v10 {
      if mask & full == full, let old = old(field, value) { return [old] }
      return loads(field, value, mask)
    }
    if mask & full == full || version == .v15 {
      return ["set_field:" + FieldValuePrinter(names: names).text(field, value, mask: mask & full) + "->" + field.name]
    }
    return loads(field, value, mask)
  }

  /// OpenFlow 1.0's action for a whole field.
  private func old(_ field: Field, _ value: UInt128) -> String? {
    func formatted(_ name: String) -> String {
      "\(name):" + FieldValuePrinter(names: names).text(field, value, mask: field.fullMask)
    }
    return switch field {
    case .ethernetSource: formatted("mod_dl_src")
    case .ethernetDestination: formatted("mod_dl_dst")
    case .ipv4Source: formatted("mod_nw_src")
    case .ipv4Destination: formatted("mod_nw_dst")
    case .ipDSCP: "mod_nw_tos:\(value << 2)"
    case .tcpSource, .udpSource, .sctpSource: formatted("mod_tp_src")
    case .tcpDestination, .udpDestination, .sctpDestination: formatted("mod_tp_dst")
    case .vlanID: "mod_vlan_vid:\(value & 0xfff)"
    case .vlanPriority: "mod_vlan_pcp:\(value)"
    default: nil
    }
  }

  /// One load for each run of ones in the mask, of at most 64 bits.
  private func loads(_ field: Field, _ value: UInt128, _ mask: UInt128) -> [String] {
    var result: [String] = []
    // A load has the 12 bits of a VID only.
    var rest = mask & (field == .vlanID ? SubfieldText.vlanID.mask : field.fullMask)
    if field == .inPort, rest == field.fullMask { rest = SubfieldText.inPort.mask }
    while rest != 0 {
      let first = rest.trailingZeroBitCount
      let count = min((~(rest >> UInt128(first))).trailingZeroBitCount, 64)
      guard let part = Subfield(field, firstBit: first, bitCount: count) else { break }
      let bits = (value & part.mask) >> UInt128(first)
      result.append("load:" + FieldValuePrinter.hex(bits) + "->" + SubfieldText.text(part))
      rest &= ~part.mask
    }
    return result
  }
}
