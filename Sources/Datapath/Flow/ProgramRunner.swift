// Runs the program that the flow tables made for a packet.
//
// A packet's bytes are shared by the queues that it waits in: who changes them takes a copy first, if it is not alone.
// Thread: one worker. Nothing here allocates memory or can trap on a frame's bytes or a program's numbers.

import VSwitchCore

/// What a program needs beside the packet.
struct ProgramContext {
  let forwarding: Forwarding
  let bridge: FlowBridge
  /// Of the tables, for all of the packet's way.
  let version: UInt64
  /// Nanoseconds, monotonic.
  let now: UInt64
  /// Of the frame as it is now.
  var layout = PacketLayout()
  /// The cached flow whose program runs, or `MegaflowCache.noFlow`.
  var flow = MegaflowCache.noFlow
  /// Times that the packet has come back.
  var depth = 0
  /// What is translated for the packet may be cached.
  var isKept = true
  /// What the connection tracker said last.
  var connection = PacketConnection()
  /// Its fields are in the key of the next depth already.
  var hasConnectionFields = false
  /// They were taken away.
  var isConnectionCleared = false
  /// Its way so far is noted (`FlowScratch.path`): others may go it at once.
  var hasPath = false
  /// The packet is not as it came any more.
  var isChanged = false
  /// The packet is what its key at this depth, and `layout`, were made of.
  var isAsParsed = false
  /// The packet is what `FlowScratch.tracked` was made of, unless that is another packet.
  var isAsTracked = false
  /// Its checksums were found right; what is changed keeps them so.
  var isChecked = false
  /// Of a packet from a controller; nil: the tables decide. They are gone through again when it comes back.
  var actions: RuleCode?

  init(forwarding: Forwarding, bridge: FlowBridge, version: UInt64, now: UInt64) {
    self.forwarding = forwarding
    self.bridge = bridge
    self.version = version
    self.now = now
  }

  /// Notes that the packet's bytes change.
  mutating func noteChange() {
    isChanged = true
    noteTranslation()
  }

  /// Notes that the tracker has changed them, which it does not before it has all of a datagram.
  mutating func noteTranslation() {
    isAsParsed = false
    isAsTracked = false
  }
}

