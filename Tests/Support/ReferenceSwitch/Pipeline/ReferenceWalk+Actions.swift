// The naive pipeline's actions. Thread: a value; any.

import VSwitchCore

extension ReferenceWalk {
  mutating func run(_ action: Action) throws -> Flow {
    switch action {
    case .output(let port, _): return try output(port)
    case .outputField(let source, _):
      let number = source.value(in: key)
      return number > 0xffff_ffff ? .goesOn : try output(PortNumber(UInt32(number)))
    case .outputTruncated(let port, let cut): return try output(port, cut: UInt64(cut))
    case .controller(let controller):
      toController(
        reason: controller.reason == .action ? controllerReason : controller.reason, id: controller.controllerID,
        userData: controller.userData, cookie: cookie, table: table)
      if controller.pauses {
        runsSet = false
        return .waits
      }
    case .enqueue(let port, let number):
      let before = queue
      queue = number
      if port == .inPort { send(inPort) } else if port.rawValue != inPort { send(port.rawValue) }
      queue = before
    case .group(let id): return try group(id)
    case .bundle(let bundle):
      let chosen = bundle.members.first { pipeline.ports[$0.rawValue]?.contains(.isLive) == true }
      if let destination = bundle.destination {
        set(destination, UInt128((chosen ?? .any).rawValue))
      } else if let chosen {
        return try output(chosen)
      }
    case .setField(let field, let value, let mask): set(field, value, mask)
    case .move(let source, let destination):
      if satisfies(source.field.prerequisite) { set(destination, source.value(in: key)) }
    case .stackPush(let source): stack.append(source.value(in: key))
    case .stackPop(let destination): if let value = stack.popLast() { set(destination, value) }
    case .pushVLAN(let type): packet.pushTag(type, (packet.tags.first?.tci ?? 0) & 0xefff)
    case .popVLAN: packet.popTag()
    case .setVLANID(let id): setTag(id & 0xfff, 0xfff)
    case .setVLANPriority(let priority): setTag(UInt16(priority & 7) << 13, 0xe000)
    case .pushMPLS(let type): pushLabel(type)
    case .popMPLS(let type): packet.popLabel(type)
    case .setMPLSTTL(let ttl): set(.mplsTTL, UInt128(ttl), 0xff)
    case .setTTL(let ttl): set(.ipTTL, UInt128(ttl), 0xff)
    case .decrementMPLSTTL:
      guard packet.isMPLS else { break }
      guard key[.mplsTTL] > 1 else {
        toController(reason: .invalidTTL, id: 0, userData: [], cookie: cookie, table: table)
        return .endsList
      }
      set(.mplsTTL, key[.mplsTTL] - 1, 0xff)
    case .decrementTTL(let controllers):
      guard satisfies(.ip) else { break }
      guard key.ipTTL > 1 else {
        for id in controllers {
          toController(reason: .invalidTTL, id: id, userData: [], cookie: cookie, table: table)
        }
        return .endsList
      }
      set(.ipTTL, UInt128(key.ipTTL - 1), 0xff)
    case .copyTTLOutwards:
      // The TTL is known when the packet has been read again; with a third tag in front, no label is seen then.
      if packet.contentBytes != nil, packet.tags.count > 2 { throw ReferencePipeline.Fault() }
      packet.copyTTL(outwards: true)
    case .copyTTLInwards: packet.copyTTL(outwards: false)
    case .deleteField(let field): set(field, 0, field.fullMask)
    case .setQueue(let number): queue = number
    case .popQueue: queue = nil
    case .meter(let id): effects.append(.meter(id))
    case .sample(let sample): effects.append(.sample(sample.probability, collectorSet: sample.collectorSetID))
    case .resubmit(let port, let number, let tuple):
      let seen = port == nil || port == .inPort ? inPort : port?.rawValue
      return try lookup(number ?? table, port: seen, isResubmit: true, tuple: tuple)
    case .learn(let learn): self.learn(learn)
    case .conntrack(let conntrack): try self.conntrack(conntrack)
    case .conntrackClear:
      effects.append(.conntrackClear)
      for field in Self.connectionFields { packet.metadata[field] = 0 }
    case .clone(let actions):
      var flow = Flow.goesOn
      try onCopy { walk in
        flow = try walk.run(actions.map { .action($0) })
        return flow
      }
      if flow == .exits {
        runsSet = false
        return .exits
      }
    case .exit:
      runsSet = false
      return .exits
    case .finTimeout(let idle, let hard):
      if satisfies(.ip), key.ipProtocol == 6, hasRule { effects.append(.finTimeout(idle: idle, hard: hard)) }
    case .checkPacketLarger, .conjunction, .note, .debugRecirculate, .multipath: break
    }
    return .goesOn
  }

