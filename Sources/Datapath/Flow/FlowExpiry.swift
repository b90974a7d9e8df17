// Takes rules out when their time is over. One timer, set for the moment when the first may expire, so that a switch without
// such rules is not woken. Thread: a dispatch queue of its own; `arm` from any.

import Dispatch
import Synchronization
import VSwitchCore

/// What happened to a bridge's rules without a controller's asking.
package struct BridgeFlowOutcome: Sendable {
  package var bridge: String
  package var outcome: FlowChangeOutcome
}

/// The timer.
final class FlowExpiry: @unchecked Sendable {
  /// Expiry may be so late, so that rules that end about the same time do so together.
  private static let leewayMilliseconds = 100

  private let queue = DispatchQueue(label: "flow expiry")
  private let source: any DispatchSourceTimer
  /// When it is set for; nanoseconds of the rules' clock.
  private let due = Mutex<UInt64?>(nil)

  init(handler: @escaping @Sendable () -> Void) {
    source = DispatchSource.makeTimerSource(queue: queue)
    source.setEventHandler { [weak self] in
      self?.due.withLock { $0 = nil }
      handler()
    }
    source.activate()
  }

  /// Sets the timer, if it is not set for an earlier moment.
  /// - Parameter moment: nanoseconds of the rules' clock.
  func arm(at moment: UInt64, now: UInt64) {
    let isEarlier = due.withLock { due in
      if let known = due, known <= moment { return false }
      due = moment
      return true
    }
    guard isEarlier else { return }
    let wait = moment > now ? Int(clamping: moment - now) : 0
    source.schedule(deadline: .now() + .nanoseconds(wait), leeway: .milliseconds(FlowExpiry.leewayMilliseconds))
  }

  /// Returns when no handler runs or will run.
  func stop() {
    source.cancel()
    queue.sync {}
  }
}

extension Datapath {
  /// Starts to look for rules whose time is over.
  func startFlowExpiry() {
    let expiry = FlowExpiry { [weak self] in
      guard let self else { return }
      for expired in expireFlows() { flowOutcomeSource.yield(expired) }
      collectAll()
    }
    flowExpiry.withLock { $0 = expiry }
  }

  func stopFlowExpiry() {
    let expiry = flowExpiry.withLock { expiry in
      defer { expiry = nil }
      return expiry
    }
    expiry?.stop()
    flowOutcomeSource.finish()
  }

  /// Takes out the rules whose time is over, and sets the timer for the next.
  private func expireFlows() -> [BridgeFlowOutcome] {
    state.withLock { state in
      let now = monotonicNanoseconds()
      var expired: [BridgeFlowOutcome] = []
      for (name, bridge) in state.bridges {
        guard let flows = bridge.flows, let due = flows.tables.nextExpiry else { continue }
        guard due <= now else {
          flowExpiry.withLock { $0?.arm(at: due, now: now) }
          continue
        }
        var outcome = FlowChangeOutcome()
        outcome.events = flows.tables.expire(now: now)
        outcome.removed = settle(flows, of: state.workers[bridge.worker], &state)
        expired.append(BridgeFlowOutcome(bridge: name, outcome: outcome))
      }
      return expired
    }
  }
}
