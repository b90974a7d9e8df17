// The walk that explains itself. Thread: control code's, with memory of its own; needs no traffic and changes nothing.

extension PacketTranslation {
  /// Most times that a trace follows a packet that comes back.
  static let traceDepthLimit = 8
  static let traceStepLimit = 16384

  /// Follows a packet through the tables.
  /// - Parameters:
  ///   - key: the packet's fields.
  ///   - version: at which the tables are read.
  ///   - actions: those of a packet-out; nil: table 0 decides.
  public static func trace<Reader: PipelineReader>(
    _ reader: Reader, key: FlowKey, version: UInt64, actions: RuleCode? = nil, options: TraceOptions
  ) -> Trace {
    let memory = TranslationMemory()
    let steps = UnsafeMutablePointer<ActionStep>.allocate(capacity: traceStepLimit)
    let hits = UnsafeMutableBufferPointer<UInt32>.allocate(capacity: traceStepLimit)
    defer {
      memory.deallocate()
      unsafe steps.deallocate()
      unsafe hits.deallocate()
    }
    func translate(_ key: FlowKey, _ resumptions: [Resumption]) -> TracedPart {
      unsafe resumptions.withUnsafeBufferPointer { resumptions in
        var translation = unsafe Translation(
          reader: reader, version: version, key: key, resumptions: resumptions, setsPipeline: false,
          isPacketOut: actions != nil, memory: memory, program: ActionProgram(steps, capacity: traceStepLimit),
          hits: hits,
          recorder: TraceRecorder(options))
        translation.run(actions: actions)
        return unsafe TracedPart(
          nodes: translation.recorder.nodes, recorder: translation.recorder, steps: Array(translation.program.steps),
          result: translation.result, finalKey: translation.state.key)
      }
    }
    func follow(_ key: FlowKey, _ resumptions: [Resumption], _ depth: Int) -> TracedPart {
      var part = translate(key, resumptions)
      var known = key
      for word in 0..<FlowKey.wordCount { known.words[word] &= part.result.mask.words[word] }
      for leaving in part.recorder.leavings {
        guard depth < traceDepthLimit, let (returned, text) = comesBack(leaving, options) else {
          part.nodes.append(TraceNode(.comesBack, "what follows needs the packet's bytes: give them (--packet)"))
          continue
        }
        let later = follow(returned, resumptions + [Resumption(key: known, point: leaving.point)], depth + 1)
        var node = TraceNode(.comesBack, text)
        node.children = later.nodes
        part.nodes.append(node)
        part.sentences += later.sentences.map { "then: \($0)" }
        part.followed += later.followed
        part.exits += later.exits
        part.hasExit = part.hasExit || later.hasExit
        part.normalDrop = part.normalDrop ?? later.normalDrop
        part.routerDrop = part.routerDrop ?? later.routerDrop
        part.laterDrop = part.laterDrop ?? later.result.drop.map { ($0, later.recorder, later.finalKey) }
      }
      var end = TraceEnd(options: options, recorder: part.recorder)
      part.sentences = end.sentences(part.steps, key) + part.sentences
      part.followed = end.followed + part.followed
      part.exits = end.exits + part.exits
      part.hasExit = part.hasExit || end.hasExit
      part.routerDrop = part.routerDrop ?? end.routerDrop
      for (key, decision) in end.normals {
        var node = TraceNode(.action, "NORMAL:")
        node.children = decision.lines(
          source: key.ethernetSource, destination: key.ethernetDestination, port: options.portText
        ).map { TraceNode(.remark, $0) }
        part.nodes.append(node)
        part.normalDrop = part.normalDrop ?? (decision.drop == nil ? nil : decision)
      }
      return part
    }
    let part = follow(key, [], 0)
    return Trace(
      bridge: options.bridge, flow: options.flowText(shownKey(key)), nodes: part.nodes,
      finalFlow: options.flowText(shownKey(part.finalKey)),
      megaflow: options.matchText(Match(key: key, mask: part.result.mask)),
      program: options.programText(part.result.drop == nil ? part.steps : []), outcome: outcome(part, options),
      followed: part.followed)
  }

