// What control code keeps of the datapath between two calls: open ports, their slots, the bridges' MAC tables, the
// published forwarding tables. Thread: whoever holds the lock of `Datapath`.

import VSwitchCore

/// One bridge that exists.
struct BridgeState: @unchecked Sendable {
  var config: BridgeConfig
  var macTable: MACTable
  var flows: BridgeFlows?
  /// Number of the worker that runs it.
  var worker = 0
  /// It was given that worker among all that there are.
  var isPlaced = false
}

/// The datapath's state behind its lock.
struct ControlState {
  /// All configured ports.
  private(set) var wanted: [PortKey: PortConfig] = [:]
  /// How many configured ports there are by the name of their interface.
  private var interfaceUses: [String: Int] = [:]
  private(set) var ports: [PortKey: OpenPort] = [:]
  private var slots = SlotTable()
  /// What the system said of the open ports' links.
  var links = LinkDescriptions()
  /// Why configured ports could not be opened.
  var failures: [PortKey: ConfigError] = [:]
  var bridges: [String: BridgeState] = [:]
  /// Those that run bridges, by number; there may be more threads than are in use.
  var workers: [WorkerThread] = []
  /// CPUs of those that are in use; none: the first is, on any CPU.
  var workerCPUs: [Int] = []
  /// What workers' trackers have been told.
  var tracking = TrackingSettings()
  /// On their way from one worker to another: in no forwarding tables.
  var movingBridges: Set<String> = []
  /// Why configured bridges are not there.
  var bridgeFailures: [String: ConfigError] = [:]
  /// Flow tables of a new bridge; another way for tests.
  var makeFlows:
    @Sendable (_ identifier: UInt32, EventRing, _ seed: UInt64, BridgeConfig) throws(ConfigError) -> BridgeFlows =
      ControlState.flows
  /// Published, by worker.
  var tables: [ForwardingTables] = []
  /// Times that a port's device came back, by port.
  var linkResets: [PortKey: Int] = [:]
  private var slotsInUse = SlotSet()
  /// Of guards that ports have no longer: others' after the grace period of the tables without them.
  private var retiredSlots: [UInt16] = []
  /// Bridges of which a port has come, gone, or has its link no longer or again.
  private var bridgesWithNewLinks: Set<String> = []
  /// By bridge, the OpenFlow numbers of its open ports.
  private var numbersInUse: [String: Set<UInt16>] = [:]
  /// Number of the next bridge's flow tables.
  private var nextBridgeIdentifier: UInt32 = 1

  /// Notes what is configured.
  mutating func want(_ config: SwitchConfig) {
    wanted = [:]
    interfaceUses = [:]
    for bridge in config.bridges {
      for port in bridge.ports { want(port, PortKey(bridge: bridge.name, name: port.name)) }
    }
  }

  /// Notes what is configured of one port; nil: it is no longer.
  mutating func want(_ port: PortConfig?, _ key: PortKey) {
    let old = wanted[key]?.interface.name
    wanted[key] = port
    if old == port?.interface.name { return }
    if let old {
      let count = interfaceUses[old] ?? 0
      interfaceUses[old] = count > 1 ? count - 1 : nil
    }
    if let new = port?.interface.name { interfaceUses[new, default: 0] += 1 }
  }

  /// All configured ports in order of their names.
  var sortedWanted: [PortKey] { wanted.keys.sorted { ($0.bridge, $0.name) < ($1.bridge, $1.name) } }

  /// Whether a port has an interface of this name configured.
  func wants(interface name: String) -> Bool { interfaceUses[name] != nil }

  /// Adds a bridge with its first rule, if it is to have one. Without memory for flow tables there is no bridge: one that
  /// only learned would forward what its rules are to forbid.
  mutating func addBridge(
    _ config: BridgeConfig, macTable: MACTable, events: EventRing, seed: UInt64
  ) throws(ConfigError) {
    let flows = try makeFlows(nextBridgeIdentifier, events, seed, config)
    flows.configureTables(config.flowTables)
    // A router's rules tell first fragments, which have ports, from the others.
    if config.isRouter { flows.fragmentHandling = .match }
    nextBridgeIdentifier += 1
    bridges[config.name] = BridgeState(config: config, macTable: macTable, flows: flows)
  }

  private static func flows(
    identifier: UInt32, _ events: EventRing, seed: UInt64, _ config: BridgeConfig
  ) throws(ConfigError) -> BridgeFlows {
    try BridgeFlows(
      identifier: identifier, events: events, seed: seed, beginsAsNormal: config.beginsAsNormal,
      now: monotonicNanoseconds())
  }

  /// A slot that no port has.
  mutating func takeSlot() throws(ConfigError) -> UInt16 {
    guard let slot = slotsInUse.insertLowest() else {
      throw ConfigError(cause: "the switch has \(Burst.portLimit) ports already", remedy: "delete a port first")
    }
    return slot
  }

  mutating func releaseSlot(_ slot: UInt16) { slotsInUse.remove(slot) }

  /// Takes an open port out of the forwarding tables until it is put again: it neither receives nor sends.
  mutating func isolate(_ key: PortKey) {
    guard let port = ports[key] else { return }
    for slot in port.slots {
      slots.remove(slot, key)
    }
  }

