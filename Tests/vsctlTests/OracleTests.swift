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

@Suite(.blocking, .enabled(if: DatabaseLab.isAvailable, "needs Debian's openvswitch-switch")) struct OracleTests {
  private func words(_ line: String) -> [String] { line.split(separator: " ").map(String.init) }

  /// UUIDs masked, paragraphs in order where the reference's own order is arbitrary.
  private func comparable(_ text: String, of line: String) -> String {
    let masked = text.replacing(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/, with: "UUID")
    guard line.contains("show") || line.contains("list ") || line.contains("find ") || line.hasSuffix("list") else {
      return masked
    }
    return masked.split(separator: "\n", omittingEmptySubsequences: false).sorted().joined(separator: "\n")
  }

  /// What the switch itself writes, which differs from one with no switch at all.
  private static let statusColumns: Set<String> = [
    "admin_state", "cur_cfg", "datapath_id", "datapath_types", "datapath_version", "db_version", "dpdk_version",
    "duplex",
    "error", "iface_types", "ifindex", "link_resets", "link_speed", "link_state", "mac_in_use", "mtu", "next_cfg",
    "ofport", "ovs_version", "statistics", "status", "system_type", "system_version",
  ]

  private func withoutStatus(_ text: String) -> String {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).filter { line in
      let name = line.drop { $0 == " " }.prefix { $0 != " " && $0 != ":" }
      return !Self.statusColumns.contains(String(name))
    }
    // The machine's name, which the switch gives to a row that has none.
    return lines.joined(separator: "\n").replacing(#/(, )?system-id="?[-0-9a-zA-Z]+"?/#, with: "")
      .replacingOccurrences(of: "{, ", with: "{")
  }

  @Test func everyLineAnswersAsTheReferenceDoes() throws {
    #expect(OracleScript.common.count + OracleScript.more.count > 150)
    let (theirs, ours) = (try DatabaseLab(), try DatabaseLab())
    for line in OracleScript.common + OracleScript.more {
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

  @Test(.enabled(if: TestEnvironment.canUseNamespaces, "needs root"))
  func onTheEmbeddedStoreBothAnswerAsOnTheirs() throws {
    try withLab { lab in
      let theirs = try DatabaseLab()
      let (first, second) = (try lab.daemon(), try lab.daemon())
      for line in OracleScript.common + OracleScript.more {
        let expected = try theirs.reference(words(line))
        let reference = try runCommand(["ovs-vsctl", "--no-wait", "--db=\(first.database)"] + words(line))
        let ours = try second.vsctl(["--no-wait"] + words(line))
        let text = comparable(withoutStatus(expected.output), of: line)
        for (found, name) in [(reference, "ovs-vsctl"), (ours, "vsctl")] {
          #expect(found.status == expected.status, "\(name) \(line): \(found.errorOutput)\(expected.errorOutput)")
          #expect(comparable(withoutStatus(found.output), of: line) == text, "output of \(name) \(line)")
        }
      }
    }
  }

  /// Calendar time and the labs' own directories masked.
  private func message(_ text: String, _ lab: DatabaseLab) -> String {
    comparable(text.replacingOccurrences(of: lab.directory, with: "DIR"), of: "")
      .replacing(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/, with: "TIME")
  }

  @Test func calledByItsNameTheProgramIsOvsVsctlInItsMessagesToo() throws {
    let (theirs, ours) = (try DatabaseLab(), try DatabaseLab())
    let path = "\(ours.directory)/bin"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    try FileManager.default.createSymbolicLink(
      atPath: "\(path)/ovs-vsctl", withDestinationPath: DatabaseLab.program)
    // What the server refuses both tell in its words, but ours sees it coming.
    let skipped: Set<String> = ["add port p2 tag 6", "help set"]
    for line in OracleScript.common + OracleScript.more + OracleScript.grammar where !skipped.contains(line) {
      let expected = try theirs.reference(words(line))
      let found = try runCommand(
        ["\(path)/ovs-vsctl", "--no-wait", "--db=unix:\(ours.directory)/db.sock"] + words(line))
      #expect(found.status == expected.status, "status of \(line)")
      #expect(comparable(found.output, of: line) == comparable(expected.output, of: line), "output of \(line)")
      let said = message(found.errorOutput, ours).replacingOccurrences(of: "DIR/bin/", with: "")
      let wanted = message(expected.errorOutput, theirs).replacingOccurrences(of: "/usr/bin/", with: "")
      #expect(said == wanted, "\(line)")
    }
  }

  @Test func theSchemaIsOneThatOvsdbToolTakes() throws {
    let lab = try DatabaseLab()
    let schema = try require([DatabaseLab.program, "schema"])
    try schema.write(toFile: "\(lab.directory)/our.ovsschema", atomically: true, encoding: .utf8)
    try require(["ovsdb-tool", "create", "\(lab.directory)/our.db", "\(lab.directory)/our.ovsschema"])
    #expect(try require(["ovsdb-tool", "db-version", "\(lab.directory)/our.db"]) == "8.3.1\n")
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
