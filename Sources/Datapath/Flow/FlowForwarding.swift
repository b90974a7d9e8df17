// A packet's way through a bridge with flow tables: key → exact-match cache → megaflow cache → on a miss translation, here
// and now → its program.
//
// A cached flow is used while nothing that it was made from has changed: a table that its look-ups were in, a group, a port.
// That is asked for only when the version of the tables has moved on; a flow that is no longer right is replaced.
// Thread: one worker. Nothing here allocates memory or can trap on a frame's bytes.

import VSwitchCore

extension Burst {
  /// Runs one packet through the flow tables of its bridge.
  @inline(never)
  func processFlows(_ index: PacketIndex, _ bridge: FlowBridge, _ forwarding: Forwarding) {
    var layout = PacketLayout()
    let parser = unsafe FlowKeyParser(pool.frame(index), byteCount: Int(pool[index].byteCount))
    guard unsafe parser.parse(inPort: bridge.number(of: pool[index].inPort), into: &flows.key.pointee, &layout) else {
      drop(index, .truncated)
      return
    }
    if unsafe flows.key.pointee.ethernetDestination & 0x0100_0000_0000 != 0 {
      unsafe counters[Int(pool[index].inPort)].receivedMulticastPackets &+= 1
    }
    if unsafe state.pointee.nanoseconds == 0 { unsafe state.pointee.nanoseconds = monotonicNanoseconds() }
    let now = unsafe state.pointee.nanoseconds
    let version = bridge.tables.version
    let entry = unsafe bridge.exactMatch.entry(flows.key.pointee)
    var flow: UInt32
    if unsafe bridge.exactMatch.isHit(entry, flows.key.pointee, bridge.megaflows) {
      flow = unsafe entry.pointee.flow
    } else {
      flow = unsafe bridge.megaflows.lookup(flows.key.pointee)
      if flow != MegaflowCache.noFlow {
        unsafe bridge.exactMatch.remember(entry, flows.key.pointee, flow: flow, bridge.megaflows)
      }
    }
    if flow != MegaflowCache.noFlow, !isCurrent(flow, bridge, version) {
      bridge.megaflows.remove(flow)
      flow = MegaflowCache.noFlow
    }
    var context = ProgramContext(
      forwarding: forwarding, bridge: bridge, layout: layout, resumption: nil, now: now)
    guard flow != MegaflowCache.noFlow else {
      miss(index, &context, version)
      return
    }
    let cached = unsafe bridge.megaflows.flows + Int(flow)
    let byteCount = UInt64(pool[index].byteCount)
    unsafe cached.pointee.packetCount &+= 1
    unsafe cached.pointee.byteCount &+= byteCount
    unsafe cached.pointee.usedAt = state.pointee.now
    let start = unsafe cached.pointee.stepStart
    let stepCount = unsafe Int(cached.pointee.stepCount)
    let hits = unsafe bridge.megaflows.steps.hits(
      start, stepCount: stepCount, count: Int(cached.pointee.hitCount))
    unsafe count(hits, byteCount: byteCount, now: now, bridge)
    if unsafe cached.pointee.drop != MegaflowCache.noDrop {
      drop(index, unsafe DropReason(rawValue: cached.pointee.drop) ?? .noOutput)
      return
    }
    context.resumption = unsafe Resumption(key: cached.pointee.key, point: 0)
    unsafe run(bridge.megaflows.steps.steps(start, count: stepCount), index, &context)
  }

  /// Counts a packet for what it has hit.
  @inline(__always)
  func count(_ hits: UnsafeBufferPointer<UInt32>, byteCount: UInt64, now: UInt64, _ bridge: FlowBridge) {
    for position in 0..<hits.count {
      bridge.count(unsafe hits[position], packetCount: 1, byteCount: byteCount, now: now)
    }
  }

