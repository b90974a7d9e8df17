// Actions that write fields: set_field, load, move, the stack, and the older mod_….

import VSwitchCore

extension ActionParser {
  mutating func fieldAction(_ key: String, _ pair: KeyValue) throws(FlowTextError) -> Action? {
    let value = pair.value
    switch key {
    case "set_field": return try setField(value)
    case "load", "reg_load": return try load(value)
    case "move", "reg_move": return try move(value)
    case "push":
      let part = try SubfieldText.parse(value)
      try requireReadable(part, at: value)
      return .stackPush(part)
    case "pop":
      let part = try SubfieldText.parse(value)
      try requireWritable(part, at: value)
      return .stackPop(part)
    case "mod_dl_src":
      return .setField(.ethernetSource, value: try ethernet(value), mask: Field.ethernetSource.fullMask)
    case "mod_dl_dst":
      return .setField(.ethernetDestination, value: try ethernet(value), mask: Field.ethernetDestination.fullMask)
    case "mod_nw_src", "mod_nw_dst":
      let field: Field = key == "mod_nw_src" ? .ipv4Source : .ipv4Destination
      expect(.ipv4, key, at: pair.key)
      return .setField(field, value: try FieldValueParser(names: names).value(field, value), mask: field.fullMask)
    case "mod_nw_tos":
      expect(.ip, key, at: pair.key)
      let tos: UInt8 = try value.number("TOS")
      guard tos & 3 == 0 else {
        throw value.error("\(tos) has bits of ECN", remedy: "give a multiple of 4, or use mod_nw_ecn")
      }
      return .setField(.ipDSCP, value: UInt128(tos >> 2), mask: Field.ipDSCP.fullMask)
    case "mod_nw_ecn":
      expect(.ip, key, at: pair.key)
      return .setField(.ipECN, value: UInt128(try value.number("ECN", UInt8.self, in: 0...3)), mask: 3)
    case "mod_nw_ttl":
      expect(.ip, key, at: pair.key)
      return .setTTL(try value.number("TTL"))
    case "mod_tp_src", "mod_tp_dst": return try transportPort(key, pair)
    case "mod_vlan_vid", "set_vlan_vid":
      if key == "set_vlan_vid" { expect(.vlan, key, at: pair.key) }
      let vid: UInt16 = try value.number("VLAN", in: 0...4095)
      state.set(.vlanTCI, 0x1000, mask: 0x1000)
      return .setVLANID(vid)
    case "mod_vlan_pcp", "set_vlan_pcp":
      if key == "set_vlan_pcp" { expect(.vlan, key, at: pair.key) }
      let priority: UInt8 = try value.number("VLAN priority", in: 0...7)
      state.set(.vlanTCI, 0x1000, mask: 0x1000)
      return .setVLANPriority(priority)
    case "set_mpls_label":
      expect(.mpls, key, at: pair.key)
      let label: UInt32 = try value.number("MPLS label", in: 0...0xfffff)
      return .setField(.mplsLabel, value: UInt128(label), mask: Field.mplsLabel.fullMask)
    case "set_mpls_tc":
      expect(.mpls, key, at: pair.key)
      let trafficClass: UInt8 = try value.number("MPLS traffic class", in: 0...7)
      return .setField(.mplsTrafficClass, value: UInt128(trafficClass), mask: 7)
    case "set_tunnel", "set_tunnel64":
      let id: UInt64 = try value.number("tunnel id")
      return .setField(.tunnelID, value: UInt128(id), mask: Field.tunnelID.fullMask)
    case "delete_field":
      let field = try SubfieldText.field(value)
      throw value.error(
        "\(field.field.name) can't be deleted", remedy: "name a tunnel option, of which this switch has none")
    default: return nil
    }
  }

  private func ethernet(_ slice: TextSlice) throws(FlowTextError) -> UInt128 {
    try FieldValueParser(names: names).value(.ethernetSource, slice)
  }

  /// Which of TCP's, UDP's and SCTP's ports the match says.
  private mutating func transportPort(_ key: String, _ pair: KeyValue) throws(FlowTextError) -> Action {
    let isSource = key == "mod_tp_src"
    let field: Field
    if state.satisfies(.udp) {
      field = isSource ? .udpSource : .udpDestination
    } else if state.satisfies(.sctp) {
      field = isSource ? .sctpSource : .sctpDestination
    } else {
      expect(.tcp, key, at: pair.key)
      field = isSource ? .tcpSource : .tcpDestination
    }
    return .setField(field, value: UInt128(try pair.value.number("port", UInt16.self)), mask: 0xffff)
  }

  /// What stands before and behind the last `->`.
  private func arrow(_ text: TextSlice, _ form: StaticString) throws(FlowTextError) -> (TextSlice, TextSlice) {
    guard let (value, name) = text.split(at: "->") else {
      throw text.error("\"->\" is missing", remedy: "write \(form)")
    }
    return (value.trimmed, name.trimmed)
  }

