// A directory of one test, removed with everything in it when the last reference goes.

import Foundation

final class TemporaryDirectory: Sendable {
  let path: String

  init() throws {
    path = "/tmp/vswitchd-test-\(getpid())-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(
      atPath: path, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}
