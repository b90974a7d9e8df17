// A pass that looks at what has changed must do what one would that looks at everything: random transactions, each step
// compared with the whole read anew.

import Logging
import Synchronization
import TestSupport
import Testing
import VSwitchCore

@testable import Datapath
@testable import OVSDB
@testable import vswitchd

@Suite(.blocking) struct IncrementalPassTests {
  private static let seeds = testSeeds(3)

  /// Random operations on bridges, ports and interfaces as clients send them.
  private struct Client {
    var random: SeededGenerator
    private var count = 0

    init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    private mutating func pick<T>(_ values: [T]) -> T { values[Int.random(in: 0..<values.count, using: &random)] }
    private mutating func chance(_ count: Int) -> Bool { Int.random(in: 0..<count, using: &random) == 0 }

    private mutating func insertPort(_ bridge: Row?, name: String? = nil) -> [JSONValue] {
      count += 1
      let name = name ?? "p\(Int.random(in: 0..<1000, using: &random))x\(count)"
      var row: [String: JSONValue] = ["name": .string(name), "type": .string(pick(["tap", "internal", "", "no"]))]
      if chance(6) { row["ofport_request"] = .integer(Int64.random(in: 1...9, using: &random)) }
      var operations: [JSONValue] = [
        ["op": "insert", "table": "Interface", "uuid-name": .string("i\(count)"), "row": .object(row)],
        [
          "op": "insert", "table": "Port", "uuid-name": .string("p\(count)"),
          "row": ["name": .string(name), "interfaces": ["named-uuid", .string("i\(count)")]],
        ],
      ]
      if let bridge {
        operations.append(
          Operation.mutate(
            "Bridge", where: Operation.isRow(bridge.uuid),
            [["ports", "insert", ["named-uuid", .string("p\(count)")]]]))
      }
      return operations
    }

    mutating func step(_ database: DatabaseSnapshot) -> [JSONValue] {
      let bridges = database.rows("Bridge")
      let ports = database.rows("Port")
      let interfaces = database.rows("Interface")
      // What several name does not stay so for long: until then all is read anew.
      for (index, bridge) in bridges.enumerated() where chance(2) {
        let others = bridges[..<index].flatMap { $0["ports"].uuids }
        let rivals = ports.filter { port in
          bridge["ports"].uuids.contains(port.uuid)
            && (others.contains(port.uuid)
              || ports.contains { $0.uuid < port.uuid && !$0["interfaces"].excludes(port["interfaces"]) })
        }
        if rivals.isEmpty { continue }
        return [
          Operation.mutate(
            "Bridge", where: Operation.isRow(bridge.uuid),
            [["ports", "delete", Datum.uuids(rivals.map(\.uuid)).json]])
        ]
      }
      switch Int.random(in: 0..<16, using: &random) {
      case 0 where bridges.count < 3, _ where bridges.isEmpty:
        let name = ["br0", "br1", "br2"].first { name in !bridges.contains { $0.name == name } } ?? "br0"
        var operations: [JSONValue] = []
        var row: [String: JSONValue] = ["name": .string(name)]
        if Bool.random(using: &random), !interfaces.contains(where: { $0.name == name }) {
          operations = insertPort(nil, name: name)
          row["ports"] = ["named-uuid", .string("p\(count)")]
        }
        operations.append(["op": "insert", "table": "Bridge", "uuid-name": "b", "row": .object(row)])
        operations.append(Operation.mutate("Open_vSwitch", where: [], [["bridges", "insert", ["named-uuid", "b"]]]))
        return operations
      case 1 where chance(4):
        return [
          Operation.mutate("Open_vSwitch", where: [], [["bridges", "delete", Atom.uuid(pick(bridges).uuid).json]])
        ]
      case 2:
        return [
          Operation.update(
            "Bridge", pick(bridges).uuid,
            [pick(["datapath_type", "fail_mode"]): .string(pick(["netdev", "secure", "standalone"]))])
        ]
      case 3...7 where ports.count < 12: return insertPort(pick(bridges))
      case 8 where !ports.isEmpty:
        let port = pick(ports)
        guard let bridge = bridges.first(where: { $0["ports"].uuids.contains(port.uuid) }) else { return [] }
        var operations = [
          Operation.mutate(
            "Bridge", where: Operation.isRow(bridge.uuid), [["ports", "delete", Atom.uuid(port.uuid).json]])
        ]
        // Perhaps to another bridge.
        if chance(3) {
          operations.append(
            Operation.mutate(
              "Bridge", where: Operation.isRow(pick(bridges).uuid), [["ports", "insert", Atom.uuid(port.uuid).json]]))
        }
        return operations
      case 9 where !ports.isEmpty && chance(6):
        // Two bridges, one port.
        return [
          Operation.mutate(
            "Bridge", where: Operation.isRow(pick(bridges).uuid),
            [["ports", "insert", Atom.uuid(pick(ports).uuid).json]])
        ]
      case 10 where !ports.isEmpty:
        let tag = pick([Datum.empty, .integer(5), .integer(4000)])
        return [Operation.update("Port", pick(ports).uuid, ["tag": tag, "trunks": pick([.empty, .integer(7)])])]
      case 11 where !ports.isEmpty && chance(2):
        let value = Datum.uuids([pick(interfaces).uuid, pick(interfaces).uuid])
        return [Operation.update("Port", pick(ports).uuid, ["interfaces": value])]
      case 12 where !interfaces.isEmpty:
        return [
          Operation.update(
            "Interface", pick(interfaces).uuid,
            [
              pick(["mac", "type"]): .string(pick(["02:00:00:00:00:01", "tap", "x"])),
              "mtu_request": pick([.empty, .integer(900)]),
              "ofport_request": pick([.empty, .integer(3), .integer(4)]),
            ])
        ]
      case 13 where !interfaces.isEmpty:
        // What is the switch's to write.
        return [
          Operation.update("Interface", pick(interfaces).uuid, ["mtu": .integer(7), "error": .string("nobody knows")])
        ]
      case 15 where !ports.isEmpty:
        let groups = pick([Datum.empty, .empty, .strings(["web"]), .strings(["web", "db"])])
        let hosts = pick([Datum.empty, .strings(["02:00:00:00:00:01 10.0.0.1"]), .strings(["nonsense"])])
        return [Operation.update("Port", pick(ports).uuid, ["secgroup": groups, "port_security": hosts])]
      case 14 where !ports.isEmpty: return step(database) + step(database)
      default: return [Operation.update("Interface", where: [], ["external_ids": ["map", [["a", "b"]]]])]
      }
    }
  }