  /// Gives an open port a guard, another one, or none.
  /// - Returns: slots that came, to be opened before tables with them are published.
  mutating func setGuard(_ key: PortKey, by config: PortGuard?) throws(ConfigError) -> [UInt16] {
    guard var port = ports[key], port.guarding?.config != config else { return [] }
    guard let config else {
      // Forwarding tables that know them are still in use.
      for slot in [port.guarding?.outerSlot, port.guarding?.innerSlot].compactMap({ $0 }) {
        slots.remove(slot, key)
        retiredSlots.append(slot)
      }
      port.guarding = nil
      put(port, key)
      return []
    }
    if port.guarding != nil {
      port.guarding?.config = config
      put(port, key)
      return []
    }
    let outer = try takeSlot()
    let inner: UInt16
    do throws(ConfigError) { inner = try takeSlot() } catch {
      releaseSlot(outer)
      throw error
    }
    slots.remove(port.slot, key)
    port.guarding = OpenGuard(config: config, outerSlot: outer, innerSlot: inner)
    put(port, key)
    return [outer, inner]
  }

  /// Takes a port that was opened, or what has changed of one.
  mutating func put(_ port: OpenPort, _ key: PortKey) {
    slots.put(port, key)
    bridgesWithNewLinks.insert(key.bridge)
    if let guarding = port.guarding { bridgesWithNewLinks.insert(guarding.config.bridge) }
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
    for slot in known.slots {
      slots.noteLink(slot, isUp: isUp)
    }
    bridgesWithNewLinks.insert(key.bridge)
    if let guarding = known.guarding { bridgesWithNewLinks.insert(guarding.config.bridge) }
    return true
  }

  /// Forgets a port.
  mutating func remove(_ key: PortKey) -> OpenPort? {
    guard let port = ports.removeValue(forKey: key) else { return nil }
    numbersInUse[key.bridge]?.remove(port.portNumber)
    for slot in port.slots {
      slots.remove(slot, key)
    }
    bridgesWithNewLinks.insert(key.bridge)
    if let guarding = port.guarding { bridgesWithNewLinks.insert(guarding.config.bridge) }
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

  /// The bridges of a worker in the order of its forwarding tables.
  private func bridgeNames(worker: Int) -> [String] {
    bridges.filter { $0.value.worker == worker && !movingBridges.contains($0.key) }.keys.sorted()
  }

  /// Index of a bridge in its worker's forwarding tables.
  func bridgeIndex(_ name: String) -> UInt16? {
    guard let worker = bridges[name]?.worker else { return nil }
    return bridgeNames(worker: worker).firstIndex(of: name).map { UInt16(truncatingIfNeeded: $0) }
  }

  /// The open ports of a bridge.
  func numberedPorts(of bridge: String) -> [(number: PortNumber, slot: UInt16)] {
    ports.flatMap { key, port in
      var found: [(number: PortNumber, slot: UInt16)] = key.bridge == bridge ? [(port.number, port.bridgeSlot)] : []
      if let guarding = port.guarding, guarding.config.bridge == bridge {
        found.append((PortNumber(openFlow10: guarding.config.deviceNumber), port.slot))
        found.append((PortNumber(openFlow10: guarding.config.bridgeNumber), guarding.innerSlot))
      }
      return found
    }
  }

  /// Tells bridges which of their ports have a link, before tables are made.
  mutating func noteLivePorts() {
    for name in bridgesWithNewLinks { bridges[name]?.flows?.noteLivePorts(slots.livePorts(of: name)) }
    bridgesWithNewLinks = []
  }

  /// A worker's forwarding tables for what is open now: made anew each time, from flat records. Other workers' bridges and their
  /// ports are not in them.
  func makeTables(worker: Int) -> ForwardingTables {
    let names = bridgeNames(worker: worker)
    var (entries, members) = slots.entries(bridges: names)
    var bridgeEntries: [(bridge: ForwardingBridge, members: [UInt16])] = []
    var flowBridges: [FlowBridgeOwner] = []
    for (index, name) in names.enumerated() {
      guard let bridge = bridges[name] else { continue }
      if let settings = bridge.flows?.portSettings, !settings.isEmpty {
        for slot in members[index] {
          guard let settings = settings[slots.number(of: slot)] else { continue }
          entries[Int(slot)].isClosed = settings.contains(.noForward) || settings.contains(.isDown)
          entries[Int(slot)].isLeftOutOfFloods = settings.contains(.noFlood) || entries[Int(slot)].isClosed
        }
      }
      var flows: FlowBridge?
      var normalRule: NormalRule?
      if bridge.flows?.isStandalone == true {
        // As a learning bridge, whatever the rules say.
      } else if let slot = bridge.flows?.normalSlot, let tables = bridge.flows?.tables {
        normalRule = NormalRule(tables: tables.reader, slot: slot)
      } else {
        let numbered = members[index].map { (number: slots.number(of: $0), slot: $0) }
        if let owner = bridge.flows?.makeBridge(index: UInt16(index), ports: numbered) {
          flowBridges.append(owner)
          flows = owner.bridge
        }
      }
      bridgeEntries.append(
        (
          ForwardingBridge(
            macTable: bridge.macTable, firstMember: 0, memberCount: 0,
            forwardsReservedMulticast: bridge.config.forwardReservedMulticast,
            hasFloodVLANs: !bridge.config.floodVLANs.isEmpty, floodVLANs: VLANSet(bridge.config.floodVLANs),
            flows: flows, normalRule: normalRule),
          members[index]
        ))
    }
    return ForwardingTables(ports: entries, bridges: bridgeEntries, flowBridges: flowBridges)
  }

  /// Frees what only forwarding tables point to that no worker uses any more: after the grace period of the latest.
  /// - Returns: slots that nothing stands in any more.
  @discardableResult
  mutating func endGracePeriod() -> [UInt16] {
    slots.freeRetired()
    defer { retiredSlots = [] }
    for slot in retiredSlots { releaseSlot(slot) }
    return retiredSlots
  }

  /// Frees what forwarding tables point to; there is no worker any more.
  mutating func deallocate() {
    for bridge in bridges.values { bridge.macTable.deallocate() }
    slots.deallocate()
  }
}
