// What belongs to a whole datapath: timeouts of connection tracking zones, and what it can do. ovs-vsctl(8), "Conntrack
// Zone Commands" and "Datapath Capabilities Command".

import ArgumentParser
import OVSDB

extension Needs {
  fileprivate static let zones: Needs = {
    var needs = Needs("Open_vSwitch", ["datapaths"])
    needs.add("Datapath", ["ct_zones", "capabilities"])
    needs.add("CT_Zone", ["timeout_policy"])
    needs.add("CT_Timeout_Policy", ["timeouts"])
    return needs
  }()
}

extension Workspace {
  fileprivate func datapath(_ name: String) -> Row? {
    rootRow?["datapaths"][name]?.uuid.flatMap { row("Datapath", $0) }
  }

  fileprivate func existingDatapath(_ name: String, reference: String) throws(CommandFault) -> Row {
    if let row = datapath(name) { return row }
    throw CommandFault(
      reference,
      remedy: Suggestion.remedy(for: name, among: rootRow?["datapaths"].strings ?? [], listedAs: "datapaths"))
  }
}

/// The number of `zone=NUMBER`.
private func zone(_ text: String) -> Int64 {
  let digits = text.hasPrefix("zone=") ? text.dropFirst(5).prefix { ("0"..."9").contains($0) } : ""
  return Int64(digits) ?? 0
}

struct AddZonePolicyCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "add-zone-tp", abstract: "Give a zone of connection tracking timeouts, in seconds.",
    discussion: "For example: vsctl add-zone-tp netdev zone=1 icmp_first=30 icmp_reply=60")

  @Flag(help: "Replace the timeouts that the zone has.") var mayExist = false
  @Argument var datapath: String
  @Argument(help: ArgumentHelp(valueName: "zone=number")) var zone: String
  @Argument(help: ArgumentHelp(valueName: "timeout=seconds")) var timeouts: [String] = []

  func needs(_ schema: DatabaseSchema) -> Needs { .zones }
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let row = try workspace.existingDatapath(datapath, reference: "datapath \(datapath) does not exist")
    let number = vsctl.zone(zone)
    let old = row["ct_zones"].value(for: .integer(number))?.uuid
    if old != nil && !mayExist {
      throw CommandFault("zone id \(number) already exists", remedy: "delete it first: del-zone-tp \(datapath) \(zone)")
    }
    guard let zones = workspace.table("CT_Zone"), let policies = workspace.table("CT_Timeout_Policy") else {
      return .none
    }
    let pairs = timeouts.map { word in
      let key = word.prefix { $0 != "=" }
      let value = word.dropFirst(key.count + 1).prefix { ("0"..."9").contains($0) }
      return (Atom.string(String(key)), Atom.integer(Int64(value) ?? 0))
    }
    let policy = workspace.insert(policies, columns: ["timeouts": Datum(map: pairs)])
    if let old {
      // As ovs-vsctl does, other than its page says.
      workspace.set("CT_Zone", old, "timeout_policy", to: .uuid(policy))
      return .none
    }
    let uuid = workspace.insert(zones, columns: ["timeout_policy": .uuid(policy)])
    workspace.merge("Datapath", row.uuid, "ct_zones", adding: Datum(map: [(.integer(number), .uuid(uuid))]))
    return .none
  }
}

struct DeleteZonePolicyCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "del-zone-tp", abstract: "Take a zone's timeouts away.")

  @Flag(help: "Do nothing if the zone has none.") var ifExists = false
  @Argument var datapath: String
  @Argument(help: ArgumentHelp(valueName: "zone=number")) var zone: String

  func needs(_ schema: DatabaseSchema) -> Needs { .zones }
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let row = try workspace.existingDatapath(datapath, reference: "datapath \(datapath) does not exist")
    let number = Atom.integer(vsctl.zone(zone))
    guard row["ct_zones"].value(for: number) != nil else {
      if ifExists { return .none }
      throw CommandFault("zone id \(vsctl.zone(zone)) does not exist", remedy: "see list-zone-tp \(datapath)")
    }
    workspace.remove("Datapath", row.uuid, "ct_zones") { key, _ in key == number }
    return .none
  }
}

struct ListZonePoliciesCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "list-zone-tp", abstract: "Print the timeouts of all zones.")

  @Argument var datapath: String

  var mayWrite: Bool { false }
  func needs(_ schema: DatabaseSchema) -> Needs { .zones }
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let row = try workspace.existingDatapath(datapath, reference: "datapath: \(datapath) record not found")
    var lines: [String] = []
    var members: [String: JSONValue] = [:]
    for (number, uuid) in row["ct_zones"].pairs {
      let zone = uuid.uuid.flatMap { workspace.row("CT_Zone", $0) }
      let policy = zone?["timeout_policy"].uuid.flatMap { workspace.row("CT_Timeout_Policy", $0) }
      let pairs = policy?["timeouts"].pairs ?? []
      let text = pairs.map { "\(DatumFormat.bare($0.key))=\(DatumFormat.bare($0.value))" }.joined(separator: " ")
      lines.append("Zone:\(DatumFormat.bare(number)), Timeout Policies: \(text)")
      members[DatumFormat.bare(number)] = .object(
        Dictionary(pairs.map { (DatumFormat.bare($0.key), $0.value.json) }, uniquingKeysWith: { first, _ in first }))
    }
    var output = CommandOutput.names(lines)
    output.json = .object(members)
    return output
  }
}

struct ListCapabilitiesCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "list-dp-cap", abstract: "Print what the datapath can do.")

  @Argument var datapath: String

  var mayWrite: Bool { false }
  func needs(_ schema: DatabaseSchema) -> Needs { .zones }
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let row = try workspace.existingDatapath(datapath, reference: "datapath \"\(datapath)\" record not found")
    let pairs = row["capabilities"].map.sorted { Atom.precedes($0.key, $1.key) }
    return .line(
      pairs.map { "\($0.key)=\($0.value)" }.joined(separator: " "),
      json: .object(row["capabilities"].map.mapValues(JSONValue.string)))
  }
}
