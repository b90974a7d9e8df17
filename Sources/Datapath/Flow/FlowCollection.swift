// Freeing what flow tables have replaced, without having whoever changes them wait for it: a little with each change,
// the rest by the timer that takes out rules whose time is over.
//
// Thread: whoever holds the lock of `Datapath`, which is held for a limited number of things at a time.

import VSwitchCore

extension BridgeFlows {
  /// Things that are freed with one change, and at most while the lock is held once.
  static let collectedWithChange = 256
  static let collectedAtOnce = 4096
  /// With so many that wait, changes free before they return, so that memory is not taken faster than it is given back.
  static let retiredLimit = 1 << 21
  /// Nanoseconds after which the timer frees what changes have left.
  static let collectionDelay: UInt64 = 20_000_000

  /// Whether changes are a matter of microseconds, after which nobody has to be told or waited for.
  func mayChangeAtOnce(_ changes: [TableChange]) -> Bool {
    // With the first rule beside NORMAL the worker gets other forwarding tables.
    guard tables.ruleCount > 1, normalSlot == nil, tables.retiredCount < BridgeFlows.retiredLimit else { return false }
    return changes.allSatisfy { change in
      if case .flow(let mod) = change { tables.isBrief(mod) } else { false }
    }
  }

  /// Waits until the worker is without what was replaced so far.
  /// - Returns: what is to be told of removed rules.
  func endGracePeriod(_ mailbox: Mailbox) -> [RemovedRule] {
    let ticket = tables.beginGracePeriod()
    let mark = mailbox.graceMark
    mailbox.waitForGracePeriod()
    gracePeriod = (ticket, mark)
    return tables.takeRemoved(ticket)
  }

  /// Frees what the worker can no longer see, and begins a grace period for what it may.
  /// - Parameter limit: most things to free.
  /// - Returns: whether something is left.
  func collect(_ mailbox: Mailbox, limit: Int) -> Bool {
    if let (ticket, mark) = gracePeriod, mailbox.hasPassed(mark), tables.free(ticket, limit: limit) {
      gracePeriod = nil
    }
    if gracePeriod == nil, tables.needsGracePeriod {
      gracePeriod = (tables.beginGracePeriod(), mailbox.graceMark)
    }
    return tables.needsGracePeriod
  }
}

extension Datapath {
  /// After a change that somebody waits for.
  func collect(_ flows: BridgeFlows, of mailbox: Mailbox, now: UInt64) {
    if flows.tables.retiredCount > BridgeFlows.retiredLimit {
      while flows.collect(mailbox, limit: .max), flows.tables.retiredCount > BridgeFlows.retiredLimit {
        mailbox.waitForGracePeriod()
      }
    } else if flows.collect(mailbox, limit: BridgeFlows.collectedWithChange) {
      flowExpiry.withLock { $0?.arm(at: now &+ BridgeFlows.collectionDelay, now: now) }
    }
  }

  /// Frees all that flow tables have replaced, on the timer's thread.
  func collectAll() {
    while true {
      let waiting = collectSome()
      if waiting.isEmpty { return }
      for mailbox in waiting { mailbox.waitForGracePeriod() }
    }
  }

  /// - Returns: of workers that may still see what is left.
  private func collectSome() -> [Mailbox] {
    state.withLock { state in
      var left: Set<Int> = []
      for bridge in state.bridges.values {
        guard let flows = bridge.flows, flows.tables.needsGracePeriod else { continue }
        let mailbox = state.workers[bridge.worker].mailbox
        if flows.collect(mailbox, limit: BridgeFlows.collectedAtOnce) { left.insert(bridge.worker) }
      }
      return left.map { state.workers[$0].mailbox }
    }
  }
}
