// Packets of answered connections take their whole way at once (`ConnectionPathCache`): the connection is followed, addresses are
// translated, both cached flows count, and the second one's program is run; neither parsed nor looked up again.
//
// A path is noted when a packet has gone it step by step: its first flow's program is a `ct(…)` and nothing else, the tracker found
// an answered connection without a helper, and what the second flow's program does needs no flow key. Whatever is not as it
// was then goes step by step again. Thread: one worker. Nothing here allocates memory or can trap on a frame's bytes.

import VSwitchCore

/// A way that a packet may be found to have gone.
struct PathCandidate {
  var entry = ConnectionPathCache.Entry()
  /// As the frame had them before the translation.
  var addresses: UInt64 = 0
  var ports: UInt32 = 0
}

extension Burst {
  private var paths: ConnectionPathCache { @inline(__always) get { unsafe state.pointee.paths } }

  /// Shortest frame with the ports in it.
  private static var pathByteCount: UInt32 { 42 }

  /// Connections that begin in one burst so that more are likely in the next.
  private static var floodCount: UInt64 { 4 }

  /// Connections that the processor's nearest cache has room for.
  private static var nearConnections: Int { 128 }

  // MARK: going it

  /// Has the processor fetch what the packets of a burst will need to go their ways: entries of the cache, and then, when these
  /// have come, connections.
  @inline(never)
  func fetchPaths(_ forwarding: Forwarding) {
    // A few are in the nearest cache already. Bursts are one port's for the most.
    let slot = Int(unsafe pool[pending[0]].inPort)
    guard unsafe tracker.table.state.pointee.count > Burst.nearConnections, slot < forwarding.portLimit,
      unsafe forwarding.ports[slot].hasFlows,
      let bridge = unsafe forwarding.bridges[Int(forwarding.ports[slot].bridge)].flows,
      unsafe bridge.megaflows.state.pointee.hasPaths
    else { return }
    let count = min(unsafe state.pointee.pendingCount, FlowScratch.fetchLimit)
    for position in 0..<count {
      let index = unsafe pending[position]
      guard pool[index].byteCount >= Burst.pathByteCount else {
        unsafe flows.pathSets[position] = 0
        continue
      }
      unsafe flows.pathSets[position] = paths.fetch(ConnectionPathCache.Key(pool.frame(index)))
    }
    for position in 0..<count { tracker.table.fetch(unsafe paths.connection(set: flows.pathSets[position])) }
  }

  /// Has the processor fetch where the tracker will look for the connections of the packets of a burst, if many have just begun:
  /// in a large table each is in another place.
  @inline(never)
  func fetchTuples() {
    let table = tracker.table
    let created = unsafe table.state.pointee.statistics.created
    let isFlood = unsafe created &- state.pointee.createdCount >= Burst.floodCount
    unsafe state.pointee.createdCount = created
    guard isFlood, unsafe table.state.pointee.count > Burst.nearConnections else { return }
    let zone = unsafe table.state.pointee.lastZone
    for position in 0..<min(unsafe state.pointee.pendingCount, FlowScratch.fetchLimit) {
      let index = unsafe pending[position]
      guard pool[index].byteCount >= Burst.pathByteCount else { continue }
      let key = unsafe ConnectionPathCache.Key(pool.frame(index))
      if key.canHavePath { table.fetch(hash: table.hash(key.tuple(zone: zone))) }
    }
  }

  /// Sends a packet its whole way, if that is known.
  /// - Returns: false, with nothing done, if it has to go step by step.
  @inline(__always)
  func takePath(_ index: PacketIndex, _ bridge: FlowBridge, _ forwarding: Forwarding) -> Bool {
    guard pool[index].byteCount >= Burst.pathByteCount, pool[index].references == 1 else { return false }
    let key = unsafe ConnectionPathCache.Key(pool.frame(index))
    guard
      let entry = unsafe paths.find(key, inPort: pool[index].inPort, forwardingVersion: forwarding.version)
    else { return false }
    return unsafe takePath(index, entry, bridge, forwarding)
  }

