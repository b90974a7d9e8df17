// What the switch tells without being asked, and requests that the tools of others do not make, message by message.

import Foundation
import Glibc
import OpenFlow
import TestSupport
import Testing
import VSwitchCore

@Suite(.enabled(if: TestEnvironment.canUseNamespaces, "needs root"), .blocking)
struct MessageTests {
  @Test func messagesThatComeTogetherAreDoneAndAnsweredInOrder() throws {
    try MessageTests.withController(.v13) { lab, daemon, session, _ throws in
      // Changes that are made at once, some that are not, refused ones and questions, all in one piece.
      func rule(_ number: Int, _ action: Action, _ command: FlowMod.Command = .add) -> MessageBody {
        var mod = FlowMod()
        mod.command = command
        mod.table = 5
        mod.match.set(.metadata, UInt128(number))
        mod.instructions = Instructions(apply: command == .add ? [action] : [])
        return .flowMod(mod)
      }
      let output = Action.output(.inPort, maximumByteCount: 0)
      var bodies: [MessageBody] = []
      var answered: [UInt32] = []
      for number in 0..<300 {
        bodies.append(rule(number, output))
        if number % 7 == 0 { bodies.append(rule(number, output, .deleteStrict)) }
        if number % 11 == 0 {
          bodies.append(rule(number, .group(99)))
          answered.append(UInt32(bodies.count))
        }
        if number % 13 == 0 {
          bodies.append(.echoRequest([UInt8(number % 256)]))
          answered.append(UInt32(bodies.count))
        }
        if number % 50 == 0 {
          bodies.append(.barrierRequest)
          answered.append(UInt32(bodies.count))
        }
      }
      bodies.append(.barrierRequest)
      answered.append(UInt32(bodies.count))
      var bytes: [UInt8] = []
      for (index, body) in bodies.enumerated() {
        bytes += try MessageEncoder().encode(Message(.v13, xid: UInt32(index + 1), body))
      }
      try session.send(bytes)
      var answers: [UInt32] = []
      while answers.last != answered.last, let message = try session.receive() {
        if message.xid != 0 { answers.append(message.xid) }
      }
      #expect(answers == answered, "\(daemon.log)")
      let flows = try lab.run(["ovs-ofctl", "dump-aggregate", "unix:\(daemon.runDirectory)/br0.mgmt", "table=5"])
      #expect(flows.contains("flow_count=\((0..<300).count { $0 % 7 != 0 })"))
    }
  }

  @Test func refusalsCarryTheBytesThatWereReceived() throws {
    try MessageTests.withController(.v13) { _, _, session, _ throws in
      var group = GroupDescription(id: 7, kind: .indirect)
      var bucket = GroupDescription.Bucket()
      bucket.actions = [.output(.inPort, maximumByteCount: 0)]
      group.buckets = [bucket]
      #expect(try session.tell(.groupMod(GroupMod(.add, group))) == nil)
      // Padding that no encoder would write: of a group's change, and of a rule's among others.
      var change = try MessageEncoder().encode(Message(.v13, xid: 5001, .groupMod(GroupMod(.add, group))))
      change[8 + 3] = 0x55
      var rule = FlowMod()
      rule.instructions = Instructions(apply: [.group(99)])
      var refused = try MessageEncoder().encode(Message(.v13, xid: 5002, .flowMod(rule)))
      refused[8 + 38] = 0xaa
      let question = try MessageEncoder().encode(Message(.v13, xid: 5003, .getConfigRequest))
      try session.send(question + change + refused + refused)
      for (xid, bytes) in [(UInt32(5001), change), (5002, refused), (5002, refused)] {
        let data = try session.wait { message in
          if case .error(let error) = message.body, message.xid == xid { error.data } else { nil }
        }
        #expect(data == bytes)
      }
    }
  }

  /// Two hosts, and a controller of one version that has emptied the tables.
  static func withController(
    _ version: OpenFlowVersion, columns: String = "", _ body: (Lab, Daemon, TestSession, String) throws -> Void
  ) throws {
    try ConnectivityTests.withTwoHosts { lab, daemon, a, _ throws in
      let controller = try daemon.controller()
      try daemon.configure(
        "-- --id=@c create controller target=\"unix:\(daemon.runDirectory)/controller\" \(columns) "
          + "-- set bridge br0 controller=@c")
      try body(lab, daemon, try controller.session(version), a)
    }
  }

