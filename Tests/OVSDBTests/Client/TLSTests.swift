import Foundation
import TestSupport
import Testing
import Transport

@testable import OVSDB

/// `ssl:` to a real ovsdb-server.
@Suite(
  .blocking,
  .enabled(
    if: OVSDBServerProcess.isInstalled
      && (TestEnvironment.hasProgram("openssl") || TestEnvironment.isContinuousIntegration),
    "needs Debian's openvswitch-switch and openssl"))
struct TLSTests {
  private let directory: TemporaryDirectory
  private let port: Int

  init() throws {
    directory = try TemporaryDirectory()
    port = try freePort()
    for authority in ["ca", "other"] {
      try openssl(
        "req", "-x509", "-keyout", "\(authority).key", "-out", "\(authority).pem", "-subj", "/CN=\(authority)")
    }
    for (name, authority) in [("server", "ca"), ("client", "ca"), ("foreign", "other")] {
      try openssl("req", "-new", "-keyout", "\(name).key", "-out", "\(name).csr", "-subj", "/CN=\(name)")
      try require(
        [
          "openssl", "x509", "-req", "-in", path("\(name).csr"), "-CA", path("\(authority).pem"), "-CAkey",
          path("\(authority).key"), "-CAcreateserial", "-out", path("\(name).pem"), "-days", "2",
        ])
    }
  }

  private func path(_ name: String) -> String { "\(directory.path)/\(name)" }

  private func openssl(_ words: String...) throws {
    try require(
      ["openssl"] + words.map { $0.contains(".") ? path($0) : $0 } + ["-newkey", "rsa:2048", "-nodes", "-days", "2"])
  }

  private func server(_ arguments: [String] = []) throws -> OVSDBServerProcess {
    try OVSDBServerProcess(
      directory: directory.path, remotes: ["pssl:\(port):127.0.0.1"],
      arguments: [
        "--private-key=\(path("server.key"))", "--certificate=\(path("server.pem"))", "--ca-cert=\(path("ca.pem"))",
      ] + arguments)
  }

  private func files(_ name: String, trusting authority: String) -> TLSFiles {
    TLSFiles(privateKey: path("\(name).key"), certificate: path("\(name).pem"), authorities: path("\(authority).pem"))
  }

  private func connects(_ files: TLSFiles?) async -> Bool {
    do {
      let rpc = try await JSONRPCClient.connect(to: .ssl(host: "127.0.0.1", port: port), tls: files)
      defer { Task { await rpc.close() } }
      return try await rpc.call("list_dbs", [])[0] != nil
    } catch {
      return false
    }
  }

  @Test func databaseIsReachedAndAStrangerIsNot() async throws {
    let server = try server()
    let database = await RemoteDatabaseTests.client(["ssl:127.0.0.1:\(port)"]) {
      $0.tls = files("client", trusting: "ca")
    }
    #expect(try await RemoteDatabaseTests.waitForAccess(database))
    try #require(try server.vsctl("--no-wait", "init").isSuccess)
    #expect(try await RemoteDatabaseTests.wait(database) { $0.only("Open_vSwitch") != nil })
    await database.close()
    #expect(await connects(files("client", trusting: "ca")))
    #expect(await !connects(files("client", trusting: "other")), "a server that our authority does not know")
    #expect(await !connects(files("foreign", trusting: "ca")), "the server does not know us")
    #expect(await !connects(nil))
  }

  @Test func oldVersionsOfTLSAreRefused() async throws {
    let ciphers = "DEFAULT:@SECLEVEL=0"
    let server = try server(["--ssl-protocols=TLSv1.1", "--ssl-ciphers=\(ciphers)"])
    let old = try runCommand([
      "openssl", "s_client", "-connect", "127.0.0.1:\(port)", "-tls1_1", "-cipher", ciphers, "-key",
      path("client.key"), "-cert", path("client.pem"), "-CAfile", path("ca.pem"),
    ])
    #expect(old.output.contains("Protocol  : TLSv1.1"), "a client that would take it gets it: \(old)")
    #expect(server.isRunning)
    #expect(await !connects(files("client", trusting: "ca")))
  }

  @Test func filesThatAreMissingAreNamed() {
    var files = files("client", trusting: "ca")
    files.privateKey = path("nosuch.key")
    let error = #expect(throws: TransportError.self) { _ = try files.clientContext() }
    #expect(error?.description.contains("nosuch.key") == true)
  }
}
