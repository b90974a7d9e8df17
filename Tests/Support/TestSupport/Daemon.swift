// The built `vswitchd` as a fixture: its own run dir and network namespace, started until it answers, asked through the
// built `vsctl`. Thread: one at a time. Ended by the lab that made it.

import Foundation
import Glibc

/// A switch under test.
package final class Daemon {
  /// Namespace that the daemon runs in and where its taps appear.
  package let namespace: String
  package let runDirectory: String
  private unowned let lab: Lab
  private let environment: [String: String]
  private let arguments: [String]
  private let user: uid_t?
  private var process: BackgroundCommand?

  init(
    lab: Lab, namespace: String, runDirectory: String, environment: [String: String], arguments: [String], user: uid_t?
  ) {
    self.user = user
    self.lab = lab
    self.namespace = namespace
    self.runDirectory = runDirectory
    self.environment = environment
    self.arguments = arguments
  }

  /// `--db` argument for Open vSwitch's own tools.
  package var database: String { "unix:\(runDirectory)/db.sock" }
  package var processID: pid_t? { process?.processID }
  package var isRunning: Bool { process?.isRunning ?? false }
  /// What the daemon logged.
  package var log: String { (process?.output ?? "") + (process?.errorOutput ?? "") }

  private var command: [String] {
    let rights = user.map {
      ["setpriv", "--reuid=\($0)", "--regid=\($0)", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
    }
    return ["ip", "netns", "exec", namespace] + (rights ?? [])
      + ["\(TestEnvironment.programDirectory)/vswitchd", "--run-dir", runDirectory] + arguments
  }

  /// Starts the daemon and waits until it answers.
  package func start() throws {
    let process = try BackgroundCommand(command, environment: environment)
    self.process = process
    let isReady = try eventually(.seconds(20)) {
      if !process.isRunning { return true }
      guard FileManager.default.fileExists(atPath: "\(runDirectory)/db.sock") else { return false }
      return try vsctl("show").isSuccess
    }
    guard isReady, process.isRunning else { throw TestFailure("vswitchd did not start:\n\(log)") }
  }

  /// A second daemon on the same run dir, which has to refuse.
  package func startSecond() throws -> CommandResult {
    try runCommand(command, environment: environment, deadline: .seconds(10))
  }

  /// Runs `vsctl` on this daemon.
  package func vsctl(_ arguments: String...) throws -> CommandResult { try vsctl(arguments) }

  package func vsctl(_ arguments: [String]) throws -> CommandResult {
    try runCommand(
      ["\(TestEnvironment.programDirectory)/vsctl", "--run-dir", runDirectory] + arguments,
      deadline: .seconds(15))
  }

  /// Runs a `vsctl` command that has to succeed, written as in a shell without quotes.
  /// - Returns: its output.
  @discardableResult
  package func configure(_ line: String) throws -> String {
    let result = try vsctl(line.split(separator: " ").map(String.init))
    guard result.isSuccess else {
      throw TestFailure("vsctl \(line): exit code \(result.status)\n\(result.output)\(result.errorOutput)\n\(log)")
    }
    return result.output
  }

  /// Runs Debian's `ovs-vsctl` on this daemon's database.
  package func ovsVsctl(_ arguments: String...) throws -> CommandResult {
    try runCommand(["ovs-vsctl", "--timeout=10", "--db=\(database)"] + arguments)
  }

  /// Ends the daemon as `systemctl stop` would.
  /// - Returns: its exit code, nil if it did not end in 5 s.
  package func stop() -> Int32? { process?.stop() }

  /// Ends the daemon as a crash would.
  package func kill9() { process?.kill9() }

  package func signal(_ number: Int32) { process?.signal(number) }

  // MARK: - What the switch says of itself

  /// One port's counters as `vsctl port stats --json` prints them.
  package struct PortStatistics: Decodable, Sendable {
    package var bridge: String
    package var port: String
    package var portNumber: Int
    package var rxPackets: UInt64
    package var rxBytes: UInt64
    package var rxErrors: UInt64
    package var rxForwarded: UInt64
    package var txPackets: UInt64
    package var txBytes: UInt64
    package var txErrors: UInt64
    package var rxDrops: [String: UInt64]
    package var txDrops: [String: UInt64]

    /// Every packet that came in was forwarded or is counted under one reason.
    package var addsUp: Bool { rxPackets == rxForwarded + rxDrops.values.reduce(0, +) }
  }

  /// One line of `vsctl fdb show --json`.
  package struct MACEntry: Decodable, Sendable, Equatable {
    package var port: String
    package var portNumber: Int
    package var vlan: UInt16
    package var mac: String
    package var age: Int?
    package var `static`: Bool
  }

  package func portStatistics() throws -> [PortStatistics] {
    try decode([PortStatistics].self, configure("port stats --json"))
  }

  package func portStatistics(_ port: String) throws -> PortStatistics {
    guard let found = try portStatistics().first(where: { $0.port == port }) else {
      throw TestFailure("no statistics of port \(port)")
    }
    return found
  }

  package func macTable(_ bridge: String) throws -> [MACEntry] {
    try decode([MACEntry].self, configure("fdb show \(bridge) --json"))
  }

  private func decode<Value: Decodable>(_ type: Value.Type, _ text: String) throws -> Value {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    do { return try decoder.decode(type, from: Data(text.utf8)) } catch {
      throw TestFailure("not the JSON that was agreed on (\(error)):\n\(text)")
    }
  }

  // MARK: - Hosts

  /// A host: a namespace with a tap of this switch in it, up and with its addresses.
  /// - Parameters:
  ///   - settings: columns of the port, such as `tag=10`.
  ///   - interface: further columns of the interface, such as `mtu_request=9000`.
  /// - Returns: the namespace; the tap in it is called `name`.
  package func host(
    _ name: String, bridge: String = "br0", _ settings: String = "", interface: String = "", addresses: [String] = []
  ) throws -> String {
    let host = try lab.namespace(name)
    try configure(
      "add-port \(bridge) \(name) \(settings) -- set interface \(name) type=tap options:netns=\(host) \(interface)")
    try lab.giveAddresses(addresses, to: name, in: host)
    return host
  }
}

extension Lab {
  /// Gives addresses to a link and brings it up. A link that is not there yet is waited for: the taps of a daemon that was
  /// started again are made once the kernel has taken the last one's away.
  package func giveAddresses(_ addresses: [String], to link: String, in namespace: String) throws {
    _ = try eventually(.seconds(15)) { try attempt(["ip", "-n", namespace, "link", "show", "dev", link]).isSuccess }
    for address in addresses {
      try run(
        ["ip", "-n", namespace, "address", "add", address, "dev", link] + (address.contains(":") ? ["nodad"] : []))
    }
    try run(["ip", "-n", namespace, "link", "set", "dev", link, "up"])
  }

  /// The MAC of a link.
  package func hardwareAddress(_ link: String, in namespace: String) throws -> String {
    try run(["cat", "/sys/class/net/\(link)/address"], in: namespace).trimmingCharacters(in: .whitespacesAndNewlines)
  }

  /// Whether an address answers pings.
  package func canPing(
    _ address: String, from namespace: String, count: Int = 2, byteCount: Int = 56, _ more: [String] = []
  ) throws -> Bool {
    try attempt(
      ["ping", "-n", "-c", "\(count)", "-i", "0.05", "-W", "1", "-s", "\(byteCount)"] + more + [address], in: namespace
    ).isSuccess
  }
}