  @inline(never)
  private func takePath(
    _ index: PacketIndex, _ entry: UnsafeMutablePointer<ConnectionPathCache.Entry>, _ bridge: FlowBridge,
    _ forwarding: Forwarding
  ) -> Bool {
    let version = bridge.tables.version
    let flows = bridge.megaflows
    let table = tracker.table
    let now = unsafe state.pointee.now
    guard unsafe entry.pointee.tablesVersion == version,
      unsafe flows.flows[Int(entry.pointee.firstFlow)].generation == entry.pointee.firstGeneration,
      unsafe flows.flows[Int(entry.pointee.secondFlow)].generation == entry.pointee.secondGeneration,
      let connection = unsafe table.record(entry.pointee.reference), unsafe table.isAlive(connection, now),
      unsafe connection.pointee.mark == entry.pointee.mark,
      unsafe (connection.pointee.labelHigh ^ entry.pointee.labelHigh)
        | (connection.pointee.labelLow ^ entry.pointee.labelLow) == 0,
      unsafe connection.pointee.flags.isDisjoint(with: [.isAdjusted, .isRelated, .isHelped]),
      unsafe table.state.pointee.watcher == nil,
      let packet = unsafe PathPacket(
        pool.frame(index), byteCount: Int(pool[index].byteCount), isTCP: entry.pointee.key.isTCP, pool[index].offload)
    else { return false }
    guard
      unsafe tracker.follow(
        connection, packet.segment, byteCount: Int(pool[index].byteCount), isReply: entry.pointee.isReply, now: now)
    else { return false }
    unsafe packet.translate(entry)
    if unsafe state.pointee.nanoseconds == 0 { unsafe state.pointee.nanoseconds = monotonicNanoseconds() }
    var context = unsafe ProgramContext(
      forwarding: forwarding, bridge: bridge, version: version, now: state.pointee.nanoseconds)
    context.layout.networkOffset = 14
    context.layout.etherType = 0x0800
    context.layout.transportOffset = 34
    context.layout.transportProtocol = packet.isTCP ? 6 : 17
    context.depth = 1
    context.isChanged = true
    let byteCount = UInt64(pool[index].byteCount)
    touch(unsafe entry.pointee.firstFlow, bridge, byteCount: byteCount)
    context.flow = unsafe entry.pointee.secondFlow
    touch(context.flow, bridge, byteCount: byteCount)
    let cached = unsafe flows.flows + Int(context.flow)
    unsafe run(
      flows.steps.steps(cached.pointee.stepStart, count: Int(cached.pointee.stepCount)), index, &context)
    return true
  }

  // MARK: noting it

  /// Begins to note the way of a packet that is about to be tracked.
  /// - Returns: whether it may be one that can be gone at once.
  @inline(__always)
  func beginPath(
    _ index: PacketIndex, _ request: borrowing ConntrackRequest, _ context: borrowing ProgramContext
  ) -> Bool {
    guard context.depth == 0, !context.isChanged, context.flow != MegaflowCache.noFlow,
      request.flags.contains(.recirculates), pool[index].origin == Packet.none,
      pool[index].byteCount >= Burst.pathByteCount
    else { return false }
    let frame = unsafe pool.frame(index)
    let candidate = unsafe flows.path
    unsafe candidate.pointee.entry.key = ConnectionPathCache.Key(frame)
    unsafe candidate.pointee.addresses = frame.loadUnaligned(fromByteOffset: 26, as: UInt64.self)
    unsafe candidate.pointee.ports = frame.loadUnaligned(fromByteOffset: 34, as: UInt32.self)
    return true
  }

