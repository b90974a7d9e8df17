// The groups, meters and ports that instructions name. Thread: any; values.

/// What instructions and actions refer to.
struct References {
  var groups: [UInt32] = []
  var meters: [UInt32] = []
  var ports: [PortNumber] = []
  /// Rules that go when nothing refers to them.
  var learned: [LearnedRules] = []

  /// Rules whose number decides what a packet is told of its own.
  var limited: [LearnedRules] = []

  /// Whether there is nothing that is counted.
  var isEmpty: Bool { groups.isEmpty && meters.isEmpty && learned.isEmpty && limited.isEmpty }

  init(_ instructions: Instructions) {
    if let meter = instructions.meter { meters.append(meter) }
    add(instructions.apply)
    add(instructions.write)
  }

  init(_ actions: [Action]) { add(actions) }

  private mutating func add(_ actions: [Action]) {
    for action in actions {
      switch action {
      case .output(let port, _), .outputTruncated(let port, _), .enqueue(let port, _): ports.append(port)
      case .controller(let controller):
        ports.append(.controller)
        if let meter = controller.meterID { meters.append(meter) }
      case .group(let group): groups.append(group)
      case .meter(let meter): meters.append(meter)
      case .bundle(let bundle) where bundle.destination == nil: ports.append(contentsOf: bundle.members)
      case .learn(let learn):
        let rules = LearnedRules(table: learn.table, cookie: learn.cookie)
        if learn.flags.contains(.deleteLearned) { learned.append(rules) }
        if learn.limit > 0, learn.result != nil { limited.append(rules) }
      case .clone(let nested): add(nested)
      case .conntrack(let conntrack): add(conntrack.actions)
      default: break
      }
    }
  }
}
