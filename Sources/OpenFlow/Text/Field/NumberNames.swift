// Names of ports and tables for a bridge, both ways, and the reserved ports' names (ovs-actions(7), "Port
// Specifications").

import VSwitchCore

/// Which names a bridge's ports and tables have. Empty: numbers only.
package struct NumberNames: Sendable {
  package var ports: [PortNumber: String]
  package var tables: [UInt8: String]
  private let portNumbers: [String: PortNumber]
  private let tableNumbers: [String: UInt8]

  /// Names that two ports or tables share are not read.
  package init(ports: [PortNumber: String] = [:], tables: [UInt8: String] = [:]) {
    self.ports = ports
    self.tables = tables
    portNumbers = NumberNames.reversed(ports)
    tableNumbers = NumberNames.reversed(tables)
  }

  private static func reversed<Number>(_ names: [Number: String]) -> [String: Number] {
    var numbers: [String: Number] = [:]
    var shared: Set<String> = []
    for (number, name) in names where numbers.updateValue(number, forKey: name) != nil { shared.insert(name) }
    for name in shared { numbers[name] = nil }
    return numbers
  }

  static let reservedPorts: [(name: String, number: PortNumber)] = [
    ("IN_PORT", .inPort), ("TABLE", .table), ("NORMAL", .normal), ("FLOOD", .flood), ("ALL", .all),
    ("CONTROLLER", .controller), ("LOCAL", .local), ("ANY", .any), ("UNSET", .unset),
  ]

  // MARK: reading

  func port(_ slice: TextSlice) -> PortNumber? {
    if let number = NumberNames.numberedPort(slice) { return number }
    guard let name = QuotedName.name(slice), !name.isEmpty else { return nil }
    if slice.first != UInt8(ascii: "\""), let number = NumberNames.reservedPort(name) { return number }
    return portNumbers[name]
  }

  static func reservedPort(_ name: String) -> PortNumber? {
    let upper = name.uppercased()
    if upper == "NONE" { return .any }
    return reservedPorts.first { $0.name == upper }?.number
  }

  /// A port by decimal number; the 16-bit numbers of OpenFlow 1.0's reserved ports mean those of later versions.
  private static func numberedPort(_ slice: TextSlice) -> PortNumber? {
    guard slice.count <= 10, let number = UInt32(slice.string), slice.first != UInt8(ascii: "+") else { return nil }
    switch number {
    case 0..<0xff00: return PortNumber(number)
    case 0xfff8...0xffff: return PortNumber(number | 0xffff_0000)
    case 0xffff_ff00...0xffff_ffff: return PortNumber(number)
    default: return nil
    }
  }

  func port(_ slice: TextSlice, for purpose: String) throws(FlowTextError) -> PortNumber {
    guard let number = port(slice) else {
      let what = slice.isEmpty ? "\(purpose) has no port" : "\(slice.quoted) is no port for \(purpose)"
      throw slice.error(
        what,
        remedy: "give the number or name of a port of this bridge, or LOCAL, IN_PORT, NORMAL, FLOOD, ALL, CONTROLLER")
    }
    return number
  }

  func table(_ slice: TextSlice) throws(FlowTextError) -> UInt8 {
    if let value = slice.integer(), value < 256 { return UInt8(value) }
    if let name = QuotedName.name(slice), let number = tableNumbers[name] { return number }
    throw slice.error(
      slice.isEmpty ? "table has no value" : "\(slice.quoted) is no table", remedy: "give a number from 0 to 253")
  }

  // MARK: printing

  package func text(port: PortNumber) -> String {
    if let reserved = NumberNames.reservedPorts.first(where: { $0.number == port }) { return reserved.name }
    // A name that is also that of a reserved port means that one if it is not quoted.
    if let name = ports[port] {
      return NumberNames.reservedPort(name) == nil ? QuotedName.text(name) : "\"\(name)\""
    }
    return "\(port.rawValue)"
  }

  package func text(table: UInt8) -> String { tables[table].map(QuotedName.text) ?? "\(table)" }
}
