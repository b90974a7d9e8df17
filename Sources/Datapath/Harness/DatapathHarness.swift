// The real forwarding path without threads, devices or system calls: tests and benchmarks put frames in and take
// frames out, and say what time it is. All ports but patch ports and guests' (GuestHarness.swift) are memory ports.
//
// Thread: one, the caller's.

import COFlow
import Glibc
import VSwitchCore

/// A worker that is stepped by hand.
package final class DatapathHarness {
  /// What left through a port.
  package struct Output: Equatable {
    package var bridge: String
    package var port: String
    package var frame: [UInt8]
    package var offload: OffloadMetadata
  }

  /// Seconds; set by the caller.
  package var now: UInt32 {
    get { time.seconds }
    set { time.seconds = newValue }
  }

  /// SplitMix64: the same keys in every run.
  private struct HarnessRandom: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state &+= 0x9e37_79b9_7f4a_7c15
      var value = state
      value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
      value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
      return value ^ value >> 31
    }
  }

  private final class Time { var seconds: UInt32 = 1000 }
  private let time = Time()
  private let worker: Worker
  private var state = ControlState()
  private var memoryPorts: [PortKey: MemoryPort] = [:]
  private var guestPorts: [PortKey: VhostUserPort] = [:]
  let events: EventRing

  /// Builds the switch of `config`.
  /// - Parameters:
  ///   - capabilities: what the ports accept, by port name; absent ports accept everything.
  ///   - packetCount: size of the packet pool.
  ///   - seed: keys the MAC tables' hash.
  package init(
    _ config: SwitchConfig, capabilities: [String: OffloadCapabilities] = [:], packetCount: Int = 1024,
    seed: UInt64 = 1
  ) throws(ConfigError) {
    let time = time
    events = try EventRing(byteCountLog2: 16)
    var random = HarnessRandom(state: seed)
    worker = try Worker(
      engine: IOEngine(), mailbox: try Mailbox(), packetCount: packetCount, clock: { time.seconds }, random: &random)
    state.want(config)
    for bridge in config.bridges {
      try state.addBridge(
        bridge,
        macTable: MACTable(
          limit: bridge.macTableLimit, ageingSeconds: bridge.macAgeingSeconds, portLimit: Burst.portLimit,
          seed: seed), events: events, seed: seed)
      for port in bridge.ports {
        let key = PortKey(bridge: bridge.name, name: port.name)
        let slot = try state.takeSlot()
        let number = state.portNumber(for: port, in: bridge.name)
        state.put(OpenPort(bridge: bridge.name, config: port, slot: slot, portNumber: number), key)
        worker.open(slot: slot)
        for slot in try state.setGuard(key, by: port.guarding) { worker.open(slot: slot) }
        guard port.interface.kind != .patch else { continue }
        if port.interface.kind == .vhostUser {
          let guest = VhostUserPort(
            slot: slot, descriptor: epoll_create1(Int32(EPOLL_CLOEXEC)), notice: coflow_event_open())
          guestPorts[key] = guest
          worker.add(guest)
          continue
        }
        let all: OffloadCapabilities = [.checksum, .tso4, .tso6, .tsoECN, .uso4, .uso6]
        let memory = MemoryPort(slot: slot, capabilities: capabilities[port.name] ?? all)
        memoryPorts[key] = memory
        worker.add(memory)
      }
    }
    publish()
    worker.busyPoll = config.busyPoll
  }

  deinit {
    state.deallocate()
    events.deallocate()
    for port in guestPorts.values {
      port.close()
      port.closeNotice()
    }
  }

  /// The connection of a port of type vhostuser.
  package func guest(bridge: String, port: String) -> GuestHarness? {
    guestPorts[PortKey(bridge: bridge, name: port)].map { GuestHarness($0, worker, of: self) }
  }

  /// Changes a bridge's flow tables, all at once or, if one is refused, not at all.
  /// - Returns: rules that went and asked for it, with their last counts.
  @discardableResult
  package func changeFlows(bridge: String, _ changes: [TableChange]) throws(BundleError) -> [RemovedRule] {
    guard let flows = state.bridges[bridge]?.flows else { return [] }
    _ = try flows.tables.apply(bundle: changes, now: UInt64(time.seconds) * 1_000_000_000)
    if flows.noteRules() { publish() }
    // Nobody reads meanwhile: the harness is the only thread.
    return flows.tables.endGracePeriod(flows.tables.beginGracePeriod())
  }

  private func publish() {
    state.noteLivePorts()
    let tables = state.makeTables(worker: 0)
    worker.mailbox.publish(tables)
    state.tables = [tables]
    state.endGracePeriod()
  }

  /// Gives ports of a bridge other settings (OFPPC_…), by port number.
  package func configurePorts(bridge: String, _ settings: [PortNumber: PipelinePort]) {
    state.bridges[bridge]?.flows?.portSettings = settings
    publish()
  }

  /// A table's statistics.
  package func tableStatistics(bridge: String, table: UInt8) -> TableStatistics {
    state.bridges[bridge]?.flows?.tables.statistics(table: table) ?? TableStatistics()
  }

  /// The number of masks of a bridge's cached flows, and of decisions that found no room.
  package func cacheUse(bridge: String) -> (maskCount: Int, refusedCount: UInt64) {
    guard let flows = state.bridges[bridge]?.flows else { return (0, 0) }
    return unsafe (flows.megaflows.state.pointee.maskCount, flows.megaflows.state.pointee.refusedCount)
  }

  /// Whether packets of a bridge may have a way of their own (`ConnectionPathCache`).
  func hasPaths(bridge: String) -> Bool {
    guard let flows = state.bridges[bridge]?.flows else { return false }
    return unsafe flows.megaflows.state.pointee.hasPaths
  }

  /// Packets whose way through a bridge's tables was translated, as no cached flow was found.
  package func translationCount(bridge: String) -> UInt64 {
    guard let flows = state.bridges[bridge]?.flows else { return 0 }
    return unsafe flows.megaflows.state.pointee.translationCount
  }

  /// Runs a controller's actions on a packet and returns everything that leaves.
  package func sendPacket(
    bridge: String, inPort: PortNumber = .controller, pipeline: FlowKey = FlowKey(), actions: [Action], data: [UInt8]
  ) throws -> [Output] {
    guard let (flowBridge, owner) = state.flowBridge(bridge) else { return [] }
    let code = try RuleCode(Instructions(apply: actions))
    defer { code.deallocate() }
    worker.send(PacketFromController(data: data, inPort: inPort, pipeline: pipeline, code: code), flowBridge)
    withExtendedLifetime(owner) {}
    return step()
  }

  /// Lets a packet go on that has waited for a controller, and returns everything that leaves.
  package func resumePacket(bridge: String, _ continuation: Continuation, pipeline: FlowKey, data: [UInt8]) -> [Output]
  {
    guard let (flowBridge, owner) = state.flowBridge(bridge) else { return [] }
    worker.send(PacketFromController(data: data, pipeline: pipeline, continuation), flowBridge)
    withExtendedLifetime(owner) {}
    return step()
  }

  /// What a port's queues have been given.
  package func queueCounts(bridge: String, port: UInt16) -> [UInt32: UInt64] {
    let slot = state.numberedPorts(of: bridge).first { $0.number.rawValue == UInt32(port) }?.slot ?? .max
    return Dictionary(
      uniqueKeysWithValues: worker.burst.flows.queues.values(slot: slot).map { ($0.queue, $0.packetCount) })
  }

  /// A bridge's rules.
  package func rules(bridge: String) -> [RuleDescription] { state.bridges[bridge]?.flows?.tables.rules() ?? [] }

  /// The number of cached flows of a bridge.
  package func cachedFlowCount(bridge: String) -> Int {
    guard let flows = state.bridges[bridge]?.flows else { return 0 }
    return unsafe flows.megaflows.state.pointee.flowCount
  }

  /// What the cache of a bridge's flows holds.
  package func flowCache(bridge: String) -> FlowCacheStatistics {
    state.bridges[bridge]?.flows.map { FlowCacheStatistics($0.megaflows) } ?? FlowCacheStatistics()
  }

  /// Follows a frame without letting it in; nil if it is too short.
  package func trace(bridge: String, port: String, frame: [UInt8]) -> Trace? {
    guard let open = state.ports[PortKey(bridge: bridge, name: port)] else { return nil }
    var packet = TracedPacket(key: FlowKey(), frame: frame)
    let number = PortNumber(openFlow10: open.portNumber).rawValue
    var layout = PacketLayout()
    let isParsed = unsafe frame.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return false }
      return unsafe FlowKeyParser(base, byteCount: bytes.count).parse(inPort: number, into: &packet.key, &layout)
    }
    guard isParsed else { return nil }
    let now = now
    return BridgeTracer(state, PlainSyntax()) { $0.station(vlan: $1, address: $2, now: now) }
      .trace(bridge, packet)
  }

  private struct PlainSyntax: TraceSyntax {
    func match(_ match: Match, _ names: PortNames) -> String { TraceText.match(match) }
    func packet(_ key: FlowKey, _ names: PortNames) -> String { "" }
    func actions(_ instructions: Instructions, _ names: PortNames) -> String { TraceText.actions(instructions) }
    func program(_ steps: [ActionStep], _ names: PortNames) -> String { "" }
  }

  /// Has the next packet of every flow take the way through the tables.
  package func forgetCachedFlows(bridge: String) { state.bridges[bridge]?.flows?.megaflows.removeAll() }

  /// Leaves no recirculation ids for packets that come back from flows yet to be cached.
  package func useUpRecirculationIDs(bridge: String) {
    guard let state = unsafe state.bridges[bridge]?.flows?.megaflows.state else { return }
    unsafe state.pointee.nextRecirculationID = UInt32.max &- MegaflowCache.pointLimit
  }

  /// Packets that were sent to controllers since the last call.
  package func takeControllerPackets() -> [ControllerPacket] {
    var packets: [ControllerPacket] = []
    while let record = events.read() { if let packet = ControllerPacket(record) { packets.append(packet) } }
    return packets
  }

  /// Does what the packets since the last call have asked of control code: learned rules.
  /// - Returns: packets that were sent to controllers.
  package func handleEvents() -> [ControllerPacket] {
    var packets: [ControllerPacket] = []
    while let record = events.read() {
      switch FlowEvent(record) {
      case .controllerPacket(let packet): packets.append(packet)
      case .learn(let identifier, let rule, let limit):
        guard let flows = state.bridges.values.first(where: { $0.flows?.identifier == identifier })?.flows else {
          continue
        }
        _ = flows.learn(rule, limit: limit, now: UInt64(time.seconds) * 1_000_000_000)
        if flows.noteRules() { publish() }
        _ = flows.tables.endGracePeriod(flows.tables.beginGracePeriod())
      case .finTimeout, nil: break
      }
    }
    return packets
  }

  /// Says whether a port has a link.
  package func setLink(bridge: String, port: String, isUp: Bool) {
    if state.noteLink(PortKey(bridge: bridge, name: port), isUp: isUp) { publish() }
  }

  /// Lets one frame come in at a port and returns everything that leaves, by bridge and port.
  package func receive(
    bridge: String, port: String, frame: [UInt8], offload: OffloadMetadata = OffloadMetadata()
  ) -> [Output] {
    memoryPorts[PortKey(bridge: bridge, name: port)]?.incoming.append((frame, offload))
    return step()
  }

  /// Lets frames come in at a port as one burst and returns everything that leaves, by bridge and port.
  package func receive(bridge: String, port: String, frames: [[UInt8]]) -> [Output] {
    for frame in frames {
      memoryPorts[PortKey(bridge: bridge, name: port)]?.incoming.append((frame, OffloadMetadata()))
    }
    return step()
  }

  private func step() -> [Output] {
    worker.round(maySleep: false)
    worker.round(maySleep: false)
    var outputs: [Output] = []
    for (key, port) in memoryPorts.sorted(by: { ($0.key.bridge, $0.key.name) < ($1.key.bridge, $1.key.name) }) {
      for sent in port.outgoing {
        outputs.append(Output(bridge: key.bridge, port: key.name, frame: sent.frame, offload: sent.offload))
      }
      port.outgoing.removeAll()
    }
    return outputs
  }

  /// A port's counters.
  package func counters(bridge: String, port: String) -> PortCounters {
    guard let slot = state.ports[PortKey(bridge: bridge, name: port)]?.slot else { return PortCounters() }
    return unsafe worker.burst.counters[Int(slot)].values
  }

  /// Stations that a bridge knows now: VLAN, address, port.
  package func stations(bridge: String) -> [(vlan: UInt16, address: MACAddress, port: String)] {
    guard let table = state.bridges[bridge]?.macTable else { return [] }
    let names = Dictionary(uniqueKeysWithValues: state.ports.values.map { ($0.bridgeSlot, $0.config.name) })
    var stations: [(vlan: UInt16, address: MACAddress, port: String)] = []
    table.forEach(now: now) { vlan, address, port, _ in
      stations.append((vlan, MACAddress(bits: address), names[port] ?? ""))
    }
    return stations.sorted { ($0.vlan, $0.address) < ($1.vlan, $1.address) }
  }

  /// Adds a static station.
  package func addStation(bridge: String, vlan: UInt16, address: MACAddress, port: String) -> Bool {
    guard let table = state.bridges[bridge]?.macTable,
      let slot = state.ports[PortKey(bridge: bridge, name: port)]?.bridgeSlot
    else { return false }
    return table.addStatic(vlan: vlan, address: address.bits, port: slot, now: now)
  }

  /// Packets of the pool that are not in use; all of them between two calls.
  package var availablePackets: Int { worker.burst.pool.available }

  /// The worker's connections.
  var tracker: ConnectionTracker { worker.burst.tracker }

  // MARK: benchmarks

  /// Has a port give `frames` (of one length) in turn, `burst` a round, and all ports only count what they send.
  package func replay(
    bridge: String, port: String, frames: [[UInt8]], offload: OffloadMetadata = OffloadMetadata(), burst: Int = 32
  ) {
    for port in memoryPorts.values { port.keepsFrames = false }
    memoryPorts[PortKey(bridge: bridge, name: port)]?.replay(frames, offload: offload, burst: burst)
  }

  /// Runs `count` rounds.
  package func run(rounds count: Int) { for _ in 0..<count { worker.round(maySleep: false) } }
}
