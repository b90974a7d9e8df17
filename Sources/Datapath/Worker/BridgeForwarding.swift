// The bridge: one received frame to the ports where it has to go (the NORMAL action of Open vSwitch).
//
// A decision kept from an earlier packet of the same header, or: parse → VLAN of arrival → reserved addresses → learn →
// look up → emit with the exit port's tag. Drop reasons:
// truncated, taggedOnAccess, vlanNotAllowed, customerVLANNotAllowed, reservedMulticast, samePort, protectedPort,
// noOutput, noBuffer, patchLoop. Thread: one worker. Nothing here allocates memory or can trap on a frame's bytes.

import VSwitchCore

extension Burst {
  /// Most patch ports that one frame crosses.
  static var patchHopLimit: UInt8 { 8 }

  /// Shortest frame that the cache of decisions is asked for: its header and some more.
  static var decisionByteCount: UInt32 { 22 }

  /// Forwards every pending packet.
  func processPending(_ forwarding: Forwarding) {
    guard unsafe state.pointee.pendingCount > 0 else { return }
    decisions.begin(forwarding, now: unsafe state.pointee.now)
    // Packets that cross a patch port are appended, so that the count grows meanwhile.
    var position = unsafe state.pointee.hasTables ? processTabled(forwarding) : 0
    while unsafe position < state.pointee.pendingCount {
      let index = unsafe pending[position]
      position &+= 1
      guard pool[index].byteCount >= Burst.decisionByteCount else {
        // A frame without an Ethernet header meets no rule.
        if pool[index].byteCount < 14 { meetsNoRule(index, slot: pool[index].inPort) }
        process(index, forwarding)
        continue
      }
      let header = unsafe DecisionCache.Header(pool.frame(index))
      let entry = unsafe decisions.entry(header)
      guard unsafe decisions.isDecision(entry, header, inPort: pool[index].inPort) else {
        process(index, forwarding)
        continue
      }
      let exit = unsafe entry.pointee.exit
      if exit & DecisionCache.changesTag != 0 {
        let oldTag = exit & DecisionCache.ownsTag == 0 ? 0 : UInt32(truncatingIfNeeded: header.second &>> 32)
        changeTag(index, from: oldTag, to: unsafe entry.pointee.newTag)
      }
      enqueue(index, slot: exit & DecisionCache.slotMask)
    }
    unsafe state.pointee.pendingCount = 0
    if unsafe state.pointee.hasCrossedPatch { countCrossed(forwarding) }
    settleFlows()
  }

  /// Forwards the packets of a burst whose first one comes to flow tables, which keep no decisions here: bursts are one port's for
  /// the most.
  /// - Returns: how many have been forwarded; what has crossed a patch port meanwhile is behind them.
  @inline(never)
  private func processTabled(_ forwarding: Forwarding) -> Int {
    if unsafe state.pointee.hasPaths { fetchPaths(forwarding) }
    if unsafe state.pointee.createdCount != tracker.table.state.pointee.statistics.created { fetchTuples() }
    let slot = unsafe Int(pool[pending[0]].inPort)
    guard slot < forwarding.portLimit, unsafe forwarding.ports[slot].hasFlows else { return 0 }
    let count = unsafe state.pointee.pendingCount
    for position in 0..<count {
      let index = unsafe pending[position]
      if pool[index].byteCount < 14 { meetsNoRule(index, slot: pool[index].inPort) }
      process(index, forwarding)
    }
    return count
  }

  /// `countNormal` for all patch ports.
  @inline(never)
  private func countCrossed(_ forwarding: Forwarding) {
    unsafe state.pointee.hasCrossedPatch = false
    for slot in 0..<forwarding.portLimit where unsafe forwarding.ports[slot].patchPeer != Forwarding.noPeer {
      countNormal(UInt16(truncatingIfNeeded: slot), forwarding)
    }
  }

