import TestSupport
import Testing
import VSwitchCore

@testable import Datapath

/// Packets that take their whole way at once, against the same packets step by step: somebody who watches connections has them all
/// go step by step.
@Suite struct ConnectionPathTests {
  private static let client: [UInt8] = [10, 0, 0, 1]
  private static let server: [UInt8] = [192, 0, 2, 80]
  private static let outside: [UInt8] = [198, 51, 100, 7]

  /// Rules with what a router does: translation of sources, a TTL less, other MAC addresses, and what a mark forbids.
  private static func harness() throws -> DatapathHarness {
    var lookup = ConntrackAction()
    lookup.recirculationTable = 1
    lookup.translation = NetworkTranslation()
    var commit = ConntrackAction()
    commit.commits = true
    commit.recirculationTable = 2
    commit.translation = NetworkTranslation()
    commit.translation?.kind = .source
    commit.translation?.addresses = 0xc633_6407...0xc633_6407
    var changes = [clear, rule([(.etherType, 0x0800)], [.conntrack(lookup)])]
    func add(_ table: UInt8, _ priority: UInt16, _ fields: [(Field, UInt128, UInt128)], _ actions: [Action]) {
      changes.append(.rule(table: table, priority: priority, fields, actions))
    }
    let ip: (Field, UInt128, UInt128) = (.etherType, 0x0800, 0xffff)
    let go = Action.resubmit(port: nil, table: 2, withConntrackTuple: false)
    add(1, 30, [ip, (.ctMark, 7, 0xffff_ffff)], [])
    add(1, 20, [ip, (.ctState, 0x22, 0x32)], [go])
    add(1, 10, [ip, (.inPort, 1, 0xffff_ffff), (.ctState, 0x21, 0x31)], [.conntrack(commit)])
    for port in [UInt128(1), 2] {
      add(
        2, 1, [ip, (.inPort, port, 0xffff_ffff)],
        [
          .setField(.ethernetSource, value: 0x0200_0000_00aa, mask: 0xffff_ffff_ffff), .decrementTTL(controllers: []),
          .output(PortNumber(UInt32(3 - port)), maximumByteCount: 0),
        ])
    }
    return try .bridge(portCount: 2, changes)
  }

