// Keys and certificates for tests of TLS, made by openssl: an authority and what it has signed.

import Foundation
import TestSupport
import Testing

/// A directory of PEM files that goes with the test.
struct Certificates {
  let directory: TemporaryDirectory
  private let openssl: String
  static let isInstalled = program("openssl") != nil

  init() throws {
    directory = try TemporaryDirectory()
    openssl = try #require(program("openssl"))
  }

  func path(_ name: String) -> String { directory.path + "/" + name }

  private func call(_ arguments: [String]) async throws {
    let result = try await run(openssl, arguments)
    try #require(result.status == 0, "openssl \(arguments): \(result.errors)")
  }

  private static let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

  /// NAME.key and NAME.pem of an authority.
  func makeAuthority(_ name: String) async throws {
    try await call(
      ["req", "-x509"] + Self.key + [
        "-keyout", path(name + ".key"), "-out", path(name + ".pem"), "-subj", "/CN=" + name, "-days", "2",
      ])
  }

  /// NAME.key and NAME.pem, signed by an authority.
  /// - Parameter days: how long it holds; negative: it has expired.
  func make(_ name: String, by authority: String, days: Int = 2) async throws {
    try await call(
      ["req"] + Self.key + ["-keyout", path(name + ".key"), "-out", path(name + ".csr"), "-subj", "/CN=" + name])
    try await call([
      "x509", "-req", "-in", path(name + ".csr"), "-CA", path(authority + ".pem"), "-CAkey", path(authority + ".key"),
      "-CAcreateserial", "-out", path(name + ".pem"), "-days", String(days),
    ])
  }

  /// Removes a file and gives its place to another.
  func replace(_ name: String, by other: String) throws {
    let data = try #require(FileManager.default.contents(atPath: path(other)))
    try data.write(to: URL(fileURLWithPath: path(name)), options: .atomic)
  }
}