  /// Counts what a port has received since the last call for the one rule of a bridge that forwards all as NORMAL: the
  /// port's own counters know, so that the packets themselves cost nothing. Called once a round for each port that gave
  /// some, before the tables that they were forwarded by may go.
  @inline(__always)
  func countNormal(_ slot: UInt16, _ forwarding: Forwarding) {
    guard Int(slot) < forwarding.portLimit else { return }
    let port = unsafe counters + Int(slot)
    let before = unsafe ruleCounts[Int(slot)]
    let after = unsafe RuleCounts(packets: port.pointee.receivedPackets, bytes: port.pointee.receivedBytes)
    unsafe ruleCounts[Int(slot)] = after
    let bridge = unsafe Int(forwarding.ports[Int(slot)].bridge)
    guard after.packets != before.packets, bridge < forwarding.bridgeCount,
      let rule = unsafe forwarding.bridges[bridge].normalRule
    else { return }
    rule.tables.count(
      rule.slot, worker: 0, packetCount: after.packets &- before.packets, byteCount: after.bytes &- before.bytes,
      now: unsafe UInt64(state.pointee.now) &* 1_000_000_000)
  }

  /// A packet that no decision is kept for: by the flow tables, or as a learning bridge if there are none.
  @inline(__always)
  private func process(_ index: PacketIndex, _ forwarding: Forwarding) {
    let slot = pool[index].inPort
    if Int(slot) < forwarding.portLimit, unsafe forwarding.ports[Int(slot)].hasFlows,
      let flows = unsafe forwarding.bridges[Int(forwarding.ports[Int(slot)].bridge)].flows
    {
      // Tables may look at, and change, headers behind the first bytes.
      if pool[index].externalByteCount != 0 { pool.gather(index) }
      processFlows(index, flows, forwarding)
    } else {
      forwardNormal(index, forwarding)
    }
  }

  /// The port by which a packet came, nil if there is none; `controllerPort` for a controller's.
  @inline(__always)
  private func entry(_ slot: UInt16, _ forwarding: Forwarding) -> UnsafeMutablePointer<ForwardingPort>? {
    if Int(slot) < forwarding.portLimit { return unsafe forwarding.ports + Int(slot) }
    return slot == Burst.controllerSlot ? unsafe controllerPort : nil
  }

  /// Forwards a packet by its addresses and VLAN: the NORMAL action.
  @inline(__always)
  func forwardNormal(_ index: PacketIndex, _ forwarding: Forwarding) {
    forwardNormal(index, forwarding, enteredBy: pool[index].inPort)
  }

  /// - Parameter slot: of the port that it is to have come in by: rules may say another than it was. What becomes of it is
  ///   counted where it was.
  @inline(never)
  func forwardNormal(_ index: PacketIndex, _ forwarding: Forwarding, enteredBy slot: UInt16) {
    guard let port = unsafe entry(slot, forwarding), unsafe port.pointee.bridge != Forwarding.noBridge,
      let key = unsafe EthernetHeader(pool.frame(index), byteCount: Int(pool[index].byteCount))
    else {
      drop(index, .truncated)
      return
    }
    // Of a bridge with flow tables it has been counted already.
    if key.ethernetDestination & 0x0100_0000_0000 != 0, unsafe !port.pointee.hasFlows {
      unsafe counters[Int(pool[index].inPort)].receivedMulticastPackets &+= 1
    }
    let bridge = unsafe forwarding.bridges + Int(port.pointee.bridge)
    var reason = DropReason.noOutput
    guard let arrival = unsafe port.pointee.vlan.arrival(outer: key.outerTag, inner: key.innerTag, reason: &reason)
    else {
      drop(index, reason)
      return
    }
    let isReserved = MACAddress(bits: key.ethernetDestination).isReservedMulticast
    let reservedPass = unsafe bridge.pointee.forwardsReservedMulticast
    if isReserved, !reservedPass, unsafe !port.pointee.forwardsReservedMulticast {
      drop(index, .reservedMulticast)
      return
    }
    let now = unsafe state.pointee.now
    let learns = unsafe !bridge.pointee.hasFloodVLANs || !bridge.pointee.floodVLANs.contains(arrival.vlan)
    if learns, slot != Burst.controllerSlot, key.ethernetSource & 0x0100_0000_0000 == 0 {
      let before = unsafe bridge.pointee.macTable.changeCount
      unsafe bridge.pointee.macTable.learn(vlan: arrival.vlan, address: key.ethernetSource, port: slot, now: now)
      let changes = unsafe bridge.pointee.macTable.changeCount &- before
      if changes != 0 { decisions.forget(changes: changes) }
    }
    let tag = arrival.ownsTag ? key.outerTag : 0
    if key.ethernetDestination & 0x0100_0000_0000 == 0, learns,
      let exit = unsafe bridge.pointee.macTable.port(vlan: arrival.vlan, address: key.ethernetDestination, now: now)
    {
      unsafe unicast(index, arrival, tag: tag, from: port, slot, to: exit, forwarding)
    } else {
      unsafe flood(
        index, arrival, tag: tag, from: port, slot, bridge, onlyReserved: isReserved && !reservedPass, forwarding)
    }
  }

