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

  /// - Parameters:
  ///   - numbering: keeps ports' numbers over calls.
  ///   - readings: keeps what was read of ports over calls.
  init(_ database: DatabaseSnapshot, numbering: inout PortNumbering, readings: inout PortReadings) {
    guard let root = database.only("Open_vSwitch") else {
      numbering.keep(bridges: [])
      readings.endPass([])
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
      var hasOwnPort = false
      for (name, port) in Self.byName(database.rows("Port", row[Bridge.ports])) {
        guard takenPorts.insert(port.uuid).inserted else {
          warnings.append("port \(name) of bridge \(row.name) already belongs to another bridge")
          continue
        }
        let candidates = Self.byName(database.rows("Interface", port[Port.interfaces]))
        for (index, (interfaceName, interface)) in candidates.enumerated() {
          guard takenInterfaces.insert(interface.uuid).inserted else {
            warnings.append("interface \(interfaceName) of port \(name) already belongs to another port")
            continue
          }
          var entry = Interface(row: interface.uuid, bridge: row.name, port: name, name: interfaceName)
          if interfaceName == row.name { hasOwnPort = true }
          if index > 0 {
            entry.error = ConfigError(
              cause: "port \(name) has \(candidates.count) interfaces, and bonds are not built yet",
              remedy: "leave only \(candidates[0].name) in it")
          } else {
            let reading = readings.reading(port, interface, bridge: row)
            warnings += reading.warnings
            switch reading.config {
            case .success(let config):
              bridge.ports.append(config)
              wishes.append(
                PortNumbering.Wish(
                  port: name, isLocal: interfaceName == row.name, request: config.interface.portNumberRequest,
                  previous: reading.previousNumber))
            case .failure(let error): entry.error = error
            }
          }
          interfaces.append(entry)
        }
      }
      if !hasOwnPort {
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
    readings.endPass(takenPorts)
  }

  private static func byName(_ rows: [Row]) -> [(name: String, row: Row)] {
    var named = rows.map { (name: $0.name, row: $0) }
    if named.count > 1 { named.sort { $0.name < $1.name } }
    return named
  }

  private mutating func readSettings(of row: Row, into bridge: inout BridgeConfig) {
    let settings = Settings(row[Bridge.otherConfig])
    bridge.macAgeingSeconds = settings.integer("mac-aging-time", default: 300, in: 15...3600)
    bridge.macTableLimit = settings.integer("mac-table-size", default: 8192, in: 10...1_000_000)
    bridge.floodVLANs = Set(row[Bridge.floodVLANs].compactMap(UInt16.init(exactly:)))
    bridge.forwardReservedMulticast = settings.boolean("forward-bpdu")
    if let text = settings["hwaddr"] {
      bridge.hardwareAddress = MACAddress(
        ofStation: text, "other_config:hwaddr of bridge \(row.name)", warnings: &warnings)
    }
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
