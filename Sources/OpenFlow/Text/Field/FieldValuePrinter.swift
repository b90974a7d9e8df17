// Prints values of fields in the field's format, as set_field and learn do (a match has its own rules for numbers).

import VSwitchCore

struct FieldValuePrinter {
  var names: NumberNames

  static func hex(_ value: UInt128) -> String { value == 0 ? "0" : "0x" + String(value, radix: 16) }
  static func hex(_ value: some BinaryInteger, digits: Int) -> String {
    let text = String(value, radix: 16)
    return "0x" + String(repeating: "0", count: max(0, digits - text.count)) + text
  }

  /// - Parameter mask: which bits count; all: no mask is printed.
  func text(_ field: Field, _ value: UInt128, mask: UInt128) -> String {
    let isWhole = mask == field.fullMask
    switch field.format {
    case .decimal: return isWhole ? "\(value)" : "\(value)/\(FieldValuePrinter.hex(mask))"
    case .hexadecimal:
      return FieldValuePrinter.hex(value) + (isWhole ? "" : "/" + FieldValuePrinter.hex(mask))
    case .ethernet:
      let text = MACAddress(bits: UInt64(truncatingIfNeeded: value)).description
      return isWhole ? text : text + "/" + MACAddress(bits: UInt64(truncatingIfNeeded: mask)).description
    case .ipv4: return FieldValuePrinter.ipv4(value, mask: mask)
    case .ipv6: return FieldValuePrinter.ipv6(value, mask: mask)
    case .port: return names.text(port: PortNumber(UInt32(truncatingIfNeeded: value)))
    case .connectionState:
      return FlagText.connectionState.text(UInt32(truncatingIfNeeded: value), mask: UInt32(truncatingIfNeeded: mask))
    case .tcpFlags: return FlagText.tcp.text(UInt32(truncatingIfNeeded: value), mask: UInt32(truncatingIfNeeded: mask))
    case .fragment: return FieldValuePrinter.fragment(value, mask: mask)
    case .packetType: return FieldValuePrinter.packetType(value)
    }
  }

  static func packetType(_ value: UInt128) -> String {
    let type = value & 0xffff
    return "(\(value >> 16),\(type == 0 ? "0" : hex(type)))"
  }

  static func ipv4(_ value: UInt128, mask: UInt128) -> String {
    let text = AddressText.text(ipv4: UInt32(truncatingIfNeeded: value))
    switch AddressText.prefixLength(mask, bitCount: 32) {
    case 32: return text
    case let length?: return "\(text)/\(length)"
    case nil: return text + "/" + AddressText.text(ipv4: UInt32(truncatingIfNeeded: mask))
    }
  }

  static func ipv6(_ value: UInt128, mask: UInt128) -> String {
    let text = AddressText.text(ipv6: value)
    switch AddressText.prefixLength(mask, bitCount: 128) {
    case 128: return text
    case let length?: return "\(text)/\(length)"
    case nil: return text + "/" + AddressText.text(ipv6: mask)
    }
  }

  static func fragment(_ value: UInt128, mask: UInt128) -> String {
    switch mask & 3 {
    case 3: value & 1 != 0 ? (value & 2 != 0 ? "later" : "first") : (value & 2 != 0 ? "<error>" : "no")
    case 1: value & 1 != 0 ? "yes" : "no"
    default: value & 2 != 0 ? "later" : "not_later"
    }
  }
}