  @inline(__always)
  private func unicast(
    _ index: PacketIndex, _ arrival: VLANPolicy.Arrival, tag: UInt32, from port: UnsafeMutablePointer<ForwardingPort>,
    _ inPort: UInt16, to exit: UInt16, _ forwarding: Forwarding
  ) {
    guard exit != inPort else {
      drop(index, .samePort)
      return
    }
    guard Int(exit) < forwarding.portLimit else {
      drop(index, .noOutput)
      return
    }
    let exitPort = unsafe forwarding.ports + Int(exit)
    guard unsafe exitPort.pointee.bridge == port.pointee.bridge, unsafe exitPort.pointee.vlan.carries(arrival) else {
      drop(index, .vlanNotAllowed)
      return
    }
    guard unsafe !(port.pointee.isProtected && exitPort.pointee.isProtected) else {
      drop(index, .protectedPort)
      return
    }
    guard unsafe !exitPort.pointee.isClosed else {
      drop(index, .portDoesNotForward)
      return
    }
    let newTag = unsafe exitPort.pointee.vlan.departureTag(arrival)
    if unsafe exitPort.pointee.patchPeer == Forwarding.noPeer {
      // Flow tables are asked for every packet.
      if pool[index].byteCount >= Burst.decisionByteCount, unsafe !port.pointee.hasFlows {
        unsafe decisions.remember(
          DecisionCache.Header(pool.frame(index)), inPort: inPort, exit: exit, oldTag: tag, newTag: newTag)
      }
      setTag(index, from: tag, to: newTag)
      enqueue(index, slot: exit)
    } else {
      setTag(index, from: tag, to: newTag)
      unsafe crossPatch(index, out: exit, in: exitPort.pointee.patchPeer)
    }
  }

  @inline(never)
  private func flood(
    _ index: PacketIndex, _ arrival: VLANPolicy.Arrival, tag: UInt32, from port: UnsafeMutablePointer<ForwardingPort>,
    _ inPort: UInt16, _ bridge: UnsafeMutablePointer<ForwardingBridge>, onlyReserved: Bool, _ forwarding: Forwarding
  ) {
    // The last copy made, shared by all ports that want the same tag.
    var copyTag: UInt32 = 0
    var lastCopy = Packet.none
    var wasProtected = false
    let members = unsafe forwarding.members + bridge.pointee.firstMember
    var barriers: FloodBarriers = .leftOut
    if onlyReserved { barriers.insert(.reservedMulticast) }
    if unsafe port.pointee.isProtected { barriers.insert(.protected) }
    // One for each port that might send the packet itself, given back at the end where none did.
    let memberCount = unsafe bridge.pointee.memberCount
    var unused = UInt32(truncatingIfNeeded: memberCount)
    pool[index].references &+= unused
    var member = 0
    while member < memberCount {
      let exit = unsafe members[member]
      member &+= 1
      let exitPort = unsafe forwarding.ports + Int(exit)
      guard exit != inPort, unsafe exitPort.pointee.vlan.carries(arrival) else { continue }
      let met = unsafe exitPort.pointee.floodBarriers.intersection(barriers)
      guard met.isEmpty else {
        if met == .protected { wasProtected = true }
        continue
      }
      let exitTag = unsafe exitPort.pointee.vlan.departureTag(arrival)
      let isPatch = unsafe exitPort.pointee.patchPeer != Forwarding.noPeer
      if exitTag == tag, !isPatch {
        unused &-= 1
        enqueue(index, slot: exit)
        continue
      }
      if !isPatch, lastCopy != Packet.none, copyTag == exitTag {
        pool[lastCopy].references &+= 1
        enqueue(lastCopy, slot: exit)
        continue
      }
      guard let copy = copy(index) else {
        unsafe counters[Int(exit)].transmitDrops[Int(DropReason.noBuffer.rawValue)] &+= 1
        if pool[index].outcome == Packet.undecided { pool[index].outcome = DropReason.noBuffer.rawValue }
        continue
      }
      setTag(copy, from: tag, to: exitTag)
      if isPatch {
        unsafe crossPatch(copy, out: exit, in: exitPort.pointee.patchPeer)
      } else {
        if lastCopy != Packet.none { release(lastCopy) }
        lastCopy = copy
        copyTag = exitTag
        pool[copy].references &+= 1
        enqueue(copy, slot: exit)
      }
    }
    if lastCopy != Packet.none { release(lastCopy) }
    pool[index].references &-= unused
    // Copies that wait keep the packet; this settles it if there are none.
    if wasProtected, pool[index].references == 1 { drop(index, .protectedPort) } else { release(index) }
  }

