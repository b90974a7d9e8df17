// Auto Attach: which VLAN of a bridge stands for which service (I-SID). ovs-vsctl's `--help`, "Auto Attach commands".

import ArgumentParser
import Glibc
import OVSDB

extension Needs {
  fileprivate static let autoAttach: Needs = {
    var needs = bridges
    needs.add("Bridge", ["auto_attach"])
    needs.add("AutoAttach", ["mappings"])
    return needs
  }()
}

extension Workspace {
  /// The bridge, or a fake one's parent.
  fileprivate func autoAttachBridge(_ name: String) throws(CommandFault) -> (bridge: RowUUID, mappings: Row?) {
    let bridge = try bridges.bridge(name)
    let uuid = row("Bridge", bridge.uuid)?["auto_attach"].uuid
    return (bridge.uuid, uuid.flatMap { row("AutoAttach", $0) })
  }
}

/// A number as strtoull(3) reads it: digits at the beginning count.
private func number(_ text: String) throws(CommandFault) -> Int64 {
  let digits = text.prefix { ("0"..."9").contains($0) }
  if let number = Int64(digits) { return number }
  throw CommandFault("Invalid argument \(text)", remedy: "give a number")
}

struct AddAutoAttachCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "add-aa-mapping", abstract: "Let a VLAN of the bridge stand for a service (I-SID).")

  @Argument(completion: NameCompletion.bridge) var bridge: String
  @Argument var isid: String
  @Argument var vlan: String

  func needs(_ schema: DatabaseSchema) -> Needs { .autoAttach }
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let pair = (Atom.integer(try number(isid)), Atom.integer(try number(vlan)))
    let (bridge, mappings) = try workspace.autoAttachBridge(bridge)
    if let mappings {
      // One that is there stays as it is.
      guard mappings["mappings"].value(for: pair.0) == nil else { return .none }
      workspace.merge("AutoAttach", mappings.uuid, "mappings", adding: Datum(map: [pair]))
    } else if let table = workspace.table("AutoAttach") {
      let uuid = workspace.insert(table, columns: ["mappings": Datum(map: [pair])])
      workspace.set("Bridge", bridge, "auto_attach", to: .uuid(uuid))
    }
    return .none
  }
}

struct DeleteAutoAttachCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "del-aa-mapping", abstract: "Remove the mapping of a service (I-SID) to a VLAN.")

  @Argument(completion: NameCompletion.bridge) var bridge: String
  @Argument var isid: String
  @Argument var vlan: String

  func needs(_ schema: DatabaseSchema) -> Needs { .autoAttach }
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let (key, value) = (Atom.integer(try number(isid)), Atom.integer(try number(vlan)))
    guard let mappings = try workspace.autoAttachBridge(bridge).mappings, mappings["mappings"].value(for: key) == value
    else { return .none }
    workspace.remove("AutoAttach", mappings.uuid, "mappings") { found, _ in found == key }
    return .none
  }
}

struct GetAutoAttachCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "get-aa-mapping", abstract: "Print the bridge's services (I-SID), each with its VLAN.")

  @Argument(completion: NameCompletion.bridge) var bridge: String

  var mayWrite: Bool { false }
  func needs(_ schema: DatabaseSchema) -> Needs { .autoAttach }
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let pairs = try workspace.autoAttachBridge(bridge).mappings?["mappings"].pairs ?? []
    var output = CommandOutput.names(pairs.map { "\(DatumFormat.bare($0.key)) \(DatumFormat.bare($0.value))" })
    output.json = .object(
      Dictionary(pairs.map { (DatumFormat.bare($0.key), $0.value.json) }, uniquingKeysWith: { first, _ in first }))
    return output
  }
}
