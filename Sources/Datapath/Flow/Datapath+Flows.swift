// The flow tables as control code sees them: changes, statistics, cached flows, packets to and from controllers.
// Thread-safe; a change returns when no worker sees what was before.

import VSwitchCore

/// Why a change of flow tables was refused.
package enum FlowChangeError: Error, Equatable {
  case noBridge(String)
  /// The change with this index was refused, and so nothing was done.
  case refused(index: Int, TableError)
}

/// What a change of flow tables did.
package struct FlowChangeOutcome: Sendable {
  /// What happened to rules, in order, if the tables report it.
  package var events: [RuleEvent] = []
  /// Rules that went, with their last counts.
  package var removed: [RemovedRule] = []

  package init() {}
}

/// A cached decision, for people.
package struct CachedFlow: Sendable {
  package var match: Match
  package var steps: [ActionStep]
  package var packetCount: UInt64
  package var byteCount: UInt64
  package var ageSeconds: UInt32
  package var idleSeconds: UInt32
  package var drop: DropReason?
}

/// How full a bridge's flow cache is, and how well it does.
package struct FlowCacheStatistics: Sendable, Equatable {
  package var flowCount = 0
  package var maskCount = 0
  package var flowLimit = 0
  package var maskLimit = 0
  /// Packets that no cached flow was found for, and that were translated.
  package var missCount: UInt64 = 0
  /// Decisions that were run, but not kept: there was no room for them.
  package var refusedCount: UInt64 = 0

  package init() {}

  /// - Parameter cache: its worker does not run meanwhile.
  init(_ cache: MegaflowCache) {
    flowLimit = MegaflowCache.flowLimit
    maskLimit = MegaflowCache.maskLimit
    unsafe flowCount = cache.state.pointee.flowCount
    unsafe maskCount = cache.state.pointee.maskCount
    unsafe missCount = cache.state.pointee.translationCount
    unsafe refusedCount = cache.state.pointee.refusedCount
  }
}

extension Datapath {
  /// Makes all changes at one step, or none.
  package func changeFlows(bridge: String, _ changes: [TableChange]) throws(FlowChangeError) -> FlowChangeOutcome {
    try changeFlows(bridge: bridge, TableChangeList(changes))
  }

  /// Makes all changes of a list at one step, or none.
  package func changeFlows(bridge: String, _ changes: TableChangeList) throws(FlowChangeError) -> FlowChangeOutcome {
    let result: Result<FlowChangeOutcome, FlowChangeError> = state.withLock { state in
      guard let flows = state.bridges[bridge]?.flows else { return .failure(.noBridge(bridge)) }
      var outcome = FlowChangeOutcome()
      do throws(BundleError) {
        outcome.events = try flows.tables.apply(changes, now: monotonicNanoseconds())
      } catch {
        return .failure(.refused(index: error.index, error.error))
      }
      outcome.removed = settle(flows, of: state.worker(of: bridge), &state)
      return .success(outcome)
    }
    return try result.get()
  }

  /// Makes changes one after the other, each at a step of its own or not at all, and waits for the worker once.
  /// - Returns: what all of them did, and those that were refused, in order; nil if there is no such bridge.
  package func changeFlowsEach(
    bridge: String, _ changes: [TableChange]
  ) -> (outcome: FlowChangeOutcome, refused: [BundleError])? {
    state.withLock { state in
      guard let flows = state.bridges[bridge]?.flows else { return nil }
      var outcome = FlowChangeOutcome()
      var refused: [BundleError] = []
      let now = monotonicNanoseconds()
      for (index, change) in changes.enumerated() {
        do throws(TableError) {
          outcome.events += try flows.tables.apply(change, now: now)
        } catch {
          refused.append(BundleError(index: index, error: error))
        }
      }
      outcome.removed = settle(flows, of: state.worker(of: bridge), &state)
      return (outcome, refused)
    }
  }

  /// Makes changes one after the other, as `changeFlowsEach` does, if that takes microseconds: they are of one rule each, nobody
  /// holds the tables, and nothing comes of them that somebody has to be told. No thread is waited for: a packet that
  /// comes in after the return is forwarded by the changes, and what they replaced is freed later.
  /// - Returns: those that were refused, in order; nil if nothing was done.
  package func changeFlowsAtOnce(bridge: String, _ changes: [TableChange]) -> [BundleError]? {
    let refused: [BundleError]?? = state.withLockIfAvailable { state in
      guard let flows = state.bridges[bridge]?.flows, flows.mayChangeAtOnce(changes) else { return nil }
      let now = monotonicNanoseconds()
      var refused: [BundleError] = []
      for (index, change) in changes.enumerated() {
        do throws(TableError) {
          _ = try flows.tables.apply(change, now: now)
        } catch {
          refused.append(BundleError(index: index, error: error))
        }
      }
      let due = flows.tables.nextExpiry
      let mailbox = state.worker(of: bridge).mailbox
      let isLeft = flows.collect(mailbox, limit: BridgeFlows.collectedWithChange)
      if due != nil || isLeft {
        let moment = min(due ?? .max, isLeft ? now &+ BridgeFlows.collectionDelay : .max)
        flowExpiry.withLock { $0?.arm(at: moment, now: now) }
      }
      return refused
    }
    return refused ?? nil
  }

