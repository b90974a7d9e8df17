// A packet's way through a bridge with flow tables: key → exact-match cache → megaflow cache → on a miss translation, here
// and now → its program. A packet that comes back (what lies below a tag or label has to be read) goes the same way, without
// the exact-match cache: its key has the recirculation id of the flow and the point where it left.
//
// A cached flow is used while nothing that it was made from has changed: a table that its look-ups were in, a group, a port.
// That is asked for only when the version of the tables has moved on; a flow that is no longer right is replaced.
// What a flow's rules have counted is written to them at the end of the burst, once for all its packets.
// Thread: one worker. Nothing here allocates memory or can trap on a frame's bytes.

import VSwitchCore

extension Burst {
  /// Runs one packet through the flow tables of its bridge.
  @inline(never)
  func processFlows(_ index: PacketIndex, _ bridge: FlowBridge, _ forwarding: Forwarding) {
    unsafe state.pointee.hasTables = true
    if unsafe bridge.megaflows.state.pointee.hasPaths, takePath(index, bridge, forwarding) { return }
    if unsafe state.pointee.nanoseconds == 0 { unsafe state.pointee.nanoseconds = monotonicNanoseconds() }
    var context = unsafe ProgramContext(
      forwarding: forwarding, bridge: bridge, version: bridge.tables.version, now: state.pointee.nanoseconds)
    let parser = unsafe FlowKeyParser(pool.frame(index), byteCount: Int(pool[index].byteCount))
    guard
      unsafe parser.parse(
        inPort: bridge.number(of: pool[index].inPort), into: &flows.keys.pointee, &context.layout)
    else {
      drop(index, .truncated)
      return
    }
    if unsafe flows.keys.pointee.ethernetDestination & 0x0100_0000_0000 != 0 {
      unsafe counters[Int(pool[index].inPort)].receivedMulticastPackets &+= 1
    }
    context.isAsParsed = true
    unsafe flows.keys.pointee.packetMark = pool[index].mark
    unsafe context.flow = firstFlow(flows.words(depth: 0), bridge)
    runOrTranslate(index, &context)
  }

  /// The cached flow for a packet that has come in: that of the one before, or by the caches.
  @inline(__always)
  private func firstFlow(_ key: UnsafePointer<UInt64>, _ bridge: FlowBridge) -> UInt32 {
    let megaflows = bridge.megaflows
    let expected = unsafe megaflows.state.pointee.expectedFlow
    if unsafe megaflows.isMet(expected, key) { return expected }
    // The exact-match cache knows no mark.
    guard unsafe key[FlowKey.packetMarkWord] == 0 else { return unsafe megaflows.lookup(key) }
    let entry = unsafe bridge.exactMatch.entry(key)
    var flow: UInt32
    if unsafe bridge.exactMatch.isHit(entry, key, megaflows) {
      flow = unsafe entry.pointee.flow
    } else {
      flow = unsafe megaflows.lookup(key)
      if flow != MegaflowCache.noFlow { unsafe bridge.exactMatch.remember(entry, key, flow: flow, megaflows) }
    }
    let isRepeated = unsafe megaflows.state.pointee.lastFlow == flow
    unsafe megaflows.state.pointee.expectedFlow = isRepeated ? flow : MegaflowCache.noFlow
    unsafe megaflows.state.pointee.lastFlow = flow
    return flow
  }

  /// The cached flow for a packet that has come back: that of the one before, or by its key.
  @inline(__always)
  private func nextFlow(_ key: UnsafePointer<UInt64>, after parent: UInt32, _ megaflows: MegaflowCache) -> UInt32 {
    let last = unsafe megaflows.flows[Int(parent)].following
    if unsafe megaflows.isMet(last, key) { return last }
    let flow = unsafe megaflows.lookup(key)
    unsafe megaflows.flows[Int(parent)].following = flow
    return flow
  }

  /// Parses a packet again, if its bytes have changed, and goes on at the point where its program stopped: it is not the context
  /// of that program any more.
  @inline(never)
  func continueAfterParsing(_ index: PacketIndex, _ context: inout ProgramContext, point: UInt32) {
    let depth = context.depth
    guard depth < PacketTranslation.resumptionLimit else {
      drop(index, .recirculationLost)
      return
    }
    unsafe flows.origins[depth] = context.flow
    unsafe flows.resumptions[depth].point = point
    context.depth = depth &+ 1
    let key = unsafe flows.keys + context.depth
    if !context.hasConnectionFields { flows.carryConnection(to: context.depth, isCleared: context.isConnectionCleared) }
    context.hasConnectionFields = false
    context.isConnectionCleared = false
    if context.isAsParsed {
      flows.carryPacket(to: context.depth)
    } else {
      let parser = unsafe FlowKeyParser(pool.frame(index), byteCount: Int(pool[index].byteCount))
      let inPort = context.bridge.number(of: pool[index].inPort)
      guard unsafe parser.parse(inPort: inPort, into: &key.pointee, &context.layout) else {
        drop(index, .truncated)
        return
      }
      context.isAsParsed = true
    }
    let parent = context.flow
    context.flow = MegaflowCache.noFlow
    context.isKept = false
    if parent != MegaflowCache.noFlow,
      let identifier = context.bridge.megaflows.recirculationID(flow: parent, point: point)
    {
      unsafe key.pointee.recirculationID = identifier
      context.isKept = true
      unsafe context.flow = nextFlow(flows.words(depth: context.depth), after: parent, context.bridge.megaflows)
      if context.hasPath, context.flow != MegaflowCache.noFlow, isCurrent(context) { keepPath(context) }
    }
    context.hasPath = false
    runOrTranslate(index, &context)
  }

