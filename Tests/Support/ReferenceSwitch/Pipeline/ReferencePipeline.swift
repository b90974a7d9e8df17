// A naive OpenFlow pipeline: linear tables, actions interpreted one by one on a pile of headers, no compiled code, no masks,
// no recirculation. Translation is tested against it. Thread: a value; any. Standard: OpenFlow 1.5 §5, ovs-actions(7).

import VSwitchCore

package struct ReferencePipelineRule: Sendable {
  package var table: UInt8
  package var priority: UInt16
  package var match: Match
  package var cookie: UInt64
  package var instructions: Instructions

  package init(table: UInt8, priority: UInt16, match: Match, cookie: UInt64, instructions: Instructions) {
    self.table = table
    self.priority = priority
    self.match = match
    self.cookie = cookie
    self.instructions = instructions
  }

  package var isTableMiss: Bool { priority == 0 && match == Match() }
}

package struct ReferencePipeline: Sendable {
  /// Most tables and groups on a packet's way: less than the switch's, for the sake of time.
  package static let resubmitLimit = 100
  /// Connection tracking is asked so often, and gives the packet back no more: ways that part grow too many.
  package static let conntrackLimit = 2
  package var rules: [ReferencePipelineRule] = []
  package var groups: [UInt32: GroupDescription] = [:]
  package var ports: [UInt32: PipelinePort] = [:]
  package var missBehaviour: [UInt8: MissBehaviour] = [:]
  /// What connection tracking finds of a packet: makes tests of what comes back.
  package var connection: @Sendable (PipelinePacket, UInt16) -> FlowKey = { packet, _ in packet.metadata }

  package init() {}

  /// The packet is dropped whole: it went through too much.
  package struct Fault: Error {}

  /// - Returns: nil if it is dropped because of a limit.
  package func receive(_ packet: PipelinePacket, inPort: UInt32) -> [PipelineEffect]? {
    if ports[inPort]?.contains(.noReceive) == true { return [] }
    var walk = ReferenceWalk(self, packet, inPort: inPort)
    do {
      _ = try walk.lookup(0, isFirst: true)
      try walk.finish()
      return walk.effects
    } catch {
      return nil
    }
  }

  /// Whether a rule may be learned: the limit leaves room for it, or it is there (ovs-actions(7), `learn`).
  package func mayLearn(table: UInt8, cookie: UInt64, limit: UInt32, _ match: Match, priority: UInt16) -> Bool {
    let rules = rules.filter { $0.table == table }
    return limit == 0 || rules.count { $0.cookie == cookie } < Int(limit)
      || rules.contains { $0.priority == priority && $0.match == match }
  }

  package func mayLearn(_ rule: PipelineEffect.LearnedRule) -> Bool {
    mayLearn(table: rule.table, cookie: 0, limit: rule.limit, rule.wholeMatch, priority: rule.priority)
  }

  package func isAlive(_ bucket: GroupDescription.Bucket, depth: Int = 0) -> Bool {
    guard depth < 16 else { return false }
    if bucket.watchPort == nil && bucket.watchGroup == nil { return true }
    if let port = bucket.watchPort, ports[port.rawValue]?.contains(.isLive) == true { return true }
    if let group = bucket.watchGroup.flatMap({ groups[$0] }) {
      return group.buckets.contains { isAlive($0, depth: depth + 1) }
    }
    return false
  }
}

/// One packet's way.
struct ReferenceWalk {
  enum Step {
    case action(Action)
    case clear
    case write([Action])
    case metadata(UInt64, UInt64)
    case goto(UInt8)
  }
  enum Flow { case goesOn, endsList, exits, waits }

  let pipeline: ReferencePipeline
  var packet: PipelinePacket
  /// Metadata and registers, conj_id, actset_output.
  var own = FlowKey()
  var inPort: UInt32
  var set: [Action] = []
  var stack: [UInt128] = []
  var queue: UInt32?
  var table: UInt8 = 0
  var cookie = UInt64.max
  var hasRule = false
  var isTableMiss = false
  var effects: [PipelineEffect] = []
  var runsSet = true
  var depth = 0
  var resubmits = 0
  var bucketDepth = 0
  var conntrackDepth = 0
  var isInSet = false

  init(_ pipeline: ReferencePipeline, _ packet: PipelinePacket, inPort: UInt32) {
    self.pipeline = pipeline
    self.packet = packet
    self.inPort = inPort
    own[.actionSetOutput] = UInt128(PortNumber.unset.rawValue)
  }

  var key: FlowKey {
    var key = packet.key
    for word in [15] + Array(18..<26) + [36] { key.words[word] = own.words[word] }
    key.inPort = inPort
    return key
  }

  mutating func finish() throws {
    guard runsSet else { return }
    isInSet = true
    let actions = Self.ordered(set)
    set = []
    _ = try run(actions.map { .action($0) })
  }

  // MARK: Tables

