import Foundation
import TestSupport
import Testing

@testable import vswitchd

/// The systemd unit.
@Suite(
  .blocking,
  .enabled(
    if: FileManager.default.isExecutableFile(atPath: "/usr/bin/systemd-analyze"), "needs systemd-analyze"))
struct UnitFileTests {
  private var unit: String {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    return root.path + "/packaging/vswitchd.service"
  }

  @Test func exposureIsAtMostThree() throws {
    let result = try runProgram(["systemd-analyze", "security", "--offline=yes", "--threshold=30", unit])
    #expect(result.status == 0, "\(result.output)\(result.errors)")
  }

  /// The filter's sets by systemd's own listing against the calls of a daemon at work, seen by strace.
  @Test(
    .enabled(
      if: canRunDaemon && FileManager.default.isExecutableFile(atPath: "/usr/bin/strace"), "needs root and strace"))
  func filterAllowsWhatTheDaemonCalls() throws {
    var sets: [String: Set<String>] = [:]
    var current = ""
    for line in try runProgram(["systemd-analyze", "syscall-filter"]).output.split(separator: "\n") {
      let word = line.trimmingCharacters(in: .whitespaces)
      if line.hasPrefix("@") {
        current = word
      } else if !word.hasPrefix("#"), !current.isEmpty {
        sets[current, default: []].insert(word)
      }
    }
    func resolve(_ name: String, _ depth: Int = 0) -> Set<String> {
      guard name.hasPrefix("@"), depth < 10 else { return [name] }
      return (sets[name] ?? []).reduce(into: []) { $0.formUnion(resolve($1, depth + 1)) }
    }
    var allowed = resolve("@default")
    for line in try String(contentsOfFile: unit, encoding: .utf8).split(separator: "\n")
    where line.hasPrefix("SystemCallFilter=") {
      var value = line.dropFirst("SystemCallFilter=".count)
      let denies = value.hasPrefix("~")
      if denies { value = value.dropFirst() }
      for name in value.split(separator: " ") {
        if denies { allowed.subtract(resolve(String(name))) } else { allowed.formUnion(resolve(String(name))) }
      }
    }
    #expect(allowed.count > 100)

    let directory = try TemporaryDirectory()
    let trace = directory.path + "/trace"
    do {
      let daemon = try RunningDaemon(directory.path + "/run", tracingTo: trace)
      try daemon.vsctl("add-br", "br0")
      try daemon.vsctl("add-port", "br0", "t1", "--", "set", "interface", "t1", "type=tap")
      try daemon.vsctl("del-br", "br0")
      #expect(try daemon.appctl("exit").status == 0)
      daemon.wait()
    }
    let calls = try String(contentsOfFile: trace, encoding: .utf8).split(separator: "\n").compactMap {
      line -> String? in
      guard let parenthesis = line.firstIndex(of: "("), !line.contains("<... ") else { return nil }
      return line[..<parenthesis].split(separator: " ").last.map(String.init)
    }
    #expect(calls.count > 100)
    // systemd runs the program before the filter counts. capset is left out where there is nothing to give up
    // (coflow_process.c); SQLite's fchown and libdispatch's setpriority are tried for good measure, failing is no error.
    let missing = Set(calls).subtracting(allowed).subtracting(["execve", "capset", "fchown", "setpriority"])
    #expect(missing.isEmpty, "the unit denies \(missing.sorted())")
  }
}