  /// Runs the cached flow that was found, if it is still what the tables say.
  @inline(__always)
  private func runOrTranslate(_ index: PacketIndex, _ context: inout ProgramContext) {
    let bridge = context.bridge
    guard context.flow != MegaflowCache.noFlow, isCurrent(context) else {
      translate(index, &context, actions: context.actions)
      return
    }
    touch(context.flow, bridge, byteCount: UInt64(pool[index].byteCount))
    let cached = unsafe bridge.megaflows.flows + Int(context.flow)
    if unsafe cached.pointee.drop != MegaflowCache.noDrop {
      drop(index, unsafe DropReason(rawValue: cached.pointee.drop) ?? .noOutput)
      return
    }
    unsafe run(
      bridge.megaflows.steps.steps(cached.pointee.stepStart, count: Int(cached.pointee.stepCount)), index, &context)
  }

  /// Translates, keeps the answer if there is room for it, and runs it.
  /// - Parameter actions: of a packet from a controller; nil: the tables decide.
  @inline(never)
  func translate(_ index: PacketIndex, _ context: inout ProgramContext, actions: RuleCode? = nil) {
    let bridge = context.bridge
    let depth = context.depth
    let key = unsafe flows.keys + depth
    if context.flow != MegaflowCache.noFlow {
      settle(context.flow, bridge)
      bridge.megaflows.remove(context.flow)
      context.flow = MegaflowCache.noFlow
    }
    if depth == 0, bridge.megaflows.hasNoRecirculationIDs {
      settleAll()
      bridge.megaflows.removeAll()
    }
    for level in 0..<depth {
      let origin = unsafe flows.origins[level]
      if origin != MegaflowCache.noFlow {
        unsafe flows.resumptions[level].key = bridge.megaflows.flows[Int(origin)].key
      }
    }
    unsafe bridge.megaflows.state.pointee.translationCount &+= 1
    noteMiss(index)
    var program = unsafe ActionProgram(flows.steps(depth: depth), capacity: FlowScratch.stepLimit)
    let result = unsafe PacketTranslation.translate(
      bridge.pipeline, key: key.pointee, version: context.version,
      resumptions: UnsafeBufferPointer(start: flows.resumptions, count: depth),
      setsPipeline: flows.resumptions[depth].setsPipeline, actions: actions, memory: flows.translation,
      program: &program, hits: flows.hits)
    let hits = unsafe UnsafeBufferPointer(rebasing: flows.hits[..<min(result.hitCount, flows.hits.count)])
    let byteCount = UInt64(pool[index].byteCount)
    if context.isKept, actions == nil {
      context.flow = unsafe bridge.megaflows.insert(
        flows.words(depth: depth), result, steps: program.steps, hits: hits, version: context.version,
        portsVersion: bridge.portsVersion, owner: pool[index].inPort, now: state.pointee.now)
    }
    if context.flow != MegaflowCache.noFlow {
      touch(context.flow, bridge, byteCount: byteCount)
      let words = unsafe flows.words(depth: 0)
      if depth == 0, unsafe words[FlowKey.packetMarkWord] == 0 {
        unsafe bridge.exactMatch.remember(
          bridge.exactMatch.entry(words), words, flow: context.flow, bridge.megaflows)
      }
    } else {
      for position in 0..<hits.count {
        bridge.count(unsafe hits[position], packetCount: 1, byteCount: byteCount, now: context.now)
      }
      for word in 0..<FlowKey.wordCount {
        // What a controller has set is in no mask: it is not the packet's.
        let isSet = unsafe flows.resumptions[depth].setsPipeline && Resumption.isSetByControllers(word)
        unsafe flows.resumptions[depth].key.words[word] =
          unsafe key.pointee.words[word] & (isSet ? .max : result.mask.words[word])
      }
    }
    if let reason = result.drop {
      drop(index, reason)
      return
    }
    unsafe run(program.steps, index, &context)
  }

  // MARK: counting

  /// Notes a packet of a cached flow, which counts for the flow's rules at the end of the burst.
  @inline(__always)
  func touch(_ number: UInt32, _ bridge: FlowBridge, byteCount: UInt64) {
    let flow = unsafe bridge.megaflows.flows + Int(number)
    let before = unsafe flow.pointee.burstPacketCount
    unsafe flow.pointee.burstPacketCount = before &+ 1
    unsafe flow.pointee.burstByteCount &+= byteCount
    if before == 0 { touchFirst(number, bridge) }
  }

