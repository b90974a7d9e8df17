// Fragments in whatever order through a router that tracks connections: its ports are patch ports.

import TestSupport
import Testing

@testable import Datapath
@testable import VSwitchCore

@Suite struct RouterFragmentTests {
  typealias Lab = RouterLab

  /// Which source leaves: the host's, or the address of the port.
  enum Way: CaseIterable { case tracked, masqueraded }

  private static func lab(_ way: Way) throws -> Lab {
    let lab = try Lab { router in
      if way == .masqueraded { router.ports[1].masquerades = true }
      // Only what has the port: a later fragment must have been given it.
      var accept = RouterPolicy(.accept)
      accept.ipProtocol = 17
      accept.destinationPorts = [9...9]
      router.policies = [accept]
      router.defaultVerdict = .drop
    }
    try lab.introduce()
    return lab
  }

  private static func frames(
    to destination: String, count: Int = 200, id: UInt16 = 1, size: Int = 64, port: UInt16 = 9
  ) -> [[UInt8]] {
    let target = Lab.ip(destination)
    let source = Lab.a.addresses[target.isIPv6 ? 1 : 0]
    let datagram = FrameBuilder.udp(
      from: source.octets, to: target.octets, sourcePort: 7, destinationPort: port,
      (0..<count).map { UInt8(truncatingIfNeeded: $0) })
    let packet = NetworkFrame.ip(from: source, to: target, 17, datagram)
    return FrameBuilder.fragments(packet, id: id, size: size).map {
      NetworkFrame.ethernet(to: Lab.a.gatewayMAC, from: Lab.a.mac, target.isIPv6 ? 0x86dd : 0x0800, $0)
    }
  }

  private static func dropped(_ lab: Lab, _ bridge: String, _ port: String) -> [DropReason: UInt64] {
    lab.harness.counters(bridge: bridge, port: port).receiveDrops.filter { $0.value > 0 }
  }

  /// Every packet that a port received was forwarded or dropped.
  private static func addsUp(_ lab: Lab, _ bridge: String, _ port: String) -> Bool {
    let counters = lab.harness.counters(bridge: bridge, port: port)
    return counters.receivedPackets == counters.forwardedPackets + counters.receiveDrops.values.reduce(0, +)
  }

  @Test(arguments: ["10.0.20.2", "fd00:20::2"], Way.allCases)
  func theyReachTheOtherHostInReversedOrder(_ destination: String, _ way: Way) throws {
    let lab = try Self.lab(way)
    let frames = Self.frames(to: destination)
    var outputs: [DatapathHarness.Output] = []
    for frame in frames.reversed() { outputs += try lab.send(frame, from: Lab.a) }
    #expect(outputs.map(\.port) == Array(repeating: "b", count: frames.count))
    let packets = outputs.map { Array($0.frame[14...]) }
    let target = Lab.ip(destination)
    let source: [UInt8]
    if way == .masqueraded {
      source = Lab.ip(target.isIPv6 ? "fd00:20::1" : "10.0.20.1").octets
    } else {
      source = Lab.a.addresses[target.isIPv6 ? 1 : 0].octets
    }
    let datagram = FrameBuilder.payload(ofFragments: packets)
    #expect(datagram.count == 208)
    #expect(FrameBuilder.hasRightChecksum(datagram, from: source, to: target.octets, protocol: 17))
    for (bridge, port) in [("br0", "a"), ("r1", "r1-10")] {
      #expect(Self.addsUp(lab, bridge, port) && Self.dropped(lab, bridge, port).isEmpty)
    }
    #expect(lab.harness.availablePackets == 1024)
  }

  @Test(arguments: testSeeds(10)) func theyReachItInAnyOrderAmongOthers(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let lab = try Self.lab(.masqueraded)
    // Three datagrams of each family at once, 12 fragments that may wait.
    let frames = (1...3).flatMap { id in
      ["10.0.20.2", "fd00:20::2"].flatMap { Self.frames(to: $0, id: UInt16(id)) }
    }.shuffled(using: &random)
    let sent = lab.harness.receive(bridge: "br0", port: "a", frames: frames)
    #expect(sent.count == frames.count && sent.allSatisfy { $0.port == "b" })
    #expect(Self.addsUp(lab, "r1", "r1-10") && Self.dropped(lab, "r1", "r1-10").isEmpty)
    #expect(lab.harness.availablePackets == 1024)
  }

  @Test func thoseWhoseFirstOneDoesNotComeAreFewAndDroppedInTime() throws {
    let lab = try Self.lab(.masqueraded)
    let counted = lab.harness.counters(bridge: "r1", port: "r1-10").receivedPackets
    for id in UInt16(1)...1000 {
      for frame in Self.frames(to: "10.0.20.2", id: id).dropFirst() {
        #expect(try lab.send(frame, from: Lab.a).isEmpty)
      }
    }
    #expect(lab.harness.availablePackets == 1024 - HeldFragments.limit)
    #expect(Self.dropped(lab, "r1", "r1-10") == [.earlyFragment: 3000 - UInt64(HeldFragments.limit)])
    lab.harness.now += FragmentTable.lifetime + 1
    _ = try lab.send(Lab.packet(from: Lab.a, to: "10.0.20.2"), from: Lab.a)
    #expect(Self.dropped(lab, "r1", "r1-10") == [.earlyFragment: 3000])
    #expect(lab.harness.counters(bridge: "r1", port: "r1-10").receivedPackets == counted + 3001)
    #expect(Self.addsUp(lab, "r1", "r1-10"))
    #expect(lab.harness.availablePackets == 1024)
  }

  @Test func whatNobodyMayReceiveDoesNotPassBehindItsFirst() throws {
    let lab = try Self.lab(.tracked)
    for frame in Self.frames(to: "10.0.20.2", port: 10).reversed() {
      #expect(try lab.send(frame, from: Lab.a).isEmpty)
    }
    #expect(Self.addsUp(lab, "r1", "r1-10") && lab.harness.availablePackets == 1024)
  }
}
