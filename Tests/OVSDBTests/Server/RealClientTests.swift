import Foundation
import Testing

@testable import OVSDB

/// Open vSwitch's own programs against our server, unmodified.
@Suite struct RealClientTests {
  static let isInstalled = program("ovs-vsctl") != nil && program("ovsdb-client") != nil

  @Test(.enabled(if: isInstalled, "needs Debian's openvswitch-switch"), .timeLimit(.minutes(1)))
  func vsctlConfiguresTheDatabase() async throws {
    let served = try await ServedDatabase()
    let fakeSwitch = await served.startSwitch()
    defer { fakeSwitch.cancel() }
    let vsctl = try #require(program("ovs-vsctl"))
    func call(_ arguments: String...) async throws -> String {
      let result = try await run(vsctl, ["--db=unix:\(served.path)", "--timeout=10"] + arguments)
      #expect(result.status == 0, "\(arguments): \(result.errors)")
      #expect(result.errors == "", "\(arguments)")
      return result.output
    }
    _ = try await call("init")
    _ = try await call("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
    _ = try await call(
      "add-port", "br0", "p1", "tag=10", "--", "set", "interface", "p1", "type=internal", "external_ids:a=b",
      "ofport_request=7")
    _ = try await call("add-port", "br0", "p2", "trunks=10,20", "vlan_mode=trunk")
    #expect(try await call("list-br") == "br0\n")
    #expect(try await call("list-ports", "br0") == "p1\np2\n")
    #expect(try await call("get", "port", "p1", "tag") == "10\n")
    #expect(try await call("get", "port", "p2", "trunks") == "[10, 20]\n")
    #expect(try await call("get", "interface", "p1", "external_ids", "ofport") == "{a=b}\n1\n")
    #expect(try await call("--bare", "--columns=name", "find", "port", "tag=10") == "p1\n")
    #expect(
      try await call("--columns=name,tag", "list", "port", "p1")
        == "name                : p1\ntag                 : 10\n")
    _ = try await call("set", "port", "p1", "tag=[]", "--", "remove", "interface", "p1", "external_ids", "a")
    #expect(try await call("get", "port", "p1", "tag") == "[]\n")
    _ = try await call("wait-until", "bridge", "br0", "datapath_type=netdev")
    let show = try await call("show")
    for part in [
      "Bridge br0", "datapath_type: netdev", "Port p2", "trunks: [10, 20]", "Interface p1", "type: internal",
    ] {
      #expect(show.contains(part), "\(show)")
    }
    _ = try await call("--", "--id=@m", "create", "mirror", "name=m", "--", "set", "bridge", "br0", "mirrors=@m")
    _ = try await call("del-port", "p1")
    #expect(try await call("list-ports", "br0") == "p2\n")
    _ = try await call("del-br", "br0")
    let snapshot = await served.server.snapshot()
    for table in ["Bridge", "Port", "Interface", "Mirror"] { #expect(snapshot.rows(table).isEmpty, "\(table)") }
    #expect(await served.store.rows.count == 1)
    await served.server.close()
  }

  @Test(.enabled(if: isInstalled, "needs Debian's openvswitch-switch"), .timeLimit(.minutes(1)))
  func vsctlSaysWhatIsWrong() async throws {
    let served = try await ServedDatabase()
    let fakeSwitch = await served.startSwitch()
    defer { fakeSwitch.cancel() }
    let vsctl = try #require(program("ovs-vsctl"))
    func call(_ arguments: String...) async throws -> ProgramResult {
      try await run(vsctl, ["--db=unix:\(served.path)", "--timeout=10"] + arguments)
    }
    #expect(try await call("add-br", "br0").status == 0)
    let result = try await call("set", "port", "br0", "tag=4096")
    #expect(result.status == 1)
    #expect(result.errors.contains("constraint violation: 4096 is not in the valid range 0 to 4095"), "\(result)")
    let duplicate = try await call("add-port", "br0", "br0")
    #expect(duplicate.status == 1)
    await served.server.close()
  }

  @Test(.enabled(if: isInstalled, "needs Debian's openvswitch-switch"), .timeLimit(.minutes(1)))
  func ovsdbClientReadsTheDatabase() async throws {
    let served = try await ServedDatabase()
    let client = try #require(program("ovsdb-client"))
    let target = "unix:\(served.path)"
    let databases = try await run(client, ["list-dbs", target])
    #expect(databases.output == "Open_vSwitch\n_Server\n")
    let insert =
      #"["Open_vSwitch",{"op":"insert","table":"QoS","row":{"type":"linux-htb","other_config":["map",[["a","b"]]]}}]"#
    let transaction = try await run(client, ["transact", target, insert])
    #expect(transaction.status == 0 && transaction.output.contains("uuid"), "\(transaction)")
    let dump = try await run(client, ["dump", target, "Open_vSwitch", "QoS", "type", "other_config"])
    #expect(dump.output.contains("{a=b}"), "\(dump)")
    #expect(dump.output.contains("linux-htb"))
    let schema = try await run(client, ["get-schema", target])
    #expect(try DatabaseSchema(json: JSONValue.parse(schema.output)) == .openVSwitch)
    let backup = try await run(client, ["backup", target])
    #expect(backup.status == 0 && backup.output.contains("linux-htb"), "\(backup.errors)")
    let monitored = try await run(client, ["--timeout=1", "monitor", target, "QoS"])
    #expect(monitored.output.contains("linux-htb"), "\(monitored)")
    await served.server.close()
  }
}
