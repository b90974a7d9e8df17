// The end of a trace: the program in sentences, or why there is none and which command would make one. Thread: control code's.

struct TraceEnd {
  let options: TraceOptions
  let recorder: TraceRecorder

  // MARK: Where the packet goes

  /// One sentence for each step that can be seen from the outside.
  func sentences(_ steps: [ActionStep]) -> [String] {
    var changes: [String] = []
    var result: [String] = []
    sentences(steps[...], &changes, &result)
    return result
  }

  private func sentences(_ steps: ArraySlice<ActionStep>, _ changes: inout [String], _ result: inout [String]) {
    var index = steps.startIndex
    while index < steps.endIndex {
      let step = steps[index]
      let end = min(index + 1 + Int(step.blockCount), steps.endIndex)
      let block = steps[(index + 1)..<end]
      index = end
      if step.isEdit {
        changes.append(change(step))
        continue
      }
      switch step.operation {
      case .clone:
        var inner = changes
        sentences(block, &inner, &result)
      case .selectGroup: select(step, block, changes, &result)
      case .checkLength: branch(step, block, changes, &result)
      default:
        if let text = sentence(step) {
          result.append(text + (changes.isEmpty ? "" : " (\(changes.joined(separator: ", ")))"))
        }
      }
    }
  }

  private func select(
    _ step: ActionStep, _ block: ArraySlice<ActionStep>, _ changes: [String], _ result: inout [String]
  ) {
    var index = block.startIndex
    while index < block.endIndex {
      let end = min(index + 1 + Int(block[index].blockCount), block.endIndex)
      var inner = changes
      var lines: [String] = []
      sentences(block[(index + 1)..<end], &inner, &lines)
      let all = lines.isEmpty ? "nothing" : lines.joined(separator: "; ")
      result.append("group \(step.low) may choose bucket \(block[index].number): \(all)")
      index = end
    }
  }

  private func branch(
    _ step: ActionStep, _ block: ArraySlice<ActionStep>, _ changes: [String], _ result: inout [String]
  ) {
    let middle = min(block.startIndex + Int(step.low), block.endIndex)
    for (isLarger, part) in [(true, block[..<middle]), (false, block[middle...])] {
      if let byteCount = options.byteCount, (byteCount > Int(step.number)) != isLarger { continue }
      var inner = changes
      var lines: [String] = []
      sentences(part, &inner, &lines)
      result += lines.map { "\(isLarger ? "over" : "up to") \(step.number) bytes: \($0)" }
    }
  }

  private func sentence(_ step: ActionStep) -> String? {
    let number = TraceText.port(PortNumber(step.number))
    let cut = step.low == 0 ? "" : ", cut to \(step.low) bytes"
    return switch step.operation {
    case .output: "leaves port \(number)\(cut)"
    case .normal: "goes to NORMAL: MAC learning and lookup\(cut)"
    case .flood: "leaves every port but \(number) and those with flooding off\(cut)"
    case .all: "leaves every port but \(number)\(cut)"
    case .controller: "goes to the controller\(step.half == 0 ? "" : " \(step.half)"), at most \(step.number) bytes"
    case .meter: "is measured by meter \(step.number), which may drop it"
    case .sample: "is sampled for collector set \(step.number)"
    case .conntrack: "goes to connection tracking in zone \(step.number)"
    case .conntrackClear: "forgets its connection"
    case .learn: "makes a rule in table \(step.field)"
    case .finTimeout, .recirculate, .drop, .countRule, .countBucket, .data, .setPipeline, .bucket, .learnMatch,
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

  private func port(_ number: UInt32) -> String { TraceText.port(PortNumber(number)) }

  /// The packet's addresses, for a rule that lets it through.
  private func flow(_ key: FlowKey) -> String {
    var match = Match()
    match.set(.inPort, UInt128(key.inPort))
    match.set(.etherType, UInt128(key.etherType))
    let text = options.matchText(match)
    return text.isEmpty ? "" : ",\(text)"
  }
}