  @inline(never)
  private func touchFirst(_ number: UInt32, _ bridge: FlowBridge) {
    let flow = unsafe bridge.megaflows.flows + Int(number)
    unsafe flow.pointee.usedAt = state.pointee.now
    unsafe bridge.megaflows.masks[Int(flow.pointee.mask)].usedAt = state.pointee.now
    let count = unsafe flows.touchedCount.pointee
    guard count < FlowScratch.touchedLimit else {
      settle(number, bridge)
      return
    }
    unsafe flows.touched[count] = (bridge, number)
    unsafe flows.touchedCount.pointee = count &+ 1
  }

  /// Counts the packets of all flows of this burst for their rules: before anybody may read what those have counted, and before
  /// the forwarding tables that the flows' bridges are of may go.
  @inline(__always)
  func settleFlows() {
    guard unsafe flows.touchedCount.pointee > 0 else { return }
    settleAll()
  }

  @inline(never)
  private func settleAll() {
    for position in 0..<(unsafe flows.touchedCount.pointee) {
      // One that has been replaced meanwhile was settled then, and has nothing to count or counts for its own rules.
      settle(unsafe flows.touched[position].flow, unsafe flows.touched[position].bridge)
    }
    unsafe flows.touchedCount.pointee = 0
    sweepConnections()
  }

  private func settle(_ number: UInt32, _ bridge: FlowBridge) {
    let flow = unsafe bridge.megaflows.flows + Int(number)
    let packetCount = unsafe UInt64(flow.pointee.burstPacketCount)
    guard packetCount > 0 else { return }
    let byteCount = unsafe flow.pointee.burstByteCount
    unsafe flow.pointee.burstPacketCount = 0
    unsafe flow.pointee.burstByteCount = 0
    unsafe flow.pointee.packetCount &+= packetCount
    unsafe flow.pointee.byteCount &+= byteCount
    let hits = unsafe bridge.megaflows.steps.hits(
      flow.pointee.stepStart, stepCount: Int(flow.pointee.stepCount), count: Int(flow.pointee.hitCount))
    let now = unsafe state.pointee.nanoseconds
    for position in 0..<hits.count {
      bridge.count(unsafe hits[position], packetCount: packetCount, byteCount: byteCount, now: now)
    }
  }

  // MARK: validity

  /// Whether a cached flow is what the tables would say now.
  @inline(__always)
  private func isCurrent(_ context: borrowing ProgramContext) -> Bool {
    let flow = unsafe context.bridge.megaflows.flows + Int(context.flow)
    if unsafe flow.pointee.version == context.version,
      unsafe flow.pointee.portsVersion == context.bridge.portsVersion
    {
      return true
    }
    return isStillRight(context.flow, context.bridge, context.version)
  }

  @inline(never)
  private func isStillRight(_ number: UInt32, _ bridge: FlowBridge, _ version: UInt64) -> Bool {
    let flow = unsafe bridge.megaflows.flows + Int(number)
    let made = unsafe flow.pointee.version
    if unsafe flow.pointee.dependencies.usesPorts, unsafe flow.pointee.portsVersion != bridge.portsVersion {
      return false
    }
    if unsafe flow.pointee.dependencies.usesGroups, bridge.tables.changedVersion(.groups) > made { return false }
    for word in 0..<4 {
      var bits = unsafe flow.pointee.dependencies.tables[word]
      while bits != 0 {
        let table = UInt8(truncatingIfNeeded: word &* 64 &+ bits.trailingZeroBitCount)
        bits &= bits &- 1
        if bridge.tables.changedVersion(.table(table)) > made { return false }
      }
    }
    unsafe flow.pointee.version = version
    unsafe flow.pointee.portsVersion = bridge.portsVersion
    return true
  }

  /// A hash that tells a packet's flow from others: over addresses and ports, the same for every packet of a connection's
  /// direction.
  func flowHash(_ key: UnsafePointer<FlowKey>) -> UInt32 {
    func add(_ hash: UInt64, _ word: UInt64) -> UInt64 {
      let product = (hash ^ word) &* 0x9e37_79b9_7f4a_7c15
      return product ^ product &>> 32
    }
    var hash = unsafe add(key.pointee.words[1] &>> 16, key.pointee.words[2] &>> 16)
    hash = unsafe add(hash, key.pointee.words[4])
    for word in 7...10 { hash = unsafe add(hash, key.pointee.words[word]) }
    // The protocol and both ports.
    hash = unsafe add(hash, key.pointee.words[5] & 0xff00_0000 &<< 32 | key.pointee.words[6] &>> 32)
    return UInt32(truncatingIfNeeded: (hash &* 0xd6e8_feb8_6659_fd93) &>> 32)
  }
}
