// Cached decisions of the flow tables, each for all packets that are equal under a mask: hash tables by mask, one look-up a
// mask until one hits (tuple space search).
//
// Thread: one worker; control code reads between two bursts. Memory: mapped once at its largest, resident as used, freed by
// `deallocate`. Invariants: at most `maskLimit` masks and `flowLimit` flows; a flow's number is good together with its
// generation. Full tables take the place of what was not used lately; a decision that finds no room is run and forgotten, so
// hostile traffic costs itself the translation and no more (it cannot grow anything). One port has at most half of the masks
// and seven eighths of the flows, so that what it sends leaves room for the decisions of others.
// Whether a flow is still right is its user's business: see `FlowForwarding`.

import Glibc
import VSwitchCore

/// Handle of a bridge's cache in one worker: copies name the same.
@safe struct MegaflowCache: @unchecked Sendable {
  static var flowLimit: Int { 1 << 17 }
  static var maskLimit: Int { 64 }
  /// Of one port.
  static var portMaskLimit: UInt32 { 32 }
  static var portFlowLimit: UInt32 { 7 << 14 }
  /// Most flows of a mask that gives way to another one.
  static var evictedFlowLimit: Int { 4096 }
  static var noFlow: UInt32 { .max }
  /// Points of one flow's program whose packets have cached flows, too.
  static var pointLimit: UInt32 { 16 }
  /// Steps of all flows together.
  static var stepLimit: Int { 1 << 18 }
  private static var bucketCount: Int { 1 << 18 }

  struct Flow {
    /// Bits outside of the mask are 0. First, so that its words are where the flow is.
    var key = FlowKey()
    /// The versions of tables and ports for which the program is known to be right.
    var version: UInt64 = 0
    var portsVersion: UInt64 = 0
    var dependencies = TranslationDependencies()
    var packetCount: UInt64 = 0
    var byteCount: UInt64 = 0
    /// Packets and bytes of this burst, which are not in the counts above yet, nor in those of the rules that were hit.
    var burstByteCount: UInt64 = 0
    var burstPacketCount: UInt32 = 0
    /// First of the recirculation ids of packets that come back from this flow; 0: none came yet.
    var firstRecirculationID: UInt32 = 0
    /// What the last packet that came back from this flow met.
    var following = MegaflowCache.noFlow
    /// Seconds, monotonic.
    var createdAt: UInt32 = 0
    var usedAt: UInt32 = 0
    var hash: UInt32 = 0
    /// Next flow of the bucket.
    var next = MegaflowCache.noFlow
    /// Raised when the place gets another flow.
    var generation: UInt32 = 1
    var stepStart: UInt32 = 0
    var stepCount: UInt16 = 0
    var hitCount: UInt16 = 0
    /// Flows of the same mask, in a ring without end.
    var nextOfMask = MegaflowCache.noFlow
    var previousOfMask = MegaflowCache.noFlow
    /// Slot of the port that its first packet came in by.
    var owner: UInt16 = 0
    /// Index of the mask; `noMask` for a free place.
    var mask = MegaflowCache.noMask
    /// Raw value of the reason why the packets go nowhere, or `noDrop`.
    var drop = MegaflowCache.noDrop
  }
  static var noMask: UInt16 { .max }
  static var noDrop: UInt8 { .max }

  struct Mask {
    var bits = FlowMask()
    /// Of the bits, so that most masks are told apart without a look at all words.
    var hash: UInt64 = 0
    /// Words that are not 0: `maskWords` has them.
    var wordCount = 0
    var flowCount = 0
    /// One of them.
    var firstFlow = MegaflowCache.noFlow
    /// When a flow of it was used last, seconds.
    var usedAt: UInt32 = 0
    /// Slot of the port whose packet needed it first.
    var owner: UInt16 = 0
  }

  /// A word of a mask that is not 0.
  struct MaskWord {
    var bits: UInt64
    var index: Int
  }

