// The switch with its configuration in a real ovsdb-server: packets don't depend on it.

import Foundation
import Glibc
import TestSupport
import Testing

@Suite(
  .blocking,
  .enabled(
    if: TestEnvironment.canUseNamespaces && OVSDBServerProcess.isInstalled, "needs root and openvswitch-switch"),
  .serialized)
struct RemoteDatabaseTests {
  @Test func packetsFlowWhileTheDatabaseIsAway() throws {
    try withLab { lab in
      let server = try OVSDBServerProcess(directory: lab.directory)
      let daemon = try lab.start(
        [
          "\(TestEnvironment.programDirectory)/vswitchd", "--run-dir", "\(lab.directory)/run", "--db", server.remote,
        ], in: lab.namespace("sw"))
      #expect(try server.vsctl("add-br", "br0").isSuccess)
      var hosts: [String] = []
      for number in 1...2 {
        let host = try lab.namespace("h\(number)")
        hosts.append(host)
        #expect(
          try server.vsctl(
            "add-port", "br0", "h\(number)", "--", "set", "interface", "h\(number)", "type=tap",
            "options:netns=\(host)"
          ).isSuccess)
        try lab.giveAddresses(["192.0.2.\(number)/24"], to: "h\(number)", in: host)
      }
      #expect(try eventually { try lab.canPing("192.0.2.2", from: hosts[0]) })

      server.kill9()
      let ping = try lab.run(
        ["ping", "-n", "-q", "-c", "60", "-i", "0.05", "-W", "1", "192.0.2.2"], in: hosts[0])
      #expect(ping.contains("60 received"), "\(ping)")
      #expect(daemon.isRunning)

      try server.start()
      #expect(try server.vsctl("set", "port", "h2", "tag=10").isSuccess, "\(daemon.errorOutput)")
      #expect(try !lab.canPing("192.0.2.2", from: hosts[0]), "a change is acted on as before")
      #expect(daemon.stop() == 0)
    }
  }

  @Test func databaseIsReachedByTLS() throws {
    try withLab { lab in
      let namespace = try lab.namespace("sw")
      let directory = lab.directory
      try lab.run([
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=switch", "-keyout",
        "\(directory)/key.pem", "-out", "\(directory)/cert.pem",
      ])
      try lab.run(["ovsdb-tool", "create", "\(directory)/db.db", OVSDBServerProcess.stockSchema])
      // In the daemon's namespace: the loopback of another is another.
      let files = ["--private-key", "\(directory)/key.pem", "--certificate", "\(directory)/cert.pem"]
      let trust = ["--ca-cert", "\(directory)/cert.pem"]
      _ = try lab.start(
        [
          "ovsdb-server", "\(directory)/db.db", "--remote=punix:\(directory)/db.sock", "--remote=pssl:6640:127.0.0.1",
          "--unixctl=\(directory)/db.ctl",
        ]
          + files + trust, in: namespace)
      let daemon = try lab.start(
        [
          "\(TestEnvironment.programDirectory)/vswitchd", "--run-dir", "\(directory)/run", "--db",
          "ssl:127.0.0.1:6640",
        ] + files + trust, in: namespace)
      #expect(eventually { FileManager.default.fileExists(atPath: "\(directory)/db.sock") })
      let result = try lab.attempt(["ovs-vsctl", "--timeout=15", "--db=unix:\(directory)/db.sock", "add-br", "br0"])
      #expect(result.isSuccess, "\(result.errorOutput)\(daemon.errorOutput)")
      #expect(daemon.stop() == 0)
    }
  }
}
