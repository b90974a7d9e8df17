// Programs that the tests run: with a deadline (`runCommand`) or in the background (`BackgroundCommand`). Output goes to
// files in memory, so that nothing can block on a full pipe. Each program leads a process group of its own, which is
// ended as a whole. Thread: any; a BackgroundCommand belongs to one thread at a time.

import CTestSupport
import Foundation
import Glibc

/// How a program ended and what it said.
package struct CommandResult: Sendable {
  /// Exit code, or 128 plus the signal's number as in a shell.
  package var status: Int32
  package var output: String
  package var errorOutput: String
  package var isSuccess: Bool { status == 0 }
}

/// Runs a program to its end.
/// - Parameters:
///   - arguments: the program's name or path, then its arguments.
///   - deadline: after this the process group is killed and the call throws.
/// - Throws: `TestFailure` if the program could not be started or did not end in time.
@discardableResult
package func runCommand(
  _ arguments: [String], input: [UInt8] = [], environment: [String: String] = [:], deadline: Duration = .seconds(20)
) throws -> CommandResult {
  let command = try BackgroundCommand(arguments, input: input, environment: environment)
  guard let status = command.waitForExit(deadline) else {
    command.kill9()
    throw TestFailure(
      "did not end in \(deadline): \(arguments.joined(separator: " "))\n\(command.output)\(command.errorOutput)")
  }
  return CommandResult(status: status, output: command.output, errorOutput: command.errorOutput)
}

/// Runs a program that has to succeed.
/// - Returns: its standard output.
@discardableResult
package func require(
  _ arguments: [String], input: [UInt8] = [], environment: [String: String] = [:], deadline: Duration = .seconds(20)
) throws -> String {
  let result = try runCommand(arguments, input: input, environment: environment, deadline: deadline)
  guard result.isSuccess else {
    throw TestFailure(
      "exit code \(result.status): \(arguments.joined(separator: " "))\n\(result.output)\(result.errorOutput)")
  }
  return result.output
}

/// A program that runs while the test goes on.
package final class BackgroundCommand {
  package let processID: pid_t
  private let outputFile: Int32
  private let errorFile: Int32
  private var exitStatus: Int32?

  package init(_ arguments: [String], input: [UInt8] = [], environment: [String: String] = [:]) throws {
    guard let name = arguments.first, let path = TestEnvironment.programPath(name) else {
      throw TestFailure("no such program: \(arguments.first ?? "")")
    }
    outputFile = unsafe ctest_memory_file("stdout")
    errorFile = unsafe ctest_memory_file("stderr")
    let inputFile = unsafe ctest_memory_file("stdin")
    defer { close(inputFile) }
    guard outputFile >= 0, errorFile >= 0, inputFile >= 0 else { throw TestFailure("no memory file: errno \(errno)") }
    _ = unsafe input.withUnsafeBytes { unsafe pwrite(inputFile, $0.baseAddress, $0.count, 0) }

    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_adddup2(&actions, inputFile, 0)
    unsafe posix_spawn_file_actions_adddup2(&actions, outputFile, 1)
    unsafe posix_spawn_file_actions_adddup2(&actions, errorFile, 2)
    // A listening socket of another test must not live on in this program.
    _ = unsafe ctest_close_from_3(&actions)
    var attributes = posix_spawnattr_t()
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    // Threads of Swift's concurrency pool block all signals: a program must not begin so.
    var signals = sigset_t()
    unsafe sigemptyset(&signals)
    unsafe posix_spawnattr_setsigmask(&attributes, &signals)
    unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK))

    let all = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    var argumentPointers = unsafe arguments.map { unsafe strdup($0) } + [nil]
    var environmentPointers = unsafe all.map { unsafe strdup("\($0.key)=\($0.value)") } + [nil]
    defer {
      for index in unsafe argumentPointers.indices { unsafe free(argumentPointers[index]) }
      for index in unsafe environmentPointers.indices { unsafe free(environmentPointers[index]) }
    }
    var started: pid_t = 0
    let code = unsafe posix_spawn(&started, path, &actions, &attributes, &argumentPointers, &environmentPointers)
    guard code == 0 else { throw TestFailure("cannot start \(path): errno \(code)") }
    processID = started
  }

  deinit {
    kill9()
    close(outputFile)
    close(errorFile)
  }

  /// What the program wrote to standard output so far.
  package var output: String { Self.contents(outputFile) }
  package var errorOutput: String { Self.contents(errorFile) }

  private static func contents(_ file: Int32) -> String {
    var status = stat()
    guard unsafe fstat(file, &status) == 0, status.st_size > 0 else { return "" }
    var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
    let count = unsafe bytes.withUnsafeMutableBytes { unsafe pread(file, $0.baseAddress, $0.count, 0) }
    return String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
  }

  package var isRunning: Bool { exitCode() == nil }

  /// Exit code (128 plus the number of a signal), nil while it runs.
  package func exitCode() -> Int32? {
    if exitStatus == nil {
      var status: Int32 = 0
      if unsafe waitpid(processID, &status, WNOHANG) == processID {
        exitStatus = status & 0x7f == 0 ? status >> 8 & 0xff : 128 + status & 0x7f
      }
    }
    return exitStatus
  }

  package func waitForExit(_ deadline: Duration) -> Int32? {
    _ = eventually(deadline, every: .milliseconds(2)) { exitCode() != nil }
    return exitCode()
  }

  /// Sends a signal to the program alone.
  package func signal(_ number: Int32) {
    if isRunning { kill(processID, number) }
  }

  /// Ends the whole group at once, as a crash would.
  package func kill9() {
    guard isRunning else { return }
    kill(-processID, SIGKILL)
    _ = waitForExit(.seconds(5))
  }

  /// Asks the program to end, and makes it after `deadline`.
  /// - Returns: the exit code; nil if it had to be killed.
  @discardableResult
  package func stop(_ deadline: Duration = .seconds(5)) -> Int32? {
    signal(SIGTERM)
    if let code = waitForExit(deadline) { return code }
    kill9()
    return nil
  }
}
