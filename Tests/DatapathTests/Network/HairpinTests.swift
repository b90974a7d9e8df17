// Hosts that reach one of their own network by a forwarded port of the router, frame by frame.

import TestSupport
import Testing

@testable import Datapath
@testable import VSwitchCore

@Suite struct HairpinTests {
  typealias Lab = RouterLab

  /// Another host of VLAN 10, which port 8080 of the router's other addresses leads to.
  static let c = Lab.Host(
    port: "c", mac: MACAddress(bits: 0x0200_0000_000c), addresses: [Lab.ip("10.0.10.3"), Lab.ip("fd00:10::3")],
    gatewayMAC: Lab.a.gatewayMAC)

  static func lab(_ change: (inout RouterConfig) -> Void = { _ in }) throws -> Lab {
    let lab = try Lab { router in
      router.hairpinZone = 65534
      for (index, outside) in ["10.0.20.1", "fd00:20::1"].enumerated() {
        for ipProtocol in [UInt8(6), 17] {
          router.forwards.append(
            PortForward(
              ipProtocol: ipProtocol, address: Lab.ip(outside), ports: 8080...8080, target: c.addresses[index],
              targetPort: 9))
        }
      }
      change(&router)
    }
    try lab.introduce()
    // The router learns where it is from what it asks.
    _ = try lab.send(
      NetworkFrame.arp(1, sender: (c.mac, c.addresses[0]), target: Lab.ip("10.0.10.1"), to: .broadcast), from: c)
    let target = Lab.ip("fd00:10::1")
    let group = target.solicitedNodeGroup
    let body = [0, 0, 0, 0] + target.octets + [1, 1] + c.mac.octets
    _ = try lab.send(
      NetworkFrame.ethernet(
        to: group.multicastMAC, from: c.mac, 0x86dd,
        NetworkFrame.ip(
          from: c.addresses[1], to: group, 58, hopLimit: 255,
          NetworkFrame.icmpv6(135, code: 0, body, from: c.addresses[1], to: group))), from: c)
    return lab
  }

  static func udp(_ source: UInt16, _ destination: UInt16) -> [UInt8] {
    source.octets + destination.octets + [0, 12, 0, 0, 1, 2, 3, 4]
  }

  private func only(_ outputs: [DatapathHarness.Output], at port: String) throws -> IPPacketView {
    #expect(outputs.map(\.port) == [port])
    return try #require(outputs.first.flatMap { IPPacketView(frame: $0.frame) })
  }

  @Test(arguments: [("10.0.20.1", 0), ("fd00:20::1", 1)])
  func aNeighbourIsReachedByTheOuterAddressAndAnswersFromIt(_ outside: String, _ version: Int) throws {
    let lab = try Self.lab()
    let gateway = Lab.ip(version == 0 ? "10.0.10.1" : "fd00:10::1")
    var port: UInt16 = 0
    // The first packet, and those of an answered connection.
    for _ in 0..<3 {
      let there = try only(
        lab.send(Lab.packet(from: Lab.a, to: outside, 17, Self.udp(7, 8080)), from: Lab.a), at: "c")
      #expect(there.source == gateway && there.destination == Self.c.addresses[version])
      #expect(there.payload.word(2) == 9)
      port = try #require(there.payload.word(0))
      let back = try only(
        lab.send(Lab.packet(from: Self.c, to: gateway.description, 17, Self.udp(9, port)), from: Self.c), at: "a")
      #expect(back.source == Lab.ip(outside) && back.destination == Lab.a.addresses[version])
      #expect(back.payload.word(0) == 8080 && back.payload.word(2) == 7)
      if version == 1 {
        #expect(Lab.transportChecksum(Array(back.payload.bytes), 17, back.source, back.destination) == 0)
      }
    }
    // Rules alone did it.
    #expect(!lab.punts.contains(.neighbourMiss), "\(lab.punts)")
    // What comes from elsewhere keeps its source.
    let other = try only(
      lab.send(Lab.packet(from: Lab.b, to: outside, 17, Self.udp(7, 8080)), from: Lab.b), at: "c")
    #expect(other.source == Lab.b.addresses[version])
    // The router itself is there as before.
    let pong = try only(lab.send(Lab.echo(from: Self.c, to: gateway.description), from: Self.c), at: "c")
    #expect(pong.source == gateway)
  }

  @Test func anErrorAboutItReachesWhoAsked() throws {
    let lab = try Self.lab()
    let there = try only(
      lab.send(Lab.packet(from: Lab.a, to: "10.0.20.1", 17, Self.udp(7, 8080)), from: Lab.a), at: "c")
    let error = NetworkFrame.icmp(3, code: 3, [0, 0, 0, 0] + Array(there.packet.prefix(28)))
    let told = try only(
      lab.send(Lab.packet(from: Self.c, to: "10.0.10.1", 1, error), from: Self.c), at: "a")
    #expect(told.destination == Lab.a.addresses[0] && told.payload.byte(0) == 3)
    let quoted = try #require(IPPacketView(ipv4: told.payload.from(8)))
    #expect(quoted.source == Lab.a.addresses[0] && quoted.destination == Lab.ip("10.0.20.1"))
    #expect(quoted.payload.word(0) == 7 && quoted.payload.word(2) == 8080)
  }

  @Test func fragmentsOfAForwardedDatagramGoWithTheirFirst() throws {
    let lab = try Self.lab { router in
      router.defaultVerdict = .drop
      var accept = RouterPolicy(.accept)
      accept.ipProtocol = 17
      accept.destinationPorts = [9...9]
      router.policies = [accept]
    }
    let datagram =
      UInt16(7).octets + UInt16(8080).octets + UInt16(1608).octets + [0, 0] + [UInt8](repeating: 1, count: 1600)
    // From a neighbour, and from another network.
    for host in [Lab.a, Lab.b] {
      let whole = try #require(
        IPPacketView(ipv4: NetworkFrame.ip(from: host.addresses[0], to: Lab.ip("10.0.20.1"), 17, datagram)[...]))
      for fragment in ICMPErrors.fragments(of: whole, mtu: 1000) {
        let frame = NetworkFrame.ethernet(to: host.gatewayMAC, from: host.mac, 0x0800, fragment)
        let packet = try only(lab.send(frame, from: host), at: "c")
        #expect(packet.destination == Self.c.addresses[0])
        #expect(packet.source == (host.port == "a" ? Lab.ip("10.0.10.1") : host.addresses[0]))
      }
    }
  }

  @Test func withoutASecondZoneTheNeighbourSeesTheAskingHost() throws {
    let lab = try Self.lab { $0.hairpinZone = nil }
    let there = try only(
      lab.send(Lab.packet(from: Lab.a, to: "10.0.20.1", 17, Self.udp(7, 8080)), from: Lab.a), at: "c")
    #expect(there.source == Lab.a.addresses[0])
  }

  @Test func policiesAreAskedOfItAsOfAllConnections() throws {
    let lab = try Self.lab { router in
      var drop = RouterPolicy(.drop)
      drop.inPort = "r1-10"
      drop.destinationPorts = [9...9]
      drop.ipProtocol = 17
      router.policies = [drop]
    }
    #expect(try lab.send(Lab.packet(from: Lab.a, to: "10.0.20.1", 17, Self.udp(7, 8080)), from: Lab.a).isEmpty)
  }
}
