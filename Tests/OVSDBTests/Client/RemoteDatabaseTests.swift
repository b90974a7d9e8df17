import Foundation
import TestSupport
import Testing
import Transport

@testable import OVSDB

/// The client of a real ovsdb-server, through everything that can happen to the connection.
@Suite(
  .blocking, .enabled(if: OVSDBServerProcess.isInstalled, "needs Debian's openvswitch-switch"))
struct RemoteDatabaseTests {
  /// A client that tries often and gives up soon.
  static func client(
    _ endpoints: [String], lock: String? = "ovs_vswitchd", _ change: (inout RemoteDatabase.Options) -> Void = { _ in }
  ) async -> RemoteDatabase {
    var options = RemoteDatabase.Options(endpoints: endpoints.compactMap { Endpoint($0) })
    options.lock = lock
    options.pause = .milliseconds(20)
    options.pauseLimit = .milliseconds(200)
    change(&options)
    let database = RemoteDatabase(options, logger: quiet)
    await database.start()
    return database
  }

  /// Waits until the contents satisfy the condition, 2 minutes at most.
  static func wait(_ database: RemoteDatabase, _ condition: (DatabaseSnapshot) -> Bool) async throws -> Bool {
    for _ in 0..<12_000 {
      if condition(await database.snapshot()) { return true }
      try await Task.sleep(for: .milliseconds(10))
    }
    return false
  }

  static func waitForAccess(
    _ database: RemoteDatabase, _ condition: (DatabaseAccess) -> Bool = \.isReady
  ) async throws -> Bool {
    for _ in 0..<12_000 {
      if condition(await database.access) { return true }
      try await Task.sleep(for: .milliseconds(10))
    }
    return false
  }

