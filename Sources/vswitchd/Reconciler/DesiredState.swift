// What the database asks for, read from a snapshot: the datapath's configuration, the rows it came from (status goes back
// there), and what is wrong in it, object by object, so that one bad row does not stop the others. Pure and deterministic:
// rows are taken in order of their names. Read as a whole here; brought up to date by what has changed in
// DesiredState+Update.swift, and both give the same. Meaning of columns: ovs-vswitchd.conf.db(5).

import Glibc
import OVSDB
import VSwitchCore

private typealias Root = OpenVSwitch.Root

/// The desired state and where it was written.
struct DesiredState: Equatable, Sendable {
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

  /// A port that the database names, or a bridge's own whose row nobody wrote.
  struct Port: Equatable, Sendable {
    /// Nil: there is no row.
    var row: RowUUID?
    var name: String
    var interfaces: [Interface] = []
    /// Nil: it can't even be tried.
    var config: PortConfig?
    /// What it asks for as a number; the number itself is in `config`.
    var wish: PortNumbering.Wish?
    var security: PortSecurityReading?
    var warnings: [String] = []
  }

  struct Bridge: Equatable, Sendable {
    var row: RowUUID
    /// Without its ports.
    var config: BridgeConfig
    var ports: [String: Port] = [:]
    /// The port that has the interface of the bridge's name.
    var ownPort: String?
  }

  var busyPoll = false
  var picksUpTCP = true
  var workerCPUs: [Int] = []
  var bridges: [String: Bridge] = [:]
  /// Where the rows of Port are, and those of Interface.
  var portsByRow: [RowUUID: QualifiedPort] = [:]
  var portsByInterface: [RowUUID: QualifiedPort] = [:]
  /// Ports that are tried, by the name of their interface.
  var portsByDevice: [String: QualifiedPort] = [:]
  /// Devices that several ports name: which of them is meant depends on all.
  var sharedDevices: Set<String> = []
  /// Rows that two others name, in words; for the log.
  var conflicts: [String] = []
  /// Values of the switch and of bridges that were ignored, in words; for the log.
  private var settingWarnings: [String] = []
  /// Ports of which values were ignored.
  var portsWithWarnings: Set<QualifiedPort> = []
  /// Ports that have security groups, or say who their hosts are.
  var securedPorts: Set<QualifiedPort> = []
  /// The bridges for which there is a bridge of such ports' rules.
  var securityBridges: Set<String> = []

  /// - Parameters:
  ///   - network: of the same database.
  ///   - cpuCount: CPUs of the machine.
  ///   - numbering: keeps ports' numbers over calls.
  init(
    _ database: DatabaseSnapshot, network: NetworkState = NetworkState(),
    cpuCount: Int = sysconf(Int32(_SC_NPROCESSORS_CONF)), numbering: inout PortNumbering
  ) {
    guard let root = database.only("Open_vSwitch") else {
      numbering.keep(bridges: [])
      return
    }
    let settings = Settings(root[Root.otherConfig])
    busyPoll = settings.boolean("busy-poll")
    picksUpTCP = settings.boolean("ct-tcp-loose", otherwise: true)
    if let mask = settings["pmd-cpu-mask"].map({ WorkerMask($0, cpuCount: cpuCount) }) {
      workerCPUs = mask.cpus
      if let warning = mask.warning { settingWarnings.append(warning) }
    }
    for row in database.rows("Bridge", root[Root.bridges]).sorted(by: { $0.name < $1.name }) {
      bridges[row.name] = Bridge(row: row.uuid, config: config(of: row, database))
      for (name, port) in Self.byName(database.rows("Port", row[OpenVSwitch.Bridge.ports])) {
        if portsByRow[port.uuid] == nil {
          attach(port, to: row, database)
        } else {
          conflicts.append("port \(name) of bridge \(row.name) already belongs to another bridge")
        }
      }
      attachOwnPort(to: row.name)
    }
    attach(network)
    for name in bridges.keys.sorted() { number(bridge: name, &numbering) }
    attachSecurity(&numbering)
    numbering.keep(bridges: Set(bridges.keys))
  }

  // MARK: what it says

  /// The whole of it for the datapath: bridges by name, and of each its ports by name.
  var config: SwitchConfig {
    var config = SwitchConfig()
    config.busyPoll = busyPoll
    config.picksUpTCP = picksUpTCP
    config.workerCPUs = workerCPUs
    for (_, bridge) in bridges.sorted(by: { $0.key < $1.key }) {
      var whole = bridge.config
      // The port without a row is the last.
      whole.ports = bridge.ports.values
        .sorted { $0.row == nil ? false : $1.row == nil ? true : $0.name < $1.name }.compactMap(\.config)
      config.bridges.append(whole)
    }
    return config
  }

  /// Values that were ignored, in words; for the log.
  var warnings: [String] {
    conflicts + settingWarnings
      + portsWithWarnings.sorted().flatMap { bridges[$0.bridge]?.ports[$0.port]?.warnings ?? [] }
  }

  subscript(port: QualifiedPort) -> Port? { bridges[port.bridge]?.ports[port.port] }

  /// All interfaces by bridge and port.
  var interfaces: [Interface] {
    bridges.sorted { $0.key < $1.key }.flatMap { _, bridge in
      bridge.ports.sorted { $0.key < $1.key }.flatMap(\.value.interfaces)
    }
  }

  // MARK: its parts

