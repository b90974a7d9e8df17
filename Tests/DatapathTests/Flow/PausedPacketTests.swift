// Packets that wait for a controller in the middle of the tables and go on when it sends them back, and what a controller is
// told with a packet.

import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

@Suite struct PausedPacketTests {
  /// A bridge with ports p1 to p4 and these rules alone.
  private func makeSwitch(_ rules: [TableChange]) throws -> DatapathHarness { try .bridge([clear] + rules) }

  private func pause(byteCount: UInt16 = 20) -> Action {
    var action = ControllerAction()
    action.pauses = true
    action.maximumByteCount = byteCount
    return .controller(action)
  }

  private func frame(port: UInt16 = 80) -> [UInt8] {
    let addresses: ([UInt8], [UInt8]) = ([10, 0, 0, 1], [10, 0, 0, 2])
    let udp = FrameBuilder.udp(
      from: addresses.0, to: addresses.1, sourcePort: 1000, destinationPort: port, Array(0..<20))
    return FrameBuilder.ethernet(
      to: FrameBuilder.address(2), from: FrameBuilder.address(1), etherType: 0x0800,
      FrameBuilder.ipv4(from: addresses.0, to: addresses.1, protocol: 17, udp))
  }

  private func tracking(table: UInt8?, zone: UInt16 = 0, commits: Bool = false) -> Action {
    var action = ConntrackAction()
    action.zone = .immediate(zone)
    action.recirculationTable = table
    action.commits = commits
    return .conntrack(action)
  }

