// Ports: ovs-vsctl(8), "Port Commands".

import ArgumentParser
import OVSDB

/// What `add-port` and `add-bond` have in common.
struct NewPort {
  var bridge: String
  var port: String
  var interfaces: [String]
  var settings: [String]
  var hasFakeInterface = false
  var mayExist: Bool
  /// The command as typed.
  var command: String

  func add(to workspace: Workspace) throws(CommandFault) {
    let model = workspace.bridges
    guard !port.isEmpty else {
      throw CommandFault("port name must not be empty string", remedy: "give the name of a network device")
    }
    if mayExist, let old = model.findPort(port) {
      // As ovs-vsctl: a port that is there keeps its columns.
      return try checkIsSame(old, model)
    }
    try model.checkUnused(port, for: "port named \(port)")
    for name in interfaces { try model.checkUnused(name, for: "interface named \(name)", article: "an") }
    let target = try model.bridge(bridge)
    if let table = workspace.table("Port") {
      for setting in settings { try SetCommand.check(setting, in: table) }
    }
    guard let uuid = model.addPort(port, to: target, interfaces: interfaces), let table = workspace.table("Port")
    else { return }
    if hasFakeInterface { workspace.set("Port", uuid, "bond_fake_iface", to: .boolean(true)) }
    // A tag does not move the port to another bridge's list within this line: no need to look at all ports again.
    for setting in settings { try SetCommand.apply(setting, to: uuid, in: table, workspace) }
  }

  private func checkIsSame(_ old: BridgeModel.Port, _ model: BridgeModel) throws(CommandFault) {
    guard old.bridge == bridge else {
      throw CommandFault(
        "\"\(command)\" but \(port) is actually attached to bridge \(old.bridge)",
        remedy: "delete it there first: del-port \(old.bridge) \(port)")
    }
    let names = model.interfaceNames(of: old)
    guard names == interfaces.sorted(by: Atom.precedes) else {
      throw CommandFault(
        "\"\(command)\" but \(port) actually has interface(s) \(names.joined(separator: ", "))",
        remedy: "delete it first, or choose another name")
    }
  }
}

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

  func needs(_ schema: DatabaseSchema) -> Needs { .newInterfaces }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let command = (mayExist ? ["--may-exist"] : []) + ["add-port", bridge, port] + settings
    let new = NewPort(
      bridge: bridge, port: port, interfaces: [port], settings: settings, mayExist: mayExist,
      command: command.joined(separator: " "))
    try new.add(to: workspace)
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

  func needs(_ schema: DatabaseSchema) -> Needs { .interfaces }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let model = workspace.bridges
    let name = names.last ?? ""
    guard let port = try find(name, model) else { return .none }
    if names.count == 2 {
      let wanted = try model.bridge(names[0])
      if port.bridge != wanted.name { throw isElsewhere(port, wanted, name, model) }
    }
    model.deletePort(port)
    return .none
  }

  private func isElsewhere(
    _ port: BridgeModel.Port, _ wanted: BridgeModel.Bridge, _ name: String, _ model: BridgeModel
  ) -> CommandFault {
    let cause = "bridge \(wanted.name) does not have a port \(name)"
    let isChild = model.bridges[port.bridge]?.parent == wanted.name
    let relation =
      isChild
      ? "although its child bridge \(port.bridge) does"
      : wanted.parent == port.bridge ? "although its parent bridge \(port.bridge) does" : "it is on \(port.bridge)"
    return CommandFault(
      "\(cause) (\(relation))", remedy: "write del-port \(port.bridge) \(name)",
      reference: isChild ? nil : cause)
  }

  private func find(_ name: String, _ model: BridgeModel) throws(CommandFault) -> BridgeModel.Port? {
    if model.bridges[name] != nil {
      if ifExists { return nil }
      throw CommandFault(
        "cannot delete port \(name) because it is the local port for bridge \(name)",
        remedy: "delete the entire bridge: del-br \(name)",
        reference: "cannot delete port \(name) because it is the local port for bridge \(name) (deleting this port "
          + "requires deleting the entire bridge)")
    }
    if let port = model.findPort(name) { return port }
    if withIface, let interface = model.findInterface(name) { return model.ports[interface.port] }
    if ifExists { return nil }
    guard withIface else { return try model.port(name) }
    throw CommandFault(
      "no port or interface named \(name)",
      remedy: Suggestion.remedy(
        for: name, among: Array(model.ports.keys) + model.interfaces.keys, listedAs: "ports and interfaces"))
  }
}

struct ListPortsCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "list-ports", abstract: "Print the names of a bridge's ports, one a line.")

  @Argument(completion: NameCompletion.bridge) var bridge: String

  var mayWrite: Bool { false }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let model = workspace.bridges
    return .names(model.portNames(of: try model.bridge(bridge)))
  }
}

struct PortToBridgeCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "port-to-br", abstract: "Print the name of the bridge that has the port.")

  @Argument(completion: NameCompletion.port) var port: String

  var mayWrite: Bool { false }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    .line(try workspace.bridges.port(port).bridge)
  }
}
