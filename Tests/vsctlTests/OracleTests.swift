// The built program beside Debian's ovs-vsctl, each on a real ovsdb-server: the same lines, the same output and exit
// status, the same rows in the end. UUIDs, which are random, are masked; where ovs-vsctl's own order is that of a hash
// table, lines are sorted.

import Foundation
import TestSupport
import Testing

@testable import vsctl

/// A private ovsdb-server with the Open_vSwitch schema, ended and removed with this object.
final class DatabaseLab {
  let directory: String
  private let server: BackgroundCommand

  static let isAvailable: Bool = {
    let found =
      ["ovs-vsctl", "ovsdb-server", "ovsdb-tool", "ovsdb-client"].allSatisfy(TestEnvironment.hasProgram)
      && FileManager.default.fileExists(atPath: schema)
    return found || TestEnvironment.isContinuousIntegration
  }()
  private static let schema = "/usr/share/openvswitch/vswitch.ovsschema"

  init() throws {
    directory = NSTemporaryDirectory() + "vsctl-\(getpid())-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    try require(["ovsdb-tool", "create", "\(directory)/conf.db", Self.schema])
    server = try BackgroundCommand([
      "ovsdb-server", "\(directory)/conf.db", "--remote=punix:\(directory)/db.sock", "--no-chdir",
      "--unixctl=\(directory)/server.ctl", "-vconsole:off",
    ])
    // Its answer, not the socket file: that appears before the server listens, and a client in between is refused.
    let ask = ["ovsdb-client", "list-dbs", "unix:\(directory)/db.sock"]
    guard try eventually(.seconds(10), { try runCommand(ask).isSuccess }) else {
      throw TestFailure("ovsdb-server did not start: \(server.errorOutput)")
    }
  }

  deinit {
    server.kill9()
    try? FileManager.default.removeItem(atPath: directory)
  }

  static var program: String { TestEnvironment.programDirectory + "/vsctl" }

  @discardableResult
  func reference(_ words: [String]) throws -> CommandResult {
    try runCommand(["ovs-vsctl", "--no-wait", "--db=unix:\(directory)/db.sock"] + words)
  }

  @discardableResult
  func ours(_ words: [String], waits: Bool = false) throws -> CommandResult {
    try runCommand([Self.program, "--run-dir", directory] + (waits ? [] : ["--no-wait"]) + words)
  }

  func oursInBackground(_ words: [String]) throws -> BackgroundCommand {
    try BackgroundCommand([Self.program, "--run-dir", directory] + words)
  }
}