  private func portStatus(_ session: TestSession, _ isWanted: (PortStatus) -> Bool) throws -> PortStatus? {
    try session.wait { message in
      if case .portStatus(let status) = message.body, isWanted(status) { status } else { nil }
    }
  }

  private func ports(_ session: TestSession) throws -> [PortDescription] {
    if session.version == .v10 {
      guard case .featuresReply(let features) = try session.ask(.featuresRequest) else { return [] }
      return features.ports
    }
    guard
      case .multipartReply(let reply) = try session.ask(.multipartRequest(MultipartRequest(.portDescriptions(.any)))),
      case .portDescriptions(let ports) = reply.body
    else { return [] }
    return ports
  }

  // MARK: ports

  @Test(arguments: OpenFlowVersion.allCases) func portsThatComeChangeAndGoAreTold(version: OpenFlowVersion) throws {
    try Self.withController(version) { lab, daemon, session, a throws in
      _ = try session.ask(.barrierRequest)
      _ = try daemon.host("c")
      let added = try portStatus(session) { $0.reason == .add }
      #expect(added?.port.name == "c")
      try lab.run(["ip", "-n", a, "link", "set", "dev", "a", "down"])
      #expect(
        try portStatus(session) { $0.reason == .modify && $0.port.name == "a" && $0.port.state.contains(.linkDown) }
          != nil)
      try lab.run(["ip", "-n", a, "link", "set", "dev", "a", "up"])
      #expect(try portStatus(session) { $0.port.name == "a" && !$0.port.state.contains(.linkDown) } != nil)
      try daemon.configure("del-port c")
      #expect(try portStatus(session) { $0.reason == .delete }?.port.name == "c")
    }
  }

  @Test func portModsAreObeyedAndRefusedForWrongPorts() throws {
    try Self.withController(.v15) { lab, daemon, session, a throws in
      var normal = FlowMod()
      normal.instructions = Instructions(apply: [.output(.normal, maximumByteCount: 0)])
      #expect(try session.tell(.flowMod(normal)) == nil)
      #expect(try lab.canPing("10.1.0.2", from: a))
      let port = try #require(try ports(session).first { $0.name == "b" })
      #expect(
        try session.tell(.portMod(PortMod(port: PortNumber(999), hardwareAddress: port.hardwareAddress)))
          == .portModFailedBadPort)
      #expect(
        try session.tell(.portMod(PortMod(port: port.number, hardwareAddress: MACAddress(bits: 1))))
          == .portModFailedBadHardwareAddress)
      for setting in [PortDescription.Configuration.noForward, .noReceive, .down] {
        var change = PortMod(port: port.number, hardwareAddress: port.hardwareAddress)
        change.mask = setting
        change.configuration = setting
        #expect(try session.tell(.portMod(change)) == nil)
        #expect(try !lab.canPing("10.1.0.2", from: a, count: 1), "\(setting)")
        // 1.5 is told of its own changes, too.
        #expect(try portStatus(session) { $0.port.configuration.contains(setting) } != nil)
        change.configuration = []
        #expect(try session.tell(.portMod(change)) == nil)
        #expect(try eventually { try lab.canPing("10.1.0.2", from: a, count: 1) }, "\(setting)")
      }
    }
  }

  @Test func failoverGroupsFollowLinks() throws {
    try Self.withController(.v13) { lab, daemon, session, a throws in
      let c = try daemon.host("c", addresses: ["10.1.0.2/24"])
      let numbers = Dictionary(uniqueKeysWithValues: try ports(session).map { ($0.name, $0.number) })
      let (first, second, entry) = (numbers["b"], numbers["c"], numbers["a"])
      var group = GroupDescription(id: 1, kind: .fastFailover)
      group.buckets = [first, second].compactMap { $0 }.map { port in
        var bucket = GroupDescription.Bucket()
        bucket.actions = [.output(port, maximumByteCount: 0)]
        bucket.watchPort = port
        return bucket
      }
      #expect(try session.tell(.groupMod(GroupMod(.add, group))) == nil)
      var rule = FlowMod()
      rule.instructions = Instructions(apply: [.group(1)])
      rule.match.set(.inPort, UInt128(entry?.rawValue ?? 0))
      #expect(try session.tell(.flowMod(rule)) == nil)
      var back = FlowMod()
      back.priority = 1
      back.instructions = Instructions(apply: [.output(entry ?? .any, maximumByteCount: 0)])
      #expect(try session.tell(.flowMod(back)) == nil)
      #expect(try eventually { try lab.canPing("10.1.0.2", from: a, count: 1) })
      let received = { try daemon.portStatistics("c").txPackets }
      let before = try received()
      #expect(try lab.canPing("10.1.0.2", from: a, count: 2))
      #expect(try received() == before, "the second bucket was used while the first was live")
      let b = try daemon.configure("get interface b options:netns").trimmingCharacters(in: ["\"", "\n"])
      try lab.run(["ip", "-n", b, "link", "set", "dev", "b", "down"])
      try lab.run(["ip", "-n", a, "neighbour", "flush", "all"])
      #expect(try eventually { try lab.canPing("10.1.0.2", from: a, count: 1) }, "\(c)")
      #expect(try received() > before)
    }
  }

  // MARK: packets

  @Test func packetOutToNormalFloodsAndLearnsNothing() throws {
    try Self.withController(.v13) { _, daemon, session, _ throws in
      let before = try daemon.portStatistics().filter { ["a", "b"].contains($0.port) }.map(\.txPackets)
      var packet = PacketOut()
      packet.actions = [.output(.normal, maximumByteCount: 0)]
      packet.data =
        [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 9, 9, 0x88, 0xb5] + [UInt8](repeating: 0, count: 46)
      #expect(try session.tell(.packetOut(packet)) == nil)
      #expect(
        try eventually {
          let after = try daemon.portStatistics().filter { ["a", "b"].contains($0.port) }.map(\.txPackets)
          return zip(before, after).allSatisfy { $0 < $1 }
        })
      #expect(try !daemon.macTable("br0").contains { $0.mac == "02:00:00:00:09:09" })
    }
  }

  @Test func packetsComeAtTheRateOfTheRow() throws {
    let columns = "controller_rate_limit=100 controller_burst_limit=25"
    try Self.withController(.v13, columns: columns) { lab, _, session, a throws in
      var rule = FlowMod()
      rule.match.set(.etherType, 0x0800)
      rule.instructions = Instructions(apply: [.controller(ControllerAction())])
      #expect(try session.tell(.flowMod(rule)) == nil)
      let began = ContinuousClock.now
      try lab.run(["ip", "-n", a, "neighbour", "replace", "10.1.0.2", "lladdr", "02:00:00:00:00:02", "dev", "a"])
      _ = try lab.attempt(["ping", "-n", "-f", "-c", "3000", "-w", "2", "10.1.0.2"], in: a)
      var count = 0
      while try session.wait(.milliseconds(500), for: { if case .packetIn = $0.body { true } else { nil } }) != nil {
        count += 1
      }
      let seconds = Double((ContinuousClock.now - began).components.seconds + 1)
      #expect(count >= 50 && Double(count) <= 100 * seconds + 50, "\(count) in \(seconds) s")
    }
  }

  @Test(arguments: OpenFlowVersion.allCases) func packetsSayWhyTheyCame(version: OpenFlowVersion) throws {
    try Self.withController(version) { lab, _, session, a throws in
      var masks = AsyncConfiguration()
      masks.primary.packetIn = version < .v14 ? 0b111 : 0b11_1111
      #expect(try session.tell(.setAsync(masks, form: version == .v10 ? .nicira2 : .standard)) == nil)
      #expect(try session.tell(.setPacketInFormat(.packetIn2)) == nil)
      var rule = FlowMod()
      rule.cookie = 0x77
      rule.priority = 5
      rule.match.set(.etherType, 0x0800)
      var action = ControllerAction()
      action.userData = [1, 2, 3]
      rule.instructions = Instructions(apply: [
        .decrementTTL(controllers: [0]), .setField(.reg3, value: 9, mask: 0xffff_ffff), .controller(action),
      ])
      #expect(try session.tell(.flowMod(rule)) == nil)
      try lab.run(["ip", "-n", a, "neighbour", "replace", "10.1.0.2", "lladdr", "02:00:00:00:00:02", "dev", "a"])
      func packet(_ reason: ControllerAction.Reason) throws -> PacketIn? {
        try session.wait { message in
          if case .packetIn(let packet, .packetIn2) = message.body, packet.reason == reason { packet } else { nil }
        }
      }
      _ = try lab.attempt(["ping", "-n", "-c", "1", "-W", "1", "10.1.0.2"], in: a)
      let sent = try packet(.action)
      #expect(
        sent?.cookie == 0x77 && sent?.userData == [1, 2, 3] && sent?.metadata.key[.reg3] == 9, "\(session.others)")
      _ = try lab.attempt(["ping", "-n", "-c", "1", "-t", "1", "-W", "1", "10.1.0.2"], in: a)
      #expect(try packet(.invalidTTL) != nil, "\(session.others)")
    }
  }

  // MARK: rules

  @Test(arguments: OpenFlowVersion.allCases) func watchedRulesAreTold(version: OpenFlowVersion) throws {
    try Self.withController(version) { lab, daemon, session, _ throws in
      let socket = "unix:\(daemon.runDirectory)/br0.mgmt"
      func add(_ rule: String) throws { try lab.run(["ovs-ofctl", "add-flow", socket, rule]) }
      try add("priority=3,udp,actions=drop")
      var request = FlowMonitorRequest(id: 5)
      request.flags = [.initial, .added, .removed, .modified, .instructions]
      request.match.set(.etherType, 0x0800)
      let form: MessageForm = version < .v14 ? .extension : .standard
      guard
        case .multipartReply(let reply) = try session.ask(
          .multipartRequest(MultipartRequest(.flowMonitor([request]), form: form))),
        case .flowMonitor(let updates) = reply.body
      else {
        Issue.record("no answer")
        return
      }
      #expect(updates.count == 1)
      func next() throws -> FlowUpdate? {
        try session.wait { message in
          if case .multipartReply(let reply) = message.body, case .flowMonitor(let updates) = reply.body {
            updates.first
          } else {
            nil
          }
        }
      }
      func change(_ update: FlowUpdate?) -> FlowChange? { if case .change(let change) = update { change } else { nil } }
      // One that is not watched, then one that is: by another's hand in full, by our own by its number.
      try add("priority=4,arp,actions=drop")
      try add("priority=4,tcp,actions=output:1")
      let added = change(try next())
      #expect(added?.event == .added && added?.priority == 4 && added?.instructions.apply.count == 1)
      try lab.run(["ovs-ofctl", "mod-flows", socket, "tcp,actions=output:2"])
      #expect(change(try next())?.event == .modified)
      var own = FlowMod()
      own.priority = 9
      own.match.set(.etherType, 0x0800)
      let transaction = try session.send(.flowMod(own))
      #expect(try next() == .abbreviated(xid: transaction))
      try lab.run(["ovs-ofctl", "del-flows", socket, "tcp"])
      let removed = change(try next())
      #expect(removed?.event == .removed && removed?.reason == .delete)
      // The same number again is refused; without the monitor there is silence.
      if case .error(let error) = try session.ask(
        .multipartRequest(MultipartRequest(.flowMonitor([request]), form: form)))
      {
        #expect(error.reason == .known(.flowMonitorFailedMonitorExists))
      } else {
        Issue.record("a number was given twice")
      }
      if version < .v14 {
        #expect(try session.tell(.flowMonitorCancel(5)) == nil)
      } else {
        var end = FlowMonitorRequest(id: 5)
        end.command = .delete
        _ = try session.ask(.multipartRequest(MultipartRequest(.flowMonitor([end]), form: form)))
      }
      try add("priority=4,tcp,actions=output:1")
      #expect(
        try session.wait(.milliseconds(300), for: { if case .multipartReply = $0.body { true } else { nil } }) == nil)
    }
  }

  @Test(arguments: OpenFlowVersion.allCases) func longAnswersComeInParts(version: OpenFlowVersion) throws {
    try Self.withController(version) { lab, daemon, session, _ throws in
      let file = "\(lab.directory)/flows"
      try (0..<5000).map {
        "priority=\($0 % 60000),ip,nw_src=10.\($0 >> 8 & 255).\($0 & 255).1,actions=output:1,output:2"
      }
      .joined(separator: "\n").write(toFile: file, atomically: true, encoding: .utf8)
      try lab.run(["ovs-ofctl", "--bundle", "add-flows", "unix:\(daemon.runDirectory)/br0.mgmt", file])
      let form: MessageForm = version == .v10 ? .extension : .standard
      let transaction = try session.send(
        .multipartRequest(MultipartRequest(.flows(FlowStatisticsRequest()), form: form)))
      var flowCount = 0
      var partCount = 0
      var isDone = false
      while !isDone {
        guard let message = try session.wait(for: { $0.xid == transaction ? $0 : nil }),
          case .multipartReply(let reply) = message.body, case .flows(let flows) = reply.body
        else { break }
        flowCount += flows.count
        partCount += 1
        isDone = !reply.hasMore
      }
      #expect(isDone && flowCount == 5000 && partCount > 5, "\(flowCount) in \(partCount)")
    }
  }

  // MARK: what others do

  @Test func groupAndMeterChangesAreForwardedToThoseWhoAsked() throws {
    try Self.withController(.v14) { _, daemon, session, _ throws in
      var masks = AsyncConfiguration()
      masks.primary.requestForward = 0b11
      #expect(try session.tell(.setAsync(masks, form: .standard)) == nil)
      let other = try TestSession(path: "\(daemon.runDirectory)/br0.mgmt", .v13)
      let group = GroupMod(.add, GroupDescription(id: 4, kind: .all))
      #expect(try other.tell(.groupMod(group)) == nil)
      let forwarded = try session.wait { message in
        if case .requestForward(let forward) = message.body { forward.request.body } else { nil }
      }
      #expect(forwarded == .groupMod(group))
      // Not one's own.
      #expect(try session.tell(.groupMod(GroupMod(.add, GroupDescription(id: 5, kind: .all)))) == nil)
      #expect(
        try session.wait(.milliseconds(300), for: { if case .requestForward = $0.body { true } else { nil } }) == nil)
    }
  }

  @Test func tablesMayBeAskedForThatCanDoLessAndNotTakenAway() throws {
    try Self.withController(.v13) { _, _, session, _ throws in
      func ask(_ tables: [TableFeatures]) throws -> MessageBody {
        try session.ask(.multipartRequest(MultipartRequest(.tableFeatures(tables))))
      }
      guard case .multipartReply(let reply) = try ask([]), case .tableFeatures(let ours) = reply.body else {
        Issue.record("no answer")
        return
      }
      var smaller = TableFeatures(table: 3)
      smaller.rules.instructions = 0b1_0010
      smaller.rules.applySetFields = [.ethernetSource]
      guard case .multipartReply(let same) = try ask([smaller]) else {
        Issue.record("a smaller table was refused")
        return
      }
      #expect(same.body == .tableFeatures(ours))
      func refusal(_ table: TableFeatures) throws -> ErrorMessage.Reason? {
        if case .error(let error) = try ask([table]) { error.reason } else { nil }
      }
      var none = TableFeatures(table: 3)
      none.hasProperties = false
      #expect(try refusal(none) == .known(.tableFeaturesFailedPermission))
      var larger = smaller
      larger.maximumEntries = 2_000_000
      #expect(try refusal(larger) != nil)
    }
  }

  @Test func controllersAreListedForOneAnother() throws {
    try Self.withController(.v15) { _, daemon, session, _ throws in
      guard case .multipartReply(let reply) = try session.ask(.multipartRequest(MultipartRequest(.controllerStatus))),
        case .controllerStatus(let controllers) = reply.body
      else {
        Issue.record("no answer")
        return
      }
      #expect(controllers.count == 1 && controllers[0].isUp)
      #expect(controllers[0].uri == "unix:\(daemon.runDirectory)/controller")
    }
  }

  @Test func aNearlyFullTableIsTold() throws {
    try Self.withController(.v14) { _, _, session, _ throws in
      var masks = AsyncConfiguration()
      masks.primary.tableStatus = 0b1_1000
      #expect(try session.tell(.setAsync(masks, form: .standard)) == nil)
      var settings = TableDescription(table: 0)
      settings.sendsVacancyEvents = true
      // Of all rules there is room for 100 %, which is not below 100; the first rule brings it below.
      settings.vacancy = TableDescription.Vacancy(downPercent: 100, upPercent: 100)
      #expect(try session.tell(.tableMod(settings)) == nil)
      #expect(try session.tell(.flowMod(FlowMod())) == nil)
      let status = try session.wait { message in
        if case .tableStatus(let status) = message.body { status } else { nil }
      }
      #expect(status?.reason == .vacancyDown && status?.table.vacancy?.currentPercent == 99)
    }
  }

  @Test func changesThatComeTogetherAreMadeOrRefusedOneByOne() throws {
    try Self.withController(.v13) { _, _, session, _ throws in
      var good = FlowMod()
      good.instructions = Instructions(apply: [.output(PortNumber(1), maximumByteCount: 0)])
      var bytes: [UInt8] = []
      for number in UInt32(0)..<20 {
        var mod = good
        mod.priority = UInt16(number)
        // Every fourth leads to a group that is not there.
        if number % 4 == 3 { mod.instructions = Instructions(apply: [.group(77)]) }
        bytes += try MessageEncoder().encode(Message(.v13, xid: 1000 + number, .flowMod(mod)))
      }
      var last = FlowMod()
      last.command = .deleteStrict
      last.priority = 18
      bytes += try MessageEncoder().encode(Message(.v13, xid: 1020, .flowMod(last)))
      bytes += try MessageEncoder().encode(Message(.v13, xid: 1021, .barrierRequest))
      try session.send(bytes)
      var refused: [UInt32] = []
      while let message = try session.receive(), message.xid != 1021 {
        guard case .error(let error) = message.body else { continue }
        #expect(error.reason == .known(.badActionBadOutGroup))
        refused.append(message.xid)
      }
      #expect(refused == [1003, 1007, 1011, 1015, 1019])
      let reply = try session.ask(.multipartRequest(MultipartRequest(.flows(FlowStatisticsRequest()))))
      guard case .multipartReply(let reply) = reply, case .flows(let flows) = reply.body else {
        Issue.record("no flows")
        return
      }
      var expected: Set<UInt16> = []
      for number in UInt16(0)..<20 where number % 4 != 3 && number != 18 { expected.insert(number) }
      #expect(Set(flows.map(\.priority)) == expected)
    }
  }

  /// Table Flow_Table.
  @Test func aFullTableRefusesOrEvictsAndItsRoomIsTold() throws {
    try Self.withController(.v14) { _, daemon, session, _ throws in
      func rule(_ number: UInt16, idle: UInt16 = 600, importance: UInt16 = 0) -> MessageBody {
        var rule = FlowMod()
        rule.priority = number
        rule.idleTimeoutSeconds = idle
        rule.importance = importance
        rule.flags = .sendFlowRemoved
        return .flowMod(rule)
      }
      var masks = AsyncConfiguration()
      masks.primary.tableStatus = 0b1_1000
      #expect(try session.tell(.setAsync(masks, form: .standard)) == nil)
      var settings = TableDescription(table: 0)
      settings.sendsVacancyEvents = true
      settings.vacancy = TableDescription.Vacancy(downPercent: 30, upPercent: 60)
      #expect(try session.tell(.tableMod(settings)) == nil)
      try daemon.configure("-- --id=@t create flow_table flow_limit=4 -- set bridge br0 flow_tables:0=@t")
      for number in UInt16(1)...4 { #expect(try session.tell(rule(number, importance: number)) == nil) }
      #expect(try session.tell(rule(5)) == .flowModFailedTableFull)
      let down = try session.wait { message in
        if case .tableStatus(let status) = message.body { status } else { nil }
      }
      #expect(down?.reason == .vacancyDown && down?.table.vacancy?.currentPercent == 25)
      let row = try daemon.configure("--bare --columns=_uuid list flow_table")
      try daemon.configure(
        "set flow_table \(row.trimmingCharacters(in: .whitespacesAndNewlines)) overflow_policy=evict")
      #expect(try session.tell(rule(6, importance: 9)) == nil)
      let removed = try session.wait { message in
        if case .flowRemoved(let removed, _) = message.body { removed } else { nil }
      }
      #expect(removed?.priority == 1 && removed?.reason == .eviction)
      try daemon.configure("clear bridge br0 flow_tables")
      #expect(try session.tell(rule(7)) == nil)
    }
  }
}
