// What would mend an interface that the switch could not set up. The switch says what is wrong (Interface.error, in
// Open vSwitch's words where it has some); the way out is said here. Pure.

import OVSDB

enum InterfaceTrouble {
  /// One line for an interface with an error; nil if it works.
  static func report(_ row: Row) -> String? {
    let error = row["error"].string ?? ""
    guard !error.isEmpty || row["ofport"].integer == -1 else { return nil }
    let cause = error.isEmpty ? "the switch gave no reason" : error
    let line = "port \(row.name): \(cause)"
    return remedy(cause, row).map { "\(line): \($0)" } ?? line
  }

  /// ovs-vsctl's line for an interface that it added; nil if that works.
  static func referenceReport(_ row: Row) -> String? {
    guard row["ofport"].integer ?? -1 == -1 else { return nil }
    let error = row["error"].string ?? "(null)"
    return "Error detected while setting up '\(row.name)': \(error).  See ovs-vswitchd log for details."
  }

  /// What to do; nil where the switch's own message goes on to say it.
  private static func remedy(_ error: String, _ row: Row) -> String? {
    let known: [(String, String)] = [
      ("(No such device)", "create the device or set type=tap"),
      ("(No such file or directory)", "create what it names; a network namespace with \"ip netns add\""),
      ("(Operation not permitted)", "run vswitchd with CAP_NET_ADMIN and CAP_NET_RAW"),
      ("(Permission denied)", "run vswitchd with CAP_NET_ADMIN and CAP_NET_RAW"),
      ("(Device or resource busy)", "end the program that holds the device, or choose another name"),
      ("(File exists)", "choose another name, or delete the device that has it"),
      ("(File name too long)", "choose a name of at most 15 bytes"),
      ("(Invalid argument)", "check the name, at most 15 bytes without / and spaces, and the options"),
      ("valid 'peer' argument", "name the other patch port: set interface \(row.name) options:peer=NAME"),
    ]
    if let found = known.first(where: { error.hasSuffix($0.0) }) { return found.1 }
    let body = error.hasPrefix("\(row.name): ") ? String(error.dropFirst(row.name.count + 2)) : error
    return body.contains(": ") ? nil : "mend that and the port starts, or remove it with del-port \(row.name)"
  }

  /// Refuses a type that this switch's build lacks, before anything is changed.
  static func checkTypes(_ workspace: Workspace) throws(CommandFault) {
    let known = workspace.rootRow?["iface_types"].strings ?? []
    guard !known.isEmpty else { return }
    for row in workspace.touchedInterfaces {
      let type = row["type"].string ?? ""
      if type.isEmpty || type == "system" || known.contains(type) { continue }
      if workspace.original.row("Interface", row.uuid)?["type"].string == type { continue }
      throw CommandFault(
        "interface \(row.name): this switch has no type \"\(type)\"",
        remedy: (Suggestion.nearest(to: type, among: known).map { "did you mean \($0)? " } ?? "")
          + "types are \(known.joined(separator: ", "))")
    }
  }
}