  private func served() async throws -> DatabaseServer {
    let server = try await DatabaseServer(store: MemoryStore(), logger: Logger(label: "test"))
    _ = await server.transact([["op": "insert", "table": "Open_vSwitch", "row": [:]]])
    return server
  }

  @Test(arguments: seeds) func updatesGiveWhatReadingTheWholeGives(_ seed: UInt64) async throws {
    let server = try await served()
    var client = Client(seed: seed)
    let (first, mailbox) = await server.subscribe()
    var numbering = PortNumbering()
    var state = DesiredState(first, numbering: &numbering)
    var updateCount = 0
    for step in 0..<150 {
      for _ in 0..<Int.random(in: 1...2, using: &client.random) {
        _ = await server.transact(client.step(await server.snapshot()))
      }
      let database = await server.snapshot()
      var otherNumbering = numbering
      let fresh = DesiredState(database, numbering: &otherNumbering)
      let before = state.config
      if let changed = state.update(mailbox.take(), to: database, numbering: &numbering) {
        updateCount += 1
        #expect(Self.differing(before, state.config).isSubset(of: changed), "step \(step)")
      } else {
        numbering = otherNumbering
        state = fresh
      }
      try #require(numbering == otherNumbering, "step \(step)")
      try #require(Self.withoutMemory(state) == Self.withoutMemory(fresh), "step \(step)")
      try #require(state.config == fresh.config, "step \(step)")
      #expect(state.warnings == fresh.warnings)
      #expect(state.interfaces == fresh.interfaces)
    }
    #expect(updateCount > 30)
  }

  /// Without the number that a port was read with: it counts where the port has none yet.
  private static func withoutMemory(_ state: DesiredState) -> DesiredState {
    var state = state
    for (bridge, value) in state.bridges {
      for port in value.ports.keys { state.bridges[bridge]?.ports[port]?.wish?.previous = nil }
    }
    return state
  }

  private static func differing(_ a: SwitchConfig, _ b: SwitchConfig) -> Set<QualifiedPort> {
    func ports(_ config: SwitchConfig) -> [QualifiedPort: PortConfig] {
      Dictionary(
        config.bridges.flatMap { bridge in bridge.ports.map { (QualifiedPort(bridge.name, $0.name), $0) } },
        uniquingKeysWith: { $1 })
    }
    let (old, new) = (ports(a), ports(b))
    return Set(old.keys).union(new.keys).filter { old[$0] != new[$0] }
  }

