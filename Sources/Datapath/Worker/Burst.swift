// The worker's per-burst state and the bookkeeping of packets: who still needs one, what became of it, where it waits.
//
// Thread: one worker. Memory: made and freed by the worker. Copies of the handle name the same state, so that the hot
// path passes it by value: no reference counting, no exclusivity checks.
// Invariant: every received packet ends in exactly one of `forwardedPackets` or a receive drop of its entry port, at
// the moment when nobody needs it any more.

import VSwitchCore

/// Handle of a worker's packet state.
@safe struct Burst {
  /// Most ports of a datapath.
  static var portLimit: Int { 4096 }
  /// Most packets in one round of the worker.
  static var packetLimit: Int { 1024 }
  /// Of packets that came in at no port: counters that nobody reads. No port has it.
  static var controllerSlot: UInt16 { UInt16(portLimit) }

  let pool: PacketPool
  let counters: UnsafeMutablePointer<CounterBlock>
  let queues: UnsafeMutablePointer<TransmitQueue?>
  /// Slots whose queue has got packets since the last flush.
  let dirty: UnsafeMutablePointer<UInt16>
  let isDirty: UnsafeMutablePointer<Bool>
  /// Packets received and not yet processed (also those that crossed a patch port).
  let pending: UnsafeMutablePointer<PacketIndex>
  /// Packets on their way from one queue to its port.
  let exit: UnsafeMutablePointer<PacketIndex>
  /// Packets that came in this round, by slot.
  let receivedCounts: UnsafeMutablePointer<Int>
  /// Where packets like the ones to come went.
  let decisions = DecisionCache()
  let state: UnsafeMutablePointer<State>
  /// What is used less than once a packet is behind one pointer: the handle is copied where it is passed on.
  /// What a rule has counted of what came in, by slot.
  var ruleCounts: UnsafeMutablePointer<RuleCounts> { @inline(__always) get { unsafe state.pointee.ruleCounts } }
  /// What flow tables are run with.
  var flows: FlowScratch { @inline(__always) get { unsafe state.pointee.flows } }
  /// Stands for the port where a controller's packet came in, in its bridge: it carries every VLAN.
  var controllerPort: UnsafeMutablePointer<ForwardingPort> {
    @inline(__always) get { unsafe state.pointee.controllerPort }
  }

  struct RuleCounts {
    var packets: UInt64 = 0
    var bytes: UInt64 = 0
  }

  @safe struct State {
    let ruleCounts: UnsafeMutablePointer<RuleCounts>
    let flows: FlowScratch
    let controllerPort: UnsafeMutablePointer<ForwardingPort>
    /// Connections of the packets that `ct(…)` is run on.
    let tracker: ConnectionTracker
    let paths: ConnectionPathCache
    /// There has been one: so that one without any pays nothing for them.
    var hasPaths = false
    /// The same of packets that came to flow tables.
    var hasTables = false
    /// Packets needed translations, or a port is asked for fewer because its packets did (MissLimit.swift).
    var hasMissed = false
    let held: HeldFragments
    /// Connections that had begun when the last burst did.
    var createdCount: UInt64 = 0
    var dirtyCount = 0
    var pendingCount = 0
    /// Packets came in at patch ports.
    var hasCrossedPatch = false
    /// Seconds, monotonic; read once a round.
    var now: UInt32 = 0
    /// Nanoseconds, monotonic; read when the first packet of a round comes to flow tables, 0 before.
    var nanoseconds: UInt64 = 0
    /// The queue that packets are sent by: `noQueue`, `ownQueue`, or one that a rule's actions have set.
    var queue = Burst.noQueue
    /// Where the numbers of datagrams come from that are sent in fragments.
    var identificationState: UInt64
  }