  /// What the controller gets, as it comes out of the bytes that it sends back.
  private func waiting(_ harness: DatapathHarness) throws -> (packet: ControllerPacket, Continuation) {
    let packets = harness.takeControllerPackets()
    #expect(packets.count == 1)
    let packet = try #require(packets.first)
    let continuation = try #require(packet.continuation)
    return (packet, try #require(Continuation(continuation.bytes)))
  }

  @Test func aPacketGoesOnBehindTheActionThatStoppedIt() throws {
    let harness = try makeSwitch([
      rule([], [.setField(.reg1, value: 7, mask: 0xffff_ffff), output(2), pause(), output(3)], goto: 1),
      rule(table: 1, [(.reg1, 7)], [output(4)]),
    ])
    // The second time from the cache.
    for _ in 0..<2 {
      #expect(harness.receive(bridge: "br0", port: "p1", frame: frame()).map(\.port) == ["p2"])
      let (packet, continuation) = try waiting(harness)
      #expect(packet.data == frame(), "whole, whatever length the action asks for: it is to go on")
      #expect(packet.pipeline[.reg1] == 7)
      let sent = harness.resumePacket(
        bridge: "br0", continuation, pipeline: packet.pipeline, data: packet.data)
      #expect(sent.map(\.port) == ["p3", "p4"])
      #expect(sent.allSatisfy { $0.frame == frame() })
      #expect(harness.availablePackets == 1024)
    }
  }

  @Test func theControllerMayChangeThePacketAndThePipeline() throws {
    let harness = try makeSwitch([
      rule([], [pause()], goto: 1),
      rule(table: 1, [(.etherType, 0x0800), (.ipProtocol, 17), (.udpDestination, 53)], [output(2)]),
      rule(table: 1, priority: 200, [(.reg3, 5)], [output(3)]), rule(table: 1, priority: 1, [], [output(4)]),
    ])
    #expect(harness.receive(bridge: "br0", port: "p1", frame: frame()).isEmpty)
    let (packet, continuation) = try waiting(harness)
    func go(_ pipeline: FlowKey, _ data: [UInt8]) -> [String] {
      harness.resumePacket(bridge: "br0", continuation, pipeline: pipeline, data: data).map(\.port)
    }
    #expect(go(packet.pipeline, packet.data) == ["p4"])
    #expect(go(packet.pipeline, frame(port: 53)) == ["p2"])
    var pipeline = packet.pipeline
    pipeline[.reg3] = 5
    #expect(go(pipeline, packet.data) == ["p3"])
    // Nothing of that is left for packets of ports.
    #expect(harness.receive(bridge: "br0", port: "p1", frame: frame()).isEmpty)
    #expect(try waiting(harness).packet.pipeline[.reg3] == 0)
    #expect(go(packet.pipeline, packet.data) == ["p4"])
  }

  @Test func aPacketWaitsAndGoesOnBetweenItsWaysThroughConnectionTracking() throws {
    let trackedNew: [(Field, UInt128)] = [(.etherType, 0x0800), (.ctState, 0x21)]
    let harness = try makeSwitch([
      rule([(.etherType, 0x0800)], [tracking(table: 1, zone: 4)]),
      rule(table: 1, trackedNew, [.setField(.reg0, value: 3, mask: 0xffff_ffff), pause()], goto: 2),
      rule(table: 2, [(.reg0, 9), (.etherType, 0x0800), (.ctZone, 4)], [tracking(table: 3, zone: 5)]),
      rule(table: 3, [(.reg0, 9), (.etherType, 0x0800), (.ctZone, 5)], [pause(), output(3)]),
    ])
    #expect(harness.receive(bridge: "br0", port: "p1", frame: frame()).isEmpty)
    let (first, continuation) = try waiting(harness)
    #expect(continuation.resumptions.count == 2)
    #expect(first.pipeline[.ctState] == 0x21 && first.pipeline[.ctZone] == 4 && first.pipeline.etherType == 0x0800)
    // A register that the controller has set is known behind the next way through connection tracking, and the next wait.
    var pipeline = first.pipeline
    pipeline[.reg0] = 9
    #expect(harness.resumePacket(bridge: "br0", continuation, pipeline: pipeline, data: first.data).isEmpty)
    let (second, later) = try waiting(harness)
    #expect(second.pipeline[.reg0] == 9 && second.pipeline[.ctZone] == 5)
    #expect(later.resumptions.count == 4)
    let sent = harness.resumePacket(bridge: "br0", later, pipeline: second.pipeline, data: second.data)
    #expect(sent.map(\.port) == ["p3"])
    #expect(harness.availablePackets == 1024)
  }

  @Test func whatIsSentBackAfterItsRulesHaveGoneIsDropped() throws {
    let harness = try makeSwitch([rule([], [pause(), output(2)])])
    _ = harness.receive(bridge: "br0", port: "p1", frame: frame())
    let (packet, continuation) = try waiting(harness)
    var clear = FlowMod()
    clear.command = .delete
    try harness.changeFlows(bridge: "br0", [.flow(clear), rule([], [output(3)])])
    #expect(harness.resumePacket(bridge: "br0", continuation, pipeline: FlowKey(), data: packet.data).isEmpty)
    #expect(harness.availablePackets == 1024)
  }

  @Test(arguments: [0x5eed, 77] as [UInt64]) func anyBytesAreNoHarmAsAContinuation(seed: UInt64) throws {
    let harness = try makeSwitch([
      rule([(.etherType, 0x0800)], [tracking(table: 1), pause()]), rule(table: 1, [], [pause()]),
    ])
    _ = harness.receive(bridge: "br0", port: "p1", frame: frame())
    let known = harness.takeControllerPackets().compactMap { $0.continuation?.bytes }
    #expect(known.count == 2)
    var random = SeededGenerator(seed: seed)
    for round in 0..<2000 {
      var bytes = known[round % 2]
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      if round % 3 == 0 { bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random)) }
      guard let continuation = Continuation(bytes) else { continue }
      #expect(continuation.resumptions.count <= PacketTranslation.resumptionLimit)
      _ = harness.resumePacket(bridge: "br0", continuation, pipeline: FlowKey(), data: frame())
      _ = harness.takeControllerPackets()
    }
    #expect(harness.availablePackets == 1024)
  }

  @Test func aPacketOutBringsRegisters() throws {
    let harness = try makeSwitch([
      rule(priority: 1, [], [output(4)]), rule([(.reg2, 6), (.etherType, 0x0800)], [tracking(table: 1)]),
      rule(table: 1, [(.reg2, 6), (.etherType, 0x0800), (.ctState, 0x21)], [output(2)]),
    ])
    var pipeline = FlowKey()
    let table: [Action] = [.output(.table, maximumByteCount: 0)]
    #expect(
      try harness.sendPacket(bridge: "br0", pipeline: pipeline, actions: table, data: frame()).map(\.port) == ["p4"])
    pipeline[.reg2] = 6
    #expect(
      try harness.sendPacket(bridge: "br0", pipeline: pipeline, actions: table, data: frame()).map(\.port) == ["p2"])
  }
}