  /// After every transaction of a client the datapath, the rows and what controllers are told are what a switch would make
  /// of the database that has just started.
  @Test(arguments: seeds) func passesBringAboutWhatAFirstPassWould(_ seed: UInt64) async throws {
    let server = try await served()
    var client = Client(seed: seed)
    let plane = FakePlane()
    let told = Mutex(PortStates())
    var generator = SeededGenerator(seed: 1)
    let system = SystemInformation(generator: &generator) { _ in nil }
    let reconciler = Reconciler(
      store: server, plane: plane, logger: Logger(label: "test"), system: system,
      onApplied: { _, news in told.withLock { _ = $0.take(news.changed, gone: news.gone) } })
    await reconciler.start()
    let running = Task { await reconciler.run() }
    defer { running.cancel() }
    let raise = Operation.mutate("Open_vSwitch", where: [], [["next_cfg", "+=", 1]])
    for step in 0..<50 {
      let failing = Int.random(in: 0..<4, using: &client.random) == 0
      let names = await server.snapshot().rows("Interface").map(\.name)
      let name = names.isEmpty ? "" : names[Int.random(in: 0..<names.count, using: &client.random)]
      plane.state.withLock { $0.failing = failing ? [name: ConfigError(cause: "a", remedy: "b")] : [:] }
      plane.eventSource.yield(.linkChanged(name: name))
      _ = await server.transact(client.step(await server.snapshot()) + [raise])
      _ = await server.transact([raise])
      var database = await server.snapshot()
      for _ in 0..<4000 {
        database = await server.snapshot()
        if database.only("Open_vSwitch")?["cur_cfg"] == database.only("Open_vSwitch")?["next_cfg"] { break }
        try await Task.sleep(for: .milliseconds(5))
      }
      let root = try #require(database.only("Open_vSwitch"))
      try #require(root["cur_cfg"] == root["next_cfg"], "step \(step)")
      var numbering = await reconciler.numbering
      let fresh = DesiredState(database, numbering: &numbering)
      let applied = plane.state.withLock { $0.config }
      try #require(Self.differing(applied, fresh.config).isEmpty, "step \(step)")
      // A port that has just failed or works again is told of when its link event has its turn.
      if failing { continue }
      var states = PortStates()
      _ = states.takeAll(plane.portStates())
      for _ in 0..<4000 where told.withLock({ $0.all }) != states.all { try await Task.sleep(for: .milliseconds(5)) }
      let all = told.withLock { $0.all }
      try #require(all == states.all, "step \(step)")
      let status = StatusUpdate(
        desired: fresh, database: await server.snapshot(), schemaVersion: "8.3.1",
        states: states.all, counters: nil, system: system, systemStatistics: nil)
      var settled = SettledInterfaces()
      #expect(status.operations(&settled).isEmpty, "step \(step)")
    }
    #expect(plane.state.withLock { $0.changeCounts.count } > 5)
  }

  /// What was found to be told already is told again as soon as row or port differ.
  @Test(arguments: seeds) func settledRowsAreThoseThatNeedNoUpdate(_ seed: UInt64) async throws {
    let server = try await served()
    var client = Client(seed: seed)
    var numbering = PortNumbering()
    var settled = SettledInterfaces()
    var states: [QualifiedPort: PortState] = [:]
    let system = SystemInformation(generator: &client.random) { _ in nil }
    for _ in 0..<60 {
      _ = await server.transact(client.step(await server.snapshot()))
      let database = await server.snapshot()
      let desired = DesiredState(database, numbering: &numbering)
      var counters: [(bridge: String, port: String, portNumber: UInt16, counters: PortCounters)] = []
      for bridge in desired.config.bridges {
        for port in bridge.ports {
          let place = QualifiedPort(bridge.name, port.name)
          var state = states[place] ?? PortState(bridge: bridge.name, name: port.name)
          state.portNumber = port.interface.portNumberRequest
          switch Int.random(in: 0..<20, using: &client.random) {
          case 0: state.mtu = Int.random(in: 1000...1003, using: &client.random)
          case 1: state.error = ConfigError(cause: "a", remedy: "b")
          case 2: state.error = nil
          case 3: state.status["driver_name"] = Bool.random(using: &client.random) ? "tun" : nil
          default: break
          }
          states[place] = state
          var values = PortCounters()
          values.receivedPackets = UInt64.random(in: 0...3, using: &client.random)
          counters.append((bridge.name, port.name, 1, values))
        }
      }
      let update = StatusUpdate(
        desired: desired, database: database, schemaVersion: "8.3.1", states: states,
        counters: Bool.random(using: &client.random) ? Counters(counters) : nil, system: system, systemStatistics: nil)
      var none = SettledInterfaces()
      let operations = update.operations(&settled)
      #expect(operations == update.operations(&none))
      // Sometimes the database takes them.
      if Bool.random(using: &client.random) { _ = await server.transact(operations) }
    }
  }
}