  struct State {
    var maskCount = 0
    var flowCount = 0
    /// Flows from here on were never used.
    var freshFlow = 0
    var freeFlow = MegaflowCache.noFlow
    /// Where the search for one to be replaced goes on.
    var hand = 0
    /// Packets whose way was translated.
    var translationCount: UInt64 = 0
    /// Decisions that found no room.
    var refusedCount: UInt64 = 0
    var nextRecirculationID = MegaflowCache.pointLimit
    /// What the last packet that came in and was looked up met.
    var lastFlow = MegaflowCache.noFlow
    /// The same, once two have met it in a row: where each packet meets another flow, none is expected.
    var expectedFlow = MegaflowCache.noFlow
    /// Packets of its bridge may have paths of their own (`ConnectionPathCache`).
    var hasPaths = false
  }

  let flows: UnsafeMutablePointer<Flow>
  let masks: UnsafeMutablePointer<Mask>
  /// `FlowKey.wordCount` by mask.
  let maskWords: UnsafeMutablePointer<MaskWord>
  /// Masks in the order in which they are tried.
  let order: UnsafeMutablePointer<UInt16>
  private let buckets: UnsafeMutablePointer<UInt32>
  let state: UnsafeMutablePointer<State>
  /// By slot: flows and masks that the port owns.
  let shares: UnsafeMutablePointer<(flowCount: UInt32, maskCount: UInt32)>
  let steps: StepPool
  private let seed: UInt64

  /// - Parameter seed: keys the hash, so that nobody can aim at a bucket.
  init?(seed: UInt64) {
    let byteCount =
      MemoryLayout<Flow>.stride * MegaflowCache.flowLimit + MemoryLayout<UInt32>.stride * MegaflowCache.bucketCount
    guard let mapped = unsafe LazyPages.map(byteCount: byteCount) else { return nil }
    guard let steps = StepPool(unitCount: MegaflowCache.stepLimit) else {
      unsafe LazyPages.unmap(mapped, byteCount: byteCount)
      return nil
    }
    self.steps = steps
    // Zero is a bucket without flows: numbers are kept plus one.
    unsafe buckets = mapped.bindMemory(to: UInt32.self, capacity: MegaflowCache.bucketCount)
    unsafe flows = (mapped + MemoryLayout<UInt32>.stride * MegaflowCache.bucketCount)
      .bindMemory(to: Flow.self, capacity: MegaflowCache.flowLimit)
    unsafe masks = .allocate(capacity: MegaflowCache.maskLimit)
    unsafe masks.initialize(repeating: Mask(), count: MegaflowCache.maskLimit)
    unsafe maskWords = .allocate(capacity: MegaflowCache.maskLimit * FlowKey.wordCount)
    unsafe order = .allocate(capacity: MegaflowCache.maskLimit)
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(to: State())
    unsafe shares = .allocate(capacity: Burst.portLimit + 1)
    unsafe shares.initialize(repeating: (0, 0), count: Burst.portLimit + 1)
    self.seed = seed
  }

  func deallocate() {
    unsafe LazyPages.unmap(
      buckets,
      byteCount: MemoryLayout<Flow>.stride * MegaflowCache.flowLimit + MemoryLayout<UInt32>.stride
        * MegaflowCache.bucketCount)
    unsafe masks.deallocate()
    unsafe maskWords.deallocate()
    unsafe order.deallocate()
    unsafe state.deallocate()
    unsafe shares.deallocate()
    steps.deallocate()
  }

  // MARK: looking up

  /// The flow for a packet, or `noFlow`.
  /// - Parameter key: all words of its key.
  func lookup(_ key: UnsafePointer<UInt64>) -> UInt32 {
    let count = unsafe state.pointee.maskCount
    var position = 0
    while position < count {
      let mask = unsafe order[position]
      let hash = unsafe hash(key, mask)
      var number = unsafe buckets[Int(hash) & (MegaflowCache.bucketCount &- 1)]
      while number != 0 {
        let flow = unsafe flows + Int(number &- 1)
        if unsafe flow.pointee.hash == hash, unsafe flow.pointee.mask == mask, unsafe isEqual(flow, key, mask) {
          // Masks that hit move to the front, a place at a time.
          if position > 0 {
            unsafe order[position] = order[position &- 1]
            unsafe order[position &- 1] = mask
          }
          return number &- 1
        }
        number = unsafe flow.pointee.next &+ 1
      }
      position &+= 1
    }
    return MegaflowCache.noFlow
  }

