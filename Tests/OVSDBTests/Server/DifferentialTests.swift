import Foundation
import Synchronization
import Testing
import Transport

@testable import OVSDB

/// The same random transactions to our server and to Open vSwitch's: results, updates and contents are equal.
@Suite struct OVSDBServerDifferentialTests {
  /// `VSWITCH_SEED` repeats one; `VSWITCH_SEEDS` asks for more of them.
  static let seeds: [UInt64] = {
    let environment = ProcessInfo.processInfo.environment
    if let seed = environment["VSWITCH_SEED"].flatMap({ UInt64($0) }) { return [seed] }
    return Array(1...(environment["VSWITCH_SEEDS"].flatMap { UInt64($0) } ?? 4))
  }()
  /// Operations that took place, by seed: 104,000 with four of them.
  static let operationCount = 26_000

  /// What the conditional monitor sees; one after the other.
  static let conditions: [[String: JSONValue]] = [
    [
      "QoS": [["type", "==", "n1"], ["type", "==", "a"]], "Interface": [["name", "!=", "n2"]], "Port": [false],
      "Queue": [["dscp", ">", 2]], "Mirror": [["select_vlan", "includes", ["set", [1]]]],
    ],
    [
      "QoS": [true], "Interface": [["ofport", "<=", 1], ["type", "==", ""]],
      "Port": [["tag", "==", 0], ["name", "==", "n3"]],
      "Queue": [["other_config", "excludes", ["map", [["a", "a"]]]]], "Mirror": [],
    ],
    [
      "QoS": [false], "Interface": [["external_ids", "includes", ["map", [["n1", "a"]]]]], "Port": [], "Queue": [],
      "Mirror": [false],
    ],
  ]

  /// A connection that keeps the updates it gets, and translates the rows' names.
  final class Peer {
    private let client: JSONRPCClient
    private let log: UpdateLog
    private var symbols: RowSymbols

    private final class UpdateLog: Sendable {
      let entries = Mutex<[JSONValue]>([])
    }

    init(_ endpoint: Endpoint, symbols: RowSymbols = RowSymbols()) async throws {
      let log = UpdateLog()
      self.log = log
      self.symbols = symbols
      client = try await JSONRPCClient.connect(to: endpoint) { request in
        log.entries.withLock { $0.append(request.params) }
      }
    }

    /// Starts monitors of the three kinds.
    /// - Returns: what they begin with.
    func startMonitors() async throws -> [JSONValue] {
      let all = DatabaseSchema.stockOpenVSwitch.tables
      let plain = all.mapValues { table -> JSONValue in ["columns": .array(table.columns.map { .string($0.name) })] }
      let filtered = OVSDBServerDifferentialTests.conditions[0].map { name, filter in
        let columns = all[name]?.columns.map { JSONValue.string($0.name) } ?? []
        return (name, [["columns": .array(columns), "where": filter]] as JSONValue)
      }
      return [
        try await monitor(),
        symbols.incoming(try await client.call("monitor", ["Open_vSwitch", "plain", .object(plain)])),
        symbols.incoming(
          try await client.call(
            "monitor_cond",
            ["Open_vSwitch", "filtered", .object(Dictionary(uniqueKeysWithValues: filtered))])),
      ]
    }

    /// Gives the conditional monitor other conditions.
    /// - Returns: the updates that makes.
    func changeConditions(_ number: Int) async throws -> [JSONValue] {
      let all = OVSDBServerDifferentialTests.conditions
      let requests = all[number % all.count].mapValues { [["where": $0]] as JSONValue }
      _ = try await client.call("monitor_cond_change", ["filtered", "filtered", .object(requests)])
      return takeUpdates()
    }

    /// By monitor, without the transaction's id: standalone ovsdb-server has none.
    private func takeUpdates() -> [JSONValue] {
      let updates = log.entries.withLock { entries in
        defer { entries = [] }
        return entries
      }
      return updates.map { [$0[0] ?? nil, symbols.incoming($0[2] ?? $0[1] ?? nil)] as JSONValue }
        .sorted { $0[0]?.string ?? "" < $1[0]?.string ?? "" }
    }

    /// The results and the updates that came before them.
    func transact(_ operations: [JSONValue]) async throws -> (results: JSONValue, updates: [JSONValue]) {
      let params = JSONValue.array(["Open_vSwitch"] + operations.map(symbols.outgoing))
      let results = try await client.call("transact", params)
      symbols.learn(operations, results)
      return (symbols.incoming(results), takeUpdates())
    }