  @Test func contentsFollowTheServerAndItsRestarts() async throws {
    let directory = try TemporaryDirectory()
    let server = try OVSDBServerProcess(directory: directory.path)
    let database = await Self.client([server.remote])
    let (first, stream) = await database.changes()
    let reader = Task {
      var replica = first
      for await changes in stream {
        replica.apply(changes)
        if replica.rows("QoS").contains(where: { $0["type"].string == "end" }) { break }
      }
      return replica
    }
    #expect(try await Self.waitForAccess(database))
    #expect(await database.snapshot().only("Open_vSwitch") == nil, "an empty database is waited for, not filled")
    try #require(try server.vsctl("--no-wait", "init").isSuccess)
    for round in 0..<3 {
      for number in 0..<5 {
        let name = "q\(round)-\(number)"
        try #require(try server.vsctl("--no-wait", "create", "QoS", "type=\(name)").isSuccess)
      }
      try #require(
        try server.vsctl("--no-wait", "set", "open_vswitch", ".", "other_config:round=\(round)").isSuccess)
      // Here something is deleted and made while the client can't see it.
      server.kill9()
      #expect(try await Self.waitForAccess(database) { !$0.isReady })
      let before = await database.snapshot()
      #expect(before.only("Open_vSwitch") != nil, "the contents stay while the server is away")
      try await Self.offline(server, round)
      #expect(try await Self.waitForAccess(database))
    }
    try #require(try server.vsctl("--no-wait", "create", "QoS", "type=end").isSuccess)
    let replica = await reader.value
    let types = replica.rows("QoS").compactMap { $0["type"].string }.sorted()
    #expect(types == ["away0", "away1", "away2", "end"] + (0..<3).flatMap { r in (1..<5).map { "q\(r)-\($0)" } })
    #expect(replica.only("Open_vSwitch")?["other_config"].map["round"] == "2")
    #expect(DatabaseTests.contents(replica) == DatabaseTests.contents(await database.snapshot()))
    await database.close()
  }

  /// Starts the server at another socket, changes the database there, and brings it back.
  private static func offline(_ server: OVSDBServerProcess, _ round: Int) async throws {
    let socket = "\(server.directory)/offline.sock"
    let other = try BackgroundCommand([
      "ovsdb-server", server.file, "--remote=punix:\(socket)", "--unixctl=\(socket).ctl", "-vconsole:off",
    ])
    defer { other.kill9() }
    let command = ["ovs-vsctl", "--timeout=10", "--retry", "--no-wait", "--db=unix:\(socket)"]
    try require(command + ["create", "QoS", "type=away\(round)"])
    let first = try require(command + ["--bare", "--columns=_uuid", "find", "QoS", "type=q\(round)-0"])
    try require(command + ["destroy", "QoS", first.trimmingCharacters(in: .whitespacesAndNewlines)])
    other.kill9()
    try server.start()
  }

  @Test func withoutTheLockNothingIsShownAndNothingIsWritten() async throws {
    let directory = try TemporaryDirectory()
    let server = try OVSDBServerProcess(directory: directory.path)
    try #require(try server.vsctl("--no-wait", "init").isSuccess)
    let first = await Self.client([server.remote])
    #expect(try await Self.wait(first) { $0.only("Open_vSwitch") != nil })
    let second = await Self.client([server.remote])
    #expect(try await Self.waitForAccess(second) { $0 == .contended })
    let insert = Operation.insert("QoS", ["type": "x"])
    #expect(await second.transact([insert]).error?.tag == "unavailable")
    try #require(try server.vsctl("--no-wait", "create", "QoS", "type=y").isSuccess)
    #expect(try await Self.wait(first) { $0.rows("QoS").count == 1 })
    #expect(await second.snapshot().rows("QoS").isEmpty)

    let (_, changes) = await second.changes()
    await first.close()
    #expect(try await Self.waitForAccess(second))
    var seen = false
    for await change in changes where !change["QoS"].isEmpty {
      seen = true
      break
    }
    #expect(seen, "what came in meanwhile is shown once the lock is ours")
    #expect(await second.transact([insert]).error == nil)
    #expect(await second.snapshot().rows("QoS").count == 2, "a transaction's own changes are there when it returns")
    await second.close()
  }

  @Test func stolenLockStopsWritingAtOnce() async throws {
    let directory = try TemporaryDirectory()
    let server = try OVSDBServerProcess(directory: directory.path)
    let database = await Self.client([server.remote])
    #expect(try await Self.waitForAccess(database))
    let thief = try await JSONRPCClient.connect(to: .unix(path: server.socket))
    #expect(try await thief.call("steal", ["ovs_vswitchd"]) == ["locked": true])
    #expect(try await Self.waitForAccess(database) { $0 == .contended })
    #expect(await database.transact([Operation.insert("QoS", ["type": "x"])]).error?.tag == "unavailable")
    await thief.close()
    #expect(try await Self.waitForAccess(database), "the lock comes back")
    await database.close()
  }

  @Test func resultsAreThoseOfTheOperationsAsked() async throws {
    let directory = try TemporaryDirectory()
    let server = try OVSDBServerProcess(directory: directory.path)
    let database = await Self.client([server.remote])
    #expect(try await Self.waitForAccess(database))
    let reply = await database.transact([
      Operation.insert("QoS", ["type": "a"]), Operation.select("QoS", columns: ["type"]),
    ])
    #expect(reply.error == nil)
    try #require(reply.results.count == 2)
    #expect(reply.results[1] == ["rows": [["type": "a"]]])
    let failed = await database.transact([Operation.insert("Bridge", ["fail_mode": "nonsense"])])
    #expect(failed.error?.tag == "constraint violation")
    await database.close()
  }

  /// The stock schema of an older or another release: tables and columns are missing, and one has another type.
  @Test func columnsThatTheServerHasNotReadAsUnsetAndAreNotWritten() async throws {
    let directory = try TemporaryDirectory()
    var schema = try JSONValue.parse(String(contentsOfFile: OVSDBServerProcess.stockSchema, encoding: .utf8))
    schema = Self.changing(schema, ["tables"]) { tables in
      var tables = tables.object ?? [:]
      tables["AutoAttach"] = nil
      tables["Bridge"] = Self.changing(tables["Bridge"] ?? nil, ["columns"]) { columns in
        var columns = columns.object ?? [:]
        columns["auto_attach"] = nil
        columns["flood_vlans"] = nil
        return .object(columns)
      }
      tables["Interface"] = Self.changing(tables["Interface"] ?? nil, ["columns"]) { columns in
        var columns = columns.object ?? [:]
        columns["link_resets"] = ["type": "string"]
        columns["mtu_request"] = nil
        return .object(columns)
      }
      return .object(tables)
    }
    let path = directory.path + "/old.ovsschema"
    try schema.serialized().write(toFile: path, atomically: true, encoding: .utf8)
    let server = try OVSDBServerProcess(directory: directory.path, schema: path)
    let database = await Self.client([server.remote])
    #expect(try await Self.waitForAccess(database))
    let (qos, uuid) = ("q", RowUUID(high: 0x1111_2222_3333_4444, low: 0x8888_2222_3333_4444))
    let reply = await database.transact([
      Operation.insert("Interface", ["name": "i"], uuid: uuid),
      Operation.insert("Port", ["name": "p", "interfaces": Operation.uuid(uuid)], name: "p"),
      Operation.insert("Bridge", ["name": "b", "ports": Operation.named("p")], name: "b"),
      Operation.insert("Open_vSwitch", ["bridges": Operation.named("b")]),
      Operation.insert("QoS", ["type": .string(qos)]),
    ])
    #expect(reply.error == nil, "\(reply)")
    let row = try #require(await database.snapshot().named("i", in: "Interface"))
    #expect(row["mtu_request"].isEmpty)
    let update = Operation.update("Interface", row.uuid, ["link_resets": .integer(3), "mtu": .integer(9000)])
    let alone = Operation.update("Interface", row.uuid, ["link_resets": .integer(3)])
    #expect(await database.transact([alone]).results == [["count": 0]])
    #expect(await database.transact([alone, update]).results == [["count": 0], ["count": 1]])
    #expect(await database.snapshot().named("i", in: "Interface")?["mtu"].integer == 9000)
    await database.close()
  }

  private static func changing(_ json: JSONValue?, _ path: [String], _ body: (JSONValue) -> JSONValue) -> JSONValue {
    guard let name = path.first else { return body(json ?? [:]) }
    var members = json?.object ?? [:]
    members[name] = changing(members[name] ?? nil, Array(path.dropFirst()), body)
    return .object(members)
  }

  @Test func aServerWithoutTheDatabaseIsPassedOver() async throws {
    let directory = try TemporaryDirectory()
    let schema = directory.path + "/other.ovsschema"
    try #"{"name":"Other","version":"1.0.0","tables":{"T":{"columns":{"a":{"type":"string"}}}}}"#
      .write(toFile: schema, atomically: true, encoding: .utf8)
    let other = try OVSDBServerProcess(directory: directory.path, name: "other", schema: schema)
    let server = try OVSDBServerProcess(directory: directory.path)
    let database = await Self.client(["unix:\(directory.path)/nobody.sock", other.remote, server.remote])
    #expect(try await Self.waitForAccess(database))
    #expect(await database.endpoint?.description == server.remote)
    await database.close()
  }

  @Test func aSilentServerOnTheNetworkIsGivenUp() async throws {
    let directory = try TemporaryDirectory()
    let port = try freePort()
    let server = try OVSDBServerProcess(directory: directory.path, remotes: ["ptcp:\(port):127.0.0.1"])
    let database = await Self.client(["tcp:127.0.0.1:\(port)"]) { $0.probeInterval = .milliseconds(500) }
    #expect(try await Self.waitForAccess(database))
    // Unanswered, the probes would end a session within 2 s. A machine that is too busy may lose one all the same.
    var isKept = false
    for _ in 0..<10 where !isKept {
      let before = await database.sessionCount
      try await Task.sleep(for: .seconds(3))
      let after = await database.sessionCount
      isKept = after == before && after > 0
    }
    #expect(isKept, "a server that answers probes is kept")
    server.signal(SIGSTOP)
    #expect(try await Self.waitForAccess(database) { !$0.isReady })
    server.signal(SIGCONT)
    #expect(try await Self.waitForAccess(database))
    await database.close()
  }
}