  /// After a change: the worker forwards by it, and what it can no longer see is freed, now or soon.
  func settle(_ flows: BridgeFlows, of worker: WorkerThread, _ state: inout ControlState) -> [RemovedRule] {
    if flows.noteRules() { publish(&state) }
    let now = monotonicNanoseconds()
    if let due = flows.tables.nextExpiry { flowExpiry.withLock { $0?.arm(at: due, now: now) } }
    guard flows.tables.needsGracePeriod else { return [] }
    let removed = flows.endGracePeriod(worker.mailbox)
    collect(flows, of: worker.mailbox, now: now)
    return removed
  }

  /// Rules of a bridge; nil if there is no such bridge.
  package func rules(bridge: String, _ filter: RuleFilter) -> [RuleDescription]? {
    state.withLock { $0.bridges[bridge]?.flows?.tables.rules(filter) }
  }

  package func aggregate(bridge: String, _ filter: RuleFilter) -> AggregateStatistics? {
    state.withLock { $0.bridges[bridge]?.flows?.tables.aggregate(filter) }
  }

  /// By table number, 0 to 253.
  package func tableStatistics(bridge: String) -> [TableStatistics]? {
    state.withLock { state in
      guard let tables = state.bridges[bridge]?.flows?.tables else { return nil }
      return (0..<FlowTables.tableCount).map { number in
        var statistics = tables.statistics(table: UInt8(number))
        statistics.ruleLimit = tables[limitsOf: UInt8(number)].ruleLimit
        return statistics
      }
    }
  }

  /// Nil if there is no such bridge.
  package func flowCache(bridge: String) -> FlowCacheStatistics? {
    state.withLock { state in
      guard let flows = state.bridges[bridge]?.flows else { return nil }
      let cache = flows.megaflows
      return state.worker(of: bridge).mailbox.perform { _ in FlowCacheStatistics(cache) }
    }
  }

  /// What the worker has cached of a bridge's tables.
  package func cachedFlows(bridge: String) -> [CachedFlow]? {
    state.withLock { state in
      guard let flows = state.bridges[bridge]?.flows else { return nil }
      let cache = flows.megaflows
      return state.worker(of: bridge).mailbox.perform { worker in
        let now = worker.now
        var found: [CachedFlow] = []
        unsafe cache.visit { flow, mask in
          found.append(
            unsafe CachedFlow(
              match: Match(key: flow.pointee.key, mask: mask.pointee.bits),
              steps: Array(cache.steps.steps(flow.pointee.stepStart, count: Int(flow.pointee.stepCount))),
              packetCount: flow.pointee.packetCount, byteCount: flow.pointee.byteCount,
              ageSeconds: now &- flow.pointee.createdAt, idleSeconds: now &- flow.pointee.usedAt,
              drop: DropReason(rawValue: flow.pointee.drop)))
        }
        return found
      }
    }
  }
}

// MARK: groups and meters

extension Datapath {
  /// Nanoseconds of the clock that rules' times are of.
  package var flowClock: UInt64 { monotonicNanoseconds() }

  /// - Parameter id: nil for all groups.
  package func groupDescriptions(bridge: String, _ id: UInt32?) -> [GroupDescription]? {
    state.withLock { $0.bridges[bridge]?.flows?.tables.groupDescriptions(id) }
  }

  package func groupStatistics(bridge: String, _ id: UInt32?) -> [GroupStatistics]? {
    state.withLock { $0.bridges[bridge]?.flows?.tables.groupStatistics(id) }
  }

  package func meterDescriptions(bridge: String, _ id: UInt32?) -> [MeterDescription]? {
    state.withLock { $0.bridges[bridge]?.flows?.tables.meterDescriptions(id) }
  }

  package func meterStatistics(bridge: String, _ id: UInt32?) -> [MeterStatistics]? {
    state.withLock { $0.bridges[bridge]?.flows?.tables.meterStatistics(id) }
  }
}
