// What the database asks of one port, read from its row and its interface's. Pure. Meaning of columns:
// ovs-vswitchd.conf.db(5).

import OVSDB
import VSwitchCore

private typealias Port = OpenVSwitch.Port

/// One port as its rows ask for it.
struct PortReading: Sendable {
  /// Or why it can't even be tried.
  private(set) var config: Result<PortConfig, ConfigError>
  /// `ofport` as the row remembers it.
  let previousNumber: UInt16?
  /// Values that were ignored, in words; for the log.
  private(set) var warnings: [String] = []

  /// - Parameter interface: the first one of the port.
  init(_ port: Row, _ interface: Row, bridge: Row) {
    previousNumber = interface[OpenVSwitch.Interface.ofport].flatMap(UInt16.init(exactly:))
    config = .failure(ConfigError(cause: "", remedy: ""))
    do throws(ConfigError) {
      var made = PortConfig(name: port.name, interface: try interfaceConfig(interface, bridge: bridge))
      readSettings(of: port, into: &made)
      config = .success(made)
    } catch {
      config = .failure(error)
    }
  }

  private mutating func readSettings(of row: Row, into port: inout PortConfig) {
    let settings = Settings(row[Port.otherConfig])
    port.isProtected = row[Port.protected]
    port.forwardReservedMulticast = settings.boolean("forward-bpdu")
    let tag = row[Port.tag].flatMap(UInt16.init(exactly:)).flatMap { $0 < 4096 ? $0 : nil }
    let trunks = Set(row[Port.trunks].compactMap(UInt16.init(exactly:)))
    let mode = row[Port.vlanMode].flatMap(VLANConfig.Mode.init(rawValue:))
    port.vlan.mode = mode ?? (tag == nil ? .trunk : .access)
    if mode == nil, tag != nil, !trunks.isEmpty {
      warnings.append(
        "port \(row.name) has tag and trunks without vlan_mode: it is an access port, trunks do not count")
    }
    port.vlan.tag = tag ?? 0
    port.vlan.trunks = port.vlan.mode == .access ? [] : trunks
    port.vlan.customerVLANs = Set(row[Port.cvlans].compactMap(UInt16.init(exactly:)))
    port.vlan.priorityTags =
      switch settings["priority-tags"] {
      case "true", "if-nonzero": .ifNonzero
      case "always": .always
      default: .never
      }
    port.vlan.serviceEtherType =
      switch settings["qinq-ethtype"] {
      case "802.1q", "0x8100": 0x8100
      default: 0x88a8
      }
  }

  private mutating func interfaceConfig(_ row: Row, bridge: Row) throws(ConfigError) -> InterfaceConfig {
    let datapathType = bridge[OpenVSwitch.Bridge.datapathType]
    if !["", "netdev", "system"].contains(datapathType) {
      throw ConfigError(
        cause: "bridge \(bridge.name) has the unknown datapath_type \"\(datapathType)\"",
        remedy: "clear it: vsctl clear bridge \(bridge.name) datapath_type")
    }
    let type = row[OpenVSwitch.Interface.type]
    let isLocal = row.name == bridge.name
    guard let kind = isLocal ? .internal : InterfaceConfig.Kind(name: type.isEmpty ? "system" : type) else {
      throw ConfigError(
        cause: "could not open network device \(row.name) (unknown type \"\(type)\")",
        remedy: "set its type to one of "
          + InterfaceConfig.Kind.names.sorted().joined(separator: ", "))
    }
    var interface = InterfaceConfig(name: row.name, kind: kind)
    interface.options = try InterfaceOptions.checked(row[OpenVSwitch.Interface.options], kind: kind, name: row.name)
    interface.portNumberRequest = row[OpenVSwitch.Interface.ofportRequest].flatMap(UInt16.init(exactly:))
    interface.mtuRequest = row[OpenVSwitch.Interface.mtuRequest].flatMap(Int.init(exactly:))
    if kind == .internal, let text = row[OpenVSwitch.Interface.mac] {
      interface.hardwareAddress = MACAddress(
        ofStation: text, "mac of interface \(row.name)", warnings: &warnings)
    }
    return interface
  }
}

extension MACAddress {
  /// A station's address; anything else is ignored with a warning, as Open vSwitch does.
  init?(ofStation text: String, _ what: String, warnings: inout [String]) {
    guard let address = MACAddress(text), !address.isMulticast, address.bits != 0 else {
      warnings.append("\(what) is no address of a station: \(text)")
      return nil
    }
    self = address
  }
}
