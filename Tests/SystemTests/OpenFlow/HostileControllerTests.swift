// Controllers that do not read, send nonsense, or ask without end: they lose their connection or wait, packets and everybody
// else are served.

import Foundation
import Glibc
import OpenFlow
import TestSupport
import Testing
import VSwitchCore

@Suite(.enabled(if: TestEnvironment.canUseNamespaces, "needs root"), .blocking)
struct HostileControllerTests {
  /// Resident memory in bytes.
  private func residentByteCount(_ daemon: Daemon) throws -> Int {
    let file = try String(contentsOfFile: "/proc/\(try #require(daemonProcess(daemon)))/status", encoding: .utf8)
    let line = file.split(separator: "\n").first { $0.hasPrefix("VmRSS") } ?? ""
    return (Int(line.split(separator: " ").dropFirst().first ?? "") ?? 0) * 1024
  }

  /// `ip netns exec` becomes the program that it starts.
  private func daemonProcess(_ daemon: Daemon) -> pid_t? { daemon.processID }

  private func answers(_ daemon: Daemon) throws -> Bool {
    let other = try TestSession(path: "\(daemon.runDirectory)/br0.mgmt", .v13)
    guard case .barrierReply = try other.ask(.barrierRequest, .seconds(1)) else { return false }
    return true
  }

  @Test func aControllerThatDoesNotReadCostsNobodyAnything() throws {
    try MessageTests.withController(.v13) { lab, daemon, session, a throws in
      // Every packet goes to the controller and on its way.
      var rule = FlowMod()
      rule.instructions = Instructions(
        apply: [.controller(ControllerAction()), .output(.normal, maximumByteCount: 0)])
      #expect(try session.tell(.flowMod(rule)) == nil)
      let before = try residentByteCount(daemon)
      let flood = try lab.attempt(
        ["ping", "-n", "-f", "-s", "1400", "-c", "20000", "-w", "5", "10.1.0.2"], in: a, deadline: .seconds(20))
      #expect(flood.output.contains(" 0% packet loss"), "\(flood.output)")
      #expect(try answers(daemon))
      let after = try residentByteCount(daemon)
      #expect(after - before <= 32 << 20, "\((after - before) >> 20) MB more")
      // What it missed is gone; what it asks now is answered, behind what was sent before.
      session.forgetOthers()
      #expect(try session.tell(.flowMod(rule)) == nil)
    }
  }

  @Test func aControllerThatAsksAndDoesNotReadWaits() throws {
    try MessageTests.withController(.v13) { lab, daemon, session, a throws in
      let file = "\(lab.directory)/flows"
      try (0..<20000).map { "priority=5,ip,nw_src=10.\($0 >> 8 & 255).\($0 & 255).1,actions=output:1" }
        .joined(separator: "\n").write(toFile: file, atomically: true, encoding: .utf8)
      try lab.run(["ovs-ofctl", "--bundle", "add-flows", "unix:\(daemon.runDirectory)/br0.mgmt", file])
      var normal = FlowMod()
      normal.instructions = Instructions(apply: [.output(.normal, maximumByteCount: 0)])
      #expect(try session.tell(.flowMod(normal)) == nil)
      let before = try residentByteCount(daemon)
      // Each answer has some 2 MB: of a hundred questions the switch reads no more than it can answer.
      let question = try MessageEncoder().encode(
        Message(.v13, xid: 1, .multipartRequest(MultipartRequest(.flows(FlowStatisticsRequest())))))
      for _ in 0..<100 { try session.send(question) }
      pauseThread(.seconds(1))
      #expect(try answers(daemon))
      #expect(try lab.canPing("10.1.0.2", from: a, count: 3))
      let after = try residentByteCount(daemon)
      #expect(after - before <= 32 << 20, "\((after - before) >> 20) MB more")
    }
  }

