// The packet fuzzer's rules. Table 0 sends each entry port to a table of its own. Thread: values.

import VSwitchCore

enum FuzzedRules {
  static var all: [TableChange] {
    var clear = FlowMod()
    clear.command = .delete
    return [.flow(clear), .group(selectGroup)] + entry + tags + labels + fields + branches
  }

  private static let exits: [Action] = [
    .output(PortNumber(9), maximumByteCount: 0), .output(PortNumber(10), maximumByteCount: 0),
  ]

  private static func rule(
    _ table: UInt8, _ priority: UInt16 = 1, _ match: [(Field, UInt128)] = [], _ actions: [Action], goto: UInt8? = nil,
    isTagged: Bool = false
  ) -> TableChange {
    var change = FlowMod()
    change.table = table
    change.priority = priority
    for (field, value) in match { change.match.set(field, value) }
    if isTagged { change.match.set(.vlanTCI, 0x1000, mask: 0x1000) }
    change.instructions = Instructions(apply: actions)
    change.instructions.gotoTable = goto
    return .flow(change)
  }

  private static var entry: [TableChange] {
    [rule(0, 2, [(.inPort, 1)], [.output(.normal, maximumByteCount: 0)])]
      + (2...8).map { rule(0, 2, [(.inPort, UInt128($0))], [], goto: UInt8($0)) }
  }

  /// Tags off and on, and what is seen of a packet after that.
  private static var tags: [TableChange] {
    let setID = Action.setField(.vlanID, value: 0x1123, mask: 0x1fff)
    return [
      rule(2, 2, [], [.pushVLAN(etherType: 0x88a8), setID] + exits, goto: 12),
      rule(12, 1, [], [.popVLAN, .setVLANPriority(5), exits[0]], goto: 13, isTagged: true),
      rule(13, 1, [], [.setVLANID(7), .pushVLAN(etherType: 0x8100)] + exits),
      rule(3, 2, [], [.setVLANID(9), .popVLAN, exits[0]], goto: 14),
      rule(14, 2, [], [.popVLAN, exits[0]], goto: 15, isTagged: true), rule(14, 1, [], [exits[1]], goto: 15),
    ]
  }

  private static var labels: [TableChange] {
    let label = Action.setField(.mplsLabel, value: 77, mask: 0xfffff)
    return [
      rule(
        4, 1, [], [.pushMPLS(etherType: 0x8847), label, .copyTTLOutwards, .decrementMPLSTTL, .copyTTLInwards] + exits),
      rule(
        5, 2, [(.etherType, 0x8847), (.mplsBottomOfStack, 1)], [.copyTTLInwards, .popMPLS(etherType: 0x0800)], goto: 6),
      rule(
        5, 2, [(.etherType, 0x8848), (.mplsBottomOfStack, 1)], [.copyTTLInwards, .popMPLS(etherType: 0x86dd)], goto: 6),
      rule(5, 1, [(.etherType, 0x8847)], [.popMPLS(etherType: 0x8847), .setMPLSTTL(9)], goto: 5 + 10),
      rule(15, 2, [(.etherType, 0x8847)], [.popMPLS(etherType: 0x0806)], goto: 16),
      rule(15, 1, [], exits), rule(16, 1, [], exits, goto: 17),
      rule(17, 1, [(.etherType, 0x0806)], [.setField(.arpOperation, value: 2, mask: 0xffff)] + exits),
    ]
  }

  /// Every field that can be written, by protocol.
  private static var fields: [TableChange] {
    let both: [Action] = [
      .decrementTTL(controllers: [0]), .setField(.ipDSCP, value: 46, mask: 0x3f), .setField(.ipECN, value: 2, mask: 3),
    ]
    func set(_ field: Field, _ value: UInt128, _ mask: UInt128? = nil) -> Action {
      .setField(field, value: value, mask: mask ?? field.fullMask)
    }
    let four: [Action] = both + [set(.ipv4Source, 0x0a01_0203), set(.ipv4Destination, 0x0000_0900, 0xff00)]
    let six: [Action] =
      both + [set(.ipv6Source, 0x2001 << 112 | 9), set(.ipv6Destination, 7, 0xff), set(.ipv6Label, 0x12345)]
    let ports: [(UInt128, [Action])] = [
      (6, [set(.tcpSource, 80), set(.tcpDestination, 1, 1)]), (17, [set(.udpSource, 0), set(.udpDestination, 0xffff)]),
      (132, [set(.sctpSource, 1), set(.sctpDestination, 2)]),
    ]
    var rules = [rule(6, 0, [], exits)]
    for (number, actions) in ports {
      rules.append(rule(6, 2, [(.etherType, 0x0800), (.ipProtocol, number)], four + actions + exits))
      rules.append(rule(6, 2, [(.etherType, 0x86dd), (.ipProtocol, number)], six + actions + exits))
    }
    rules += [
      rule(6, 1, [(.etherType, 0x0800)], four + exits), rule(6, 1, [(.etherType, 0x86dd)], six + exits),
      rule(6, 2, [(.etherType, 0x0800), (.ipProtocol, 1)], four + [set(.icmpType, 0), set(.icmpCode, 1)] + exits),
      rule(
        6, 2, [(.etherType, 0x86dd), (.ipProtocol, 58)], six + [set(.icmpv6Type, 129), set(.icmpv6Code, 1)] + exits),
      rule(
        6, 2, [(.etherType, 0x0806)],
        [
          set(.arpOperation, 2), set(.arpSenderAddress, 1), set(.arpTargetAddress, 2), set(.arpSenderHardware, 3),
          set(.arpTargetHardware, 4),
        ] + exits),
    ]
    for (type, field) in [(UInt128(135), Field.ndSourceLinkLayer), (136, .ndTargetLinkLayer)] {
      let match: [(Field, UInt128)] = [
        (.etherType, 0x86dd), (.ipProtocol, 58), (.icmpv6Type, type), (.icmpv6Code, 0),
      ]
      rules.append(rule(6, 3, match, six + [set(.ndTarget, 5), set(field, 0x0200_0000_0001)] + exits))
    }
    return rules
  }

  /// Copies of other lengths and headers, hashes, controllers.
  private static var branches: [TableChange] {
    [
      rule(
        7, 1, [],
        [
          .clone([.pushVLAN(etherType: 0x8100), .pushMPLS(etherType: 0x8848), exits[0]]), .group(1),
          .checkPacketLarger(byteCount: 60, to: Subfield(.reg0)), .outputTruncated(PortNumber(9), byteCount: 40),
          .controller(ControllerAction()),
        ] + exits),
      rule(8, 2, [(.etherType, 0x0800)], [.outputTruncated(PortNumber(9), byteCount: 14), .setTTL(3)], goto: 18),
      rule(8, 1, [], [.pushMPLS(etherType: 0x8847), .popMPLS(etherType: 0x0800)], goto: 18),
      rule(18, 2, [(.etherType, 0x0800), (.ipProtocol, 17), (.udpDestination, 53)], [exits[0]]),
      rule(18, 1, [], [.setField(.ethernetSource, value: 0x0200_0000_0001, mask: 0xffff_ffff_ffff)] + exits),
    ]
  }

  private static var selectGroup: GroupMod {
    var group = GroupDescription(id: 1, kind: .select)
    group.buckets = (9...10).map { number in
      var bucket = GroupDescription.Bucket()
      bucket.weight = 1
      bucket.actions = [.popVLAN, .output(PortNumber(UInt32(number)), maximumByteCount: 0)]
      return bucket
    }
    return GroupMod(.add, group)
  }
}
