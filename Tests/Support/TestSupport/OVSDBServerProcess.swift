// Debian's ovsdb-server as a fixture: one with a database of its own, or three that are a cluster. Thread: one at a
// time. A server ends with the last reference to it.

import Foundation
import Glibc

/// A running ovsdb-server on unix sockets in a directory.
package final class OVSDBServerProcess {
  package static let stockSchema = "/usr/share/openvswitch/vswitch.ovsschema"
  /// The programs and the schema are there.
  package static var isInstalled: Bool {
    TestEnvironment.isContinuousIntegration
      || TestEnvironment.hasProgram("ovsdb-server") && TestEnvironment.hasProgram("ovsdb-tool")
        && FileManager.default.fileExists(atPath: stockSchema)
  }

  package let directory: String
  package let name: String
  private let remotes: [String]
  private let arguments: [String]
  private var process: BackgroundCommand?

  /// The database's file.
  package var file: String { "\(directory)/\(name).db" }
  package var socket: String { "\(directory)/\(name).sock" }
  /// For `--db`.
  package var remote: String { "unix:\(socket)" }

  /// - Parameters:
  ///   - directory: exists; a short path, since names of sockets are made of it.
  ///   - remotes: further listeners, such as `pssl:0:127.0.0.1`.
  ///   - arguments: further arguments of ovsdb-server.
  package init(
    directory: String, name: String = "db", schema: String = OVSDBServerProcess.stockSchema, remotes: [String] = [],
    arguments: [String] = []
  ) throws {
    self.directory = directory
    self.name = name
    self.remotes = remotes
    self.arguments = arguments
    try require(["ovsdb-tool", "create", file, schema])
    try start()
  }

  /// For a file that is there already; does not run yet.
  package init(existing name: String, in directory: String) {
    self.directory = directory
    self.name = name
    remotes = []
    arguments = []
  }

  package func start() throws {
    let process = try BackgroundCommand(
      ["ovsdb-server", file, "--remote=punix:\(socket)"] + remotes.map { "--remote=\($0)" } + [
        "--unixctl=\(directory)/\(name).ctl", "--no-chdir", "-vconsole:warn",
      ] + arguments, environment: ["OVS_RUNDIR": directory])
    self.process = process
    let isReady = try eventually(.seconds(10)) {
      if !process.isRunning { return true }
      return try runCommand(["ovsdb-client", "list-dbs", remote]).isSuccess
    }
    guard isReady, process.isRunning else { throw TestFailure("ovsdb-server did not start: \(process.errorOutput)") }
  }

  package var isRunning: Bool { process?.isRunning ?? false }
  package func kill9() { process?.kill9() }
  package func signal(_ number: Int32) { process?.signal(number) }

  /// ovs-appctl on the server.
  package func control(_ command: String...) throws -> CommandResult {
    try runCommand(["ovs-appctl", "-t", "\(directory)/\(name).ctl"] + command)
  }

  /// ovs-vsctl on the server.
  @discardableResult
  package func vsctl(_ arguments: String...) throws -> CommandResult {
    try runCommand(["ovs-vsctl", "--timeout=15", "--db=\(remote)"] + arguments)
  }

  deinit { kill9() }
}

/// A cluster of three.
package final class OVSDBClusterProcesses {
  package let members: [OVSDBServerProcess]

  package init(directory: String) throws {
    members = (1...3).map { OVSDBServerProcess(existing: "c\($0)", in: directory) }
    func address(_ number: Int) -> String { "unix:\(directory)/c\(number).raft" }
    try require(["ovsdb-tool", "create-cluster", members[0].file, OVSDBServerProcess.stockSchema, address(1)])
    for number in 2...3 {
      try require([
        "ovsdb-tool", "join-cluster", members[number - 1].file, "Open_vSwitch", address(number), address(1),
      ])
    }
    for member in members { try member.start() }
    for member in members {
      guard
        try eventually(
          .seconds(20),
          { try member.control("cluster/status", "Open_vSwitch").output.contains("Status: cluster member") })
      else { throw TestFailure("a member did not join the cluster") }
    }
  }

  /// All members, for `--db`.
  package var remote: String { members.map(\.remote).joined(separator: ",") }

  /// The member that leads now; nil while none does.
  package func leader() throws -> OVSDBServerProcess? {
    try members.first {
      try $0.isRunning && $0.control("cluster/status", "Open_vSwitch").output.contains("Role: leader")
    }
  }
}

/// A TCP port of the loopback that nobody listens on now.
package func freePort() throws -> Int {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
  defer { close(descriptor) }
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
  var length = socklen_t(MemoryLayout<sockaddr_in>.size)
  let result = unsafe withUnsafeMutablePointer(to: &address) { pointer in
    unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      unsafe bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
    }
  }
  guard result else { throw TestFailure("no free port: errno \(errno)") }
  return Int(UInt16(bigEndian: address.sin_port))
}