    /// The contents of all tables.
    func monitor() async throws -> JSONValue {
      let requests = DatabaseSchema.stockOpenVSwitch.tables.mapValues { table -> JSONValue in
        [["columns": .array(table.columns.map { .string($0.name) })]]
      }
      let reply = try await client.call(
        "monitor_cond_since", ["Open_vSwitch", "m", .object(requests), .string(RowUUID.zero.description)])
      return symbols.incoming(reply[2] ?? nil)
    }

    /// A second connection to the same server.
    func again(_ endpoint: Endpoint) async throws -> Peer { try await Peer(endpoint, symbols: symbols) }

    func close() async { await client.close() }
  }

  /// Rows without order; errors as far as they do not depend on the order in which rows are visited.
  static func comparable(_ results: JSONValue, _ operations: [JSONValue]) -> [JSONValue] {
    (results.array ?? []).enumerated().map { index, result in
      if let rows = result["rows"]?.array { return .array(RowSymbols.sorted(rows)) }
      guard let tag = result["error"] else { return result }
      let operation = index < operations.count ? operations[index]["op"]?.string : nil
      // With names in it, an error's text has one server's UUIDs.
      let isNamed = index < operations.count && operations[index]["uuid-name"] != nil
      let isExact = operation == "select" || operation == "insert" && !isNamed && tag != "duplicate uuid"
      return isExact && result["syntax"]?.string?.contains("uuid") != true ? result : ["error": tag]
    }
  }

  @Test(
    .enabled(if: ReferenceServer.isInstalled, "needs Debian's openvswitch-switch"), .timeLimit(.minutes(5)),
    arguments: OVSDBServerDifferentialTests.seeds)
  func randomTransactionsGiveTheSame(seed: UInt64) async throws {
    let reference = try await ReferenceServer()
    let served = try await ServedDatabase()
    do {
      try await compare(seed, reference, served)
    } catch let error as JSONRPCError {
      Issue.record("seed \(seed): \(error)\n\(reference.log)")
    }
    await served.server.close()
  }

  private func compare(_ seed: UInt64, _ reference: ReferenceServer, _ served: ServedDatabase) async throws {
    let ours = try await Peer(served.endpoint)
    let theirs = try await Peer(reference.endpoint)
    #expect(try await ours.startMonitors() == theirs.startMonitors())

    var transactions = RandomTransactions(seed: seed)
    transactions.letsServersNameRows = true
    transactions.hasLongOnes = true
    let root = Operation.insert("Open_vSwitch", [:], uuid: RowUUID(generator: &transactions.generator))
    var (number, executed, committed, updated) = (0, 0, 0, 0)
    while executed < Self.operationCount {
      let operations = number == 0 ? [root] : transactions.next()
      let own = try await ours.transact(operations)
      let other = try await theirs.transact(operations)
      func story() -> String { "seed \(seed), transaction \(number): \(JSONValue.array(operations).serialized())" }
      let (ownResults, otherResults) = (
        Self.comparable(own.results, operations), Self.comparable(other.results, operations)
      )
      try #require(ownResults == otherResults, "\(story())\n ours:   \(own.results)\n theirs: \(other.results)")
      try #require(own.updates == other.updates, "\(story())\n ours:   \(own.updates)\n theirs: \(other.updates)")
      executed += ownResults.count { !$0.isNull && $0["error"] == nil }
      committed += ownResults.count == operations.count && !ownResults.contains { $0["error"] != nil } ? 1 : 0
      updated += own.updates.count
      number += 1
      if number % 40 == 0 {
        let (ownUpdates, otherUpdates) = (
          try await ours.changeConditions(number / 40), try await theirs.changeConditions(number / 40)
        )
        try #require(ownUpdates == otherUpdates, "\(story())\n ours:   \(ownUpdates)\n theirs: \(otherUpdates)")
      }
    }
    // Enough of them came to their end for the comparison to mean something.
    #expect(committed > number / 4 && updated > number / 5, "seed \(seed): \(committed) of \(number), \(updated)")
    let (again, peerAgain) = (try await ours.again(served.endpoint), try await theirs.again(reference.endpoint))
    #expect(try await again.monitor() == peerAgain.monitor())
    for peer in [ours, theirs, again, peerAgain] { await peer.close() }
  }
}
