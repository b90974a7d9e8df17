// Listens to a translation and makes a tree of what happens. Thread: control code's. The tree grows by what was said last:
// a lookup, a bucket, an action that starts a list gets the lines that follow as its children.

final class TraceRecorder: TranslationRecorder {
  /// A node that is open, with what it has so far.
  private final class Open {
    var node: TraceNode
    /// The line last added was added since anything began or ended: what begins now is below it.
    var hasFresh = false
    init(_ node: TraceNode) { self.node = node }
  }
  struct Leaving {
    let point: UInt32
    let key: FlowKey
    /// From where the next line of the tree will be.
    let remark: TranslationRemark?
  }

  private let options: TraceOptions
  private var open = [Open(TraceNode(.remark, ""))]
  /// For each list that has begun: whether it opened a node.
  private var lists: [Bool] = []
  private(set) var leavings: [Leaving] = []
  /// What was said last of why an action did nothing.
  private(set) var lastRemark: TranslationRemark?
  private(set) var lastTable: UInt8 = 0
  private(set) var lastRule: (match: Match, priority: UInt16)?

  init(_ options: TraceOptions) { self.options = options }

  /// The lines so far.
  var nodes: [TraceNode] {
    while open.count > 1 { close() }
    return open[0].node.children
  }

  private var current: Open { open[open.count - 1] }

  private func add(_ node: TraceNode) {
    current.node.children.append(node)
    current.hasFresh = true
  }

  private func close() {
    guard open.count > 1 else { return }
    let node = open.removeLast().node
    current.node.children.append(node)
    current.hasFresh = false
  }

  func record(_ event: TranslationEvent) {
    switch event {
    case .lookup(let table, let rule): add(lookup(table, rule))
    case .action(let step): add(TraceNode(.action, text(step)))
    case .actionSet: add(TraceNode(.actionSet, "Executing action set:"))
    case .bucket(_, let index): add(TraceNode(.bucket, "bucket \(index)"))
    case .branch(let isLarger): add(TraceNode(.branch, isLarger ? "if the packet is larger:" : "if it is not:"))
    case .begin:
      let opens = current.hasFresh
      lists.append(opens)
      guard opens, let node = current.node.children.popLast() else { return }
      current.hasFresh = false
      open.append(Open(node))
    case .end:
      if lists.popLast() == true { close() } else { current.hasFresh = false }
    case .remark(let remark):
      lastRemark = remark
      current.node.children.append(TraceNode(.remark, remark.text))
      current.hasFresh = false
    }
  }

  func leave(at point: UInt32, key: FlowKey) {
    leavings.append(Leaving(point: point, key: key, remark: lastRemark))
  }

  private func lookup(_ table: UInt8, _ rule: PipelineRule?) -> TraceNode {
    lastTable = table
    guard let rule else {
      lastRule = nil
      var node = TraceNode(.table, "No match.")
      node.table = table
      return node
    }
    let match = options.match(rule.slot) ?? Match()
    lastRule = (match, rule.priority)
    let text = options.matchText(match)
    var node = TraceNode(.table, "\(text.isEmpty ? "" : "\(text), ")priority \(rule.priority)")
    if rule.cookie != 0 { node.text += ", cookie 0x\(String(rule.cookie, radix: 16))" }
    node.table = table
    node.priority = rule.priority
    node.cookie = rule.cookie
    return node
  }

  private func text(_ step: CodeStep) -> String {
    var instructions = Instructions()
    switch step.operation {
    case .meterInstruction: instructions.meter = step.argument
    case .clearActions: instructions.clearsActions = true
    case .writeActions: instructions.write = RuleCode.actions(step.nested(from: 1))
    case .writeMetadata: instructions.metadata = Instructions.MaskedMetadata(value: step[1], mask: step[2])
    case .gotoTable: instructions.gotoTable = UInt8(truncatingIfNeeded: step.argument)
    default: if let action = RuleCode.action(step) { instructions.apply = [action] }
    }
    return options.actionsText(instructions)
  }
}

extension TranslationRemark {
  /// A plain sentence.
  var text: String {
    switch self {
    case .outputToInPort(let number): "port \(number) is where the packet came in: not sent back (use in_port)"
    case .noSuchPort(let number): "the bridge has no port \(TraceText.port(PortNumber(number)))"
    case .portDown(let number): "port \(TraceText.port(PortNumber(number))) is down"
    case .portDoesNotForward(let number): "port \(TraceText.port(PortNumber(number))) is set not to forward"
    case .portDoesNotReceive(let number): "port \(TraceText.port(PortNumber(number))) is set not to receive"
    case .portSendsNoPacketIn(let number): "port \(number) is set to send nothing to controllers"
    case .packetLacks(let field): "the packet has no \(field.name): nothing is changed"
    case .stackIsEmpty: "the stack is empty: nothing is changed"
    case .noSuchGroup(let id): "there is no group \(id): the list of actions ends"
    case .noLiveBucket(let id): "no bucket of group \(id) is alive"
    case .noLiveMember: "no member of the bundle is alive"
    case .invalidTTL: "the TTL would become 0: the list of actions ends"
    case .noTag: "the packet has no VLAN tag: nothing is changed"
    case .noLabel: "the packet has no MPLS label: nothing is changed"
    case .fragmentDropped: "fragments are dropped here"
    case .continuesAfterParsing: "goes on when the packet has been parsed again"
    case .continuesAfterController: "goes on when the controller says so"
    case .continuesAfterConntrack(let table): "goes on in table \(table) when connection tracking is done"
    case .missDropsActionSet: "no rule: the packet is dropped with its action set"
    case .notTracked: "the packet has no connection: nothing is looked up"
    case .failed(let reason): reason.description
    }
  }
}
