// Runs the steps of connection tracking: `ct(…)` for each packet on the live table, whatever flow is cached, and the packet's
// way back into the tables with what the tracker said of it.
//
// Thread: one worker. Nothing here allocates memory or can trap on a frame's bytes.

import VSwitchCore

extension Burst {
  var tracker: ConnectionTracker { @inline(__always) get { unsafe state.pointee.tracker } }

  private var held: HeldFragments { unsafe state.pointee.held }

  /// Runs a `conntrack` step.
  /// - Parameters:
  ///   - block: the steps that belong to it.
  ///   - isFirst: no step was before it.
  ///   - isLast: no step follows: the packet itself goes on.
  /// - Returns: the packet that the steps behind it are for; nil if there is none any more.
  @inline(never)
  func track(
    _ index: PacketIndex, _ step: ActionStep, _ block: UnsafeBufferPointer<ActionStep>,
    _ context: inout ProgramContext, isFirst: Bool, isLast: Bool
  ) -> PacketIndex? {
    // Addresses are changed, and sequence numbers.
    guard let index = alone(index) else { return nil }
    let request = unsafe ConntrackRequest(step, block)
    let mayHavePath = isFirst && isLast && beginPath(index, request, context)
    let now = unsafe state.pointee.now
    let packet = unsafe trackedPacket(index, context)
    let verdict = unsafe tracker.track(
      &packet.pointee, request, known: context.connection, owner: pool[index].inPort, now: now)
    if let reason = verdict.drop {
      if reason == .earlyFragment, unsafe hold(index, packet.pointee, context, now: now) { return nil }
      drop(index, reason)
      return nil
    }
    context.connection = verdict.connection
    if unsafe packet.pointee.kind == .whole {
      context.isAsTracked = true
      context.isChecked = true
    } else if unsafe packet.pointee.kind == .firstFragment {
      unsafe releaseHeld(of: packet.pointee, zone: request.zone, slot: pool[index].inPort)
    }
    if !verdict.connection.state.isDisjoint(with: [.sourceTranslated, .destinationTranslated]) {
      context.noteTranslation()
    }
    if verdict.needsHelper {
      context.noteTranslation()
      unsafe runHelper(index, packet.pointee, verdict, now: now)
    }
    if mayHavePath, verdict.connection.state.contains(.established) {
      context.hasPath = notePath(index, request, context, verdict)
    }
    guard request.flags.contains(.recirculates) else { return index }
    let point = UInt32(truncatingIfNeeded: step.high)
    if isLast {
      continueAfterTracking(index, context, point: point, verdict)
      return nil
    }
    if let copy = copy(index) { continueAfterTracking(copy, context, point: point, verdict) }
    return index
  }

  /// The packet as the tracker sees it: as it saw it before, if it is the same still.
  @inline(__always)
  private func trackedPacket(_ index: PacketIndex, _ context: borrowing ProgramContext)
    -> UnsafeMutablePointer<TrackedPacket>
  {
    let packet = unsafe flows.tracked
    if context.isAsTracked, unsafe packet.pointee.frame == UnsafeMutableRawPointer(pool.frame(index)) {
      return unsafe packet
    }
    let key = unsafe flows.keys + context.depth
    let (ipProtocol, fragment) = unsafe (key.pointee.ipProtocol, key.pointee.ipFragment)
    unsafe packet.initialize(
      to: TrackedPacket(
        pool.frame(index), byteCount: Int(pool[index].byteCount), context.layout, ipProtocol: ipProtocol,
        fragment: fragment, pool[index].offload, isChecked: context.isChecked))
    return unsafe packet
  }

  /// Forgets what the tracker said.
  func forgetConnection(_ context: inout ProgramContext) {
    context.connection = PacketConnection()
    context.isConnectionCleared = true
  }

  private func continueAfterTracking(
    _ index: PacketIndex, _ context: ProgramContext, point: UInt32, _ verdict: ConnectionTracker.Verdict
  ) {
    guard context.depth < PacketTranslation.resumptionLimit else {
      drop(index, .recirculationLost)
      return
    }
    let words = unsafe UnsafeMutablePointer(mutating: flows.words(depth: context.depth &+ 1))
    unsafe tracker.write(verdict, to: words, packetMark: flows.keys[context.depth].packetMark)
    var context = context
    context.hasConnectionFields = true
    continueAfterParsing(index, &context, point: point)
  }

  // MARK: helpers

  /// Looks into a packet of a connection with a helper, and mends what that changes.
  @inline(never)
  private func runHelper(
    _ index: PacketIndex, _ packet: TrackedPacket, _ verdict: ConnectionTracker.Verdict, now: UInt32
  ) {
    var packet = packet
    let isReply = verdict.connection.isReply
    guard let connection = unsafe tracker.table.record(verdict.connection.reference) else { return }
    // A segment that will be cut in several holds no line that matters.
    let edit = pool[index].offload.gsoType == OffloadMetadata.gsoNone ? tracker.inspect(packet, verdict, now: now) : nil
    let sequence = packet.tuple.ipProtocol == 6 ? packet.doubleWord(packet.transportOffset &+ 4) : 0
    if let edit {
      let change = edit.text.count &- (edit.end &- edit.start)
      guard replace(index, &packet, edit) else { return }
      unsafe SequenceMender.note(connection, isReply: isReply, sequence: sequence, change: change)
    }
    if packet.tuple.ipProtocol == 6, unsafe connection.pointee.flags.contains(.isAdjusted) {
      unsafe SequenceMender.mendSequence(packet, connection, isReply: isReply)
    }
  }