  static let connectionFields: [Field] = [
    .ctState, .ctZone, .ctMark, .ctLabel, .ctProtocol, .ctIPv4Source, .ctIPv4Destination, .ctIPv6Source,
    .ctIPv6Destination, .ctTransportSource, .ctTransportDestination,
  ]

  // MARK: Outputs

  private mutating func output(_ port: PortNumber, cut: UInt64 = 0) throws -> Flow {
    switch port {
    case .inPort: send(inPort, cut: cut)
    case .table: return try lookup(0)
    case .normal: effects.append(.normal(inPort: inPort, packet, cut: cut, queue: queue))
    case .flood: effects.append(.flood(inPort: inPort, packet, cut: cut, queue: queue))
    case .all: effects.append(.all(inPort: inPort, packet, cut: cut, queue: queue))
    case .controller:
      toController(reason: controllerReason, id: 0, userData: [], cookie: cookie, table: table)
    case .any, .unset: break
    default: if port.rawValue != inPort { send(port.rawValue, cut: cut) }
    }
    return .goesOn
  }

  private mutating func send(_ number: UInt32, cut: UInt64 = 0) {
    guard let port = pipeline.ports[number], port.contains(.exists), !port.contains(.isDown),
      !port.contains(.noForward)
    else { return }
    effects.append(.output(number, packet, cut: cut, queue: queue))
  }

  private var controllerReason: ControllerAction.Reason {
    bucketDepth > 0 ? .group : isInSet ? .actionSet : isTableMiss ? .noMatch : .action
  }

  mutating func toController(
    reason: ControllerAction.Reason, id: UInt16, userData: [UInt8], cookie: UInt64, table: UInt8
  ) {
    effects.append(
      .controller(
        PipelineEffect.ControllerMessage(
          packet: packet, reason: reason.rawValue, controller: id, inPort: inPort, cookie: cookie, table: table,
          userData: userData, pipeline: [own.words[15]] + (18..<26).map { own.words[$0] })))
  }

  // MARK: Groups

  private mutating func group(_ id: UInt32) throws -> Flow {
    resubmits += 1
    if resubmits > ReferencePipeline.resubmitLimit { throw ReferencePipeline.Fault() }
    guard let group = pipeline.groups[id] else { return .endsList }
    switch group.kind {
    case .all, .indirect: for bucket in group.buckets { try run(bucket) }
    case .fastFailover: if let bucket = group.buckets.first(where: { pipeline.isAlive($0) }) { try run(bucket) }
    case .select:
      let before = effects
      var buckets: [[PipelineEffect]] = []
      for bucket in group.buckets {
        effects = []
        try run(bucket)
        buckets.append(effects)
      }
      effects = before + [.select(id, buckets)]
    }
    return .goesOn
  }

  private mutating func run(_ bucket: GroupDescription.Bucket) throws {
    let actions = Self.ordered(bucket.actions)
    try onCopy { walk in
      walk.bucketDepth += 1
      return try walk.run(actions.map { .action($0) })
    }
  }

  // MARK: Learn and connection tracking

  private mutating func learn(_ learn: LearnAction) {
    var rule = PipelineEffect.LearnedRule(
      table: learn.table, priority: learn.priority, idle: learn.idleTimeoutSeconds, limit: learn.limit)
    func value(_ source: LearnAction.Source) -> UInt128 {
      switch source {
      case .field(let subfield): subfield.value(in: key)
      case .immediate(let value, _): value
      }
    }
    func part(_ source: LearnAction.Source, _ destination: Subfield) -> PipelineEffect.FieldValue {
      PipelineEffect.FieldValue(
        destination.field, value(source) << UInt128(destination.firstBit) & destination.mask, destination.mask)
    }
    for specification in learn.specifications {
      switch specification {
      case .match(let source, let destination): rule.match.append(part(source, destination))
      case .load(let source, let destination): rule.loads.append(part(source, destination))
      case .output(let source): rule.outputs.append(UInt32(truncatingIfNeeded: source.value(in: key)))
      }
    }
    effects.append(.learn(rule))
    if let result = learn.result { set(result, pipeline.mayLearn(rule) ? 1 : 0) }
  }