extension Burst {
  /// Runs steps on a packet and gives its reference back: what was not sent anywhere is dropped as `noOutput`.
  func run(_ steps: UnsafeBufferPointer<ActionStep>, _ index: PacketIndex, _ context: inout ProgramContext) {
    var index = index
    var position = 0
    while position < steps.count {
      let step = unsafe steps[position]
      let isFirst = position == 0
      position &+= 1
      let isLast = position == steps.count
      switch step.operation {
      case .output:
        if isLast, step.low == 0 {
          unsafe output(index, to: step.number, context.bridge, context.forwarding.ports, isOwn: true)
          return
        }
        send(index, to: step.number, cut: step.low, context)
      case .normal:
        guard let entry = normalEntry(step.number, index, context) else {
          if pool[index].outcome == Packet.undecided { pool[index].outcome = DropReason.noSuchPort.rawValue }
          continue
        }
        if isLast, step.low == 0, pool[index].references == 1 {
          normal(index, context.forwarding, enteredBy: entry)
          return
        }
        guard let copy = copy(index) else {
          if pool[index].outcome == Packet.undecided { pool[index].outcome = DropReason.noBuffer.rawValue }
          continue
        }
        cut(copy, to: step.low)
        normal(copy, context.forwarding, enteredBy: entry)
      case .flood: flood(index, step, withoutNoFlood: true, context)
      case .all: flood(index, step, withoutNoFlood: false, context)
      case .controller:
        let block = unsafe UnsafeBufferPointer(rebasing: steps[position..<end(position, step, steps.count)])
        unsafe tellController(index, step, block, context)
        position = end(position, step, steps.count)
      case .setField where step.field == Field.packetMark.rawValue:
        // It is in no byte: those who share the packet have sent it already, copies have their own.
        let mask = UInt32(truncatingIfNeeded: step.maskLow)
        pool[index].mark = pool[index].mark & ~mask | UInt32(truncatingIfNeeded: step.low) & mask
        context.isChanged = true
      case .setField, .pushVLAN, .popVLAN, .pushMPLS, .popMPLS, .decrementTTL, .decrementMPLSTTL, .copyTTLOutwards,
        .copyTTLInwards:
        guard let own = alone(index) else { return }
        index = own
        context.noteChange()
        guard edit(index, step, &context.layout) else {
          drop(index, .headersTooLong)
          return
        }
      case .setQueue:
        guard unsafe state.pointee.queue == Burst.noQueue else {
          unsafe state.pointee.queue = step.number
          continue
        }
        // What is left of the program, and whatever the packet comes to by it, is sent by the queue.
        unsafe state.pointee.queue = step.number
        unsafe run(UnsafeBufferPointer(rebasing: steps[position...]), index, &context)
        unsafe state.pointee.queue = Burst.noQueue
        return
      case .popQueue: unsafe state.pointee.queue = Burst.ownQueue
      case .meter:
        let byteCount = pool[index].byteCount
        switch context.bridge.judge(meter: step.number, byteCount: byteCount, now: context.now) {
        case .pass: break
        case .drop:
          drop(index, .metered)
          return
        case .remark(let precedenceLevel):
          guard let own = alone(index) else { return }
          index = own
          context.noteChange()
          remark(index, precedenceLevel, context.layout)
        }
      case .clone:
        let blockEnd = end(position, step, steps.count)
        let block = unsafe UnsafeBufferPointer(rebasing: steps[position..<blockEnd])
        position = blockEnd
        unsafe runOnCopy(block, index, context)
      case .selectGroup:
        let blockEnd = end(position, step, steps.count)
        let buckets = unsafe UnsafeBufferPointer(rebasing: steps[position..<blockEnd])
        position = blockEnd
        unsafe runBucket(buckets, group: UInt32(truncatingIfNeeded: step.low), index, context)
      case .checkLength:
        let blockEnd = end(position, step, steps.count)
        let middle = min(position &+ Int(truncatingIfNeeded: step.low & 0xffff_ffff), blockEnd)
        let range = sentByteCount(index) > step.number ? position..<middle : middle..<blockEnd
        position = blockEnd
        unsafe runOnCopy(UnsafeBufferPointer(rebasing: steps[range]), index, context)
      case .recirculate:
        continueAfterParsing(index, &context, point: step.number)
        return
      case .conntrack:
        let blockEnd = end(position, step, steps.count)
        let block = unsafe UnsafeBufferPointer(rebasing: steps[position..<blockEnd])
        position = blockEnd
        guard let next = unsafe track(index, step, block, &context, isFirst: isFirst, isLast: position == steps.count)
        else { return }
        index = next
      case .conntrackClear: forgetConnection(&context)
      case .sample: break
      case .learn:
        let blockEnd = end(position, step, steps.count)
        let block = unsafe UnsafeBufferPointer(rebasing: steps[position..<blockEnd])
        if unsafe flows.isNews(step, block, in: context.bridge, now: state.pointee.now) {
          unsafe context.bridge.tellLearn(step, block)
        }
        position = blockEnd
      case .finTimeout: context.bridge.tellFinTimeout(step)
      case .countRule, .countBucket:
        context.bridge.count(
          UInt32(truncatingIfNeeded: step.low), packetCount: 1, byteCount: UInt64(pool[index].byteCount),
          now: context.now
        )
      case .drop:
        drop(index, DropReason(rawValue: step.field) ?? .noOutput)
        return
      case .setPipeline, .bucket, .learnMatch, .learnLoad, .learnOutput, .data, .conntrackTranslation, .conntrackSet:
        // Parts of the step before, which has skipped them.
        break
      }
    }
    release(index)
  }

  /// Where the steps that belong to a step end.
  /// The length that `check_pkt_larger` compares: of what is still to be cut into segments, that of a segment, as in Linux.
  private func sentByteCount(_ index: PacketIndex) -> UInt32 {
    let offload = pool[index].offload
    let start = Int(offload.checksumStart)
    var headerByteCount = start
    switch offload.segmentationType {
    case OffloadMetadata.gsoNone: return pool[index].byteCount
    // Its fragments have no transport header.
    case OffloadMetadata.gsoUFO: break
    case OffloadMetadata.gsoUDP: headerByteCount &+= 8
    default:
      // The data offset of the TCP header, at the checksum's start.
      guard start &+ 13 <= pool.linearByteCount(index) else { return pool[index].byteCount }
      headerByteCount &+= unsafe Int(pool.frame(index).load(fromByteOffset: start &+ 12, as: UInt8.self) &>> 4) &* 4
    }
    return min(
      UInt32(truncatingIfNeeded: headerByteCount &+ Int(offload.gsoByteCount)), pool[index].byteCount)
  }

  private func end(_ position: Int, _ step: ActionStep, _ count: Int) -> Int {
    min(position &+ Int(step.blockCount), count)
  }

  private func runOnCopy(_ steps: UnsafeBufferPointer<ActionStep>, _ index: PacketIndex, _ context: ProgramContext) {
    guard let copy = copy(index) else { return }
    var context = context
    let queue = unsafe state.pointee.queue
    unsafe run(steps, copy, &context)
    unsafe state.pointee.queue = queue
  }

