// OpenFlow controllers and what holds without them: ovs-vsctl(8), "OpenFlow Controller Connectivity".

import ArgumentParser
import OVSDB

extension Needs {
  fileprivate static let controllers: Needs = {
    var needs = bridges
    needs.add("Bridge", ["controller"])
    needs.add("Controller", ["target", "inactivity_probe"])
    return needs
  }()

  fileprivate static let failMode: Needs = {
    var needs = bridges
    needs.add("Bridge", ["fail_mode"])
    return needs
  }()
}

/// Peers in Open vSwitch's notation.
enum Target {
  private static let methods = ["tcp:", "ssl:", "unix:", "ptcp:", "pssl:", "punix:"]

  /// Notes those that are written as none can be.
  static func warn(of targets: [String], _ workspace: Workspace) {
    for target in targets where !methods.contains(where: target.hasPrefix) {
      workspace.warn("vsctl", "target type \"\(target)\" is possibly erroneous")
    }
  }

  /// A row's columns.
  static func columns(_ target: String, _ inactivityProbe: String?) -> [String: Datum] {
    var columns: [String: Datum] = ["target": .string(target)]
    // What is no number is 0, as in atoi(3).
    if let inactivityProbe { columns["inactivity_probe"] = .integer(Int64(inactivityProbe) ?? 0) }
    return columns
  }
}

extension Workspace {
  /// The real bridge of a name, fake ones having their parent's controllers.
  fileprivate func bridgeRow(_ name: String) throws(CommandFault) -> Row {
    try bridgeRow(bridges.bridge(name))
  }

  /// As `bridgeRow`, but for the changes of which a fake bridge is none.
  fileprivate func realBridgeRow(_ name: String) throws(CommandFault) -> Row {
    try bridgeRow(bridges.realBridge(name))
  }

  private func bridgeRow(_ bridge: BridgeModel.Bridge) throws(CommandFault) -> Row {
    if let row = row("Bridge", bridge.uuid) { return row }
    throw CommandFault("no bridge named \(bridge.name)", remedy: "run the command again")
  }
}

struct GetControllerCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "get-controller", abstract: "Print the bridge's OpenFlow controllers, one a line.")

  @Argument(completion: NameCompletion.bridge) var bridge: String

  var mayWrite: Bool { false }
  func needs(_ schema: DatabaseSchema) -> Needs { .controllers }
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let uuids = try workspace.bridgeRow(bridge)["controller"].uuids
    let targets = uuids.compactMap { workspace.row("Controller", $0)?["target"].string }
    return .names(targets.sorted(by: Atom.precedes))
  }
}

struct SetControllerCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "set-controller", abstract: "Set the bridge's OpenFlow controllers.")

  @Option(help: ArgumentHelp("Milliseconds of silence until the controller is probed.", valueName: "ms"))
  var inactivityProbe: String?
  @Argument(completion: NameCompletion.bridge) var bridge: String
  @Argument(help: "tcp:HOST:PORT, ssl:HOST:PORT, ptcp:PORT…") var targets: [String] = []

  func needs(_ schema: DatabaseSchema) -> Needs { .controllers }
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let row = try workspace.realBridgeRow(bridge)
    Target.warn(of: targets, workspace)
    guard let table = workspace.table("Controller") else { return .none }
    for uuid in row["controller"].uuids { workspace.delete("Controller", uuid) }
    let uuids = targets.map { workspace.insert(table, columns: Target.columns($0, inactivityProbe)) }
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
    let row = try workspace.realBridgeRow(bridge)
    for uuid in row["controller"].uuids { workspace.delete("Controller", uuid) }
    workspace.set("Bridge", row.uuid, "controller", to: .empty)
    return .none
  }
}

struct GetFailModeCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "get-fail-mode", abstract: "Print what the bridge does without its controller.")

  @Argument(completion: NameCompletion.bridge) var bridge: String

  var mayWrite: Bool { false }
  func needs(_ schema: DatabaseSchema) -> Needs { .failMode }
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    guard let mode = try workspace.bridgeRow(bridge)["fail_mode"].string else { return CommandOutput(json: .null) }
    return .line(mode)
  }
}

struct SetFailModeCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "set-fail-mode", abstract: "Set what the bridge does without its controller.")

  @Argument(completion: NameCompletion.bridge) var bridge: String
  @Argument(completion: .list(["standalone", "secure"])) var mode: String

  func needs(_ schema: DatabaseSchema) -> Needs { .failMode }
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let row = try workspace.realBridgeRow(bridge)
    guard mode == "standalone" || mode == "secure" else {
      let remedy = "fail-mode must be \"standalone\" or \"secure\""
      throw CommandFault("\(mode) is no fail-mode", remedy: remedy, reference: remedy)
    }
    workspace.set("Bridge", row.uuid, "fail_mode", to: .string(mode))
    return .none
  }
}

struct DeleteFailModeCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "del-fail-mode", abstract: "Let the bridge do without its controller what is the default.")

  @Argument(completion: NameCompletion.bridge) var bridge: String

  func needs(_ schema: DatabaseSchema) -> Needs { .failMode }
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    workspace.set("Bridge", try workspace.realBridgeRow(bridge).uuid, "fail_mode", to: .empty)
    return .none
  }
}
