// A network namespace for one test, named with the process id and removed whatever happens.

import Foundation
import Glibc

/// Whether this process may make namespaces; tests that need it are skipped visibly without.
let mayMakeNamespaces = unsafe geteuid() == 0 && access("/usr/sbin/ip", X_OK) == 0

struct TestFailure: Error { var text: String }

/// Runs a command to its end.
@discardableResult
func run(_ path: String, _ arguments: [String]) throws -> String {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: path)
  process.arguments = arguments
  let output = Pipe()
  process.standardOutput = output
  process.standardError = output
  try process.run()
  let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
  process.waitUntilExit()
  guard process.terminationStatus == 0 else { throw TestFailure(text: "\(path) \(arguments): \(text)") }
  return text
}

private let counter = TestCounter()
private actor TestCounter {
  var value = 0
  func next() -> Int {
    value += 1
    return value
  }
}

/// Runs `body` with the names of new namespaces that are deleted afterwards.
func withNamespaces<Value>(_ count: Int = 1, _ body: ([String]) async throws -> Value) async throws -> Value {
  var names: [String] = []
  for _ in 0..<count { names.append("vst\(getpid())n\(await counter.next())") }
  func cleanUp() { for name in names { _ = try? run("/usr/sbin/ip", ["netns", "del", name]) } }
  do {
    for name in names { try run("/usr/sbin/ip", ["netns", "add", name]) }
    let value = try await body(names)
    cleanUp()
    return value
  } catch {
    cleanUp()
    throw error
  }
}
