import Logging
import OVSDB
import TestSupport
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
    var generator = SystemRandomNumberGenerator()
    let reconciler = Reconciler(
      store: store, plane: plane, logger: Logger(label: "test"),
      system: SystemInformation(generator: &generator) { _ in nil })
    await reconciler.start()
    let sink = try LogSink(path: directory.path + "/log", level: .info)
    for module in ["bridge", "reconciler"] { sink.change { $0.register(module) } }
    let commands = ControlCommands(
      plane: plane, reconciler: reconciler, store: store, location: "/x/store", sink: sink,
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

  /// In Open vSwitch's words, which `ovs-appctl vlog/set` of release 3.1 gave.
  @Test(arguments: [
    ("foo", "no destination, level, or module \"foo\""), ("PATTERN", "missing destination"),
    ("PATTERN:foo", "unknown destination \"foo\""), ("file:console:dbg", "cannot specify multiple destinations"),
    ("dbg:info", "cannot specify multiple levels"), ("bridge:reconciler:dbg", "cannot specify multiple modules"),
    ("FACILITY:foo", "invalid facility"),
  ])
  func wrongLogLevelIsRefusedInOpenVSwitchsWords(_ argument: String, _ words: String) async throws {
    #expect(try await error("vlog/set", [.string(argument)]) == words + "\n")
  }

  @Test func reportsAreInOpenVSwitchsForms() async throws {
    let table = try await table()
    plane.state.withLock {
      var counters = PortCounters()
      counters.receivedPackets = 5
      $0.counters[QualifiedPort("br0", "p1")] = counters
      $0.entries["br0"] = [
        MACTableEntry(
          vlan: 10, address: MACAddress(bits: 0x5254_0000_0001), port: "br0", portNumber: 65534, ageSeconds: 7)
      ]
    }
    #expect(
      try await table.run("dpif/show", []).value.string == """
        netdev@vswitchd: hit:5 missed:0
          br0:
            br0 65534/none: (internal)
            p1 1/none: (tap)

        """)
    let memory = try await table.run("memory/show", []).value.string ?? ""
    #expect(memory.hasPrefix("bridges:1 cells:"))
    for part in [" mac-entries:1 ", " ports:2 ", " rows:6 ", " sessions:0 "] { #expect(memory.contains(part)) }
    #expect(try await error("memory/show", ["x"]) == "\"memory/show\" command takes at most 0 arguments\n")
    let coverage = try await table.run("coverage/show", []).value.string ?? ""
    #expect(coverage.hasPrefix("Event coverage, avg rate over last: 5 seconds, last minute, last hour"))
    #expect(coverage.hasSuffix(" events never hit\n"))
  }

  @Test func statusTellsOfTheDatabase() async throws {
    let status = try await table().run("status", ["--json"]).value
    #expect(status["database"] == ["location": "/x/store", "state": "ready", "reason": nil])
  }
}
