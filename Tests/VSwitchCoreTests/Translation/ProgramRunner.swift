// Translates packets and runs the programs on piles of headers, with what comes back translated again.

import ReferenceSwitch
import VSwitchCore

/// A translation's answer, copied.
struct Translated {
  var result: TranslationResult
  var steps: [ActionStep]
  var hits: [UInt32]
}

/// Thread: one test's.
@safe final class ProgramRunner<Reader: PipelineReader> {
  struct Context {
    var packet: PipelinePacket
    var queue: UInt32?
    let inPort: UInt32
    var resumptions: [Resumption]
    /// How often connection tracking gave it back.
    var conntrackDepth = 0
  }

  let reader: Reader
  private let pipeline: ReferencePipeline
  private let memory: TranslationMemory
  private let version: UInt64
  private let steps: UnsafeMutablePointer<ActionStep>
  private let hits: UnsafeMutableBufferPointer<UInt32>
  static var stepLimit: Int { 4096 }
  /// A packet came back more often than is allowed, or a translation ended at a limit.
  private(set) var fault: DropReason?

  /// - Parameter resubmitLimit: the naive pipeline's for comparisons with that.
  init(
    _ reader: Reader, _ pipeline: ReferencePipeline, version: UInt64 = 1,
    resubmitLimit: Int = TranslationMemory.resubmitLimit
  ) {
    self.version = version
    self.reader = reader
    self.pipeline = pipeline
    memory = TranslationMemory(resubmitLimit: resubmitLimit)
    unsafe steps = .allocate(capacity: Self.stepLimit)
    unsafe hits = .allocate(capacity: 8192)
  }

  deinit {
    memory.deallocate()
    unsafe steps.deallocate()
    unsafe hits.deallocate()
  }

  static var faults: Set<DropReason> {
    [.tooDeep, .tooManyResubmits, .stackTooDeep, .tooManyActions, .programTooLong, .recirculationLost]
  }

  func translate(_ key: FlowKey, resumptions: [Resumption] = [], actions: RuleCode? = nil) -> Translated {
    var program = unsafe ActionProgram(steps, capacity: Self.stepLimit)
    let result = unsafe resumptions.withUnsafeBufferPointer {
      unsafe PacketTranslation.translate(
        reader, key: key, version: version, resumptions: $0, actions: actions, memory: memory, program: &program,
        hits: hits)
    }
    return Translated(
      result: result, steps: unsafe Array(program.steps), hits: unsafe Array(hits.prefix(result.hitCount)))
  }

  /// - Returns: nil if the packet was dropped because of a limit.
  func receive(_ packet: PipelinePacket, inPort: UInt32) -> [PipelineEffect]? {
    fault = nil
    let effects = run(Context(packet: packet, queue: nil, inPort: inPort, resumptions: []))
    return fault == nil ? effects : nil
  }

  private func run(_ context: Context) -> [PipelineEffect] {
    var key = context.packet.key
    key.inPort = context.inPort
    key.recirculationID = UInt32(context.resumptions.count)
    let translated = translate(key, resumptions: context.resumptions)
    if let drop = translated.result.drop, Self.faults.contains(drop) { fault = fault ?? drop }
    for word in 0..<FlowKey.wordCount { key.words[word] &= translated.result.mask.words[word] }
    var effects: [PipelineEffect] = []
    var context = context
    context.resumptions.append(Resumption(key: key, point: 0))
    run(translated.steps[...], &context, &effects)
    return effects
  }

  private func comesBack(_ context: Context, at point: UInt64) -> [PipelineEffect] {
    var context = context
    context.resumptions[context.resumptions.count - 1].point = UInt32(point)
    return run(context)
  }

  private func run(_ steps: ArraySlice<ActionStep>, _ context: inout Context, _ effects: inout [PipelineEffect]) {
    var index = steps.startIndex
    while index < steps.endIndex {
      let step = steps[index]
      let block = steps[(index + 1)..<(index + 1 + Int(step.blockCount))]
      index = block.endIndex
      run(step, block, &context, &effects)
    }
  }

