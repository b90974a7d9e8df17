import TestSupport
import VSwitchCore

@testable import Datapath

/// A router between VLAN 10 (10.0.10.0/24, fd00:10::/64) and VLAN 20 (10.0.20.0/24, fd00:20::/64) of a bridge, with a host in
/// each: the compiled rules in the real datapath, the real handlers, and a clock that the test moves.
final class RouterLab {
  /// A host, which answers nobody by itself.
  struct Host {
    var port: String
    var mac: MACAddress
    var addresses: [IPAddress]
    var gatewayMAC: MACAddress
  }

  private(set) var router: RouterConfig
  let harness: DatapathHarness
  private(set) var neighbours: NeighbourResolver
  private var errors = ICMPErrors()
  private var applied = BridgeRules()
  /// Reasons of the packets that were punted.
  private(set) var punts: [PuntReason] = []

  static let a = Host(
    port: "a", mac: MACAddress(bits: 0x0200_0000_000a), addresses: [ip("10.0.10.2"), ip("fd00:10::2")],
    gatewayMAC: MACAddress(bits: 0x0200_0000_1001))
  static let b = Host(
    port: "b", mac: MACAddress(bits: 0x0200_0000_000b), addresses: [ip("10.0.20.2"), ip("fd00:20::2")],
    gatewayMAC: MACAddress(bits: 0x0200_0000_1002))

  static func ip(_ text: String) -> IPAddress { IPAddress(text) ?? IPAddress(ipv4: 0) }

  init(_ change: (inout RouterConfig) -> Void = { _ in }) throws {
    router = RouterConfig(name: "r1", zone: 65535)
    for (index, vlan) in [UInt16(10), 20].enumerated() {
      var port = RouterPort(
        name: "r1-\(vlan)", number: PortNumber(UInt32(index + 1)), bridge: "br0", tag: vlan,
        hardwareAddress: MACAddress(bits: 0x0200_0000_1001 + UInt64(index)))
      port.addresses = ["10.0.\(vlan).1/24", "fd00:\(vlan)::1/64"].compactMap { InterfaceAddress($0) }
      router.ports.append(port)
    }
    change(&router)
    var bridge = BridgeConfig(name: "br0")
    var ofRouter = BridgeConfig(name: "r1")
    ofRouter.isSecure = true
    ofRouter.isRouter = true
    for (name, tag) in [("a", UInt16(10)), ("b", 20), ("c", 10)] {
      var port = PortConfig(name: name, interface: InterfaceConfig(name: name, kind: .tap))
      port.vlan.mode = .access
      port.vlan.tag = tag
      bridge.ports.append(port)
    }
    for port in router.ports {
      var interface = InterfaceConfig(name: port.name, kind: .patch)
      interface.options = ["peer": port.name]
      var end = PortConfig(name: port.name, interface: interface)
      if let tag = port.tag {
        end.vlan.mode = .access
        end.vlan.tag = tag
      }
      bridge.ports.append(end)
      interface.portNumberRequest = UInt16(truncatingIfNeeded: port.number.rawValue)
      ofRouter.ports.append(PortConfig(name: port.name, interface: interface))
    }
    var config = SwitchConfig()
    config.bridges = [bridge, ofRouter]
    harness = try DatapathHarness(config)
    neighbours = NeighbourResolver(seed: 1)
    try configure { _ in }
  }

  var now: UInt64 { UInt64(harness.now) * 1_000_000_000 }

  func configure(_ change: (inout RouterConfig) -> Void) throws {
    change(&router)
    let rules = RouterCompiler.rules(of: router)
    try harness.changeFlows(bridge: "r1", rules.changes(from: applied))
    applied = rules
    _ = try carryOut(neighbours.configure([router], now: now))
  }

  /// Lets a frame in and returns what leaves the bridge, whatever was punted on the way included.
  func send(_ frame: [UInt8], from host: Host, offload: OffloadMetadata = OffloadMetadata()) throws
    -> [DatapathHarness.Output]
  {
    try handle(harness.receive(bridge: "br0", port: host.port, frame: frame, offload: offload))
  }

  /// Lets time pass.
  func wait(seconds: UInt32) throws -> [DatapathHarness.Output] {
    var outputs: [DatapathHarness.Output] = []
    for _ in 0..<seconds {
      harness.now += 1
      outputs += try carryOut(neighbours.tick(now: now))
    }
    return outputs
  }

