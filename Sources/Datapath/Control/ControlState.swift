// What control code keeps of the datapath between two calls: open ports, their slots, the bridges' MAC tables, the
// published forwarding tables. Thread: whoever holds the lock of `Datapath`.

import VSwitchCore

/// One bridge that exists.
struct BridgeState: @unchecked Sendable {
  var config: BridgeConfig
  var macTable: MACTable
  var flows: BridgeFlows?
}

/// The datapath's state behind its lock.
struct ControlState {
  var config = SwitchConfig()
  var ports: [PortKey: OpenPort] = [:]
  /// Why configured ports could not be opened.
  var failures: [PortKey: ConfigError] = [:]
  var bridges: [String: BridgeState] = [:]
  var tables: ForwardingTables?
  /// Times that a port's device came back, by port.
  var linkResets: [PortKey: Int] = [:]
  private var slotsInUse: Set<UInt16> = []
  /// Number of the next bridge's flow tables.
  private var nextBridgeIdentifier: UInt32 = 1

  /// Adds a bridge with its first rule, if it is to have one. Without memory for flow tables it is a learning bridge.
  mutating func addBridge(_ config: BridgeConfig, macTable: MACTable, events: EventRing, seed: UInt64) {
    let flows = try? BridgeFlows(
      identifier: nextBridgeIdentifier, events: events, seed: seed, beginsAsNormal: config.beginsAsNormal,
      now: monotonicNanoseconds())
    nextBridgeIdentifier += 1
    bridges[config.name] = BridgeState(config: config, macTable: macTable, flows: flows)
  }

  /// A slot that no port has.
  mutating func takeSlot() throws(ConfigError) -> UInt16 {
    for slot in 0..<UInt16(Burst.portLimit) where !slotsInUse.contains(slot) {
      slotsInUse.insert(slot)
      return slot
    }
    throw ConfigError(cause: "the switch has \(Burst.portLimit) ports already", remedy: "delete a port first")
  }

  mutating func releaseSlot(_ slot: UInt16) { slotsInUse.remove(slot) }

  /// An OpenFlow port number that no port of the bridge has: the one asked for if free.
  func portNumber(for port: PortConfig, in bridge: String) -> UInt16 {
    if port.name == bridge { return 65534 }
    let used = Set(ports.filter { $0.key.bridge == bridge }.map(\.value.portNumber))
    if let wish = port.interface.portNumberRequest, !used.contains(wish) { return wish }
    for number in UInt16(1)..<65280 where !used.contains(number) { return number }
    return 65279
  }

  /// Index of a bridge in the forwarding tables.
  func bridgeIndex(_ name: String) -> UInt16? {
    bridges.keys.sorted().firstIndex(of: name).map { UInt16(truncatingIfNeeded: $0) }
  }

  /// The open ports of a bridge.
  func numberedPorts(of bridge: String) -> [(number: PortNumber, slot: UInt16)] {
    ports.filter { $0.key.bridge == bridge }.map { ($1.number, $1.slot) }
  }

  /// The forwarding tables for what is open now.
  func makeTables() -> ForwardingTables {
    let slotCount = Int(slotsInUse.max().map { $0 + 1 } ?? 0)
    var entries = (0..<slotCount).map { _ in ForwardingPort(vlan: VLANPolicy(VLANConfig())) }
    var bridgeEntries: [(bridge: ForwardingBridge, members: [UInt16])] = []
    let peers = patchPeers()
    var flowBridges: [FlowBridgeOwner] = []
    for (index, name) in bridges.keys.sorted().enumerated() {
      guard let bridge = bridges[name] else { continue }
      var members: [UInt16] = []
      var numbered: [(number: PortNumber, slot: UInt16)] = []
      for (key, port) in ports where key.bridge == name {
        let slot = Int(port.slot)
        if port.config.interface.kind == .patch {
          guard let peer = peers[key] else { continue }
          entries[slot].patchPeer = peer
        }
        entries[slot].bridge = UInt16(index)
        entries[slot].isProtected = port.config.isProtected
        entries[slot].forwardsReservedMulticast = port.config.forwardReservedMulticast
        let settings = bridge.flows?.portSettings[port.number] ?? []
        entries[slot].isLeftOutOfFloods = settings.contains(.noFlood)
        entries[slot].isClosed = settings.contains(.noForward) || settings.contains(.isDown)
        entries[slot].vlan.deallocate()
        entries[slot].vlan = VLANPolicy(port.config.vlan)
        members.append(port.slot)
        numbered.append((port.number, port.slot))
      }
      bridge.flows?.noteLivePorts(Set(ports.filter { $0.key.bridge == name && $0.value.isLinkUp }.map(\.value.number)))
      var flows: FlowBridge?
      var normalRule: NormalRule?
      if bridge.flows?.isStandalone == true {
        // As a learning bridge, whatever the rules say.
      } else if let slot = bridge.flows?.normalSlot, let tables = bridge.flows?.tables {
        normalRule = NormalRule(tables: tables.reader, slot: slot)
      } else if let owner = bridge.flows?.makeBridge(index: UInt16(index), ports: numbered) {
        flowBridges.append(owner)
        flows = owner.bridge
      }
      bridgeEntries.append(
        (
          ForwardingBridge(
            macTable: bridge.macTable, firstMember: 0, memberCount: 0,
            forwardsReservedMulticast: bridge.config.forwardReservedMulticast,
            hasFloodVLANs: !bridge.config.floodVLANs.isEmpty, floodVLANs: VLANSet(bridge.config.floodVLANs),
            flows: flows, normalRule: normalRule),
          members.sorted()
        ))
    }
    return ForwardingTables(ports: entries, bridges: bridgeEntries, flowBridges: flowBridges)
  }

  /// The slot at the other end of each patch port whose peer is a patch port that names it.
  private func patchPeers() -> [PortKey: UInt16] {
    let patches = ports.filter { $0.value.config.interface.kind == .patch }
    var peers: [PortKey: UInt16] = [:]
    for (key, port) in patches {
      let wanted = port.config.interface.options["peer"]
      let peer = patches.first {
        $0.key.name == wanted && $0.value.config.interface.options["peer"] == key.name && $0.key != key
      }
      if let peer { peers[key] = peer.value.slot }
    }
    return peers
  }
}
