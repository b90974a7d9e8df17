// A slot on its way from one worker to another: its port, if it has one, and what was counted there.
//
// Threads: made by the worker that had the slot, in a command; used by the one that gets it, in a later command. In between
// nobody has the port. Forwarding tables without the slot have been published before, and so for a grace period.

import VSwitchCore

/// What goes along with a slot.
@safe struct SlotHandover: @unchecked Sendable {
  fileprivate let slot: UInt16
  fileprivate let port: PortIO?
  fileprivate let counters: CounterBlock
  fileprivate let ruleCounts: Burst.RuleCounts
  fileprivate let queues: [QueueCounters.Entry]
}

extension Worker {
  /// Gives a slot away. What waits in its queue is dropped, and counted.
  func give(slot: UInt16) -> SlotHandover {
    let port = detach(slot: slot)
    burst.closeSlot(slot)
    return unsafe SlotHandover(
      slot: slot, port: port, counters: burst.counters[Int(slot)], ruleCounts: burst.ruleCounts[Int(slot)],
      queues: burst.flows.queues.values(slot: slot))
  }

  /// Takes a slot that another worker has given.
  func take(_ slot: SlotHandover) {
    open(slot: slot.slot)
    unsafe burst.counters[Int(slot.slot)] = slot.counters
    unsafe burst.ruleCounts[Int(slot.slot)] = slot.ruleCounts
    for entry in slot.queues { burst.flows.queues.put(entry) }
    if let port = slot.port { add(port) }
  }
}
