// Random actions and instructions that a version can say and whose reading gives the same again. Thread: a value; any.

import OpenFlow
import TestSupport
import VSwitchCore

extension SeededGenerator {
  /// Fields that can be set whatever the packet is, but for `ipv4Source` and its like in `match`.
  mutating func writableField(_ match: Match) -> Field {
    var fields: [Field] = [
      .ethernetSource, .ethernetDestination, .metadata, .tunnelID, .reg0, .reg1, .reg15, .xreg2, .xxreg1, .packetMark,
      .tunnelSource,
    ]
    if match.satisfies(.ipv4) { fields += [.ipv4Source, .ipv4Destination, .ipDSCP, .ipTTL, .ipECN] }
    if match.satisfies(.ipv6) { fields += [.ipv6Source, .ipv6Destination] }
    if match.satisfies(.tcp) { fields += [.tcpSource, .tcpDestination] }
    if match.satisfies(.udp) { fields += [.udpSource, .udpDestination] }
    if match.satisfies(.arp) { fields += [.arpSenderAddress, .arpOperation, .arpTargetHardware] }
    if match.satisfies(.mpls) { fields += [.mplsLabel, .mplsTrafficClass] }
    return pick(fields)
  }

  mutating func bits(of field: Field, atMost limit: Int = 128) -> Subfield {
    let count = 1 + below(min(field.bitCount, limit))
    return Subfield(field, firstBit: below(field.bitCount - count + 1), bitCount: count) ?? Subfield(field)
  }

  mutating func setField(_ version: OpenFlowVersion, _ match: Match) -> Action {
    let field = writableField(match)
    var mask = field.fullMask
    // A run of bits, or scattered ones.
    if field.isMaskable, coin() { mask = coin() ? bits(of: field).mask : value(bitCount: field.bitCount) }
    if mask == 0 { mask = field.fullMask }
    return .setField(field, value: value(of: field) & mask, mask: mask)
  }

  mutating func actions(_ version: OpenFlowVersion, _ match: Match, depth: Int = 0) -> [Action] {
    (0..<below(4)).map { _ in action(version, match, depth: depth) }
  }

  mutating func action(_ version: OpenFlowVersion, _ match: Match, depth: Int = 0) -> Action {
    let number = below(29)
    switch number {
    case 0: return .output(coin() ? port() : pick([.normal, .flood, .all, .controller, .inPort]), maximumByteCount: 0)
    case 1: return .output(.controller, maximumByteCount: UInt16(below(0x10000)))
    case 2, 3: return setField(version, match)
    case 4:
      let from = bits(of: .xreg1, atMost: 32)
      guard let to = Subfield(.reg9, firstBit: 0, bitCount: from.bitCount) else { return .exit }
      return .move(from: from, to: to)
    case 5: return .resubmit(port: coin() ? nil : PortNumber(7), table: UInt8(below(255)), withConntrackTuple: coin())
    case 6: return .resubmit(port: PortNumber(UInt32(below(100))), table: nil, withConntrackTuple: false)
    case 7: return .learn(learn(match))
    case 8: return .group(UInt32(below(1000)))
    case 9: return .setQueue(UInt32(truncatingIfNeeded: next()))
    case 10: return .note(bytes(6 + 8 * below(3)))
    case 11: return .exit
    case 12: return .popQueue
    case 13: return .stackPush(bits(of: writableField(match)))
    case 14: return .stackPop(bits(of: .xxreg0))
    case 15: return .outputField(bits(of: .reg3), maximumByteCount: UInt16(below(0x10000)))
    case 16: return .outputTruncated(port(), byteCount: UInt32(14 + below(1000)))
    case 17:
      return !match.satisfies(.tcp)
        ? .exit : .finTimeout(idleSeconds: UInt16(below(100)), hardSeconds: UInt16(below(100)))
    case 18: return .controller(controller())
    case 19: return .sample(sample())
    case 20:
      return .multipath(
        MultipathAction(
          fields: pick(HashFields.allCases), basis: UInt16(below(0x10000)),
          algorithm: pick(MultipathAction.Algorithm.allCases), maxLink: UInt16(below(2)), argument: 5,
          destination: bits(of: .reg4)))
    case 21:
      return .bundle(
        BundleAction(
          fields: pick(HashFields.allCases), basis: 3, algorithm: pick(BundleAction.Algorithm.allCases),
          members: (0..<below(5)).map { _ in port() }, destination: coin() ? nil : bits16(of: .reg5)))
    case 22: return .checkPacketLarger(byteCount: UInt16(below(0x10000)), to: bits(of: .reg6, atMost: 1))
    case 23: return depth < 2 ? .clone(actions(version, match, depth: depth + 1)) : .exit
    case 24: return .conntrackClear
    case 25: return match.satisfies(.ip) ? .conntrack(conntrack(match)) : .debugRecirculate
    case 26: return match.satisfies(.ip) ? .decrementTTL(controllers: coin() ? [0] : [1, 2, 3]) : .exit
    case 27: return version == .v15 ? .meter(UInt32(1 + below(100))) : .conntrackClear
    default: return version == .v10 ? .enqueue(port(), queue: 3) : .pushVLAN(etherType: pick([0x8100, 0x88a8]))
    }
  }