  private func handle(_ first: [DatapathHarness.Output]) throws -> [DatapathHarness.Output] {
    var outputs = first
    for packet in harness.takeControllerPackets() {
      guard let reason = packet.userData.first.flatMap(PuntReason.init(rawValue:)) else { continue }
      let punt = Punt(
        router: router, reason: reason, inPort: PortNumber(packet.inPort), pipeline: packet.pipeline,
        frame: packet.data)
      punts.append(reason)
      outputs += try carryOut(handler(punt))
    }
    return outputs
  }

  private func handler(_ punt: Punt) -> PuntReaction {
    neighbours.reasons.contains(punt.reason)
      ? neighbours.handle(punt, now: now) : errors.handle(punt, now: now)
  }

  private func carryOut(_ reaction: PuntReaction) throws -> [DatapathHarness.Output] {
    var outputs: [DatapathHarness.Output] = []
    for punt in reaction.punts { outputs += try carryOut(handler(punt)) }
    if let mods = reaction.changes["r1"] {
      try harness.changeFlows(bridge: "r1", mods.map { .flow($0) })
    }
    for frame in reaction.frames {
      outputs += try handle(
        harness.sendPacket(
          bridge: "r1", inPort: frame.way.inPort, actions: frame.way.actions, data: frame.frame))
    }
    return outputs
  }

  // MARK: packets

  /// An IP packet of a host, for its gateway to forward.
  static func packet(
    from host: Host, to destination: String, _ ipProtocol: UInt8 = 17, hopLimit: UInt8 = 64,
    _ payload: [UInt8] = [0, 7, 0, 9, 0, 12, 0, 0, 1, 2, 3, 4]
  ) -> [UInt8] {
    let destination = ip(destination)
    let source = host.addresses[destination.isIPv6 ? 1 : 0]
    var payload = payload
    if destination.isIPv6, ipProtocol == 17 {
      payload.replaceSubrange(6..<8, with: transportChecksum(payload, 17, source, destination).octets)
    }
    return NetworkFrame.ethernet(
      to: host.gatewayMAC, from: host.mac, destination.isIPv6 ? 0x86dd : 0x0800,
      NetworkFrame.ip(from: source, to: destination, ipProtocol, hopLimit: hopLimit, payload))
  }

  static func echo(from host: Host, to destination: String, hopLimit: UInt8 = 64) -> [UInt8] {
    let body: [UInt8] = [0, 1, 0, 1] + [UInt8](repeating: 7, count: 40)
    let address = ip(destination)
    let message =
      address.isIPv6
      ? NetworkFrame.icmpv6(128, code: 0, body, from: host.addresses[1], to: address)
      : NetworkFrame.icmp(8, code: 0, body)
    return packet(from: host, to: destination, address.isIPv6 ? 58 : 1, hopLimit: hopLimit, message)
  }

  static func transportChecksum(
    _ message: [UInt8], _ ipProtocol: UInt8, _ source: IPAddress, _ destination: IPAddress
  ) -> UInt16 {
    var sum = InternetChecksum()
    sum.add(source.octets + destination.octets)
    sum.add(UInt16(ipProtocol))
    sum.add(UInt32(message.count))
    sum.add(message)
    return sum.value
  }

  /// Has the router know both hosts, as they ask for it.
  func introduce() throws {
    for host in [Self.a, Self.b] {
      let gateway = host.port == "a" ? "10.0.10.1" : "10.0.20.1"
      _ = try send(
        NetworkFrame.arp(1, sender: (host.mac, host.addresses[0]), target: Self.ip(gateway), to: .broadcast),
        from: host)
      let target = Self.ip(host.port == "a" ? "fd00:10::1" : "fd00:20::1")
      let group = target.solicitedNodeGroup
      let body = [0, 0, 0, 0] + target.octets + [1, 1] + host.mac.octets
      _ = try send(
        NetworkFrame.ethernet(
          to: group.multicastMAC, from: host.mac, 0x86dd,
          NetworkFrame.ip(
            from: host.addresses[1], to: group, 58, hopLimit: 255,
            NetworkFrame.icmpv6(135, code: 0, body, from: host.addresses[1], to: group))), from: host)
    }
    punts = []
  }
}
