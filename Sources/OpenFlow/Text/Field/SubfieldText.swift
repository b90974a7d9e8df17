// Parts of fields: `reg0[0..15]`, `NXM_NX_REG0[3]`, `eth_src[]`, `eth_src`.

import VSwitchCore

extension FlowTextParser {
  /// A field by any of its names; nil if there is none.
  package static func field(named name: String) -> Field? { try? SubfieldText.field(TextSlice(name)).field }
}

enum SubfieldText {
  static func parse(_ slice: TextSlice) throws(FlowTextError) -> Subfield {
    let name: TextSlice
    let range: TextSlice?
    if let open = slice.firstIndex(of: UInt8(ascii: "[")) {
      guard slice.bytes[slice.upper - 1] == UInt8(ascii: "]") else {
        throw slice.from(open, to: slice.upper).error("the bit range is not closed", remedy: "add \"]\"")
      }
      name = slice.from(slice.lower, to: open)
      range = slice.from(open + 1, to: slice.upper - 1)
    } else {
      name = slice
      range = nil
    }
    let whole = try field(name)
    guard let range, !range.isEmpty else { return whole }
    // nw_tos is 8 bits wide, of which the field has the upper 6.
    let offset = NamedField(name.string) == .tos ? 2 : 0
    let first: UInt8
    let last: UInt8
    if let (a, b) = range.split(at: "..") {
      first = try a.number("first bit of \(name.string)")
      last = try b.number("last bit of \(name.string)")
    } else {
      first = try range.number("bit of \(name.string)")
      last = first
    }
    guard first <= last else {
      throw range.error(
        "bit \(first) is behind bit \(last)", remedy: "give the lower bit first, as [\(last)..\(first)]")
    }
    guard Int(first) >= offset, Int(last) < whole.bitCount + offset,
      let part = Subfield(whole.field, firstBit: Int(first) - offset, bitCount: Int(last) - Int(first) + 1)
    else {
      throw range.error(
        "\(name.string) has \(whole.bitCount) bits",
        remedy: "give bits from \(offset) to \(whole.bitCount + offset - 1)")
    }
    return part
  }

  /// A field by one of its names; older views are the part of the field that they see.
  static func field(_ name: TextSlice) throws(FlowTextError) -> Subfield {
    switch NamedField(name.string) {
    case .field(.vlanID), .vlan: return vlanID
    case .field(.inPort):
      return name.equals("in_port_oxm") || name.equals("OXM_OF_IN_PORT") ? Subfield(.inPort) : inPort
    case .field(let field): return Subfield(field)
    case .tos: return Subfield(.ipDSCP)
    case .vlanPriority: return Subfield(.vlanPriority)
    case .unsupported:
      throw name.error("this switch has no field \(name.string)", remedy: "use a field of its list (see ovs-fields(7))")
    case nil:
      throw name.error(
        name.isEmpty ? "a field is missing here" : "there is no field \(name.quoted)",
        remedy: "give a name such as reg0, eth_src or NXM_NX_REG0 (ovs-fields(7))")
    }
  }

  /// As a part of a field the VID has 12 bits; the 13th, that there is a tag, stands only in its values.
  static let vlanID = Subfield(.vlanID, firstBit: 0, bitCount: 12) ?? Subfield(.vlanID)

  /// NXM's entry port has 16 bits, OXM's all 32.
  static let inPort = Subfield(.inPort, firstBit: 0, bitCount: 16) ?? Subfield(.inPort)

  static func text(_ part: Subfield) -> String {
    if part.field == .inPort, part.isWhole { return "OXM_OF_IN_PORT[]" }
    let name = part.field.subfieldName
    if part.isWhole || part == vlanID || part == inPort { return name + "[]" }
    if part.bitCount == 1 { return "\(name)[\(part.firstBit)]" }
    return "\(name)[\(part.firstBit)..\(part.firstBit + part.bitCount - 1)]"
  }
}