  private mutating func controller() -> ControllerAction {
    var controller = ControllerAction()
    controller.maximumByteCount = UInt16(below(0x10000))
    controller.controllerID = UInt16(below(3))
    controller.reason = pick(ControllerAction.Reason.allCases)
    if coin() { controller.userData = bytes(below(20)) }
    controller.pauses = coin()
    if coin() { controller.meterID = UInt32(below(100)) }
    return controller
  }

  private mutating func sample() -> SampleAction {
    var sample = SampleAction(probability: UInt16(1 + below(65535)))
    sample.collectorSetID = UInt32(truncatingIfNeeded: next())
    sample.observationDomainID = UInt32(truncatingIfNeeded: next())
    sample.observationPointID = UInt32(truncatingIfNeeded: next())
    if coin() { sample.samplingPort = port() }
    sample.direction = UInt8(below(3))
    return sample
  }

  private mutating func learn(_ match: Match) -> LearnAction {
    var learn = LearnAction(table: UInt8(below(255)))
    learn.priority = UInt16(below(0x10000))
    learn.cookie = next()
    learn.idleTimeoutSeconds = UInt16(below(100))
    learn.finHardTimeoutSeconds = UInt16(below(100))
    learn.flags = coin() ? [] : [.sendFlowRemoved, .deleteLearned]
    if coin() { learn.limit = UInt32(below(100)) }
    if coin() {
      learn.result = bits(of: .reg2, atMost: 1)
      learn.flags.insert(.writeResult)
    }
    learn.specifications = [
      .match(.field(Subfield(.ethernetSource)), to: Subfield(.ethernetDestination)),
      .load(
        .immediate(value(bitCount: 20), bitCount: 20), to: Subfield(.reg3, firstBit: 3, bitCount: 20) ?? Subfield(.reg3)
      ),
      .load(.immediate(value(bitCount: 128), bitCount: 128), to: Subfield(.xxreg1)),
      .match(.immediate(0x0800, bitCount: 16), to: Subfield(.etherType)),
      .output(Subfield(.inPort)),
    ]
    return learn
  }

  private mutating func conntrack(_ match: Match) -> ConntrackAction {
    var conntrack = ConntrackAction()
    conntrack.commits = coin()
    if conntrack.commits {
      conntrack.forces = coin()
      if coin() { conntrack.actions.append(.setField(.ctMark, value: value(bitCount: 32), mask: 0xffff_ffff)) }
      if coin() { conntrack.actions.append(.setField(.ctLabel, value: value(bitCount: 128), mask: .max)) }
    }
    if coin() { conntrack.recirculationTable = UInt8(below(255)) }
    conntrack.zone = coin() ? .immediate(UInt16(below(0x10000))) : .field(bits16(of: .reg8))
    if match.satisfies(.tcp) { conntrack.helperPort = pick([0, 21]) }
    if coin() {
      var translation = NetworkTranslation()
      if coin() {
        translation.kind = coin() ? .source : .destination
        translation.persistent = coin()
        translation.hashes = coin()
        translation.isIPv6 = coin()
        let first = value(bitCount: translation.isIPv6 ? 127 : 31)
        translation.addresses = first...(first + UInt128(below(3)))
        if coin() { translation.ports = 5...UInt16(5 + below(100)) }
      }
      conntrack.translation = translation
    }
    return conntrack
  }

  private mutating func bits16(of field: Field) -> Subfield {
    Subfield(field, firstBit: below(17), bitCount: 16) ?? Subfield(field)
  }

  /// Instructions for a rule of table 3.
  mutating func instructions(_ version: OpenFlowVersion, _ match: Match) -> Instructions {
    var instructions = Instructions(apply: actions(version, match))
    if below(8) == 0, instructions.apply.isEmpty {
      instructions.apply = [.conjunction(id: 7, clause: 1, clauseCount: 3), .note([1, 2, 3, 4, 5, 6])]
      return instructions
    }
    if version == .v10 {
      if coin() { instructions.metadata = Instructions.MaskedMetadata(value: next(), mask: next()) }
      return instructions
    }
    if coin() { instructions.gotoTable = UInt8(4 + below(200)) }
    if coin() { instructions.metadata = Instructions.MaskedMetadata(value: next(), mask: next()) }
    if coin() {
      // Open vSwitch lets few actions into the action set.
      instructions.write = [.setQueue(3), setField(version, match), .output(port(), maximumByteCount: 0)]
    }
    instructions.clearsActions = coin()
    if version < .v15, coin() { instructions.meter = UInt32(1 + below(100)) }
    return instructions
  }
}
