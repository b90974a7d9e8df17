// A packet's way through bridges, told without sending it: the tables are read as a worker reads them, but nothing is
// counted, cached or learned. Thread-safe; the walk runs on the caller's thread, only the MAC tables are asked on the
// worker, which owns them, between two bursts.

import VSwitchCore

/// How a trace writes what it finds; the syntax of flows is not known here.
package protocol TraceSyntax: Sendable {
  typealias PortNames = [PortNumber: String]
  /// A match, as in a flow.
  func match(_ match: Match, _ names: PortNames) -> String
  /// All fields of a packet.
  func packet(_ key: FlowKey, _ names: PortNames) -> String
  func actions(_ instructions: Instructions, _ names: PortNames) -> String
  func program(_ steps: [ActionStep], _ names: PortNames) -> String
}

/// The packet of a trace.
package struct TracedPacket: Sendable {
  /// Its fields, with the number of the entry port.
  package var key: FlowKey
  /// Its bytes, if they are known.
  package var frame: [UInt8]?
  /// What connection tracking would find (`ct_state`).
  package var connectionState: UInt32?
  /// Fields that are 0 are ones that nobody spoke of.
  package var isSketch: Bool

  package init(key: FlowKey, frame: [UInt8]? = nil) {
    self.key = key
    self.frame = frame
    isSketch = frame == nil
  }
}

extension Datapath {
  /// Names of a bridge's ports by number; nil if there is no such bridge.
  package func portNames(bridge: String) -> [PortNumber: String]? {
    state.withLock { state in
      guard state.bridges[bridge] != nil else { return nil }
      let ports = state.ports.filter { $0.key.bridge == bridge }
      return Dictionary(
        ports.map { (PortNumber(openFlow10: $1.portNumber), $0.name) }, uniquingKeysWith: { first, _ in first })
    }
  }

  /// Follows a packet.
  /// - Returns: nil if there is no such bridge.
  package func trace(bridge: String, _ packet: TracedPacket, _ syntax: any TraceSyntax) -> Trace? {
    state.withLock { state in
      // Bridges that a packet may come to are run by one worker.
      let mailbox = state.worker(of: bridge).mailbox
      let tracer = BridgeTracer(state, syntax) { table, vlan, address in
        mailbox.perform { worker in table.station(vlan: vlan, address: address, now: worker.now) }
      }
      return tracer.trace(bridge, packet)
    }
  }
}

/// What a trace looks at; lives while the lock of the datapath is held.
final class BridgeTracer {
  private let state: ControlState
  private let syntax: any TraceSyntax
  /// Where a station is, as the owner of the MAC table says.
  private let station: (MACTable, _ vlan: UInt16, _ address: UInt64) -> (port: UInt16, isStatic: Bool)?

  init(
    _ state: ControlState, _ syntax: any TraceSyntax,
    station: @escaping (MACTable, _ vlan: UInt16, _ address: UInt64) -> (port: UInt16, isStatic: Bool)?
  ) {
    self.state = state
    self.syntax = syntax
    self.station = station
  }

  /// Follows a packet that a port of a bridge receives.
  func trace(_ bridge: String, _ packet: TracedPacket) -> Trace? {
    let entry = state.ports.first { $0.key.bridge == bridge && $0.value.number.rawValue == packet.key.inPort }?.value
    guard let guarding = entry?.guarding?.config else { return trace(bridge, packet, depth: 0) }
    var packet = packet
    packet.key.inPort = PortNumber(openFlow10: guarding.deviceNumber).rawValue
    return trace(guarding.bridge, packet, depth: 0)
  }

