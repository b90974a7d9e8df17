import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

/// Security groups and addresses of ports, as rules between the ports' devices and their bridge.
@Suite struct SecurityGroupTests {
  private static let own: [UInt8] = [10, 0, 0, 1]
  private static let second: [UInt8] = [10, 0, 0, 2]
  private static let other: [UInt8] = [10, 0, 0, 3]

  /// Ports p1 and p2, secured as said, and p3, which is not.
  private static func harness(_ secure: (inout SecuredPort) -> Void) throws -> DatapathHarness {
    var bridge = BridgeConfig(name: "br0")
    var secured: [SecuredPort] = []
    for number in 1...3 {
      var interface = InterfaceConfig(name: "p\(number)", kind: .tap)
      interface.portNumberRequest = UInt16(number)
      var port = PortConfig(name: "p\(number)", interface: interface)
      if number < 3 {
        let guarding = PortGuard(
          bridge: "g", deviceNumber: UInt16(2 * number), bridgeNumber: UInt16(2 * number + 1))
        port.guarding = guarding
        var one = SecuredPort(name: port.name, guarding: guarding, zone: UInt16(100 + number))
        secure(&one)
        secured.append(one)
      }
      bridge.ports.append(port)
    }
    var rules = BridgeConfig(name: "g")
    rules.isSecure = true
    var config = SwitchConfig()
    config.bridges = [rules, bridge]
    let harness = try DatapathHarness(config)
    try harness.changeFlows(bridge: "g", SecurityCompiler.rules(of: secured).changes(from: BridgeRules()))
    return harness
  }

  private static func group(_ rules: SecurityRule...) -> [SecurityGroup] {
    var group = SecurityGroup(name: "web")
    group.rules = rules
    return [group]
  }

  private static func allow(
    _ direction: SecurityRule.Direction, _ ipProtocol: UInt8? = nil, _ ports: [ClosedRange<UInt16>] = [],
    remotes: [String]? = nil
  ) -> SecurityRule {
    var rule = SecurityRule(direction)
    rule.ipProtocol = ipProtocol
    rule.ports = ports
    rule.remotes = remotes?.compactMap { IPPrefix($0) }
    return rule
  }

  /// The ports at which an IP packet comes out.
  private func send(
    _ harness: DatapathHarness, _ ip: [UInt8], from port: Int, to destination: Int, source: UInt32? = nil
  ) -> [String] {
    let frame = FrameBuilder.ethernet(
      to: FrameBuilder.address(UInt32(destination)), from: FrameBuilder.address(source ?? UInt32(port)),
      etherType: ip[0] >> 4 == 4 ? 0x0800 : 0x86dd, ip)
    return harness.receive(bridge: "br0", port: "p\(port)", frame: frame).map(\.port)
  }

  private func arp(
    _ harness: DatapathHarness, hardware: UInt32, address: [UInt8], source: UInt32 = 1
  ) -> Bool {
    let body: [UInt8] =
      [0, 1, 8, 0, 6, 4, 0, 1] + FrameBuilder.address(hardware) + address + [UInt8](repeating: 0, count: 6)
      + Self.other
    let frame = FrameBuilder.ethernet(
      to: [UInt8](repeating: 0xff, count: 6), from: FrameBuilder.address(source), etherType: 0x0806, body)
    return harness.receive(bridge: "br0", port: "p1", frame: frame).contains { $0.port == "p3" }
  }

  @Test func nothingBeginsInwardAndEverythingOutward() throws {
    let harness = try Self.harness { $0.groups = [] }
    #expect(send(harness, ConntrackLab.udp(Self.other, 53, Self.own, 1000), from: 3, to: 1).contains("p1") == false)
    #expect(send(harness, ConntrackLab.udp(Self.own, 1000, Self.other, 53), from: 1, to: 3).contains("p3"))
    // The answer, and what comes after it.
    #expect(send(harness, ConntrackLab.udp(Self.other, 53, Self.own, 1000), from: 3, to: 1) == ["p1"])
    #expect(send(harness, ConntrackLab.udp(Self.own, 1000, Self.other, 53), from: 1, to: 3) == ["p3"])
    #expect(send(harness, ConntrackLab.udp(Self.other, 53, Self.own, 1001), from: 3, to: 1).isEmpty)
    #expect(arp(harness, hardware: 1, address: Self.own), "stations have to find each other")
  }

