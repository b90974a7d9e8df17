// What the database asks for, read once from a snapshot: the datapath's configuration, the rows it came from (status
// goes back there), and what is wrong in it, object by object, so that one bad row does not stop the others. Pure and
// deterministic: rows are taken in order of their names. Meaning of columns: ovs-vswitchd.conf.db(5).

import OVSDB
import VSwitchCore

private typealias Root = OpenVSwitch.Root
private typealias Bridge = OpenVSwitch.Bridge
private typealias Port = OpenVSwitch.Port

/// The desired state and where it was written.
struct DesiredState: Sendable {
  /// An interface that the database names.
  struct Interface: Equatable, Sendable {
    var row: RowUUID
    var bridge: String
    /// The port it belongs to.
    var port: String
    var name: String
    /// Why it can't even be tried; nil: the datapath has it.
    var error: ConfigError?
  }

  var config = SwitchConfig()
  /// Rows of table Bridge by name, for those in `config`.
  var bridges: [String: RowUUID] = [:]
  var interfaces: [Interface] = []
  /// Values that were ignored, in words; for the log.
  var warnings: [String] = []

  /// - Parameter numbering: keeps ports' numbers over calls.
  init(_ database: DatabaseSnapshot, numbering: inout PortNumbering) {
    guard let root = database.only("Open_vSwitch") else {
      numbering.keep(bridges: [])
      return
    }
    let settings = Settings(root[Root.otherConfig])
    config.busyPoll = settings.boolean("busy-poll")

    let rows = database.rows("Bridge", root[Root.bridges]).sorted { $0.name < $1.name }
    var takenPorts: Set<RowUUID> = []
    var takenInterfaces: Set<RowUUID> = []
    for row in rows {
      var bridge = BridgeConfig(name: row.name)
      readSettings(of: row, into: &bridge)
      let plan = BridgePlan(row, database)
      bridge.isSecure = plan.isSecure
      bridge.hasControllers = plan.hasControllers
      var wishes: [PortNumbering.Wish] = []
      for port in database.rows("Port", row[Bridge.ports]).sorted(by: { $0.name < $1.name }) {
        guard takenPorts.insert(port.uuid).inserted else {
          warnings.append("port \(port.name) of bridge \(row.name) already belongs to another bridge")
          continue
        }
        let candidates = database.rows("Interface", port[Port.interfaces]).sorted { $0.name < $1.name }
        for (index, interface) in candidates.enumerated() {
          guard takenInterfaces.insert(interface.uuid).inserted else {
            warnings.append("interface \(interface.name) of port \(port.name) already belongs to another port")
            continue
          }
          var entry = Interface(row: interface.uuid, bridge: row.name, port: port.name, name: interface.name)
          if index > 0 {
            entry.error = ConfigError(
              cause: "port \(port.name) has \(candidates.count) interfaces, and bonds are not built yet",
              remedy: "leave only \(candidates[0].name) in it")
          } else {
            do {
              var made = PortConfig(name: port.name, interface: try interfaceConfig(interface, bridge: row))
              readSettings(of: port, into: &made)
              bridge.ports.append(made)
              wishes.append(
                PortNumbering.Wish(
                  port: port.name, isLocal: interface.name == row.name, request: made.interface.portNumberRequest,
                  previous: interface[OpenVSwitch.Interface.ofport].flatMap(UInt16.init(exactly:))))
            } catch {
              entry.error = error
            }
          }
          interfaces.append(entry)
        }
      }
      if !interfaces.contains(where: { $0.bridge == row.name && $0.name == row.name }) {
        // As Open vSwitch does: every bridge has its own port, also where nobody wrote its row.
        bridge.ports.append(
          PortConfig(name: row.name, interface: InterfaceConfig(name: row.name, kind: .internal)))
        wishes.append(PortNumbering.Wish(port: row.name, isLocal: true, request: nil, previous: nil))
      }
      let numbers = numbering.assign(bridge: row.name, wishes)
      for index in bridge.ports.indices {
        bridge.ports[index].interface.portNumberRequest = numbers[bridge.ports[index].name]
      }
      bridges[row.name] = row.uuid
      config.bridges.append(bridge)
    }
    numbering.keep(bridges: Set(rows.map(\.name)))
  }

  private mutating func readSettings(of row: Row, into bridge: inout BridgeConfig) {
    let settings = Settings(row[Bridge.otherConfig])
    bridge.macAgeingSeconds = settings.integer("mac-aging-time", default: 300, in: 15...3600)
    bridge.macTableLimit = settings.integer("mac-table-size", default: 8192, in: 10...1_000_000)
    bridge.floodVLANs = Set(row[Bridge.floodVLANs].compactMap(UInt16.init(exactly:)))
    bridge.forwardReservedMulticast = settings.boolean("forward-bpdu")
    if let text = settings["hwaddr"] {
      bridge.hardwareAddress = address(text, "other_config:hwaddr of bridge \(row.name)")
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
    let datapathType = bridge[Bridge.datapathType]
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
      interface.hardwareAddress = address(text, "mac of interface \(row.name)")
    }
    return interface
  }

  /// A station's address; anything else is ignored with a warning, as Open vSwitch does.
  private mutating func address(_ text: String, _ what: String) -> MACAddress? {
    guard let address = MACAddress(text), !address.isMulticast, address.bits != 0 else {
      warnings.append("\(what) is no address of a station: \(text)")
      return nil
    }
    return address
  }
}

/// Reads a map column of settings with Open vSwitch's rules for wrong values: the default stands.
struct Settings {
  private let values: [String: String]

  init(_ values: [String: String]) { self.values = values }

  subscript(key: String) -> String? { values[key] }

  func boolean(_ key: String) -> Bool { values[key]?.lowercased() == "true" }

  /// - Returns: the value moved into the range; the default if absent or no number.
  func integer(_ key: String, default standard: Int, in range: ClosedRange<Int>) -> Int {
    guard let text = values[key], let value = Int(text) else { return standard }
    return min(max(value, range.lowerBound), range.upperBound)
  }
}
