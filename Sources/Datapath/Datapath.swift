// The datapath as the control world sees it: one object that is brought to a desired state and asked for its state.
// Thread-safe; calls take milliseconds (ports are opened, a grace period is waited for), so call it from control code.

import Dispatch
import Glibc
import Synchronization
import VSwitchCore

/// The running datapath.
package final class Datapath: Sendable {
  /// What a port or link did that control code may want to act on. One consumer.
  package let events: AsyncStream<DatapathEvent>
  private let eventSource: AsyncStream<DatapathEvent>.Continuation
  private let opener: PortOpener
  let worker: WorkerThread
  private let vhostUser: VhostUserService
  let state = Mutex(ControlState())
  /// From the worker: packets for controllers, rules to be learned.
  let flowEvents: EventRing
  let flowEventPump = Mutex<FlowEventPump?>(nil)
  let flowExpiry = Mutex<FlowExpiry?>(nil)
  /// What happened to rules without a controller's asking: their time was over, a packet had one learned, the tables were
  /// emptied. One consumer.
  package let flowOutcomes: AsyncStream<BridgeFlowOutcome>
  let flowOutcomeSource: AsyncStream<BridgeFlowOutcome>.Continuation
  /// Packets that rules have sent to controllers; when too many wait, the newest are dropped. One consumer.
  package let controllerPackets: AsyncStream<BridgePacket>
  let controllerPacketSource: AsyncStream<BridgePacket>.Continuation
  /// Keys the MAC tables' hash.
  private let seed: UInt64
  private let links: LinkMonitor

  /// Starts the worker; no ports yet.
  package init(_ options: DatapathOptions) throws(ConfigError) {
    (flowOutcomes, flowOutcomeSource) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(4096))
    (controllerPackets, controllerPacketSource) = AsyncStream.makeStream(
      bufferingPolicy: .bufferingOldest(Datapath.controllerPacketLimit))
    (events, eventSource) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(256))
    var random = SystemRandomNumberGenerator()
    seed = random.next()
    flowEvents = try EventRing(byteCountLog2: 20)
    do throws(LinkError) {
      let socket: LinkMonitorSocket
      if let opened = options.linkSocket { socket = opened } else { socket = try LinkMonitorSocket() }
      links = try LinkMonitor(socket)
    } catch { throw error.configError }
    worker = try WorkerThread(cpu: options.workerCPU, avoidIOUring: options.avoidIOUring)
    vhostUser = try VhostUserService(mailbox: worker.mailbox) { [eventSource] name in
      eventSource.yield(.linkChanged(name: name))
    }
    opener = PortOpener(
      captureDirectory: options.captureDirectory, runDirectory: options.runDirectory, vhostUser: vhostUser)
    let changes = links.events
    Task { [weak self] in
      for await change in changes { self?.linkChanged(change) }
    }
    startFlowEvents()
    startFlowExpiry()
  }

  /// How packets are read and written: "io_uring" or "epoll".
  package var engineName: String { worker.engineName }

  /// Ends the worker and closes every port. Nothing else may be called afterwards.
  package func shutdown() {
    links.stop()
    stopFlowEvents()
    stopFlowExpiry()
    vhostUser.shutdown()
    state.withLock { state in
      worker.stop()
      for bridge in state.bridges.values { bridge.macTable.deallocate() }
      state = ControlState()
      flowEvents.deallocate()
    }
    eventSource.finish()
  }

  // MARK: desired state

  /// Brings the ports and bridges to `config` and returns when the worker forwards by it. Ports that fail are
  /// reported, the others work; failed ones are tried again by every call.
  package func apply(_ config: SwitchConfig) -> [PortState] {
    state.withLock { state in
      let change = Change(from: state, to: config)
      state.config = config
      updateBridges(&state, config)
      // First out of the tables, then out of the worker: it never forwards to a port that is gone.
      let closing = change.closing.compactMap { key in state.remove(key) }
      if !closing.isEmpty { publish(&state) }
      for port in closing {
        closePort(port, &state)
        if change.reopening.contains(PortKey(bridge: port.bridge, name: port.config.name)) {
          state.linkResets[PortKey(bridge: port.bridge, name: port.config.name), default: 0] += 1
        }
      }
      state.failures = [:]
      var opened: [PortIO] = []
      for (bridge, port) in change.wanted {
        let key = PortKey(bridge: bridge, name: port.name)
        if state.ports[key] != nil {
          update(key, port, &state)
        } else {
          do throws(ConfigError) {
            if let io = try open(key, port, &state) { opened.append(io) }
          } catch { state.failures[key] = error }
        }
      }
      let found = states(&state)
      _ = noteLinks(found, &state)
      publish(&state)
      removeBridges(&state, config)
      let ports = Handover(opened)
      let busyPoll = config.busyPoll
      worker.mailbox.perform { worker in
        for port in ports.take() { worker.add(port) }
        worker.busyPoll = busyPoll
      }
      return found
    }
  }

  /// The state of every configured port now. Links are asked about only if an event has told of them since.
  package func portStates() -> [PortState] {
    state.withLock { state in
      let found = states(&state)
      if noteLinks(found, &state) { publish(&state) }
      return found
    }
  }

  /// Notes which ports have a link, for groups and bundles.
  /// - Returns: whether a link has come or gone.
  private func noteLinks(_ found: [PortState], _ state: inout ControlState) -> Bool {
    var hasChanged = false
    for port in found {
      let isUp = port.isLinkUp == true && port.isAdminUp != false
      if state.noteLink(PortKey(bridge: port.bridge, name: port.name), isUp: isUp) { hasChanged = true }
    }
    return hasChanged
  }

  private func open(_ key: PortKey, _ port: PortConfig, _ state: inout ControlState) throws(ConfigError) -> PortIO? {
    let slot = try state.takeSlot()
    do throws(ConfigError) {
      let opened = try opener.open(port, slot: slot)
      var entry = OpenPort(
        bridge: key.bridge, config: port, slot: slot, portNumber: state.portNumber(for: port, in: key.bridge))
      entry.tapDescriptor = opened.tapDescriptor
      entry.interfaceIndex = opened.interfaceIndex
      worker.mailbox.perform { $0.open(slot: slot) }
      state.put(entry, key)
      if let problem = entry.adjustLink() { state.failures[key] = problem }
      return opened.io
    } catch {
      state.releaseSlot(slot)
      throw error
    }
  }

  /// Takes over what can change while a port is open.
  private func update(_ key: PortKey, _ port: PortConfig, _ state: inout ControlState) {
    guard var entry = state.ports[key], entry.config != port else { return }
    let old = entry.config
    entry.config = port
    if let wish = port.interface.portNumberRequest, wish != entry.portNumber {
      _ = state.remove(key)
      entry.portNumber = state.portNumber(for: port, in: key.bridge)
    }
    state.put(entry, key)
    if old.vlan != port.vlan, let bridge = state.bridges[key.bridge] {
      // What was learned under other rules may be where it must not be reached any more.
      let slot = entry.slot
      worker.mailbox.perform { worker in _ = bridge.macTable.flush(port: slot, now: worker.now) }
    }
    guard old.interface != port.interface else { return }
    // Our own change is an event, too, but one that is read later than now.
    state.links.forget(key)
    if let problem = entry.adjustLink() { state.failures[key] = problem }
  }

  private func closePort(_ port: OpenPort, _ state: inout ControlState) {
    let slot = port.slot
    let table = state.bridges[port.bridge]?.macTable
    // Its guest's memory goes with the connection: the worker has let go of it when this returns.
    vhostUser.close(slot: slot)
    worker.mailbox.perform { worker in
      worker.remove(slot: slot)
      _ = table?.flush(port: slot, includingStatic: true, now: worker.now)
    }
    state.releaseSlot(slot)
  }

  private func updateBridges(_ state: inout ControlState, _ config: SwitchConfig) {
    for wanted in config.bridges {
      if let known = state.bridges[wanted.name] {
        state.bridges[wanted.name]?.config = wanted
        if known.config.emptiesTables(for: wanted) { emptyTables(wanted, &state) }
        if known.config.macTableLimit != wanted.macTableLimit {
          // A new table starts empty; flooding finds the stations again.
          let old = known.macTable
          state.bridges[wanted.name]?.macTable = makeTable(wanted)
          publish(&state)
          old.deallocate()
        } else if known.config.macAgeingSeconds != wanted.macAgeingSeconds {
          let seconds = wanted.macAgeingSeconds
          worker.mailbox.perform { _ in known.macTable.setAgeing(seconds: seconds) }
        }
      } else {
        state.addBridge(wanted, macTable: makeTable(wanted), events: flowEvents, seed: seed)
      }
    }
  }

  private func makeTable(_ bridge: BridgeConfig) -> MACTable {
    MACTable(
      limit: bridge.macTableLimit, ageingSeconds: bridge.macAgeingSeconds, portLimit: Burst.portLimit, seed: seed)
  }

  private func removeBridges(_ state: inout ControlState, _ config: SwitchConfig) {
    let wanted = Set(config.bridges.map(\.name))
    let gone = state.bridges.filter { !wanted.contains($0.key) }
    guard !gone.isEmpty else { return }
    for name in gone.keys { state.bridges[name] = nil }
    publish(&state)
    for bridge in gone.values { bridge.macTable.deallocate() }
  }

  /// Makes the worker forward by the state as it is and frees the tables before.
  func publish(_ state: inout ControlState) {
    let tables = state.makeTables()
    worker.mailbox.publish(tables)
    worker.mailbox.waitForGracePeriod()
    state.tables = tables
  }

  private func states(_ state: inout ControlState) -> [PortState] {
    var ownLinks: LinkService?
    var states: [PortState] = []
    states.reserveCapacity(state.interfaceNames.count)
    for bridge in state.config.bridges {
      for port in bridge.ports {
        let key = PortKey(bridge: bridge.name, name: port.name)
        var result = PortState(bridge: bridge.name, name: port.name)
        result.error = state.failures[key]
        result.linkResets = state.linkResets[key] ?? 0
        if let entry = state.ports[key] {
          result.portNumber = entry.portNumber
          if port.interface.kind.isDeviceless {
            let isGuest = [.vhostUser, .vhostUserClient].contains(port.interface.kind)
            let guest = isGuest ? vhostUser.description(slot: entry.slot) : nil
            result.isAdminUp = true
            result.isLinkUp = guest?.isUp ?? true
            result.mtu = guest?.mtu
            result.status = guest?.status ?? [:]
          } else {
            do throws(LinkError) {
              try link(of: entry, key, &state, &ownLinks).fill(&result)
            } catch {
              if result.error == nil { result.error = error.configError }
            }
          }
        }
        states.append(result)
      }
    }
    return states
  }

  // MARK: links

  /// What the system says of a port's link: as it was kept, or asked for now.
  private func link(
    of port: OpenPort, _ key: PortKey, _ state: inout ControlState, _ ownLinks: inout LinkService?
  ) throws(LinkError) -> LinkDescription {
    if let kept = state.links[key] { return kept }
    // An event that comes while the link is asked about is read after this, and makes it be asked again.
    let answer = try port.describeLink(engine: worker.engineName, &ownLinks) { (try? links.watch($0)) != nil }
    if answer.isHeard { state.links.keep(answer.description, of: key, isForeign: answer.isForeign) }
    return answer.description
  }

  /// Passes on what concerns a configured port.
  private func linkChanged(_ event: LinkEvent) {
    let notice: LinkNotice
    switch event {
    case .added(let link), .changed(let link), .deleted(let link): notice = link
    case .namespaceDeleted, .resync:
      state.withLock { $0.links.forgetAll() }
      eventSource.yield(.linkChanged(name: ""))
      return
    }
    let names = state.withLock { state in
      var names: Set<String> = []
      var ownLinks: LinkService?
      var hasChanged = false
      for key in state.links.forget(after: notice) {
        guard let port = state.ports[key] else { continue }
        names.insert(port.config.interface.name)
        if case .deleted = event { follow(port) }
        // Groups that watch the port do not wait for whoever listens.
        let link = try? link(of: port, key, &state, &ownLinks)
        if state.noteLink(key, isUp: link.map { $0.isAdminUp && $0.isOperational } ?? false) { hasChanged = true }
      }
      if hasChanged { publish(&state) }
      // Perhaps what a port that failed has waited for.
      if state.interfaceNames.contains(notice.name) { names.insert(notice.name) }
      return names
    }
    for name in names { eventSource.yield(.linkChanged(name: name)) }
  }

  /// Listens where a port's link lives now, if that is another namespace than the switch's.
  private func follow(_ port: OpenPort) {
    guard let namespace = port.foreignNamespace() else { return }
    defer { close(namespace) }
    _ = try? links.watch(.descriptor(namespace))
  }

  // MARK: counters and MAC tables

  /// Counters of every open port by bridge and port name, all taken at one moment between two bursts.
  package func counters() -> [(bridge: String, port: String, portNumber: UInt16, counters: PortCounters)] {
    state.withLock { state in
      let ports = state.ports.values.sorted { ($0.bridge, $0.portNumber) < ($1.bridge, $1.portNumber) }
      let slots = ports.map(\.slot)
      let counters = worker.mailbox.perform { worker in
        slots.map { unsafe worker.burst.counters[Int($0)].values }
      }
      return zip(ports, counters).map { ($0.bridge, $0.config.name, $0.portNumber, $1) }
    }
  }

  /// The MAC table of a bridge, nil if there is no such bridge.
  package func macTable(bridge: String) -> [MACTableEntry]? {
    state.withLock { state in
      guard let table = state.bridges[bridge]?.macTable else { return nil }
      var ports: [UInt16: (String, UInt16)] = [:]
      for port in state.ports.values where port.bridge == bridge {
        ports[port.slot] = (port.config.name, port.portNumber)
      }
      let rows = worker.mailbox.perform { worker in
        var rows: [(vlan: UInt16, address: UInt64, port: UInt16, age: UInt32?)] = []
        table.forEach(now: worker.now) { rows.append(($0, $1, $2, $3)) }
        return rows
      }
      return rows.compactMap { row in
        ports[row.port].map { port in
          MACTableEntry(
            vlan: row.vlan, address: MACAddress(bits: row.address), port: port.0, portNumber: port.1,
            ageSeconds: row.age.map { Int($0) })
        }
      }
      .sorted { ($0.portNumber, $0.vlan, $0.address) < ($1.portNumber, $1.vlan, $1.address) }
    }
  }

  /// Removes learned entries (static ones stay); of one VLAN or port if given.
  /// - Returns: how many were removed.
  package func flushMACTable(bridge: String, vlan: UInt16? = nil, port: String? = nil) throws(ConfigError) -> Int {
    try withTable(bridge, port: port) { table, slot, now in table.flush(vlan: vlan, port: slot, now: now) }
  }

  /// Adds a static entry, replacing any entry of that address and VLAN.
  package func addMACEntry(bridge: String, port: String, vlan: UInt16, address: MACAddress) throws(ConfigError) {
    guard !address.isMulticast else {
      throw ConfigError(cause: "\(address) is a multicast address", remedy: "give the address of one station")
    }
    let added = try withTable(bridge, port: port) { table, slot, now in
      table.addStatic(vlan: vlan, address: address.bits, port: slot ?? 0, now: now)
    }
    guard added else {
      throw ConfigError(
        cause: "the MAC table of \(bridge) is full of static entries",
        remedy: "raise other_config:mac-table-size, or remove one with `vsctl fdb del`")
    }
  }

  /// Removes an entry, static or learned; throws if there is none.
  package func removeMACEntry(bridge: String, vlan: UInt16, address: MACAddress) throws(ConfigError) {
    let removed = try withTable(bridge, port: nil) { table, _, now in
      table.remove(vlan: vlan, address: address.bits, now: now)
    }
    guard removed else {
      throw ConfigError(
        cause: "\(bridge) has no entry for \(address) in VLAN \(vlan)", remedy: "see `vsctl fdb show \(bridge)`")
    }
  }

  private func withTable<R: Sendable>(
    _ bridge: String, port: String?, _ body: @escaping @Sendable (MACTable, UInt16?, UInt32) -> R
  ) throws(ConfigError) -> R {
    let result: Result<R, ConfigError> = state.withLock { state in
      guard let table = state.bridges[bridge]?.macTable else {
        return .failure(ConfigError(cause: "no bridge named \(bridge)", remedy: "see `vsctl list-br`"))
      }
      var slot: UInt16?
      if let port {
        slot = state.ports[PortKey(bridge: bridge, name: port)]?.slot
        if slot == nil {
          return .failure(
            ConfigError(cause: "no working port \(port) on \(bridge)", remedy: "see `vsctl list-ports \(bridge)`"))
        }
      }
      let exit = slot
      return .success(worker.mailbox.perform { worker in body(table, exit, worker.now) })
    }
    return try result.get()
  }
}

/// Ports on their way to the worker: made by control code, used by the worker only.
private final class Handover: @unchecked Sendable {
  private var ports: [PortIO]
  init(_ ports: [PortIO]) { self.ports = ports }
  func take() -> [PortIO] {
    defer { ports = [] }
    return ports
  }
}
