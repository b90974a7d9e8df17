// A test's own small world: namespaces, a directory, programs in the background, and a switch if wanted; all of it is
// taken away again, also when the test throws. Names carry the test process's id, so that runs side by side don't meet,
// and what a killed run left behind is removed by the next one. Thread: one at a time.

import Foundation
import Glibc
import Synchronization

/// Makes a lab, runs the test in it, takes it down.
package func withLab<Value>(_ body: (Lab) throws -> Value) throws -> Value {
  let lab = try Lab()
  defer { lab.close() }
  return try body(lab)
}

package final class Lab {
  private static let counter = Mutex(0)
  private static let prefix = "vswt"
  private static let sweep: Void = removeLeftovers()

  /// Unique among all labs on the machine; a start for names.
  package let name: String
  /// Files of the test go here.
  package let directory: String
  private var namespaces: [String] = []
  private var commands: [BackgroundCommand] = []
  private var daemons: [Daemon] = []
  private var endings: [() -> Void] = []

  fileprivate init() throws {
    guard getuid() == 0 else {
      throw TestFailure("namespaces and taps need root: run the tests as root")
    }
    Self.sweep
    let number = Self.counter.withLock { count in
      count += 1
      return count
    }
    name = "\(Self.prefix)\(getpid())x\(number)"
    directory = "/tmp/\(name)"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
  }

  /// A new network namespace with its loopback up.
  /// - Returns: its name under /run/netns.
  package func namespace(_ label: String) throws -> String {
    let name = "\(self.name)-\(label)"
    try require(["ip", "netns", "add", name])
    namespaces.append(name)
    try require(["ip", "-n", name, "link", "set", "dev", "lo", "up"])
    // An address may be used at once: duplicate detection takes a second and proves nothing here.
    try require([
      "ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0",
      "net.ipv6.conf.default.accept_dad=0",
    ])
    return name
  }

  /// A program that is ended with the lab.
  package func start(_ arguments: [String], in namespace: String? = nil, environment: [String: String] = [:]) throws
    -> BackgroundCommand
  {
    let command = try BackgroundCommand(Self.wrap(arguments, namespace), environment: environment)
    commands.append(command)
    return command
  }

  /// A program that has to succeed.
  /// - Returns: its output.
  @discardableResult
  package func run(_ arguments: [String], in namespace: String? = nil, deadline: Duration = .seconds(20)) throws
    -> String
  {
    try require(Self.wrap(arguments, namespace), deadline: deadline)
  }

  /// A program that may fail.
  package func attempt(_ arguments: [String], in namespace: String? = nil, deadline: Duration = .seconds(20)) throws
    -> CommandResult
  {
    try runCommand(Self.wrap(arguments, namespace), deadline: deadline)
  }

  private static func wrap(_ arguments: [String], _ namespace: String?) -> [String] {
    namespace.map { ["ip", "netns", "exec", $0] + arguments } ?? arguments
  }

  /// A running switch in a namespace of its own.
  /// - Parameter user: who it runs as, without any capability; nil for the test's own user with all of them.
  package func daemon(
    environment: [String: String] = [:], arguments: [String] = [], user: uid_t? = nil
  ) throws -> Daemon {
    let number = daemons.count + 1
    let daemon = Daemon(
      lab: self, namespace: try namespace("sw\(number)"), runDirectory: "\(directory)/run\(number)",
      environment: environment, arguments: arguments, user: user)
    daemons.append(daemon)
    if let user {
      try FileManager.default.createDirectory(
        atPath: daemon.runDirectory, withIntermediateDirectories: true,
        attributes: [.ownerAccountID: user, .posixPermissions: 0o700])
      try FileManager.default.setAttributes([.posixPermissions: 0o711], ofItemAtPath: directory)
    }
    try daemon.start()
    return daemon
  }

  /// Something to be done when the lab ends.
  package func keep(_ ending: @escaping () -> Void) { endings.append(ending) }

  fileprivate func close() {
    for ending in endings { ending() }
    for daemon in daemons { daemon.kill9() }
    for command in commands { command.kill9() }
    for namespace in namespaces { Self.remove(namespace: namespace) }
    try? FileManager.default.removeItem(atPath: directory)
  }

  private static func remove(namespace: String) {
    for line in (try? require(["ip", "netns", "pids", namespace]))?.split(separator: "\n") ?? [] {
      if let process = pid_t(line.trimmingCharacters(in: .whitespaces)), process > 1 { kill(process, SIGKILL) }
    }
    _ = try? runCommand(["ip", "netns", "delete", namespace])
  }

  /// Removes what labs of dead processes left: their names tell whose they were.
  private static func removeLeftovers() {
    let files = FileManager.default
    for (directory, remove) in [
      ("/run/netns", { Self.remove(namespace: $0) }),
      ("/tmp", { try? files.removeItem(atPath: "/tmp/\($0)") }),
    ] as [(String, (String) -> Void)] {
      for name in (try? files.contentsOfDirectory(atPath: directory)) ?? [] where name.hasPrefix(prefix) {
        let owner = name.dropFirst(prefix.count).prefix { $0.isNumber }
        guard let process = pid_t(owner), kill(process, 0) != 0, errno == ESRCH else { continue }
        remove(name)
      }
    }
  }
}
