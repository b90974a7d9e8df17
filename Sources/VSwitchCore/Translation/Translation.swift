// The pipeline walk: from a packet's key to the program of what is done with the packet, and the mask of every bit that the
// decision read. A worker runs it on a cache miss; `Trace` runs the same code with a recorder.
//
// Thread: one worker's, or control code's with its own memory. Memory: the caller's; nothing is allocated, locked or
// retained. Bounds: depth and number of resubmits as in Open vSwitch (64, 4096), actions in a set, entries of the data
// stack, steps of the program: whoever passes one has the packet dropped, whole, for the reason that names it.
// No recursion: lists that wait for others stand in `TranslationMemory.frames`.
//
// What comes back (`ct(table=…)`, headers below a popped label) is not kept as a copy of the pipeline's state: the packet
// brings the keys of the flows that it came through (`Resumption`), and the walk is repeated from the first, without
// a program, up to the point where the packet comes back. So nothing has to be kept alive but the flow itself.
//
// Standard: OpenFlow 1.5 §5; for Open vSwitch's extensions ovs-actions(7). Drop reasons: see `DropReason`.

@safe struct Translation<Reader: PipelineReader, Recorder: TranslationRecorder> {
  let reader: Reader
  let version: UInt64
  let memory: TranslationMemory
  var recorder: Recorder
  var program: ActionProgram
  let hits: UnsafeMutableBufferPointer<UInt32>
  var result = TranslationResult()

  /// The packet as it is now.
  var state: PipelineState
  var frameCount = 0
  var savedStateCount = 0
  var actionSetEnd = 0
  var stackEnd = 0
  var depth = 0
  /// Buckets that are being run.
  var bucketDepth = 0
  var isInActionSet = false
  var resubmitCount = 0
  /// Blocks that not every packet runs: hits there are steps of the program.
  var conditionalDepth = 0
  /// Why the packet is dropped whole.
  var fault: DropReason?
  /// Why nothing has been done with the packet so far.
  var reason = DropReason.ruleDrops
  let isPacketOut: Bool

  // Coming back: what has been gone through, what is still to come, and whether steps count already.
  let resumptions: UnsafeBufferPointer<Resumption>
  let packetKey: FlowKey
  /// The pipeline's fields are `packetKey`'s from the last resumption on.
  let setsPipeline: Bool
  var resumptionIndex = 0
  var nextPoint: UInt32 = 0
  var isReplaying: Bool
  /// The boundary that the packet came back in: the walk ends with it. -1: with the root.
  var floor = -1

  /// - Parameters:
  ///   - key: of the packet as it is now.
  ///   - resumptions: of a packet that came back: the flows that it came through, the first one first.
  ///   - setsPipeline: a controller has sent the packet back, with the pipeline's fields that the key has.
  ///   - isPacketOut: the actions are a controller's.
  init(
    reader: Reader, version: UInt64, key: FlowKey, resumptions: UnsafeBufferPointer<Resumption>, setsPipeline: Bool,
    isPacketOut: Bool, memory: TranslationMemory, program: ActionProgram, hits: UnsafeMutableBufferPointer<UInt32>,
    recorder: Recorder
  ) {
    self.reader = reader
    self.version = version
    self.memory = memory
    self.recorder = recorder
    self.program = program
    self.program.removeAll()
    unsafe self.hits = hits
    unsafe self.resumptions = resumptions
    self.setsPipeline = setsPipeline
    self.isPacketOut = isPacketOut
    packetKey = key
    isReplaying = !resumptions.isEmpty
    state = unsafe PipelineState(
      key: resumptions.isEmpty ? key : resumptions[0].key, own: memory.packetBits.pointee)
    state.key.actionSetOutput = PortNumber.unset.rawValue
  }

  // MARK: The way

  /// Runs the pipeline from table 0, or the actions of a packet-out.
  mutating func run(actions: RuleCode?) {
    maskWhatAlwaysCounts()
    var root = TranslationFrame(.root, range: memory.noActions)
    if let actions { root.range = actions.steps }
    push(root)
    if actions == nil, mayEnter() {
      lookup(table: 0, inPort: state.key.inPort, isResubmit: false, withTuple: false, isFirst: true)
    }
    walk()
    finish()
  }

  /// Every decision depends on these: the entry port, what the packet came back for, the EtherType, whether it is a fragment.
  mutating func maskWhatAlwaysCounts() {
    result.mask.words[0] = .max
    result.mask.words[1] |= 0xffff
    if state.isIP { result.mask.words[5] |= 3 }
  }