  /// Notes what the tracker said, and what the packet is now.
  /// - Returns: false if that differs from packet to packet.
  @inline(never)
  func notePath(
    _ index: PacketIndex, _ request: borrowing ConntrackRequest, _ context: borrowing ProgramContext,
    _ verdict: borrowing ConnectionTracker.Verdict
  ) -> Bool {
    let candidate = unsafe flows.path
    let state = verdict.connection.state
    guard state.isDisjoint(with: [.new, .related, .invalid]), unsafe candidate.pointee.entry.key.canHavePath,
      !request.flags.contains(.forces), request.helper == .none, request.markMask == 0,
      request.labelMaskHigh | request.labelMaskLow == 0, !verdict.needsHelper,
      let connection = unsafe tracker.table.record(verdict.connection.reference)
    else { return false }
    let frame = unsafe pool.frame(index)
    var entry = unsafe candidate.pointee.entry
    entry.inPort = pool[index].inPort
    entry.firstFlow = context.flow
    unsafe entry.addresses = frame.loadUnaligned(fromByteOffset: 26, as: UInt64.self)
    unsafe entry.ports = frame.loadUnaligned(fromByteOffset: 34, as: UInt32.self)
    entry.addressChange = unsafe Burst.change(candidate.pointee.addresses, entry.addresses)
    entry.portChange = unsafe Burst.change(UInt64(candidate.pointee.ports), UInt64(entry.ports))
    entry.reference = verdict.connection.reference
    entry.isReply = verdict.connection.isReply
    unsafe entry.mark = connection.pointee.mark
    unsafe entry.labelHigh = connection.pointee.labelHigh
    unsafe entry.labelLow = connection.pointee.labelLow
    unsafe candidate.pointee.entry = entry
    return true
  }

  /// Σ(~old + new) over the 16-bit words of what was stored; words that stay add nothing.
  private static func change(_ old: UInt64, _ new: UInt64) -> UInt32 {
    var sum: UInt32 = 0
    for shift in stride(from: UInt64(0), to: 64, by: 16) {
      let (before, after) = (UInt16(truncatingIfNeeded: old &>> shift), UInt16(truncatingIfNeeded: new &>> shift))
      if before != after { sum &+= UInt32(~UInt16(bigEndian: before)) &+ UInt32(UInt16(bigEndian: after)) }
    }
    return sum
  }

  /// Keeps the way that was noted, now that the flow is known that the packet meets behind the tracker.
  @inline(never)
  func keepPath(_ context: borrowing ProgramContext) {
    var entry = unsafe self.flows.path.pointee.entry
    let flows = context.bridge.megaflows
    let (first, second) = unsafe (flows.flows + Int(entry.firstFlow), flows.flows + Int(context.flow))
    guard unsafe second.pointee.drop == MegaflowCache.noDrop,
      unsafe Burst.needsNoKey(
        flows.steps.steps(second.pointee.stepStart, count: Int(second.pointee.stepCount))),
      // Flags and marks differ from segment to segment.
      unsafe Burst.variableBits(flows.masks + Int(first.pointee.mask))
        | Burst.variableBits(flows.masks + Int(second.pointee.mask)) == 0
    else { return }
    entry.forwardingVersion = context.forwarding.version
    entry.tablesVersion = context.version
    entry.secondFlow = context.flow
    unsafe entry.firstGeneration = first.pointee.generation
    unsafe entry.secondGeneration = second.pointee.generation
    paths.keep(entry)
    unsafe flows.state.pointee.hasPaths = true
    unsafe state.pointee.hasPaths = true
  }

  /// Bits of a mask that packets of one connection differ in: TCP's flags, marks.
  @inline(__always)
  private static func variableBits(_ mask: UnsafePointer<MegaflowCache.Mask>) -> UInt64 {
    unsafe mask.pointee.bits.words[3] & 0xfff | mask.pointee.bits.words[FlowKey.packetMarkWord] &>> 32
  }

  /// Whether steps look at nothing but the packet's bytes.
  private static func needsNoKey(_ steps: UnsafeBufferPointer<ActionStep>) -> Bool {
    for position in 0..<steps.count {
      switch unsafe steps[position].operation {
      case .output, .normal, .setField, .decrementTTL, .pushVLAN, .popVLAN, .checkLength, .clone, .countRule,
        .countBucket:
        continue
      default: return false
      }
    }
    return true
  }
}

