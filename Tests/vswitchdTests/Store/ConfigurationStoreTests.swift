import OVSDB
import TestSupport
import Testing

@testable import vswitchd

/// What everything above a store relies on, the same for both kinds.
@Suite(.blocking) struct ConfigurationStoreTests {
  @Test(arguments: StoreKind.available)
  func aTransactionsChangesAreThereWhenItReturns(_ kind: StoreKind) async throws {
    let store = try await StoreFixture(kind)
    let reply = await store.transact(MemoryStore.bridgeOperations("br0", ports: [("p1", "tap")]))
    #expect(reply.error == nil)
    #expect(reply.results.count == 6)
    let snapshot = await store.snapshot()
    #expect(snapshot.named("p1", in: "Port") != nil)
    #expect(snapshot.named("p1", in: "Interface")?["type"] == .string("tap"))
    #expect(snapshot.only("Open_vSwitch")?["next_cfg"] == .integer(1))
    #expect(snapshot.schema.version == "8.3.1")
    #expect(await store.usage().rows == 6)
    await store.close()
  }

  @Test(arguments: StoreKind.available)
  func aFailedTransactionLeavesNothing(_ kind: StoreKind) async throws {
    let store = try await StoreFixture(kind)
    let reply = await store.transact([
      Operation.insert("QoS", ["type": "a"]), Operation.insert("Bridge", ["fail_mode": "nonsense"]),
      Operation.insert("QoS", ["type": "b"]),
    ])
    #expect(reply.error?.tag == "constraint violation")
    try #require(reply.results.count == 3)
    #expect(reply.results[0]["uuid"] != nil)
    #expect(reply.results[2] == .null)
    #expect(await store.snapshot().rows("QoS").isEmpty)
    await store.close()
  }

  @Test(arguments: StoreKind.available)
  func aReaderSeesEveryChangeOnce(_ kind: StoreKind) async throws {
    let store = try await StoreFixture(kind)
    let (first, mailbox) = await store.subscribe()
    for number in 0..<30 {
      let reply = await store.transact([Operation.insert("QoS", ["type": .string("q\(number)")])])
      #expect(reply.error == nil)
    }
    _ = await store.transact([Operation.delete("QoS", where: [["type", "==", "q0"]])])
    _ = await store.transact([Operation.insert("QoS", ["type": "end"])])
    var replica = first
    for await _ in mailbox.signals {
      replica.apply(mailbox.take())
      if replica.rows("QoS").contains(where: { $0["type"].string == "end" }) { break }
    }
    #expect(replica.rows("QoS").map(\.uuid) == (await store.snapshot().rows("QoS").map(\.uuid)))
    #expect(replica.rows("QoS").count == 30)
    await store.close()
  }

  @Test(arguments: StoreKind.available)
  func aStoreIsReadyAndOurs(_ kind: StoreKind) async throws {
    let store = try await StoreFixture(kind)
    #expect(await store.access == .ready)
    await store.close()
  }
}
