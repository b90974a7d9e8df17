import Testing

@testable import OVSDB

@Suite(.timeLimit(.minutes(1))) struct TransactionHistoryTests {
  private static func since(_ client: JSONRPCClient, _ id: JSONValue, _ last: JSONValue) async throws -> JSONValue {
    try await client.call("monitor_cond_since", ["Open_vSwitch", id, ["QoS": [["columns": ["type"]]]], last])
  }

  @Test func clientThatComesBackGetsWhatItMissedAndNoMore() async throws {
    let served = try await ServedDatabase()
    func insert(_ type: String) async throws -> RowUUID {
      let reply = await served.server.transact([Operation.insert("QoS", ["type": .string(type)])])
      return try #require(reply.results[0]["uuid"]?[1]?.string.flatMap { RowUUID($0) })
    }
    let (first, second) = (try await insert("a"), try await insert("b"))
    let client = try await JSONRPCClient.connect(to: served.endpoint)
    let dump = try await Self.since(client, "m", .string(RowUUID.zero.description))
    #expect(dump[0] == false && dump[2]?["QoS"]?.object?.count == 2)
    let seen = try #require(dump[1])
    #expect(seen.string.flatMap { RowUUID($0) } != .zero)
    await client.close()

    let third = try await insert("c")
    _ = await served.server.transact([Operation.update("QoS", first, ["type": .string("A")])])
    _ = await served.server.transact([Operation.delete("QoS", where: Operation.isRow(second))])
    _ = await served.server.transact([Operation.insert("Queue", [:])])
    let again = try await JSONRPCClient.connect(to: served.endpoint)
    let missed = try await Self.since(again, "m", seen)
    #expect(missed[0] == true)
    #expect(
      missed[2] == [
        "QoS": .object([
          third.description: ["insert": ["type": "c"]], first.description: ["modify": ["type": "A"]],
          second.description: ["delete": nil],
        ])
      ])
    // Nothing has happened since then.
    #expect(try await Self.since(again, "n", try #require(missed[1])) == [true, try #require(missed[1]), [:]])
    // A name that nobody gave.
    let unknown = try await Self.since(again, "o", .string(RowUUID(high: 1, low: 2).description))
    #expect(unknown[0] == false && unknown[2]?["QoS"]?.object?.count == 2)

    _ = try await insert("d")
    _ = try await again.call("echo", [])
    var last: JSONValue?
    for await update in again.notifications {
      #expect(update.method == "update3")
      last = update.params[1]
      if update.params[0] == "o" { break }
    }
    #expect(try await Self.since(again, "p", try #require(last)) == [true, try #require(last), [:]])
    await again.close()
    await served.server.close()
  }

  @Test(arguments: 400...403 as ClosedRange<UInt64>)
  func whatItHoldsLeadsFromThenToNow(seed: UInt64) {
    var transactions = RandomTransactions(seed: seed)
    var database = Database(schema: .stockOpenVSwitch)
    var history = TransactionHistory(beginning: RowUUID(high: 9, low: 9), transactionLimit: 8, atomLimit: 3000)
    var moments: [(RowUUID, DatabaseSnapshot)] = [(history.lastID, database.snapshot)]
    _ = database.transact([Operation.insert("Open_vSwitch", [:], uuid: RowUUID(high: 1, low: 1))])
    history = TransactionHistory(beginning: history.lastID, transactionLimit: 8, atomLimit: 3000)
    moments = [(history.lastID, database.snapshot)]
    for _ in 0..<200 {
      let changes = database.transact(transactions.next()).changes
      if changes.isEmpty { continue }
      history.append(changes, id: RowUUID(generator: &transactions.generator))
      moments.append((history.lastID, database.snapshot))
    }
    var known = 0
    for (id, snapshot) in moments {
      guard let changes = history.changes(since: id) else { continue }
      known += 1
      var replayed = snapshot
      replayed.apply(changes)
      #expect(DatabaseTests.contents(replayed) == DatabaseTests.contents(database.snapshot), "seed \(seed)")
    }
    #expect((2...9).contains(known), "seed \(seed): \(known)")
    #expect(history.changes(since: .zero) == nil)
    #expect(history.changes(since: moments[0].0) == nil)
  }

  @Test func transactionLargerThanTheHistoryEmptiesIt() {
    var database = Database(schema: .stockOpenVSwitch)
    var history = TransactionHistory(beginning: RowUUID(high: 1, low: 1), atomLimit: 1000)
    let before = history.lastID
    let inserts = (0..<500).map { Operation.insert("QoS", ["type": .string("\($0)")]) }
    history.append(database.transact(inserts).changes, id: RowUUID(high: 2, low: 2))
    #expect(history.changes(since: before) == nil)
    #expect(history.changes(since: RowUUID(high: 2, low: 2))?.isEmpty == true)
  }
}
