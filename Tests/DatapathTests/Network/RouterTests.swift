// A compiled router in the real datapath, frame by frame.

import TestSupport
import Testing

@testable import Datapath
@testable import VSwitchCore

@Suite struct RouterTests {
  typealias Lab = RouterLab

  @Test(arguments: ["10.0.20.2", "fd00:20::2"])
  func aPacketCrossesToTheOtherVLANWithOneHopLess(_ destination: String) throws {
    let lab = try Lab()
    try lab.introduce()
    let outputs = try lab.send(Lab.packet(from: Lab.a, to: destination), from: Lab.a)
    #expect(outputs.map(\.port) == ["b"])
    let frame = try #require(outputs.first?.frame)
    let packet = try #require(IPPacketView(frame: frame))
    #expect(packet.hopLimit == 63)
    #expect(packet.destination == Lab.ip(destination))
    #expect(Array(frame[..<12]) == Lab.b.mac.octets + Lab.b.gatewayMAC.octets)
    // Rules alone did it.
    #expect(lab.punts.isEmpty)
    if !packet.isIPv6 { #expect(NetworkFrame.checksum(Array(packet.packet.prefix(20))) == 0) }
  }

  @Test func theRouterAnswersARPOfItsOwnVLANAlone() throws {
    let lab = try Lab()
    func ask(_ target: String) throws -> [DatapathHarness.Output] {
      try lab.send(
        NetworkFrame.arp(1, sender: (Lab.a.mac, Lab.a.addresses[0]), target: Lab.ip(target), to: .broadcast),
        from: Lab.a
      ).filter { $0.port == "a" }
    }
    let answers = try ask("10.0.10.1")
    let message = try #require(answers.first.flatMap { ARPMessage(frame: $0.frame) })
    #expect(message.operation == 2)
    #expect(message.sender == Lab.ip("10.0.10.1"))
    #expect(message.senderHardware == Lab.a.gatewayMAC)
    #expect(try ask("10.0.20.1").isEmpty)
    #expect(try ask("10.0.10.77").isEmpty)
  }

  @Test(arguments: ["10.0.10.1", "10.0.20.1", "fd00:10::1", "fd00:20::1"])
  func anEchoToAnyOfItsAddressesIsAnswered(_ address: String) throws {
    let lab = try Lab()
    try lab.introduce()
    // Also one that may go no further.
    for hopLimit in [UInt8(64), 1] {
      let outputs = try lab.send(Lab.echo(from: Lab.a, to: address, hopLimit: hopLimit), from: Lab.a)
      let packet = try #require(outputs.first.flatMap { IPPacketView(frame: $0.frame) })
      #expect(outputs.map(\.port) == ["a"])
      #expect(packet.source == Lab.ip(address))
      #expect(packet.hopLimit == 64)
      #expect(packet.payload.byte(0) == (packet.isIPv6 ? 129 : 0))
      if packet.isIPv6 {
        #expect(Lab.transportChecksum(Array(packet.payload.bytes), 58, packet.source, packet.destination) == 0)
      } else {
        #expect(NetworkFrame.checksum(Array(packet.payload.bytes)) == 0)
      }
    }
    #expect(lab.punts.isEmpty)
  }

  @Test(arguments: ["10.0.20.2", "fd00:20::2"])
  func aPacketForAnUnknownNeighbourWaitsForItsAnswer(_ destination: String) throws {
    let lab = try Lab()
    let first = try lab.send(Lab.packet(from: Lab.a, to: destination), from: Lab.a)
    let question = try #require(first.first { $0.port == "b" }?.frame)
    let target = Lab.ip(destination)
    let answer: [UInt8]
    if target.isIPv6 {
      let asked = try #require(NeighbourMessage(frame: question))
      #expect(asked.target == target)
      #expect(asked.linkLayer == Lab.b.gatewayMAC)
      let body = [0x60, 0, 0, 0] + target.octets + [2, 1] + Lab.b.mac.octets
      answer = NetworkFrame.ethernet(
        to: Lab.b.gatewayMAC, from: Lab.b.mac, 0x86dd,
        NetworkFrame.ip(
          from: target, to: asked.source, 58, hopLimit: 255,
          NetworkFrame.icmpv6(136, code: 0, body, from: target, to: asked.source)))
    } else {
      let asked = try #require(ARPMessage(frame: question))
      #expect(asked.target == target)
      #expect(asked.sender == Lab.ip("10.0.20.1"))
      answer = NetworkFrame.arp(
        2, sender: (Lab.b.mac, target), target: asked.sender, hardwareTarget: asked.senderHardware,
        to: asked.senderHardware)
    }
    let released = try lab.send(answer, from: Lab.b).filter { $0.port == "b" }
    let packet = try #require(released.first.flatMap { IPPacketView(frame: $0.frame) })
    #expect(packet.destination == target)
    #expect(packet.hopLimit == 63)
    #expect(lab.neighbours.neighbours(of: "r1", now: lab.now).map(\.state) == ["reachable"])
    // The next one needs nobody.
    let count = lab.punts.count
    let next = try lab.send(Lab.packet(from: Lab.a, to: destination), from: Lab.a).filter { $0.port == "b" }
    #expect(next.count == 1)
    #expect(lab.punts.count == count)
  }

  @Test(arguments: ["10.0.20.9", "fd00:20::9"])
  func whoseNeighbourDoesNotAnswerIsTold(_ destination: String) throws {
    let lab = try Lab()
    try lab.introduce()
    #expect(try lab.send(Lab.packet(from: Lab.a, to: destination), from: Lab.a).filter { $0.port == "a" }.isEmpty)
    let outputs = try lab.wait(seconds: 4)
    let errors = outputs.filter { $0.port == "a" }.compactMap { IPPacketView(frame: $0.frame) }
    let error = try #require(errors.first)
    #expect(error.destination == Lab.a.addresses[error.isIPv6 ? 1 : 0])
    #expect(error.payload.byte(0) == (error.isIPv6 ? 1 : 3))
    #expect(error.payload.byte(1) == (error.isIPv6 ? 3 : 1))
    // Asked three times in all.
    #expect(outputs.count { $0.port == "b" } == 2)
  }

  @Test(arguments: ["10.0.20.2", "fd00:20::2"])
  func aPacketWithItsLastHopIsToldSo(_ destination: String) throws {
    let lab = try Lab()
    try lab.introduce()
    let sent = Lab.packet(from: Lab.a, to: destination, hopLimit: 1)
    let outputs = try lab.send(sent, from: Lab.a)
    #expect(outputs.map(\.port) == ["a"])
    let error = try #require(outputs.first.flatMap { IPPacketView(frame: $0.frame) })
    #expect(error.source == Lab.ip(error.isIPv6 ? "fd00:10::1" : "10.0.10.1"))
    #expect(error.payload.byte(0) == (error.isIPv6 ? 3 : 11))
    // The packet as it was.
    #expect(Array(error.payload.from(8)) == Array(sent[14...]))
    if !error.isIPv6 { #expect(NetworkFrame.checksum(Array(error.payload.bytes)) == 0) }
  }

  @Test func whereNoRouteLeadsTheSenderIsTold() throws {
    let lab = try Lab()
    try lab.introduce()
    let outputs = try lab.send(Lab.packet(from: Lab.a, to: "192.0.2.1"), from: Lab.a)
    let error = try #require(outputs.first.flatMap { IPPacketView(frame: $0.frame) })
    #expect(error.payload.byte(0) == 3)
    #expect(error.payload.byte(1) == 0)
  }

  @Test func aPacketTooLargeForTheExitIsToldTheMTU() throws {
    let lab = try Lab { $0.ports[1].mtu = 1400 }
    try lab.introduce()
    let large = Lab.packet(from: Lab.a, to: "10.0.20.2", 1, [UInt8](repeating: 0, count: 1400))
    let outputs = try lab.send(large, from: Lab.a)
    // ICMP of a kind that is unknown is never answered; UDP is.
    #expect(outputs.filter { $0.port == "b" }.isEmpty)
    let datagram = [UInt8](repeating: 0, count: 4) + UInt16(1400).octets + [UInt8](repeating: 0, count: 1394)
    for destination in ["10.0.20.2", "fd00:20::2"] {
      let outputs = try lab.send(Lab.packet(from: Lab.a, to: destination, 17, datagram), from: Lab.a)
      #expect(outputs.map(\.port) == ["a"])
      let error = try #require(outputs.first.flatMap { IPPacketView(frame: $0.frame) })
      #expect(error.payload.byte(0) == (error.isIPv6 ? 2 : 3))
      #expect(error.isIPv6 ? error.payload.long(4) == 1400 : error.payload.word(6) == 1400)
    }
  }

  @Test func aPacketThatMayBeCutIsCutForTheExit() throws {
    let lab = try Lab { $0.ports[1].mtu = 600 }
    try lab.introduce()
    let datagram =
      [UInt8](repeating: 0, count: 4) + UInt16(1400).octets + (0..<1394).map { UInt8(truncatingIfNeeded: $0) }
    var frame = Lab.packet(from: Lab.a, to: "10.0.20.2", 17, datagram)
    // Without the flag not to: with a header checksum to fit.
    frame[20] = 0
    frame.replaceSubrange(24..<26, with: [0, 0])
    frame.replaceSubrange(24..<26, with: NetworkFrame.checksum(Array(frame[14..<34])).octets)
    let outputs = try lab.send(frame, from: Lab.a)
    #expect(outputs.map(\.port) == ["b", "b", "b"])
    var data: [UInt8] = []
    for output in outputs {
      let packet = try #require(IPPacketView(frame: output.frame))
      #expect(output.frame.count <= 614)
      #expect(NetworkFrame.checksum(Array(packet.packet.prefix(20))) == 0)
      data += packet.payload.bytes
    }
    #expect(data == datagram)
  }

  @Test func aLargeTCPSegmentIsMeasuredByWhatWillBeSent() throws {
    let lab = try Lab()
    try lab.introduce()
    var segment: [UInt8] = [0, 1, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0, 1, 0, 0, 0, 0]
    segment += [UInt8](repeating: 9, count: 20_000)
    var offload = OffloadMetadata()
    offload.flags = OffloadMetadata.needsChecksum
    offload.gsoType = OffloadMetadata.gsoTCPv4
    offload.gsoByteCount = 1460
    offload.headerByteCount = 54
    offload.checksumStart = 34
    offload.checksumOffset = 16
    let frame = Lab.packet(from: Lab.a, to: "10.0.20.2", 6, segment)
    #expect(try lab.send(frame, from: Lab.a, offload: offload).map(\.port) == ["b"])
    try lab.configure { $0.ports[1].mtu = 1400 }
    try lab.introduce()
    let error = try lab.send(frame, from: Lab.a, offload: offload).first.flatMap { IPPacketView(frame: $0.frame) }
    #expect(try #require(error).payload.word(6) == 1400)
  }

  @Test func connectionsAreSpreadOverRoutesOfTheSameMetric() throws {
    let lab = try Lab { router in
      for gateway in ["10.0.20.2", "10.0.10.3"] {
        var route = RouterRoute(IPPrefix("198.51.100.0/24") ?? IPPrefix(Lab.ip("0.0.0.0"), bitCount: 0))
        route.nextHop = Lab.ip(gateway)
        router.routes.append(route)
      }
    }
    try lab.introduce()
    // The second gateway is known, too.
    _ = try lab.send(
      NetworkFrame.arp(
        1, sender: (MACAddress(bits: 0x0200_0000_000c), Lab.ip("10.0.10.3")), target: Lab.ip("10.0.10.1"),
        to: .broadcast), from: Lab.Host(port: "c", mac: Lab.a.mac, addresses: [], gatewayMAC: Lab.a.gatewayMAC))
    var counts: [String: Int] = [:]
    for port in UInt16(1)...200 {
      let datagram = port.octets + [0, 9, 0, 12, 0, 0, 1, 2, 3, 4]
      let frame = Lab.packet(from: Lab.a, to: "198.51.100.7", 17, datagram)
      let outputs = try lab.send(frame, from: Lab.a)
      let exit = try #require(outputs.first?.port)
      counts[exit, default: 0] += 1
      // The same connection again goes the same way.
      #expect(try lab.send(frame, from: Lab.a).first?.port == exit)
    }
    #expect((counts["b"] ?? 0) > 50 && (counts["c"] ?? 0) > 50, "\(counts)")
  }

  @Test func aPolicyForbidsConnectionsButNotTheirAnswers() throws {
    let lab = try Lab { router in
      var drop = RouterPolicy(.drop)
      drop.inPort = "r1-20"
      drop.outPort = "r1-10"
      router.policies = [drop]
    }
    try lab.introduce()
    let there = [0, 7, 0, 9, 0, 12, 0, 0, 1, 2, 3, 4] as [UInt8]
    let back = [0, 9, 0, 7, 0, 12, 0, 0, 1, 2, 3, 4] as [UInt8]
    #expect(try lab.send(Lab.packet(from: Lab.b, to: "10.0.10.2", 17, back), from: Lab.b).isEmpty)
    #expect(try lab.send(Lab.packet(from: Lab.a, to: "10.0.20.2", 17, there), from: Lab.a).map(\.port) == ["b"])
    #expect(try lab.send(Lab.packet(from: Lab.b, to: "10.0.10.2", 17, back), from: Lab.b).map(\.port) == ["a"])
    let other = [0, 9, 0, 8, 0, 12, 0, 0, 1, 2, 3, 4] as [UInt8]
    #expect(try lab.send(Lab.packet(from: Lab.b, to: "10.0.10.2", 17, other), from: Lab.b).isEmpty)
  }

  @Test func aPolicyOfPortsTellsWhoIsRejected() throws {
    let lab = try Lab { router in
      var web = RouterPolicy(.accept)
      web.ipProtocol = 17
      web.destinationPorts = [80...80, 8000...8100]
      router.policies = [web]
      router.defaultVerdict = .reject
    }
    try lab.introduce()
    for (port, passes) in [(UInt16(80), true), (81, false), (7999, false), (8000, true), (8100, true), (8101, false)] {
      let outputs = try lab.send(
        Lab.packet(from: Lab.a, to: "10.0.20.2", 17, [0, 7] + port.octets + [0, 12, 0, 0, 1, 2, 3, 4]), from: Lab.a)
      #expect(outputs.map(\.port) == [passes ? "b" : "a"], "port \(port)")
      if !passes {
        let error = try #require(outputs.first.flatMap { IPPacketView(frame: $0.frame) })
        #expect(error.payload.byte(1) == 13)
      }
    }
  }

  @Test func connectionsLeaveWithTheAddressOfAPortThatMasquerades() throws {
    let lab = try Lab { $0.ports[1].masquerades = true }
    try lab.introduce()
    let outputs = try lab.send(Lab.packet(from: Lab.a, to: "10.0.20.2"), from: Lab.a)
    let packet = try #require(outputs.first { $0.port == "b" }.flatMap { IPPacketView(frame: $0.frame) })
    #expect(packet.source == Lab.ip("10.0.20.1"))
    let port = try #require(packet.payload.word(0))
    let answer = [0, 9] + port.octets + [0, 12, 0, 0, 1, 2, 3, 4]
    let back = try lab.send(Lab.packet(from: Lab.b, to: "10.0.20.1", 17, answer), from: Lab.b)
    let answered = try #require(back.first { $0.port == "a" }.flatMap { IPPacketView(frame: $0.frame) })
    #expect(answered.destination == Lab.a.addresses[0])
    #expect(answered.payload.word(2) == 7)
    // One that must not go further is answered to the host, about the packet that it sent.
    let dying = try lab.send(Lab.packet(from: Lab.a, to: "10.0.20.2", hopLimit: 1), from: Lab.a)
    let error = try #require(dying.first { $0.port == "a" }.flatMap { IPPacketView(frame: $0.frame) })
    #expect(error.destination == Lab.a.addresses[0])
    #expect(error.payload.byte(0) == 11)
    let quoted = try #require(IPPacketView(ipv4: error.payload.from(8)))
    #expect(quoted.source == Lab.a.addresses[0])
    // Also once its connection is known, when its source is another already.
    let again = try lab.send(Lab.packet(from: Lab.a, to: "10.0.20.2", hopLimit: 1), from: Lab.a)
    let second = try #require(again.first { $0.port == "a" }.flatMap { IPPacketView(frame: $0.frame) })
    #expect(try #require(IPPacketView(ipv4: second.payload.from(8))).source == Lab.a.addresses[0])
  }

  @Test func aSegmentForTheRouterItselfIsReset() throws {
    let lab = try Lab()
    try lab.introduce()
    let syn: [UInt8] = [0, 7, 0, 80, 0, 0, 0, 5, 0, 0, 0, 0, 0x50, 0x02, 0, 1, 0, 0, 0, 0]
    let outputs = try lab.send(Lab.packet(from: Lab.a, to: "10.0.10.1", 6, syn), from: Lab.a)
    let reset = try #require(outputs.first.flatMap { IPPacketView(frame: $0.frame) })
    #expect(reset.ipProtocol == 6)
    #expect(reset.payload.byte(13) == 0x14)
    #expect(reset.payload.long(8) == 6)
    #expect(Lab.transportChecksum(Array(reset.payload.bytes), 6, reset.source, reset.destination) == 0)
  }

  @Test func laterFragmentsGoWithTheirFirstOne() throws {
    let lab = try Lab { router in
      var web = RouterPolicy(.accept)
      web.ipProtocol = 17
      web.destinationPorts = [9...9]
      router.policies = [web]
      router.defaultVerdict = .drop
    }
    try lab.introduce()
    for (port, count) in [(UInt16(9), 2), (10, 0)] {
      let datagram = [0, 7] + port.octets + UInt16(1608).octets + [0, 0] + [UInt8](repeating: 1, count: 1600)
      let whole = try #require(
        IPPacketView(
          ipv4: NetworkFrame.ip(from: Lab.a.addresses[0], to: Lab.ip("10.0.20.2"), 17, datagram)[...]))
      let fragments = ICMPErrors.fragments(of: whole, mtu: 1000)
      #expect(fragments.count == 2)
      var passed = 0
      for fragment in fragments {
        let frame = NetworkFrame.ethernet(to: Lab.a.gatewayMAC, from: Lab.a.mac, 0x0800, fragment)
        passed += try lab.send(frame, from: Lab.a).count { $0.port == "b" }
      }
      #expect(passed == count, "port \(port)")
    }
  }

  @Test func framesForOthersAndBroadcastsAreNotRouted() throws {
    let lab = try Lab()
    try lab.introduce()
    for destination in [MACAddress.broadcast, MACAddress(bits: 0x0200_0000_9999)] {
      var frame = Lab.packet(from: Lab.a, to: "10.0.20.2")
      frame.replaceSubrange(..<6, with: destination.octets)
      #expect(try lab.send(frame, from: Lab.a).filter { $0.port == "b" }.isEmpty)
    }
    for destination in ["224.0.0.5", "10.0.20.255", "255.255.255.255", "127.0.0.1", "fe80::1", "ff02::1"] {
      let outputs = try lab.send(Lab.packet(from: Lab.a, to: destination), from: Lab.a)
      #expect(outputs.filter { $0.port != "c" && $0.port != "a" }.isEmpty, "\(destination)")
    }
  }

  @Test func errorsToOneSourceComeToAnEnd() throws {
    let lab = try Lab()
    try lab.introduce()
    var count = 0
    for _ in 0..<500 {
      count += try lab.send(Lab.packet(from: Lab.a, to: "10.0.20.2", hopLimit: 1), from: Lab.a).count
    }
    #expect(count == Int(ICMPErrors.sourceBurst))
    // Others get theirs.
    #expect(try lab.send(Lab.packet(from: Lab.b, to: "10.0.10.2", hopLimit: 1), from: Lab.b).count == 1)
  }

  @Test func neighboursThatDoNotAnswerAreBounded() throws {
    let lab = try Lab()
    try lab.introduce()
    for host in 0..<2000 {
      let address = IPAddress(ipv6: Lab.ip("fd00:20::").bits + UInt128(0x1000 + host))
      _ = try lab.send(Lab.packet(from: Lab.a, to: address.description), from: Lab.a)
    }
    let found = lab.neighbours.neighbours(of: "r1", now: lab.now)
    #expect(found.count { $0.state == "incomplete" } == NeighbourResolver.incompleteLimit)
    // Those that are known go on.
    #expect(try lab.send(Lab.packet(from: Lab.a, to: "10.0.20.2"), from: Lab.a).map(\.port) == ["b"])
    _ = try lab.wait(seconds: 5)
    #expect(lab.neighbours.neighbours(of: "r1", now: lab.now).allSatisfy { $0.state != "incomplete" })
  }

  @Test func aTraceTellsTheWholeWay() throws {
    let lab = try Lab()
    try lab.introduce()
    let trace = try #require(
      lab.harness.trace(bridge: "br0", port: "a", frame: Lab.packet(from: Lab.a, to: "10.0.20.2")))
    // The bridge does not know yet where the router is; it floods.
    _ = try lab.send(Lab.packet(from: Lab.a, to: "10.0.20.2"), from: Lab.a)
    #expect(trace.outcome.exits.map(\.port).contains("b"))
    #expect(trace.outcome.actions.contains { $0.contains("to bridge r1") })
  }
}
