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
  var config = SwitchConfig() {
    didSet { interfaceNames = Set(config.bridges.lazy.flatMap(\.ports).map(\.interface.name)) }
  }
  /// Of all configured ports.
  private(set) var interfaceNames: Set<String> = []
  private(set) var ports: [PortKey: OpenPort] = [:]
  /// What the system said of the open ports' links.
  var links = LinkDescriptions()
  /// Why configured ports could not be opened.
  var failures: [PortKey: ConfigError] = [:]
  var bridges: [String: BridgeState] = [:]
  var tables: ForwardingTables?
  /// Times that a port's device came back, by port.
  var linkResets: [PortKey: Int] = [:]
  private var slotsInUse = SlotSet()
  /// By bridge, the OpenFlow numbers of its open ports.
  private var numbersInUse: [String: Set<UInt16>] = [:]
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
    guard let slot = slotsInUse.insertLowest() else {
      throw ConfigError(cause: "the switch has \(Burst.portLimit) ports already", remedy: "delete a port first")
    }
    return slot
  }

  mutating func releaseSlot(_ slot: UInt16) { slotsInUse.remove(slot) }

  /// Takes a port that was opened, or what has changed of one.
  mutating func put(_ port: OpenPort, _ key: PortKey) {
    if let old = ports.updateValue(port, forKey: key) {
      if old.portNumber == port.portNumber { return }
      numbersInUse[key.bridge]?.remove(old.portNumber)
    }
    numbersInUse[key.bridge, default: []].insert(port.portNumber)
  }

  /// - Returns: whether it was otherwise before.
  mutating func noteLink(_ key: PortKey, isUp: Bool) -> Bool {
    guard let known = ports[key], known.isLinkUp != isUp else { return false }
    ports[key]?.isLinkUp = isUp
    return true
  }

  /// Forgets a port.
  mutating func remove(_ key: PortKey) -> OpenPort? {
    guard let port = ports.removeValue(forKey: key) else { return nil }
    numbersInUse[key.bridge]?.remove(port.portNumber)
    links.forget(key)
    return port
  }

  /// An OpenFlow port number that no port of the bridge has: the one asked for if free.
  func portNumber(for port: PortConfig, in bridge: String) -> UInt16 {
    if port.name == bridge { return 65534 }
    let used = numbersInUse[bridge] ?? []
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
    let slotCount = slotsInUse.limit
    var entries = (0..<slotCount).map { _ in ForwardingPort(vlan: VLANPolicy(VLANConfig())) }
    var bridgeEntries: [(bridge: ForwardingBridge, members: [UInt16])] = []
    let peers = patchPeers()
    var flowBridges: [FlowBridgeOwner] = []
    let portsByBridge = Dictionary(grouping: ports, by: \.key.bridge)
    for (index, name) in bridges.keys.sorted().enumerated() {
      guard let bridge = bridges[name] else { continue }
      var members: [UInt16] = []
      var numbered: [(number: PortNumber, slot: UInt16)] = []
      let bridgePorts = portsByBridge[name] ?? []
      for (key, port) in bridgePorts {
        let slot = Int(port.slot)
        if port.config.interface.kind == .patch {
          guard let peer = peers[key] else { continue }
          entries[slot].patchPeer = peer
        }
        entries[slot].bridge = UInt16(index)
        entries[slot].isProtected = port.config.isProtected
        entries[slot].forwardsReservedMulticast = port.config.forwardReservedMulticast
        let settings = bridge.flows?.portSettings[port.number] ?? []
        entries[slot].isClosed = settings.contains(.noForward) || settings.contains(.isDown)
        entries[slot].isLeftOutOfFloods = settings.contains(.noFlood) || entries[slot].isClosed
        entries[slot].vlan.deallocate()
        entries[slot].vlan = VLANPolicy(port.config.vlan)
        members.append(port.slot)
        numbered.append((port.number, port.slot))
      }
      bridge.flows?.noteLivePorts(Set(bridgePorts.lazy.filter(\.value.isLinkUp).map(\.value.number)))
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
    let keysByName = Dictionary(grouping: patches.keys, by: \.name)
    var peers: [PortKey: UInt16] = [:]
    for (key, port) in patches {
      guard let wanted = port.config.interface.options["peer"] else { continue }
      for candidate in keysByName[wanted] ?? [] where candidate != key {
        guard let peer = patches[candidate], peer.config.interface.options["peer"] == key.name else { continue }
        peers[key] = peer.slot
        break
      }
    }
    return peers
  }
}
