// Connection tracking and address translation: packets of answered connections, and of new ones.

import Datapath
import VSwitchCore

extension Scenario {
  static var conntrack: [Scenario] { [natHit, natMany, conntrackNew] }

  /// `ct(nat,table=1)`; what is new from port 1 is committed with `nat(src=198.51.100.7)`, what belongs to a connection goes on.
  private static var translation: [TableChange] {
    var lookup = ConntrackAction()
    lookup.recirculationTable = 1
    lookup.translation = NetworkTranslation()
    var commit = ConntrackAction()
    commit.commits = true
    commit.recirculationTable = 2
    commit.translation = NetworkTranslation()
    commit.translation?.kind = .source
    commit.translation?.addresses = 0xc633_6407...0xc633_6407
    let ip: (Field, UInt128, UInt128) = (.etherType, 0x0800, 0xffff)
    func out(_ from: UInt32) -> TableChange {
      .rule(
        table: 2, priority: 1, [ip, (.inPort, UInt128(from), 0xffff_ffff)],
        [.output(PortNumber(3 - from), maximumByteCount: 0)])
    }
    return [
      .clear, .rule(table: 0, priority: 1, [ip], [.conntrack(lookup)]),
      .rule(
        table: 1, priority: 10, [ip, (.ctState, 0x22, 0x22)],
        [.resubmit(port: nil, table: 2, withConntrackTuple: false)]),
      .rule(table: 1, priority: 9, [ip, (.inPort, 1, 0xffff_ffff), (.ctState, 0x21, 0x21)], [.conntrack(commit)]),
      out(1),
      out(2),
    ]
  }

  /// A UDP frame of 60 bytes whose checksums are right.
  private static func frame(
    from source: UInt32, _ sourcePort: UInt16, to destination: UInt32, _ destinationPort: UInt16
  ) -> [UInt8] {
    func octets(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }
    func octets(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 255)] }
    func sum(_ bytes: [UInt8]) -> UInt16 {
      var total: UInt32 = 0
      for (index, byte) in bytes.enumerated() { total += index % 2 == 0 ? UInt32(byte) << 8 : UInt32(byte) }
      while total > 0xffff { total = total & 0xffff + total >> 16 }
      return ~UInt16(total)
    }
    var ip: [UInt8] = [0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0] + octets(source) + octets(destination)
    ip.replaceSubrange(10..<12, with: octets(sum(ip)))
    var udp = octets(sourcePort) + octets(destinationPort) + [0, 26, 0, 0] + [UInt8](repeating: 0, count: 18)
    udp.replaceSubrange(6..<8, with: octets(sum(octets(source) + octets(destination) + [0, 17, 0, 26] + udp)))
    return station(2, 1) + station(1, 1) + [0x08, 0x00] + ip + udp
  }

  private static let server: UInt32 = 0xc000_0250
  private static let outside: UInt32 = 0xc633_6407

  static var natHit: Scenario {
    let question = frame(from: 0x0a00_0001, 1000, to: server, 53)
    return Scenario(
      name: "nat-hit", summary: "one answered connection whose source is translated", ports: [port("p1"), port("p2")],
      changes: translation,
      introductions: [("p1", question), ("p2", frame(from: server, 53, to: outside, 1000)), ("p1", question)],
      frames: [question])
  }

  static var natMany: Scenario {
    var introductions: [(port: String, frame: [UInt8])] = []
    var frames: [[UInt8]] = []
    for number in 0..<4096 {
      let client = 0x0a00_0000 + UInt32(number)
      let port = UInt16(20_000 + number)
      let question = frame(from: client, port, to: server, 53)
      introductions += [("p1", question), ("p2", frame(from: server, 53, to: outside, port))]
      frames.append(question)
    }
    return Scenario(
      name: "nat-many", summary: "4,096 answered connections whose source is translated",
      ports: [port("p1"), port("p2")],
      changes: translation, introductions: introductions, frames: frames)
  }

  static var conntrackNew: Scenario {
    // None comes again in a measurement of up to 250 rounds.
    Scenario(
      name: "nat-new", summary: "a new translated connection with every packet", ports: [port("p1"), port("p2")],
      changes: translation,
      frames: (0..<8192).map { frame(from: 0x0a00_0000 + UInt32($0), UInt16(20_000 + $0), to: server, 53) })
  }
}
