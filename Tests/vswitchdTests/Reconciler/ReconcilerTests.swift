import Datapath
import Logging
import OVSDB
import TestSupport
import Testing
import VSwitchCore

@testable import vswitchd

/// On the embedded database and on a real ovsdb-server alike.
@Suite(.blocking) struct ReconcilerTests {
  private let plane = FakePlane()

  private func reconciler(
    _ store: any ConfigurationStore, _ coverage: Coverage = Coverage(), linkPause: Duration = .milliseconds(100)
  ) -> Reconciler {
    var generator = SeededGenerator(seed: 1)
    let system = SystemInformation(generator: &generator) { path in
      path == "/etc/os-release" ? "NAME=\"x y\"\nID=debian\nVERSION_ID=\"12\"\n" : nil
    }
    return Reconciler(
      store: store, plane: plane, logger: Logger(label: "test"), system: system, coverage: coverage,
      linkPause: linkPause)
  }

  private func start(_ kind: StoreKind) async throws -> (StoreFixture, Reconciler) {
    let store = try await StoreFixture(kind)
    _ = await store.transact(MemoryStore.bridgeOperations("br0", ports: [("p1", "tap"), ("p2", "nosuch")]))
    let reconciler = reconciler(store)
    await reconciler.start()
    return (store, reconciler)
  }

  @Test(arguments: StoreKind.available)
  func firstPassReportsEveryPortInOneTransaction(_ kind: StoreKind) async throws {
    let (store, _) = try await start(kind)
    let snapshot = await store.snapshot()
    let root = try #require(snapshot.only("Open_vSwitch"))
    #expect(root["cur_cfg"] == .integer(1))
    #expect(root["ovs_version"] == .string(Version.openVSwitch))
    #expect(root["db_version"] == .string("8.3.1"))
    #expect(root["system_type"] == .string("debian"))
    #expect(root["system_version"] == .string("12"))
    #expect(root["datapath_types"] == .strings(["netdev", "system"]))
    #expect(root["iface_types"].strings.contains("patch"))
    #expect(root["dpdk_initialized"] == .boolean(false))
    #expect(root["statistics"].isEmpty, "nobody asked for them")
    #expect(root["external_ids"].map["system-id"]?.count == 36)
    #expect(snapshot.named("p1", in: "Interface")?["ofport"] == .integer(1))
    #expect(snapshot.named("br0", in: "Interface")?["ofport"] == .integer(65534))
    #expect(snapshot.named("p2", in: "Interface")?["ofport"] == .integer(-1))
    #expect(snapshot.named("p2", in: "Interface")?["error"].string?.contains("unknown type") == true)
    #expect(snapshot.named("br0", in: "Bridge")?["datapath_id"] == .string("0000020000000001"))
    #expect(store.transactionCount == 2, "the client's and one of the switch")
    await store.close()
  }

  @Test(arguments: StoreKind.available)
  func passWithoutChangeMakesNoTransaction(_ kind: StoreKind) async throws {
    let (store, first) = try await start(kind)
    let again = reconciler(store)
    await again.start()
    #expect(store.transactionCount == 2)
    withExtendedLifetime(first) {}
    await store.close()
  }

  @Test(arguments: StoreKind.available)
  func curCfgFollowsAlsoWhenNothingChanged(_ kind: StoreKind) async throws {
    let (store, reconciler) = try await start(kind)
    let running = Task { await reconciler.run() }
    defer { running.cancel() }
    for number in 2...5 {
      await store.raiseNextConfig()
      #expect(try await store.wait { $0.only("Open_vSwitch")?["cur_cfg"] == .integer(Int64(number)) })
    }
    #expect(plane.state.withLock { $0.applyCount } == 1)
    await store.close()
  }

  @Test(arguments: StoreKind.available)
  func aDatabaseWithoutARootRowIsWaitedFor(_ kind: StoreKind) async throws {
    let store = try await StoreFixture(kind)
    let reconciler = reconciler(store)
    await reconciler.start()
    let running = Task { await reconciler.run() }
    defer { running.cancel() }
    #expect(store.transactionCount == 0)
    _ = await store.transact(MemoryStore.bridgeOperations("br0", ports: [("p1", "tap")]))
    #expect(try await store.wait { $0.only("Open_vSwitch")?["cur_cfg"] == .integer(1) })
    #expect(await store.snapshot().named("p1", in: "Interface")?["ofport"] == .integer(1))
    await store.close()
  }