  /// One translation of a trace.
  private struct TracedPart {
    var nodes: [TraceNode]
    let recorder: TraceRecorder
    let steps: [ActionStep]
    let result: TranslationResult
    let finalKey: FlowKey
    var sentences: [String] = []
    var laterDrop: (DropReason, TraceRecorder, FlowKey)?
    /// NORMAL found no way.
    var normalDrop: NormalTrace?
    var followed: [Trace] = []
    var exits: [TraceExit] = []
    var hasExit = false
    var routerDrop: (name: String, explanation: String, remedy: String?)?
  }

  private static func outcome(_ part: TracedPart, _ options: TraceOptions) -> TraceOutcome {
    if options.isDerived, !part.hasExit { return derivedOutcome(part, options) }
    let drop: (DropReason, TraceRecorder, FlowKey)? =
      part.result.drop.map { ($0, part.recorder, part.finalKey) } ?? part.laterDrop
    guard let (reason, recorder, key) = drop else {
      if part.hasExit {
        return TraceOutcome(
          actions: part.sentences, exits: part.exits)
      }
      guard let decision = part.normalDrop, let reason = decision.drop else {
        // Whatever the program does, nothing of it sends the packet anywhere.
        let reason = DropReason.ruleDrops
        return TraceOutcome(
          actions: part.sentences, exits: part.exits, drop: reason.name, explanation: reason.description,
          remedy: TraceEnd(options: options, recorder: part.recorder).remedy(reason, key: part.finalKey))
      }
      return TraceOutcome(
        actions: part.sentences, exits: part.exits, drop: reason.name, explanation: reason.description,
        remedy: decision.remedy)
    }
    return TraceOutcome(
      actions: part.sentences, exits: part.exits, drop: reason.name, explanation: reason.description,
      remedy: TraceEnd(options: options, recorder: recorder).remedy(reason, key: key))
  }

  /// Why tables of the switch's own making do not pass a packet on.
  private static func derivedOutcome(_ part: TracedPart, _ options: TraceOptions) -> TraceOutcome {
    if let drop = part.routerDrop {
      return TraceOutcome(
        actions: part.sentences, exits: part.exits, drop: drop.name, explanation: drop.explanation, remedy: drop.remedy)
    }
    let (reason, recorder, key) =
      part.result.drop.map { ($0, part.recorder, part.finalKey) } ?? part.laterDrop
      ?? (.ruleDrops, part.recorder, part.finalKey)
    guard [.ruleDrops, .tableMiss].contains(reason) else {
      return TraceOutcome(
        actions: part.sentences, exits: part.exits, drop: reason.name, explanation: reason.description)
    }
    let end =
      options.guarding.map { SecurityTrace.end($0, table: recorder.lastTable, key: key) }
      ?? RouterTrace.end(
        bridge: options.bridge, table: recorder.lastTable, rule: recorder.lastRule, key: key)
    return TraceOutcome(
      actions: part.sentences, exits: part.exits, drop: reason.name, explanation: end.explanation, remedy: end.remedy)
  }

  /// The packet as it comes back.
  private static func comesBack(_ leaving: TraceRecorder.Leaving, _ options: TraceOptions) -> (FlowKey, String)? {
    var key = leaving.key
    key.recirculationID = 1
    switch leaving.remark {
    case .continuesAfterConntrack:
      key[.ctState] = UInt128(options.connectionState)
      return (key, "back from connection tracking, with ct_state=0x\(String(options.connectionState, radix: 16)):")
    case .continuesAfterController: return (key, "if the controller lets it go on:")
    default:
      guard let parsed = options.parseAgain(leaving.key) else { return nil }
      return (parsed, "parsed again:")
    }
  }

  /// All that a packet has, as a match.
  private static func shownKey(_ key: FlowKey) -> Match {
    var match = Match()
    for field in Field.allCases {
      guard key[field] != 0, field != .actionSetOutput, field != .recirculationID else { continue }
      match.set(field, key[field])
    }
    return match
  }
}
