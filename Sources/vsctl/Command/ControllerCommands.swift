// OpenFlow controllers and what holds without them: ovs-vsctl(8), "OpenFlow Controller Connectivity".

import ArgumentParser
import OVSDB

extension Needs {
  static let controllers: Needs = {
    var needs = Needs("Bridge", ["name", "controller", "fail_mode"])
    needs.add("Controller", ["target", "is_connected"])
    return needs
  }()
}

/// The real bridge of a name, fake ones having their parent's controllers.
private func bridgeRow(_ name: String, _ workspace: Workspace) throws(CommandFault) -> Row {
  let bridge = try workspace.bridges.bridge(name)
  guard let row = workspace.row("Bridge", bridge.uuid) else {
    throw CommandFault("no bridge named \(name)", remedy: "run the command again")
  }
  return row
}

struct GetControllerCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "get-controller", abstract: "Print the bridge's OpenFlow controllers, one a line.")

  @Argument(completion: NameCompletion.bridge) var bridge: String

  func needs(_ schema: DatabaseSchema) -> Needs { .controllers }
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let uuids = try bridgeRow(bridge, workspace)["controller"].uuids
    let targets = uuids.compactMap { workspace.row("Controller", $0)?["target"].string }
    return .names(targets.sorted(by: Atom.precedes))
  }
}

struct SetControllerCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "set-controller", abstract: "Set the bridge's OpenFlow controllers.")

  @Argument(completion: NameCompletion.bridge) var bridge: String
  @Argument(help: "tcp:HOST:PORT, ssl:HOST:PORT, ptcp:PORT…") var targets: [String]

  func needs(_ schema: DatabaseSchema) -> Needs { .controllers }
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let row = try bridgeRow(bridge, workspace)
    for target in targets {
      guard ["tcp:", "ssl:", "unix:", "ptcp:", "pssl:", "punix:"].contains(where: target.hasPrefix) else {
        throw CommandFault("\"\(target)\" is no controller", remedy: "give tcp:HOST:PORT, ssl:HOST:PORT or ptcp:PORT")
      }
    }
    guard let table = workspace.table("Controller") else { return .none }
    for uuid in row["controller"].uuids { workspace.delete("Controller", uuid) }
    let uuids = targets.map { workspace.insert(table, columns: ["target": .string($0)]) }
    workspace.set("Bridge", row.uuid, "controller", to: .uuids(uuids))
    return .none
  }
}

struct DeleteControllerCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "del-controller", abstract: "Remove the bridge's OpenFlow controllers.")

  @Argument(completion: NameCompletion.bridge) var bridge: String

  func needs(_ schema: DatabaseSchema) -> Needs { .controllers }
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let row = try bridgeRow(bridge, workspace)
    for uuid in row["controller"].uuids { workspace.delete("Controller", uuid) }
    workspace.set("Bridge", row.uuid, "controller", to: .empty)
    return .none
  }
}

struct GetFailModeCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "get-fail-mode", abstract: "Print what the bridge does without its controller.")

  @Argument(completion: NameCompletion.bridge) var bridge: String

  func needs(_ schema: DatabaseSchema) -> Needs { .controllers }
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    guard let mode = try bridgeRow(bridge, workspace)["fail_mode"].string else { return CommandOutput(json: .null) }
    return .line(mode)
  }
}

struct SetFailModeCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "set-fail-mode", abstract: "Set what the bridge does without its controller.")

  @Argument(completion: NameCompletion.bridge) var bridge: String
  @Argument(completion: .list(["standalone", "secure"])) var mode: String

  func needs(_ schema: DatabaseSchema) -> Needs { .controllers }
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let row = try bridgeRow(bridge, workspace)
    guard mode == "standalone" || mode == "secure" else {
      throw CommandFault("\(mode) is no fail-mode", remedy: "fail-mode must be \"standalone\" or \"secure\"")
    }
    workspace.set("Bridge", row.uuid, "fail_mode", to: .string(mode))
    return .none
  }
}

struct DeleteFailModeCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "del-fail-mode", abstract: "Let the bridge do without its controller what is the default.")

  @Argument(completion: NameCompletion.bridge) var bridge: String

  func needs(_ schema: DatabaseSchema) -> Needs { .controllers }
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    workspace.set("Bridge", try bridgeRow(bridge, workspace).uuid, "fail_mode", to: .empty)
    return .none
  }
}