  mutating func lookup(
    _ number: UInt8, port: UInt32? = nil, isFirst: Bool = false, isResubmit: Bool = false, tuple: Bool = false
  ) throws -> Flow {
    resubmits += 1
    if resubmits > ReferencePipeline.resubmitLimit { throw ReferencePipeline.Fault() }
    var key = self.key
    key.inPort = port ?? inPort
    if tuple {
      guard key.etherType == 0x0800 || key.etherType == 0x86dd, key[.ctProtocol] != 0 else { return .goesOn }
      let pairs: [(Field, Field)] = [
        (.ipv4Source, .ctIPv4Source), (.ipv4Destination, .ctIPv4Destination), (.ipv6Source, .ctIPv6Source),
        (.ipv6Destination, .ctIPv6Destination), (.ipProtocol, .ctProtocol), (.tcpSource, .ctTransportSource),
        (.tcpDestination, .ctTransportDestination),
      ]
      for (a, b) in pairs { (key[a], key[b]) = (key[b], key[a]) }
    }
    if (key.etherType == 0x0800 || key.etherType == 0x86dd) && key.ipFragment != 0 {
      key[.tcpSource] = 0
      key[.tcpDestination] = 0
    }
    let deepens = number <= table && !isFirst
    var number = number
    while true {
      let found = pipeline.rules.filter { $0.table == number && $0.match.matches(key) }
      if let rule = found.max(by: { $0.priority < $1.priority }) { return try run(rule, deepens: deepens) }
      if isResubmit { return .goesOn }
      guard pipeline.missBehaviour[number] == .nextTable, number < 253 else { break }
      number += 1
    }
    if let miss = pipeline.missBehaviour[number], miss != .drop,
      pipeline.ports[inPort]?.contains(.noPacketIn) != true
    {
      toController(reason: .noMatch, id: 0, userData: [], cookie: .max, table: number)
    }
    clearSet()
    return .goesOn
  }

  mutating func run(_ rule: ReferencePipelineRule, deepens: Bool) throws -> Flow {
    let before = (table, cookie, hasRule, isTableMiss)
    if deepens { try deepen() }
    (table, cookie, hasRule, isTableMiss) = (rule.table, rule.cookie, true, rule.isTableMiss)
    let flow = try run(Self.steps(rule.instructions))
    (table, cookie, hasRule, isTableMiss) = before
    if deepens { depth -= 1 }
    return flow == .endsList ? .goesOn : flow
  }

  mutating func deepen() throws {
    if depth >= 64 { throw ReferencePipeline.Fault() }
    depth += 1
  }

  static func steps(_ instructions: Instructions) -> [Step] {
    var steps: [Step] = []
    if let meter = instructions.meter { steps.append(.action(.meter(meter))) }
    steps += instructions.apply.map { .action($0) }
    if instructions.clearsActions { steps.append(.clear) }
    if !instructions.write.isEmpty { steps.append(.write(instructions.write)) }
    if let metadata = instructions.metadata { steps.append(.metadata(metadata.value, metadata.mask)) }
    if let table = instructions.gotoTable { steps.append(.goto(table)) }
    return steps
  }

  mutating func run(_ steps: [Step]) throws -> Flow {
    for (index, step) in steps.enumerated() {
      if case .action(.checkPacketLarger(let byteCount, let bit)) = step {
        let rest = Array(steps[(index + 1)...])
        guard !rest.isEmpty else { return .goesOn }
        let larger = packet.length > Int(byteCount)
        try onCopy { walk in
          walk.set(bit, larger ? 1 : 0)
          return try walk.run(rest)
        }
        return .goesOn
      }
      let flow = try run(step)
      if flow == .endsList { return .goesOn }
      if flow != .goesOn { return flow }
    }
    return .goesOn
  }

  private mutating func run(_ step: Step) throws -> Flow {
    switch step {
    case .action(let action): return try run(action)
    case .clear: clearSet()
    case .write(let actions):
      set += actions
      var port = PortNumber.unset
      for action in set {
        switch action {
        case .output(let number, _), .outputTruncated(let number, _), .enqueue(let number, _): port = number
        case .controller: port = .controller
        default: break
        }
      }
      if set.contains(where: { if case .group = $0 { true } else { false } }) { port = .unset }
      own[.actionSetOutput] = UInt128(port.rawValue)
    case .metadata(let value, let mask): own.metadata = own.metadata & ~mask | value & mask
    case .goto(let number): return try lookup(number)
    }
    return .goesOn
  }

  mutating func clearSet() {
    set = []
    own[.actionSetOutput] = UInt128(PortNumber.unset.rawValue)
  }

  /// What runs on a copy leaves nothing but its effects.
  mutating func onCopy(_ body: (inout ReferenceWalk) throws -> Flow) throws {
    var copy = self
    try copy.deepen()
    _ = try body(&copy)
    effects = copy.effects
    resubmits = copy.resubmits
  }

  /// A set's actions in the standard's order; none if none sends.
  static func ordered(_ set: [Action]) -> [Action] {
    func last(_ isIt: (Action) -> Bool) -> [Action] { set.last(where: isIt).map { [$0] } ?? [] }
    func all(_ isIt: (Action) -> Bool) -> [Action] { set.filter(isIt) }
    var result: [Action] = []
    result += last { $0 == .copyTTLInwards }
    result += last { $0 == .popVLAN }
    result += last { if case .popMPLS = $0 { true } else { false } }
    result += last { if case .pushMPLS = $0 { true } else { false } }
    result += last { if case .pushVLAN = $0 { true } else { false } }
    result += last { $0 == .copyTTLOutwards }
    result += last { if case .decrementTTL = $0 { true } else { false } }
    result += last { $0 == .decrementMPLSTTL }
    result += all {
      switch $0 {
      case .setField, .move, .setTTL, .setMPLSTTL, .setVLANID, .setVLANPriority, .deleteField: true
      default: false
      }
    }
    result += last { if case .meter = $0 { true } else { false } }
    result += last { if case .setQueue = $0 { true } else { false } }
    let senders: [(Action) -> Bool] = [
      { if case .group = $0 { true } else { false } },
      {
        switch $0 {
        case .output, .outputField, .outputTruncated, .controller, .bundle, .enqueue: true
        default: false
        }
      },
      { if case .resubmit = $0 { true } else { false } },
      { if case .conntrack = $0 { true } else { false } },
    ]
    for isSender in senders {
      if let sender = set.last(where: isSender) { return result + [sender] }
    }
    return []
  }
}