  private mutating func mayEnter() -> Bool {
    guard !isReplaying else { return true }
    result.dependencies.usesPorts = true
    let port = reader.port(PortNumber(state.key.inPort))
    if port.contains(.noReceive) {
      record(.remark(.portDoesNotReceive(state.key.inPort)))
      reason = .portDoesNotReceive
      return false
    }
    if reader.fragmentHandling == .drop, state.isIP, state.key.ipFragment != 0 {
      record(.remark(.fragmentDropped))
      reason = .fragment
      return false
    }
    return true
  }

  /// Runs actions until there are none.
  private mutating func walk() {
    while frameCount > 0, fault == nil {
      let top = unsafe memory.frames + frameCount - 1
      guard let step = unsafe next(top) else {
        end(frameCount - 1)
        continue
      }
      if state.needsParse, reads(headersIn: step) {
        guard comesBack() else {
          append(ActionStep(.recirculate, number: nextPoint &- 1))
          leave(at: nextPoint &- 1, .continuesAfterParsing)
          suspend()
          continue
        }
      }
      unsafe take(top)
      record(.action(step))
      execute(step)
    }
  }

  /// The step that is next in a frame.
  @inline(__always)
  private func next(_ frame: UnsafeMutablePointer<TranslationFrame>) -> CodeStep? {
    if unsafe frame.pointee.kind == .set {
      let index = unsafe frame.pointee.setNext
      return unsafe index < frame.pointee.setEnd ? CodeStep(memory.actionSet[index]) : nil
    }
    return unsafe frame.pointee.range.first
  }

  @inline(__always)
  private func take(_ frame: UnsafeMutablePointer<TranslationFrame>) {
    if unsafe frame.pointee.kind == .set {
      unsafe frame.pointee.setNext &+= 1
    } else {
      _ = unsafe frame.pointee.range.next()
    }
  }

  private mutating func finish() {
    if isReplaying, fault == nil { fault = .recirculationLost }
    if program.isOverfull, fault == nil { fault = .programTooLong }
    if let fault {
      record(.remark(.failed(fault)))
      program.removeAll()
      result.drop = fault
      return
    }
    program.removeTrailingEdits(from: 0)
    if program.count == 0 { result.drop = reason }
  }

  // MARK: Frames

  /// The frame whose actions are being run.
  var top: UnsafeMutablePointer<TranslationFrame> { unsafe memory.frames + frameCount - 1 }

  mutating func push(_ frame: TranslationFrame) {
    guard hasRoom(deepens: frame.deepens) else { return }
    unsafe (memory.frames + frameCount).initialize(to: frame)
    frameCount &+= 1
    record(.begin)
  }

  /// Pushes a rule's actions. There is a frame for every table that the packet goes through: only what a list has is written.
  mutating func push(_ rule: PipelineRule, deepens: Bool) {
    guard hasRoom(deepens: deepens) else { return }
    let frame = unsafe memory.frames + frameCount
    unsafe frame.pointee.kind = .list
    unsafe frame.pointee.range = rule.code.steps
    unsafe frame.pointee.table = rule.table
    unsafe frame.pointee.deepens = deepens
    unsafe frame.pointee.ruleSlot = rule.slot
    unsafe frame.pointee.cookie = rule.cookie
    unsafe frame.pointee.isTableMiss = rule.isTableMiss
    frameCount &+= 1
    record(.begin)
  }

  private mutating func hasRoom(deepens: Bool) -> Bool {
    guard frameCount < TranslationMemory.frameLimit, !deepens || depth < TranslationMemory.depthLimit else {
      fault = .tooDeep
      return false
    }
    if deepens { depth &+= 1 }
    return true
  }

  mutating func pop() {
    frameCount &-= 1
    if unsafe memory.frames[frameCount].deepens { depth &-= 1 }
    record(.end)
  }

  /// A frame has no actions left.
  private mutating func end(_ index: Int) {
    let frame = unsafe memory.frames + index
    switch unsafe frame.pointee.kind {
    case .root: unsafe endRoot(frame)
    case .list: pop()
    case .set:
      actionSetEnd = unsafe frame.pointee.setStart
      pop()
    case .group: unsafe nextBucket(frame)
    case .clone, .bucket, .branchIfLarger, .branchIfNot:
      // What the packet came back in is over: the rest was done before it came back.
      if index == floor { frameCount = 0 } else { unsafe endCopy(frame) }
    }
  }

