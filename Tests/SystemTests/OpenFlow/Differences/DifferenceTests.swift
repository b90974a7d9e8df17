// Docs/openflow.md says where this switch and Open vSwitch differ: both are asked, line by line, and a line without a test
// is found. Open vSwitch is the private one of the reference tests; nothing of the machine is touched.

import Datapath
import Foundation
import OpenFlow
import ReferenceSwitch
import TestSupport
import Testing
import VSwitchCore

@Suite(
  .blocking, .enabled(if: TestEnvironment.canUseNamespaces && OpenVSwitch.isInstalled, "needs root, openvswitch-switch")
)
struct DifferenceTests {
  /// Lines whose test is one below, or stands elsewhere.
  private static let otherRows: Set<String> = [
    "port mod with bits that ports have not (from 1.3 on)", "statistics of table 254",
    "a first message that is no hello and says that more is to come", "a bundle's refused change",
    "a hello without a version in common", "a tag that is pushed before another",
    "`goto_table` that no rule of the table meets",
    "a meter without a burst", "a select group without a selection method", "counts in flow-removed",
    "`learn` at its limit, where a rule of its match does something else", "a lower `flow_limit`",
  ]

  @Test func everyLineOfThePageHasATest() throws {
    let page = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../../../Docs/openflow.md")
    let text = try String(contentsOf: page.standardizedFileURL, encoding: .utf8)
    let section = try #require(text.split(separator: "\n## ").first { $0.hasPrefix("Where this differs") })
    var rows: [String] = []
    for table in section.split(separator: "\n\n") where table.hasPrefix("| what | here | Open vSwitch |") {
      for line in table.split(separator: "\n").dropFirst(2) {
        rows.append(String(line.dropFirst(2).split(separator: " | ").first ?? ""))
      }
    }
    #expect(rows.count > 20 && Set(rows).count == rows.count, "\(rows)")
    #expect(Set(rows) == Self.otherRows.union(MessageDifference.all.map(\.row)))
  }

  // MARK: messages

  /// Both switches with ports 1 and 2, and their management sockets.
  private func withBoth(_ body: (Lab, Daemon, OpenVSwitch, _ ours: String, _ theirs: String) throws -> Void) throws {
    try withLab { lab in
      let daemon = try lab.daemon()
      try daemon.configure(
        "add-br br0 -- add-port br0 p1 -- set interface p1 type=tap ofport_request=1 "
          + "-- add-port br0 p2 -- set interface p2 type=tap ofport_request=2")
      let directory = "\(lab.directory)/ovs"
      try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
      let reference = try OpenVSwitch(directory: directory)
      try reference.addBridge("br0", ports: ["p1", "p2"])
      try body(lab, daemon, reference, "\(daemon.runDirectory)/br0.mgmt", "\(directory)/br0.mgmt")
    }
  }

  /// What comes of a request, and the error's data.
  private func ask(_ session: TestSession, _ type: UInt8, _ body: [UInt8]) throws -> (RequestAnswer, data: [UInt8]) {
    let count = 8 + body.count
    let version = session.version.rawValue
    try session.send([version, type, UInt8(count >> 8), UInt8(count & 255), 0, 0, 0, 7] + body)
    let fence = try session.send(.echoRequest([1]))
    var answer: (RequestAnswer, data: [UInt8]) = (.accepted, [])
    while let message = try session.receive(), message.xid != fence {
      switch message.body {
      case .error(let error):
        // Open vSwitch has numbers of its own for what the standard has none for.
        let isOwn = if case .known(let code) = error.reason { "\(code)".hasPrefix("NX") } else { true }
        if case .known(let code) = error.reason, !isOwn, message.xid == 7 {
          answer = (.error(code), error.data)
        } else {
          answer = (.otherError, error.data)
        }
      default: if message.xid == 7, answer.0 == .accepted { answer = (.reply, []) }
      }
    }
    return answer
  }

