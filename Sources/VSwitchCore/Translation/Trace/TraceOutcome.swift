// The end of a trace: the program in sentences, or why there is none and which command would make one. Thread: control code's.

struct TraceEnd {
  let options: TraceOptions
  let recorder: TraceRecorder
  /// What was found out of NORMAL, in the order of its steps, and of bridges behind patch ports.
  private(set) var normals: [(key: FlowKey, trace: NormalTrace)] = []
  private(set) var followed: [Trace] = []
  private(set) var exits: [TraceExit] = []
  /// Whether the packet goes anywhere.
  private(set) var hasExit = false
  /// Why a router did not pass it on, and what would let it through.
  private(set) var routerDrop: (name: String, explanation: String, remedy: String?)?

  init(options: TraceOptions, recorder: TraceRecorder) {
    self.options = options
    self.recorder = recorder
  }

  // MARK: Where the packet goes

  /// The packet on its way through the program.
  private struct Packet {
    var key: FlowKey
    /// What was done to it, in words.
    var changes: [String] = []
  }

  /// One sentence for each step that can be seen from the outside.
  /// - Parameter key: of the packet as it came in.
  mutating func sentences(_ steps: [ActionStep], _ key: FlowKey) -> [String] {
    var packet = Packet(key: key)
    var result: [String] = []
    sentences(steps[...], &packet, &result)
    return result
  }

  private mutating func sentences(_ steps: ArraySlice<ActionStep>, _ packet: inout Packet, _ result: inout [String]) {
    var index = steps.startIndex
    while index < steps.endIndex {
      let step = steps[index]
      let end = min(index + 1 + Int(step.blockCount), steps.endIndex)
      let block = steps[(index + 1)..<end]
      index = end
      if step.isEdit {
        packet.changes.append(change(step))
        TraceEnd.edit(&packet.key, step)
        continue
      }
      switch step.operation {
      case .clone:
        var inner = packet
        sentences(block, &inner, &result)
      case .selectGroup: select(step, block, packet, &result)
      case .controller where options.isRouter: punt(block, packet, &result)
      case .checkLength: branch(step, block, packet, &result)
      case .normal: normal(step, packet, &result)
      case .output: output(PortNumber(step.number), "", step, packet, &result)
      case .flood, .all:
        if let ports = options.flood(step.number, step.operation == .flood) {
          for port in ports {
            output(port, ", by \(step.operation == .flood ? "FLOOD" : "ALL")", step, packet, &result)
          }
          if ports.isEmpty { result.append("there is no other port to flood it to") }
        } else {
          fallback(step, packet, &result)
        }
      default: fallback(step, packet, &result)
      }
    }
  }

  private mutating func fallback(_ step: ActionStep, _ packet: Packet, _ result: inout [String]) {
    guard let text = sentence(step) else { return }
    switch step.operation {
    // Packets of the switch's own tables all come back from there.
    case .conntrack where options.isDerived: break
    case .normal, .flood, .all, .controller, .conntrack: hasExit = true
    default: break
    }
    result.append(text + TraceEnd.list(packet.changes))
  }

  /// Goes to a service of the router.
  private mutating func punt(_ block: ArraySlice<ActionStep>, _ packet: Packet, _ result: inout [String]) {
    // The first byte of the user data (see `Burst.putData`).
    guard let data = block.first(where: { $0.operation == .data }),
      let reason = PuntReason(rawValue: UInt8(truncatingIfNeeded: data.high))
    else { return }
    var key = packet.key
    for step in block where step.operation == .setPipeline && Int(step.number) < FlowKey.wordCount {
      key.words[Int(step.number)] = step.low
    }
    let end = RouterTrace.punt(reason, bridge: options.bridge, rule: recorder.lastRule, key: key)
    guard let drop = end.drop else {
      hasExit = true
      result.append(end.sentence)
      return
    }
    routerDrop = (drop, end.sentence, end.remedy)
  }

  private static func list(_ changes: [String]) -> String {
    changes.isEmpty ? "" : " (\(changes.joined(separator: ", ")))"
  }