  /// What is sent: mostly right packets of some connections, now and then one that is not.
  private static func packet(_ random: inout SeededGenerator) -> (frame: [UInt8], port: Int, offload: OffloadMetadata) {
    let isReply = Bool.random(using: &random)
    let clientPort = UInt16.random(in: 1000...1003, using: &random)
    let isTCP = Bool.random(using: &random)
    let payload = (0..<Int.random(in: 0...40, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
    let (source, destination) = isReply ? (server, outside) : (client, server)
    let (from, to) = isReply ? (UInt16(80), clientPort) : (clientPort, 80)
    var ip: [UInt8]
    if isTCP {
      let flags: UInt8 = [0x10, 0x10, 0x18, 0x18, 0x10, 0x02, 0x12, 0x11, 0x04].randomElement(using: &random) ?? 0x10
      let leap: UInt32 = Int.random(in: 0..<20, using: &random) == 0 ? 1 << 30 : 0
      let sequence: UInt32 = .random(in: 1...100, using: &random) &+ leap
      ip = ConntrackLab.tcp(
        source, from, destination, to, flags: flags, sequence, .random(in: 0...100, using: &random), payload)
    } else {
      ip = ConntrackLab.udp(source, from, destination, to, payload)
      if Int.random(in: 0..<6, using: &random) == 0 { ip.replaceSubrange(26..<28, with: [0, 0]) }
    }
    var offload = OffloadMetadata()
    switch Int.random(in: 0..<12, using: &random) {
    case 0: ip[Int.random(in: 0..<ip.count, using: &random)] ^= 1 << UInt8.random(in: 0...7, using: &random)
    case 1:
      // Another TTL, with its checksum.
      ip[8] = 9
      ip.replaceSubrange(10..<12, with: [0, 0])
      ip.replaceSubrange(10..<12, with: FrameBuilder.checksum(Array(ip[0..<20])).octets)
    case 2: ip.removeLast(Int.random(in: 0...min(6, ip.count - 20), using: &random))
    case 3: ip += [0, 0, 0]
    case 4: offload.flags = OffloadMetadata.dataValid
    case 5:
      // Its checksum is to be made by whoever sends it on: the place has the sum of the pseudo header.
      offload = OffloadMetadata(
        flags: OffloadMetadata.needsChecksum, gsoType: 0, headerByteCount: 0, gsoByteCount: 0, checksumStart: 34,
        checksumOffset: isTCP ? 16 : 6)
      let place = isTCP ? 36 : 26
      if ip.count >= place + 2 {
        let pseudo = FrameBuilder.transportChecksum([], from: source, to: destination, protocol: isTCP ? 6 : 17)
        ip.replaceSubrange(place..<(place + 2), with: (~pseudo).octets)
      }
    default: break
    }
    let frame = FrameBuilder.ethernet(
      to: FrameBuilder.address(isReply ? 1 : 2), from: FrameBuilder.address(isReply ? 2 : 1), etherType: 0x0800, ip)
    return (frame, isReply ? 2 : 1, offload)
  }

  /// What a connection was last.
  private static func connections(_ harness: DatapathHarness) -> [String] {
    harness.tracker.connections(ConnectionFilter(), from: 0, count: 100_000, now: harness.now).found
      .map { connection in
        "\(connection.original) \(connection.reply) \(connection.tcpStates.map { "\($0)" } ?? "") "
          + "\(connection.timeoutSeconds) \(connection.mark)"
      }
      .sorted()
  }

  @Test(arguments: testSeeds(12)) func theShortWayEndsWhereTheLongOneDoes(_ seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let (short, long) = (try Self.harness(), try Self.harness())
    let ring = try EventRing(byteCountLog2: 12)
    defer { ring.deallocate() }
    unsafe long.tracker.table.state.pointee.watcher = ring
    defer { unsafe long.tracker.table.state.pointee.watcher = nil }
    var delivered = 0
    for step in 0..<1500 {
      let sent = Self.packet(&random)
      let outputs = [short, long].map {
        $0.receive(bridge: "br0", port: "p\(sent.port)", frame: sent.frame, offload: sent.offload)
      }
      delivered += outputs[0].count
      let isSame = outputs[0].elementsEqual(outputs[1]) {
        $0.port == $1.port && $0.frame == $1.frame && $0.offload == $1.offload
      }
      #expect(isSame, "seed \(seed), step \(step): \(sent) gave \(outputs[0]), step by step \(outputs[1])")
      if !isSame { return }
      switch Int.random(in: 0..<60, using: &random) {
      case 0:
        let seconds = UInt32.random(in: 0...40, using: &random)
        for harness in [short, long] { harness.now += seconds }
      case 1:
        // A mark that rules have set meanwhile.
        let mark: UInt32 = Bool.random(using: &random) ? 7 : 0
        for harness in [short, long] {
          let count = unsafe harness.tracker.table.state.pointee.fresh
          for index in 0..<count { unsafe harness.tracker.table.record(UInt32(index)).pointee.mark = mark }
        }
      case 2:
        for harness in [short, long] {
          _ = harness.tracker.flush(ConnectionFilter(), from: 0, count: 100_000, now: harness.now)
        }
      case 3:
        // Another rule for what is behind the tracker.
        let drops = Bool.random(using: &random)
        for harness in [short, long] {
          try harness.changeFlows(
            bridge: "br0",
            [
              rule(
                table: 2, priority: 5, [(.etherType, 0x0800), (.inPort, 2)],
                drops ? [] : [.output(PortNumber(1), maximumByteCount: 0)])
            ])
        }
      default: break
      }
    }
    #expect(delivered > 200)
    #expect(Self.connections(short) == Self.connections(long), "seed \(seed)")
    for port in ["p1", "p2"] {
      #expect(short.counters(bridge: "br0", port: port) == long.counters(bridge: "br0", port: port), "seed \(seed)")
    }
    for table in UInt8(0)...2 {
      #expect(
        short.tableStatistics(bridge: "br0", table: table) == long.tableStatistics(bridge: "br0", table: table),
        "seed \(seed), table \(table)")
    }
  }

  @Test func theShortWayIsTaken() throws {
    let harness = try Self.harness()
    func send(_ ip: [UInt8], _ port: Int) -> Int {
      harness.receive(
        bridge: "br0", port: "p\(port)",
        frame: FrameBuilder.ethernet(
          to: FrameBuilder.address(UInt32(3 - port)), from: FrameBuilder.address(UInt32(port)), etherType: 0x0800, ip)
      ).count
    }
    let question = ConntrackLab.udp(Self.client, 1000, Self.server, 80)
    #expect(send(question, 1) == 1)
    #expect(send(ConntrackLab.udp(Self.server, 80, Self.outside, 1000), 2) == 1)
    for _ in 0..<3 { #expect(send(question, 1) == 1) }
    #expect(harness.hasPaths(bridge: "br0"))
  }
}
