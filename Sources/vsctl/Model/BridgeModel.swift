// Bridges, ports and interfaces by name, with the "fake" bridges that stand for one VLAN of a real one (ovs-vsctl(8),
// "Linux VLAN Bridging Compatibility"). Built from a workspace's rows and kept in step with what is done through it,
// so that a long chain of add-port stays linear. Owned by its workspace.

import OVSDB

final class BridgeModel {
  struct Bridge {
    var name: String
    /// The row of the bridge; for a fake bridge that of its parent.
    var uuid: RowUUID
    /// The real bridge that a fake one belongs to; nil for a real bridge.
    var parent: String?
    /// A fake bridge's VLAN; 0 for a real bridge.
    var vlan: Int64 = 0
    /// A fake bridge's own port; nil for a real bridge.
    var localPort: RowUUID?
    var ports: Set<String> = []
  }

  struct Port {
    var name: String
    var uuid: RowUUID
    /// Real or fake.
    var bridge: String
  }

  struct Interface {
    var name: String
    var uuid: RowUUID
    var port: String
  }

  private(set) var bridges: [String: Bridge] = [:]
  private(set) var ports: [String: Port] = [:]
  private(set) var interfaces: [String: Interface] = [:]
  private unowned let workspace: Workspace

  init(_ workspace: Workspace) {
    self.workspace = workspace
    for uuid in workspace.rootRow?["bridges"].uuids ?? [] {
      guard let row = workspace.row("Bridge", uuid) else { continue }
      bridges[row.name] = Bridge(name: row.name, uuid: uuid)
      let portRows = row["ports"].uuids.compactMap { workspace.row("Port", $0) }
      var fakes: [Int64: String] = [:]
      for port in portRows where port["fake_bridge"].boolean == true {
        guard let vlan = port["tag"].integer, port.name != row.name else { continue }
        fakes[vlan] = port.name
        bridges[port.name] = Bridge(
          name: port.name, uuid: uuid, parent: row.name, vlan: vlan, localPort: port.uuid)
      }
      for port in portRows {
        let isFake = bridges[port.name]?.localPort == port.uuid
        remember(port, on: isFake ? port.name : port["tag"].integer.flatMap { fakes[$0] } ?? row.name)
      }
    }
  }

  private func remember(_ port: Row, on bridge: String) {
    ports[port.name] = Port(name: port.name, uuid: port.uuid, bridge: bridge)
    bridges[bridge]?.ports.insert(port.name)
    for uuid in port["interfaces"].uuids {
      guard let interface = workspace.row("Interface", uuid) else { continue }
      interfaces[interface.name] = Interface(name: interface.name, uuid: uuid, port: port.name)
    }
  }

  // MARK: Questions

  func bridge(_ name: String) throws(CommandFault) -> Bridge {
    if let bridge = bridges[name] { return bridge }
    throw CommandFault(
      "no bridge named \(name)", remedy: Suggestion.remedy(for: name, among: bridges.keys, listedAs: "bridges"))
  }

  /// Not a bridge's own.
  func findPort(_ name: String) -> Port? { ports[name].flatMap { $0.bridge == name ? nil : $0 } }

  func port(_ name: String) throws(CommandFault) -> Port {
    if let port = findPort(name) { return port }
    throw CommandFault(
      "no port named \(name)", remedy: Suggestion.remedy(for: name, among: ports.keys, listedAs: "ports"))
  }

  /// Not a bridge's own.
  func findInterface(_ name: String) -> Interface? {
    interfaces[name].flatMap { ports[$0.port]?.bridge == name ? nil : $0 }
  }

  func interface(_ name: String) throws(CommandFault) -> Interface {
    if let interface = findInterface(name) { return interface }
    throw CommandFault(
      "no interface named \(name)",
      remedy: Suggestion.remedy(
        for: name, among: interfaces.values.filter { !isLocal($0.port) }.map(\.name), listedAs: "interfaces"))
  }

  /// Whether a port is a bridge's own.
  func isLocal(_ port: String) -> Bool { bridges[port] != nil && ports[port]?.bridge == port }

  /// A bridge's ports without its own, in order of their names.
  func portNames(of bridge: Bridge) -> [String] {
    bridge.ports.filter { $0 != bridge.name }.sorted(by: Atom.precedes)
  }

  func children(of bridge: Bridge) -> [Bridge] {
    bridge.parent != nil ? [] : bridges.values.filter { $0.parent == bridge.name }
  }

  /// Checks that a new bridge or port can have this name.
  /// - Parameter what: "bridge named br0".
  func checkUnused(_ name: String, for what: String, article: String = "a") throws(CommandFault) {
    let what = "\(article) \(what)"
    let remedy = "choose another name, or give --may-exist if it may be there already"
    if bridges[name] != nil {
      throw CommandFault("cannot create \(what) because a bridge named \(name) already exists", remedy: remedy)
    }
    if let port = ports[name] {
      throw CommandFault(
        "cannot create \(what) because a port named \(name) already exists on bridge \(port.bridge)", remedy: remedy)
    }
    if let interface = interfaces[name] {
      throw CommandFault(
        "cannot create \(what) because an interface named \(name) already exists on bridge "
          + (ports[interface.port]?.bridge ?? ""), remedy: remedy)
    }
  }

