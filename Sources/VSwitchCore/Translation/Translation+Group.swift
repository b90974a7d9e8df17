// What runs on copies of the packet: groups' buckets, clone, the branches of check_pkt_larger. Thread and memory: as
// `Translation`. Standard: OpenFlow 1.5 §5.10 (groups), ovs-actions(7).
//
// A copy's changes end with it. Where its steps change nothing, the block around them is left out.

extension Translation {
  // MARK: Copies

  /// Begins a list that runs on a copy.
  mutating func beginCopy(_ kind: TranslationFrame.Kind, range: CodeRange, step: ActionStep? = nil) {
    guard savedStateCount < TranslationMemory.savedStateLimit else {
      fault = .tooDeep
      return
    }
    var frame = TranslationFrame(kind, range: range)
    inherit(&frame)
    frame.deepens = true
    frame.stepIndex = program.count
    frame.savedState = savedStateCount
    unsafe (memory.states + savedStateCount).initialize(to: state)
    savedStateCount &+= 1
    append(step ?? ActionStep(.clone))
    push(frame)
  }

  /// Table and rule of the frame on top.
  func inherit(_ frame: inout TranslationFrame) {
    unsafe frame.table = top.pointee.table
    unsafe frame.ruleSlot = top.pointee.ruleSlot
    unsafe frame.cookie = top.pointee.cookie
    unsafe frame.isTableMiss = top.pointee.isTableMiss
  }

  /// A copy has come to its end: the packet is again as it was before.
  mutating func endCopy(_ frame: UnsafeMutablePointer<TranslationFrame>) {
    let kind = unsafe frame.pointee.kind
    let index = unsafe frame.pointee.stepIndex
    let saved = unsafe frame.pointee.savedState
    state = unsafe memory.states[saved]
    pop()
    if kind == .branchIfLarger {
      endFirstBranch(index: index, saved: saved)
      return
    }
    savedStateCount = saved
    if kind == .bucket { bucketDepth &-= 1 }
    guard !isReplaying, index < program.count else {
      if kind == .branchIfNot { conditionalDepth &-= 1 }
      return
    }
    switch program[index].operation {
    case .clone:
      program.removeTrailingEdits(from: index &+ 1)
      if !program.changesPacket(from: index &+ 1) { program.remove(at: index) } else { program.closeBlock(at: index) }
    case .bucket, .checkLength:
      let start = index &+ 1 &+ (kind == .branchIfNot ? Int(program[index].low) : 0)
      program.removeTrailingEdits(from: start)
      program.closeBlock(at: index)
    default: break
    }
    if kind == .branchIfNot {
      conditionalDepth &-= 1
      if program[index].blockCount == 0 { program.remove(at: index) }
    }
  }

  // MARK: check_pkt_larger

  /// The rest of the list is translated twice: what depends on the length is decided for each packet.
  mutating func checkLength(_ code: CodeStep) {
    let destination = PackedSubfield(bits: code.argument)
    let rest = restOfList()
    guard !rest.isEmpty else { return }
    conditionalDepth &+= 1
    record(.branch(isLarger: true))
    beginCopy(
      .branchIfLarger, range: rest, step: ActionStep(.checkLength, number: UInt32(truncatingIfNeeded: code[1])))
    unsafe top.pointee.branch = rest
    unsafe top.pointee.branchBit = destination.bits
    endListBelow()
    set(destination, 1)
  }

  private func restOfList() -> CodeRange {
    unsafe top.pointee.kind == .set ? memory.noActions : top.pointee.range
  }

  private func endListBelow() {
    guard frameCount >= 2 else { return }
    unsafe memory.frames[frameCount &- 2].range = memory.noActions
  }

  private mutating func endFirstBranch(index: Int, saved: Int) {
    // The frame has been popped, but nothing has taken its place yet.
    let first = unsafe memory.frames + frameCount
    let rest = unsafe first.pointee.branch
    let destination = unsafe PackedSubfield(bits: first.pointee.branchBit)
    if !isReplaying, index < program.count {
      program.removeTrailingEdits(from: index &+ 1)
      program.setLow(UInt64(program.count &- index &- 1), at: index)
    }
    record(.branch(isLarger: false))
    var frame = TranslationFrame(.branchIfNot, range: rest)
    inherit(&frame)
    frame.deepens = true
    frame.stepIndex = index
    frame.savedState = saved
    push(frame)
    set(destination, 0)
  }

  // MARK: Groups

  mutating func group(_ id: UInt32) {
    resubmitCount &+= 1
    guard resubmitCount <= memory.resubmitLimit else {
      fault = .tooManyResubmits
      return
    }
    result.dependencies.usesGroups = true
    guard let group = reader.group(id, version: version) else {
      record(.remark(.noSuchGroup(id)))
      reason = .noSuchGroup
      endList()
      return
    }
    hit(ActionStep(.countRule, slot: group.slot), slot: group.slot)
    var frame = TranslationFrame(.group, range: memory.noActions)
    inherit(&frame)
    frame.group = group
    frame.stepIndex = program.count
    if group.kind == .select {
      var step = ActionStep(.selectGroup, number: UInt32(truncatingIfNeeded: group.bucketCount))
      step.low = UInt64(id)
      append(step)
      conditionalDepth &+= 1
    }
    push(frame)
  }

  /// Runs the next bucket of the group on top, or ends it.
  mutating func nextBucket(_ frame: UnsafeMutablePointer<TranslationFrame>) {
    let group = unsafe frame.pointee.group
    var index = unsafe frame.pointee.bucketIndex
    if group.kind == .fastFailover {
      // The first one that is alive, and no other.
      while index < group.bucketCount, !(reader.bucket(index, of: group)?.isAlive ?? false) { index &+= 1 }
      if index == group.bucketCount {
        record(.remark(.noLiveBucket(group.id)))
        reason = .noLiveBucket
      }
      unsafe frame.pointee.bucketIndex = .max
    } else {
      unsafe frame.pointee.bucketIndex &+= 1
    }
    guard index < group.bucketCount else {
      unsafe endGroup(frame: frame, group)
      return
    }
    if let bucket = reader.bucket(index, of: group) { run(bucket, index: index, of: group) }
  }

  private mutating func endGroup(frame: UnsafeMutablePointer<TranslationFrame>, _ group: PipelineGroup) {
    let index = unsafe frame.pointee.stepIndex
    if group.kind == .select {
      conditionalDepth &-= 1
      if !isReplaying, index < program.count, program[index].operation == .selectGroup {
        program.closeBlock(at: index)
      }
    }
    pop()
  }

  private mutating func run(_ bucket: PipelineBucket, index: Int, of group: PipelineGroup) {
    let number = UInt32(truncatingIfNeeded: index)
    record(.bucket(group: group.id, index: index))
    if group.kind == .select {
      beginCopy(.bucket, range: memory.noActions, step: ActionStep(.bucket, number: number))
    } else {
      beginCopy(.bucket, range: memory.noActions)
    }
    guard fault == nil else { return }
    bucketDepth &+= 1
    var count = ActionStep(.countBucket, number: number)
    count.low = UInt64(bucket.slot)
    hit(count, slot: bucket.slot)
    runSet(bucket.code.steps)
  }
}
