// What one worker works in while it runs packets through flow tables: allocated once. Thread: one worker. Memory: freed by
// `deallocate`.

import VSwitchCore

/// Handle of a worker's memory for flows: copies name the same.
@safe struct FlowScratch {
  static var stepLimit: Int { 4096 }
  static var hitLimit: Int { 4096 }
  static var touchedLimit: Int { 1024 }
  /// Packets for which is fetched ahead what they will be looked for in: as much as the nearest cache holds.
  static var fetchLimit: Int { 64 }
  /// Packets a second of one port that go to controllers; a port that asks for more leaves the others their share.
  static var controllerPacketsPerSecond: UInt32 { 4000 }

  /// The keys of the packet at hand, by the times that it has come back. Words that no packet brings stay 0.
  let keys: UnsafeMutablePointer<FlowKey>
  /// Programs being run: one for each time that a packet comes back, and the first.
  private let programs: UnsafeMutablePointer<ActionStep>
  /// Flows that a packet has come back from: the key of the flow whose program is being run at each depth, and where it left.
  let resumptions: UnsafeMutablePointer<Resumption>
  /// Which of them are cached, by depth: their keys are read from the cache when they are needed.
  let origins: UnsafeMutablePointer<UInt32>
  let hits: UnsafeMutableBufferPointer<UInt32>
  /// Cached flows that have packets of this burst still to be counted for their rules.
  let touched: UnsafeMutablePointer<(bridge: FlowBridge, flow: UInt32)>
  let touchedCount: UnsafeMutablePointer<Int>
  let translation: TranslationMemory
  let queues = QueueCounters()
  /// The way of the packet at hand, if it is noted.
  let path: UnsafeMutablePointer<PathCandidate>
  /// The packet at hand as the tracker sees it.
  let tracked: UnsafeMutablePointer<TrackedPacket>
  /// Where the ways of the packets of a burst are looked for.
  let pathSets: UnsafeMutablePointer<UInt32>
  /// By slot: translations that packets have needed in the round that it is (MissLimit.swift).
  let misses: UnsafeMutablePointer<UInt32>
  /// By slot: packets to controllers in the second that it is.
  private let controllerPackets: UnsafeMutablePointer<(second: UInt32, count: UInt32)>

  /// Hashes of what was learned lately, when, and the version in which the tables had lost a rule last.
  private let learned: UnsafeMutablePointer<(hash: UInt64, removals: UInt64, second: UInt32)>
  private static var learnedCount: Int { 1024 }

  init() {
    unsafe learned = .allocate(capacity: FlowScratch.learnedCount)
    unsafe learned.initialize(repeating: (0, 0, 0), count: FlowScratch.learnedCount)
    unsafe keys = .allocate(capacity: PacketTranslation.resumptionLimit + 1)
    unsafe keys.initialize(repeating: FlowKey(), count: PacketTranslation.resumptionLimit + 1)
    unsafe programs = .allocate(capacity: FlowScratch.stepLimit * (PacketTranslation.resumptionLimit + 1))
    unsafe resumptions = .allocate(capacity: PacketTranslation.resumptionLimit + 1)
    unsafe resumptions.initialize(
      repeating: Resumption(key: FlowKey(), point: 0), count: PacketTranslation.resumptionLimit + 1)
    unsafe origins = .allocate(capacity: PacketTranslation.resumptionLimit + 1)
    unsafe origins.initialize(repeating: MegaflowCache.noFlow, count: PacketTranslation.resumptionLimit + 1)
    unsafe touched = .allocate(capacity: FlowScratch.touchedLimit)
    unsafe touchedCount = .allocate(capacity: 1)
    unsafe touchedCount.initialize(to: 0)
    unsafe hits = .allocate(capacity: FlowScratch.hitLimit)
    translation = TranslationMemory()
    unsafe path = .allocate(capacity: 1)
    unsafe path.initialize(to: PathCandidate())
    unsafe tracked = .allocate(capacity: 1)
    unsafe pathSets = .allocate(capacity: FlowScratch.fetchLimit)
    unsafe pathSets.initialize(repeating: 0, count: FlowScratch.fetchLimit)
    unsafe misses = .allocate(capacity: Burst.portLimit + 1)
    unsafe misses.initialize(repeating: 0, count: Burst.portLimit + 1)
    unsafe controllerPackets = .allocate(capacity: Burst.portLimit + 1)
    unsafe controllerPackets.initialize(repeating: (0, 0), count: Burst.portLimit + 1)
  }

