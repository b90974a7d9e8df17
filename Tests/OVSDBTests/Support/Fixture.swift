// What the tests of this target share: a server on a socket of its own, a stand-in for the switch, and real programs
// run against them.

import Foundation
import Logging
import OVSDB
import TestSupport
import Testing
import Transport

enum TestError: Error { case timedOut(String) }

let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// A served database.
struct ServedDatabase {
  let directory: TemporaryDirectory
  let server: DatabaseServer
  let store: MemoryStore
  var path: String { directory.path + "/db.sock" }
  var endpoint: Endpoint { .unix(path: path) }

  init(rows: [PersistedRow] = [], limits: JSONRPCLimits? = nil) async throws {
    directory = try TemporaryDirectory()
    store = MemoryStore(rows: rows)
    server = try await DatabaseServer(store: store, logger: quiet)
    try await server.listen(on: .unix(path: directory.path + "/db.sock"), limits: limits)
  }

  /// Does what a switch does as far as clients can tell: raises cur_cfg to next_cfg, and numbers the interfaces.
  func startSwitch() async -> Task<Void, Never> {
    let (snapshot, changes) = await server.changes()
    return Task {
      await Self.settle(snapshot, server)
      for await _ in changes { await Self.settle(await server.snapshot(), server) }
    }
  }

  private static func settle(_ snapshot: DatabaseSnapshot, _ server: DatabaseServer) async {
    guard let root = snapshot.only("Open_vSwitch") else { return }
    var operations: [JSONValue] = []
    for interface in snapshot.rows("Interface") where interface["ofport"].isEmpty {
      operations.append(Operation.update("Interface", interface.uuid, ["ofport": .integer(1)]))
    }
    if root["cur_cfg"] != root["next_cfg"] {
      operations.append(Operation.update("Open_vSwitch", root.uuid, ["cur_cfg": root["next_cfg"]]))
    }
    if !operations.isEmpty { _ = await server.transact(operations) }
  }
}

/// The result of a program.
struct ProgramResult: Equatable {
  var status: Int32
  var output: String
  var errors: String
}

/// Where a program is; nil if it is not installed.
func program(_ name: String) -> String? {
  ["/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/"].map { $0 + name }
    .first { FileManager.default.isExecutableFile(atPath: $0) }
}

/// Runs a program to its end.
func run(_ path: String, _ arguments: [String], timeout: Duration = .seconds(20)) async throws -> ProgramResult {
  let command = try BackgroundCommand([path] + arguments)
  let clock = ContinuousClock()
  let end = clock.now + timeout
  while command.isRunning, clock.now < end { try await Task.sleep(for: .milliseconds(2)) }
  command.kill9()
  return ProgramResult(status: command.exitCode() ?? -1, output: command.output, errors: command.errorOutput)
}
