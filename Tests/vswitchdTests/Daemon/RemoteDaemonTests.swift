import Foundation
import Glibc
import TestSupport
import Testing

@testable import vswitchd

/// `vswitchd --db`: the configuration is in a real ovsdb-server.
@Suite(
  .blocking,
  .enabled(if: canRunDaemon && OVSDBServerProcess.isInstalled, "needs root and openvswitch-switch"), .serialized)
struct RemoteDaemonTests {
  private func status(_ daemon: RunningDaemon) throws -> String { try daemon.appctl("status").output }

  @Test func configurationIsTakenFromTheServerAndStatusGoesThere() throws {
    let directory = try TemporaryDirectory()
    let server = try OVSDBServerProcess(directory: directory.path)
    let daemon = try RunningDaemon(directory.path + "/run", arguments: ["--db", server.remote])
    #expect(try eventually { try status(daemon).contains("\(server.remote), ready") })
    // Not by ovs-vsctl, which would make the row.
    let select = #"["Open_vSwitch",{"op":"select","table":"Open_vSwitch","where":[]}]"#
    #expect(
      try require(["ovsdb-client", "transact", server.remote, select]) == "[{\"rows\":[]}]\n",
      "an empty database is waited for, not filled")

    #expect(try server.vsctl("add-br", "br0").isSuccess)
    let added = try server.vsctl(
      "add-port", "br0", "t1", "tag=10", "--", "set", "interface", "t1", "type=tap", "ofport_request=7", "--",
      "add-port", "br0", "nosuch1")
    #expect(added.errorOutput.contains("could not open network device nosuch1 (No such device)"))
    #expect(try server.vsctl("get", "interface", "t1", "ofport", "error").output == "7\n[]\n")
    #expect(try server.vsctl("get", "interface", "nosuch1", "ofport").output == "-1\n")
    #expect(try server.vsctl("get", "open_vswitch", ".", "ovs_version").output == "\"\(Version.openVSwitch)\"\n")
    #expect(try daemon.appctl("dpif/show").output.contains("t1 7/"))
    #expect(try daemon.appctl("memory/show").output.contains(" ports:2 "))
    let files = try FileManager.default.contentsOfDirectory(atPath: daemon.runDirectory)
    #expect(!files.contains("db.sock") && !files.contains("vswitch.sqlite"))

    server.kill9()
    #expect(try eventually { try status(daemon).contains("\(server.remote), away (") })
    #expect(try daemon.appctl("dpif/show").output.contains("t1 7/"), "ports stay as they were")
    try server.start()
    #expect(try server.vsctl("del-port", "t1").isSuccess, "answered: cur_cfg is raised again")
    #expect(try !daemon.appctl("dpif/show").output.contains("t1 7/"))
    daemon.send(SIGTERM)
    #expect(daemon.wait() == 0)
    #expect(try server.vsctl("list-br").output == "br0\n", "the end of the daemon leaves the configuration")
  }

  @Test func withoutTheLockTheDaemonTouchesNothing() throws {
    let directory = try TemporaryDirectory()
    let server = try OVSDBServerProcess(directory: directory.path)
    let first = try RunningDaemon(directory.path + "/run1", arguments: ["--db", server.remote])
    #expect(try server.vsctl("add-br", "br0").isSuccess)
    let second = try RunningDaemon(directory.path + "/run2", arguments: ["--db", server.remote])
    #expect(try eventually { try status(second).contains("locked (another process holds its lock") })
    #expect(try server.vsctl("add-br", "br1").isSuccess)
    #expect(try second.appctl("dpif/show").output == "netdev@vswitchd: hit:0 missed:0\n")
    #expect(second.log.contains("another process holds the lock ovs_vswitchd"))
    first.send(SIGKILL)
    first.wait()
    #expect(
      try eventually(.seconds(10)) {
        let ports = try second.appctl("dpif/show").output
        return ports.contains("br0 65534/") && ports.contains("br1 65534/")
      })
    #expect(try status(second).contains("\(server.remote), ready"))
  }

  /// Every change that a client of the cluster got an answer for is at the switch, though the leader is killed twice.
  @Test func everyAnsweredChangeReachesTheSwitchThoughLeadersDie() throws {
    let directory = try TemporaryDirectory()
    let cluster = try OVSDBClusterProcesses(directory: directory.path)
    let daemon = try RunningDaemon(directory.path + "/run", arguments: ["--db", cluster.remote])
    func vsctl(_ arguments: String...) throws -> CommandResult {
      try runCommand(
        ["ovs-vsctl", "--timeout=30", "--retry", "--db=\(cluster.remote)"] + arguments, deadline: .seconds(40))
    }
    #expect(try vsctl("add-br", "br0").isSuccess)
    var answered: [String] = []
    var killed: [OVSDBServerProcess] = []
    for number in 0..<24 {
      if number == 8 || number == 16 {
        for member in killed where !member.isRunning { try member.start() }
        var leader: OVSDBServerProcess?
        #expect(
          try eventually(.seconds(20)) {
            leader = try cluster.leader()
            return leader != nil
          })
        leader?.kill9()
        if let leader { killed.append(leader) }
      }
      let name = "t\(number)"
      // ovs-vsctl waits for cur_cfg, so that an answer means that the switch has it.
      if try vsctl("--may-exist", "add-port", "br0", name, "--", "set", "interface", name, "type=tap").isSuccess {
        answered.append(name)
        let ports = try daemon.appctl("dpif/show").output
        #expect(ports.contains(" \(name) "), "\(name) is not there: \(ports)")
      }
    }
    #expect(killed.count == 2)
    #expect(answered.count >= 20, "\(answered)")
    let ports = try daemon.appctl("dpif/show").output
    for name in answered { #expect(ports.contains(" \(name) "), "\(name)") }
  }

  @Test(arguments: [
    (["--db", "nonsense"], "\"nonsense\" is no place of a database"),
    (["--db", "ssl:127.0.0.1:1"], "give --private-key, --certificate and --ca-cert together"),
    (["--db", "unix:a", "--store", "b"], "--store and --db exclude each other"),
    (
      ["--db", "ssl:127.0.0.1:1", "-p", "/nosuch", "-c", "/nosuch", "-C", "/nosuch"], "cannot use the"
    ),
  ])
  func badOptionIsOneLine(_ arguments: [String], _ words: String) throws {
    let directory = try TemporaryDirectory()
    let result = try runProgram(
      ["timeout", "10", RunningDaemon.executable, "--run-dir", directory.path + "/run"] + arguments)
    #expect(result.status == 1)
    #expect(result.errors.contains(words), "\(result)")
    #expect(result.errors.split(separator: "\n").count == 1)
  }
}
