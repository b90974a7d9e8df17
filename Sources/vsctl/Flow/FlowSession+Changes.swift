// Changes of tables: read, sent, and what the switch refused of them. Those of one command line are made at one step, or
// not at all, by a bundle; OpenFlow 1.0 has none: there they are made one after the other, up to the first that is refused.

import OVSDB
import OpenFlow
import VSwitchCore

extension FlowSession {
  static func run(_ verb: any FlowVerb, _ options: GlobalOptions) async throws(CommandFault) -> Int32 {
    let session = FlowSession(verb.connection, options)
    do {
      return try await verb.run(session)
    } catch {
      throw session.fault(error)
    }
  }

  /// Reads changes with the bridge's names and makes them.
  /// - Parameters:
  ///   - wantsBundle: `--bundle`: only in versions that have bundles.
  ///   - read: gives the changes.
  func change(
    wantsBundle: Bool = false, _ read: (FlowTextParser) throws -> [FlowChange]
  ) async throws {
    var allowed = try connection.versions()
    if wantsBundle {
      let bundling: VersionSet = [VersionSet([.v13]), VersionSet([.v14]), VersionSet([.v15])]
      // As ovs-ofctl, which then speaks 1.4.
      allowed = allowed.isDisjoint(with: bundling) ? VersionSet([.v14]) : allowed.intersection(bundling)
    }
    let later: (VersionSet, [FlowChange])? = try await connected(allowed) { client in
      let changes = try read(FlowTextParser(names: try await names(client), versions: allowed))
      let usable = changes.reduce(allowed) { $0.intersection($1.versions) }
      guard !usable.isEmpty else {
        throw CommandFault(
          "no version of OpenFlow has all of these changes",
          remedy: "make them in several commands, or allow others (-O)")
      }
      guard !usable.isDisjoint(with: VersionSet([client.version])) else { return (usable, changes) }
      try await make(changes, client)
      return nil
    }
    // Spoken was a version that has no words for them.
    if let (versions, changes) = later { try await connected(versions) { try await make(changes, $0) } }
  }

  /// Makes changes on a connection.
  func make(_ changes: [FlowChange], _ client: OpenFlowClient) async throws {
    guard !changes.isEmpty else { return }
    try await client.useExtendedRules()
    let isBundle = changes.count > 1 && client.version != .v10
    let bodies = changes.map { change in
      guard client.version == .v10, !change.namesTable, case .flowMod(var mod) = change.body,
        mod.command == .modify || mod.command == .modifyStrict
      else { return change.body }
      mod.table = FlowMod.allTables
      // As ovs-ofctl: then a rule that is not there is added.
      if mod.cookie == nil, mod.cookieFilter.mask == 0 { mod.cookie = 0 }
      return .flowMod(mod)
    }
    let refusal = isBundle ? try await client.changeAtOnce(bodies) : try await client.change(bodies)
    guard let refusal else { return }
    guard let index = refusal.index, changes.indices.contains(index) else {
      throw Self.fault(refusal.error, of: "the changes")
    }
    let change = changes[index]
    var fault = Self.fault(refusal.error, of: change.lineNumber.map { "line \($0)" } ?? "it")
    fault.excerpt = change.text
    let remedy = fault.remedy ?? "change it"
    if isBundle {
      fault.remedy = "\(remedy); none of the \(changes.count) changes was made"
    } else if changes.count > 1 {
      fault.remedy = "\(remedy); \(index) changes before it were made (-O OpenFlow14 makes all or none)"
    }
    throw fault
  }
}