  private static func cut(_ step: ActionStep) -> String { step.low == 0 ? "" : ", cut to \(step.low) bytes" }

  /// The packet leaves a port, as it is, or crosses to another bridge.
  private mutating func output(
    _ port: PortNumber, _ why: String, _ step: ActionStep, _ packet: Packet, _ result: inout [String]
  ) {
    hasExit = true
    let remark = why + TraceEnd.cut(step) + TraceEnd.list(packet.changes)
    let key = packet.key
    if let other = options.follow(port, key) {
      followed.append(other)
      exits += other.outcome.exits
      result.append("crosses from port \(options.portText(port)) to bridge \(other.bridge)\(remark)")
      result += other.outcome.actions.map { "in \(other.bridge): \($0)" }
      if let why = other.outcome.explanation { result.append("in \(other.bridge): dropped: \(why)") }
      return
    }
    let tag = key.vlanTCI & 0x1000 == 0 ? 0 : UInt32(key.vlanType) << 16 | UInt32(key.vlanTCI & ~0x1000)
    exits.append(TraceExit(bridge: options.owner(port) ?? options.bridge, port: options.portText(port), tag: tag))
    let tagText = options.showsTags ? " \(NormalTrace.tagText(tag))" : ""
    result.append("leaves port \(options.portText(port))\(tagText)\(remark)")
  }

  private mutating func normal(_ step: ActionStep, _ packet: Packet, _ result: inout [String]) {
    var key = packet.key
    key.inPort = step.number
    guard let decision = options.normal(key) else { return fallback(step, packet, &result) }
    normals.append((packet.key, decision))
    for exit in decision.exits {
      var leaving = packet
      leaving.key = decision.departing(packet.key, by: exit)
      output(exit.port, ", by NORMAL", step, leaving, &result)
    }
    if let drop = decision.drop { result.append("NORMAL does not forward it: \(drop.description)") }
  }

  /// The fields that a trace goes on with after a change.
  private static func edit(_ key: inout FlowKey, _ step: ActionStep) {
    switch step.operation {
    case .setField:
      guard let field = Field(rawValue: step.field) else { return }
      key[field] = key[field] & ~step.mask | step.value & step.mask
    case .pushVLAN:
      key.innerVLANTCI = key.vlanTCI
      key.innerVLANType = key.vlanType
      key.vlanTCI = UInt16(truncatingIfNeeded: step.number) | 0x1000
      key.vlanType = step.half
    case .popVLAN:
      key.vlanTCI = key.innerVLANTCI
      key.vlanType = key.innerVLANType
      key.innerVLANTCI = 0
      key.innerVLANType = 0
    default: break
    }
  }

  private mutating func select(
    _ step: ActionStep, _ block: ArraySlice<ActionStep>, _ packet: Packet, _ result: inout [String]
  ) {
    var index = block.startIndex
    while index < block.endIndex {
      let end = min(index + 1 + Int(block[index].blockCount), block.endIndex)
      var inner = packet
      var lines: [String] = []
      sentences(block[(index + 1)..<end], &inner, &lines)
      let all = lines.isEmpty ? "nothing" : lines.joined(separator: "; ")
      result.append("group \(step.low) may choose bucket \(block[index].number): \(all)")
      index = end
    }
  }

  private mutating func branch(
    _ step: ActionStep, _ block: ArraySlice<ActionStep>, _ packet: Packet, _ result: inout [String]
  ) {
    let middle = min(block.startIndex + Int(step.low), block.endIndex)
    for (isLarger, part) in [(true, block[..<middle]), (false, block[middle...])] {
      if let byteCount = options.byteCount, (byteCount > Int(step.number)) != isLarger { continue }
      var inner = packet
      var lines: [String] = []
      sentences(part, &inner, &lines)
      result += lines.map { "\(isLarger ? "over" : "up to") \(step.number) bytes: \($0)" }
    }
  }

