import Foundation
import Glibc
import TestSupport
import Testing

@testable import vswitchd

/// Debian's `ovs-appctl` and `ovsdb-client` on the running daemon, command by command.
@Suite(.blocking, .enabled(if: canRunDaemon, "needs root and ovs-vsctl"), .serialized)
struct OpenVSwitchToolsTests {
  private let directory: TemporaryDirectory
  private let daemon: RunningDaemon

  init() throws {
    directory = try TemporaryDirectory()
    daemon = try RunningDaemon(directory.path + "/run", arguments: ["--log-file", directory.path + "/log"])
    try daemon.vsctl(
      "add-br", "br0", "--", "add-port", "br0", "t1", "--", "set", "interface", "t1", "type=tap", "--", "add-port",
      "br0", "p1", "--", "set", "interface", "p1", "type=patch", "options:peer=p2")
  }

  private func output(_ arguments: String...) throws -> String {
    let result = try runProgram(
      ["ovs-appctl", "-t", "vswitchd"] + arguments, environment: ["OVS_RUNDIR": daemon.runDirectory])
    #expect(result.status == 0, "\(arguments): \(result)")
    #expect(result.errors == "", "\(arguments)")
    return result.output
  }

  private func refusal(_ arguments: String...) throws -> String {
    let result = try runProgram(
      ["ovs-appctl", "-t", "vswitchd"] + arguments, environment: ["OVS_RUNDIR": daemon.runDirectory])
    #expect(result.status == 2, "\(arguments): \(result)")
    #expect(result.output == "")
    let lines = result.errors.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.dropFirst() == ["ovs-appctl: vswitchd: server returned an error", ""], "\(result)")
    return String(lines.first ?? "")
  }

  @Test func commandsAreListed() throws {
    let list = try output("list-commands")
    for command in [
      "version", "list-commands", "exit", "vlog/list", "vlog/set", "fdb/show", "fdb/flush", "dpif/show",
      "coverage/show", "memory/show",
    ] {
      #expect(list.contains("\n  \(command) "), "\(command)")
    }
    #expect(try output("version") == "vswitchd \(Version.program)\n")
  }

  @Test func wrongCallsAreRefusedAsOpenVSwitchDoes() throws {
    #expect(
      try refusal("nosuch")
        == "\"nosuch\" is not a valid command (use \"list-commands\" to see a list of valid commands)")
    #expect(try refusal("coverage/show", "x") == "\"coverage/show\" command takes at most 0 arguments")
    #expect(try refusal("fdb/show") == "\"fdb/show\" command requires at least 1 arguments")
    #expect(try refusal("fdb/show", "nosuch") == "no such bridge")
    #expect(try refusal("fdb/flush", "nosuch") == "no such bridge")
    #expect(try refusal("vlog/set", "nosuch") == "no destination, level, or module \"nosuch\"")
  }

  @Test func logLevelsAreChangedByModule() throws {
    let before = try output("vlog/list")
    #expect(before.hasPrefix("                 console    syslog    file\n"))
    #expect(before.contains("\nreconciler         OFF        OFF       INFO\n"))
    #expect(try output("vlog/set", "reconciler:file:dbg", "ovsdb:warn") == "")
    let after = try output("vlog/list")
    #expect(after.contains("\nreconciler         OFF        OFF        DBG\n"))
    #expect(after.contains("\novsdb              OFF        OFF       WARN\n"))
    #expect(after.contains("\ncontrol            OFF        OFF       INFO\n"))
    #expect(try output("vlog/set", "ANY:ANY:off") == "")
    try daemon.vsctl("add-port", "br0", "nosuch1")
    let log = try String(contentsOfFile: directory.path + "/log", encoding: .utf8)
    #expect(!log.contains("nosuch1"))
    #expect(try output("vlog/set", "info") == "")
    try daemon.vsctl("add-port", "br0", "nosuch2")
    #expect(try String(contentsOfFile: directory.path + "/log", encoding: .utf8).contains("nosuch2"))
  }

  @Test func portsAndStationsAreShown() throws {
    let ports = try output("dpif/show")
    #expect(ports.hasPrefix("netdev@vswitchd: hit:"))
    #expect(ports.contains("\n  br0:\n    br0 65534/"))
    #expect(ports.contains("\n    p1 1/none: (patch: peer=p2)\n"))
    #expect(ports.contains(/\n    t1 2\/\d+: \(tap\)\n/))
    #expect(try output("fdb/show", "br0").hasPrefix(" port  VLAN  MAC                Age\n"))
    #expect(try output("fdb/add", "br0", "t1", "5", "02:00:00:00:00:07") == "")
    #expect(try output("fdb/show", "br0").contains("    2     5  02:00:00:00:00:07  static\n"))
    #expect(try output("fdb/flush", "br0") == "table successfully flushed\n")
    #expect(try output("fdb/flush") == "table successfully flushed\n")
  }

  @Test func memoryAndCoverageAreReal() throws {
    func memory() throws -> [String: Int] {
      let words = try output("memory/show").split(whereSeparator: \.isWhitespace).map { $0.split(separator: ":") }
      return Dictionary(uniqueKeysWithValues: words.map { (String($0[0]), Int($0[1]) ?? -1) })
    }
    let before = try memory()
    #expect(before["bridges"] == 1)
    #expect(before["ports"] == 3)
    #expect(before["rows"] == 8)
    #expect(before["sessions"] == 0)
    let client = try BackgroundCommand(["ovsdb-client", "monitor", "unix:\(daemon.runDirectory)/db.sock", "Bridge"])
    #expect(try eventually { try memory()["monitors"] == 1 })
    #expect(try memory()["sessions"] == 1)
    _ = try output("fdb/add", "br0", "t1", "5", "02:00:00:00:00:07")
    #expect(try memory()["mac-entries"] == (before["mac-entries"] ?? 0) + 1)
    client.kill9()
    #expect(try eventually { try memory()["sessions"] == 0 })

    func total(_ event: String) throws -> Int {
      let line = try output("coverage/show").split(separator: "\n").first { $0.hasPrefix(event + " ") }
      return line?.split(separator: " ").last.flatMap { Int($0) } ?? 0
    }
    let passes = try total("reconcile_pass")
    #expect(passes >= 2)
    try daemon.vsctl("add-br", "br1")
    #expect(try total("reconcile_pass") > passes)
    _ = try refusal("nosuch")
    #expect(try total("control_request_failed") == 1)
  }

  @Test(arguments: [["exit"], ["exit", "--cleanup"]])
  func exitEndsAndLeavesTheConfiguration(_ command: [String]) throws {
    let result = try runProgram(
      ["ovs-appctl", "-t", "vswitchd"] + command, environment: ["OVS_RUNDIR": daemon.runDirectory])
    #expect(result.status == 0)
    #expect(daemon.wait() == 0)
    let again = try RunningDaemon(daemon.runDirectory)
    #expect(try again.vsctl("list-ports", "br0").output == "p1\nt1\n")
  }

  @Test func ovsdbClientWorksOnTheEmbeddedStore() throws {
    let remote = "unix:\(daemon.runDirectory)/db.sock"
    #expect(try require(["ovsdb-client", "list-dbs", remote]) == "Open_vSwitch\n_Server\n")
    #expect(try require(["ovsdb-client", "get-schema-version", remote, "Open_vSwitch"]) == "8.3.1\n")
    let monitor = try BackgroundCommand([
      "ovsdb-client", "monitor", "--format=csv", "--no-headings", remote, "Open_vSwitch", "Port", "name,tag",
    ])
    #expect(eventually { monitor.output.contains("initial,p1,[]") })
    let transaction = """
      ["Open_vSwitch",{"op":"update","table":"Port","where":[["name","==","t1"]],"row":{"tag":42}},\
      {"op":"select","table":"Port","where":[["name","==","t1"]],"columns":["name","tag"]}]
      """
    #expect(
      try require(["ovsdb-client", "transact", remote, transaction])
        == #"[{"count":1},{"rows":[{"name":"t1","tag":42}]}]"# + "\n")
    #expect(eventually { monitor.output.contains(",new,t1,42") }, "\(monitor.output)")
    let dump = try require(["ovsdb-client", "dump", "--format=csv", remote, "Open_vSwitch", "Port", "name", "tag"])
    #expect(dump.contains("t1,42\n"))

    // A backup is a database that a real ovsdb-server takes.
    let server = OVSDBServerProcess(existing: "backup", in: directory.path)
    try Data(require(["ovsdb-client", "backup", remote, "Open_vSwitch"]).utf8).write(to: URL(filePath: server.file))
    try server.start()
    #expect(try server.vsctl("--no-wait", "get", "port", "t1", "tag").output == "42\n")
  }
}
