import Logging
import OVSDB
import Testing
import VSwitchCore

@testable import Datapath
@testable import vswitchd

struct ControlCommandTests {
  private let plane = FakePlane()

  /// A table of all commands over a bridge br0 that exists.
  private func table() async throws -> ControlCommandTable {
    let directory = try TemporaryDirectory()
    let store = try await DatabaseServer(store: MemoryStore(), logger: Logger(label: "test"))
    _ = await store.transact(MemoryStore.bridgeOperations("br0", ports: [("p1", "tap")]))
    let reconciler = Reconciler(store: store, plane: plane, logger: Logger(label: "test"))
    await reconciler.start()
    let commands = ControlCommands(
      plane: plane, reconciler: reconciler, sink: try LogSink(path: directory.path + "/log", level: .info),
      lock: try RunDirectoryLock(directory: directory.path), started: .now, end: {})
    return ControlCommandTable(commands.all)
  }

  private func error(_ method: String, _ params: JSONValue) async throws -> String {
    let table = try await table()
    let error = await #expect(throws: ControlError.self) { _ = try await table.run(method, params) }
    return error?.text ?? ""
  }

  @Test func unknownCommandIsRefusedInOpenVSwitchsWords() async throws {
    #expect(
      try await error("nosuch", [])
        == "\"nosuch\" is not a valid command (use \"list-commands\" to see a list of valid commands)\n")
  }

  @Test func wrongNumberOfArgumentsIsRefused() async throws {
    #expect(try await error("version", ["x"]) == "\"version\" command takes at most 0 arguments\n")
    #expect(try await error("fdb/show", []) == "\"fdb/show\" command requires at least 1 arguments\n")
    #expect(try await error("fdb/show", ["--json"]) == "\"fdb/show\" command requires at least 1 arguments\n")
  }

  @Test(arguments: [JSONValue.null, [1], "br0", [["br0"]], [:]])
  func parametersThatAreNoStringsAreRefused(_ params: JSONValue) async throws {
    #expect(try await error("fdb/show", params).hasSuffix("parameters must be an array of strings\n"))
  }

  @Test func missingBridgeIsNamed() async throws {
    #expect(try await error("fdb/show", ["nosuch"]) == "no such bridge\n")
    #expect(try await error("fdb/flush", ["--json", "no\u{1b}"]).contains("\"no\\u{1b}\""))
  }

  @Test(arguments: [
    ["br0", "p1", "4096", "02:00:00:00:00:01"], ["br0", "p1", "-1", "02:00:00:00:00:01"], ["br0", "p1", "1", "zz"],
    ["br0", "nosuch", "1", "02:00:00:00:00:01"],
  ])
  func badEntryIsOneLineWithARemedy(_ arguments: [String]) async throws {
    let text = try await error("fdb/add", .array(arguments.map(JSONValue.string)))
    #expect(text.contains(": "))
    #expect(text.split(separator: "\n").count == 1)
    #expect(text.hasSuffix("\n"))
  }

  @Test func addedEntryIsShownInOpenVSwitchsForm() async throws {
    let table = try await table()
    plane.state.withLock {
      $0.entries["br0"] = [
        MACTableEntry(
          vlan: 10, address: MACAddress(bits: 0x5254_0000_0001), port: "br0", portNumber: 65534, ageSeconds: 7)
      ]
    }
    _ = try await table.run("fdb/add", ["br0", "p1", "9", "52:54:00:00:00:02"])
    let result = try await table.run("fdb/show", ["br0"]).value.string
    #expect(
      result == """
         port  VLAN  MAC                Age
            1     9  52:54:00:00:00:02  static
        LOCAL    10  52:54:00:00:00:01    7

        """)
    let json = try await table.run("fdb/show", ["--json", "br0"]).value
    #expect(
      json[0] == [
        "port": "p1", "port_number": 1, "vlan": 9, "mac": "52:54:00:00:00:02", "age": nil, "static": true,
      ])
    #expect(try await table.run("fdb/flush", ["--json", "br0", "vlan=11"]).value == ["removed": 0])
    #expect(try await table.run("fdb/flush", ["--json", "br0", "vlan=10", "port=br0"]).value == ["removed": 1])
    #expect(try await table.run("fdb/flush", []).value == "table successfully flushed\n")
  }

  @Test func dropsShowOnlyWhatHappened() async throws {
    let table = try await table()
    plane.state.withLock {
      var counters = PortCounters()
      counters.receivedPackets = 5
      counters.forwardedPackets = 2
      counters.receiveDrops = [.noOutput: 3, .truncated: 0]
      counters.transmitDrops = [.transmitQueueFull: 1]
      $0.counters[QualifiedPort("br0", "p1")] = counters
    }
    let drops = try await table.run("drops/show", ["--json", "br0"]).value
    #expect(drops.array?.count == 2)
    #expect(drops[0]?["reason"] == "no_output")
    #expect(drops[0]?["direction"] == "rx")
    #expect(drops[0]?["packets"] == 3)
    #expect(drops[1]?["direction"] == "tx")
    let stats = try await table.run("port/stats", ["--json", "br0", "p1"]).value
    #expect(stats[0]?["rx_packets"] == 5)
    #expect(stats[0]?["rx_forwarded"] == 2)
    #expect(stats[0]?["rx_drops"]?["no_output"] == 3)
    let text = try await table.run("port/stats", []).value.string ?? ""
    let lines = text.split(separator: "\n")
    #expect(lines.count == 2)
    #expect(lines.allSatisfy { !$0.hasSuffix(" ") })
  }

  @Test func statusNamesPortsAndTheirErrors() async throws {
    plane.state.withLock {
      $0.failing["p1"] = ConfigError(cause: "could not open network device p1 (No such device)", remedy: "create it")
    }
    let table = try await table()
    let status = try await table.run("status", ["--json"]).value
    #expect(status["io_engine"] == "io_uring")
    #expect(status["ports"]?.array?.count == 2)
    #expect(status["ports"]?[1]?["error"] == "could not open network device p1 (No such device): create it")
    #expect(status["ports"]?[1]?["port_number"] == .null)
    #expect(status["ports"]?[0]?["port_number"] == 65534)
  }

  @Test func commandsAreListedInColumns() async throws {
    let text = try await table().run("list-commands", []).value.string ?? ""
    #expect(text.hasPrefix("The available commands are:\n"))
    #expect(text.contains("\n  fdb/show                bridge\n"))
    #expect(text.contains("\n  list-commands"))
  }

  @Test(arguments: [
    ("debug", Logger.Level.debug), ("dbg", .debug), ("ANY:file:warn", .warning), ("INFO", .info), ("off", .critical),
  ])
  func logLevelsOfBothWorldsAreKnown(_ text: String, _ level: Logger.Level) {
    #expect(ControlCommands.level(text) == level)
  }

  @Test func unknownLogLevelIsRefused() async throws {
    #expect(try await error("vlog/set", ["loud"]).contains("give one of trace, debug"))
  }
}