  /// Whether a flow, of a number that was a flow's once, is one for a packet: flows that packets have in common say the same.
  @inline(__always)
  func isMet(_ number: UInt32, _ key: UnsafePointer<UInt64>) -> Bool {
    guard number != MegaflowCache.noFlow else { return false }
    let flow = unsafe flows + Int(number)
    let mask = unsafe flow.pointee.mask
    guard mask != MegaflowCache.noMask else { return false }
    return unsafe isEqual(flow, key, mask)
  }

  @inline(__always)
  private func hash(_ key: UnsafePointer<UInt64>, _ mask: UInt16) -> UInt32 {
    let words = unsafe maskWords + Int(mask) &* FlowKey.wordCount
    var hash = seed
    for position in 0..<(unsafe masks[Int(mask)].wordCount) {
      hash = unsafe (hash ^ key[words[position].index] & words[position].bits) &* 0x9e37_79b9_7f4a_7c15
      hash ^= hash &>> 32
    }
    return UInt32(truncatingIfNeeded: (hash &* 0xd6e8_feb8_6659_fd93) &>> 32)
  }

  @inline(__always)
  private func isEqual(_ flow: UnsafeMutablePointer<Flow>, _ key: UnsafePointer<UInt64>, _ mask: UInt16) -> Bool {
    let words = unsafe maskWords + Int(mask) &* FlowKey.wordCount
    let own = unsafe UnsafeRawPointer(flow).assumingMemoryBound(to: UInt64.self)
    for position in 0..<(unsafe masks[Int(mask)].wordCount) {
      let index = unsafe words[position].index
      guard unsafe key[index] & words[position].bits == own[index] else { return false }
    }
    return true
  }

  /// Keeps a decision.
  /// - Parameters:
  ///   - key: of the packet.
  ///   - result: of its translation, with the steps and hits that belong to it.
  ///   - owner: slot of the port that the packet came in by.
  /// - Returns: the flow; `noFlow` if there is no room for it.
  func insert(
    _ key: UnsafePointer<UInt64>, _ result: borrowing TranslationResult, steps: UnsafeBufferPointer<ActionStep>,
    hits: UnsafeBufferPointer<UInt32>, version: UInt64, portsVersion: UInt64, owner: UInt16,
    now: UInt32
  ) -> UInt32 {
    // The place first: what has to go for it may be the last flow of a mask.
    guard steps.count <= Int(UInt16.max), hits.count <= Int(UInt16.max), let number = place(owner: owner, now: now)
    else {
      unsafe state.pointee.refusedCount &+= 1
      return MegaflowCache.noFlow
    }
    guard let mask = maskIndex(result.mask, owner: owner, now: now) else {
      giveBack(number)
      unsafe state.pointee.refusedCount &+= 1
      return MegaflowCache.noFlow
    }
    guard let start = unsafe self.steps.store(steps, hits) else {
      giveBack(number)
      if unsafe masks[Int(mask)].flowCount == 0 { removeMask(mask) }
      unsafe state.pointee.refusedCount &+= 1
      return MegaflowCache.noFlow
    }
    let flow = unsafe flows + Int(number)
    let generation = unsafe flow.pointee.generation
    unsafe flow.pointee = Flow()
    unsafe flow.pointee.generation = generation
    let own = unsafe UnsafeMutableRawPointer(flow).assumingMemoryBound(to: UInt64.self)
    let words = unsafe maskWords + Int(mask) &* FlowKey.wordCount
    for position in 0..<(unsafe masks[Int(mask)].wordCount) {
      unsafe own[words[position].index] = unsafe key[words[position].index] & words[position].bits
    }
    unsafe flow.pointee.version = version
    unsafe flow.pointee.portsVersion = portsVersion
    unsafe flow.pointee.dependencies = result.dependencies
    unsafe flow.pointee.createdAt = now
    unsafe flow.pointee.usedAt = now
    unsafe flow.pointee.mask = mask
    unsafe flow.pointee.owner = owner
    unsafe shares[Int(owner)].flowCount &+= 1
    unsafe flow.pointee.drop = result.drop?.rawValue ?? MegaflowCache.noDrop
    unsafe flow.pointee.stepStart = start
    unsafe flow.pointee.stepCount = UInt16(truncatingIfNeeded: steps.count)
    unsafe flow.pointee.hitCount = UInt16(truncatingIfNeeded: hits.count)
    let hash = unsafe hash(key, mask)
    unsafe flow.pointee.hash = hash
    let bucket = unsafe buckets + Int(hash) & (MegaflowCache.bucketCount &- 1)
    // 0, for none, becomes `noFlow`.
    unsafe flow.pointee.next = bucket.pointee &- 1
    unsafe bucket.pointee = number &+ 1
    link(number, mask)
    unsafe masks[Int(mask)].usedAt = now
    unsafe masks[Int(mask)].flowCount &+= 1
    unsafe state.pointee.flowCount &+= 1
    return number
  }