  /// Hands a packet to the peer bridge. The patch port has delivered it; what becomes of it counts at the peer.
  @inline(never)
  func crossPatch(_ index: PacketIndex, out: UInt16, in peer: UInt16) {
    guard pool[index].patchHops < Burst.patchHopLimit else {
      transmitFailed(index, slot: out, .patchLoop)
      return
    }
    unsafe counters[Int(out)].transmittedPackets &+= 1
    unsafe counters[Int(out)].transmittedBytes &+= UInt64(pool[index].byteCount)
    let origin = pool[index].origin
    if origin == Packet.none {
      count(outcome: Packet.delivered, slot: pool[index].inPort)
    } else {
      pool[index].origin = Packet.none
      pool[origin].outcome = Packet.delivered
      release(origin)
    }
    pool[index].outcome = Packet.undecided
    if pool[index].patchHops == 0 { pool[index].device = pool[index].inPort }
    pool[index].patchHops &+= 1
    unsafe state.pointee.hasCrossedPatch = true
    received(index, slot: peer)
  }

  /// Changes the frame's first VLAN tag.
  /// - Parameters:
  ///   - old: the tag that the frame has and the bridge owns, TPID << 16 | TCI, or 0.
  ///   - new: the tag to have, or 0.
  @inline(never)
  private func setTag(_ index: PacketIndex, from old: UInt32, to new: UInt32) {
    if old != new { changeTag(index, from: old, to: new) }
  }

  @inline(__always)
  private func changeTag(_ index: PacketIndex, from old: UInt32, to new: UInt32) {
    let frame = unsafe pool.frame(index)
    if old != 0, new != 0 {
      unsafe frame.storeBytes(of: new.bigEndian, toByteOffset: 12, as: UInt32.self)
      return
    }
    // Both addresses move by the size of a tag.
    let first = unsafe frame.loadUnaligned(as: UInt64.self)
    let second = unsafe frame.loadUnaligned(fromByteOffset: 8, as: UInt32.self)
    if new == 0 {
      unsafe frame.storeBytes(of: first, toByteOffset: 4, as: UInt64.self)
      unsafe frame.storeBytes(of: second, toByteOffset: 12, as: UInt32.self)
      pool[index].start &+= 4
      pool[index].byteCount &-= 4
      pool[index].offload.moveHeaders(by: -4)
    } else {
      unsafe frame.storeBytes(of: first, toByteOffset: -4, as: UInt64.self)
      unsafe frame.storeBytes(of: second, toByteOffset: 4, as: UInt32.self)
      unsafe frame.storeBytes(of: new.bigEndian, toByteOffset: 8, as: UInt32.self)
      pool[index].start &-= 4
      pool[index].byteCount &+= 4
      pool[index].offload.moveHeaders(by: 4)
    }
  }
}
