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
  let eventSource: AsyncStream<DatapathEvent>.Continuation
  private let opener: PortOpener
  let vhostUser: VhostUserService
  let state = Mutex(ControlState())
  let flowEventPumps = Mutex<[FlowEventPump]>([])
  /// Held by whoever reads the workers' events of connections.
  let connectionEventReader = Mutex<Void>(())
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
  private let avoidIOUring: Bool
  /// The CPU of the first worker where the configuration names none.
  let firstWorkerCPU: Int?
  let links: LinkMonitor

  /// Starts the worker; no ports yet.
  package init(_ options: DatapathOptions) throws(ConfigError) {
    (flowOutcomes, flowOutcomeSource) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(4096))
    (controllerPackets, controllerPacketSource) = AsyncStream.makeStream(
      bufferingPolicy: .bufferingOldest(Datapath.controllerPacketLimit))
    (events, eventSource) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(256))
    var random = SystemRandomNumberGenerator()
    seed = random.next()
    avoidIOUring = options.avoidIOUring
    firstWorkerCPU = options.workerCPU
    do throws(LinkError) {
      let socket: LinkMonitorSocket
      if let opened = options.linkSocket { socket = opened } else { socket = try LinkMonitorSocket() }
      links = try LinkMonitor(socket)
    } catch { throw error.configError }
    let worker = try WorkerThread(number: 0, cpu: options.workerCPU, avoidIOUring: options.avoidIOUring)
    state.withLock { $0.workers = [worker] }
    engineName = worker.engineName
    vhostUser = try VhostUserService { [eventSource] name in
      eventSource.yield(.linkChanged(name: name))
    }
    opener = PortOpener(
      captureDirectory: options.captureDirectory, runDirectory: options.runDirectory, vhostUser: vhostUser)
    let changes = links.events
    Task { [weak self] in
      for await change in changes { self?.linkChanged(change) }
    }
    startFlowEvents(of: worker)
    startFlowExpiry()
  }

  /// How packets are read and written: "io_uring" or "epoll".
  package let engineName: String

  /// Starts one more worker.
  func startWorker(number: Int) throws(ConfigError) -> WorkerThread {
    let worker = try WorkerThread(number: number, cpu: nil, avoidIOUring: avoidIOUring)
    startFlowEvents(of: worker)
    return worker
  }

  /// Ends the worker and closes every port. Nothing else may be called afterwards.
  package func shutdown() {
    links.stop()
    stopFlowEvents()
    stopFlowExpiry()
    vhostUser.shutdown()
    state.withLock { state in
      for worker in state.workers { worker.stop() }
      state.deallocate()
      state = ControlState()
    }
    eventSource.finish()
  }

  // MARK: desired state

  /// Brings the ports and bridges to `config` and returns when the worker forwards by it. Ports that fail are
  /// reported, the others work; failed ones are tried again by every call.
  package func apply(_ config: SwitchConfig) -> [PortState] {
    state.withLock { state in
      let change = Change(from: state, to: config)
      state.want(config)
      state.failures = [:]
      let isSpread = updateWorkers(&state, config)
      updateBridges(&state, config)
      let (opened, _) = carryOut(change, &state, isSpread: isSpread)
      let found = states(of: state.sortedWanted, &state)
      _ = noteLinks(found, &state)
      publish(&state)
      removeBridges(&state, config)
      add(opened, state)
      let picksUpTCP = config.picksUpTCP
      state.tracking.picksUpTCP = picksUpTCP
      for worker in state.workers {
        // One that runs nothing has nothing to look for.
        let busyPoll = config.busyPoll && worker.number < state.workerCount
        worker.mailbox.perform { worker in
          worker.busyPoll = busyPoll
          unsafe worker.burst.tracker.isLoose.pointee = picksUpTCP
        }
      }
      return found
    }
  }

  /// Brings some ports of bridges that there are to what is wanted of them now, and leaves all else as it is: what it costs
  /// does not depend on how many other ports there are.
  /// - Returns: the states of those that are wanted.
  package func apply(_ changes: [PortChange]) -> [PortState] {
    state.withLock { state in
      let change = Change(from: state, to: changes)
      for change in changes {
        let key = PortKey(bridge: change.bridge, name: change.port)
        state.want(change.config, key)
        state.failures[key] = nil
      }
      let (opened, hasChanged) = carryOut(change, &state, isSpread: false)
      let found = states(of: change.wanted.map(\.key), &state)
      if noteLinks(found, &state) || hasChanged { publish(&state) }
      add(opened, state)
      return found
    }
  }

  /// Hands ports to the workers of their bridges.
  private func add(_ opened: [(bridge: String, io: PortIO)], _ state: ControlState) {
    for (worker, ports) in Dictionary(grouping: opened, by: { state.worker(of: $0.bridge).number }) {
      let ports = Handover(ports.map(\.io))
      state.workers[worker].mailbox.perform { worker in for port in ports.take() { worker.add(port) } }
    }
  }

  /// Closes, opens and changes ports. What is opened or changed is in the forwarding tables that are published next.
  /// - Parameter isSpread: whether bridges are to be spread over the workers anew.
  /// - Returns: the ports to hand to the worker after that; and whether there is anything to publish.
  private func carryOut(
    _ change: Change, _ state: inout ControlState, isSpread: Bool
  ) -> (opened: [(bridge: String, io: PortIO)], hasChanged: Bool) {
    // First out of the tables, then out of the worker: it never forwards to a port that is gone.
    let closing = change.closing.compactMap { key in state.remove(key) }
    if !closing.isEmpty { publish(&state) }
    for port in closing {
      closePort(port, &state)
      let key = PortKey(bridge: port.bridge, name: port.config.name)
      if change.reopening.contains(key) { state.linkResets[key, default: 0] += 1 }
    }
    if isSpread || state.workerCount > 1 && change.mayJoinBridges { placeBridges(&state, spreadsAnew: isSpread) }
    var opened: [(bridge: String, io: PortIO)] = []
    var hasChanged = false
    var sockets = PacketSocketSupply(
      expected: change.wanted.count { state.ports[$0.key] == nil && $0.port.interface.kind == .system })
    for (key, port) in change.wanted {
      if state.bridges[key.bridge] == nil {
        state.failures[key] = state.bridgeFailures[key.bridge]
      } else if state.ports[key] != nil {
        if update(key, port, &state) { hasChanged = true }
      } else {
        do throws(ConfigError) {
          if let io = try open(key, port, &sockets, &state) { opened.append((key.bridge, io)) }
          hasChanged = true
        } catch { state.failures[key] = error }
      }
    }
    return (opened, hasChanged)
  }

  /// The state of every configured port now. Links are asked about only if an event has told of them since.
  package func portStates() -> [PortState] {
    state.withLock { state in
      let found = states(of: state.sortedWanted, &state)
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

  private func open(
    _ key: PortKey, _ port: PortConfig, _ sockets: inout PacketSocketSupply, _ state: inout ControlState
  ) throws(ConfigError) -> PortIO? {
    let slot = try state.takeSlot()
    do throws(ConfigError) {
      let worker = state.worker(of: key.bridge)
      let opened = try opener.open(port, slot: slot, mailbox: worker.mailbox, &sockets)
      var entry = OpenPort(
        bridge: key.bridge, config: port, slot: slot, portNumber: state.portNumber(for: port, in: key.bridge))
      entry.tapDescriptor = opened.tapDescriptor
      entry.interfaceIndex = opened.interfaceIndex
      worker.mailbox.perform { $0.open(slot: slot) }
      state.put(entry, key)
      if let problem = entry.adjustLink() { state.failures[key] = problem }
      _ = updateGuard(key, port, &state)
      return opened.io
    } catch {
      state.releaseSlot(slot)
      throw error
    }
  }

  /// Takes over what can change while a port is open.
  /// - Returns: whether anything has.
  private func update(_ key: PortKey, _ port: PortConfig, _ state: inout ControlState) -> Bool {
    guard let known = state.ports[key], known.config != port else { return false }
    _ = updateGuard(key, port, &state)
    guard var entry = state.ports[key], entry.guarding?.config == port.guarding else { return true }
    let old = entry.config
    entry.config = port
    if let wish = port.interface.portNumberRequest, wish != entry.portNumber {
      _ = state.remove(key)
      entry.portNumber = state.portNumber(for: port, in: key.bridge)
    }
    state.put(entry, key)
    if old.vlan != port.vlan, let bridge = state.bridges[key.bridge] {
      // What was learned under other rules may be where it must not be reached any more.
      let slot = entry.bridgeSlot
      state.worker(of: key.bridge).mailbox.perform { worker in _ = bridge.macTable.flush(port: slot, now: worker.now) }
    }
    guard old.interface != port.interface else { return true }
    if [.vhostUser, .vhostUserClient].contains(port.interface.kind) {
      vhostUser.setMTURequest(slot: entry.slot, port.interface.mtuRequest)
    }
    // Our own change is an event, too, but one that is read later than now.
    state.links.forget(key)
    if let problem = entry.adjustLink() { state.failures[key] = problem }
    return true
  }

  /// Gives a port the guard that it is to have. A port that can't have one does not forward: what it keeps out would come in.
  /// - Returns: whether anything has changed.
  private func updateGuard(_ key: PortKey, _ port: PortConfig, _ state: inout ControlState) -> Bool {
    guard let entry = state.ports[key], entry.guarding?.config != port.guarding else { return false }
    let oldSlot = entry.bridgeSlot
    do throws(ConfigError) {
      let slots = try state.setGuard(key, by: port.guarding)
      let table = state.bridges[key.bridge]?.macTable
      let hasMoved = state.ports[key]?.bridgeSlot != oldSlot
      state.worker(of: key.bridge).mailbox.perform { worker in
        for slot in slots { worker.open(slot: slot) }
        // Stations behind it are learned anew, where they are known by now.
        if hasMoved { _ = table?.flush(port: oldSlot, includingStatic: true, now: worker.now) }
      }
    } catch {
      state.isolate(key)
      state.failures[key] = error
    }
    return true
  }

  private func closePort(_ port: OpenPort, _ state: inout ControlState) {
    let slot = port.slot
    let table = state.bridges[port.bridge]?.macTable
    // Its guest's memory goes with the connection: the worker has let go of it when this returns.
    vhostUser.close(slot: slot)
    let guardSlots = [port.guarding?.outerSlot, port.guarding?.innerSlot].compactMap { $0 }
    let bridgeSlot = port.bridgeSlot
    state.worker(of: port.bridge).mailbox.perform { worker in
      worker.remove(slot: slot)
      for slot in guardSlots { worker.burst.closeSlot(slot) }
      _ = table?.flush(port: bridgeSlot, includingStatic: true, now: worker.now)
    }
    state.releaseSlot(slot)
    for slot in guardSlots { state.releaseSlot(slot) }
  }

  private func updateBridges(_ state: inout ControlState, _ config: SwitchConfig) {
    for wanted in config.bridges {
      if let known = state.bridges[wanted.name] {
        state.bridges[wanted.name]?.config = wanted
        known.flows?.configureTables(wanted.flowTables)
        if known.config.emptiesTables(for: wanted) { emptyTables(wanted, &state) }
        if known.config.macTableLimit != wanted.macTableLimit {
          // A new table starts empty; flooding finds the stations again.
          let old = known.macTable
          state.bridges[wanted.name]?.macTable = makeTable(wanted)
          publish(&state)
          old.deallocate()
        } else if known.config.macAgeingSeconds != wanted.macAgeingSeconds {
          let seconds = wanted.macAgeingSeconds
          state.workers[known.worker].mailbox.perform { _ in known.macTable.setAgeing(seconds: seconds) }
        }
      } else {
        let table = makeTable(wanted)
        do throws(ConfigError) {
          // Where it is to run is known when all that it is joined to is (`placeBridges`).
          try state.addBridge(wanted, macTable: table, events: state.workers[0].flowEvents, seed: seed)
          state.bridgeFailures[wanted.name] = nil
        } catch {
          table.deallocate()
          state.bridgeFailures[wanted.name] = error
        }
      }
    }
  }

  private func makeTable(_ bridge: BridgeConfig) -> MACTable {
    MACTable(
      limit: bridge.macTableLimit, ageingSeconds: bridge.macAgeingSeconds, portLimit: Burst.portLimit, seed: seed)
  }

  private func removeBridges(_ state: inout ControlState, _ config: SwitchConfig) {
    let wanted = Set(config.bridges.map(\.name))
    state.bridgeFailures = state.bridgeFailures.filter { wanted.contains($0.key) }
    let gone = state.bridges.filter { !wanted.contains($0.key) }
    guard !gone.isEmpty else { return }
    for name in gone.keys { state.bridges[name] = nil }
    publish(&state)
    for bridge in gone.values { bridge.macTable.deallocate() }
  }

  /// Makes the workers forward by the state as it is and frees the tables before.
  func publish(_ state: inout ControlState) {
    state.noteLivePorts()
    let tables = state.workers.map { state.makeTables(worker: $0.number) }
    for worker in state.workers { worker.mailbox.publish(tables[worker.number]) }
    for worker in state.workers { worker.mailbox.waitForGracePeriod() }
    state.tables = tables
    let freed = state.endGracePeriod()
    guard !freed.isEmpty else { return }
    for worker in state.workers {
      worker.mailbox.perform { worker in for slot in freed { worker.burst.closeSlot(slot) } }
    }
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
