import Datapath
import Logging
import OVSDB
import Testing
import VSwitchCore

@testable import vswitchd

struct ReconcilerTests {
  private let plane = FakePlane()
  private let memory = MemoryStore()

  private func start() async throws -> (DatabaseServer, Reconciler) {
    let store = try await DatabaseServer(store: memory, logger: Logger(label: "test"))
    _ = await store.transact(MemoryStore.bridgeOperations("br0", ports: [("p1", "tap"), ("p2", "nosuch")]))
    let reconciler = Reconciler(store: store, plane: plane, logger: Logger(label: "test"))
    await reconciler.start()
    return (store, reconciler)
  }

  /// Waits for the database to satisfy the condition, at most 5 s.
  private func wait(_ store: DatabaseServer, _ condition: (DatabaseSnapshot) -> Bool) async throws -> Bool {
    for _ in 0..<500 {
      if condition(await store.snapshot()) { return true }
      try await Task.sleep(for: .milliseconds(10))
    }
    return false
  }

  private func bump(_ store: DatabaseServer) async {
    _ = await store.transact([
      ["op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]]
    ])
  }

  @Test func firstPassReportsEveryPortInOneTransaction() async throws {
    let (store, _) = try await start()
    let snapshot = await store.snapshot()
    #expect(snapshot.only("Open_vSwitch")?["cur_cfg"] == .integer(1))
    #expect(snapshot.named("p1", in: "Interface")?["ofport"] == .integer(1))
    #expect(snapshot.named("br0", in: "Interface")?["ofport"] == .integer(65534))
    #expect(snapshot.named("p2", in: "Interface")?["ofport"] == .integer(-1))
    #expect(snapshot.named("p2", in: "Interface")?["error"].string?.contains("unknown type") == true)
    #expect(snapshot.named("br0", in: "Bridge")?["datapath_id"] == .string("0000020000000001"))
    #expect(memory.committed.count == 2, "the client's and one of the switch")
  }

  @Test func passWithoutChangeMakesNoTransaction() async throws {
    let (store, reconciler) = try await start()
    let again = Reconciler(store: store, plane: plane, logger: Logger(label: "test"))
    await again.start()
    #expect(memory.committed.count == 2)
    _ = reconciler
  }

  @Test func curCfgFollowsAlsoWhenNothingChanged() async throws {
    let (store, reconciler) = try await start()
    let running = Task { await reconciler.run() }
    defer { running.cancel() }
    for number in 2...5 {
      await bump(store)
      #expect(try await wait(store) { $0.only("Open_vSwitch")?["cur_cfg"] == .integer(Int64(number)) })
    }
    #expect(plane.state.withLock { $0.applyCount } == 1)
  }

  @Test func linkEventRetriesAFailedPort() async throws {
    plane.state.withLock { $0.failing["p1"] = ConfigError(cause: "no device", remedy: "create it") }
    let (store, reconciler) = try await start()
    let running = Task { await reconciler.run() }
    defer { running.cancel() }
    #expect(await store.snapshot().named("p1", in: "Interface")?["error"] == .string("no device: create it"))
    plane.state.withLock { $0.failing = [:] }
    plane.eventSource.yield(.linkChanged(name: "p1"))
    #expect(try await wait(store) { $0.named("p1", in: "Interface")?["ofport"] == .integer(1) })
    #expect(await store.snapshot().named("p1", in: "Interface")?["error"] == .empty)
  }

  @Test func linksOfOthersCauseNothing() async throws {
    let (_, reconciler) = try await start()
    let running = Task { await reconciler.run() }
    defer { running.cancel() }
    for number in 0..<100 { plane.eventSource.yield(.linkChanged(name: "veth\(number)")) }
    try await Task.sleep(for: .milliseconds(100))
    #expect(plane.state.withLock { $0.applyCount } == 1)
  }

  @Test func portThatFailsAgainAndAgainIsNotTriedForever() async throws {
    plane.state.withLock { $0.failing["p1"] = ConfigError(cause: "no device", remedy: "create it") }
    let (_, reconciler) = try await start()
    let running = Task { await reconciler.run() }
    defer { running.cancel() }
    for _ in 0..<60 {
      plane.eventSource.yield(.linkChanged(name: "p1"))
      try await Task.sleep(for: .milliseconds(15))
    }
    let count = plane.state.withLock { $0.applyCount }
    #expect((2...11).contains(count), "\(count)")
  }

  @Test func statisticsAreNotMadeDurable() async throws {
    plane.state.withLock {
      var counters = PortCounters()
      counters.receivedPackets = 9
      $0.counters[QualifiedPort("br0", "p1")] = counters
    }
    let (store, _) = try await start()
    #expect(await store.snapshot().named("p1", in: "Interface")?["statistics"]["rx_packets"]?.integer == 9)
    for change in memory.committed.joined() {
      if case .put(let row) = change { #expect(!row.columns.contains("rx_packets")) }
    }
  }

  @Test func removedBridgeLeavesTheDatapath() async throws {
    let (store, reconciler) = try await start()
    let running = Task { await reconciler.run() }
    defer { running.cancel() }
    let reply = await store.transact([
      [
        "op": "update", "table": "Open_vSwitch", "where": [], "row": ["bridges": ["set", []]],
      ],
      ["op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]],
    ])
    #expect(reply.error == nil)
    #expect(try await wait(store) { $0.only("Open_vSwitch")?["cur_cfg"] == .integer(2) })
    #expect(plane.state.withLock { $0.config.bridges.isEmpty })
    #expect(await reconciler.bridgeNames.isEmpty)
  }
}
