import Foundation
import Synchronization
import Testing

@testable import OVSDB

/// The same random transactions to our server and to Open vSwitch's: results, updates and contents are equal.
@Suite struct OVSDBServerDifferentialTests {
  static let isInstalled = program("ovsdb-server") != nil && program("ovsdb-tool") != nil
  /// `VSWITCH_SEED` repeats one; `VSWITCH_SEEDS` asks for more of them.
  static let seeds: [UInt64] = {
    let environment = ProcessInfo.processInfo.environment
    if let seed = environment["VSWITCH_SEED"].flatMap({ UInt64($0) }) { return [seed] }
    return Array(1...(environment["VSWITCH_SEEDS"].flatMap { UInt64($0) } ?? 4))
  }()
  static let schemaPath = "/usr/share/openvswitch/vswitch.ovsschema"

  /// A connection that keeps the updates it gets.
  final class Peer: Sendable {
    let client: JSONRPCClient
    private let updates: UpdateLog

    final class UpdateLog: Sendable {
      let entries = Mutex<[JSONValue]>([])
    }

    init(_ endpoint: Endpoint) async throws {
      let log = UpdateLog()
      updates = log
      client = try await JSONRPCClient.connect(to: endpoint) { request in
        log.entries.withLock { $0.append(request.params) }
      }
    }

    func takeUpdates() -> [JSONValue] {
      updates.entries.withLock { entries in
        defer { entries = [] }
        return entries
      }
    }

    func monitor() async throws -> JSONValue {
      let requests = DatabaseSchema.stockOpenVSwitch.tables.mapValues { table -> JSONValue in
        [["columns": .array(table.columns.map { .string($0.name) })]]
      }
      return try await client.call(
        "monitor_cond_since", ["Open_vSwitch", "m", .object(requests), .string(RowUUID.zero.description)])
    }
  }

  /// Rows without order; errors as far as they do not depend on the order in which rows are visited.
  static func comparable(_ results: JSONValue, _ operations: [JSONValue]) -> [JSONValue] {
    (results.array ?? []).enumerated().map { index, result in
      if let rows = result["rows"]?.array {
        return .array(rows.sorted { $0.serialized() < $1.serialized() })
      }
      guard let tag = result["error"] else { return result }
      let operation = index < operations.count ? operations[index]["op"]?.string : nil
      return operation == "insert" || operation == "select" ? result : ["error": tag]
    }
  }

  @Test(
    .enabled(if: isInstalled, "needs Debian's openvswitch-switch"), .timeLimit(.minutes(2)),
    arguments: OVSDBServerDifferentialTests.seeds)
  func randomTransactionsGiveTheSame(seed: UInt64) async throws {
    let directory = try TemporaryDirectory()
    let created = try await run(
      try #require(program("ovsdb-tool")), ["create", directory.path + "/db", Self.schemaPath])
    #expect(created.status == 0)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: try #require(program("ovsdb-server")))
    process.arguments = [
      directory.path + "/db", "--remote=punix:\(directory.path)/s", "--unixctl=\(directory.path)/ctl",
      "--log-file=/dev/null",
    ]
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    // A terminated one would take its time; and one that inherits a blocked SIGTERM would never go.
    defer { kill(process.processIdentifier, SIGKILL) }
    while !FileManager.default.fileExists(atPath: directory.path + "/s") {
      try await Task.sleep(for: .milliseconds(10))
    }
    let served = try await ServedDatabase()
    let ours = try await Peer(served.endpoint)
    let theirs = try await Peer(.unix(path: directory.path + "/s"))
    #expect(try await ours.monitor() == theirs.monitor())

    var transactions = RandomTransactions(seed: seed)
    let root = Operation.insert("Open_vSwitch", [:], uuid: RowUUID(generator: &transactions.generator))
    for number in 0..<400 {
      let operations = number == 0 ? [root] : transactions.next()
      let params = JSONValue.array(["Open_vSwitch"] + operations)
      let own = try await ours.client.call("transact", params)
      let other = try await theirs.client.call("transact", params)
      let text = JSONValue.array(operations).serialized()
      try #require(
        Self.comparable(own, operations) == Self.comparable(other, operations),
        "seed \(seed), transaction \(number): \(text)\n ours:   \(own)\n theirs: \(other)")
      let (ownUpdates, otherUpdates) = (ours.takeUpdates(), theirs.takeUpdates())
      try #require(
        ownUpdates == otherUpdates,
        "seed \(seed), transaction \(number): \(text)\n ours:   \(ownUpdates)\n theirs: \(otherUpdates)")
    }
    let (again, peerAgain) = (try await Peer(served.endpoint), try await Peer(.unix(path: directory.path + "/s")))
    #expect(try await again.monitor() == peerAgain.monitor())
    for peer in [ours, theirs, again, peerAgain] { await peer.client.close() }
    await served.server.close()
  }
}
