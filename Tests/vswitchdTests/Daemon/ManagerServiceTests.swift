import Foundation
import Glibc
import TestSupport
import Testing

@testable import vswitchd

/// Listeners that the database asks for, in the daemon as it is after it has given up its privileges.
@Suite(.enabled(if: canRunDaemon, "needs root and ovs-vsctl"), .serialized)
struct ManagerServiceTests {
  private func make(_ arguments: String...) throws {
    let result = try runProgram(["openssl"] + arguments)
    try #require(result.status == 0, "openssl \(arguments): \(result.errors)")
  }

  /// Waits until a manager's status has a word in it.
  private func wait(_ daemon: RunningDaemon, for word: String) throws -> String {
    var status = ""
    for _ in 0..<400 {
      status = try daemon.vsctl("--columns=status,is_connected", "list", "manager").output
      if status.contains(word) { return status }
      usleep(25_000)
    }
    Issue.record("no \(word): \(status)\(daemon.log)")
    return status
  }

  @Test func managersAreServedWithTLSAfterPrivilegesAreGone() throws {
    let directory = try TemporaryDirectory()
    let keys = directory.path + "/tls"
    try FileManager.default.createDirectory(atPath: keys, withIntermediateDirectories: true)
    try make(
      "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
      "/CN=a", "-keyout", keys + "/key.pem", "-out", keys + "/cert.pem")
    let daemon = try RunningDaemon(directory.path + "/run", arguments: ["--tls-dir", keys])
    #expect(
      try daemon.vsctl("--no-wait", "set-ssl", keys + "/key.pem", keys + "/cert.pem", keys + "/cert.pem").status == 0)
    #expect(try daemon.vsctl("--no-wait", "set-manager", "pssl:6640:127.0.0.1", "punix:mgmt.sock").status == 0)
    _ = try wait(daemon, for: "bound_port=\"6640\"")
    func inside(_ arguments: [String]) throws -> ProcessResult {
      try runProgram(["nsenter", "-t", "\(daemon.processID)", "-n"] + arguments)
    }
    #expect(try inside(["ip", "link", "set", "lo", "up"]).status == 0)
    let options = ["--timeout=5", "--private-key=\(keys)/key.pem", "--certificate=\(keys)/cert.pem"]
    let listing = try inside(
      ["ovsdb-client"] + options + ["--ca-cert=\(keys)/cert.pem", "list-dbs", "ssl:127.0.0.1:6640"])
    #expect(listing.output == "Open_vSwitch\n_Server\n", "\(listing) \(daemon.log)")
    let local = try runProgram(["ovsdb-client", "--timeout=5", "list-dbs", "unix:\(daemon.runDirectory)/mgmt.sock"])
    #expect(local.output == "Open_vSwitch\n_Server\n", "\(local)")
    // What rows name is confined.
    #expect(try daemon.vsctl("--no-wait", "set-manager", "punix:/tmp/x").status == 0)
    #expect(try wait(daemon, for: "last_error").contains("is not below \(daemon.runDirectory)"))
    daemon.send(SIGTERM)
    #expect(daemon.wait() == 0)
    let left = try FileManager.default.contentsOfDirectory(atPath: daemon.runDirectory)
    #expect(left.sorted() == ["pcap", "vswitch.sqlite"])
  }
}