  private mutating func endRoot(_ frame: UnsafeMutablePointer<TranslationFrame>) {
    if unsafe !frame.pointee.isLast {
      unsafe frame.pointee.isLast = true
      if state.setEnd > state.setStart {
        record(.actionSet)
        isInActionSet = true
        runActionSet()
        return
      }
    }
    // Nothing is left to do for what stands below: that was the way of the packet before it came back.
    frameCount = 0
  }

  /// Ends what runs on this copy of the packet: it goes on when it comes back.
  mutating func suspend() {
    while frameCount > 0, unsafe !top.pointee.isBoundary { dropFrame() }
    stopBoundary()
  }

  /// The exit action: ends everything but the other buckets of a group and what stands behind it, and the other branch.
  mutating func exit() {
    while frameCount > 0 {
      switch unsafe top.pointee.kind {
      case .root, .bucket, .branchIfLarger, .branchIfNot:
        stopBoundary()
        return
      case .clone:
        if frameCount &- 1 == floor { frameCount = 0 } else { unsafe endCopy(top) }
      case .list, .set, .group: dropFrame()
      }
    }
  }

  private mutating func dropFrame() {
    if unsafe top.pointee.kind == .set { actionSetEnd = unsafe top.pointee.setStart }
    pop()
  }

  /// No more actions of the boundary on top, nor its action set.
  private func stopBoundary() {
    guard frameCount > 0 else { return }
    let frame = unsafe top
    unsafe frame.pointee.range = memory.noActions
    if unsafe frame.pointee.kind == .root { unsafe frame.pointee.isLast = true }
  }

  /// Ends the list whose action is being run; those that wait for it go on.
  mutating func endList() {
    let frame = unsafe top
    if unsafe frame.pointee.kind == .set {
      unsafe frame.pointee.setNext = frame.pointee.setEnd
    } else {
      unsafe frame.pointee.range = memory.noActions
    }
  }

  // MARK: The program

  @inline(__always)
  mutating func record(_ event: TranslationEvent) {
    if !isReplaying { recorder.record(event) }
  }

  mutating func append(_ step: ActionStep) {
    if !isReplaying { program.append(step) }
  }

  /// The packet goes away, to come back at a point.
  @inline(__always)
  mutating func leave(at point: UInt32, _ remark: TranslationRemark) {
    record(.remark(remark))
    if !isReplaying { recorder.leave(at: point, key: state.key) }
  }

  /// A rule, group or bucket is hit.
  mutating func hit(_ step: ActionStep, slot: UInt32) {
    guard !isReplaying else { return }
    if conditionalDepth > 0 {
      append(step)
    } else if unsafe result.hitCount < hits.count {
      unsafe hits[result.hitCount] = slot
      result.hitCount &+= 1
    } else {
      fault = .programTooLong
    }
  }

  // MARK: Reading

  /// The decision depends on bits of the packet as it is now.
  @inline(__always)
  mutating func read(word index: Int, _ bits: UInt64) {
    guard bits != 0 else { return }
    result.mask.words[index] |= bits & state.own.words[index]
    if index == 5, bits & 0xff00 != 0, state.isTTLDerived { result.mask.words[5] |= 0xff00 }
    if index == 6, bits & 0xff != 0, state.isMPLSTTLDerived { result.mask.words[6] |= 0xff }
  }

  /// The decision depends on the bits of a mask.
  mutating func read(_ bits: borrowing FlowMask) {
    for i in 0..<FlowKey.wordCount { read(word: i, bits.words[i]) }
  }

  /// The value of a field's bits, which the decision depends on.
  mutating func read(_ field: Field, mask: UInt128) -> UInt128 {
    let place = field.layout
    if place.bitCount == 128 {
      read(word: place.wordIndex, UInt64(truncatingIfNeeded: mask >> 64))
      read(word: place.wordIndex + 1, UInt64(truncatingIfNeeded: mask))
    } else {
      read(word: place.wordIndex, UInt64(truncatingIfNeeded: mask) &<< UInt64(place.shift))
    }
    return state.value(place, mask: mask)
  }

  mutating func read(_ field: Field) -> UInt128 { read(field, mask: field.fullMask) }

  mutating func read(_ subfield: PackedSubfield) -> UInt128 {
    read(subfield.field, mask: subfield.mask) >> UInt128(subfield.firstBit)
  }
}