  func deallocate() {
    unsafe keys.deallocate()
    unsafe origins.deallocate()
    unsafe touched.deallocate()
    unsafe touchedCount.deallocate()
    unsafe programs.deallocate()
    unsafe resumptions.deallocate()
    unsafe hits.deallocate()
    translation.deallocate()
    unsafe path.deallocate()
    unsafe tracked.deallocate()
    unsafe pathSets.deallocate()
    unsafe misses.deallocate()
    unsafe controllerPackets.deallocate()
    unsafe learned.deallocate()
    queues.deallocate()
  }

  /// The words of the key of the packet at hand.
  /// - Parameter depth: times that it has come back, at most `PacketTranslation.resumptionLimit`.
  @inline(__always)
  func words(depth: Int) -> UnsafePointer<UInt64> {
    unsafe UnsafeRawPointer(keys + depth).assumingMemoryBound(to: UInt64.self)
  }

  /// Gives the key of a packet that has come back once more the mark and the fields of connection tracking that it had.
  /// - Parameter depth: times that it has come back, from 1 on.
  @inline(__always)
  func carryConnection(to depth: Int, isCleared: Bool) {
    for word in 26..<36 {
      unsafe keys[depth].words[word] = isCleared ? 0 : keys[depth &- 1].words[word]
    }
    if isCleared { unsafe keys[depth].packetMark = keys[depth &- 1].packetMark }
  }

  /// Gives the key of a packet that has come back once more, as it was, what the packet brings.
  /// - Parameter depth: times that it has come back, from 1 on.
  @inline(__always)
  func carryPacket(to depth: Int) {
    for word in 0..<FlowKey.packetWordCount { unsafe keys[depth].words[word] = keys[depth &- 1].words[word] }
    unsafe keys[depth].recirculationID = 0
  }

  /// Room for a program.
  /// - Parameter depth: times that its packet has come back, at most `PacketTranslation.resumptionLimit`.
  func steps(depth: Int) -> UnsafeMutablePointer<ActionStep> { unsafe programs + depth &* FlowScratch.stepLimit }

  /// Whether a rule to be learned was not told of in this second, or may have gone since: every packet of a cached flow asks for
  /// it again.
  func isNews(
    _ step: ActionStep, _ block: UnsafeBufferPointer<ActionStep>, in bridge: FlowBridge, now: UInt32
  ) -> Bool {
    let removals = bridge.tables.changedVersion(.removals)
    var hash = FlowScratch.mix(0x9e37_79b9_7f4a_7c15 ^ UInt64(bridge.identifier), step)
    for position in 0..<block.count { hash = unsafe FlowScratch.mix(hash, block[position]) }
    let entry = unsafe learned + Int(truncatingIfNeeded: hash & UInt64(FlowScratch.learnedCount &- 1))
    if unsafe entry.pointee.hash == hash && entry.pointee.second == now && entry.pointee.removals == removals {
      return false
    }
    unsafe entry.pointee = (hash, removals, now)
    return true
  }

  private static func mix(_ hash: UInt64, _ step: ActionStep) -> UInt64 {
    func add(_ hash: UInt64, _ word: UInt64) -> UInt64 {
      let product = (hash ^ word) &* 0xd6e8_feb8_6659_fd93
      return product ^ product &>> 32
    }
    let head =
      UInt64(step.operation.rawValue) | UInt64(step.field) &<< 8 | UInt64(step.half) &<< 16 | UInt64(step.number) &<< 32
    return add(add(add(add(add(hash, head), step.high), step.low), step.maskHigh), step.maskLow)
  }

  /// Whether a port may send one more packet to controllers in this second.
  func mayTellController(slot: UInt16, now: UInt32) -> Bool {
    let state = unsafe controllerPackets + Int(slot)
    if unsafe state.pointee.second != now { unsafe state.pointee = (now, 0) }
    guard unsafe state.pointee.count < FlowScratch.controllerPacketsPerSecond else { return false }
    unsafe state.pointee.count &+= 1
    return true
  }
}
