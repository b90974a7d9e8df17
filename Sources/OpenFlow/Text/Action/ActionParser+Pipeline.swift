// Actions on the packet's way through the pipeline: resubmit, learn, conjunction, multipath, clone, queues, samples.

import VSwitchCore

extension ActionParser {
  mutating func pipelineAction(_ key: String, _ pair: KeyValue) throws(FlowTextError) -> Action? {
    let value = pair.value
    switch key {
    case "resubmit": return try resubmit(pair)
    case "learn":
      var parser = LearnParser(names: names, state: state)
      return .learn(try parser.parse(value))
    case "ct": return .conntrack(try conntrack(pair))
    case "ct_clear": return .conntrackClear
    case "clone":
      let outer = state
      let actions = try self.actions(value, place: .nested)
      state = outer
      return .clone(actions)
    case "conjunction": return try conjunction(pair)
    case "multipath": return .multipath(try multipath(pair))
    case "set_queue": return .setQueue(try value.number("queue"))
    case "pop_queue": return .popQueue
    case "exit": return .exit
    case "note":
      var bytes = try value.hexBytes("note")
      // Fills up the action on the wire.
      while bytes.count % 8 != 6 { bytes.append(0) }
      return .note(bytes)
    case "fin_timeout": return try finTimeout(pair)
    case "sample": return .sample(try sample(pair))
    case "check_pkt_larger": return try checkPacketLarger(pair)
    case "debug_recirc": return .debugRecirculate
    case "encap", "decap", "dec_nsh_ttl":
      throw pair.key.error("this switch has no action \(key)", remedy: "leave it out")
    default: return nil
    }
  }

  private func resubmit(_ pair: KeyValue) throws(FlowTextError) -> Action {
    let parts = pair.delimiter == UInt8(ascii: "(") ? ActionParser.arguments(pair.value) : [pair.value]
    var port: PortNumber?
    var table: UInt8?
    if let slice = parts.first, !slice.isEmpty {
      let number = try names.port(slice, for: "resubmit")
      if number != .inPort { port = number }
    }
    if parts.count > 1, !parts[1].isEmpty {
      let number = try names.table(parts[1])
      if number != 255 { table = number }
    }
    var withTuple = false
    if parts.count > 2 {
      guard parts[2].equals("ct"), parts.count == 3 else {
        throw parts[2].error(
          "resubmit has no \(parts[2].quoted)", remedy: "write resubmit(PORT,TABLE) or resubmit(PORT,TABLE,ct)")
      }
      withTuple = true
      guard state.hasValidConnection else {
        throw parts[2].error(
          "resubmit with ct needs a valid tracked connection", remedy: "add ct_state=+trk+est to the match")
      }
    }
    guard port != nil || table != nil else {
      throw pair.key.error(
        "resubmit has neither port nor table", remedy: "write resubmit(,TABLE) or resubmit(PORT,TABLE)")
    }
    return .resubmit(port: port, table: table, withConntrackTuple: withTuple)
  }

  private func conjunction(_ pair: KeyValue) throws(FlowTextError) -> Action {
    let remedy = "write conjunction(ID,K/N), as conjunction(5,1/2)"
    let parts = ActionParser.arguments(pair.value)
    guard pair.delimiter == UInt8(ascii: "("), parts.count == 2, let (k, n) = parts[1].split(at: UInt8(ascii: "/"))
    else {
      throw pair.key.error("conjunction lacks arguments", remedy: remedy)
    }
    let id: UInt32 = try parts[0].number("conjunction id")
    let clause: UInt8 = try k.trimmed.number("clause", in: 1...64)
    let count: UInt8 = try n.trimmed.number("number of clauses", in: 2...64)
    guard clause <= count else { throw parts[1].error("clause \(clause) is beyond \(count)", remedy: remedy) }
    return .conjunction(id: id, clause: clause, clauseCount: count)
  }

