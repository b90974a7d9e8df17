import Foundation
import Glibc
import TestSupport
import Testing

@testable import vswitchd

/// Everything that can stop a start: one line with cause and remedy, exit code 1, nothing changed.
@Suite(.blocking, .enabled(if: canRunDaemon, "needs root and ovs-vsctl"))
struct StartErrorTests {
  private func start(_ arguments: [String], prefix: [String] = []) throws -> ProcessResult {
    try runProgram(prefix + ["timeout", "10", RunningDaemon.executable] + arguments)
  }

  private func isOneLineWithRemedy(_ result: ProcessResult) -> Bool {
    result.status == 1 && result.errors.hasPrefix("vswitchd: ") && result.errors.contains(": ")
      && result.errors.split(separator: "\n").count == 1 && result.output.isEmpty
  }

  @Test func runDirWithoutPermissionIsNamed() throws {
    let directory = try TemporaryDirectory()
    let result = try start(["--run-dir", "/proc/1/run"])
    #expect(isOneLineWithRemedy(result), "\(result)")
    #expect(result.errors.contains("could not make /proc/1/run"))
    try Data().write(to: URL(filePath: directory.path + "/file"))
    #expect(isOneLineWithRemedy(try start(["--run-dir", directory.path + "/file"])))
  }

  @Test func storeOfALaterVersionIsNamed() throws {
    let directory = try TemporaryDirectory()
    do {
      let daemon = try RunningDaemon(directory.path + "/run")
      try daemon.vsctl("add-br", "br0")
      daemon.send(SIGTERM)
      daemon.wait()
    }
    let store = URL(filePath: directory.path + "/run/vswitch.sqlite")
    var bytes = try Data(contentsOf: store)
    bytes[63] = 9
    try bytes.write(to: store)
    let result = try start(["--run-dir", directory.path + "/run"])
    #expect(isOneLineWithRemedy(result), "\(result)")
    #expect(result.errors.contains("has version 9"))
    #expect(try Data(contentsOf: store) == bytes)
  }

  @Test func damagedStoreIsNamed() throws {
    let directory = try TemporaryDirectory()
    let store = directory.path + "/store"
    try Data("rubbish".utf8).write(to: URL(filePath: store))
    let result = try start(["--run-dir", directory.path + "/run", "--store", store])
    #expect(isOneLineWithRemedy(result), "\(result)")
    #expect(try String(contentsOfFile: store, encoding: .utf8) == "rubbish")
  }

  @Test func fullDiskIsNamed() throws {
    let directory = try TemporaryDirectory()
    let mounted = unsafe mount("tmpfs", directory.path, "tmpfs", 0, "size=16k")
    try #require(mounted == 0)
    defer { _ = unsafe umount2(directory.path, Int32(MNT_DETACH)) }
    let fill = directory.path + "/fill"
    _ = try runProgram(["dd", "if=/dev/zero", "of=\(fill)", "bs=4096", "count=16"])
    let result = try start(["--run-dir", directory.path])
    #expect(isOneLineWithRemedy(result), "\(result)")
    #expect(result.errors.contains("ree space"))
  }

  @Test(arguments: [["--log-level", "loud"], ["--worker-cpu", "9999"], ["--log-file", "/nosuch/dir/log"]])
  func badOptionIsNamed(_ arguments: [String]) throws {
    let directory = try TemporaryDirectory()
    let result = try start(["--run-dir", directory.path + "/run"] + arguments)
    #expect(isOneLineWithRemedy(result), "\(result)")
  }
}
