// Takes the workers' events and does what they ask: packets go on to whoever speaks with controllers, learned rules into
// the tables. Thread: a dispatch queue for each worker's ring.

import Dispatch
import Glibc
import Synchronization
import VSwitchCore

/// A packet that rules have sent to controllers, and from which bridge.
package struct BridgePacket: Sendable {
  package var bridge: String
  package var packet: ControllerPacket
}

/// Reads a ring whenever it rings.
final class FlowEventPump: @unchecked Sendable {
  private let queue = DispatchQueue(label: "flow events")
  private let source: any DispatchSourceRead

  init(_ ring: EventRing, handler: @escaping @Sendable (FlowEvent) -> Void) {
    source = DispatchSource.makeReadSource(fileDescriptor: ring.bell, queue: queue)
    source.setEventHandler {
      while let record = ring.read() { if let event = FlowEvent(record) { handler(event) } }
    }
    source.resume()
  }

  /// Returns when no handler runs or will run.
  func stop() {
    source.cancel()
    queue.sync {}
  }
}

extension Datapath {
  /// Most packets that wait for whoever reads `controllerPackets`.
  static var controllerPacketLimit: Int { 1024 }

  /// Starts to take a worker's events.
  func startFlowEvents(of worker: WorkerThread) {
    let pump = FlowEventPump(worker.flowEvents) { [weak self] event in self?.handle(event) }
    flowEventPumps.withLock { $0.append(pump) }
  }

  /// Ends it; no event is handled afterwards.
  func stopFlowEvents() {
    let pumps = flowEventPumps.withLock { pumps in
      defer { pumps = [] }
      return pumps
    }
    for pump in pumps { pump.stop() }
    controllerPacketSource.finish()
  }

  private func handle(_ event: FlowEvent) {
    switch event {
    case .controllerPacket(let packet):
      let name = state.withLock { state in
        state.bridges.first { $0.value.flows?.identifier == packet.bridge }?.key
      }
      if let name { controllerPacketSource.yield(BridgePacket(bridge: name, packet: packet)) }
    case .learn(let identifier, let rule, let limit):
      state.withLock { state in
        guard let bridge = state.bridges.values.first(where: { $0.flows?.identifier == identifier }),
          let flows = bridge.flows
        else { return }
        var outcome = FlowChangeOutcome()
        outcome.events = flows.learn(rule, limit: limit, now: monotonicNanoseconds())
        outcome.removed = settle(flows, of: state.workers[bridge.worker], &state)
        tell(outcome, of: identifier, state)
      }
    case .finTimeout(let identifier, let slot, let idleSeconds, let hardSeconds):
      state.withLock { state in
        let flows = state.bridges.values.first { $0.flows?.identifier == identifier }?.flows
        flows?.tables.shortenTimeouts(
          of: CounterSlot(index: slot), idleSeconds: idleSeconds, hardSeconds: hardSeconds,
          now: monotonicNanoseconds())
      }
    }
  }

  /// Passes on what happened to rules, if anything did that anybody may want to know.
  func tell(_ outcome: FlowChangeOutcome, of identifier: UInt32, _ state: ControlState) {
    guard !outcome.events.isEmpty || !outcome.removed.isEmpty,
      let name = state.bridges.first(where: { $0.value.flows?.identifier == identifier })?.key
    else { return }
    flowOutcomeSource.yield(BridgeFlowOutcome(bridge: name, outcome: outcome))
  }
}

extension BridgeFlows {
  /// Makes or refreshes a rule that another one asks for.
  /// - Parameter limit: most rules of its cookie in its table; 0 for none.
  func learn(_ rule: FlowMod, limit: UInt32, now: UInt64) -> [RuleEvent] {
    if limit > 0, isFull(rule, limit) { return [] }
    // A rule that can't be is one that the packet's fields don't make sense for: nothing is learned.
    return (try? tables.apply(.flow(rule), now: now)) ?? []
  }

  /// Whether as many rules of this cookie are in the table as may be learned, and this is none of them.
  private func isFull(_ rule: FlowMod, _ limit: UInt32) -> Bool {
    var filter = RuleFilter()
    filter.table = rule.table
    filter.cookie = FlowMod.CookieFilter(value: rule.cookie ?? 0, mask: .max)
    guard tables.count(filter, limit: Int(limit)) >= Int(limit) else { return false }
    return !tables.hasRule(table: rule.table, rule.match, priority: rule.priority)
  }
}