/// A packet that has a path: its header's words are known, lengths and checksums are not.
@safe private struct PathPacket {
  private let frame: UnsafeMutableRawPointer
  let isTCP: Bool
  private let hasOpenChecksum: Bool
  /// Nil: UDP.
  let segment: TCPSegment?

  /// Nil: lengths or checksums are wrong, or it is for the tracker to say what the packet is.
  @inline(__always)
  init?(_ frame: UnsafeMutableRawPointer, byteCount: Int, isTCP: Bool, _ offload: OffloadMetadata) {
    @inline(__always) func word(_ offset: Int) -> UInt16 {
      unsafe UInt16(bigEndian: frame.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }
    @inline(__always) func doubleWord(_ offset: Int) -> UInt32 {
      unsafe UInt32(bigEndian: frame.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }
    let count = Int(word(16)) &- 20
    guard count >= (isTCP ? 20 : 8), count &+ 34 <= byteCount else { return nil }
    let needsChecksum = offload.flags & OffloadMetadata.needsChecksum != 0
    if needsChecksum, offload.checksumStart != 34 { return nil }
    if isTCP {
      let offsetAndFlags = word(46)
      let headerByteCount = Int(offsetAndFlags &>> 12) &* 4
      let flags = UInt8(truncatingIfNeeded: offsetAndFlags) & 0x3f
      // What begins and ends connections is seldom.
      guard headerByteCount >= 20, headerByteCount <= count,
        flags & (TCPSegment.syn | TCPSegment.fin | TCPSegment.rst | TCPSegment.ack) == TCPSegment.ack
      else { return nil }
      segment = TCPSegment(
        sequence: doubleWord(38), acknowledgement: doubleWord(42), window: UInt32(word(48)),
        byteCount: UInt32(truncatingIfNeeded: count &- headerByteCount), flags: flags, scale: 0)
    } else {
      let said = Int(word(38))
      guard said >= 8, said <= count else { return nil }
      segment = nil
    }
    let isTrusted =
      offload.flags & (OffloadMetadata.needsChecksum | OffloadMetadata.dataValid) != 0
      || offload.gsoType != OffloadMetadata.gsoNone
    if !isTrusted {
      guard unsafe InternetChecksum.sum(of: UnsafeRawBufferPointer(start: frame + 14, count: 20)) == 0xffff else {
        return nil
      }
      // 0 is none.
      if isTCP || word(40) != 0 {
        var checksum = InternetChecksum()
        checksum.add(doubleWord(26))
        checksum.add(doubleWord(30))
        checksum.add(UInt16(isTCP ? 6 : 17))
        checksum.add(UInt16(truncatingIfNeeded: count))
        unsafe checksum.add(UnsafeRawBufferPointer(start: frame + 34, count: count))
        guard checksum.sum == 0xffff else { return nil }
      }
    }
    unsafe self.frame = frame
    self.isTCP = isTCP
    hasOpenChecksum = needsChecksum
  }

  /// Gives the packet the addresses and ports of its path, and mends the checksums.
  @inline(__always)
  func translate(_ entry: UnsafeMutablePointer<ConnectionPathCache.Entry>) {
    let (addresses, ports) = unsafe (UInt64(entry.pointee.addressChange), UInt64(entry.pointee.portChange))
    guard addresses | ports != 0 else { return }
    unsafe frame.storeBytes(of: entry.pointee.addresses, toByteOffset: 26, as: UInt64.self)
    unsafe frame.storeBytes(of: entry.pointee.ports, toByteOffset: 34, as: UInt32.self)
    let edits = unsafe PacketTranslator.Edits(frame)
    edits.mend(24, addresses)
    let place = isTCP ? 50 : 40
    let hasChecksum = unsafe isTCP || hasOpenChecksum || frame.loadUnaligned(fromByteOffset: 40, as: UInt16.self) != 0
    guard hasChecksum else { return }
    edits.mend(place, addresses, ports, isOpen: hasOpenChecksum)
    if !isTCP, !hasOpenChecksum, unsafe frame.loadUnaligned(fromByteOffset: 40, as: UInt16.self) == 0 {
      edits.store(40, 0xffff)
    }
  }
}