  @Test func nonsenseEndsTheConnectionAndNothingElse() throws {
    try ConnectivityTests.withTwoHosts { lab, daemon, a, _ throws in
      let controller = try daemon.controller()
      try daemon.configure(
        "-- --id=@c create controller target=\"unix:\(daemon.runDirectory)/controller\" max_backoff=1000 "
          + "-- set bridge br0 controller=@c")
      var generator = SeededGenerator(seed: 1)
      let hello: [UInt8] = [4, 0, 0, 8, 0, 0, 0, 1]
      let openings: [[UInt8]] = [
        // Nothing that OpenFlow says; version 0; a length below a header's; a first message that is no greeting.
        Array("GET / HTTP/1.1\r\n\r\n".utf8), [0, 0, 0, 8, 0, 0, 0, 0], [4, 0, 0, 7, 0, 0, 0, 0],
        [4, 5, 0, 8, 0, 0, 0, 1],
        hello + [4, 14, 0, 3, 0, 0, 0, 0], hello + (0..<4096).map { _ in UInt8.random(in: 0...255, using: &generator) },
      ]
      for bytes in openings {
        let connection = try #require(try controller.connection(.seconds(15)), "\(daemon.log)")
        try connection.send(bytes)
        _ = try connection.isClosed(.milliseconds(500))
        #expect(try answers(daemon))
      }
      // The switch comes again, and a controller in its senses is served.
      var normal = FlowMod()
      normal.instructions = Instructions(apply: [.output(.normal, maximumByteCount: 0)])
      #expect(try controller.session(.v13, .seconds(15)).tell(.flowMod(normal)) == nil)
      #expect(try lab.canPing("10.1.0.2", from: a, count: 1))
    }
  }

  @Test func wellFormedMessagesWithWrongLengthsAreRefusedOneByOne() throws {
    try MessageTests.withController(.v13) { _, daemon, session, _ throws in
      // Each known type with each length from a header's on: an error or an answer for each, and the session goes on. (But
      // for errors: one that can't be read ends it, as an answer might be answered.)
      var generator = SeededGenerator(seed: 2)
      for type in UInt8(2)...30 {
        for count in [8, 9, 12, 16, 24, 56, 57, 80] {
          var bytes: [UInt8] = [4, type, 0, UInt8(count), 0, 0, 0, 7]
          while bytes.count < count { bytes.append(UInt8.random(in: 0...255, using: &generator)) }
          try session.send(bytes)
        }
      }
      let transaction = try session.send(.barrierRequest)
      let answer = try session.wait(for: { $0.xid == transaction ? $0.body : nil })
      #expect(answer == .barrierReply, "\(session.others.suffix(3))\n\(daemon.log)")
    }
  }

  @Test func aFloodOfRequestsLeavesTheOthersTheirTurn() throws {
    try MessageTests.withController(.v13) { lab, daemon, session, a throws in
      var rule = FlowMod()
      rule.instructions = Instructions(apply: [.output(.normal, maximumByteCount: 0)])
      #expect(try session.tell(.flowMod(rule)) == nil)
      rule.table = 9
      var batch: [UInt8] = []
      for priority in 0..<500 {
        rule.priority = UInt16(priority)
        batch += try MessageEncoder().encode(Message(.v13, xid: UInt32(priority), .flowMod(rule)))
        batch += [4, 2, 0, 8, 0, 0, 0, 9]
      }
      let end = ContinuousClock.now + .seconds(2)
      var isOpen = true
      while isOpen, ContinuousClock.now < end {
        isOpen = try session.send(batch)
        #expect(try answers(daemon))
      }
      #expect(try lab.canPing("10.1.0.2", from: a, count: 3))
    }
  }

  @Test func whoDoesNotGreetIsClosed() throws {
    try ConnectivityTests.withTwoHosts { _, daemon, _, _ throws in
      let controller = try daemon.controller()
      try daemon.configure("set-controller br0 unix:\(daemon.runDirectory)/controller")
      let silent = try #require(try controller.connection())
      #expect(try silent.isClosed(.seconds(15)))
      #expect(try eventually { try daemon.controllerColumn("status").contains("did not greet in 10 s") })
    }
  }

  @Test func aThousandIdleSocketsKeepNobodyOut() throws {
    try ConnectivityTests.withTwoHosts { _, daemon, _, _ throws in
      var idle: [UnixClient] = []
      for _ in 0..<1000 { idle.append(try UnixClient(path: "\(daemon.runDirectory)/br0.mgmt")) }
      #expect(try answers(daemon))
      #expect(idle.count == 1000)
    }
  }
}