  private func multipath(_ pair: KeyValue) throws(FlowTextError) -> MultipathAction {
    let parts = ActionParser.arguments(pair.value)
    guard pair.delimiter == UInt8(ascii: "("), parts.count == 6 else {
      throw pair.key.error(
        "multipath needs six arguments",
        remedy: "write multipath(FIELDS,BASIS,ALGORITHM,LINKS,ARGUMENT,DESTINATION[BITS])")
    }
    let links: UInt32 = try parts[3].number("number of links", in: 1...65536)
    let destination = try SubfieldText.parse(parts[5])
    try requireWritable(destination, at: parts[5])
    guard destination.bitCount >= 16 || links <= 1 << UInt32(destination.bitCount) else {
      throw parts[3].error(
        "\(links) links do not fit into \(destination.bitCount) bits", remedy: "give more bits to the destination")
    }
    return MultipathAction(
      fields: try ActionParser.named(parts[0], ActionParser.hashFieldNames, "set of fields"),
      basis: try parts[1].number("basis"),
      algorithm: try ActionParser.named(parts[2], ActionParser.multipathNames, "algorithm"),
      maxLink: UInt16(links - 1), argument: try parts[4].number("argument"), destination: destination)
  }

  static let multipathNames: [(String, MultipathAction.Algorithm)] = [
    ("modulo_n", .moduloN), ("hash_threshold", .hashThreshold), ("hrw", .highestRandomWeight),
    ("iter_hash", .iterativeHash),
  ]

  private mutating func finTimeout(_ pair: KeyValue) throws(FlowTextError) -> Action {
    expect(.tcp, "fin_timeout", at: pair.key)
    var idle: UInt16 = 0
    var hard: UInt16 = 0
    var reader = KeyValueReader(pair.value)
    while let part = try reader.next() {
      switch part.key.string {
      case "idle_timeout": idle = try part.value.number("idle_timeout")
      case "hard_timeout": hard = try part.value.number("hard_timeout")
      default:
        throw part.key.error("fin_timeout has no \(part.key.quoted)", remedy: "give idle_timeout and hard_timeout")
      }
    }
    return .finTimeout(idleSeconds: idle, hardSeconds: hard)
  }

  private func sample(_ pair: KeyValue) throws(FlowTextError) -> SampleAction {
    var action = SampleAction(probability: 0)
    var reader = KeyValueReader(pair.value)
    while let part = try reader.next() {
      switch part.key.string {
      case "probability": action.probability = try part.value.number("probability", in: 1...UInt16.max)
      case "collector_set_id": action.collectorSetID = try part.value.number("collector_set_id")
      case "obs_domain_id": action.observationDomainID = try part.value.number("obs_domain_id")
      case "obs_point_id": action.observationPointID = try part.value.number("obs_point_id")
      case "sampling_port": action.samplingPort = try names.port(part.value, for: "sampling_port")
      case "ingress": action.direction = 1
      case "egress": action.direction = 2
      default:
        throw part.key.error(
          "sample has no \(part.key.quoted)",
          remedy: "give probability, collector_set_id, obs_domain_id, obs_point_id, sampling_port, ingress or egress")
      }
    }
    guard action.probability > 0 else {
      throw pair.key.error("sample has no probability", remedy: "add probability=1 to probability=65535")
    }
    return action
  }

  private func checkPacketLarger(_ pair: KeyValue) throws(FlowTextError) -> Action {
    guard let destination = pair.destination else {
      throw pair.key.error("check_pkt_larger has no destination", remedy: "write check_pkt_larger(BYTES)->FIELD[BIT]")
    }
    let part = try SubfieldText.parse(destination)
    guard part.bitCount == 1 else {
      throw destination.error("the destination is not one bit", remedy: "write FIELD[BIT]")
    }
    try requireWritable(part, at: destination)
    return .checkPacketLarger(byteCount: try pair.value.trimmed.number("packet length"), to: part)
  }
}

extension Match {
  /// Tracked, and not invalid (ovs-fields(7), "ct_nw_src").
  var hasValidConnection: Bool {
    let state = key[.ctState]
    return state & 0x20 != 0 && (state & 0x0f != 0 || mask[.ctState] & ~state & 0x10 != 0)
  }
}
