// The policy of `LinuxRouter` as rules of this switch.

import Datapath
import TestSupport
import VSwitchCore

extension TranslationPlan {
  /// A bridge between p1, inside, and p2, outside.
  func makeSwitch() throws -> DatapathHarness { try .bridge(portCount: 2, rules) }

  private typealias FieldValue = (Field, UInt128, UInt128)

  private var rules: [TableChange] {
    func rule(_ table: UInt8, _ priority: UInt16, _ fields: [FieldValue], _ actions: [Action]) -> TableChange {
      .rule(table: table, priority: priority, fields, actions)
    }
    func translation(_ kind: NetworkTranslation.Kind, _ address: [UInt8]) -> NetworkTranslation {
      var translation = NetworkTranslation()
      translation.kind = kind
      translation.addresses = Self.number(address)...Self.number(address)
      translation.isIPv6 = isIPv6
      return translation
    }
    var lookup = ConntrackAction()
    lookup.recirculationTable = 1
    lookup.translation = NetworkTranslation()
    var commit = ConntrackAction()
    commit.recirculationTable = 2
    commit.commits = true
    commit.translation = translation(.source, outside)
    let ip: FieldValue = (.etherType, UInt128(etherType), 0xffff)
    let fromInside: FieldValue = (.inPort, 1, 0xffff_ffff)
    func destination(_ address: [UInt8], bitCount: Int? = nil) -> FieldValue {
      let width = address.count * 8
      let mask = (UInt128.max << UInt128(128 - (bitCount ?? width))) >> UInt128(128 - width)
      return (isIPv6 ? .ipv6Destination : .ipv4Destination, Self.number(address) & mask, mask)
    }
    // Ports that are forwarded; for those inside the source is translated, too, in another zone.
    // By the connection's port, which its fragments have, too.
    func forward(_ ipProtocol: UInt128, to port: UInt16) -> TableChange {
      var forward = commit
      forward.recirculationTable = 4
      forward.translation = translation(.destination, second)
      forward.translation?.ports = port...port
      return rule(
        1, 25,
        [
          ip, (.ctState, 0x21, 0x21), (.ipProtocol, ipProtocol, 0xff), destination(outside),
          (.ctTransportDestination, 8080, 0xffff),
        ], [.conntrack(forward)])
    }
    var hairpin = commit
    hairpin.zone = .immediate(1)
    hairpin.translation = translation(.source, gateway)
    var answer = lookup
    answer.zone = .immediate(1)
    answer.recirculationTable = 3
    func on(_ table: UInt8) -> [Action] { [.resubmit(port: nil, table: table, withConntrackTuple: false)] }
    func out(_ port: PortNumber) -> [Action] {
      [.decrementTTL(controllers: [0]), .output(port, maximumByteCount: 0)]
    }
    return [
      .clear, rule(0, 1, [ip], [.conntrack(lookup)]),
      rule(1, 30, [ip, (.ctState, 0x30, 0x30)], []),
      rule(0, 5, [ip, fromInside, destination(gateway)], [.conntrack(answer)]),
      rule(3, 1, [ip], [.conntrack(lookup)]),
      forward(6, to: 80), forward(17, to: 53),
      // Destination translated, not of an answer.
      rule(1, 22, [ip, fromInside, (.ctState, 0xa2, 0xaa)], on(4)),
      rule(1, 22, [ip, fromInside, (.ctState, 0xa4, 0xac)], on(4)),
      // Later fragments of what is not answered yet.
      rule(1, 22, [ip, fromInside, (.ctState, 0xa1, 0xa9)], on(4)),
      rule(4, 2, [ip, fromInside], [.conntrack(hairpin)]), rule(4, 1, [ip], on(2)),
      // Back to the network inside.
      rule(2, 2, [ip, fromInside, destination(client, bitCount: isIPv6 ? 64 : 16)], out(.inPort)),
      rule(1, 20, [ip, (.ctState, 0x22, 0x22)], on(2)),
      rule(1, 20, [ip, (.ctState, 0x24, 0x24)], on(2)),
      rule(1, 10, [ip, fromInside, (.ctState, 0x21, 0x21)], [.conntrack(commit)]),
      rule(2, 1, [ip, fromInside], out(PortNumber(2))),
      rule(2, 1, [ip, (.inPort, 2, 0xffff_ffff)], out(PortNumber(1))),
    ]
  }
}
