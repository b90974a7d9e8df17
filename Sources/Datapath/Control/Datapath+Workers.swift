// The workers of a datapath, and how bridges come from one to another. Thread: whoever holds the lock of `Datapath`.
//
// A bridge that moves is nobody's for some microseconds: first all workers forward by tables without its ports, then the old
// worker gives its ports and connections away and the new one takes them, then there are tables with them again. What comes
// meanwhile waits in the devices; what waited to be sent is dropped, and counted.

import VSwitchCore

/// A worker and what it runs.
package struct WorkerDescription: Equatable, Sendable {
  /// A bridge and its ports that the worker asks for packets.
  package struct Bridge: Equatable, Sendable {
    package var name: String
    package var ports: [String]
  }

  package var number: Int
  /// Nil: whichever the system chooses.
  package var cpu: Int?
  /// In order of their names, as their ports.
  package var bridges: [Bridge]
}

extension ControlState {
  /// Workers in use.
  var workerCount: Int { min(max(workerCPUs.count, 1), workers.count) }

  /// The worker of a bridge; the first one's are those that are none.
  func worker(of bridge: String) -> WorkerThread { workers[bridges[bridge]?.worker ?? 0] }

  /// Bridges between which packets pass, by what is wanted; guards also as they are.
  var joinedBridges: [(String, String)] {
    var joined: [(String, String)] = []
    var patches: [String: [(bridge: String, name: String)]] = [:]
    for (key, port) in wanted {
      if let guarding = port.guarding { joined.append((key.bridge, guarding.bridge)) }
      guard port.interface.kind == .patch, let peer = port.interface.options["peer"] else { continue }
      patches[peer, default: []].append((key.bridge, key.name))
    }
    for (key, port) in wanted where port.interface.kind == .patch {
      for other in patches[key.name] ?? [] where other.name == port.interface.options["peer"] {
        joined.append((key.bridge, other.bridge))
      }
    }
    for port in ports.values {
      if let guarding = port.guarding { joined.append((port.bridge, guarding.config.bridge)) }
    }
    return joined
  }

  /// Slots of a bridge's ports, guards' too.
  func slots(of bridge: String) -> [UInt16] {
    ports.values.filter { $0.bridge == bridge }.flatMap(\.slots)
  }
}

extension Datapath {
  /// Connections that are moved between two bursts.
  private static var movedAtOnce: Int { 4096 }

  /// Starts the workers that are asked for, and gives each its CPU.
  /// - Returns: whether there are more or fewer in use than before.
  func updateWorkers(_ state: inout ControlState, _ config: SwitchConfig) -> Bool {
    guard config.workerCPUs != state.workerCPUs else { return false }
    let before = state.workerCount
    state.workerCPUs = config.workerCPUs
    // Without memory or threads for more there are fewer.
    while state.workers.count < config.workerCPUs.count, let worker = try? startWorker(number: state.workers.count) {
      state.tracking.tell(worker)
      state.workers.append(worker)
    }
    for worker in state.workers {
      let cpu = worker.number < config.workerCPUs.count ? config.workerCPUs[worker.number] : nil
      worker.pin(to: cpu ?? (worker.number == 0 ? firstWorkerCPU : nil))
    }
    return state.workerCount != before
  }

  /// Gives every bridge a worker, those that are joined the same.
  /// - Parameter spreadsAnew: there are more or fewer workers now.
  func placeBridges(_ state: inout ControlState, spreadsAnew: Bool) {
    var portCounts: [String: Int] = [:]
    for key in state.wanted.keys { portCounts[key.bridge, default: 0] += 1 }
    let bridges = state.bridges.sorted { $0.key < $1.key }.map { name, bridge in
      PlacedBridge(name: name, portCount: portCounts[name] ?? 0, worker: bridge.isPlaced ? bridge.worker : nil)
    }
    let places = BridgePlacement.place(
      bridges, joined: state.joinedBridges, workerCount: state.workerCount, spreadsAnew: spreadsAnew)
    for name in places.keys { state.bridges[name]?.isPlaced = true }
    move(places.filter { name, worker in state.bridges[name]?.worker != worker }, &state)
  }

  /// Takes bridges to other workers.
  private func move(_ moves: [String: Int], _ state: inout ControlState) {
    guard !moves.isEmpty else { return }
    state.movingBridges = Set(moves.keys)
    publish(&state)
    for (name, number) in moves {
      let slots = state.slots(of: name)
      let (source, target) = (state.worker(of: name), state.workers[number])
      vhostUser.move(slots, to: target.mailbox) {
        let given = source.mailbox.perform { worker in slots.map { worker.give(slot: $0) } }
        // What the system had been asked for is back by now, and dropped: there are no such ports.
        source.mailbox.perform { _ in }
        target.mailbox.perform { worker in for slot in given { worker.take(slot) } }
      }
      moveConnections(of: Set(slots), from: source, to: target)
      state.bridges[name]?.worker = number
      state.bridges[name]?.flows?.events = target.flowEvents
    }
    state.movingBridges = []
    publish(&state)
  }

  private func moveConnections(of slots: Set<UInt16>, from source: WorkerThread, to target: WorkerThread) {
    var start: Int? = 0
    while let from = start {
      let given = source.mailbox.perform { worker in
        let (connections, next) = worker.burst.tracker.giveConnections(
          of: slots, from: from, count: Datapath.movedAtOnce, now: worker.now)
        return MovedConnections(connections: connections, next: next)
      }
      if !given.connections.isEmpty {
        target.mailbox.perform { worker in worker.burst.tracker.takeConnections(given.connections, now: worker.now) }
      }
      start = given.next
    }
  }

  /// The workers in use, and what they run.
  package func workers() -> [WorkerDescription] {
    state.withLock { state in
      let ports = Dictionary(grouping: state.ports.values.filter { $0.config.interface.kind != .patch }, by: \.bridge)
      return (0..<state.workerCount).map { number in
        WorkerDescription(
          number: number, cpu: number < state.workerCPUs.count ? state.workerCPUs[number] : firstWorkerCPU,
          bridges: state.bridges.filter { $0.value.worker == number }.keys.sorted().map { name in
            WorkerDescription.Bridge(name: name, ports: (ports[name] ?? []).map(\.config.name).sorted())
          })
      }
    }
  }
}

/// Plain records, but for a reference that ends with the tracker.
private struct MovedConnections: @unchecked Sendable {
  let connections: [TrackedConnection]
  let next: Int?
}
