// Messages about a session itself, which no tool of others sends: what it is told, under which number packets come to it, and
// what becomes of a watcher that does not read.

import Foundation
import OpenFlow
import TestSupport
import Testing
import VSwitchCore

@Suite(.enabled(if: TestEnvironment.canUseNamespaces, "needs root"), .blocking)
struct SessionMessageTests {
  @Test(arguments: [OpenFlowVersion.v13, .v14, .v15])
  func whatASessionIsToldIsSaidAsItWasSet(version: OpenFlowVersion) throws {
    try MessageTests.withController(version) { _, _, session, _ throws in
      func settings() throws -> AsyncConfiguration? {
        if case .getAsyncReply(let settings) = try session.ask(.getAsyncRequest) { settings } else { nil }
      }
      let before = try #require(try settings())
      #expect(before.primary.packetIn != nil && before.secondary.portStatus != nil)
      var change = AsyncConfiguration()
      change.primary.packetIn = 0b010
      change.primary.portStatus = 0b101
      change.primary.flowRemoved = 0b0011
      change.secondary.packetIn = 0b001
      change.secondary.portStatus = 0
      change.secondary.flowRemoved = 0b1000
      #expect(try session.tell(.setAsync(change, form: .standard)) == nil)
      let after = try #require(try settings())
      for (now, wanted) in [(after.primary, change.primary), (after.secondary, change.secondary)] {
        #expect(now.packetIn == wanted.packetIn && now.portStatus == wanted.portStatus)
        #expect(now.flowRemoved == wanted.flowRemoved)
      }
      // What 1.4 lets be left out stays as it is; before, all is set.
      if version >= .v14 {
        var part = AsyncConfiguration()
        part.primary.portStatus = 0
        #expect(try session.tell(.setAsync(part, form: .standard)) == nil)
        let rest = try settings()?.primary
        #expect(rest?.portStatus == 0 && rest?.packetIn == 0b010 && rest?.flowRemoved == 0b0011)
      }
    }
  }

  /// Of Open vSwitch: `controller(id=N)` is for those who have that number, anything else for number 0.
  @Test(arguments: OpenFlowVersion.allCases) func packetsComeToTheSessionOfTheirNumber(version: OpenFlowVersion) throws
  {
    try MessageTests.withController(version) { lab, daemon, session, a throws in
      let other = try TestSession(path: "\(daemon.runDirectory)/br0.mgmt", version)
      for one in [session, other] {
        guard case .getConfigReply(var configuration) = try one.ask(.getConfigRequest) else { continue }
        configuration.missSendByteCount = 0xffff
        #expect(try one.tell(.setConfig(configuration)) == nil)
      }
      #expect(try other.tell(.setControllerID(7)) == nil)
      // Neither changes what is said.
      if version == .v10 {
        #expect(try other.tell(.flowAge) == nil)
      }
      var action = ControllerAction()
      action.controllerID = 7
      for (type, actions) in [(0x1234, [Action.controller(action)]), (0x1235, [.controller(ControllerAction())])] {
        var rule = FlowMod()
        rule.match.set(.etherType, UInt128(type))
        rule.instructions = Instructions(apply: actions)
        #expect(try session.tell(.flowMod(rule)) == nil)
      }
      func packet(_ type: UInt16, to one: TestSession, _ deadline: Duration) throws -> Bool {
        try one.wait(deadline) { message in
          if case .packetIn(let packet, _) = message.body, Array(packet.data[12..<14]) == type.octets {
            true
          } else {
            nil
          }
        } != nil
      }
      for (type, mine, others) in [(UInt16(0x1234), other, session), (0x1235, session, other)] {
        var out = PacketOut()
        out.data = FrameBuilder.ethernet(
          to: FrameBuilder.address(2), from: FrameBuilder.address(1), etherType: type, Array(repeating: 1, count: 46))
        out.actions = [.output(.table, maximumByteCount: 0)]
        #expect(try session.tell(.packetOut(out)) == nil)
        #expect(try packet(type, to: mine, .seconds(5)), "\(type)")
        #expect(try !packet(type, to: others, .milliseconds(200)), "\(type)")
      }
    }
  }

  /// A watcher of rules that does not read is not told of each; when it reads again it is told what there is by then.
  @Test(arguments: [OpenFlowVersion.v10, .v14]) func aSlowWatcherIsPausedAndKnowsAllInTheEnd(version: OpenFlowVersion)
    throws
  {
    try ConnectivityTests.withTwoHosts { lab, daemon, _, _ throws in
      // Not a controller of the database: of those one that answers no probe is given up.
      let session = try TestSession(path: "\(daemon.runDirectory)/br0.mgmt", version)
      var request = FlowMonitorRequest(id: 5)
      request.flags = [.added, .removed, .modified, .instructions]
      let form: MessageForm = version < .v14 ? .extension : .standard
      _ = try session.ask(.multipartRequest(MultipartRequest(.flowMonitor([request]), form: form)))
      let file = "\(lab.directory)/flows"
      let count = 24_000
      try (0..<count).map { "table=2,udp,nw_src=10.\($0 >> 16).\($0 >> 8 & 255).\($0 & 255),actions=output:1,output:2" }
        .joined(separator: "\n").write(toFile: file, atomically: true, encoding: .utf8)
      let socket = "unix:\(daemon.runDirectory)/br0.mgmt"
      // In pieces, as one bundle would be told at once.
      for part in 0..<4 {
        let lines = part * count / 4 + 1
        try lab.run(["sh", "-c", "sed -n '\(lines),\(lines + count / 4 - 1)p' \(file) > \(file)\(part)"])
        try lab.run(["ovs-ofctl", "-O", "OpenFlow14", "--bundle", "add-flows", socket, "\(file)\(part)"])
      }
      var known: Set<UInt128> = []
      var pauses = 0
      var resumes = 0
      while resumes == 0 || known.count < count, let message = try session.receive(.seconds(5)) {
        switch message.body {
        case .flowMonitorPaused: pauses += 1
        case .flowMonitorResumed: resumes += 1
        case .multipartReply(let reply):
          guard case .flowMonitor(let updates) = reply.body else { continue }
          for update in updates {
            switch update {
            case .change(let change): known.insert(change.match.key[.ipv4Source])
            case .paused: pauses += 1
            case .resumed: resumes += 1
            case .abbreviated: break
            }
          }
        default: break
        }
      }
      #expect(known.count == count && pauses > 0 && resumes == pauses, "\(known.count), \(pauses), \(resumes)")
      #expect(daemon.isRunning)
    }
  }
}
