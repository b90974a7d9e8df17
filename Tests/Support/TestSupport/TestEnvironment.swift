// What the machine under the tests can do and where the built programs are. Thread: any.

import Foundation
import Glibc

/// A test's support found something wrong that is not the switch's doing, or a command failed.
package struct TestFailure: Error, CustomStringConvertible {
  package var description: String
  package init(_ description: String) { self.description = description }
}

package enum TestEnvironment {
  /// Namespaces and taps need root. A test without it is skipped, but in CI it runs, and fails.
  package static var canUseNamespaces: Bool { getuid() == 0 || isContinuousIntegration }

  /// Set by `.ci/run`: what a machine lacks is then a failure and no skip.
  package static var isContinuousIntegration: Bool {
    ProcessInfo.processInfo.environment["VSWITCH_CI"] == "1"
  }

  /// Where `vswitchd` and `vsctl` are: `VSWITCH_BINDIR`, else beside the test program.
  package static var programDirectory: String {
    if let directory = ProcessInfo.processInfo.environment["VSWITCH_BINDIR"], !directory.isEmpty { return directory }
    let link = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    return (link as NSString).deletingLastPathComponent
  }

  /// The package's directory, for scripts and files in it.
  package static let sourceDirectory: String = {
    // .../Tests/Support/TestSupport/TestEnvironment.swift
    (0..<4).reduce(#filePath as NSString) { path, _ in path.deletingLastPathComponent as NSString } as String
  }()

  /// The limits on memory and wake-ups hold for the product as it is shipped, and so are tested on it alone.
  package static var hasReleaseBuild: Bool {
    ProcessInfo.processInfo.environment["VSWITCH_BINDIR"] != nil
  }

  /// Whether a program is in the search path, or in one of the system directories that a user's path may lack.
  package static func hasProgram(_ name: String) -> Bool { programPath(name) != nil }

  package static func programPath(_ name: String) -> String? {
    if name.contains("/") { return name }
    let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
    let directories = path.split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
    return directories.map { "\($0)/\(name)" }.first { FileManager.default.isExecutableFile(atPath: $0) }
  }
}

/// Asks until the answer is yes.
/// - Returns: false when it was still no after `deadline`.
package func eventually(
  _ deadline: Duration = .seconds(5), every pause: Duration = .milliseconds(20),
  _ isTrue: () throws -> Bool
) rethrows -> Bool {
  let end = ContinuousClock.now + deadline
  while true {
    if try isTrue() { return true }
    if ContinuousClock.now >= end { return false }
    pauseThread(pause)
  }
}

/// Lets this thread sleep.
package func pauseThread(_ duration: Duration) {
  let (seconds, attoseconds) = duration.components
  usleep(UInt32(seconds * 1_000_000 + attoseconds / 1_000_000_000_000))
}
