// Bridges: ovs-vsctl(8), "Bridge Commands".

import ArgumentParser
import OVSDB

enum NameCompletion {
  static let bridge = CompletionKind.shellCommand("vsctl list-br 2>/dev/null")
  static let port = CompletionKind.shellCommand("vsctl --bare --columns=name list port 2>/dev/null")
  static let interface = CompletionKind.shellCommand("vsctl --bare --columns=name list interface 2>/dev/null")
  static let table = CompletionKind.list(DatabaseSchema.openVSwitch.tables.keys.sorted())
}

struct AddBridgeCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "add-br", abstract: "Create a bridge; with PARENT and VLAN one that stands for a VLAN of PARENT.")

  @Flag(help: "Do nothing if the bridge exists.") var mayExist = false
  @Argument var bridge: String
  @Argument(completion: NameCompletion.bridge) var parent: String?
  @Argument var vlan: String?

  /// Tables whose rows are bridges of the datapath, too.
  private static let others = [("Router", "router"), ("NAT_Network", "NAT network")]

  func needs(_ schema: DatabaseSchema) -> Needs {
    var needs = Needs.newInterfaces
    for (table, _) in Self.others { needs.addIfPresent(table, ["name"]) }
    return needs
  }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    guard !bridge.isEmpty else {
      throw CommandFault("bridge name must not be empty string", remedy: "give a name, such as br0")
    }
    for (table, kind) in Self.others where workspace.table(table) != nil {
      guard workspace.rows(table, where: "name", is: bridge).isEmpty else {
        throw CommandFault("there is a \(kind) \(bridge)", remedy: "give the bridge another name")
      }
    }
    let model = workspace.bridges
    guard let parent else {
      if mayExist, let old = model.bridges[bridge] {
        guard let parent = old.parent else { return .none }
        throw CommandFault(
          "\"--may-exist add-br \(bridge)\" but \(bridge) is a VLAN bridge for VLAN \(old.vlan)",
          remedy: "write add-br \(bridge) \(parent) \(old.vlan), or choose another name")
      }
      try model.checkUnused(bridge, for: "bridge named \(bridge)")
      model.addBridge(bridge)
      return .none
    }
    guard let vlan else {
      throw CommandFault(
        "'add-br' command takes exactly 1 or 3 arguments", remedy: "write add-br \(bridge) \(parent) VLAN")
    }
    guard let id = Int64(vlan), (0...4095).contains(id) else {
      throw CommandFault(
        "add-br: \(vlan) is no VLAN", remedy: "vlan must be between 0 and 4095",
        reference: "add-br: vlan must be between 0 and 4095")
    }
    try addVLANBridge(id, parent: parent, model)
    return .none
  }

  private func addVLANBridge(_ vlan: Int64, parent: String, _ model: BridgeModel) throws(CommandFault) {
    if mayExist, let old = model.bridges[bridge] {
      let complaint: String
      if old.parent == nil {
        complaint = "is not a VLAN bridge"
      } else if old.parent != parent {
        complaint = "has the wrong parent \(old.parent ?? "")"
      } else if old.vlan != vlan {
        complaint = "is a VLAN bridge for the wrong VLAN \(old.vlan)"
      } else {
        return
      }
      throw CommandFault(
        "\"--may-exist add-br \(bridge) \(parent) \(vlan)\" but \(bridge) \(complaint)",
        remedy: "choose another name, or delete \(bridge) first")
    }
    try model.checkUnused(bridge, for: "bridge named \(bridge)")
    guard let parentBridge = model.bridges[parent] else {
      throw CommandFault(
        "parent bridge \(parent) does not exist",
        remedy: Suggestion.remedy(for: parent, among: model.bridges.keys, listedAs: "bridges"))
    }
    if let real = parentBridge.parent {
      throw CommandFault("cannot create bridge with fake bridge as parent", remedy: "name \(real) as parent")
    }
    if let child = model.children(of: parentBridge).first(where: { $0.vlan == vlan }) {
      throw CommandFault(
        "bridge \(parent) already has a child VLAN bridge \(child.name) on VLAN \(vlan)", remedy: "use \(child.name)")
    }
    model.addFakeBridge(bridge, parent: parentBridge, vlan: vlan)
  }
}

