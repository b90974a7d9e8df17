// Runs a chain of commands on the database: read, run them on a scratch copy, commit as one transaction, wait for the
// switch, report. Another client's change in between starts the chain anew on the new state.

import OVSDB

struct DatabaseSession {
  var options: GlobalOptions
  var verbs: [any Verb]
  /// As typed, for the database's log.
  var commandLine: String

  /// Chains started anew before giving up.
  private static let attemptLimit = 20

  struct Result {
    var text = ""
    /// One line each: ports that can't work.
    var complaints: [String] = []
    var exitCode: Int32 = 0
  }

  func run(renderer: Renderer) async throws(CommandFault) -> Result {
    let endpoint = try options.endpoint()
    var needs = Needs.bridges
    for verb in verbs { needs.add(try verb.needs(.openVSwitch)) }
    try Reachability.check(endpoint, options)
    do {
      let client = try await OVSDBClient(endpoint: endpoint)
      let snapshot = try await client.monitor(needs.tables.mapValues { $0.map { $0.sorted() } })
      let result = try await run(on: client, snapshot, renderer)
      await client.close()
      return result
    } catch {
      throw Reachability.fault(error, endpoint, options)
    }
  }

  private func run(
    on client: OVSDBClient, _ first: DatabaseSnapshot, _ renderer: Renderer
  ) async throws -> Result {
    var snapshot = first
    for attempt in 1... {
      let workspace = Workspace(snapshot)
      var outputs: [CommandOutput] = []
      for verb in verbs {
        let output = try verb.run(on: workspace)
        outputs.append(output)
        if output.exitCode != 0 { return Result(text: renderer.text(outputs), exitCode: output.exitCode) }
      }
      try workspace.symbols.checkDefined()
      try InterfaceTrouble.checkTypes(workspace)
      guard !options.dryRun,
        let transaction = workspace.transaction(
          asksForConfig: !options.noWait, comment: "vsctl: \(commandLine)")
      else { return Result(text: renderer.text(outputs)) }
      let reply = try await client.transact(transaction.operations)
      if let error = reply.error {
        // A failed wait, or a name that another client has just taken: look again.
        guard error.tag == "timed out" || error.tag == "constraint violation" && attempt == 1,
          attempt < Self.attemptLimit
        else {
          throw CommandFault(
            "transaction error: \(error)",
            remedy: error.tag == "timed out" ? "others keep changing the same rows: run the command again" : nil)
        }
        try await Task.sleep(for: .milliseconds(10 * attempt))
        snapshot = await client.snapshot()
        continue
      }
      return try await finish(workspace, transaction, reply, outputs, client, renderer)
    }
    return Result()
  }

  private func finish(
    _ workspace: Workspace, _ transaction: Workspace.Transaction, _ reply: TransactionReply,
    _ outputs: [CommandOutput], _ client: OVSDBClient, _ renderer: Renderer
  ) async throws -> Result {
    var names: [RowUUID: RowUUID] = [:]
    for (uuid, index) in transaction.insertIndexes where reply.results.indices.contains(index) {
      if let text = reply.results[index]["uuid"]?[1]?.string { names[uuid] = RowUUID(text) }
    }
    let renaming = Dictionary(
      names.map { ($0.key.description, $0.value.description) }, uniquingKeysWith: { first, _ in first })
    var result = Result(text: renderer.text(outputs, renaming: renaming))
    guard let index = transaction.nextConfigIndex, reply.results.indices.contains(index),
      let wanted = reply.results[index]["rows"]?[0]?["next_cfg"]?.integer
    else { return result }
    let after: DatabaseSnapshot
    do {
      after = try await client.waitUntil { $0.only("Open_vSwitch")?["cur_cfg"].integer ?? 0 >= wanted }
    } catch {
      throw CommandFault(
        "the change is stored, but the daemon went away before the datapath had it (\(error))",
        remedy: "start vswitchd again; nothing need be repeated")
    }
    result.complaints = workspace.touchedInterfaces
      .compactMap { after.row("Interface", names[$0.uuid] ?? $0.uuid) }.compactMap(InterfaceTrouble.report)
    return result
  }
}