@Suite(.enabled(if: DatabaseLab.isAvailable, "needs Debian's openvswitch-switch")) struct OracleTests {
  /// Words are separated by spaces; an underscore in quotes stands for nothing else.
  static let script: [String] = [
    "show", "list-br", "--may-exist add-br br0", "add-br br0", "--may-exist add-br br0", "add-br br1",
    "add-port br0 p1 tag=10 trunks=10,20 vlan_mode=access -- set interface p1 type=tap options:netns=foo",
    "add-port br0 p1", "--may-exist add-port br0 p1", "--may-exist add-port br1 p1", "add-port nosuch p2",
    "add-port br0 br0",
    "add-port br0 p2 -- set interface p2 external_ids:a=b external_ids:n=5 external_ids:q=\"x,y\" external_ids:u=_z",
    "list-ports br0", "list-ports nosuch", "list-ifaces br0", "port-to-br p1", "port-to-br nosuch", "iface-to-br p2",
    "iface-to-br br0", "br-exists br0", "br-exists nosuch", "br-exists nosuch -- add-br never", "show", "list-br",
    "add-br v30 br0 30", "add-br w30 br0 30", "add-br v31 v30 31", "add-br x br0", "add-br x br0 4096",
    "add-port v30 f1",
    "add-port v30 f2 tag=7", "list-ports v30", "list-ports br0", "port-to-br f1", "--fake list-br", "--real list-br",
    "br-to-vlan v30", "br-to-parent v30", "br-to-vlan br0", "del-port br0 f1", "del-port br0 f2",
    "--may-exist add-br v30 br0 30",
    "--may-exist add-br v30 br0 31", "--may-exist add-br v30", "get port p1 tag trunks vlan_mode",
    "get interface p2 external_ids",
    "get interface p2 external_ids:n", "get interface p2 external_ids:none",
    "--if-exists get interface p2 external_ids:none",
    "get port nosuch tag", "--if-exists get port nosuch tag", "get port p1 nosuch", "get p p1 ta",
    "get PORT p1 vlan-mode",
    "get port p1 b", "set port p1 tag=4096", "set port p1 tag=11 trunks=[]", "set port p1 tag=1,2", "set port p1 tag",
    "set port p1",
    "set port p1 vlan_mode=nope", "set port p1 name=x", "set port p1 trunks=1-3 protected=yes",
    "get port p1 trunks protected",
    "set interface p2 options:a=b:c other_config=x=1,y=2", "get interface p2 options other_config",
    "set interface p2 type=\"\"", "--if-exists set port nosuch tag=1", "set nosuch p1 tag=1", "set q p1 tag=1",
    "add port p1 trunks 5 6 7,8", "remove port p1 trunks 5 99", "get port p1 trunks", "add port p2 tag 5",
    "add port p2 tag 6",
    "remove port p2 tag 5", "add interface p2 external_ids a=z r=s", "remove interface p2 external_ids r a=nomatch",
    "get interface p2 external_ids", "clear interface p2 external_ids", "clear interface p2 name",
    "clear port p1 bogus",
    "--columns=name,tag list port", "--columns=name,tag list port p1 p2", "--columns=name list port nosuch",
    "--if-exists --columns=name list port nosuch", "-f table --columns=name,tag,trunks list port p1 p2",
    "-f csv --columns=name,tag,trunks list port p1", "-f json --columns=name,tag,trunks,external_ids list port p1",
    "-f html --columns=name,type list interface p2", "-d json --columns=name,tag,trunks list port p1",
    "-d bare --columns=name,trunks,options list interface p1", "--bare --columns=name,trunks list port p1 p2",
    "--no-headings -f table --columns=name,tag list port p1 p2", "list port p1", "list bridge br0", "list interface p1",
    "list open",
    "list nosuch", "list qos", "--columns=name find port tag=11", "--columns=name find port tag!=11",
    "--columns=name find port tag>7",
    "--columns=name find port trunks{>=}6,7", "--columns=name find port trunks{<=}1,2,3,6,7,8,9",
    "--columns=name find port trunks=[]",
    "--columns=name find interface options:netns=foo", "--columns=name find interface options:netns!=foo",
    "find port tag",
    "--columns=name find port name{not-in}p1", "--columns=name find port nosuch=1", "--columns=,, list port",
    "list qos -- list port p1",
    "--id=@q create qos type=linux-htb -- set port p1 qos=@q", "list qos",
    "-- set port p2 qos=@r -- --id=@r create qos type=x",
    "set port p1 qos=@none", "--all destroy qos", "clear port p1 qos -- clear port p2 qos -- --all destroy qos",
    "list qos",
    "destroy qos nosuch", "--if-exists destroy qos nosuch", "br-set-external-id br0 k v", "br-get-external-id br0 k",
    "br-get-external-id br0", "br-set-external-id v30 k v", "get port v30 external_ids", "br-get-external-id v30",
    "br-set-external-id br0 k",
    "br-get-external-id br0", "set-fail-mode br0 secure", "get-fail-mode br0", "set-fail-mode br0 x",
    "del-fail-mode br0",
    "get-fail-mode br0", "set-controller br0 tcp:127.0.0.1:6653", "get-controller br0", "get controller br0 target",
    "del-controller br0",
    "add-port br1 t1 -- del-port t1 -- add-port br1 t1 tag=5 -- list-ports br1", "get port t1 tag",
    "--oneline list-br -- list-ports br0",
    "--dry-run add-br dry -- list-br", "list-br -- add-br br1", "list-br", "nosuch", "", "--", "--may-exist",
    "--may-exist list-br",
    "--nosuch list-br", "list-br x", "add-port br0", "-- list-br -- -- list-br --", "--with-iface del-port p2",
    "--if-exists del-port nosuch", "del-port nosuch", "del-port br0", "del-port v30", "del-port f2 br1", "del-br v30",
    "list-br",
    "list-ports br0", "--if-exists del-br nosuch", "del-br nosuch", "del-br br1", "set open . external_ids:a=b",
    "get open . external_ids",
    "init", "show",
  ]

  private func words(_ line: String) -> [String] { line.split(separator: " ").map(String.init) }

  /// UUIDs masked, paragraphs in order where the reference's own order is arbitrary.
  private func comparable(_ text: String, of line: String) -> String {
    let masked = text.replacing(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/, with: "UUID")
    guard line.contains("show") || line.contains("list ") || line.contains("find ") || line.hasSuffix("list") else {
      return masked
    }
    return masked.split(separator: "\n", omittingEmptySubsequences: false).sorted().joined(separator: "\n")
  }

  @Test func everyLineAnswersAsTheReferenceDoes() throws {
    let (theirs, ours) = (try DatabaseLab(), try DatabaseLab())
    for line in Self.script {
      let expected = try theirs.reference(words(line))
      let found = try ours.ours(words(line))
      #expect(found.status == expected.status, "status of \(line): \(found.errorOutput)\(expected.errorOutput)")
      #expect(comparable(found.output, of: line) == comparable(expected.output, of: line), "output of \(line)")
      #expect(found.errorOutput.isEmpty == expected.errorOutput.isEmpty, "\(line): \(found.errorOutput)")
      #expect(found.errorOutput.split(separator: "\n").count <= 1, "\(line): \(found.errorOutput)")
    }
    for table in ["bridge", "port", "interface", "open_vswitch"] {
      let (a, b) = (try theirs.reference(["list", table]).output, try ours.reference(["list", table]).output)
      #expect(comparable(a, of: "list ") == comparable(b, of: "list "))
    }
  }

  @Test func onTheSameDatabaseShowIsTheSameToTheByte() throws {
    let lab = try DatabaseLab()
    for line in [
      "add-br br0 -- add-br b-1 -- add-br c/d", "set-fail-mode br0 secure", "set-controller br0 tcp:1.2.3.4:5 ptcp:9",
      "set bridge br0 datapath_type=netdev", "set open . ovs_version=3.1.0", "add-br v30 br0 30",
    ]
      + (0..<30).map({
        "add-port br0 p\($0) tag=\($0) trunks=1,\($0 + 2) -- set interface p\($0) type=tap options:peer=x\($0)"
      })
    {
      let result = try lab.reference(words(line))
      #expect(result.isSuccess, "\(line): \(result.errorOutput)")
    }
    #expect(
      try lab.reference(["set", "interface", "p3", "error=\"could not open network device p3 (No such device)\""])
        .isSuccess)
    let expected = try lab.reference(["show"]).output
    #expect(try lab.ours(["show"]).output == expected)
    #expect(expected.contains("error: \"could not open"))
  }

  @Test func returnsOnlyAfterTheSwitchHasTheChangeAndSaysWhatCannotWork() throws {
    let lab = try DatabaseLab()
    #expect(try lab.ours(["add-br", "br0"]).isSuccess)
    let command = try lab.oursInBackground(["add-port", "br0", "nosuch1", "--", "get", "port", "nosuch1", "name"])
    #expect(try eventually { try lab.reference(["get", "open", ".", "next_cfg"]).output == "1\n" })
    #expect(try lab.reference(["list-ports", "br0"]).output == "nosuch1\n")
    #expect(command.isRunning)
    let error = "error=\"could not open network device nosuch1 (No such device)\""
    #expect(
      try lab.reference(["set", "interface", "nosuch1", "ofport=-1", error, "--", "set", "open", ".", "cur_cfg=1"])
        .isSuccess)
    #expect(command.waitForExit(.seconds(5)) == 0)
    #expect(command.output == "nosuch1\n")
    #expect(
      command.errorOutput == "vsctl: port nosuch1: could not open network device nosuch1 (No such device): "
        + "create the device or set type=tap\n")
  }

  @Test func aTimeoutEndsTheWaitButKeepsTheChange() throws {
    let lab = try DatabaseLab()
    let result = try lab.ours(["--timeout=1", "add-br", "br0"], waits: true)
    #expect(result.status == 142)
    #expect(result.errorOutput.hasPrefix("vsctl: timed out after 1 s"))
    #expect(try lab.reference(["list-br"]).output == "br0\n")
  }

  @Test func manyAtOnceAllSucceed() throws {
    let lab = try DatabaseLab()
    #expect(try lab.ours(["add-br", "br0"]).isSuccess)
    let commands =
      try (0..<6).map { try lab.oursInBackground(["--no-wait", "add-port", "br0", "p\($0)"]) }
      + (0..<4).map { _ in try lab.oursInBackground(["--no-wait", "--may-exist", "add-port", "br0", "same"]) }
    for command in commands { #expect(command.waitForExit(.seconds(20)) == 0, "\(command.errorOutput)") }
    #expect(try lab.reference(["list-ports", "br0"]).output == "p0\np1\np2\np3\np4\np5\nsame\n")
  }

  @Test func aTypeThatTheSwitchLacksIsRefusedBeforeAnythingChanges() throws {
    let lab = try DatabaseLab()
    #expect(try lab.ours(["add-br", "br0"]).isSuccess)
    #expect(try lab.reference(["set", "open", ".", "iface_types=internal,patch,system,tap"]).isSuccess)
    let refused = try lab.ours(["add-port", "br0", "p1", "--", "set", "interface", "p1", "type=tpa"])
    #expect(refused.status == 1)
    #expect(
      refused.errorOutput
        == "vsctl: interface p1: this switch has no type \"tpa\": did you mean tap? types are internal, patch, system, tap\n"
    )
    #expect(try lab.reference(["list-ports", "br0"]).output == "")
    #expect(try lab.ours(["add-port", "br0", "p1", "--", "set", "interface", "p1", "type=tap"]).isSuccess)
  }
}