  @Test func aRuleLetsItsConnectionsBegin() throws {
    let harness = try Self.harness { $0.groups = Self.group(Self.allow(.in, 6, [80...80, 8000...8099])) }
    for (port, passes) in [(UInt16(80), true), (8000, true), (8099, true), (81, false), (8100, false), (7999, false)] {
      let packet = ConntrackLab.tcp(Self.other, 2000 + port, Self.own, port, flags: 2)
      #expect(send(harness, packet, from: 3, to: 1).contains("p1") == passes, "port \(port)")
    }
    #expect(
      send(harness, ConntrackLab.tcp(Self.own, 80, Self.other, 2080, flags: 0x12, 5, 2), from: 1, to: 3).contains("p3"))
    #expect(!send(harness, ConntrackLab.udp(Self.other, 9, Self.own, 80), from: 3, to: 1).contains("p1"))
  }

  @Test func theOtherEndMayBeNamed() throws {
    let harness = try Self.harness {
      $0.groups = Self.group(Self.allow(.in, 17, remotes: ["10.0.0.2/31", "fd00::/64"]))
    }
    #expect(send(harness, ConntrackLab.udp(Self.other, 9, Self.own, 53), from: 3, to: 1).contains("p1"))
    #expect(!send(harness, ConntrackLab.udp([10, 0, 0, 4], 9, Self.own, 53), from: 3, to: 1).contains("p1"))
  }

  @Test func theOtherEndMayBeAGroup() {
    var rule = Self.allow(.in, 6)
    rule.remoteGroup = "clients"
    func port(_ name: String, _ number: UInt16, _ groups: [SecurityGroup], _ address: String) -> SecuredPort {
      let guarding = PortGuard(bridge: "g", deviceNumber: 2 * number, bridgeNumber: 2 * number + 1)
      var port = SecuredPort(name: name, guarding: guarding, zone: number)
      port.groups = groups
      var host = PortSecurity(MACAddress(bits: UInt64(number)))
      host.addresses = [IPPrefix(address)].compactMap(\.self)
      port.hosts = [host]
      return port
    }
    let server = port("s", 1, Self.group(rule), "10.0.0.1")
    let client = port("c", 2, [SecurityGroup(name: "clients")], "10.0.0.2")
    var plain = Self.allow(.in, 6)
    plain.remotes = [IPPrefix("10.0.0.2")].compactMap(\.self)
    var same = server
    same.groups = Self.group(plain)
    let (both, alone) = (SecurityMembers([server, client]), SecurityMembers([server]))
    #expect(SecurityCompiler.rules(of: [server], both) == SecurityCompiler.rules(of: [same]))
    // Without the client nobody may.
    same.groups = []
    #expect(SecurityCompiler.rules(of: [server], alone) == SecurityCompiler.rules(of: [same]))
  }

  @Test func aRuleAboutWhatLeavesForbidsTheRest() throws {
    let harness = try Self.harness { $0.groups = Self.group(Self.allow(.out, 17, [53...53])) }
    #expect(send(harness, ConntrackLab.udp(Self.own, 1000, Self.other, 53), from: 1, to: 3).contains("p3"))
    #expect(send(harness, ConntrackLab.udp(Self.own, 1000, Self.other, 54), from: 1, to: 3).isEmpty)
  }

  @Test func whatOnePortsHostMayBeginIsNewToTheNext() throws {
    let harness = try Self.harness { $0.groups = [] }
    #expect(
      !send(harness, ConntrackLab.udp(Self.own, 1000, Self.second, 53), from: 1, to: 2).contains("p2"),
      "p1 may send it, p2 does not take it")
  }

  @Test func whoSendsIsWhomThePortSays() throws {
    let harness = try Self.harness { port in
      var host = PortSecurity(MACAddress(bits: 0x0200_0000_0000 | (port.name == "p1" ? 1 : 2)))
      host.addresses = [IPPrefix("10.0.0.1"), IPPrefix("fd00::/64")].compactMap(\.self)
      port.hosts = [host]
    }
    #expect(send(harness, ConntrackLab.udp(Self.own, 1, Self.other, 2), from: 1, to: 3).contains("p3"))
    #expect(send(harness, ConntrackLab.udp(Self.own, 1, Self.other, 2), from: 1, to: 3, source: 9).isEmpty)
    #expect(send(harness, ConntrackLab.udp([10, 0, 0, 9], 1, Self.other, 2), from: 1, to: 3).isEmpty)
    #expect(
      send(harness, ConntrackLab.udp([0, 0, 0, 0], 68, [255, 255, 255, 255], 67), from: 1, to: 3).contains("p3"),
      "who has no address yet asks for one")
    #expect(arp(harness, hardware: 1, address: Self.own))
    #expect(arp(harness, hardware: 1, address: [0, 0, 0, 0]))
    #expect(!arp(harness, hardware: 1, address: Self.other))
    #expect(!arp(harness, hardware: 3, address: Self.own))
    let ipv6: [UInt8] = [0xfd, 0] + [UInt8](repeating: 0, count: 13) + [5]
    let foreign: [UInt8] = [0xfd, 1] + [UInt8](repeating: 0, count: 13) + [5]
    let target: [UInt8] = [0xfd, 0] + [UInt8](repeating: 0, count: 13) + [9]
    #expect(send(harness, ConntrackLab.udp(ipv6, 1, target, 2), from: 1, to: 3).contains("p3"))
    #expect(send(harness, ConntrackLab.udp(foreign, 1, target, 2), from: 1, to: 3).isEmpty)
    // Neighbour advertisements: of its own address, and of another's.
    func advertisement(of address: [UInt8]) -> [UInt8] {
      ConntrackLab.icmp(
        ipv6, target, type: 136, rest: [0x60, 0, 0, 0], address + [2, 1] + FrameBuilder.address(1))
    }
    #expect(send(harness, advertisement(of: ipv6), from: 1, to: 3).contains("p3"))
    #expect(send(harness, advertisement(of: foreign), from: 1, to: 3).isEmpty)
  }

  @Test(arguments: [false, true]) func onlyTrustedPortsServe(isTrusted: Bool) throws {
    let harness = try Self.harness { port in
      port.groups = Self.group(Self.allow(.out))
      port.isTrusted = isTrusted
    }
    let offer = ConntrackLab.udp(Self.own, 67, [255, 255, 255, 255], 68)
    #expect(send(harness, offer, from: 1, to: 3).contains("p3") == isTrusted)
    let linkLocal: [UInt8] = [0xfe, 0x80] + [UInt8](repeating: 0, count: 13) + [1]
    let all: [UInt8] = [0xff, 2] + [UInt8](repeating: 0, count: 13) + [1]
    let advertisement = ConntrackLab.icmp(
      linkLocal, all, type: 134, rest: [64, 0, 7, 8], [UInt8](repeating: 0, count: 8))
    #expect(send(harness, advertisement, from: 1, to: 3).contains("p3") == isTrusted)
    // To its host they come.
    #expect(send(harness, ConntrackLab.udp(Self.other, 67, [255, 255, 255, 255], 68), from: 3, to: 1).contains("p1"))
  }
}