  private mutating func conntrack(_ conntrack: ConntrackAction) throws {
    let zone =
      switch conntrack.zone {
      case .immediate(let number): number
      case .field(let subfield): UInt16(truncatingIfNeeded: subfield.value(in: key))
      }
    var sets: [PipelineEffect.FieldValue] = []
    for action in conntrack.actions {
      switch action {
      case .setField(let field, let value, let mask):
        sets.append(PipelineEffect.FieldValue(field, value & mask, mask))
      case .move(let source, let destination):
        let value = source.value(in: key) << UInt128(destination.firstBit)
        sets.append(PipelineEffect.FieldValue(destination.field, value & destination.mask, destination.mask))
      default: break
      }
    }
    var then: [PipelineEffect]?
    if let number = conntrack.recirculationTable {
      var copy = self
      copy.effects = []
      copy.conntrackDepth += 1
      copy.packet.metadata = pipeline.connection(packet, zone)
      do {
        if copy.conntrackDepth <= ReferencePipeline.conntrackLimit {
          _ = try copy.lookup(number, isFirst: true)
          try copy.finish()
        }
        then = copy.effects
      } catch {
        then = []
      }
    }
    effects.append(.conntrack(zone: zone, packet, commits: conntrack.commits, sets: sets, then: then))
  }

  // MARK: Fields

  mutating func set(_ destination: Subfield, _ value: UInt128) {
    set(destination.field, value << UInt128(destination.firstBit), destination.mask)
  }

  mutating func set(_ field: Field, _ value: UInt128, _ mask: UInt128) {
    guard field.isWritable else { return }
    switch field {
    case .inPort:
      var key = FlowKey()
      key.inPort = inPort
      key[field] = key[field] & ~mask | value & mask
      inPort = key.inPort
    case .vlanTCI: setTCI(UInt16(truncatingIfNeeded: value), UInt16(truncatingIfNeeded: mask))
    case .vlanID: packet.set(field, value, mask & 0xfff)
    default:
      guard satisfies(field.prerequisite) else { return }
      let isOwn = field.layout.wordIndex == 15 || (18..<26).contains(field.layout.wordIndex)
      if isOwn { own[field] = own[field] & ~mask | value & mask } else { packet.set(field, value, mask) }
    }
  }

  private mutating func setTag(_ bits: UInt16, _ mask: UInt16) {
    if packet.tags.isEmpty {
      packet.pushTag(0x8100, bits)
    } else {
      packet.tags[0].tci = packet.tags[0].tci & ~mask | bits
    }
  }

  private mutating func setTCI(_ value: UInt16, _ mask: UInt16) {
    let has = mask & 0x1000 != 0 ? value & 0x1000 != 0 : !packet.tags.isEmpty
    if !has {
      packet.popTag()
    } else if packet.tags.isEmpty {
      packet.pushTag(0x8100, value & mask & 0xefff)
    } else {
      packet.tags[0].tci = (packet.tags[0].tci & ~mask | value & mask) & 0xefff
    }
  }

  private mutating func pushLabel(_ type: UInt16) {
    if packet.isMPLS {
      packet.pushLabel(type, (packet.labels.first ?? 0) & ~0x100)
    } else {
      packet.pushLabel(type, 0x100 | (satisfies(.ip) ? UInt32(key.ipTTL) : 64))
    }
  }

  func satisfies(_ prerequisite: Prerequisite) -> Bool {
    let key = self.key
    let isIP = key.etherType == 0x0800 || key.etherType == 0x86dd
    let isWhole = key.ipFragment & 2 == 0
    let isND = key.etherType == 0x86dd && key.ipProtocol == 58 && isWhole && key[.icmpv6Code] == 0
    return switch prerequisite {
    case .none, .tunnel: true
    case .vlan: !packet.tags.isEmpty
    case .mpls: packet.isMPLS
    case .ipv4: key.etherType == 0x0800
    case .ipv6: key.etherType == 0x86dd
    case .ip: isIP
    case .arp: key.etherType == 0x0806 || key.etherType == 0x8035
    case .tcp: isIP && key.ipProtocol == 6 && isWhole
    case .udp: isIP && key.ipProtocol == 17 && isWhole
    case .sctp: isIP && key.ipProtocol == 132 && isWhole
    case .icmp: key.etherType == 0x0800 && key.ipProtocol == 1 && isWhole
    case .icmpv6: key.etherType == 0x86dd && key.ipProtocol == 58 && isWhole
    case .neighbourSolicitation: isND && key[.icmpv6Type] == 135
    case .neighbourAdvertisement: isND && key[.icmpv6Type] == 136
    case .neighbourDiscovery: isND && (key[.icmpv6Type] == 135 || key[.icmpv6Type] == 136)
    }
  }
}
