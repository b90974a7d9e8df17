// The built program when the daemon is absent, out of reach, or answers on its control socket.

import Foundation
import Glibc
import OVSDB
import TestSupport
import Testing

@testable import vsctl

@Suite(.blocking) struct ReachabilityTests {
  private func makeDirectory() throws -> String {
    let directory = NSTemporaryDirectory() + "vsctl-\(getpid())-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    return directory
  }

  private func run(_ words: [String]) throws -> CommandResult { try runCommand([DatabaseLab.program] + words) }

  @Test(arguments: [["list-br"], ["status"]])
  func anAbsentRunDirectoryIsNamed(words: [String]) throws {
    let result = try run(["--run-dir", "/nonexistent/vswitch"] + words)
    #expect(result.status == 1)
    #expect(
      result.errorOutput.hasPrefix(
        "vsctl: there is no directory /nonexistent/vswitch, so no switch runs there: start it"))
    #expect(result.errorOutput.split(separator: "\n").count == 1)
  }

  @Test func aRunDirectoryWithoutDaemonSaysHowToStartIt() throws {
    let directory = try makeDirectory()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let result = try runCommand([DatabaseLab.program, "show"], environment: ["VSWITCH_RUNDIR": directory])
    #expect(result.status == 1)
    #expect(
      result.errorOutput == "vsctl: there is no \(directory)/db.sock: vswitchd is not running there: "
        + "start it with \"vswitchd --run-dir \(directory)\"\n")
  }

  @Test func aSocketThatNobodyListensOnIsNoMystery() throws {
    let directory = try makeDirectory()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let socket = try UnixSocket(path: "\(directory)/db.sock", listens: false)
    defer { withExtendedLifetime(socket) {} }
    let result = try run(["--run-dir", directory, "list-br"])
    #expect(result.status == 1)
    #expect(
      result.errorOutput
        == "vsctl: nobody answers on unix:\(directory)/db.sock: start it with \"vswitchd --run-dir \(directory)\"\n")
  }

  @Test(.enabled(if: getuid() == 0, "needs root to become somebody else"))
  func aRunDirectoryWithoutPermissionIsNamed() throws {
    let directory = try makeDirectory()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    // A copy, for the build directory may be out of an ordinary user's reach; made by another process, for one that
    // a test beside this one starts would hold the file open for writing ("Text file busy").
    let program = "\(directory)/vsctl"
    try require(["cp", DatabaseLab.program, program])
    let locked = "\(directory)/run"
    try FileManager.default.createDirectory(
      atPath: locked, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: directory)
    let result = try runCommand([
      "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, "--run-dir", locked, "list-br",
    ])
    #expect(result.status == 1)
    #expect(
      result.errorOutput
        == "vsctl: no permission to use \(locked)/db.sock: run vsctl as root, or as a user who may use it\n")
  }

  @Test func aStalePidfileIsSeenThrough() throws {
    let directory = try makeDirectory()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    try "999999999\n".write(toFile: "\(directory)/vswitchd.pid", atomically: true, encoding: .utf8)
    let result = try run(["--run-dir", directory, "status"])
    #expect(result.status == 1)
    #expect(result.errorOutput.contains("(process 999999999 of \(directory)/vswitchd.pid) is not running: start it"))
    try "rubbish".write(toFile: "\(directory)/vswitchd.pid", atomically: true, encoding: .utf8)
    #expect(try run(["--run-dir", directory, "status"]).errorOutput.contains("holds no process number"))
  }

  @Test func controlCommandsAskForJSONAndPassRefusalsOn() throws {
    let directory = try makeDirectory()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    try "\(getpid())\n".write(toFile: "\(directory)/vswitchd.pid", atomically: true, encoding: .utf8)
    let stub = try ControlStub(path: "\(directory)/vswitchd.\(getpid()).ctl") { method, parameters in
      switch (method, parameters) {
      case ("fdb/show", ["--json", "br0"]):
        [["port": "p1", "vlan": 10, "mac": "52:54:00:aa:bb:cc", "age": 3, "static": false]]
      case ("fdb/flush", ["--json", "br0", "vlan=10"]): ["removed": 2]
      default: nil
      }
    }
    try withExtendedLifetime(stub) {
      let table = try run(["--run-dir", directory, "fdb", "show", "br0"])
      #expect(
        table.output
          == "port  VLAN  MAC                age\n----  ----  -----------------  ---\np1      10  52:54:00:aa:bb:cc    3\n"
      )
      #expect(
        try run(["--run-dir", directory, "--json", "fdb", "flush", "br0", "vlan=10"]).output == "{\"removed\":2}\n")
      #expect(try run(["--run-dir", directory, "fdb", "flush", "br0", "vlan=10"]).output == "2 removed\n")
      let refused = try run(["--run-dir", directory, "fdb", "show", "nosuch"])
      #expect(refused.status == 2)
      #expect(refused.errorOutput == "vsctl: no such bridge\n")
    }
  }
}