  /// Puts other text in the place of some of a packet's payload, and mends lengths and checksums.
  /// - Returns: false, with nothing changed, if there is no room.
  private func replace(_ index: PacketIndex, _ packet: inout TrackedPacket, _ edit: HelperEdit) -> Bool {
    let change = edit.text.count &- (edit.end &- edit.start)
    let newEnd = packet.end &+ change
    guard newEnd <= PacketPool.frameLimit, newEnd &- packet.networkOffset <= 65_535 else { return false }
    let frame = unsafe packet.frame
    unsafe (frame + (edit.start &+ edit.text.count)).copyMemory(
      from: frame + edit.end, byteCount: packet.end &- edit.end)
    for position in 0..<edit.text.count {
      unsafe frame.storeBytes(of: edit.text.bytes[position], toByteOffset: edit.start &+ position, as: UInt8.self)
    }
    packet.end = newEnd
    // Padding behind the IP packet is no part of it.
    pool[index].byteCount = UInt32(truncatingIfNeeded: newEnd)
    var edits = unsafe PacketTranslator.Edits(frame)
    let network = packet.networkOffset
    if packet.tuple.isIPv6 {
      edits.setWord(network &+ 4, UInt16(truncatingIfNeeded: newEnd &- network &- 40))
    } else {
      edits.setWord(network &+ 2, UInt16(truncatingIfNeeded: newEnd &- network))
      edits.mend(network &+ 10, edits.difference)
    }
    let transport = packet.transportOffset
    let length = UInt32(truncatingIfNeeded: newEnd &- transport)
    var checksum = InternetChecksum()
    if packet.tuple.isIPv6 {
      checksum.addIPv6PseudoHeader(
        source: (packet.quadWord(network &+ 8), packet.quadWord(network &+ 16)),
        destination: (packet.quadWord(network &+ 24), packet.quadWord(network &+ 32)), transportProtocol: 6,
        byteCount: length)
    } else {
      checksum.addIPv4PseudoHeader(
        source: packet.doubleWord(network &+ 12), destination: packet.doubleWord(network &+ 16), transportProtocol: 6,
        byteCount: length)
    }
    if packet.hasOpenChecksum {
      edits.store(transport &+ 16, checksum.sum)
    } else {
      edits.store(transport &+ 16, 0)
      unsafe checksum.add(UnsafeRawBufferPointer(start: frame + transport, count: newEnd &- transport))
      edits.store(transport &+ 16, checksum.value)
    }
    return true
  }

  // MARK: fragments that wait

  /// Keeps a fragment until its datagram's first one comes: it will begin anew at the port where it came into this bridge, from a
  /// device or from another bridge, so it has to be as it came there.
  /// - Returns: false if it can't wait.
  private func hold(
    _ index: PacketIndex, _ packet: borrowing TrackedPacket, _ context: borrowing ProgramContext, now: UInt32
  ) -> Bool {
    guard context.depth == 0, !context.isChanged, pool[index].origin == Packet.none,
      pool[index].inPort != Burst.controllerSlot
    else { return false }
    if let other = held.makeRoom(for: pool[index].inPort) { drop(other, .earlyFragment) }
    return held.append(
      HeldFragments.Entry(
        packet: index, tuple: packet.tuple, fragmentID: packet.fragmentID, since: now, slot: pool[index].inPort))
  }

  /// Has the fragments that waited for this one processed behind what is pending.
  private func releaseHeld(of packet: borrowing TrackedPacket, zone: UInt16, slot: UInt16) {
    guard held.count > 0 else { return }
    var tuple = packet.tuple
    tuple.zone = zone
    tuple.sourcePort = 0
    tuple.destinationPort = 0
    while let index = held.take(tuple: tuple, fragmentID: packet.fragmentID, slot: slot) {
      let position = unsafe state.pointee.pendingCount
      guard position < Burst.packetLimit else {
        drop(index, .noBuffer)
        continue
      }
      // It begins anew, but has come in once.
      if unsafe pool.frame(index).load(as: UInt8.self) & 1 != 0 {
        unsafe counters[Int(slot)].receivedMulticastPackets &-= 1
      }
      unsafe pending[position] = index
      unsafe state.pointee.pendingCount = position &+ 1
    }
  }

  /// What is due once a burst: connections and fragments whose time is over.
  @inline(never)
  func sweepConnections() {
    let now = unsafe state.pointee.now
    tracker.table.sweep(now: now)
    while held.count > 0, let index = held.takeExpired(now: now) { drop(index, .earlyFragment) }
  }
}
