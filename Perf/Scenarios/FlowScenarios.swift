// Flow tables: packets of cached flows, packets of new ones, and packets that come back to be parsed again.

import Datapath
import VSwitchCore

extension Scenario {
  static var flows: [Scenario] { [flowHit, flowMixed, flowMegaflow, flowMiss, flowRecirculated] }

  private static let tableCount: UInt8 = 10

  private static var deleteAll: TableChange {
    var change = FlowMod()
    change.command = .delete
    change.table = FlowMod.allTables
    return .flow(change)
  }

  private static func rule(
    table: UInt8, priority: UInt16 = 100, _ match: [(Field, UInt128)] = [], _ actions: [Action] = [],
    goto next: UInt8? = nil
  ) -> TableChange {
    var change = FlowMod()
    change.table = table
    change.priority = priority
    for (field, value) in match { change.match.set(field, value) }
    change.instructions = Instructions(apply: actions)
    change.instructions.gotoTable = next
    return .flow(change)
  }

  /// Ten tables, each with some rules that ask for what the one before did not, and one that lets the packet go on; the last one
  /// sends to port 2.
  private static var pipeline: [TableChange] {
    let fields: [(Field, [(Field, UInt128)])] = [
      (.ethernetSource, []), (.ethernetDestination, []), (.ipv4Source, [(.etherType, 0x0800)]),
      (.ipv4Destination, [(.etherType, 0x0800)]), (.ipProtocol, [(.etherType, 0x0800)]),
      (.udpSource, [(.etherType, 0x0800), (.ipProtocol, 17)]),
      (.udpDestination, [(.etherType, 0x0800), (.ipProtocol, 17)]), (.inPort, []), (.ipTTL, [(.etherType, 0x0800)]),
      (.ipDSCP, [(.etherType, 0x0800)]),
    ]
    var changes = [deleteAll]
    for table in 0..<tableCount {
      let (field, prerequisites) = fields[Int(table)]
      for value in 1...32 {
        // Values that no packet has.
        let unused: UInt128 = field == .ipDSCP ? 32 : field == .ipProtocol || field == .ipTTL ? 100 : 60_000
        changes.append(rule(table: table, prerequisites + [(field, unused + UInt128(value % 31))]))
      }
      let isLast = table == tableCount - 1
      changes.append(
        rule(
          table: table, priority: 1, [], isLast ? [.output(PortNumber(2), maximumByteCount: 0)] : [],
          goto: isLast ? nil : table + 1))
    }
    return changes
  }

  /// UDP frames of 60 bytes that differ in addresses and source port.
  private static func frames(_ count: Int) -> [[UInt8]] {
    (0..<count).map { number in
      let low = UInt8(truncatingIfNeeded: number)
      let high = UInt8(truncatingIfNeeded: number >> 8)
      let top = UInt8(truncatingIfNeeded: number >> 16)
      let ip: [UInt8] = [0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 10, top, high, low, 10, 9, 9, 9]
      let udp: [UInt8] = [high & 0x3f | 0x10, low, 0, 9, 0, 26, 0, 0]
      return station(2, 1) + station(1, 1) + [0x08, 0x00] + ip + udp + Array(repeating: 0, count: 18)
    }
  }

  static var flowHit: Scenario {
    Scenario(
      name: "flow-hit", summary: "one cached flow that went through ten tables", ports: [port("p1"), port("p2")],
      changes: pipeline, frames: frames(1))
  }

  static var flowMixed: Scenario {
    Scenario(
      name: "flow-mixed", summary: "256 packet headers of one cached flow", ports: [port("p1"), port("p2")],
      changes: pipeline, frames: frames(256))
  }

  static var flowMegaflow: Scenario {
    // Twice as many headers as the exact-match cache has entries, so that each has been pushed out when it comes again.
    Scenario(
      name: "flow-megaflow", summary: "16,384 packet headers of one cached flow", ports: [port("p1"), port("p2")],
      changes: [
        deleteAll,
        rule(table: 0, [(.etherType, 0x0800), (.ipProtocol, 17)], [.output(PortNumber(2), maximumByteCount: 0)]),
      ], frames: frames(16_384))
  }

  static var flowMiss: Scenario {
    // Every packet has an address that some rule asks for, so that each is a flow of its own; none comes again in a
    // measurement of up to 250 rounds.
    var changes = pipeline
    for number in 0..<8192 {
      changes.append(
        rule(
          table: 3, priority: 200,
          [(.etherType, 0x0800), (.ipv4Source, 0x0a00_0000 | UInt128(number))], goto: 4))
    }
    return Scenario(
      name: "flow-miss", summary: "a new flow with every packet, ten tables deep", ports: [port("p1"), port("p2")],
      changes: changes, frames: frames(8192))
  }

  static var flowRecirculated: Scenario {
    let labelled = frames(1).map { frame in
      Array(frame[..<12]) + [0x88, 0x47, 0, 0x01, 0x01, 64] + Array(frame[14...])
    }
    return Scenario(
      name: "flow-recirculated", summary: "a label is taken off and what is below it looked up again",
      ports: [port("p1"), port("p2")],
      changes: [
        deleteAll, rule(table: 0, [(.etherType, 0x8847)], [.popMPLS(etherType: 0x0800)], goto: 1),
        rule(
          table: 1, [(.etherType, 0x0800), (.ipProtocol, 17), (.udpDestination, 9)],
          [.output(PortNumber(2), maximumByteCount: 0)]),
      ], frames: labelled)
  }
}
