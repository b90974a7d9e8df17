import Foundation
import Testing

@testable import OVSDB

@Suite(.timeLimit(.minutes(1))) struct DatabaseServerTests {
  @Test func failingStoreLeavesNothing() async throws {
    let served = try await ServedDatabase()
    let client = try await OVSDBClient(endpoint: served.endpoint)
    try await client.monitor(["QoS": nil])
    await served.store.setFailure(StoreError(cause: "the disk is full", remedy: "free space in /var/lib/vswitch"))
    let reply = try await client.transact([Operation.insert("QoS", ["type": "a"])])
    #expect(reply.error?.tag == "I/O error")
    #expect(reply.error?.details == "the disk is full: free space in /var/lib/vswitch")
    #expect(reply.results.count == 2)
    #expect(await client.snapshot().rows("QoS").isEmpty)
    #expect(await served.server.snapshot().rows("QoS").isEmpty)
    await served.store.setFailure(nil)
    #expect(try await client.transact([Operation.insert("QoS", ["type": "b"])]).error == nil)
    #expect(await client.snapshot().rows("QoS").map { $0["type"].string } == ["b"])
    await client.close()
    await served.server.close()
  }

  @Test func whatWasAnsweredIsThereAfterARestart() async throws {
    let served = try await ServedDatabase()
    for number in 0..<20 {
      let row: [String: JSONValue] = ["type": .string("t\(number)"), "other_config": ["map", [["k", "v"]]]]
      #expect(await served.server.transact([Operation.insert("QoS", row)]).error == nil)
    }
    await served.server.close()
    let rows = Array(await served.store.rows.values)
    let again = try await DatabaseServer(store: MemoryStore(rows: rows), logger: quiet)
    let (before, after) = (await served.server.snapshot().rows("QoS"), await again.snapshot().rows("QoS"))
    #expect(before.count == 20)
    #expect(zip(before, after).allSatisfy { $0.hasSameContent(as: $1) } && before.count == after.count)
  }

  @Test func statusIsNeverWrittenToTheStore() async throws {
    let served = try await ServedDatabase()
    _ = await served.server.transact([Operation.insert("Open_vSwitch", [:])])
    let count = await served.store.commitCount
    let root = try #require(await served.server.snapshot().only("Open_vSwitch"))
    let reply = await served.server.transact([
      Operation.update("Open_vSwitch", root.uuid, ["statistics": .map(["cpu": "2"])])
    ])
    #expect(reply.error == nil)
    #expect(await served.store.commitCount == count)
    #expect(await served.server.snapshot().only("Open_vSwitch")?["statistics"].map == ["cpu": "2"])
    await served.server.close()
  }

  @Test func waitEndsWithTheChangeItWaitsForOrItsTime() async throws {
    let served = try await ServedDatabase()
    let (waiter, writer) = (
      try await OVSDBClient(endpoint: served.endpoint), try await OVSDBClient(endpoint: served.endpoint)
    )
    let wait = Operation.wait("QoS", where: [], columns: ["type"], rows: [["type": "a"]], timeoutMilliseconds: 10_000)
    async let reply = waiter.transact([wait, Operation.select("QoS", columns: ["type"])])
    try await Task.sleep(for: .milliseconds(50))
    _ = try await writer.transact([Operation.insert("QoS", ["type": "a"])])
    #expect(try await reply.results == [[:], ["rows": [["type": "a"]]]])
    let late = Operation.wait("QoS", where: [], columns: ["type"], rows: [["type": "z"]], timeoutMilliseconds: 50)
    let result = try await waiter.transact([late])
    #expect(result.error?.tag == "timed out")
    await served.server.close()
  }

  @Test func waitingTransactionCanBeCanceled() async throws {
    let served = try await ServedDatabase()
    let client = try await JSONRPCClient.connect(to: served.endpoint)
    let wait = Operation.wait("QoS", where: [], columns: ["type"], rows: [["type": "a"]], timeoutMilliseconds: nil)
    async let reply = client.call("transact", ["Open_vSwitch", wait])
    try await Task.sleep(for: .milliseconds(100))
    client.notify("cancel", [1])
    do {
      _ = try await reply
      Issue.record("the transaction was answered")
    } catch JSONRPCError.remote(let error) {
      #expect(error == "canceled")
    }
    await client.close()
    await served.server.close()
  }

  @Test func lockGoesToTheNextInLine() async throws {
    let served = try await ServedDatabase()
    let (first, second) = (
      try await JSONRPCClient.connect(to: served.endpoint), try await JSONRPCClient.connect(to: served.endpoint)
    )
    #expect(try await first.call("lock", ["a"]) == ["locked": true])
    #expect(try await second.call("lock", ["a"]) == ["locked": false])
    let assertion = Operation.assert(lock: "a")
    #expect(try await second.call("transact", ["Open_vSwitch", assertion])[0]?["error"] == "not owner")
    #expect(try await first.call("transact", ["Open_vSwitch", assertion]) == [[:]])
    await first.close()
    var notified = false
    for await notification in second.notifications {
      #expect(notification.method == "locked" && notification.params == ["a"])
      notified = true
      break
    }
    #expect(notified)
    #expect(try await second.call("transact", ["Open_vSwitch", assertion]) == [[:]])
    // The daemon has this one; a second switch has to wait.
    #expect(try await second.call("lock", ["ovs_vswitchd"]) == ["locked": false])
    await served.server.close()
  }

  @Test func changesReachAReaderInTheProcessMerged() async throws {
    let served = try await ServedDatabase()
    let (snapshot, changes) = await served.server.changes()
    for number in 0..<50 {
      _ = await served.server.transact([Operation.insert("QoS", ["type": .string("\(number)")])])
    }
    var replica = snapshot
    for await change in changes {
      replica.apply(change)
      if replica.rows("QoS").count == 50 { break }
    }
    #expect(replica.rows("QoS").map(\.uuid) == (await served.server.snapshot().rows("QoS").map(\.uuid)))
    await served.server.close()
  }

  @Test(arguments: 300...305 as ClosedRange<UInt64>)
  func replicaOfAClientFollowsTheDatabase(seed: UInt64) async throws {
    let served = try await ServedDatabase()
    let client = try await OVSDBClient(endpoint: served.endpoint)
    var transactions = RandomTransactions(seed: seed)
    _ = await served.server.transact([Operation.insert("Open_vSwitch", [:])])
    for _ in 0..<20 { _ = await served.server.transact(transactions.next()) }
    try await client.monitor(served.server.snapshot().schema.tables.mapValues { _ in nil })
    for _ in 0..<100 { _ = try await client.transact(transactions.next()) }
    let (replica, snapshot) = (await client.snapshot(), await served.server.snapshot())
    #expect(DatabaseTests.contents(replica) == DatabaseTests.contents(snapshot))
    await client.close()
    await served.server.close()
  }

  /// While rows change all the time, a client that begins to monitor gets the rows before any change of them.
  @Test func noUpdateOvertakesTheRowsThatItIsAbout() async throws {
    let served = try await ServedDatabase()
    _ = await served.server.transact((0..<200).map { Operation.insert("QoS", ["type": .string("q\($0)")]) })
    let writer = Task {
      var number = 0
      while !Task.isCancelled {
        number += 1
        let notes: JSONValue = ["map", [["n", .string("\(number)")]]]
        _ = await served.server.transact([
          ["op": "update", "table": "QoS", "where": [["type", "==", "q7"]], "row": ["external_ids": notes]]
        ])
      }
    }
    defer { writer.cancel() }
    for _ in 0..<10 {
      let socket = try #require(RawSocket(served.path))
      let sent = await socket.send(
        """
        {"id":1,"method":"monitor_cond_since","params":["Open_vSwitch","m",\
        {"QoS":[{"columns":["type","external_ids"]}]},"00000000-0000-0000-0000-000000000000"]}
        """)
      #expect(sent)
      let text = await blocking { socket.readBlocking(20, until: "\"id\":1,") }
      #expect(text?.hasPrefix("{\"error\":null,\"id\":1,") == true, "\(text?.prefix(100) ?? "nothing")")
    }
    writer.cancel()
    await served.server.close()
  }

  @Test func clientWaitsForTheSwitch() async throws {
    let served = try await ServedDatabase()
    let fakeSwitch = await served.startSwitch()
    defer { fakeSwitch.cancel() }
    let client = try await OVSDBClient(endpoint: served.endpoint)
    try await client.monitor(["Open_vSwitch": ["cur_cfg", "next_cfg"]])
    _ = try await client.transact([Operation.insert("Open_vSwitch", ["next_cfg": 3])])
    let after = try await client.waitUntil(timeout: .seconds(5)) { $0.only("Open_vSwitch")?["cur_cfg"].integer == 3 }
    #expect(after.only("Open_vSwitch")?["next_cfg"].integer == 3)
    await #expect(throws: OVSDBError.self) { try await client.waitUntil(timeout: .milliseconds(20)) { _ in false } }
    await served.server.close()
    await #expect(throws: JSONRPCError.self) { try await client.waitUntil { _ in false } }
  }
}
