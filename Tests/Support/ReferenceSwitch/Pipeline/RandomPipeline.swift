// Random tables, groups and packets over so few values that they meet. Thread: none of its own; randomness is passed in.

import VSwitchCore

package enum RandomPipeline {
  static let tables: ClosedRange<UInt8> = 0...5
  static let portNumbers: [UInt32] = [1, 2, 3, 4]

  package static func pipeline(using random: inout some RandomNumberGenerator) -> ReferencePipeline {
    var pipeline = ReferencePipeline()
    for number in portNumbers {
      var port: PipelinePort = [.exists, .isLive]
      if one(in: 12, &random) { port.insert(.noForward) }
      if one(in: 12, &random) { port.insert(.isDown) }
      if one(in: 12, &random) { port.insert(.noReceive) }
      if one(in: 6, &random) { port.insert(.noPacketIn) }
      if one(in: 4, &random) { port.remove(.isLive) }
      if !one(in: 15, &random) { pipeline.ports[number] = port }
    }
    for id in UInt32(1)...5 where !one(in: 5, &random) { pipeline.groups[id] = group(id, using: &random) }
    for table in tables {
      if one(in: 6, &random) {
        pipeline.missBehaviour[table] = [.controller, .nextTable].randomElement(using: &random)
      }
      for priority in 0..<UInt16.random(in: 1...7, using: &random) {
        var match = Match()
        let fieldCount = priority == 0 ? 0 : Int.random(in: 0...3, using: &random)
        for _ in 0..<fieldCount { restrict(&match, using: &random) }
        pipeline.rules.append(
          ReferencePipelineRule(
            table: table, priority: priority, match: match, cookie: UInt64.random(in: 0...99, using: &random),
            instructions: instructions(table: table, using: &random)))
      }
    }
    return pipeline
  }

  package static func one(in count: Int, _ random: inout some RandomNumberGenerator) -> Bool {
    Int.random(in: 0..<count, using: &random) == 0
  }

  // MARK: Packets

  package static func packet(using random: inout some RandomNumberGenerator) -> PipelinePacket {
    var packet = PipelinePacket()
    packet.ethernetDestination = UInt64.random(in: 1...3, using: &random)
    packet.ethernetSource = UInt64.random(in: 1...3, using: &random)
    for _ in 0..<([0, 0, 1, 1, 2].randomElement(using: &random) ?? 0) {
      packet.pushTag(
        one(in: 3, &random) ? 0x88a8 : 0x8100,
        UInt16.random(in: 4...6, using: &random) | (one(in: 2, &random) ? 0x6000 : 0))
    }
    packet.contentType = [0x0800, 0x0800, 0x0800, 0x86dd, 0x86dd, 0x0806, 0x1234].randomElement(using: &random) ?? 0
    packet.etherType = packet.contentType
    packet.content = content(packet.contentType, using: &random)
    for index in 0..<([0, 0, 0, 1, 2].randomElement(using: &random) ?? 0) {
      let ttl = UInt32([0, 1, 2, 64].randomElement(using: &random) ?? 0)
      packet.pushLabel(
        0x8847, UInt32.random(in: 16...18, using: &random) << 12 | (index == 0 ? 0x100 : 0) | ttl)
    }
    if one(in: 3, &random) { packet.metadata.tunnelID = UInt64.random(in: 1...3, using: &random) }
    packet.byteCount = [64, 1500].randomElement(using: &random) ?? 64
    return packet
  }

  static func content(_ type: UInt16, using random: inout some RandomNumberGenerator) -> FlowKey {
    var key = FlowKey()
    switch type {
    case 0x0800, 0x86dd:
      if type == 0x0800 {
        key[.ipv4Source] = 0x0a00_0000 | UInt128.random(in: 1...3, using: &random)
        key[.ipv4Destination] = 0x0a00_0000 | UInt128.random(in: 1...3, using: &random)
      } else {
        key[.ipv6Source] = 0x2001 << 112 | UInt128.random(in: 1...3, using: &random)
        key[.ipv6Destination] = 0x2001 << 112 | UInt128.random(in: 1...3, using: &random)
        key[.ipv6Label] = UInt128.random(in: 0...2, using: &random)
      }
      key.ipTTL = [0, 1, 2, 3, 64, 64, 255].randomElement(using: &random) ?? 0
      key.ipTOS = [0, 0x20, 0xb9].randomElement(using: &random) ?? 0
      key.ipFragment = [0, 0, 0, 0, 1, 3].randomElement(using: &random) ?? 0
      key.ipProtocol = [6, 17, 132, type == 0x0800 ? 1 : 58, 99].randomElement(using: &random) ?? 6
      guard key.ipFragment & 2 == 0, key.ipProtocol != 99 else { break }
      if key.ipProtocol == 58 {
        key[.icmpv6Type] = [128, 135, 136].randomElement(using: &random) ?? 128
        key[.ndTarget] = UInt128.random(in: 1...3, using: &random)
        if key[.icmpv6Type] == 135 { key[.ndSourceLinkLayer] = 1 }
      } else if key.ipProtocol == 1 {
        key[.icmpType] = [0, 8].randomElement(using: &random) ?? 0
      } else {
        key.transportSource = UInt16.random(in: 80...82, using: &random)
        key.transportDestination = UInt16.random(in: 80...82, using: &random)
        if key.ipProtocol == 6 { key.tcpFlags = [0x002, 0x010, 0x011].randomElement(using: &random) ?? 0 }
      }
    case 0x0806:
      key[.arpOperation] = UInt128.random(in: 1...2, using: &random)
      key[.arpSenderAddress] = 0x0a00_0000 | UInt128.random(in: 1...3, using: &random)
      key[.arpTargetAddress] = 0x0a00_0000 | UInt128.random(in: 1...3, using: &random)
      key[.arpSenderHardware] = UInt128.random(in: 1...3, using: &random)
      key[.arpTargetHardware] = UInt128.random(in: 0...1, using: &random)
    default: break
    }
    return key
  }

  // MARK: Matches

  /// Adds one field that a random packet may well have, with what it asks for.
  static func restrict(_ match: inout Match, using random: inout some RandomNumberGenerator) {
    let packet = self.packet(using: &random)
    let key = packet.key
    let fields: [Field] = [
      .inPort, .metadata, .tunnelID, .reg0, .reg1, .xreg1, .actionSetOutput, .ethernetSource, .ethernetDestination,
      .etherType, .vlanTCI, .vlanID, .vlanPriority, .innerVLANID, .mplsLabel, .mplsTTL, .mplsBottomOfStack,
      .ipv4Source, .ipv4Destination, .ipv6Source, .ipProtocol, .ipDSCP, .ipECN, .ipTTL, .ipFragment, .arpOperation,
      .arpTargetAddress, .tcpSource, .tcpDestination, .tcpFlags, .udpDestination, .icmpType, .ndTarget, .ctState,
      .ctMark, .ctZone, .packetMark,
    ]
    guard let field = fields.randomElement(using: &random) else { return }
    var value = key[field]
    switch field {
    case .inPort: value = UInt128.random(in: 1...4, using: &random)
    case .metadata, .reg0, .reg1, .xreg1, .packetMark: value = UInt128.random(in: 0...3, using: &random)
    case .actionSetOutput: value = one(in: 2, &random) ? 2 : UInt128(PortNumber.unset.rawValue)
    case .ctState, .ctMark, .ctZone: value = UInt128.random(in: 0...3, using: &random)
    default: break
    }
    if field.prerequisite != .none || field == .etherType { match.set(.etherType, key[.etherType]) }
    switch field.prerequisite {
    case .tcp, .udp, .sctp, .icmp, .icmpv6, .neighbourDiscovery: match.set(.ipProtocol, key[.ipProtocol])
    default: break
    }
    guard field != .etherType else { return }
    if field.isMaskable, one(in: 3, &random) {
      match.set(field, value, mask: UInt128(UInt64.random(in: 0...UInt64.max, using: &random)))
    } else {
      match.set(field, value)
    }
  }

  // MARK: Actions

  static func instructions(table: UInt8, using random: inout some RandomNumberGenerator) -> Instructions {
    var instructions = Instructions()
    if one(in: 12, &random) { instructions.meter = 7 }
    for _ in 0..<Int.random(in: 0...4, using: &random) {
      instructions.apply.append(action(table: table, depth: 0, using: &random))
    }
    if one(in: 8, &random) { instructions.clearsActions = true }
    if one(in: 3, &random) {
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        instructions.write.append(action(table: table, depth: 1, using: &random))
      }
      // Sets in which actions of several kinds send, so that their order counts.
      if one(in: 2, &random) { instructions.write.append(.output(port(using: &random), maximumByteCount: 0xffff)) }
      if one(in: 3, &random) { instructions.write.append(.group(UInt32.random(in: 1...5, using: &random))) }
    }
    if one(in: 5, &random) {
      instructions.metadata = Instructions.MaskedMetadata(
        value: UInt64.random(in: 0...3, using: &random), mask: UInt64.random(in: 0...3, using: &random))
    }
    if table < tables.upperBound, one(in: 2, &random) {
      instructions.gotoTable = UInt8.random(in: (table + 1)...tables.upperBound, using: &random)
    }
    return instructions
  }

  package static func group(_ id: UInt32, using random: inout some RandomNumberGenerator) -> GroupDescription {
    var group = GroupDescription(id: id, kind: GroupDescription.Kind.allCases.randomElement(using: &random) ?? .all)
    let bucketCount = group.kind == .indirect ? 1 : Int.random(in: 0...3, using: &random)
    for _ in 0..<bucketCount {
      var bucket = GroupDescription.Bucket()
      if group.kind == .fastFailover {
        bucket.watchPort = PortNumber(UInt32.random(in: 1...5, using: &random))
        if one(in: 3, &random) { bucket.watchGroup = UInt32.random(in: 1...6, using: &random) }
      }
      for _ in 0..<Int.random(in: 0...3, using: &random) {
        bucket.actions.append(action(table: tables.upperBound, depth: 1, using: &random))
      }
      bucket.actions.append(.output(port(using: &random), maximumByteCount: 0xffff))
      group.buckets.append(bucket)
    }
    return group
  }

  static func port(using random: inout some RandomNumberGenerator) -> PortNumber {
    if one(in: 5, &random) {
      return [.inPort, .normal, .flood, .all, .controller, .local, .any, .table].randomElement(using: &random) ?? .all
    }
    return PortNumber(UInt32.random(in: 1...5, using: &random))
  }

  static func subfield(using random: inout some RandomNumberGenerator) -> Subfield {
    let fields: [Field] = [
      .reg0, .reg1, .xreg1, .metadata, .ethernetSource, .ethernetDestination, .ipv4Source, .ipv4Destination,
      .tcpDestination, .vlanID, .ipTTL, .mplsLabel, .inPort, .tunnelID, .ipv6Destination, .arpTargetAddress,
      .packetMark,
    ]
    let field = fields.randomElement(using: &random) ?? .reg0
    guard one(in: 2, &random) else { return Subfield(field) }
    let bitCount = Int.random(in: 1...min(16, field.bitCount), using: &random)
    let firstBit = Int.random(in: 0...(field.bitCount - bitCount), using: &random)
    return Subfield(field, firstBit: firstBit, bitCount: bitCount) ?? Subfield(field)
  }

  static func action(table: UInt8, depth: Int, using random: inout some RandomNumberGenerator) -> Action {
    switch Int.random(in: 0..<36, using: &random) {
    case 0...5: return .output(port(using: &random), maximumByteCount: 0xffff)
    case 6: return .outputField(subfield(using: &random), maximumByteCount: 0xffff)
    case 7: return .outputTruncated(port(using: &random), byteCount: 70)
    case 8:
      var action = ControllerAction()
      action.controllerID = 5
      action.maximumByteCount = 128
      action.userData = Array(0..<UInt8.random(in: 0...40, using: &random))
      action.pauses = one(in: 5, &random)
      return .controller(action)
    case 9: return .enqueue(port(using: &random), queue: 3)
    case 10: return .group(UInt32.random(in: 1...6, using: &random))
    case 11...13: return setField(using: &random)
    case 14, 15:
      let source = subfield(using: &random)
      var destination = subfield(using: &random)
      let bitCount = min(source.bitCount, destination.bitCount)
      destination =
        Subfield(destination.field, firstBit: destination.firstBit, bitCount: bitCount) ?? destination
      return .move(
        from: Subfield(source.field, firstBit: source.firstBit, bitCount: bitCount) ?? source, to: destination)
    case 16: return .stackPush(subfield(using: &random))
    case 17: return .stackPop(subfield(using: &random))
    case 18: return .pushVLAN(etherType: one(in: 2, &random) ? 0x8100 : 0x88a8)
    case 19: return .popVLAN
    case 20: return one(in: 2, &random) ? .setVLANID(5) : .setVLANPriority(3)
    case 21: return .pushMPLS(etherType: 0x8847)
    case 22: return .popMPLS(etherType: [0x0800, 0x86dd, 0x8847].randomElement(using: &random) ?? 0x0800)
    case 23: return one(in: 2, &random) ? .setMPLSTTL(9) : .decrementMPLSTTL
    case 24: return one(in: 2, &random) ? .copyTTLOutwards : .copyTTLInwards
    case 25: return one(in: 2, &random) ? .setTTL(9) : .decrementTTL(controllers: [0, 4])
    case 26: return .decrementTTL(controllers: [0])
    case 27:
      return .checkPacketLarger(
        byteCount: 100,
        to: Subfield(.reg0, firstBit: Int.random(in: 0...1, using: &random), bitCount: 1) ?? Subfield(.reg0))
    case 28: return one(in: 2, &random) ? .setQueue(4) : .popQueue
    case 29: return .meter(2)
    case 30: return learn(using: &random)
    case 31: return conntrack(table: table, using: &random)
    case 32:
      guard depth < 2 else { return .exit }
      return .clone(
        (0..<Int.random(in: 1...3, using: &random)).map { _ in action(table: table, depth: depth + 1, using: &random) })
    case 33: return rare(using: &random)
    default:
      return .resubmit(
        port: one(in: 4, &random) ? PortNumber(UInt32.random(in: 1...4, using: &random)) : nil,
        table: one(in: 20, &random) ? nil : UInt8.random(in: min(table + 1, 6)...6, using: &random),
        withConntrackTuple: one(in: 5, &random))
    }
  }

  private static func rare(using random: inout some RandomNumberGenerator) -> Action {
    switch Int.random(in: 0..<8, using: &random) {
    case 0: return .exit
    case 1: return .note([1, 2, 3])
    case 2: return .sample(SampleAction(probability: 9))
    case 3: return .conntrackClear
    case 4: return .finTimeout(idleSeconds: 1, hardSeconds: 2)
    case 5: return .debugRecirculate
    case 6: return .deleteField(.tunnelID)
    default:
      return .bundle(
        BundleAction(
          fields: .symmetricL4, basis: 0, algorithm: .activeBackup,
          members: (0..<3).map { _ in PortNumber(UInt32.random(in: 1...5, using: &random)) },
          destination: one(in: 2, &random) ? Subfield(.reg1) : nil))
    }
  }

  private static func setField(using random: inout some RandomNumberGenerator) -> Action {
    let fields: [Field] = [
      .reg0, .reg1, .xreg1, .metadata, .ethernetSource, .ethernetDestination, .vlanID, .vlanPriority, .vlanTCI,
      .mplsLabel, .mplsTrafficClass, .ipv4Source, .ipv4Destination, .ipv6Source, .ipv6Label, .ipDSCP, .ipECN, .ipTTL,
      .arpOperation, .arpSenderHardware, .tcpDestination, .udpSource, .sctpSource, .icmpType, .icmpv6Code, .ndTarget,
      .ndSourceLinkLayer, .tunnelID, .packetMark, .inPort, .etherType,
    ]
    let field = fields.randomElement(using: &random) ?? .reg0
    let value = UInt128.random(in: 0...3, using: &random)
    let mask =
      one(in: 2, &random) ? field.fullMask : UInt128(UInt64.random(in: 0...UInt64.max, using: &random)) & field.fullMask
    return .setField(field, value: field == .vlanTCI ? value | 0x1000 : value & mask, mask: mask)
  }

  private static func learn(using random: inout some RandomNumberGenerator) -> Action {
    var learn = LearnAction(table: tables.upperBound)
    learn.idleTimeoutSeconds = 60
    learn.specifications = [
      .match(.field(Subfield(.ethernetSource)), to: Subfield(.ethernetDestination)),
      .match(.immediate(0x0800, bitCount: 16), to: Subfield(.etherType)),
      .load(
        .field(Subfield(.inPort, firstBit: 0, bitCount: 16) ?? Subfield(.inPort)),
        to: Subfield(.reg0, firstBit: 16, bitCount: 16) ?? Subfield(.reg0)),
      .output(Subfield(.inPort)),
    ]
    if one(in: 3, &random) { learn.limit = UInt32.random(in: 1...4, using: &random) }
    if one(in: 2, &random) { learn.result = Subfield(.reg1, firstBit: 0, bitCount: 1) }
    return .learn(learn)
  }

  private static func conntrack(table: UInt8, using random: inout some RandomNumberGenerator) -> Action {
    var conntrack = ConntrackAction()
    conntrack.commits = one(in: 2, &random)
    conntrack.zone =
      one(in: 2, &random) ? .immediate(2) : .field(Subfield(.reg0, firstBit: 0, bitCount: 16) ?? Subfield(.ctZone))
    if table < tables.upperBound, !one(in: 3, &random) {
      conntrack.recirculationTable = UInt8.random(in: (table + 1)...tables.upperBound, using: &random)
    }
    if one(in: 2, &random) {
      conntrack.actions = [
        .setField(.ctMark, value: 1, mask: 3),
        .move(from: Subfield(.ethernetSource), to: Subfield(.ctLabel, firstBit: 4, bitCount: 48) ?? Subfield(.ctLabel)),
      ]
    }
    return .conntrack(conntrack)
  }
}