  /// Whether a cached flow is what the tables would say now.
  @inline(__always)
  private func isCurrent(_ number: UInt32, _ bridge: FlowBridge, _ version: UInt64) -> Bool {
    let flow = unsafe bridge.megaflows.flows + Int(number)
    if unsafe flow.pointee.version == version, unsafe flow.pointee.portsVersion == bridge.portsVersion { return true }
    return isStillRight(number, bridge, version)
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

  /// Translates, keeps the answer if there is room for it, and runs it.
  @inline(never)
  private func miss(_ index: PacketIndex, _ context: inout ProgramContext, _ version: UInt64) {
    let bridge = context.bridge
    var program = unsafe ActionProgram(flows.steps(depth: 0), capacity: FlowScratch.stepLimit)
    let result = unsafe PacketTranslation.translate(
      bridge, key: flows.key.pointee, version: version, resumptions: UnsafeBufferPointer(start: nil, count: 0),
      memory: flows.translation, program: &program, hits: flows.hits)
    let hits = unsafe UnsafeBufferPointer(rebasing: flows.hits[..<min(result.hitCount, flows.hits.count)])
    let flow = unsafe bridge.megaflows.insert(
      flows.key.pointee, result, steps: program.steps, hits: hits, version: version, portsVersion: bridge.portsVersion,
      now: state.pointee.now)
    let byteCount = UInt64(pool[index].byteCount)
    if flow != MegaflowCache.noFlow {
      unsafe bridge.megaflows.flows[Int(flow)].packetCount = 1
      unsafe bridge.megaflows.flows[Int(flow)].byteCount = byteCount
      let entry = unsafe bridge.exactMatch.entry(flows.key.pointee)
      unsafe bridge.exactMatch.remember(entry, flows.key.pointee, flow: flow, bridge.megaflows)
    }
    unsafe count(hits, byteCount: byteCount, now: context.now, bridge)
    if let reason = result.drop {
      drop(index, reason)
      return
    }
    var key = unsafe flows.key.pointee
    for word in 0..<FlowKey.wordCount { key.words[word] &= result.mask.words[word] }
    context.resumption = Resumption(key: key, point: 0)
    unsafe run(program.steps, index, &context)
  }

  /// Parses a packet again after a tag or label was taken off, and goes on at the point where its program stopped. Such
  /// packets are translated each time.
  func continueAfterParsing(_ index: PacketIndex, _ context: ProgramContext) {
    guard let resumption = context.resumption, context.depth < PacketTranslation.resumptionLimit else {
      drop(index, .recirculationLost)
      return
    }
    var context = context
    var key = FlowKey()
    let parser = unsafe FlowKeyParser(pool.frame(index), byteCount: Int(pool[index].byteCount))
    guard parser.parse(inPort: context.bridge.number(of: pool[index].inPort), into: &key, &context.layout) else {
      drop(index, .truncated)
      return
    }
    let depth = context.depth
    unsafe flows.resumptions[depth] = resumption
    var program = unsafe ActionProgram(flows.steps(depth: depth &+ 1), capacity: FlowScratch.stepLimit)
    let result = unsafe PacketTranslation.translate(
      context.bridge, key: key, version: context.bridge.tables.version,
      resumptions: UnsafeBufferPointer(start: flows.resumptions, count: depth &+ 1), memory: flows.translation,
      program: &program, hits: flows.hits)
    let byteCount = UInt64(pool[index].byteCount)
    unsafe count(
      UnsafeBufferPointer(rebasing: flows.hits[..<min(result.hitCount, flows.hits.count)]), byteCount: byteCount,
      now: context.now, context.bridge)
    if let reason = result.drop {
      drop(index, reason)
      return
    }
    for word in 0..<FlowKey.wordCount { key.words[word] &= result.mask.words[word] }
    context.resumption = Resumption(key: key, point: 0)
    context.depth = depth &+ 1
    unsafe run(program.steps, index, &context)
  }

  /// A hash that tells a packet's flow from others: over addresses and ports, the same for every packet of a connection's
  /// direction.
  func flowHash() -> UInt32 {
    func add(_ hash: UInt64, _ word: UInt64) -> UInt64 {
      let product = (hash ^ word) &* 0x9e37_79b9_7f4a_7c15
      return product ^ product &>> 32
    }
    let key = unsafe flows.key
    var hash = unsafe add(key.pointee.words[1] &>> 16, key.pointee.words[2] &>> 16)
    hash = unsafe add(hash, key.pointee.words[4])
    for word in 7...10 { hash = unsafe add(hash, key.pointee.words[word]) }
    // The protocol and both ports.
    hash = unsafe add(hash, key.pointee.words[5] & 0xff00_0000 &<< 32 | key.pointee.words[6] &>> 32)
    return UInt32(truncatingIfNeeded: (hash &* 0xd6e8_feb8_6659_fd93) &>> 32)
  }
}
