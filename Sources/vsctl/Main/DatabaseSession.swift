// Runs a chain of commands on the database: read, run them on a scratch copy, commit as one transaction, print, wait for
// the switch, report. Another client's change in between starts the chain anew on the new state.

import OVSDB
import Transport

struct DatabaseSession {
  var program: Program
  var options: GlobalOptions
  var verbs: [any Verb]
  /// As typed, for the database's log.
  var commandLine: String

  /// Chains started anew before giving up.
  private static let attemptLimit = 20

  struct Result {
    var exitCode: Int32 = 0
  }

  func run(renderer: Renderer) async throws(CommandFault) -> Result {
    let endpoints = try options.endpoints()
    var needs = Needs.root
    for verb in verbs { needs.add(try verb.needs(.openVSwitch)) }
    let connector = DatabaseConnector(endpoints: endpoints, options: options, needs: needs)
    let (client, snapshot) = try await connector.connect(retries: options.retry)
    do {
      let result = try await run(on: client, snapshot, renderer, connector)
      await client.close()
      return result
    } catch {
      throw Reachability.fault(error, await client.endpoint, options)
    }
  }

  private func run(
    on client: OVSDBClient, _ first: DatabaseSnapshot, _ renderer: Renderer, _ connector: DatabaseConnector
  ) async throws -> Result {
    var snapshot = first
    var attempt = 0
    while true {
      attempt += 1
      let workspace = Workspace(snapshot)
      var outputs: [CommandOutput] = []
      var isWaiting = false
      for verb in verbs {
        let output = try verb.run(on: workspace)
        if output.exitCode != 0 { return Result(exitCode: output.exitCode) }
        if output.waits {
          isWaiting = true
          break
        }
        outputs.append(output)
      }
      if isWaiting {
        let seen = snapshot
        let tables = Array(connector.needs.tables.keys)
        snapshot = try await client.waitUntil { !$0.hasSameRows(as: seen, in: tables) }
        attempt = 0
        continue
      }
      try workspace.symbols.checkDefined()
      if program.style == .vsctl { try InterfaceTrouble.checkTypes(workspace) }
      warn(workspace)
      guard !options.dryRun,
        let transaction = workspace.transaction(
          asksForConfig: !options.noWait, comment: "\(program.name): \(commandLine)")
      else {
        Terminal.print(renderer.text(outputs))
        return Result()
      }
      let reply = try await client.transact(transaction.operations)
      if let error = reply.error {
        // A failed wait, or a name that another client has just taken: look again.
        guard error.tag == "timed out" || error.tag == "constraint violation" && attempt == 1,
          attempt < Self.attemptLimit
        else {
          if program.style == .openVSwitch {
            let text = "transaction error: \(error.json.serialized())"
            Terminal.warn(
              [Warning(module: "ovsdb_idl", text: text)], as: program, firstNumber: 2 + workspace.warnings.count)
          }
          throw CommandFault(
            "transaction error: \(error)",
            remedy: error.tag == "timed out" ? "others keep changing the same rows: run the command again" : nil,
            reference: "transaction error: \(error.json.serialized())")
        }
        try await Task.sleep(for: .milliseconds(10 * attempt))
        snapshot = await client.snapshot()
        continue
      }
      return try await finish(workspace, transaction, reply, outputs, client, renderer, connector)
    }
  }

  private func warn(_ workspace: Workspace) {
    // ovs-vsctl counts the line in which it logs a command that may write.
    let mayWrite = verbs.contains { $0.mayWrite }
    Terminal.warn(workspace.warnings + workspace.symbols.warnings, as: program, firstNumber: mayWrite ? 2 : 1)
  }

