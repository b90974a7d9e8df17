// Open vSwitch's own ovsdb-server on a database of its own, for tests that hold ours against it.

import Foundation
import Synchronization
import TestSupport
import Testing
import Transport

@testable import OVSDB

/// A running ovsdb-server; killed with the last reference.
final class ReferenceServer: Sendable {
  static let isInstalled = program("ovsdb-server") != nil && program("ovsdb-tool") != nil
  static let schemaPath = "/usr/share/openvswitch/vswitch.ovsschema"

  let directory: TemporaryDirectory
  private let process: Mutex<BackgroundCommand>
  var endpoint: Endpoint { .unix(path: directory.path + "/s") }

  init() async throws {
    directory = try TemporaryDirectory()
    let created = try await run(
      try #require(program("ovsdb-tool")), ["create", directory.path + "/db", Self.schemaPath])
    #expect(created.status == 0)
    process = Mutex(
      try BackgroundCommand([
        "ovsdb-server", directory.path + "/db", "--remote=punix:\(directory.path)/s", "--unixctl=\(directory.path)/ctl",
        "--log-file=\(directory.path)/log",
      ]))
    while !FileManager.default.fileExists(atPath: directory.path + "/s") {
      try await Task.sleep(for: .milliseconds(10))
    }
  }

  /// The last of what it has to say.
  var log: String {
    String((try? String(contentsOfFile: directory.path + "/log", encoding: .utf8))?.suffix(2000) ?? "")
  }
}