  private mutating func setField(_ text: TextSlice) throws(FlowTextError) -> Action {
    let (value, name) = try arrow(text, "set_field:VALUE[/MASK]->FIELD")
    guard name.firstIndex(of: UInt8(ascii: "[")) == nil else {
      throw name.error("set_field takes a whole field", remedy: "give a mask, as in VALUE/MASK, or use load")
    }
    let part = try SubfieldText.field(name)
    let field = part.field
    try requireWritable(Subfield(field), at: name)
    switch NamedField(name.string) {
    case .tos:
      let tos: UInt8 = try value.number("TOS")
      guard tos & 3 == 0 else {
        throw value.error("\(tos) has bits of ECN", remedy: "give a multiple of 4, or set nw_ecn")
      }
      return .setField(.ipDSCP, value: UInt128(tos >> 2), mask: Field.ipDSCP.fullMask)
    case .vlan:
      try require(.vlan, "dl_vlan", at: name)
      let vid: UInt16 = try value.number("VLAN", in: 0...4095)
      return .setField(.vlanID, value: 0x1000 | UInt128(vid), mask: Field.vlanID.fullMask)
    default: break
    }
    let parsed = try FieldValueParser(names: names).parse(field, value)
    guard parsed.mask != 0 else {
      throw value.error("nothing of \(field.name) is set", remedy: "give a mask with ones, or none")
    }
    if field == .vlanID {
      guard parsed.mask & 0x1000 == 0 || parsed.value & 0x1000 != 0 else {
        throw value.error("\(value.quoted) would take the VLAN tag away", remedy: "give 4096 + VID, or use pop_vlan")
      }
    }
    if field == .inPort, parsed.mask == field.fullMask {
      let port = PortNumber(UInt32(truncatingIfNeeded: parsed.value))
      guard port.rawValue < 0xff00 || port.rawValue >= 0xffff_ff00 else {
        throw value.error("\(value.quoted) is no port", remedy: "give a port of this bridge")
      }
    }
    note(write: parsed.value, mask: parsed.mask, to: field)
    return .setField(field, value: parsed.value, mask: parsed.mask)
  }

  /// A tag that is written whole may appear or go.
  private mutating func note(write value: UInt128, mask: UInt128, to field: Field) {
    guard field == .vlanTCI, mask & 0x1000 != 0 else { return }
    state.set(.vlanTCI, value & 0x1000, mask: 0x1000)
  }

  private mutating func load(_ text: TextSlice) throws(FlowTextError) -> Action {
    let (value, name) = try arrow(text, "load:VALUE->FIELD[BITS]")
    var part = try SubfieldText.parse(name)
    guard var number = value.integer() else {
      throw value.error(
        value.isEmpty ? "load has no value" : "\(value.quoted) is no number",
        remedy: "write decimal digits, or hexadecimal ones behind 0x")
    }
    var bitCount = part.bitCount
    // The whole of nw_tos is 8 bits, of which the field has the upper 6.
    let plainName = name.firstIndex(of: UInt8(ascii: "[")).map { name.from(name.lower, to: $0) } ?? name
    let isWholeTOS = NamedField(plainName.string) == .tos && part.isWhole && name.firstIndex(of: "..") == nil
    if isWholeTOS { bitCount = 8 }
    guard bitCount == 128 || number >> UInt128(bitCount) == 0 else {
      throw value.error("\(value.quoted) does not fit into \(bitCount) bits", remedy: "give a smaller number")
    }
    if isWholeTOS {
      guard number & 3 == 0 else {
        throw value.error("\(value.quoted) has bits of ECN", remedy: "give a multiple of 4, or load NXM_NX_IP_ECN")
      }
      number >>= 2
      part = Subfield(.ipDSCP)
    }
    if part == SubfieldText.inPort {
      // Reserved ports have other numbers in 16 bits.
      if number >= 0xfff8 { number |= 0xffff_0000 }
      part = Subfield(.inPort)
    }
    try requireWritable(part, at: name)
    let bits = number << UInt128(part.firstBit)
    note(write: bits, mask: part.mask, to: part.field)
    return .setField(part.field, value: bits, mask: part.mask)
  }

  private func move(_ text: TextSlice) throws(FlowTextError) -> Action {
    let (first, second) = try arrow(text, "move:SOURCE[BITS]->DESTINATION[BITS]")
    let source = try SubfieldText.parse(first)
    let destination = try SubfieldText.parse(second)
    guard source.bitCount == destination.bitCount else {
      throw text.error(
        "the source has \(source.bitCount) bits, the destination \(destination.bitCount)",
        remedy: "give as many bits to both")
    }
    try requireReadable(source, at: first)
    try requireWritable(destination, at: second)
    return .move(from: source, to: destination)
  }
}