  private mutating func config(of row: Row, _ database: DatabaseSnapshot) -> BridgeConfig {
    var bridge = BridgeConfig(name: row.name)
    let settings = Settings(row[OpenVSwitch.Bridge.otherConfig])
    bridge.macAgeingSeconds = settings.integer("mac-aging-time", default: 300, in: 15...3600)
    bridge.macTableLimit = settings.integer("mac-table-size", default: 8192, in: 10...1_000_000)
    bridge.floodVLANs = Set(row[OpenVSwitch.Bridge.floodVLANs].compactMap(UInt16.init(exactly:)))
    bridge.forwardReservedMulticast = settings.boolean("forward-bpdu")
    if let text = settings["hwaddr"] {
      bridge.hardwareAddress = MACAddress(
        ofStation: text, "other_config:hwaddr of bridge \(row.name)", warnings: &settingWarnings)
    }
    for (number, uuid) in row[OpenVSwitch.Bridge.flowTables] {
      guard let table = UInt8(exactly: number), let settings = database.row("Flow_Table", uuid) else { continue }
      var config = FlowTableConfig()
      config.ruleLimit = settings[OpenVSwitch.FlowTable.flowLimit].map(Int.init(clamping:))
      config.evicts = settings[OpenVSwitch.FlowTable.overflowPolicy] == "evict"
      bridge.flowTables[table] = config
    }
    let plan = BridgePlan(row, database)
    bridge.isSecure = plan.isSecure
    bridge.hasControllers = plan.hasControllers
    return bridge
  }

  /// Reads a port of a bridge, as yet without a number.
  mutating func attach(_ row: Row, to bridge: Row, _ database: DatabaseSnapshot) {
    let place = QualifiedPort(bridge.name, row.name)
    var port = Port(row: row.uuid, name: row.name)
    let candidates = Self.byName(database.rows("Interface", row[OpenVSwitch.Port.interfaces]))
    for (index, (name, interface)) in candidates.enumerated() {
      guard portsByInterface[interface.uuid] == nil else {
        conflicts.append("interface \(name) of port \(row.name) already belongs to another port")
        continue
      }
      portsByInterface[interface.uuid] = place
      var entry = Interface(row: interface.uuid, bridge: bridge.name, port: row.name, name: name)
      if name == bridge.name { bridges[bridge.name]?.ownPort = row.name }
      if index > 0 {
        entry.error = ConfigError(
          cause: "port \(row.name) has \(candidates.count) interfaces, and bonds are not built yet",
          remedy: "leave only \(candidates[0].name) in it")
      } else {
        let reading = PortReading(row, interface, bridge: bridge)
        port.warnings = reading.warnings
        switch reading.config {
        case .success(let config):
          port.config = config
          port.wish = PortNumbering.Wish(
            port: row.name, isLocal: name == bridge.name, request: config.interface.portNumberRequest,
            previous: reading.previousNumber)
        case .failure(let error): entry.error = error
        }
      }
      port.interfaces.append(entry)
    }
    port.security = PortSecurityReading(row)
    if port.security != nil { securedPorts.insert(place) }
    portsByRow[row.uuid] = place
    if !port.warnings.isEmpty { portsWithWarnings.insert(place) }
    put(port, place)
  }

  /// As Open vSwitch does: every bridge has its own port, also where nobody wrote its row.
  mutating func attachOwnPort(to bridge: String) {
    guard bridges[bridge]?.ownPort == nil, bridges[bridge]?.ports[bridge] == nil else { return }
    var port = Port(name: bridge)
    port.config = PortConfig(name: bridge, interface: InterfaceConfig(name: bridge, kind: .internal))
    port.wish = PortNumbering.Wish(port: bridge, isLocal: true, request: nil, previous: nil)
    put(port, QualifiedPort(bridge, bridge))
  }

  private mutating func put(_ port: Port, _ place: QualifiedPort) {
    if let device = port.config?.interface.name, let other = portsByDevice.updateValue(place, forKey: device),
      other != place
    {
      sharedDevices.insert(device)
    }
    bridges[place.bridge]?.ports[place.port] = port
  }

  /// Gives all ports of a bridge their numbers.
  /// - Returns: the ports that have another one than before.
  @discardableResult
  mutating func number(bridge: String, _ numbering: inout PortNumbering) -> [String] {
    let numbers = numbering.assign(bridge: bridge, bridges[bridge]?.ports.values.compactMap(\.wish) ?? [])
    var changed: [String] = []
    for (name, port) in bridges[bridge]?.ports ?? [:] where port.config != nil {
      if port.config?.interface.portNumberRequest == numbers[name] { continue }
      bridges[bridge]?.ports[name]?.config?.interface.portNumberRequest = numbers[name]
      changed.append(name)
    }
    return changed
  }

  private static func byName(_ rows: [Row]) -> [(name: String, row: Row)] {
    var named = rows.map { (name: $0.name, row: $0) }
    if named.count > 1 { named.sort { $0.name < $1.name } }
    return named
  }
}

/// Reads a map column of settings with Open vSwitch's rules for wrong values: the default stands.
struct Settings {
  private let values: [String: String]

  init(_ values: [String: String]) { self.values = values }

  subscript(key: String) -> String? { values[key] }

  func boolean(_ key: String, otherwise standard: Bool = false) -> Bool {
    switch values[key]?.lowercased() {
    case "true": true
    case "false": false
    default: standard
    }
  }

  /// - Returns: the value moved into the range; the default if absent or no number.
  func integer(_ key: String, default standard: Int, in range: ClosedRange<Int>) -> Int {
    guard let text = values[key], let value = Int(text) else { return standard }
    return min(max(value, range.lowerBound), range.upperBound)
  }
}