  private func trace(_ bridge: String, _ packet: TracedPacket, depth: Int) -> Trace? {
    guard let flows = state.bridges[bridge]?.flows else { return nil }
    let open = state.ports.filter { $0.key.bridge == bridge }
    /// Ports whose rules this bridge has, by the numbers of their devices and of what leads to their bridges.
    var guarded: [PortNumber: (key: PortKey, port: OpenPort, isDevice: Bool)] = [:]
    for (key, port) in state.ports {
      guard let guarding = port.guarding?.config, guarding.bridge == bridge else { continue }
      guarded[PortNumber(openFlow10: guarding.deviceNumber)] = (key, port, true)
      guarded[PortNumber(openFlow10: guarding.bridgeNumber)] = (key, port, false)
    }
    var names = Dictionary(
      open.map { (PortNumber(openFlow10: $1.portNumber), $0.name) }, uniquingKeysWith: { first, _ in first })
    for (number, port) in guarded where port.isDevice { names[number] = port.key.name }
    let owner = flows.readBridge(ports: state.numberedPorts(of: bridge))
    let reader = owner.bridge.pipeline
    let syntax = syntax
    var options = TraceOptions(
      bridge: bridge, matchText: { syntax.match($0, names) }, actionsText: { syntax.actions($0, names) },
      match: { flows.tables.rule(countingIn: CounterSlot(index: $0))?.match })
    options.flowText = { syntax.packet($0.key, names) }
    options.programText = { syntax.program($0, names) }
    options.portText = { names[$0] ?? TraceText.port($0) }
    options.showsTags = true
    options.byteCount = packet.frame?.count
    options.isRouter = state.bridges[bridge]?.config.isRouter ?? false
    options.guarding = guarded[PortNumber(packet.key.inPort)].map {
      TracedGuard(port: $0.key.name, groups: $0.port.guarding?.config.groups ?? [])
    }
    options.owner = { guarded[$0]?.key.bridge }
    if let connection = packet.connectionState { options.connectionState = connection }
    options.normal = { [self] key in normal(bridge, key, isSketch: packet.isSketch) }
    options.flood = { entry, withoutNoFlood in
      names.keys.sorted().filter { number in
        let flags = reader.port(number)
        return number.rawValue != entry && !flags.contains(.isDown) && !flags.contains(.noForward)
          && !(withoutNoFlood && flags.contains(.noFlood))
      }
    }
    options.follow = { [self] number, key in
      guard depth < Int(Burst.patchHopLimit) else { return nil }
      var next = TracedPacket(key: key.crossing)
      next.connectionState = packet.connectionState
      next.isSketch = packet.isSketch
      if let inside = guarded[number] {
        next.key.inPort = inside.port.number.rawValue
        return inside.isDevice ? nil : self.trace(inside.key.bridge, next, depth: depth + 1)
      }
      guard let leaving = open.values.first(where: { $0.number == number }) else { return nil }
      if let guarding = leaving.guarding?.config {
        next.key.inPort = PortNumber(openFlow10: guarding.bridgeNumber).rawValue
        return self.trace(guarding.bridge, next, depth: depth + 1)
      }
      guard let peer = peer(of: leaving) else { return nil }
      next.key.inPort = PortNumber(openFlow10: peer.portNumber).rawValue
      if packet.isSketch, state.bridges[peer.bridge]?.config.isRouter == true { complete(&next.key, for: peer) }
      return self.trace(peer.bridge, next, depth: depth + 1)
    }
    // Without a controller the rules may not count.
    let standalone = flows.isStandalone ? try? RuleCode(BridgeFlows.normalRule.instructions) : nil
    defer { standalone?.deallocate() }
    var trace = PacketTranslation.trace(
      reader, key: packet.key, version: flows.tables.reader.version, actions: standalone, options: options)
    if standalone != nil {
      trace.nodes.insert(
        TraceNode(.remark, "no controller answers (fail_mode=standalone): every packet is forwarded as NORMAL"), at: 0)
    }
    withExtendedLifetime(owner) {}
    return trace
  }

  /// What is sent to a router has its address and hops left, unless something else was said.
  private func complete(_ key: inout FlowKey, for port: OpenPort) {
    if key.ethernetDestination == 0, let address = port.config.interface.hardwareAddress {
      key.ethernetDestination = address.bits
    }
    if [0x0800, 0x86dd].contains(key.etherType), key.ipTTL == 0 { key.ipTTL = 64 }
  }

  // MARK: NORMAL

  /// The same decision as `Burst.forwardNormal`, without learning.
  private func normal(_ bridge: String, _ key: FlowKey, isSketch: Bool) -> NormalTrace? {
    guard let config = state.bridges[bridge]?.config else { return nil }
    let entry = PortNumber(key.inPort)
    let open = state.ports.filter { $0.key.bridge == bridge }
    var byNumber: [PortNumber: OpenPort] = [:]
    for port in open.values { byNumber[PortNumber(openFlow10: port.portNumber)] = port }
    guard let port = byNumber[entry] else { return nil }
    var decision = NormalTrace(entry: entry)
    let outer = NormalTrace.tag(key.vlanType, key.vlanTCI)
    let inner = NormalTrace.tag(key.innerVLANType, key.innerVLANTCI)
    var reason = DropReason.noOutput
    let policy = VLANPolicy(port.config.vlan)
    defer { policy.deallocate() }
    guard let arrival = policy.arrival(outer: outer, inner: inner, reason: &reason) else {
      return decision.dropped(reason, remedy(reason, vlan: UInt16(outer & 0xfff), port, nil, bridge))
    }
    decision.vlan = arrival.vlan
    decision.ownsTag = arrival.ownsTag
    let address = MACAddress(bits: key.ethernetDestination)
    let isReserved = address.isReservedMulticast && !config.forwardReservedMulticast
    if isReserved, !port.config.forwardReservedMulticast {
      return decision.dropped(
        .reservedMulticast, "vsctl set bridge \(bridge) other_config:forward-bpdu=true")
    }
    let learns = !config.floodVLANs.contains(arrival.vlan)
    let table = learns ? state.bridges[bridge]?.macTable : nil
    let source = table.flatMap { station($0, arrival.vlan, key.ethernetSource) }
    let known = table.flatMap { station($0, arrival.vlan, key.ethernetDestination) }
    func number(_ slot: UInt16?) -> PortNumber? {
      slot.flatMap { slot in byNumber.first { $0.value.bridgeSlot == slot }?.key }
    }
    if learns, key.ethernetSource & 0x0100_0000_0000 == 0 {
      let old = number(source?.port)
      if old == entry {
        decision.learning = .known
      } else if let old {
        decision.learning = source?.isStatic == true ? .fixed(old) : .moves(from: old)
      } else {
        decision.learning = .new
      }
    }
    let isGroup = key.ethernetDestination & 0x0100_0000_0000 != 0
    if isGroup { decision.destination = .group }
    // A station that sends to itself has just been learned, unless its place is fixed.
    // Addresses that nobody spoke of say nothing about that.
    let isUntold = isSketch && key.ethernetDestination == 0
    let isItself = key.ethernetSource == key.ethernetDestination && known?.isStatic != true && !isUntold
    if !isGroup, learns, let exit = isItself ? entry : number(known?.port), let exitPort = byNumber[exit] {
      decision.destination = .known(exit)
      return unicast(decision, arrival, from: port, to: (exit, exitPort), bridge)
    }
    var wasProtected = false
    for (number, exitPort) in byNumber.sorted(by: { $0.key < $1.key }) where number != entry {
      let exit = VLANPolicy(exitPort.config.vlan)
      defer { exit.deallocate() }
      guard exit.carries(arrival) else { continue }
      if isReserved, !exitPort.config.forwardReservedMulticast { continue }
      if port.config.isProtected, exitPort.config.isProtected {
        wasProtected = true
        continue
      }
      if exitPort.config.interface.kind == .patch, peer(of: exitPort) == nil { continue }
      decision.exits.append(.init(port: number, tag: exit.departureTag(arrival)))
    }
    guard decision.exits.isEmpty else { return decision }
    let why: DropReason = wasProtected ? .protectedPort : .noOutput
    return decision.dropped(why, remedy(why, vlan: arrival.vlan, port, nil, bridge))
  }