struct DeleteBridgeCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "del-br", abstract: "Delete a bridge and all of its ports.")

  @Flag(help: "Do nothing if there is no such bridge.") var ifExists = false
  @Argument(completion: NameCompletion.bridge) var bridge: String

  func needs(_ schema: DatabaseSchema) -> Needs {
    var needs = Needs.interfaces
    needs.add("Flow_Sample_Collector_Set", ["bridge"])
    return needs
  }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let model = workspace.bridges
    if ifExists && model.bridges[bridge] == nil { return .none }
    model.deleteBridge(try model.bridge(bridge))
    return .none
  }
}

struct ListBridgesCommand: Verb {
  static let configuration = CommandConfiguration(commandName: "list-br", abstract: "Print the names of all bridges.")

  @Flag(help: "Only bridges that stand for themselves.") var real = false
  @Flag(help: "Only bridges that stand for a VLAN of another.") var fake = false

  var mayWrite: Bool { false }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let all = workspace.bridges.bridges.values.filter { real == fake || real == ($0.parent == nil) }
    return .names(all.map(\.name).sorted(by: Atom.precedes))
  }
}

struct BridgeExistsCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "br-exists", abstract: "Exit with status 0 if the bridge exists, 2 if not.")

  @Argument(completion: NameCompletion.bridge) var bridge: String

  var mayWrite: Bool { false }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    CommandOutput(exitCode: workspace.bridges.bridges[bridge] == nil ? 2 : 0)
  }
}

struct BridgeToVLANCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "br-to-vlan", abstract: "Print the VLAN that the bridge stands for; 0 if for itself.")

  @Argument(completion: NameCompletion.bridge) var bridge: String

  var mayWrite: Bool { false }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let vlan = try workspace.bridges.bridge(bridge).vlan
    return .line(String(vlan), json: .integer(vlan))
  }
}

struct BridgeToParentCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "br-to-parent", abstract: "Print the bridge whose VLAN the bridge stands for; itself if none.")

  @Argument(completion: NameCompletion.bridge) var bridge: String

  var mayWrite: Bool { false }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let found = try workspace.bridges.bridge(bridge)
    return .line(found.parent ?? found.name)
  }
}

extension Needs {
  fileprivate static let externalIDs: Needs = {
    var needs = bridges
    needs.add("Bridge", ["external_ids"])
    needs.add("Port", ["external_ids"])
    return needs
  }()
}

/// Where a bridge's external IDs are: a fake bridge's in its port, with a prefix.
private func externalIDs(
  _ name: String, _ workspace: Workspace
) throws(CommandFault) -> (table: String, uuid: RowUUID, prefix: String) {
  let bridge = try workspace.bridges.bridge(name)
  if let port = bridge.localPort { return ("Port", port, "fake-bridge-") }
  return ("Bridge", bridge.uuid, "")
}

struct BridgeSetExternalIDCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "br-set-external-id",
    abstract: "Set KEY of the bridge's external_ids to VALUE; without VALUE remove it.")

  @Argument(completion: NameCompletion.bridge) var bridge: String
  @Argument var key: String
  @Argument var value: String?

  func needs(_ schema: DatabaseSchema) -> Needs { .externalIDs }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let place = try externalIDs(bridge, workspace)
    let key = place.prefix + key
    if let value {
      workspace.merge(place.table, place.uuid, "external_ids", adding: .map([key: value]))
    } else {
      workspace.remove(place.table, place.uuid, "external_ids") { found, _ in found.string == key }
    }
    return .none
  }
}

struct BridgeGetExternalIDCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "br-get-external-id", abstract: "Print the value of KEY in the bridge's external_ids, or all of them.")

  @Argument(completion: NameCompletion.bridge) var bridge: String
  @Argument var key: String?

  var mayWrite: Bool { false }
  func needs(_ schema: DatabaseSchema) -> Needs { .externalIDs }

  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let place = try externalIDs(bridge, workspace)
    let all = workspace.row(place.table, place.uuid)?["external_ids"].map ?? [:]
    if let key {
      guard let value = all[place.prefix + key] else { return CommandOutput(json: .null) }
      return .line(value)
    }
    let pairs = all.filter { $0.key.hasPrefix(place.prefix) }
      .map { (String($0.key.dropFirst(place.prefix.count)), $0.value) }.sorted { Atom.precedes($0.0, $1.0) }
    var output = CommandOutput.names(pairs.map { "\($0.0)=\($0.1)" })
    output.json = .object(Dictionary(pairs.map { ($0.0, .string($0.1)) }, uniquingKeysWith: { first, _ in first }))
    return output
  }
}
