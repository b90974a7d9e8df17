// What was sent with a queue (`set_queue`, `enqueue`), by port and queue. Nothing is shaped: a queue is a label that a port's
// packets are counted by. Bounded: what finds no place among its neighbours is sent and not counted.
// Thread: one worker's, and control's between two bursts. Memory: freed by `deallocate`.

import VSwitchCore

/// Handle: copies name the same counters.
@safe struct QueueCounters {
  struct Entry {
    var slot = QueueCounters.free
    var queue: UInt32 = 0
    var packetCount: UInt64 = 0
    var byteCount: UInt64 = 0
  }
  private static var free: UInt16 { .max }
  private static var count: Int { 1024 }
  private static var window: Int { 16 }

  private let entries: UnsafeMutablePointer<Entry>
  /// Packets that waited at each dirty port, in the order of `Burst.dirty`, before what is counted was sent.
  let marks: UnsafeMutablePointer<Int>

  init() {
    unsafe marks = .allocate(capacity: Burst.portLimit)
    unsafe marks.initialize(repeating: 0, count: Burst.portLimit)
    unsafe entries = .allocate(capacity: QueueCounters.count)
    unsafe entries.initialize(repeating: Entry(), count: QueueCounters.count)
  }

  func deallocate() {
    unsafe entries.deallocate()
    unsafe marks.deallocate()
  }

  /// Counts a packet that is sent by a port's queue.
  func add(slot: UInt16, queue: UInt32, byteCount: UInt32) {
    guard let place = unsafe place(slot: slot, queue: queue) else { return }
    unsafe place.pointee.packetCount &+= 1
    unsafe place.pointee.byteCount &+= UInt64(byteCount)
  }

  /// Goes on with what has been counted elsewhere.
  func put(_ entry: Entry) {
    guard let place = unsafe place(slot: entry.slot, queue: entry.queue) else { return }
    unsafe place.pointee = entry
  }

  /// The counters of a queue, new ones if there are none; nil: there is no room.
  private func place(slot: UInt16, queue: UInt32) -> UnsafeMutablePointer<Entry>? {
    let first = Int(truncatingIfNeeded: (UInt64(slot) &<< 32 | UInt64(queue)) &* 0x9e37_79b9_7f4a_7c15 &>> 32)
    var place: UnsafeMutablePointer<Entry>?
    for step in 0..<QueueCounters.window {
      let entry = unsafe entries + (first &+ step) & (QueueCounters.count &- 1)
      if unsafe entry.pointee.slot == slot, unsafe entry.pointee.queue == queue {
        unsafe place = entry
        break
      }
      if unsafe place == nil, unsafe entry.pointee.slot == QueueCounters.free { unsafe place = entry }
    }
    if let place = unsafe place, unsafe place.pointee.slot == QueueCounters.free {
      unsafe place.pointee = Entry(slot: slot, queue: queue)
    }
    return unsafe place
  }

  /// A slot's counters are another port's from now on.
  func forget(slot: UInt16) {
    for position in 0..<QueueCounters.count where unsafe entries[position].slot == slot {
      unsafe entries[position] = Entry()
    }
  }

  /// A slot's counters.
  func values(slot: UInt16) -> [Entry] {
    (0..<QueueCounters.count).compactMap { unsafe entries[$0].slot == slot ? unsafe entries[$0] : nil }
  }
}

extension Burst {
  /// No actions have set a queue.
  static var noQueue: UInt32 { .max }
  /// Actions have set one and taken it back.
  static var ownQueue: UInt32 { .max - 1 }

  /// Whether what is sent now is sent by a queue that actions have set.
  var hasQueue: Bool { @inline(__always) get { unsafe state.pointee.queue < Burst.ownQueue } }

  /// Notes what waits at the ports, before something is sent by a queue: so that packets that no queue was set for, which are
  /// nearly all, are not asked about it.
  /// - Returns: to be given to `countInQueue` when it has been sent.
  @inline(never)
  func markQueues() -> Int {
    let count = unsafe state.pointee.dirtyCount
    for position in 0..<count {
      unsafe flows.queues.marks[position] = queues[Int(dirty[position])]?.count ?? 0
    }
    return count
  }

  /// Counts what has been put into ports' transmit queues since they were marked: at most one packet for each.
  @inline(never)
  func countInQueue(since count: Int) {
    for position in 0..<(unsafe state.pointee.dirtyCount) {
      let slot = unsafe dirty[position]
      guard let waiting = unsafe queues[Int(slot)], waiting.count > 0 else { continue }
      // A port that was not dirty is now because of its packet.
      if position < count, unsafe waiting.count == flows.queues.marks[position] { continue }
      let packet = waiting[waiting.count &- 1]
      flows.queues.add(slot: slot, queue: unsafe state.pointee.queue, byteCount: pool[packet].byteCount)
    }
  }
}

/// What has been sent by a queue of a port.
package struct QueueCount: Equatable, Sendable {
  package var port: PortNumber
  package var queue: UInt32
  package var packetCount: UInt64
  package var byteCount: UInt64
}

extension Datapath {
  /// What each queue of a bridge's ports has been given; queues that nothing was sent by are not among them.
  package func queueCounts(bridge: String) -> [QueueCount] {
    state.withLock { state in
      let ports = state.numberedPorts(of: bridge)
      return state.worker(of: bridge).mailbox.perform { worker in
        ports.flatMap { port in
          worker.burst.flows.queues.values(slot: port.slot).map { entry in
            QueueCount(
              port: port.number, queue: entry.queue, packetCount: entry.packetCount, byteCount: entry.byteCount)
          }
        }
      }
    }
  }
}
