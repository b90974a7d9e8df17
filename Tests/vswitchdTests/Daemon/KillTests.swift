import Foundation
import Glibc
import TestSupport
import Testing

@testable import vswitchd

/// What was answered before `kill -9` is there after it, and nothing else.
@Suite(.blocking, .enabled(if: canRunDaemon, "needs root and ovs-vsctl"))
struct KillTests {
  @Test func configurationAndNumbersAreRestored() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/run"
    var before = ""
    do {
      let daemon = try RunningDaemon(path)
      try daemon.vsctl("add-br", "br0")
      for (name, number) in [("t1", "7"), ("t2", "3")] {
        try daemon.vsctl(
          "add-port", "br0", name, "tag=\(number)", "--", "set", "interface", name, "type=tap",
          "ofport_request=\(number)")
      }
      try daemon.vsctl("add-port", "br0", "t3", "--", "set", "interface", "t3", "type=tap")
      try daemon.vsctl("clear", "interface", "t1", "ofport_request")
      before = try daemon.vsctl("--columns=name,ofport,type,error", "list", "interface").output
      daemon.send(SIGKILL)
      daemon.wait()
    }
    let daemon = try RunningDaemon(path)
    let after = try daemon.vsctl("--columns=name,ofport,type,error", "list", "interface").output
    #expect(Set(after.split(separator: "\n")) == Set(before.split(separator: "\n")))
    #expect(after.contains("ofport              : 7"))
    let sockets = try FileManager.default.contentsOfDirectory(atPath: path).filter { $0.hasSuffix(".ctl") }
    #expect(sockets.count == 2, "control sockets of the killed daemon are gone: \(sockets)")
  }

  /// A client adds bridges as fast as it gets answers while the daemon is killed at a random moment.
  @Test(arguments: 0..<8)
  func exactlyTheAnsweredTransactionsSurvive(_ round: Int) throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/run"
    let daemon = try RunningDaemon(path)
    // Not a task: this test blocks a thread of the executor, of which there may be only one.
    DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(60 + 37 * round)) {
      [processID = daemon.processID] in _ = kill(processID, SIGKILL)
    }
    var answered: [String] = []
    var unanswered: String?
    for number in 0..<1000 {
      let name = "b\(number)"
      // --no-wait: the answer to the transaction is what counts, not that ports were made.
      let result = try runProgram([
        "ovs-vsctl", "--db=unix:\(path)/db.sock", "--timeout=5", "--no-wait", "set", "open_vswitch", ".",
        "external_ids:\(name)=1",
      ])
      guard result.status == 0 else {
        unanswered = name
        break
      }
      answered.append(name)
    }
    daemon.wait()
    let again = try RunningDaemon(path)
    let text = try again.vsctl("get", "open_vswitch", ".", "external_ids").output
    let kept = Set(text.split(whereSeparator: { "{}, \n".contains($0) }).map { String($0.split(separator: "=")[0]) })
    #expect(unanswered != nil)
    #expect(Set(answered).subtracting(kept).isEmpty, "an answered transaction is lost")
    #expect(kept.subtracting(answered).subtracting([unanswered ?? "", "system-id"]).isEmpty, "nobody asked for this")
  }
}