  @Test func requestsAreAnsweredAsThePageSays() throws {
    try withBoth { _, daemon, _, ours, theirs in
      for (path, answer) in [(ours, \MessageDifference.ours), (theirs, \MessageDifference.theirs)] {
        for difference in MessageDifference.all {
          let session = try TestSession(path: path, difference.version)
          var clear = FlowMod()
          clear.command = .delete
          clear.table = FlowMod.allTables
          try session.tell(.flowMod(clear))
          var last = RequestAnswer.accepted
          for request in difference.requests { last = try ask(session, request.type, request.body).0 }
          let side = path == ours ? "vswitchd" : "Open vSwitch"
          #expect(
            last == difference[keyPath: answer],
            "\(side), \(difference.row), version \(difference.version): \(difference.requests.last?.body.hexadecimal ?? "")"
          )
        }
      }
      #expect(daemon.isRunning)
    }
  }

  /// A bit of another version, one of nobody's; those of 1.0 that ports here have not.
  @Test func portModsWithUnknownBitsAreRefusedFrom13On() throws {
    try withBoth { _, _, _, ours, theirs in
      func answer(_ path: String, _ version: OpenFlowVersion, _ bits: UInt8) throws -> RequestAnswer {
        let session = try TestSession(path: path, version)
        let request: MessageBody =
          version == .v10 ? .featuresRequest : .multipartRequest(MultipartRequest(.portDescriptions(.any)))
        var ports: [PortDescription] = []
        switch try session.ask(request) {
        case .featuresReply(let features): ports = features.ports
        case .multipartReply(let reply): if case .portDescriptions(let list) = reply.body { ports = list }
        default: break
        }
        let address = try #require(ports.first { $0.number == PortNumber(1) }?.hardwareAddress)
        let bytes = (0..<6).map { UInt8(truncatingIfNeeded: address.bits >> UInt64(40 - 8 * $0)) }
        let numbers: [UInt8] = [0, 0, 0, 0, 0, 0, 0, bits, 0, 0, 0, 0]
        let body =
          version == .v10
          ? [0, 1] + bytes + numbers + [0, 0, 0, 0]
          : [0, 0, 0, 1, 0, 0, 0, 0] + bytes + [0, 0] + numbers + [0, 0, 0, 0]
        return try ask(session, version == .v10 ? 15 : 16, body).0
      }
      for bits: UInt8 in [0x10, 0x02, 0x80] {
        let answers = try [ours, theirs].map { (try answer($0, .v13, bits), try answer($0, .v10, bits)) }
        #expect(answers[0] == (.error(.portModFailedBadConfig), .accepted))
        #expect(answers[1] == (.accepted, .accepted))
      }
    }
  }

  @Test func whatIsSaidOfRefusedGreetingsChangesAndOfTable254() throws {
    try withBoth { lab, _, _, ours, theirs in
      func dump(_ path: String) throws -> String {
        try lab.run(["ovs-ofctl", "-O", "OpenFlow13", "dump-flows", "unix:\(path)", "table=254"])
      }
      #expect(try !dump(ours).contains("table=254") && dump(theirs).contains("table=254"))
      // A bundle whose only change leads to a group that is not there: the error has the change, or what brought it.
      var change = FlowMod()
      change.instructions = Instructions(apply: [.group(77)])
      let bytes = try MessageEncoder().encode(Message(.v14, xid: 7, .flowMod(change)))
      for (path, brings) in [(ours, bytes), (theirs, [UInt8]())] {
        let session = try TestSession(path: path, .v14)
        #expect(try ask(session, 33, [0, 0, 0, 1, 0, 0, 0, 1]).0 == .reply)
        #expect(try ask(session, 34, [0, 0, 0, 1, 0, 0, 0, 1] + bytes).0 == .accepted)
        try session.send([5, 33, 0, 16, 0, 0, 0, 9, 0, 0, 0, 1, 0, 4, 0, 1])
        let data = try session.wait { message in
          if case .error(let error) = message.body, error.reason == .known(.badActionBadOutGroup) {
            error.data
          } else {
            nil
          }
        }
        #expect(path == ours ? data == brings : (data?.count ?? 0) == bytes.count + 16)
      }
      for (path, xid) in [(ours, UInt32(7)), (theirs, 0)] {
        let session = try TestSession(rawPath: path)
        try session.send([6, 0, 0, 16, 0, 0, 0, 7, 0, 1, 0, 8, 0x80, 0, 0, 0])
        let refused = try session.wait { if case .error = $0.body { $0.xid } else { nil } }
        #expect(refused == xid)
      }
      // "GET " says that the message has 17,748 bytes in all.
      for (path, deadline) in [(ours, Duration.seconds(20)), (theirs, .seconds(5))] {
        let session = try TestSession(rawPath: path)
        let began = ContinuousClock.now
        try session.send(Array("GET / HTTP/1.0\r\n\r\n".utf8))
        #expect(try session.isClosed(deadline))
        let seconds = (ContinuousClock.now - began) / .seconds(1)
        #expect(path == ours ? seconds > 9 : seconds < 4, "\(seconds)")
      }
    }
  }

  /// Open vSwitch evicts down to a lower limit at once; here no rule goes.
  @Test func aLowerLimitRemovesNoRule() throws {
    try withBoth { lab, daemon, reference, ours, theirs in
      for path in [ours, theirs] {
        for number in 1...4 {
          try lab.run([
            "ovs-ofctl", "-O", "OpenFlow14", "add-flow", "unix:\(path)",
            "table=5,idle_timeout=600,priority=\(number),actions=drop",
          ])
        }
      }
      let columns = "flow_limit=2 overflow_policy=evict -- set bridge br0 flow_tables:5=@t"
      try daemon.configure("-- --id=@t create flow_table \(columns)")
      try reference.vsctl(
        ["--", "--id=@t", "create", "flow_table"] + columns.split(separator: " ").map(String.init))
      func count(_ path: String) throws -> Bool {
        try lab.run(["ovs-ofctl", "dump-aggregate", "unix:\(path)", "table=5"]).contains("flow_count=2")
      }
      #expect(try eventually { try count(theirs) })
      #expect(try !count(ours))
    }
  }
}