  private func sentence(_ step: ActionStep) -> String? {
    let number = options.portText(PortNumber(step.number))
    let cut = TraceEnd.cut(step)
    return switch step.operation {
    case .normal: "goes to NORMAL: MAC learning and lookup\(cut)"
    case .flood: "leaves every port but \(number) and those with flooding off\(cut)"
    case .all: "leaves every port but \(number)\(cut)"
    case .controller: "goes to the controller\(step.half == 0 ? "" : " \(step.half)")"
    case .meter: "is measured by meter \(step.number), which may drop it"
    case .sample: "is sampled for collector set \(step.number)"
    case .conntrack: "goes to connection tracking in zone \(step.number)"
    case .conntrackClear: "forgets its connection"
    case .learn: "makes a rule in table \(step.field)"
    case .output, .finTimeout, .recirculate, .drop, .countRule, .countBucket, .data, .setPipeline, .bucket, .learnMatch,
      .learnLoad, .learnOutput, .conntrackTranslation, .conntrackSet, .clone, .selectGroup, .checkLength, .setField,
      .pushVLAN, .popVLAN, .pushMPLS, .popMPLS, .decrementTTL, .decrementMPLSTTL, .copyTTLOutwards, .copyTTLInwards,
      .setQueue, .popQueue:
      nil
    }
  }

  private func change(_ step: ActionStep) -> String {
    switch step.operation {
    case .setField:
      let field = Field(rawValue: step.field) ?? .reg0
      return options.actionsText(Instructions(apply: [.setField(field, value: step.value, mask: step.mask)]))
    case .pushVLAN: return "VLAN tag \(step.number & 0xfff) added"
    case .popVLAN: return "VLAN tag removed"
    case .pushMPLS: return "MPLS label \(step.number >> 12) added"
    case .popMPLS: return "MPLS label removed"
    case .decrementTTL, .decrementMPLSTTL: return "TTL less 1"
    case .copyTTLOutwards, .copyTTLInwards: return "TTL copied"
    case .setQueue: return "queue \(step.number)"
    default: return "queue as before"
    }
  }

  // MARK: Why it goes nowhere

  /// A command that would let the packet through; nil if none can be told.
  func remedy(_ reason: DropReason, key: FlowKey) -> String? {
    let bridge = options.bridge
    let table = recorder.lastTable
    switch reason {
    case .tableMiss:
      return "vsctl add-flow \(bridge) \"table=\(table),priority=1\(flow(key)),actions=output:PORT\""
    case .ruleDrops:
      guard let rule = recorder.lastRule else { return nil }
      let match = options.matchText(rule.match)
      return
        "vsctl add-flow \(bridge) \"table=\(table),priority=\(rule.priority)\(match.isEmpty ? "" : ",\(match)"),actions=output:PORT\""
    case .samePort: return "use actions=in_port in the rule of table \(table)"
    case .fragment: return "vsctl set-frags \(bridge) normal"
    default: break
    }
    switch recorder.lastRemark {
    case .noSuchPort(let number):
      return "vsctl add-port \(bridge) NAME -- set Interface NAME ofport_request=\(number)"
    case .portDown(let number): return "vsctl mod-port \(bridge) \(port(number)) up"
    case .portDoesNotForward(let number): return "vsctl mod-port \(bridge) \(port(number)) forward"
    case .portDoesNotReceive(let number): return "vsctl mod-port \(bridge) \(port(number)) receive"
    case .noSuchGroup(let id):
      return "vsctl add-group \(bridge) \"group_id=\(id),type=indirect,bucket=actions=output:PORT\""
    case .noLiveBucket(let id): return "vsctl dump-groups \(bridge) \(id) tells the ports that it watches: bring one up"
    default: return nil
    }
  }

  private func port(_ number: UInt32) -> String { options.portText(PortNumber(number)) }

  /// The packet's addresses, for a rule that lets it through.
  private func flow(_ key: FlowKey) -> String {
    var match = Match()
    match.set(.inPort, UInt128(key.inPort))
    match.set(.etherType, UInt128(key.etherType))
    let text = options.matchText(match)
    return text.isEmpty ? "" : ",\(text)"
  }
}