  @Test(arguments: StoreKind.available)
  func systemIDThatIsThereStaysAndOthersNotesToo(_ kind: StoreKind) async throws {
    let store = try await StoreFixture(kind)
    _ = await store.transact([
      Operation.insert("Open_vSwitch", ["external_ids": ["map", [["system-id", "mine"], ["ovn-remote", "x"]]]])
    ])
    let reconciler = reconciler(store)
    await reconciler.start()
    #expect(
      await store.snapshot().only("Open_vSwitch")?["external_ids"].map == ["system-id": "mine", "ovn-remote": "x"])
    await store.close()
  }

  @Test(arguments: StoreKind.available)
  func systemStatisticsComeAndGoWithTheWish(_ kind: StoreKind) async throws {
    let (store, reconciler) = try await start(kind)
    let running = Task { await reconciler.run() }
    defer { running.cancel() }
    func wish(_ value: String) async {
      let setting: JSONValue = ["map", [["enable-statistics", .string(value)]]]
      _ = await store.transact([Operation.update("Open_vSwitch", where: [], ["other_config": setting])])
    }
    await wish("true")
    #expect(try await store.wait { $0.only("Open_vSwitch")?["statistics"].isEmpty == false })
    let keys = await store.snapshot().only("Open_vSwitch")?["statistics"].map.keys.sorted() ?? []
    #expect(keys.filter { $0 != "file_systems" } == ["cpu", "load_average", "memory", "process_vswitchd"])
    await wish("false")
    #expect(try await store.wait { $0.only("Open_vSwitch")?["statistics"].isEmpty == true })
    await store.close()
  }

  /// What changes while the server is away is written when it is back, and the datapath stays as it was meanwhile.
  @Test(.enabled(if: OVSDBServerProcess.isInstalled, "needs Debian's openvswitch-switch"))
  func aServerThatGoesAwayDisturbsNothing() async throws {
    let (store, reconciler) = try await start(.ovsdbServer)
    let running = Task { await reconciler.run() }
    defer { running.cancel() }
    store.loseServer()
    for _ in 0..<12_000 where await store.access.isReady { try await Task.sleep(for: .milliseconds(5)) }
    plane.state.withLock { $0.failing["p1"] = ConfigError(cause: "no device", remedy: "create it") }
    plane.eventSource.yield(.linkChanged(name: "p1"))
    try await Task.sleep(for: .milliseconds(200))
    #expect(plane.state.withLock { $0.config.bridges.count } == 1)
    try store.restartServer()
    #expect(try await store.wait { $0.named("p1", in: "Interface")?["error"].string == "no device: create it" })
    await store.raiseNextConfig()
    #expect(try await store.wait { $0.only("Open_vSwitch")?["cur_cfg"] == .integer(2) })
    await store.close()
  }

  @Test(arguments: StoreKind.available)
  func linkEventRetriesAFailedPort(_ kind: StoreKind) async throws {
    plane.state.withLock { $0.failing["p1"] = ConfigError(cause: "no device", remedy: "create it") }
    let (store, reconciler) = try await start(kind)
    let running = Task { await reconciler.run() }
    defer { running.cancel() }
    #expect(await store.snapshot().named("p1", in: "Interface")?["error"] == .string("no device: create it"))
    plane.state.withLock { $0.failing = [:] }
    plane.eventSource.yield(.linkChanged(name: "p1"))
    #expect(try await store.wait { $0.named("p1", in: "Interface")?["ofport"] == .integer(1) })
    #expect(await store.snapshot().named("p1", in: "Interface")?["error"] == .empty)
  }

  @Test func aChangeOfTheDatabaseWaitsForNoLink() async throws {
    let store = try await StoreFixture(.embedded)
    _ = await store.transact(MemoryStore.bridgeOperations("br0", ports: [("p1", "tap")]))
    let reconciler = reconciler(store, linkPause: .seconds(3600))
    await reconciler.start()
    let running = Task { await reconciler.run() }
    defer { running.cancel() }
    for number in 2...10 {
      // The first of them may be reported at once; what the others wait for is an hour away.
      plane.eventSource.yield(.linkChanged(name: "p1"))
      try await Task.sleep(for: .milliseconds(20))
      await store.raiseNextConfig()
      #expect(try await store.wait { $0.only("Open_vSwitch")?["cur_cfg"] == .integer(Int64(number)) })
    }
  }

  /// The state of one port of many is written without a look at the others.
  @Test(arguments: StoreKind.available)
  func aLinkEventIsWrittenBack(_ kind: StoreKind) async throws {
    let (store, reconciler) = try await start(kind)
    let running = Task { await reconciler.run() }
    defer { running.cancel() }
    for number in 1...3 {
      let address = MACAddress(bits: 0x0200_0000_0010 + UInt64(number))
      plane.state.withLock { $0.hardwareAddress = address }
      plane.eventSource.yield(.linkChanged(name: "br0"))
      #expect(
        try await store.wait {
          $0.named("br0", in: "Interface")?["mac_in_use"] == .string(address.description)
            && $0.named("br0", in: "Bridge")?["datapath_id"] == .string("00000200000000" + "1\(number)")
        })
    }
    // One that comes together with news of the store is told to the datapath, of that port alone.
    #expect(plane.state.withLock { $0.applyCount - $0.changeCounts.count } == 1)
    #expect(plane.state.withLock { $0.changeCounts.allSatisfy { $0 == 1 } })
  }

  @Test func linksOfOthersCauseNothing() async throws {
    let (_, reconciler) = try await start(.embedded)
    let running = Task { await reconciler.run() }
    defer { running.cancel() }
    for number in 0..<100 { plane.eventSource.yield(.linkChanged(name: "veth\(number)")) }
    try await Task.sleep(for: .milliseconds(100))
    #expect(plane.state.withLock { $0.applyCount } == 1)
  }

  @Test func portThatFailsAgainAndAgainIsNotTriedForever() async throws {
    plane.state.withLock { $0.failing["p1"] = ConfigError(cause: "no device", remedy: "create it") }
    let (_, reconciler) = try await start(.embedded)
    let running = Task { await reconciler.run() }
    defer { running.cancel() }
    let started = ContinuousClock.now
    for _ in 0..<12_000 where plane.state.withLock({ $0.applyCount }) < 2 {
      plane.eventSource.yield(.linkChanged(name: "p1"))
      try await Task.sleep(for: .milliseconds(10))
    }
    for _ in 0..<60 {
      plane.eventSource.yield(.linkChanged(name: "p1"))
      try await Task.sleep(for: .milliseconds(15))
    }
    let count = plane.state.withLock { $0.applyCount }
    // The limit holds for a statistics period of 5 s; a busy machine may need more than one.
    let periods = Int((ContinuousClock.now - started).components.seconds / 5) + 1
    #expect((2...1 + 11 * periods).contains(count), "\(count)")
  }

  @Test func statisticsAreNotMadeDurable() async throws {
    plane.state.withLock {
      var counters = PortCounters()
      counters.receivedPackets = 9
      $0.counters[QualifiedPort("br0", "p1")] = counters
    }
    let memory = MemoryStore()
    let store = try await DatabaseServer(store: memory, logger: Logger(label: "test"))
    _ = await store.transact(MemoryStore.bridgeOperations("br0", ports: [("p1", "tap"), ("p2", "nosuch")]))
    let reconciler = reconciler(store)
    await reconciler.start()
    #expect(await store.snapshot().named("p1", in: "Interface")?["statistics"]["rx_packets"]?.integer == 9)
    for change in memory.committed.joined() {
      if case .put(let row) = change { #expect(!row.columns.contains("rx_packets")) }
    }
  }

  @Test(arguments: StoreKind.available)
  func removedBridgeLeavesTheDatapath(_ kind: StoreKind) async throws {
    let (store, reconciler) = try await start(kind)
    let running = Task { await reconciler.run() }
    defer { running.cancel() }
    let reply = await store.transact([
      [
        "op": "update", "table": "Open_vSwitch", "where": [], "row": ["bridges": ["set", []]],
      ],
      ["op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]],
    ])
    #expect(reply.error == nil)
    #expect(try await store.wait { $0.only("Open_vSwitch")?["cur_cfg"] == .integer(2) })
    #expect(plane.state.withLock { $0.config.bridges.isEmpty })
    #expect(await reconciler.bridgeNames.isEmpty)
  }
}
