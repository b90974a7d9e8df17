// The database's own listeners and the keys for TLS: ovs-vsctl(8), "Manager Connectivity" and "SSL Configuration".

import ArgumentParser
import OVSDB

extension Needs {
  fileprivate static let managers: Needs = {
    var needs = Needs("Open_vSwitch", ["manager_options"])
    needs.add("Manager", ["target", "inactivity_probe"])
    return needs
  }()

  fileprivate static let keys: Needs = {
    var needs = Needs("Open_vSwitch", ["ssl"])
    needs.add("SSL", ["private_key", "certificate", "ca_cert", "bootstrap_ca_cert"])
    return needs
  }()
}

struct GetManagerCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "get-manager", abstract: "Print the database's managers, one a line.")

  var mayWrite: Bool { false }
  func needs(_ schema: DatabaseSchema) -> Needs { .managers }
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    let uuids = workspace.rootRow?["manager_options"].uuids ?? []
    let targets = Set(uuids.compactMap { workspace.row("Manager", $0)?["target"].string })
    return .names(targets.sorted(by: Atom.precedes))
  }
}

struct SetManagerCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "set-manager", abstract: "Set where the database listens for managers and to which it connects.")

  @Option(help: ArgumentHelp("Milliseconds of silence until a manager is probed.", valueName: "ms"))
  var inactivityProbe: String?
  @Argument(help: "ptcp:PORT[:ADDRESS], pssl:PORT[:ADDRESS], tcp:HOST:PORT, ssl:HOST:PORT…") var targets: [String]

  func needs(_ schema: DatabaseSchema) -> Needs { .managers }
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    Target.warn(of: targets, workspace)
    guard let table = workspace.table("Manager") else { return .none }
    for uuid in workspace.rootRow?["manager_options"].uuids ?? [] { workspace.delete("Manager", uuid) }
    let uuids = targets.map { workspace.insert(table, columns: Target.columns($0, inactivityProbe)) }
    workspace.set("Open_vSwitch", workspace.root, "manager_options", to: .uuids(uuids))
    return .none
  }
}

struct DeleteManagerCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "del-manager", abstract: "Remove the database's managers.")

  func needs(_ schema: DatabaseSchema) -> Needs { .managers }
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    for uuid in workspace.rootRow?["manager_options"].uuids ?? [] { workspace.delete("Manager", uuid) }
    workspace.set("Open_vSwitch", workspace.root, "manager_options", to: .empty)
    return .none
  }
}

struct GetSSLCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "get-ssl", abstract: "Print the files of keys and certificates for TLS.")

  var mayWrite: Bool { false }
  func needs(_ schema: DatabaseSchema) -> Needs { .keys }
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    guard let uuid = workspace.rootRow?["ssl"].uuid, let row = workspace.row("SSL", uuid) else {
      return CommandOutput(json: .null)
    }
    func text(_ column: String) -> String { row[column].string ?? "" }
    let bootstraps = row["bootstrap_ca_cert"].boolean == true
    var output = CommandOutput.names([
      "Private key: \(text("private_key"))", "Certificate: \(text("certificate"))",
      "CA Certificate: \(text("ca_cert"))", "Bootstrap: \(bootstraps)",
    ])
    output.json = [
      "private_key": .string(text("private_key")), "certificate": .string(text("certificate")),
      "ca_cert": .string(text("ca_cert")), "bootstrap_ca_cert": .boolean(bootstraps),
    ]
    return output
  }
}

struct SetSSLCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "set-ssl", abstract: "Set the files of keys and certificates for TLS.")

  @Flag(help: "Take the authority's certificate from the first peer if its file is missing.") var bootstrap = false
  @Argument(completion: .file()) var privateKey: String
  @Argument(completion: .file()) var certificate: String
  @Argument(completion: .file()) var caCert: String

  func needs(_ schema: DatabaseSchema) -> Needs { .keys }
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    guard let table = workspace.table("SSL") else { return .none }
    if let old = workspace.rootRow?["ssl"].uuid { workspace.delete("SSL", old) }
    let uuid = workspace.insert(
      table,
      columns: [
        "private_key": .string(privateKey), "certificate": .string(certificate), "ca_cert": .string(caCert),
        "bootstrap_ca_cert": .boolean(bootstrap),
      ])
    workspace.set("Open_vSwitch", workspace.root, "ssl", to: .uuid(uuid))
    return .none
  }
}

struct DeleteSSLCommand: Verb {
  static let configuration = CommandConfiguration(
    commandName: "del-ssl", abstract: "Forget the files of keys and certificates for TLS.")

  func needs(_ schema: DatabaseSchema) -> Needs { .keys }
  func run(on workspace: Workspace) throws(CommandFault) -> CommandOutput {
    guard let old = workspace.rootRow?["ssl"].uuid else { return .none }
    workspace.delete("SSL", old)
    workspace.set("Open_vSwitch", workspace.root, "ssl", to: .empty)
    return .none
  }
}
