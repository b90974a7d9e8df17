import Foundation
import TestSupport
import Testing
import Transport

@testable import OVSDB

/// The listeners that table Manager asks for, with Open vSwitch's own client on the other side.
@Suite(.timeLimit(.minutes(2))) struct ManagerRemotesTests {
  static let hasClient = program("ovsdb-client") != nil && Certificates.isInstalled
  private typealias Manager = OpenVSwitch.Manager

  /// A database whose managers are served.
  private struct Switch {
    let served: ServedDatabase
    let task: Task<Void, Never>
    private let root: RowUUID

    init(tlsFiles: String = "/nonexistent") async throws {
      served = try await ServedDatabase()
      let reply = await served.server.transact([Operation.insert("Open_vSwitch", [:])])
      root = try #require(reply.results[0]["uuid"]?[1]?.string.flatMap { RowUUID($0) })
      let places = RemotePlaces(
        sockets: ConfinedDirectory(served.directory.path), tlsFiles: ConfinedDirectory(tlsFiles))
      let remotes = ManagerRemotes(
        served.server, places: places, logger: quiet, statusInterval: .milliseconds(300))
      task = Task { await remotes.run() }
    }

    /// As set-manager does.
    func setManagers(_ targets: [String], _ columns: [String: JSONValue] = [:]) async throws {
      var operations: [JSONValue] = []
      var names: [JSONValue] = []
      for (index, target) in targets.enumerated() {
        var row = columns
        row["target"] = .string(target)
        operations.append(Operation.insert("Manager", row, name: "m\(index)"))
        names.append(Operation.named("m\(index)"))
      }
      operations.append(
        Operation.update("Open_vSwitch", where: Operation.isRow(root), ["manager_options": Operation.set(names)]))
      let reply = await served.server.transact(operations)
      try #require(reply.error == nil, "\(String(describing: reply.error))")
    }

    /// As set-ssl does.
    func setSSL(_ key: String, _ certificate: String, _ authority: String) async throws {
      let row: [String: JSONValue] = [
        "private_key": .string(key), "certificate": .string(certificate), "ca_cert": .string(authority),
      ]
      let reply = await served.server.transact([
        Operation.insert("SSL", row, name: "s"),
        Operation.update("Open_vSwitch", where: Operation.isRow(root), ["ssl": Operation.named("s")]),
      ])
      try #require(reply.error == nil)
    }

    /// Waits until the row of a target satisfies a predicate.
    @discardableResult
    func wait(_ target: String, _ predicate: (Row) -> Bool) async throws -> Row {
      var last: Row?
      for _ in 0..<600 {
        last = await served.server.snapshot().first("Manager", where: "target", is: .string(target))
        if let last, predicate(last) { return last }
        try await Task.sleep(for: .milliseconds(25))
      }
      throw TestError.timedOut("\(target): \(String(describing: last?[Manager.status]))")
    }

    /// The port that the kernel chose.
    func port(_ target: String) async throws -> Int {
      let row = try await wait(target) { $0[Manager.status]["bound_port"] != nil }
      return try #require(row[Manager.status]["bound_port"].flatMap { Int($0) })
    }

    func end() async {
      task.cancel()
      await task.value
      await served.server.close()
    }
  }

  private func listDatabases(_ arguments: [String]) async throws -> ProgramResult {
    try await run(try #require(program("ovsdb-client")), ["--timeout=5"] + arguments)
  }

  @Test(.enabled(if: hasClient, "needs Debian's openvswitch-switch and openssl"))
  func managersListenAsTheirTargetsSay() async throws {
    // An address of its own: what another test listens on may get the port once it is free.
    let device = try await Switch()
    try await device.setManagers(["ptcp:0:127.0.0.2", "punix:mgmt.sock", "bogus:1"])
    let port = try await device.port("ptcp:0:127.0.0.2")
    #expect(try await listDatabases(["list-dbs", "tcp:127.0.0.2:\(port)"]).output == "Open_vSwitch\n_Server\n")
    let path = device.served.directory.path + "/mgmt.sock"
    try await device.wait("punix:mgmt.sock") { $0[Manager.status]["state"] == "IDLE" }
    #expect(try await listDatabases(["list-dbs", "unix:\(path)"]).output == "Open_vSwitch\n_Server\n")
    var status = stat()
    #expect(unsafe lstat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
    let bogus = try await device.wait("bogus:1") { $0[Manager.status]["last_error"] != nil }
    #expect(bogus[Manager.isConnected] == false && bogus[Manager.status]["state"] == "BACKOFF")

    let clients = [
      try await JSONRPCClient.connect(to: .tcp(host: "127.0.0.2", port: port)),
      try await JSONRPCClient.connect(to: .tcp(host: "127.0.0.2", port: port)),
    ]
    for client in clients { #expect(try await client.call("echo", [1]) == [1]) }
    let busy = try await device.wait("ptcp:0:127.0.0.2") { $0[Manager.status]["n_connections"] == "2" }
    #expect(busy[Manager.isConnected] && busy[Manager.status]["state"] == "ACTIVE")
    for client in clients { await client.close() }
    try await device.wait("ptcp:0:127.0.0.2") { !$0[Manager.isConnected] }

    // A row that goes takes its listener and its clients along.
    let last = try await JSONRPCClient.connect(to: .tcp(host: "127.0.0.2", port: port))
    #expect(try await last.call("echo", [1]) == [1])
    try await device.setManagers([])
    for await _ in last.notifications {}
    await #expect(throws: JSONRPCError.self) {
      try await JSONRPCClient.connect(to: .tcp(host: "127.0.0.2", port: port))
    }
    await device.end()
  }

  @Test(.enabled(if: hasClient, "needs Debian's openvswitch-switch and openssl"))
  func tlsServesPeersOfItsAuthorityAndNobodyElse() async throws {
    let pki = try Certificates()
    try await pki.makeAuthority("ca")
    try await pki.makeAuthority("otherca")
    try await pki.make("switch", by: "ca")
    try await pki.make("client", by: "ca")
    try await pki.make("stranger", by: "otherca")
    try await pki.make("expired", by: "ca", days: -1)
    let device = try await Switch(tlsFiles: pki.directory.path)
    let target = "pssl:0:127.0.0.1"
    try await device.setManagers([target])
    try await device.wait(target) { $0[Manager.status]["last_error"]?.contains("set-ssl") == true }
    try await device.setSSL("switch.key", pki.path("switch.pem"), "ca.pem")
    let port = try await device.port(target)
    func list(_ name: String, authority: String = "ca", scheme: String = "ssl") async throws -> ProgramResult {
      try await listDatabases([
        "--private-key=" + pki.path(name + ".key"), "--certificate=" + pki.path(name + ".pem"),
        "--ca-cert=" + pki.path(authority + ".pem"), "list-dbs", "\(scheme):127.0.0.1:\(port)",
      ])
    }
    #expect(try await list("client").output == "Open_vSwitch\n_Server\n")
    for (name, authority) in [("stranger", "ca"), ("expired", "ca"), ("client", "otherca")] {
      let result = try await list(name, authority: authority)
      #expect(result.status != 0 && result.output == "", "\(name), \(authority): \(result)")
    }
    #expect(try await list("client", scheme: "tcp").output == "", "plain text is no TLS")

    // The certificate is renewed while we run.
    try await pki.make("renewed", by: "otherca")
    for ending in ["key", "pem"] { try pki.replace("switch." + ending, by: "renewed." + ending) }
    #expect(try await list("client", authority: "otherca").output == "Open_vSwitch\n_Server\n")
    await device.end()
  }

  @Test(.enabled(if: hasClient, "needs Debian's openvswitch-switch and openssl"))
  func tlsOlderThan12IsRefused() async throws {
    let pki = try Certificates()
    try await pki.makeAuthority("ca")
    try await pki.make("switch", by: "ca")
    try await pki.make("client", by: "ca")
    let device = try await Switch(tlsFiles: pki.directory.path)
    try await device.setSSL("switch.key", "switch.pem", "ca.pem")
    try await device.setManagers(["pssl:0:127.0.0.1"])
    let port = try await device.port("pssl:0:127.0.0.1")
    func handshake(_ version: String) async throws -> ProgramResult {
      // Security level 0: openssl itself would refuse the old versions.
      try await run(
        try #require(program("openssl")),
        [
          "s_client", "-connect", "127.0.0.1:\(port)", version, "-cipher", "DEFAULT@SECLEVEL=0", "-cert",
          pki.path("client.pem"), "-key", pki.path("client.key"), "-CAfile", pki.path("ca.pem"), "-verify_return_error",
        ])
    }
    for version in ["-tls1_2", "-tls1_3"] {
      let result = try await handshake(version)
      #expect(result.output.contains("Verify return code: 0 (ok)") && result.status == 0, "\(version): \(result)")
    }
    for version in ["-tls1", "-tls1_1"] {
      let result = try await handshake(version)
      #expect(
        result.status != 0 && result.errors.contains("alert protocol version"), "\(version): \(result)")
    }
    await device.end()
  }

  @Test func keysAreReadFromTheirDirectoryAlone() async throws {
    let device = try await Switch(tlsFiles: "/nonexistent")
    try await device.setManagers(["pssl:0:127.0.0.1"])
    for name in ["/etc/shadow", "../../etc/shadow"] {
      try await device.setSSL(name, name, name)
      try await device.wait("pssl:0:127.0.0.1") {
        $0[Manager.status]["last_error"]?.contains("is not below /nonexistent") == true
      }
    }
    await device.end()
  }

  /// A controller that waits for the switch to come.
  @Test func managerIsConnectedToAgainWhenItsConnectionEnds() async throws {
    let device = try await Switch()
    let peer = device.served.directory.path + "/peer"
    let target = "unix:peer"
    try await device.setManagers([target], ["max_backoff": 1000])
    let refused = try await device.wait(target) { $0[Manager.status]["last_error"] != nil }
    #expect(refused[Manager.isConnected] == false)
    for round in 0..<2 {
      // It speaks as a client on the connection that it accepts.
      let listener = try UnixListener(path: peer)
      try listener.publish()
      #expect(listen(listener.descriptor, 1) == 0)
      let answer = await blocking { () -> String in
        let descriptor = accept(listener.descriptor, nil, nil)
        defer { close(descriptor) }
        let request = Array(#"{"id":1,"method":"list_dbs","params":[]}"#.utf8)
        guard unsafe write(descriptor, request, request.count) == request.count else { return "" }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = unsafe read(descriptor, &buffer, buffer.count)
        return String(decoding: buffer[..<max(count, 0)], as: UTF8.self)
      }
      #expect(answer.contains(#""result":["Open_vSwitch","_Server"]"#), "round \(round): \(answer)")
      close(listener.descriptor)
      let ended = try await device.wait(target) { $0[Manager.status]["sec_since_disconnect"] != nil }
      #expect(ended[Manager.status]["last_error"] != nil)
    }
    await device.end()
  }

  /// The switch comes to it with its certificate, and knows it by its own.
  @Test(.enabled(if: hasClient, "needs Debian's openvswitch-switch and openssl"))
  func managerIsConnectedToByTLSAndItsLocksAreTold() async throws {
    let pki = try Certificates()
    try await pki.makeAuthority("ca")
    try await pki.makeAuthority("otherca")
    try await pki.make("switch", by: "ca")
    try await pki.make("manager", by: "ca")
    try await pki.make("stranger", by: "otherca")
    let device = try await Switch(tlsFiles: pki.directory.path)
    try await device.setSSL("switch.key", "switch.pem", "ca.pem")

    let port = try freePort()
    let target = "ssl:127.0.0.1:\(port)"
    let path = device.served.directory.path + "/manager"
    // It speaks as a client on the connection that it accepts.
    func manager(_ name: String) throws -> BackgroundCommand {
      let files =
        "cert=\(pki.path(name + ".pem")),key=\(pki.path(name + ".key")),cafile=\(pki.path("ca.pem")),verify=1"
      return try BackgroundCommand([
        "socat", "OPENSSL-LISTEN:\(port),bind=127.0.0.1,reuseaddr,\(files)", "UNIX-LISTEN:\(path)",
      ])
    }
    let stranger = try manager("stranger")
    try await device.setManagers([target], ["max_backoff": 1000, "inactivity_probe": 0])
    let refused = try await device.wait(target) {
      $0[Manager.status]["last_error"].map { !$0.contains("refused") } ?? false
    }
    #expect(!refused[Manager.isConnected], "\(refused[Manager.status])")
    stranger.kill9()

    let socat = try manager("manager")
    try await device.wait(target) { $0[Manager.isConnected] }
    // socat makes its other end once the first one stands.
    try #require(eventually { FileManager.default.fileExists(atPath: path) })
    let client = try await JSONRPCClient.connect(to: .unix(path: path))
    for (method, lock) in [("lock", "b"), ("steal", "a"), ("lock", "ovs_vswitchd"), ("steal", "c")] {
      #expect(try await client.call(method, [.string(lock)])["locked"] == .boolean(lock != "ovs_vswitchd"))
    }
    try await device.wait(target) {
      let status = $0[Manager.status]
      return status["locks_held"] == "a b c" && status["locks_waiting"] == "ovs_vswitchd" && status["locks_lost"] == nil
    }
    let thief = try await JSONRPCClient.connect(to: .unix(path: device.served.path))
    for lock in ["a", "b"] { #expect(try await thief.call("steal", [.string(lock)])["locked"] == true) }
    try await device.wait(target) {
      let status = $0[Manager.status]
      return status["locks_held"] == "c" && status["locks_waiting"] == "b ovs_vswitchd" && status["locks_lost"] == "a"
    }
    // What was waited for comes back when the thief goes, what was stolen does not.
    await thief.close()
    try await device.wait(target) {
      $0[Manager.status]["locks_held"] == "b c" && $0[Manager.status]["locks_lost"] == "a"
    }
    var told: [String] = []
    for await notification in client.notifications {
      told.append("\(notification.method) \(notification.params)")
      if told.count == 3 { break }
    }
    #expect(told.sorted() == [#"locked ["b"]"#, #"stolen ["a"]"#, #"stolen ["b"]"#])
    await client.close()
    socat.kill9()
    await device.end()
  }

  @Test func silentPeerIsProbedAndThenCutOff() async throws {
    let device = try await Switch()
    try await device.setManagers(["punix:mgmt.sock"], ["inactivity_probe": 200])
    try await device.wait("punix:mgmt.sock") { $0[Manager.status]["state"] == "IDLE" }
    let path = device.served.directory.path + "/mgmt.sock"
    // This one answers probes by itself.
    let client = try await JSONRPCClient.connect(to: .unix(path: path))
    #expect(try await client.call("echo", [1]) == [1])
    let silent = try #require(RawSocket(path))
    #expect(await silent.send(#"{"id":7,"method":"list_dbs","params":[]}"#))
    let heard = try #require(await silent.readToEnd(seconds: 10), "still open")
    #expect(heard.contains(#""id":7"#) && heard.contains(#""method":"echo""#), "\(heard)")
    #expect(try await client.call("echo", [2]) == [2])
    await client.close()
    await device.end()
  }
}
