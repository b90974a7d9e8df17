import Synchronization
import TestSupport
import Testing

@testable import OVSDB
@testable import Transport

/// Every method with right and wrong parameters, to our server and to Open vSwitch's: the answers are equal.
@Suite(.timeLimit(.minutes(1))) struct MethodTests {
  static let zero = JSONValue.string(RowUUID.zero.description)

  /// On one connection, in this order. Not among them: `monitor` with the database alone, and a change of
  /// conditions without "where": these kill ovsdb-server 3.1.
  static let requests: [(String, JSONValue)] =
    [
      ("list_dbs", []), ("list_dbs", [1]), ("bogus", []), ("Transact", []), ("", []), ("echo", [1, ["a": 2]]),
      ("get_schema", []), ("get_schema", [1]), ("get_schema", ["nope"]), ("get_schema", ["Open_vSwitch", 1]),
      ("get_schema", ["_Server"]),
      ("set_db_change_aware", [true]), ("set_db_change_aware", []), ("set_db_change_aware", [1]),
      ("set_db_change_aware", [true, false]), ("cancel", []), ("cancel", [5]),
    ] + transactions + locks + monitors + conditionalMonitors

  static func transact(_ operations: JSONValue...) -> (String, JSONValue) {
    ("transact", .array(["Open_vSwitch"] + operations))
  }

  static func wait(_ members: [String: JSONValue]) -> (String, JSONValue) {
    let standard: [String: JSONValue] = [
      "op": "wait", "table": "QoS", "where": [], "columns": ["type"], "until": "==", "rows": [["type": "z"]],
      "timeout": 0,
    ]
    return transact(.object(standard.merging(members) { $1 }))
  }

  static let transactions: [(String, JSONValue)] = [
    ("transact", []), ("transact", [1]), ("transact", ["nope"]), ("transact", ["Open_vSwitch"]),
    transact(1), transact([:]), transact(["op": 1]), transact(["op": "nope"]),
    transact(["op": "select", "table": "QoS"]), transact(["op": "select", "table": "nope", "where": []]),
    transact(["op": "select", "table": "QoS", "where": [], "columns": ["nope"]]),
    transact(["op": "select", "table": "QoS", "where": [], "nope": 1]),
    transact(["op": "select", "table": "QoS", "where": [["type", "==", 1]]]),
    transact(["op": "commit", "durable": true]), transact(["op": "commit", "durable": 1]),
    transact(["op": "commit"]), transact(["op": "abort"]), transact(["op": "abort", "why": 1]),
    transact(["op": "comment", "comment": "x"]), transact(["op": "comment"]),
    transact(["op": "assert", "lock": "x"]), transact(["op": "assert", "lock": "1x"]),
    transact(["op": "comment", "comment": "x"], ["op": "abort"], ["op": "comment", "comment": "y"]),
    transact(["op": "insert", "table": "QoS", "row": ["type": "a"], "uuid-name": "1"]),
    transact(["op": "insert", "table": "QoS", "row": ["type": "a"], "uuid": "1"]),
    transact(["op": "insert", "table": "QoS", "row": ["type": ["named-uuid", "a"]]]),
    transact(["op": "insert", "table": "Port", "row": ["tag": 4096]]),
    transact(["op": "insert", "table": "Port", "row": ["vlan_mode": "nope"]]),
    transact(["op": "insert", "table": "Port", "row": ["interfaces": ["set", []]]]),
    transact(["op": "insert", "table": "QoS", "row": ["other_config": ["map", [["a", "b"], ["a", "c"]]]]]),
    wait([:]), wait(["timeout": 20]), wait(["timeout": -1]), wait(["timeout": 1.5]), wait(["until": "<"]),
    wait(["rows": [["nope": 1]]]), wait(["rows": [1]]), wait(["rows": []]), wait(["columns": []]),
    ("transact", ["_Server", ["op": "comment", "comment": "x"], ["op": "delete", "table": "Database", "where": []]]),
    (
      "transact",
      [
        "_Server",
        [
          "op": "select", "table": "Database", "where": [["name", "==", "Open_vSwitch"]],
          "columns": ["name", "model", "connected", "leader", "cid", "sid", "index"],
        ],
      ]
    ),
  ]

  static let locks: [(String, JSONValue)] = [
    ("lock", []), ("lock", ["a"]), ("lock", ["a"]), ("lock", ["1"]), ("lock", ["a", "b"]), ("lock", [1]),
    ("steal", ["a"]), transact(["op": "assert", "lock": "a"]), ("unlock", ["a"]), ("unlock", ["a"]),
    ("steal", ["b"]), ("lock", ["b"]), ("unlock", ["b"]),
  ]

  static func monitor(_ id: JSONValue, _ requests: JSONValue) -> (String, JSONValue) {
    ("monitor", ["Open_vSwitch", id, requests])
  }

  static let monitors: [(String, JSONValue)] = [
    monitor("m1", [:]), monitor("m1", [:]), monitor("m2", []), monitor("m2", ["nope": [:]]),
    monitor("m2", ["QoS": 1]), monitor("m2", ["QoS": ["columns": ["nope"]]]),
    monitor("m2", ["QoS": ["columns": ["type", "type"]]]),
    monitor("m2", ["QoS": [["columns": ["type"]], ["columns": ["type"]]]]), monitor("m2", ["QoS": ["columns": 1]]),
    monitor("m2", ["QoS": ["select": 1]]), monitor("m2", ["QoS": ["select": ["initial": 1]]]),
    monitor("m2", ["QoS": ["select": ["nope": true]]]), monitor("m2", ["QoS": ["where": []]]),
    monitor("m2", ["QoS": ["nope": []]]), monitor("m2", ["QoS": []]), monitor(nil, ["QoS": []]),
    ("monitor_cancel", []), ("monitor_cancel", ["nope"]), ("monitor_cancel", ["m1"]), ("monitor_cancel", ["m1"]),
    ("monitor_cancel", ["m2", 1]), ("monitor_cancel", ["m2"]),
  ]

  static func conditional(_ id: JSONValue, _ filter: JSONValue) -> (String, JSONValue) {
    ("monitor_cond", ["Open_vSwitch", id, ["QoS": [["where": filter]]]])
  }

  static func since(_ rest: JSONValue...) -> (String, JSONValue) {
    ("monitor_cond_since", .array(["Open_vSwitch"] + rest))
  }

  static func change(_ params: JSONValue...) -> (String, JSONValue) { ("monitor_cond_change", .array(params)) }

  static let conditionalMonitors: [(String, JSONValue)] = [
    conditional("c1", [["type", "==", "a"]]), conditional("c1", []), conditional("c2", 1),
    conditional("c2", [["nope", "==", 1]]), conditional("c2", [["type", "<", "a"]]), conditional("c2", true),
    conditional("c3", [true]), conditional("c4", [false]), conditional("c5", [["type", "==", "a"], true]),
    conditional("c6", [["type", "~~", "a"]]),
    since("s1", ["QoS": [[:]]]), since("s2", ["QoS": [[:]]], "nope"), since("s3", ["QoS": [[:]]], 1),
    change(), change("nope", "x", [:]), change("c1", "c1b", [:]),
    change("c1b", "c1b", ["QoS": [["where": [["type", "==", "b"]]]]]), change("c1b", "c3", [:]),
    change("c1b", "c9", ["nope": []]), change("c1b", "c1b", ["QoS": [["where": 1]]]),
    change("c1b", "c1b", ["QoS": 1]), change("c1b", "c1b", ["QoS": [["nope": 1]]]),
    change("c1b", "c1b", ["QoS": [["columns": ["type"]]]]), change("c1b", "c1b", []),
    change("c1b", "c1b", ["Port": [["where": []]]]),
    ("monitor_cancel", ["c1b"]),
  ]

  private static func answer(_ client: JSONRPCClient, _ method: String, _ params: JSONValue) async throws -> JSONValue {
    do {
      return ["result": try await client.call(method, params)]
    } catch JSONRPCError.remote(let error) {
      return ["error": error]
    }
  }

  /// Waits are over after 20 ms on an idle machine, and somewhat later on a busy one. Of the schema what both have: ours has tables
  /// and columns of this switch besides, and so another checksum.
  private static func comparable(_ answer: JSONValue) -> JSONValue {
    if answer["result"]?["name"] == "Open_vSwitch", let tables = answer["result"]?["tables"]?.object {
      var stock: [String: JSONValue] = [:]
      for (name, table) in tables {
        guard let known = DatabaseSchema.stockOpenVSwitch.table(name), var members = table.object else { continue }
        members["columns"] = members["columns"]?.object.map { columns in
          .object(columns.filter { known.column($0.key) != nil })
        }
        stock[name] = .object(members)
      }
      return ["tables": .object(stock), "version": answer["result"]?["version"] ?? .null]
    }
    guard let details = answer["result"]?[0]?["details"]?.string, details.hasPrefix("\"wait\" timed out after") else {
      return answer
    }
    return "timed out"
  }

  @Test(.enabled(if: ReferenceServer.isInstalled, "needs Debian's openvswitch-switch"))
  func methodsAnswerAsThoseOfOvsdbServer() async throws {
    let reference = try await ReferenceServer()
    let served = try await ServedDatabase()
    let ours = try await JSONRPCClient.connect(to: served.endpoint)
    let theirs = try await JSONRPCClient.connect(to: reference.endpoint)
    for (method, params) in Self.requests {
      let own = Self.comparable(try await Self.answer(ours, method, params))
      let other = Self.comparable(try await Self.answer(theirs, method, params))
      #expect(own == other, "\(method) \(params)\n ours:   \(own)\n theirs: \(other)")
    }
    #expect(try await ours.call("get_server_id", []).string.flatMap { RowUUID($0) } != nil)
    await ours.close()
    await theirs.close()
    await served.server.close()
  }

  /// Three clients of one server, and what each is told meanwhile.
  private final class Clients: Sendable {
    private let told = Mutex<[String]>([])
    private let clients: Mutex<[JSONRPCClient]> = Mutex([])

    init(_ endpoint: Endpoint) async throws {
      for number in 0..<3 {
        let client = try await JSONRPCClient.connect(to: endpoint) { [weak self] notification in
          self?.told.withLock { $0.append("\(number): \(notification.method) \(notification.params)") }
        }
        clients.withLock { $0.append(client) }
      }
    }

    func step(_ number: Int, _ method: String, _ lock: String) async throws -> [String] {
      let all = clients.withLock { $0 }
      let answer = try await MethodTests.answer(all[number], method, [.string(lock)])
      // What a client was told before this is read before the answer.
      for client in all { _ = try await client.call("echo", []) }
      return ["\(answer)"]
        + told.withLock { told in
          defer { told = [] }
          return told.sorted()
        }
    }

    func close() async { for client in clients.withLock({ $0 }) { await client.close() } }
  }

  @Test(.enabled(if: ReferenceServer.isInstalled, "needs Debian's openvswitch-switch"), arguments: testSeeds(3))
  func locksPassFromClientToClientAsWithOvsdbServer(_ seed: UInt64) async throws {
    let reference = try await ReferenceServer()
    let served = try await ServedDatabase()
    let ours = try await Clients(served.endpoint)
    let theirs = try await Clients(reference.endpoint)
    var random = SeededGenerator(seed: seed)
    var steps: [String] = []
    for _ in 0..<300 {
      let number = Int.random(in: 0..<3, using: &random)
      let method = ["lock", "steal", "unlock"].randomElement(using: &random) ?? "lock"
      let lock = ["a", "b"].randomElement(using: &random) ?? "a"
      steps.append("\(number) \(method) \(lock)")
      let own = try await ours.step(number, method, lock)
      let other = try await theirs.step(number, method, lock)
      #expect(own == other, "after \(steps.suffix(12))")
      if own != other { break }
    }
    await ours.close()
    await theirs.close()
    await served.server.close()
  }

  @Test func monitorWithoutRequestsIsAnErrorAndNoCrash() async throws {
    let served = try await ServedDatabase()
    let client = try await JSONRPCClient.connect(to: served.endpoint)
    for method in ["monitor", "monitor_cond", "monitor_cond_since"] {
      await #expect(throws: JSONRPCError.self) { try await client.call(method, ["Open_vSwitch"]) }
    }
    #expect(try await client.call("echo", [1]) == [1])
    await client.close()
    await served.server.close()
  }
}