  private func unicast(
    _ decision: NormalTrace, _ arrival: VLANPolicy.Arrival, from port: OpenPort, to exit: (PortNumber, OpenPort),
    _ bridge: String
  ) -> NormalTrace {
    var decision = decision
    let policy = VLANPolicy(exit.1.config.vlan)
    defer { policy.deallocate() }
    let reason: DropReason? =
      if exit.0 == decision.entry {
        .samePort
      } else if !policy.carries(arrival) {
        .vlanNotAllowed
      } else if port.config.isProtected, exit.1.config.isProtected {
        .protectedPort
      } else {
        nil
      }
    if let reason {
      return decision.dropped(reason, remedy(reason, vlan: arrival.vlan, port, exit.1, bridge))
    }
    decision.exits = [.init(port: exit.0, tag: policy.departureTag(arrival))]
    return decision
  }

  /// The other end of a patch; nil if the port is none, or has none.
  private func peer(of port: OpenPort) -> OpenPort? {
    guard port.config.interface.kind == .patch, let wanted = port.config.interface.options["peer"] else { return nil }
    // Several bridges may have ports of a name, both ends of a patch among them.
    return state.ports.values.filter {
      $0.config.name == wanted && $0.slot != port.slot && $0.config.interface.kind == .patch
        && $0.config.interface.options["peer"] == port.config.name
    }.min { $0.slot < $1.slot }
  }

  /// A command that would let the packet through.
  private func remedy(
    _ reason: DropReason, vlan: UInt16, _ port: OpenPort, _ exit: OpenPort?, _ bridge: String
  ) -> String? {
    let name = port.config.name
    switch reason {
    case .taggedOnAccess: return "vsctl set port \(name) vlan_mode=native-untagged"
    case .vlanNotAllowed:
      let changed = exit ?? port
      return changed.config.vlan.mode == .access
        ? "vsctl set port \(changed.config.name) tag=\(vlan)" : "vsctl add port \(changed.config.name) trunks \(vlan)"
    case .customerVLANNotAllowed: return "vsctl add port \(name) cvlans \(vlan)"
    case .protectedPort: return "vsctl set port \(name) protected=false"
    case .noOutput: return "vsctl set port PORT tag=\(vlan)"
    case .samePort: return "vsctl fdb flush \(bridge) port=\(name), if the station is elsewhere now"
    default: return nil
    }
  }
}

extension FlowKey {
  /// What a packet brings to another bridge: its bytes and its mark.
  fileprivate var crossing: FlowKey {
    var key = FlowKey()
    for word in 0..<FlowKey.packetWordCount { key.words[word] = words[word] }
    key.recirculationID = 0
    key.packetMark = packetMark
    return key
  }
}

extension NormalTrace {
  fileprivate static func tag(_ type: UInt16, _ tci: UInt16) -> UInt32 {
    tci & 0x1000 == 0 ? 0 : UInt32(type) << 16 | UInt32(tci & ~0x1000)
  }

  fileprivate func dropped(_ reason: DropReason, _ remedy: String?) -> NormalTrace {
    var decision = self
    decision.drop = reason
    decision.remedy = remedy
    return decision
  }
}