  private func run(
    _ step: ActionStep, _ block: ArraySlice<ActionStep>, _ context: inout Context, _ effects: inout [PipelineEffect]
  ) {
    let field = Field(rawValue: step.field) ?? .reg0
    let number = step.number
    switch step.operation {
    case .output: effects.append(.output(number, context.packet, cut: step.low, queue: context.queue))
    case .normal: effects.append(.normal(inPort: number, context.packet, cut: step.low, queue: context.queue))
    case .flood: effects.append(.flood(inPort: number, context.packet, cut: step.low, queue: context.queue))
    case .all: effects.append(.all(inPort: number, context.packet, cut: step.low, queue: context.queue))
    case .controller: effects.append(.controller(message(step, block, context.packet)))
    case .setField: context.packet.set(field, step.value, step.mask)
    case .pushVLAN: context.packet.pushTag(step.half, UInt16(number))
    case .popVLAN: context.packet.tags.removeFirst()
    case .pushMPLS: context.packet.pushLabel(step.half, number)
    case .popMPLS: context.packet.popLabel(step.half)
    case .decrementTTL: context.packet.content.ipTTL -= 1
    case .decrementMPLSTTL: if context.packet.hasLabel { context.packet.labels[0] -= 1 }
    case .copyTTLOutwards: context.packet.copyTTL(outwards: true)
    case .copyTTLInwards: context.packet.copyTTL(outwards: false)
    case .setQueue: context.queue = number
    case .popQueue: context.queue = nil
    case .meter: effects.append(.meter(number))
    case .sample: effects.append(.sample(step.half, collectorSet: number))
    case .clone:
      var copy = context
      run(block, &copy, &effects)
    case .selectGroup:
      var buckets: [[PipelineEffect]] = []
      var index = block.startIndex
      while index < block.endIndex {
        let end = index + 1 + Int(block[index].blockCount)
        var copy = context
        var inner: [PipelineEffect] = []
        run(block[(index + 1)..<end], &copy, &inner)
        buckets.append(inner)
        index = end
      }
      effects.append(.select(UInt32(step.low), buckets))
    case .checkLength:
      var copy = context
      let middle = block.startIndex + Int(step.low)
      run(context.packet.byteCount > Int(number) ? block[..<middle] : block[middle...], &copy, &effects)
    case .conntrack:
      let sets = block.filter { $0.operation == .conntrackSet }.map {
        PipelineEffect.FieldValue(Field(rawValue: $0.field) ?? .reg0, $0.value, $0.mask)
      }
      var then: [PipelineEffect]?
      let flags = ActionStep.ConntrackFlags(rawValue: step.half)
      if flags.contains(.recirculates) {
        var copy = context
        copy.packet.metadata = pipeline.connection(context.packet, UInt16(number))
        copy.conntrackDepth += 1
        then = copy.conntrackDepth > ReferencePipeline.conntrackLimit ? [] : comesBack(copy, at: step.high)
      }
      effects.append(
        .conntrack(
          zone: UInt16(number), context.packet, commits: flags.contains(.commits), sets: sets, then: then))
    case .conntrackClear:
      effects.append(.conntrackClear)
      for word in 27..<36 { context.packet.metadata.words[word] = 0 }
      context.packet.metadata[.ctMark] = 0
    case .recirculate: effects += comesBack(context, at: UInt64(number))
    case .learn: effects.append(.learn(learned(step, block)))
    case .finTimeout:
      effects.append(
        .finTimeout(idle: UInt16(truncatingIfNeeded: number), hard: UInt16(truncatingIfNeeded: number >> 16)))
    case .countRule, .countBucket, .drop, .data, .setPipeline, .bucket, .learnMatch, .learnLoad, .learnOutput,
      .conntrackTranslation, .conntrackSet:
      break
    }
  }

  private func message(
    _ step: ActionStep, _ block: ArraySlice<ActionStep>, _ packet: PipelinePacket
  ) -> PipelineEffect.ControllerMessage {
    var words: [UInt64] = []
    var pipeline = [UInt64](repeating: 0, count: 9)
    for part in block {
      if part.operation == .data { words += [part.high, part.low, part.maskHigh, part.maskLow] }
      // Metadata and registers; what else a controller is told is the packet's own.
      guard part.operation == .setPipeline, part.number == 15 || (18..<26).contains(part.number) else { continue }
      let number = Int(part.number)
      pipeline[number == 15 ? 0 : number - 17] = part.low | packet.metadata.words[number] & part.high
    }
    let bytes = words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(8 * $0)) } }
    return PipelineEffect.ControllerMessage(
      packet: packet, reason: step.field, controller: step.half, inPort: step.number, cookie: step.low,
      table: UInt8(truncatingIfNeeded: step.high >> 32), userData: Array(bytes.prefix(Int(step.maskLow))),
      pipeline: pipeline)
  }

  private func learned(_ step: ActionStep, _ block: ArraySlice<ActionStep>) -> PipelineEffect.LearnedRule {
    var rule = PipelineEffect.LearnedRule(
      table: step.field, priority: step.half, idle: UInt16(truncatingIfNeeded: step.high), limit: step.number)
    for part in block {
      let value = PipelineEffect.FieldValue(Field(rawValue: part.field) ?? .reg0, part.value, part.mask)
      switch part.operation {
      case .learnMatch: rule.match.append(value)
      case .learnLoad: rule.loads.append(value)
      default: rule.outputs.append(part.number)
      }
    }
    return rule
  }
}