  private func finish(
    _ workspace: Workspace, _ transaction: Workspace.Transaction, _ reply: TransactionReply,
    _ outputs: [CommandOutput], _ client: OVSDBClient, _ renderer: Renderer, _ connector: DatabaseConnector
  ) async throws -> Result {
    var names: [RowUUID: RowUUID] = [:]
    for (uuid, index) in transaction.insertIndexes where reply.results.indices.contains(index) {
      if let text = reply.results[index]["uuid"]?[1]?.string { names[uuid] = RowUUID(text) }
    }
    let renaming = Dictionary(
      names.map { ($0.key.description, $0.value.description) }, uniquingKeysWith: { first, _ in first })
    Terminal.print(renderer.text(outputs, renaming: renaming))
    guard let index = transaction.nextConfigIndex, reply.results.indices.contains(index),
      let wanted = reply.results[index]["rows"]?[0]?["next_cfg"]?.integer
    else { return Result() }
    let after: DatabaseSnapshot
    do {
      after = try await client.waitUntil { $0.isConfigured(wanted) }
    } catch {
      guard program.style == .openVSwitch else {
        throw CommandFault(
          "the change is stored, but the daemon went away before the datapath had it (\(error))",
          remedy: "start vswitchd again; nothing need be repeated")
      }
      let (other, _) = try await connector.connect(retries: true)
      after = try await other.waitUntil { $0.isConfigured(wanted) }
    }
    report(workspace, after, names)
    return Result()
  }

  /// Says which interfaces can't work.
  private func report(_ workspace: Workspace, _ after: DatabaseSnapshot, _ names: [RowUUID: RowUUID]) {
    switch program.style {
    case .vsctl:
      let rows = workspace.touchedInterfaces.compactMap { after.row("Interface", names[$0.uuid] ?? $0.uuid) }
      for line in rows.compactMap(InterfaceTrouble.report) { Terminal.complain(line, as: program) }
      for (table, title) in NetworkTables.reporting {
        for row in workspace.touched(table).compactMap({ after.row(table, names[$0.uuid] ?? $0.uuid) }) {
          guard let error = row["error"].string else { continue }
          Terminal.complain(row.name.isEmpty ? "\(title): \(error)" : "\(title) \(row.name): \(error)", as: program)
        }
      }
    case .openVSwitch:
      let made = workspace.inserted.filter { $0.table == "Interface" }
        .compactMap { after.row("Interface", names[$0.uuid] ?? $0.uuid) }
      let lines = made.compactMap(InterfaceTrouble.referenceReport)
      for line in lines { Terminal.complain(line, as: program) }
      if !lines.isEmpty {
        let directory = GlobalOptions.environment("OVS_LOGDIR") ?? "/var/log/openvswitch"
        Terminal.complain("The default log directory is \"\(directory)\".", as: program)
      }
    }
  }
}

/// Makes connections with the monitor that a command line needs.
struct DatabaseConnector {
  var endpoints: [Endpoint]
  var options: GlobalOptions
  var needs: Needs

  /// The first endpoint that answers.
  /// - Parameter retries: ask again, every second, until one does.
  func connect(retries: Bool) async throws(CommandFault) -> (OVSDBClient, DatabaseSnapshot) {
    while true {
      var fault = CommandFault("no endpoint")
      for endpoint in endpoints {
        do {
          try Reachability.check(endpoint, options)
          let client = try await OVSDBClient(endpoint: endpoint, tls: options.tlsFiles)
          return (client, try await monitor(client))
        } catch {
          fault = Reachability.fault(error, endpoint, options)
        }
      }
      guard retries else { throw fault }
      try? await Task.sleep(for: .seconds(1))
    }
  }

  private func monitor(_ client: OVSDBClient) async throws -> DatabaseSnapshot {
    let tables = needs.tables.mapValues { $0.map { $0.sorted() } }
    do {
      return try await client.monitor(tables)
    } catch let error as OVSDBError {
      // Open vSwitch's own schema, most likely.
      guard !needs.optionalTables.isEmpty, needs.optionalTables.contains(where: { error.description.contains($0) })
      else {
        throw error
      }
      return try await client.monitor(tables.filter { !needs.optionalTables.contains($0.key) })
    }
  }
}

extension DatabaseSnapshot {
  /// Whether the switch has acted on a change.
  fileprivate func isConfigured(_ number: Int64) -> Bool { only("Open_vSwitch")?["cur_cfg"].integer ?? 0 >= number }

  /// Whether these tables hold the same rows.
  fileprivate func hasSameRows(as other: DatabaseSnapshot, in tables: [String]) -> Bool {
    tables.allSatisfy { table in
      let (a, b) = (rows(table), other.rows(table))
      return a.count == b.count && zip(a, b).allSatisfy { $0.hasSameContent(as: $1) }
    }
  }
}
