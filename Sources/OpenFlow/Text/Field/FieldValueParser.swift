// Reads the value and mask of a field, in its format.

import VSwitchCore

struct FieldValue: Equatable {
  var value: UInt128
  var mask: UInt128
}

struct FieldValueParser {
  var names: NumberNames

  /// `value`, `value/mask` or `*`.
  func parse(_ field: Field, _ slice: TextSlice) throws(FlowTextError) -> FieldValue {
    if slice.equals("*") || slice.equals("ANY"), field.format != .port { return FieldValue(value: 0, mask: 0) }
    let full = field.fullMask
    switch field.format {
    case .connectionState:
      let flags = try FlagText.connectionState.parse(slice, field.name)
      return FieldValue(value: UInt128(flags.value), mask: UInt128(flags.mask))
    case .tcpFlags:
      let flags = try FlagText.tcp.parse(slice, field.name)
      return FieldValue(value: UInt128(flags.value), mask: UInt128(flags.mask))
    case .fragment: return try fragment(slice)
    case .packetType: return try packetType(slice)
    case .decimal, .hexadecimal, .ethernet, .ipv4, .ipv6, .port: break
    }
    guard let (first, second) = slice.split(at: UInt8(ascii: "/")) else {
      return FieldValue(value: try value(field, slice), mask: full)
    }
    let given = try value(field, first)
    let mask = try self.mask(field, second)
    return FieldValue(value: given & mask, mask: mask)
  }

  /// A value without a mask.
  func value(_ field: Field, _ slice: TextSlice) throws(FlowTextError) -> UInt128 {
    switch field.format {
    case .ipv4:
      if let address = AddressText.ipv4(slice) { return UInt128(address) }
      throw slice.error("\(slice.quoted) is no IPv4 address for \(field.name)", remedy: "write for example 192.0.2.1")
    case .ipv6:
      if let address = AddressText.ipv6(slice) { return address }
      throw slice.error("\(slice.quoted) is no IPv6 address for \(field.name)", remedy: "write for example 2001:db8::1")
    case .ethernet:
      if let address = AddressText.mac(slice) { return UInt128(address) }
      throw slice.error(
        "\(slice.quoted) is no Ethernet address for \(field.name)", remedy: "write for example 02:00:00:00:00:01")
    case .port: return UInt128(try names.port(slice, for: field.name).rawValue)
    case .connectionState: return UInt128(try FlagText.connectionState.parse(slice, field.name).value)
    case .tcpFlags: return UInt128(try FlagText.tcp.parse(slice, field.name).value)
    case .fragment: return try fragment(slice).value
    case .packetType: return try packetType(slice).value
    case .decimal, .hexadecimal: return try number(field, slice)
    }
  }

  private func number(_ field: Field, _ slice: TextSlice) throws(FlowTextError) -> UInt128 {
    guard let value = slice.integer() else {
      throw slice.error(
        slice.isEmpty ? "\(field.name) has no value" : "\(slice.quoted) is no number for \(field.name)",
        remedy: "write decimal digits, or hexadecimal ones behind 0x")
    }
    guard value <= field.fullMask else {
      throw slice.error(
        "\(slice.quoted) does not fit into \(field.name)",
        remedy: "give at most \(field.fullMask), \(field.bitCount) bits")
    }
    return value
  }

  private func mask(_ field: Field, _ slice: TextSlice) throws(FlowTextError) -> UInt128 {
    let full = field.fullMask
    let mask: UInt128
    switch field.format {
    case .ipv4, .ipv6:
      let isDotted =
        field.format == .ipv4
        ? slice.firstIndex(of: UInt8(ascii: ".")) != nil : slice.firstIndex(of: UInt8(ascii: ":")) != nil
      if isDotted {
        mask = try value(field, slice)
      } else {
        let length: UInt8 = try slice.number("prefix length of \(field.name)", in: 0...UInt8(field.bitCount))
        mask = AddressText.mask(prefixLength: Int(length), bitCount: field.bitCount)
      }
    case .ethernet: mask = try value(field, slice)
    case .port: mask = try slice.number("mask of \(field.name)", UInt32.self) == .max ? full : 1
    default:
      let allOnes = field.byteCount >= 16 ? .max : (UInt128(1) << UInt128(field.byteCount * 8)) - 1
      guard let value = slice.integer(), value <= allOnes else {
        throw slice.error(
          "\(slice.quoted) is no mask for \(field.name)", remedy: "give a number of at most \(field.bitCount) bits")
      }
      mask = value & full
    }
    guard field.isMaskable || mask == full || mask == 0 else {
      throw slice.error("\(field.name) is matched whole or not at all", remedy: "leave the mask out")
    }
    return mask
  }

  private func fragment(_ slice: TextSlice) throws(FlowTextError) -> FieldValue {
    switch slice.string {
    case "no": FieldValue(value: 0, mask: 3)
    case "yes": FieldValue(value: 1, mask: 1)
    case "first": FieldValue(value: 1, mask: 3)
    case "later": FieldValue(value: 3, mask: 3)
    case "not_later": FieldValue(value: 0, mask: 2)
    default:
      throw slice.error("\(slice.quoted) is no kind of fragment", remedy: "give no, yes, first, later or not_later")
    }
  }

  /// `(namespace,type)`: OpenFlow 1.5 §7.2.3.11.
  private func packetType(_ slice: TextSlice) throws(FlowTextError) -> FieldValue {
    var inner = slice.trimmed
    if inner.first == UInt8(ascii: "("), inner.bytes[inner.upper - 1] == UInt8(ascii: ")") {
      inner = inner.dropFirst(1).dropLast(1)
    }
    let parts = inner.list()
    guard parts.count == 2, let namespace = parts[0].integer(), namespace <= 0xffff, let type = parts[1].integer(),
      type <= 0xffff
    else { throw slice.error("\(slice.quoted) is no packet type", remedy: "write (0,0) for Ethernet or (1,EtherType)") }
    return FieldValue(value: namespace << 16 | type, mask: Field.packetType.fullMask)
  }
}
