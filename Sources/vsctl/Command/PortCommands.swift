// Ports and interfaces: ovs-vsctl(8), "Port Commands" and "Interface Commands".

import ArgumentParser
import OVSDB

struct AddPortCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "add-port", abstract: "Add a port to a bridge and set columns of its row.",
    discussion: "For example: vsctl add-port br0 p1 tag=10 -- set interface p1 type=tap")

  @Flag(help: "Do nothing if the port is on the bridge already.") var mayExist = false
  @Argument(completion: NameCompletion.bridge) var bridge: String
  @Argument var port: String
  @Argument(
    help: ArgumentHelp("Columns of Port: tag=10 trunks=10,20 vlan_mode=native-tagged", valueName: "column[:key]=value"))
  var settings: [String] = []

  func needs(_ schema: DatabaseSchema) throws(CommandFault) -> Needs {
    let table = try schema.table(matching: "Port")
    for setting in settings { try SetCommand.check(setting, in: table) }
    return Needs()
  }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let model = workspace.bridges
    guard !port.isEmpty else {
      throw CommandFault("port name must not be empty string", remedy: "give the name of a network device")
    }
    if mayExist, let old = model.ports[port] {
      let wanted = try model.bridge(bridge)
      guard old.bridge == wanted.name else {
        throw CommandFault(
          "\"--may-exist add-port \(bridge) \(port)\" but \(port) is actually attached to bridge \(old.bridge)",
          remedy: "delete it there first: del-port \(old.bridge) \(port)")
      }
      let interfaces = workspace.row("Port", old.uuid)?["interfaces"].uuids ?? []
      let names = interfaces.compactMap { workspace.row("Interface", $0)?.name }
      guard names == [port] else {
        throw CommandFault(
          "\"\(port)\" is actually attached to interface(s) \(names.joined(separator: ", "))",
          remedy: "delete it first, or choose another name")
      }
      // As ovs-vsctl: a port that is there keeps its columns.
      return .none
    }
    try model.checkUnused(port, for: "port named \(port)")
    let target = try model.bridge(bridge)
    guard let uuid = model.addPort(port, to: target, interfaces: [port]),
      let table = workspace.table("Port")
    else { return .none }
    // A tag does not move the port to another bridge's list within this line: no need to look at all ports again.
    for setting in settings { try SetCommand.apply(setting, to: uuid, in: table, workspace) }
    return .none
  }
}

struct DeletePortCommand: Verb {
  static let configuration = CommandConfiguration(commandName: "del-port", abstract: "Delete a port.")

  @Flag(help: "Do nothing if there is no such port.") var ifExists = false
  @Flag(help: "The port may be named by one of its interfaces.") var withIface = false
  @Argument(
    help: ArgumentHelp("The port, or the bridge it must be on and the port.", valueName: "[bridge] port"),
    completion: NameCompletion.port)
  var names: [String]

  func validate() throws {
    if names.count > 2 { throw ValidationError("'del-port' command takes at most 2 arguments") }
  }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let model = workspace.bridges
    let name = names.last ?? ""
    guard let port = try find(name, model) else { return .none }
    if model.isLocal(port.name) {
      throw CommandFault(
        "cannot delete port \(name) because it is the local port for bridge \(port.bridge)",
        remedy: "delete the entire bridge: del-br \(port.bridge)")
    }
    if names.count == 2 {
      let wanted = try model.bridge(names[0])
      if port.bridge != wanted.name {
        let real = model.bridges[port.bridge]?.parent
        let relation =
          real == wanted.name
          ? "although its child bridge \(port.bridge) does"
          : wanted.parent == port.bridge ? "although its parent bridge \(port.bridge) does" : "it is on \(port.bridge)"
        throw CommandFault(
          "bridge \(wanted.name) does not have a port \(name) (\(relation))",
          remedy: "write del-port \(port.bridge) \(name)")
      }
    }
    model.deletePort(port)
    return .none
  }

  private func find(_ name: String, _ model: BridgeModel) throws(CommandFault) -> BridgeModel.Port? {
    if let port = model.ports[name] { return port }
    if withIface, let interface = model.interfaces[name], let port = model.ports[interface.port] { return port }
    if ifExists { return nil }
    return withIface ? model.ports[try model.interface(name).port] : try model.port(name)
  }
}

struct ListPortsCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "list-ports", abstract: "Print the names of a bridge's ports, one a line.")

  @Argument(completion: NameCompletion.bridge) var bridge: String

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let model = workspace.bridges
    return .names(model.portNames(of: try model.bridge(bridge)))
  }
}

struct PortToBridgeCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "port-to-br", abstract: "Print the name of the bridge that has the port.")

  @Argument(completion: NameCompletion.port) var port: String

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    .line(try workspace.bridges.port(port).bridge)
  }
}

struct ListInterfacesCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "list-ifaces", abstract: "Print the names of a bridge's interfaces, one a line.")

  @Argument(completion: NameCompletion.bridge) var bridge: String

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let model = workspace.bridges
    let ports = Set(model.portNames(of: try model.bridge(bridge)))
    return .names(model.interfaces.values.filter { ports.contains($0.port) }.map(\.name).sorted(by: Atom.precedes))
  }
}

struct InterfaceToBridgeCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "iface-to-br", abstract: "Print the name of the bridge that has the interface.")

  @Argument(completion: NameCompletion.interface) var interface: String

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let model = workspace.bridges
    return .line(try model.port(model.interface(interface).port).bridge)
  }
}
