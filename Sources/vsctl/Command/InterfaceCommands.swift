// Bonds and the interfaces of ports: ovs-vsctl(8), "Bond Commands" and "Interface Commands".

import ArgumentParser
import OVSDB

struct AddBondCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "add-bond", abstract: "Add a port of several interfaces to a bridge and set columns of its row.",
    discussion: "For example: vsctl add-bond br0 bond0 eth1 eth2 bond_mode=active-backup")

  @Flag(help: "Do nothing if the port is on the bridge already, with these interfaces.") var mayExist = false
  @Flag(help: "Make an interface with the port's name for old software that looks for one.") var fakeIface = false
  @Argument(completion: NameCompletion.bridge) var bridge: String
  @Argument var port: String
  @Argument(
    help: ArgumentHelp("At least two interfaces, then columns of Port.", valueName: "interface | column[:key]=value"))
  var words: [String]

  func needs(_ schema: DatabaseSchema) -> Needs { .newInterfaces }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let interfaces = Array(words.prefix { !$0.contains("=") })
    guard interfaces.count >= 2 else {
      throw CommandFault(
        "add-bond requires at least 2 interfaces, but only \(interfaces.count) were specified",
        remedy: "for one interface use add-port")
    }
    let options = (fakeIface ? ["--fake-iface"] : []) + (mayExist ? ["--may-exist"] : [])
    let new = NewPort(
      bridge: bridge, port: port, interfaces: interfaces, settings: Array(words.dropFirst(interfaces.count)),
      hasFakeInterface: fakeIface, mayExist: mayExist,
      command: (options + ["add-bond", bridge, port] + words).joined(separator: " "))
    try new.add(to: workspace)
    return .none
  }
}

struct AddBondInterfaceCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "add-bond-iface", abstract: "Add an interface to a port, which thereby is a bond.")

  @Flag(help: "Do nothing if the port has the interface already.") var mayExist = false
  @Argument(completion: NameCompletion.port) var port: String
  @Argument var interface: String

  func needs(_ schema: DatabaseSchema) -> Needs { .newInterfaces }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let model = workspace.bridges
    let target = try model.port(port)
    if mayExist, let old = model.findInterface(interface) {
      guard old.port != target.name else { return .none }
      throw CommandFault(
        "\"--may-exist add-bond-iface \(port) \(interface)\" but \(interface) is actually attached to port \(old.port)",
        remedy: "remove it there first: del-bond-iface \(old.port) \(interface)")
    }
    try model.checkUnused(interface, for: "interface named \(interface)", article: "an")
    model.addInterface(interface, to: target)
    return .none
  }
}

struct DeleteBondInterfaceCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "del-bond-iface", abstract: "Remove an interface from a port that has others.")

  @Flag(help: "Do nothing if there is no such interface.") var ifExists = false
  @Argument(
    help: ArgumentHelp("The interface, or the port it must be of and the interface.", valueName: "[port] interface"),
    completion: NameCompletion.interface)
  var names: [String]

  func validate() throws {
    if names.count > 2 { throw ValidationError("'del-bond-iface' command takes at most 2 arguments") }
  }

  func needs(_ schema: DatabaseSchema) -> Needs { .interfaces }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let model = workspace.bridges
    let name = names.last ?? ""
    if ifExists && model.findInterface(name) == nil { return .none }
    let interface = try model.interface(name)
    if names.count == 2, try model.port(names[0]).name != interface.port {
      throw CommandFault(
        "port \(names[0]) does not have an interface \(name)", remedy: "write del-bond-iface \(interface.port) \(name)")
    }
    let others = model.ports[interface.port].map(model.interfaceNames)?.count ?? 0
    guard others > 1 else {
      throw CommandFault(
        "cannot delete last interface from port \(interface.port)",
        remedy: "delete the port: del-port \(interface.port)")
    }
    model.deleteInterface(interface)
    return .none
  }
}

struct ListInterfacesCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "list-ifaces", abstract: "Print the names of a bridge's interfaces, one a line.")

  @Argument(completion: NameCompletion.bridge) var bridge: String

  var mayWrite: Bool { false }
  func needs(_ schema: DatabaseSchema) -> Needs { .interfaces }

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

  var mayWrite: Bool { false }
  func needs(_ schema: DatabaseSchema) -> Needs { .interfaces }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let model = workspace.bridges
    return .line(model.ports[try model.interface(interface).port]?.bridge ?? "")
  }
}