  init(pool: PacketPool, tracker: ConnectionTracker, identificationSeed: UInt64 = .random(in: 0...UInt64.max))
    throws(ConfigError)
  {
    let paths = try ConnectionPathCache(seed: tracker.random())
    self.pool = pool
    unsafe counters = .allocate(capacity: Burst.portLimit + 1)
    unsafe (counters + Burst.portLimit).initialize(to: CounterBlock())
    unsafe queues = .allocate(capacity: Burst.portLimit)
    unsafe queues.initialize(repeating: nil, count: Burst.portLimit)
    unsafe dirty = .allocate(capacity: Burst.portLimit)
    unsafe isDirty = .allocate(capacity: Burst.portLimit)
    unsafe isDirty.initialize(repeating: false, count: Burst.portLimit)
    unsafe pending = .allocate(capacity: Burst.packetLimit)
    unsafe exit = .allocate(capacity: Burst.exitLimit)
    unsafe receivedCounts = .allocate(capacity: Burst.portLimit)
    unsafe receivedCounts.initialize(repeating: 0, count: Burst.portLimit)
    let ruleCounts = UnsafeMutablePointer<RuleCounts>.allocate(capacity: Burst.portLimit + 1)
    unsafe ruleCounts.initialize(repeating: RuleCounts(), count: Burst.portLimit + 1)
    let controllerPort = UnsafeMutablePointer<ForwardingPort>.allocate(capacity: 1)
    unsafe controllerPort.initialize(to: ForwardingPort(vlan: VLANPolicy(VLANConfig())))
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(
      to: State(
        ruleCounts: ruleCounts, flows: FlowScratch(), controllerPort: controllerPort, tracker: tracker,
        paths: paths,
        held: HeldFragments(), identificationState: identificationSeed))
  }

  func deallocate() {
    for slot in 0..<Burst.portLimit { unsafe queues[slot]?.deallocate() }
    unsafe counters.deallocate()
    unsafe queues.deallocate()
    unsafe dirty.deallocate()
    unsafe isDirty.deallocate()
    unsafe pending.deallocate()
    unsafe exit.deallocate()
    unsafe receivedCounts.deallocate()
    unsafe controllerPort.pointee.vlan.deallocate()
    unsafe controllerPort.deallocate()
    unsafe ruleCounts.deallocate()
    flows.deallocate()
    tracker.deallocate()
    unsafe state.pointee.paths.deallocate()
    unsafe state.pointee.held.deallocate()
    unsafe state.deallocate()
    decisions.deallocate()
    pool.deallocate()
  }

  /// Gives a slot its queue and zeroed counters.
  func openSlot(_ slot: UInt16) {
    unsafe (counters + Int(slot)).initialize(to: CounterBlock())
    unsafe ruleCounts[Int(slot)] = RuleCounts()
    flows.queues.forget(slot: slot)
    if unsafe queues[Int(slot)] == nil { unsafe queues[Int(slot)] = TransmitQueue() }
  }

  /// Drops what waits in a slot's queue.
  func closeSlot(_ slot: UInt16) {
    while let index = unsafe state.pointee.held.take(slot: slot) { drop(index, .earlyFragment) }
    guard let queue = unsafe queues[Int(slot)] else { return }
    for i in 0..<queue.count { transmitFailed(queue[i], slot: slot, .transmitLinkDown) }
    queue.removeFirst(queue.count)
    queue.deallocate()
    unsafe queues[Int(slot)] = nil
  }

  // MARK: packets in

  /// Takes a packet that a port received; the burst owns its reference.
  @inline(__always)
  func received(_ index: PacketIndex, slot: UInt16) {
    let position = unsafe state.pointee.pendingCount
    unsafe receivedCounts[Int(slot)] &+= 1
    unsafe counters[Int(slot)].receivedPackets &+= 1
    unsafe counters[Int(slot)].receivedBytes &+= UInt64(pool[index].byteCount)
    pool[index].inPort = slot
    guard position < Burst.packetLimit else {
      meetsNoRule(index, slot: slot)
      drop(index, .noBuffer)
      return
    }
    unsafe pending[position] = index
    unsafe state.pointee.pendingCount = position &+ 1
  }

  /// Keeps a packet that was received out of what a rule counts.
  func meetsNoRule(_ index: PacketIndex, slot: UInt16) {
    unsafe ruleCounts[Int(slot)].packets &+= 1
    unsafe ruleCounts[Int(slot)].bytes &+= UInt64(pool[index].byteCount)
  }

  // MARK: packets out

