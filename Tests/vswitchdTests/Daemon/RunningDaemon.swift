// The built vswitchd as a process of its own, in a network namespace of its own so that its ports are nobody's
// concern, driven by Open vSwitch's own tools. Needs root.

import Foundation
import Glibc
import Testing

@testable import vswitchd

/// Whether daemon tests can run here.
let canRunDaemon = geteuid() == 0 && FileManager.default.isExecutableFile(atPath: "/usr/bin/ovs-vsctl")

/// What a program did.
struct ProcessResult {
  var status: Int32
  var output: String
  var errors: String
}

/// Runs a program to its end.
func runProgram(_ arguments: [String], environment: [String: String] = [:]) throws -> ProcessResult {
  let process = Process()
  process.executableURL = URL(filePath: "/usr/bin/env")
  process.arguments = arguments
  process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
  let output = Pipe()
  process.standardOutput = output
  process.standardInput = FileHandle.nullDevice
  // Errors go through a file: two pipes read one after the other could block the program.
  let errors = URL(filePath: "/tmp/vswitchd-test-\(getpid())-\(UUID().uuidString)")
  _ = FileManager.default.createFile(atPath: errors.path, contents: nil)
  defer { try? FileManager.default.removeItem(at: errors) }
  process.standardError = try FileHandle(forWritingTo: errors)
  try process.run()
  let outputBytes = output.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  return ProcessResult(
    status: process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus,
    output: String(decoding: outputBytes, as: UTF8.self),
    errors: (try? String(contentsOf: errors, encoding: .utf8)) ?? "")
}

/// A daemon; killed when the last reference goes.
final class RunningDaemon {
  let runDirectory: String
  private let process = Process()
  private let errors: URL
  var processID: Int32 { process.processIdentifier }
  var log: String { (try? String(contentsOf: errors, encoding: .utf8)) ?? "" }

  /// The daemon beside the test program.
  static var executable: String {
    let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    return own.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 } + "/vswitchd"
  }

  /// Starts a daemon and waits for its sockets.
  /// - Parameter tracingTo: a file for strace's record of every system call.
  init(
    _ runDirectory: String, arguments: [String] = [], environment: [String: String] = [:],
    tracingTo trace: String? = nil
  ) throws {
    self.runDirectory = runDirectory
    errors = URL(filePath: runDirectory + ".log")
    _ = FileManager.default.createFile(atPath: errors.path, contents: nil)
    process.executableURL = URL(filePath: "/usr/bin/unshare")
    // With -D strace is the child, so that the process we started is the daemon.
    let tracer = trace.map { ["strace", "-D", "-f", "-qq", "-o", $0] } ?? []
    process.arguments = ["-n"] + tracer + [Self.executable, "--run-dir", runDirectory] + arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.standardError = try FileHandle(forWritingTo: errors)
    process.standardOutput = FileHandle.nullDevice
    process.standardInput = FileHandle.nullDevice
    try process.run()
    let control = runDirectory + "/vswitchd.\(processID).ctl"
    for _ in 0..<2000 {
      if FileManager.default.fileExists(atPath: control) { return }
      if !process.isRunning { break }
      usleep(5000)
    }
    throw DaemonDidNotStart(log: log)
  }

  struct DaemonDidNotStart: Error { var log: String }

  /// ovs-vsctl on the daemon's database.
  @discardableResult
  func vsctl(_ arguments: String...) throws -> ProcessResult {
    try runProgram(["ovs-vsctl", "--db=unix:\(runDirectory)/db.sock", "--timeout=10"] + arguments)
  }

  func appctl(_ arguments: String...) throws -> ProcessResult {
    try runProgram(["ovs-appctl", "-t", "vswitchd"] + arguments, environment: ["OVS_RUNDIR": runDirectory])
  }

  func send(_ signal: Int32) { kill(processID, signal) }

  /// Waits for the end.
  /// - Returns: exit status, 128 + signal if it was killed.
  @discardableResult
  func wait() -> Int32 {
    process.waitUntilExit()
    return process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus
  }

  deinit {
    if process.isRunning {
      kill(processID, SIGKILL)
      process.waitUntilExit()
    }
    try? FileManager.default.removeItem(at: errors)
  }
}
