import Testing

@testable import OVSDB

/// Random parameters to every method: each gets an answer, and the server lives. (A trap would end this process.)
@Suite(.timeLimit(.minutes(2))) struct MethodFuzzTests {
  static let methods = [
    "list_dbs", "get_schema", "transact", "cancel", "monitor", "monitor_cond", "monitor_cond_since",
    "monitor_cond_change", "monitor_cancel", "lock", "steal", "unlock", "set_db_change_aware", "get_server_id", "echo",
    "bogus",
  ]

  /// Values that look like parts of requests, put together at random.
  struct RandomJSON {
    var generator: SeededGenerator
    private static let words = [
      "Open_vSwitch", "_Server", "QoS", "Port", "Interface", "Bridge", "Database", "m", "", "a", "type", "name", "tag",
      "trunks", "other_config", "queues", "_uuid", "_version", "op", "insert", "select", "update", "mutate", "delete",
      "wait", "commit", "abort", "comment", "assert", "table", "where", "columns", "row", "rows", "until", "timeout",
      "mutations", "uuid", "uuid-name", "named-uuid", "durable", "lock", "set", "map", "==", "!=", "<", "<=",
      "includes",
      "excludes", "+=", "*=", "/=", "%=", "initial", "\u{1}", "é", "00000000-0000-0000-0000-000000000000",
      "next_cfg", "select_vlan", "mirrors",
    ]

    mutating func pick<T>(_ values: [T], _ other: T) -> T { values.randomElement(using: &generator) ?? other }
    mutating func word() -> String { pick(Self.words, "") }

    mutating func value(_ depth: Int) -> JSONValue {
      switch Int.random(in: 0..<(depth > 0 ? 12 : 7), using: &generator) {
      case 0: return nil
      case 1: return .boolean(Bool.random(using: &generator))
      case 2: return .integer(pick([0, 1, -1, 4095, 4096, .min, .max, 1 << 32], 0))
      case 3: return .real(pick([0.5, -1e300, 1e19, 1e-300], 0))
      case 4...6: return .string(word())
      case 7...9:
        return .array((0..<Int.random(in: 0...4, using: &generator)).map { _ in value(depth - 1) })
      default:
        var members: [String: JSONValue] = [:]
        for _ in 0..<Int.random(in: 0...4, using: &generator) { members[word()] = value(depth - 1) }
        return .object(members)
      }
    }

    mutating func object() -> JSONValue {
      var members = [word(): value(3)]
      members[word()] = value(3)
      return .object(members)
    }

    /// The members that an operation has, some of them at random.
    mutating func operation() -> JSONValue {
      let table = pick(["QoS", "Port", "Bridge", "Open_vSwitch", "Mirror", "nope"], "QoS")
      var members: [String: JSONValue] = [
        "op": .string(
          pick(["insert", "select", "update", "mutate", "delete", "wait", "commit", "comment", "assert"], "")),
        "table": .string(table), "where": [], "row": [:], "mutations": [], "rows": [], "until": "==", "timeout": 0,
        "columns": [], "comment": "", "lock": "a", "durable": true,
      ]
      let needed: [String: [String]] = [
        "insert": ["op", "table", "row"], "select": ["op", "table", "where"], "delete": ["op", "table", "where"],
        "update": ["op", "table", "where", "row"], "mutate": ["op", "table", "where", "mutations"],
        "wait": ["op", "table", "where", "rows", "until", "timeout"], "commit": ["op", "durable"],
        "comment": ["op", "comment"], "assert": ["op", "lock"],
      ]
      let names = needed[members["op"]?.string ?? ""] ?? []
      members = members.filter { names.contains($0.key) }
      if Bool.random(using: &generator) {
        members["where"] = [[.string(word()), .string(word()), value(3)]]
      }
      if Bool.random(using: &generator) { members["row"] = object() }
      if Bool.random(using: &generator) { members["mutations"] = [[.string(word()), .string(word()), value(3)]] }
      if Int.random(in: 0..<4, using: &generator) == 0 { members[word()] = value(3) }
      return .object(members)
    }

    mutating func params(_ method: String) -> JSONValue {
      switch Int.random(in: 0..<4, using: &generator) {
      case 0: return value(4)
      case 1: return .array((0..<Int.random(in: 0...4, using: &generator)).map { _ in value(4) })
      default:
        let database = JSONValue.string(pick(["Open_vSwitch", "Open_vSwitch", "_Server"], ""))
        switch method {
        case "transact":
          return .array([database] + (0..<Int.random(in: 1...4, using: &generator)).map { _ in operation() })
        case "monitor", "monitor_cond", "monitor_cond_since":
          let table = pick(["QoS", "Port", "Database", "Bridge"], "")
          let request = object()
          return [database, value(1), .object([table: Bool.random(using: &generator) ? request : [request]]), value(0)]
        case "monitor_cond_change": return [value(1), value(1), .object([word(): [.object(["where": value(3)])]])]
        default: return [value(1)]
        }
      }
    }
  }

  @Test(arguments: 500...503 as ClosedRange<UInt64>)
  func anyParametersGetAnAnswer(seed: UInt64) async throws {
    let served = try await ServedDatabase()
    _ = await served.server.transact([Operation.insert("Open_vSwitch", [:]), Operation.insert("QoS", ["type": "a"])])
    let client = try await JSONRPCClient.connect(to: served.endpoint) { _ in }
    var random = RandomJSON(generator: SeededGenerator(seed: seed))
    var results = 0
    for _ in 0..<150 {
      for method in Self.methods {
        let params = random.params(method)
        do {
          // A wait may wait: it is not for its answer that we are here.
          let call = Task { try await client.call(method, params) }
          let timer = Task {
            try await Task.sleep(for: .seconds(1))
            call.cancel()
          }
          defer { timer.cancel() }
          _ = try await call.value
          results += 1
        } catch is CancellationError {
        } catch JSONRPCError.remote {
        }
      }
    }
    #expect(results > 150, "seed \(seed)")
    #expect(try await client.call("echo", [1]) == [1], "seed \(seed)")
    #expect(DatabaseTests.faults(await served.server.snapshot()).isEmpty, "seed \(seed)")
    await client.close()
    await served.server.close()
  }

  @Test(arguments: 510...511 as ClosedRange<UInt64>)
  func anyRowsOfAStoreLoadOrAreRefused(seed: UInt64) async throws {
    var random = RandomJSON(generator: SeededGenerator(seed: seed))
    var loaded = 0
    for _ in 0..<200 {
      let columns = random.object()
      let row = PersistedRow(
        table: random.pick(["QoS", "Port", "nope"], ""), uuid: RowUUID(generator: &random.generator),
        columns: columns.serialized())
      if (try? await DatabaseServer(store: MemoryStore(rows: [row]), logger: quiet)) != nil { loaded += 1 }
    }
    #expect(loaded > 0)
  }
}