  private func runBucket(
    _ buckets: UnsafeBufferPointer<ActionStep>, group: UInt32, _ index: PacketIndex, _ context: ProgramContext
  ) {
    let key = unsafe UnsafePointer(flows.keys + context.depth)
    guard let chosen = unsafe context.bridge.chooseBucket(group: group, key: key, hash: flowHash(key)) else { return }
    var position = 0
    while position < buckets.count {
      let step = unsafe buckets[position]
      let blockEnd = end(position &+ 1, step, buckets.count)
      if step.operation == .bucket, step.number == chosen {
        unsafe runOnCopy(UnsafeBufferPointer(rebasing: buckets[(position &+ 1)..<blockEnd]), index, context)
        return
      }
      position = blockEnd
    }
  }

  /// The slot of the port that NORMAL is to take for the entry port; nil if the bridge has no such port.
  private func normalEntry(_ number: UInt32, _ index: PacketIndex, _ context: ProgramContext) -> UInt16? {
    let slot = pool[index].inPort
    if number == context.bridge.number(of: slot) { return slot }
    if let slot = context.bridge.slot(of: number) { return slot }
    // A packet that came from nowhere (OpenFlow 1.0: NONE, later: CONTROLLER) belongs to no VLAN and is not learned from.
    guard number == PortNumber.controller.rawValue || number == PortNumber.any.rawValue else { return nil }
    unsafe controllerPort.pointee.bridge = context.bridge.index
    return Burst.controllerSlot
  }

  // MARK: sending

  /// Sends the packet itself to a port; where `isOwn`, its reference goes along. (A context would be copied for it.)
  private func output(
    _ index: PacketIndex, to number: UInt32, _ bridge: FlowBridge, _ ports: UnsafeMutablePointer<ForwardingPort>,
    isOwn: Bool
  ) {
    guard let slot = bridge.slot(of: number) else {
      if isOwn { release(index) }
      return
    }
    let peer = unsafe ports[Int(slot)].patchPeer
    guard peer == Forwarding.noPeer else {
      if isOwn, pool[index].references == 1 {
        crossPatch(index, out: slot, in: peer)
      } else {
        if let copy = copy(index) { crossPatch(copy, out: slot, in: peer) }
        if isOwn { release(index) }
      }
      return
    }
    if !isOwn { pool[index].references &+= 1 }
    guard hasQueue else { return enqueue(index, slot: slot) }
    let mark = markQueues()
    enqueue(index, slot: slot)
    countInQueue(since: mark)
  }

  /// `forwardNormal`, by the queue that is set.
  @inline(__always)
  private func normal(_ index: PacketIndex, _ forwarding: Forwarding, enteredBy slot: UInt16) {
    guard hasQueue else { return forwardNormal(index, forwarding, enteredBy: slot) }
    let mark = markQueues()
    forwardNormal(index, forwarding, enteredBy: slot)
    countInQueue(since: mark)
  }

  private func send(_ index: PacketIndex, to number: UInt32, cut length: UInt64, _ context: ProgramContext) {
    guard length != 0, UInt64(pool[index].byteCount) > length else {
      unsafe output(index, to: number, context.bridge, context.forwarding.ports, isOwn: false)
      return
    }
    guard let copy = copy(index) else { return }
    cut(copy, to: length)
    unsafe output(copy, to: number, context.bridge, context.forwarding.ports, isOwn: true)
  }

  /// Shortens a packet of one's own; its checksum is no longer to be made, as what it covers is not all there.
  private func cut(_ index: PacketIndex, to length: UInt64) {
    guard length != 0, UInt64(pool[index].byteCount) > length else { return }
    pool[index].byteCount = UInt32(truncatingIfNeeded: max(length, 14))
    pool[index].offload = OffloadMetadata()
  }

  private func flood(_ index: PacketIndex, _ step: ActionStep, withoutNoFlood: Bool, _ context: ProgramContext) {
    let bridge = unsafe context.forwarding.bridges + Int(context.bridge.index)
    let entry = context.bridge.slot(of: step.number)
    for member in 0..<(unsafe bridge.pointee.memberCount) {
      let slot = unsafe context.forwarding.members[bridge.pointee.firstMember &+ member]
      guard slot != entry, let number = context.bridge.floodNumber(of: slot, withoutNoFlood: withoutNoFlood) else {
        continue
      }
      send(index, to: number, cut: step.low, context)
    }
  }

  /// The packet if nobody else needs its bytes, else a copy in its place; nil, and the packet is dropped, without a buffer.
  func alone(_ index: PacketIndex) -> PacketIndex? {
    if pool[index].references == 1 { return index }
    guard let copy = copy(index) else {
      drop(index, .noBuffer)
      return nil
    }
    release(index)
    return copy
  }
}
