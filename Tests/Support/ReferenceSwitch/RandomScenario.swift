// Random switches and frames that collide: few addresses, few VLANs, many ways to tag them. Thread: a value; any.
// Everything follows from the generator that is passed in, so a seed repeats a run.

import VSwitchCore

/// Makes configurations and frames for the differential tests.
package struct RandomScenario {
  /// What the scenario may use.
  package struct Limits: Sendable {
    package var portCount = 2...8
    package var bridgeCount = 1...2
    /// Shortest frame; below 14 bytes there is no whole header.
    package var shortestFrame = 0
    /// Also 01:80:C2:00:00:0x let through port by port, which Open vSwitch only knows for whole bridges.
    package var reservedMulticastPerPort = true
    package var protectedPorts = true
    /// VLAN 0 as value of `tag`.
    package var hasVLANZero = true
    /// How many tags frames come with.
    package var tagCount = 0...3
    /// Ports in mode dot1q-tunnel.
    package var hasTunnels = true
    /// Frames to stations, which may be known, not only to groups.
    package var hasKnownDestinations = true
    /// Ports that send priority tags.
    package var hasPriorityTags = true
    /// Frames with tags of VLAN 0.
    package var hasPriorityTaggedFrames = true
    /// Trunks with `priority-tags=never`.
    package var trunksHidePriorities = true
    /// Tags with the drop eligible bit.
    package var hasDropEligible = true
    package init() {}
  }

  package static let vlans: [UInt16] = [0, 1, 10, 20, 4095]
  package static let stations = (1...5).map { MACAddress(bits: 0x0200_0000_0000 + UInt64($0)) }
  static let groups: [MACAddress] =
    [
      .broadcast, .broadcast, MACAddress(bits: 0x0100_5e00_0001), MACAddress(bits: 0x0180_c200_0000),
      MACAddress(bits: 0x0180_c200_000e), MACAddress(bits: 0x0180_c200_0010),
    ]

  package static func config(_ limits: Limits = Limits(), using random: inout some RandomNumberGenerator)
    -> SwitchConfig
  {
    var config = SwitchConfig()
    config.busyPoll = Int.random(in: 0..<4, using: &random) == 0
    for b in 1...Int.random(in: limits.bridgeCount, using: &random) {
      var bridge = BridgeConfig(name: "br\(b)")
      bridge.macAgeingSeconds = [15, 300].randomElement(using: &random) ?? 300
      bridge.forwardReservedMulticast = Int.random(in: 0..<4, using: &random) == 0
      if Int.random(in: 0..<4, using: &random) == 0 { bridge.floodVLANs = set(using: &random) }
      for p in 1...Int.random(in: limits.portCount, using: &random) {
        let name = "p\(b)\(p)"
        var port = PortConfig(name: name, interface: InterfaceConfig(name: name, kind: .tap))
        port.vlan = vlan(limits, using: &random)
        port.isProtected = limits.protectedPorts && Int.random(in: 0..<3, using: &random) == 0
        port.forwardReservedMulticast =
          limits.reservedMulticastPerPort && Int.random(in: 0..<3, using: &random) == 0
        bridge.ports.append(port)
      }
      config.bridges.append(bridge)
    }
    for b in config.bridges.indices.dropFirst() {
      joinByPatch(b - 1, b, in: &config, limits, using: &random)
    }
    return config
  }

  private static func joinByPatch(
    _ a: Int, _ b: Int, in config: inout SwitchConfig, _ limits: Limits,
    using random: inout some RandomNumberGenerator
  ) {
    let names = ["patch\(a)\(b)", "patch\(b)\(a)"]
    for (bridge, name, peer) in [(a, names[0], names[1]), (b, names[1], names[0])] {
      var interface = InterfaceConfig(name: name, kind: .patch)
      interface.options["peer"] = peer
      var port = PortConfig(name: name, interface: interface)
      if Int.random(in: 0..<3, using: &random) == 0 { port.vlan = vlan(limits, using: &random) }
      config.bridges[bridge].ports.append(port)
    }
  }

  /// VLAN settings that the database would accept.
  static func vlan(_ limits: Limits, using random: inout some RandomNumberGenerator) -> VLANConfig {
    var vlan = VLANConfig()
    vlan.mode =
      VLANConfig.Mode.allCases.filter { limits.hasTunnels || $0 != .dot1qTunnel }.randomElement(using: &random)
      ?? .trunk
    if vlan.mode != .trunk { vlan.tag = vlans.randomElement(using: &random) ?? 0 }
    if vlan.tag == 0, !limits.hasVLANZero, vlan.mode != .trunk { vlan.tag = 1 }
    if vlan.mode != .access && vlan.mode != .dot1qTunnel { vlan.trunks = set(using: &random) }
    if vlan.mode == .dot1qTunnel { vlan.customerVLANs = set(using: &random) }
    if limits.hasPriorityTags {
      let hides = limits.trunksHidePriorities || vlan.mode != .trunk
      vlan.priorityTags =
        VLANConfig.PriorityTags.allCases.filter { hides || $0 != .never }.randomElement(using: &random) ?? .never
    }
    vlan.serviceEtherType = Bool.random(using: &random) ? 0x88a8 : 0x8100
    return vlan
  }

  private static func set(using random: inout some RandomNumberGenerator) -> Set<UInt16> {
    Bool.random(using: &random) ? [] : Set(vlans.filter { _ in Bool.random(using: &random) })
  }

  /// A frame with up to three tags; one in ten is cut short.
  package static func frame(_ limits: Limits = Limits(), using random: inout some RandomNumberGenerator) -> [UInt8] {
    let isForStation = limits.hasKnownDestinations && Int.random(in: 0..<3, using: &random) != 0
    let destination = (isForStation ? stations : groups).randomElement(using: &random) ?? .broadcast
    let isMulticastSource = Int.random(in: 0..<20, using: &random) == 0
    let source = isMulticastSource ? .broadcast : stations.randomElement(using: &random) ?? .broadcast
    var frame = destination.octets + source.octets
    let tagCounts = [0, 0, 0, 1, 1, 1, 2, 2, 3].filter(limits.tagCount.contains)
    for _ in 0..<(tagCounts.randomElement(using: &random) ?? 0) {
      let tag = ReferenceTag(
        etherType: Bool.random(using: &random) ? 0x8100 : 0x88a8,
        priority: [0, 1, 4, 5, 7].randomElement(using: &random) ?? 0,
        isDropEligible: limits.hasDropEligible && Int.random(in: 0..<8, using: &random) == 0,
        vlan: vlans.dropFirst(limits.hasPriorityTaggedFrames ? 0 : 1).randomElement(using: &random) ?? 1)
      frame += tag.bytes
    }
    frame += [0x12, 0x34]
    for _ in 0..<Int.random(in: 0...50, using: &random) { frame.append(UInt8.random(in: 0...255, using: &random)) }
    if Int.random(in: 0..<10, using: &random) == 0 {
      frame = Array(frame.prefix(Int.random(in: limits.shortestFrame...max(limits.shortestFrame, 20), using: &random)))
    }
    return frame
  }
}

extension SwitchConfig {
  /// The configuration for a failure's message: a line a port.
  package var text: String {
    bridges.map { bridge in
      """
      bridge \(bridge.name) ageing \(bridge.macAgeingSeconds) limit \(bridge.macTableLimit) \
      flood \(bridge.floodVLANs.sorted()) forward-bpdu \(bridge.forwardReservedMulticast)

      """
        + bridge.ports.map { port in
          """
            port \(port.name) \(port.interface.kind) \(port.vlan.mode.rawValue) tag \(port.vlan.tag) \
          trunks \(port.vlan.trunks.sorted()) cvlans \(port.vlan.customerVLANs.sorted()) \
          priority-tags \(port.vlan.priorityTags.rawValue) qinq \(String(port.vlan.serviceEtherType, radix: 16)) \
          protected \(port.isProtected) forward-bpdu \(port.forwardReservedMulticast)
          """
        }.joined(separator: "\n")
    }.joined(separator: "\n")
  }
}