  /// The bridge, which must stand for itself.
  func realBridge(_ name: String) throws(CommandFault) -> Bridge {
    let bridge = try bridge(name)
    guard let parent = bridge.parent else { return bridge }
    throw CommandFault(
      "\(name) is a fake bridge", remedy: "it has what its parent has: name \(parent) instead")
  }

  /// The interfaces of a port, in order of their names.
  func interfaceNames(of port: Port) -> [String] {
    (workspace.row("Port", port.uuid)?["interfaces"].uuids ?? []).compactMap { workspace.row("Interface", $0)?.name }
      .sorted(by: Atom.precedes)
  }

  // MARK: Changes, in the workspace and here

  func addBridge(_ name: String) {
    let local = addPortRow(name, interfaces: [name], interfaceType: "internal")
    guard let local, let table = workspace.table("Bridge") else { return }
    let uuid = workspace.insert(table, columns: ["name": .string(name), "ports": .uuid(local.uuid)])
    workspace.merge("Open_vSwitch", workspace.root, "bridges", adding: Datum(.uuid(uuid)))
    bridges[name] = Bridge(name: name, uuid: uuid)
    remember(local, on: name)
  }

  func addFakeBridge(_ name: String, parent: Bridge, vlan: Int64) {
    guard let local = addPortRow(name, interfaces: [name], interfaceType: "internal") else { return }
    workspace.set("Port", local.uuid, "fake_bridge", to: .boolean(true))
    workspace.set("Port", local.uuid, "tag", to: .integer(vlan))
    workspace.merge("Bridge", parent.uuid, "ports", adding: Datum(.uuid(local.uuid)))
    bridges[name] = Bridge(name: name, uuid: parent.uuid, parent: parent.name, vlan: vlan, localPort: local.uuid)
    remember(local, on: name)
  }

  /// Adds a port, on a fake bridge as access port of its VLAN; returns its row's UUID.
  func addPort(_ name: String, to bridge: Bridge, interfaces: [String]) -> RowUUID? {
    guard let row = addPortRow(name, interfaces: interfaces, interfaceType: "") else { return nil }
    if bridge.parent != nil { workspace.set("Port", row.uuid, "tag", to: .integer(bridge.vlan)) }
    workspace.merge("Bridge", bridge.uuid, "ports", adding: Datum(.uuid(row.uuid)))
    remember(row, on: bridge.name)
    return row.uuid
  }

  private func addPortRow(_ name: String, interfaces: [String], interfaceType: String) -> Row? {
    guard let portTable = workspace.table("Port"), let interfaceTable = workspace.table("Interface") else { return nil }
    let uuids = interfaces.map {
      workspace.insert(interfaceTable, columns: ["name": .string($0), "type": .string(interfaceType)])
    }
    let uuid = workspace.insert(portTable, columns: ["name": .string(name), "interfaces": .uuids(uuids)])
    return workspace.row("Port", uuid)
  }

  func addInterface(_ name: String, to port: Port) {
    guard let table = workspace.table("Interface") else { return }
    let uuid = workspace.insert(table, columns: ["name": .string(name)])
    workspace.merge("Port", port.uuid, "interfaces", adding: Datum(.uuid(uuid)))
    interfaces[name] = Interface(name: name, uuid: uuid, port: port.name)
  }

  func deleteInterface(_ interface: Interface) {
    guard let port = ports[interface.port] else { return }
    workspace.remove("Port", port.uuid, "interfaces") { atom, _ in atom.uuid == interface.uuid }
    workspace.delete("Interface", interface.uuid)
    interfaces[interface.name] = nil
  }

  func deletePort(_ port: Port) {
    guard let bridge = bridges[port.bridge] else { return }
    workspace.remove("Bridge", bridge.uuid, "ports") { atom, _ in atom.uuid == port.uuid }
    forget(port)
  }

  private func forget(_ port: Port) {
    for uuid in workspace.row("Port", port.uuid)?["interfaces"].uuids ?? [] {
      if let name = workspace.row("Interface", uuid)?.name { interfaces[name] = nil }
      workspace.delete("Interface", uuid)
    }
    workspace.delete("Port", port.uuid)
    ports[port.name] = nil
    bridges[port.bridge]?.ports.remove(port.name)
  }

  /// Deletes a bridge with its ports; a real one with its fake bridges.
  func deleteBridge(_ bridge: Bridge) {
    for child in children(of: bridge) { deleteBridge(child) }
    for port in bridge.ports.compactMap({ ports[$0] }) {
      if bridge.parent != nil { deletePort(port) } else { forget(port) }
    }
    bridges[bridge.name] = nil
    if bridge.parent == nil {
      for set in workspace.rows("Flow_Sample_Collector_Set") where set["bridge"].uuid == bridge.uuid {
        workspace.delete("Flow_Sample_Collector_Set", set.uuid)
      }
      workspace.remove("Open_vSwitch", workspace.root, "bridges") { atom, _ in atom.uuid == bridge.uuid }
      workspace.delete("Bridge", bridge.uuid)
    }
  }
}