  /// Forgets a flow.
  func remove(_ number: UInt32) {
    let flow = unsafe flows + Int(number)
    let mask = unsafe flow.pointee.mask
    guard mask != MegaflowCache.noMask else { return }
    let bucket = unsafe buckets + Int(flow.pointee.hash) & (MegaflowCache.bucketCount &- 1)
    var before = MegaflowCache.noFlow
    var current = unsafe bucket.pointee &- 1
    while current != number, current != MegaflowCache.noFlow {
      before = current
      current = unsafe flows[Int(current)].next
    }
    guard current == number else { return }
    let next = unsafe flow.pointee.next
    if before == MegaflowCache.noFlow {
      unsafe bucket.pointee = next &+ 1
    } else {
      unsafe flows[Int(before)].next = next
    }
    unsafe steps.free(
      flow.pointee.stepStart, stepCount: Int(flow.pointee.stepCount), hitCount: Int(flow.pointee.hitCount))
    unsafe state.pointee.flowCount &-= 1
    unsafe shares[Int(flow.pointee.owner)].flowCount &-= 1
    unlink(number, mask)
    giveBack(number)
    unsafe masks[Int(mask)].flowCount &-= 1
    if unsafe masks[Int(mask)].flowCount == 0 { removeMask(mask) }
  }

  /// The recirculation id of packets that leave a flow at a point and come back: no other flow's while this one is cached.
  /// - Returns: nil where there is none, and what is decided for the packet can't be kept.
  func recirculationID(flow number: UInt32, point: UInt32) -> UInt32? {
    guard point < MegaflowCache.pointLimit else { return nil }
    let flow = unsafe flows + Int(number)
    if unsafe flow.pointee.firstRecirculationID == 0 {
      let first = unsafe state.pointee.nextRecirculationID
      guard first <= UInt32.max &- 2 &* MegaflowCache.pointLimit else { return nil }
      unsafe state.pointee.nextRecirculationID = first &+ MegaflowCache.pointLimit
      unsafe flow.pointee.firstRecirculationID = first
    }
    return unsafe flow.pointee.firstRecirculationID &+ point
  }

  /// Whether the recirculation ids are used up, so that `removeAll` is due; not while a flow's program runs.
  var hasNoRecirculationIDs: Bool {
    unsafe state.pointee.nextRecirculationID > UInt32.max &- 2 &* MegaflowCache.pointLimit
  }

  /// Forgets all.
  func removeAll() {
    unsafe state.pointee.nextRecirculationID = MegaflowCache.pointLimit
    for number in 0..<(unsafe state.pointee.freshFlow) { remove(UInt32(number)) }
  }

  /// Calls `body` with each flow and its mask.
  func visit(_ body: (UnsafePointer<Flow>, UnsafePointer<Mask>) -> Void) {
    for number in 0..<(unsafe state.pointee.freshFlow) where unsafe flows[number].mask != MegaflowCache.noMask {
      unsafe body(flows + number, masks + Int(flows[number].mask))
    }
  }
}