  /// Puts a packet into a port's queue, which takes over one reference.
  @inline(__always)
  func enqueue(_ index: PacketIndex, slot: UInt16) {
    guard let queue = unsafe queues[Int(slot)], queue.append(index) else {
      transmitFailed(index, slot: slot, .transmitQueueFull)
      return
    }
    markDirty(slot)
  }

  /// Has a slot's queue looked at by the next flush.
  @inline(__always)
  func markDirty(_ slot: UInt16) {
    guard unsafe !isDirty[Int(slot)] else { return }
    unsafe isDirty[Int(slot)] = true
    unsafe dirty[state.pointee.dirtyCount] = slot
    unsafe state.pointee.dirtyCount &+= 1
  }

  /// A copy has left through a port.
  @inline(__always)
  func transmitted(_ index: PacketIndex, slot: UInt16) {
    unsafe counters[Int(slot)].transmittedPackets &+= 1
    unsafe counters[Int(slot)].transmittedBytes &+= UInt64(pool[index].byteCount)
    pool[index].outcome = Packet.delivered
    release(index)
  }

  /// A copy could not leave through a port.
  @inline(never)
  func transmitFailed(_ index: PacketIndex, slot: UInt16, _ reason: DropReason) {
    unsafe counters[Int(slot)].transmitDrops[Int(reason.rawValue)] &+= 1
    if reason == .transmitError { unsafe counters[Int(slot)].transmitErrors &+= 1 }
    drop(index, reason)
  }

  /// Gives one reference back with a reason why nothing left.
  @inline(__always)
  func drop(_ index: PacketIndex, _ reason: DropReason) {
    if pool[index].outcome == Packet.undecided { pool[index].outcome = reason.rawValue }
    release(index)
  }

  /// Gives one reference back; the last one settles what became of the packet.
  @inline(__always)
  func release(_ index: PacketIndex) {
    let references = pool[index].references &- 1
    pool[index].references = references
    if references == 0 { settle(index) }
  }

  @inline(__always)
  private func settle(_ index: PacketIndex) {
    let origin = pool[index].origin
    let outcome = pool[index].outcome
    if origin == Packet.none {
      count(outcome: outcome, slot: pool[index].inPort)
      pool.recycle(index)
    } else {
      settleCopy(index, origin: origin, outcome: outcome)
    }
  }

  @inline(never)
  private func settleCopy(_ index: PacketIndex, origin: PacketIndex, outcome: UInt8) {
    pool.recycle(index)
    if outcome == Packet.delivered || pool[origin].outcome == Packet.undecided { pool[origin].outcome = outcome }
    // Copies are made of received packets only, so this ends here.
    release(origin)
  }

  /// Notes at its entry port what became of a packet.
  @inline(__always)
  func count(outcome: UInt8, slot: UInt16) {
    if outcome == Packet.delivered {
      unsafe counters[Int(slot)].forwardedPackets &+= 1
    } else {
      let reason = outcome == Packet.undecided ? DropReason.noOutput.rawValue : outcome
      unsafe counters[Int(slot)].receiveDrops[Int(reason & 63)] &+= 1
    }
  }

  /// A copy of a packet with its own buffer, whose outcome counts for the packet; nil when no buffer is free.
  @inline(never)
  func copy(_ index: PacketIndex) -> PacketIndex? {
    if pool[index].externalByteCount != 0 { pool.gather(index) }
    guard let copy = allocateFollower(of: index) else { return nil }
    let packet = pool[index]
    pool[copy].start = packet.start
    pool[copy].byteCount = packet.byteCount
    pool[copy].offload = packet.offload
    pool[copy].patchHops = packet.patchHops
    pool[copy].device = packet.device
    pool[copy].mark = packet.mark
    unsafe pool.bytes(copy).copyMemory(from: UnsafeRawBufferPointer(pool.bytes(index)))
    return copy
  }

  /// An empty packet whose outcome counts for another one, which it keeps; nil when no buffer is free.
  func allocateFollower(of index: PacketIndex) -> PacketIndex? {
    guard let follower = pool.allocate() else { return nil }
    // What follows a follower hangs on the same packet, so that chains stay one step deep.
    let origin = pool[index].origin == Packet.none ? index : pool[index].origin
    pool[follower].inPort = pool[index].inPort
    pool[follower].origin = origin
    pool[origin].references &+= 1
    return follower
  }
}
