// The state machines behind a router, without a datapath: any bytes, and a clock that the test moves.

import Glibc
import TestSupport
import Testing

@testable import VSwitchCore

@Suite struct RouterServiceTests {
  private static func router() -> RouterConfig {
    var router = RouterConfig(name: "r1", zone: 9)
    for (index, vlan) in [10, 20].enumerated() {
      var port = RouterPort(
        name: "r1-\(vlan)", number: PortNumber(UInt32(index + 1)), bridge: "br0", tag: UInt16(vlan),
        hardwareAddress: MACAddress(bits: 0x0200_0000_1001 + UInt64(index)))
      port.addresses = ["10.0.\(vlan).1/24", "fd00:\(vlan)::1/64"].compactMap { InterfaceAddress($0) }
      port.mtu = 1300
      router.ports.append(port)
    }
    return router
  }

  private static func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

  @Test(arguments: (0..<4).map { UInt64($0) }) func anyBytesAreAnsweredOrIgnored(_ seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let router = Self.router()
    var resolver = NeighbourResolver(seed: seed)
    var errors = ICMPErrors()
    var advertiser = RouterAdvertiser(seed: seed)
    _ = resolver.configure([router], now: 0)
    _ = advertiser.configure([router], now: 0)
    let source = try Self.address("10.0.10.2")
    let source6 = try Self.address("fd00:10::2")
    let whole = [
      NetworkFrame.arp(
        1, sender: (MACAddress(bits: 2), source), target: try Self.address("10.0.10.1"), to: .broadcast),
      NetworkFrame.ethernet(
        to: MACAddress(bits: 1), from: MACAddress(bits: 2), 0x0800,
        NetworkFrame.ip(from: source, to: try Self.address("10.0.20.2"), 6, [UInt8](repeating: 3, count: 1400))),
      NetworkFrame.ethernet(
        to: MACAddress(bits: 1), from: MACAddress(bits: 2), 0x86dd,
        NetworkFrame.ip(
          from: source6, to: try Self.address("fd00:20::2"), 58, hopLimit: 255,
          NetworkFrame.icmpv6(
            135, code: 0, [0, 0, 0, 0] + (try Self.address("fd00:10::1")).octets + [1, 1, 2, 0, 0, 0, 0, 9],
            from: source6, to: try Self.address("fd00:20::2")))),
    ]
    var now: UInt64 = 0
    for _ in 0..<20_000 {
      var frame = whole.randomElement(using: &random) ?? []
      for _ in 0..<Int.random(in: 0...6, using: &random) {
        let place = Int.random(in: 0..<min(frame.count, 64), using: &random)
        frame[place] = UInt8.random(in: 0...255, using: &random)
      }
      if Bool.random(using: &random) { frame.removeLast(Int.random(in: 0..<frame.count, using: &random)) }
      var pipeline = FlowKey()
      pipeline[RouterRegister.outPort] = UInt128.random(in: 0...3, using: &random)
      pipeline[RouterRegister.nextHopIPv6] = UInt128.random(in: 0...(.max), using: &random)
      let punt = Punt(
        router: router, reason: PuntReason.allCases.randomElement(using: &random) ?? .arp,
        inPort: PortNumber(UInt32.random(in: 0...3, using: &random)), pipeline: pipeline, frame: frame)
      now += UInt64.random(in: 0...5_000_000, using: &random)
      if resolver.reasons.contains(punt.reason) { _ = resolver.handle(punt, now: now) }
      if errors.reasons.contains(punt.reason) { _ = errors.handle(punt, now: now) }
      if advertiser.reasons.contains(punt.reason) { _ = advertiser.handle(punt, now: now) }
      _ = resolver.tick(now: now)
      #expect(resolver.entries.count <= 2 * NeighbourResolver.neighbourLimit)
    }
  }

  @Test(arguments: (0..<4).map { UInt64($0) }) func addressesAreReadAndWrittenAsTheSystemDoes(_ seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    for _ in 0..<5000 {
      // Many zeros: where they stand decides the text.
      var bits = UInt128.random(in: 0...(.max), using: &random)
      for group in 0..<8 where Bool.random(using: &random) { bits &= ~(0xffff << UInt128(16 * group)) }
      let address = IPAddress(ipv6: bits)
      var bytes = address.octets
      var text = [CChar](repeating: 0, count: 64)
      let theirs = unsafe inet_ntop(AF_INET6, &bytes, &text, 64).map { unsafe String(cString: $0) }
      #expect(address.description == theirs)
      #expect(IPAddress(address.description) == address)
    }
    for text in ["1.2.3", "1.2.3.256", "::1::", ":1", "1:", "12345::", "1:2:3:4:5:6:7:8:9", "", "::1.2.3"] {
      #expect(IPAddress(text) == nil, "\(text)")
    }
    #expect(IPPrefix("10.0.0.1/8") == nil)
    #expect(IPPrefix("10.0.0.0/33") == nil)
    #expect(try #require(IPPrefix("fd00::/8")).contains(Self.address("fdff::1")))
  }

  @Test(arguments: (0..<4).map { UInt64($0) }) func blocksOfARangeHoldItsPortsAndNoOthers(_ seed: UInt64) {
    var random = SplitMix64(seed: seed)
    for _ in 0..<200 {
      let first = UInt16.random(in: 0...(.max), using: &random)
      let range = first...UInt16.random(in: first...(.max), using: &random)
      let blocks = RouterPolicy.blocks(range)
      #expect(blocks.count <= 30)
      for port in UInt16.min...UInt16.max where port % 7 == 0 || port == first || port == range.upperBound {
        #expect(blocks.count { port & $0.mask == $0.value } == (range.contains(port) ? 1 : 0), "\(range) \(port)")
      }
    }
  }

  @Test func theLowestMetricCountsAndEqualOnesShare() throws {
    var router = Self.router()
    let prefix = try #require(IPPrefix("192.0.2.0/24"))
    for (gateway, metric) in [("10.0.10.9", 5), ("10.0.20.9", 1), ("10.0.10.8", 1), ("10.0.20.9", 1)] {
      var route = RouterRoute(prefix)
      route.nextHop = try Self.address(gateway)
      route.metric = metric
      router.routes.append(route)
    }
    // Leads nowhere.
    var lost = RouterRoute(prefix)
    lost.nextHop = try Self.address("172.16.0.1")
    router.routes.append(lost)
    let entry = try #require(router.routingTable.first { $0.prefix == prefix })
    #expect(entry.metric == 1)
    #expect(Set(entry.hops.map(\.port)) == ["r1-10", "r1-20"])
    #expect(entry.hops.count == 2)
    #expect(throws: ConfigError.self) { try router.hop(of: lost) }
    // A port's own network is not another's.
    var mine = RouterRoute(try #require(IPPrefix("10.0.10.0/24")))
    mine.kind = .blackhole
    router.routes.append(mine)
    #expect(router.routingTable.first { $0.prefix == mine.prefix }?.isConnected == true)
  }

  @Test func anAdvertisementFollowsAQuestionSoonButNotTooOften() throws {
    var router = Self.router()
    var content = RouterAdvertisement()
    content.prefixes = [try #require(IPPrefix("fd00:10::/64"))]
    content.dnsServers = [try Self.address("fd00:10::53")]
    content.domains = ["example.org"]
    router.ports[0].advertisement = content
    var advertiser = RouterAdvertiser(seed: 3)
    _ = advertiser.configure([router], now: 0)
    func sent(until end: UInt64, from start: UInt64) -> [(at: UInt64, frame: [UInt8])] {
      var found: [(at: UInt64, frame: [UInt8])] = []
      for now in stride(from: start, to: end, by: 100_000_000) {
        found += advertiser.tick(now: now).frames.map { (now, $0.frame) }
      }
      return found
    }
    let first = sent(until: 1_000_000_000, from: 0)
    #expect(first.count == 1)
    let packet = try #require(first.first.flatMap { IPPacketView(frame: $0.frame) })
    #expect(packet.hopLimit == 255)
    #expect(packet.source.isLinkLocal)
    #expect(packet.payload.byte(0) == 134)
    let source = try Self.address("fe80::2")
    let group = try Self.address("ff02::2")
    let question = NetworkFrame.ethernet(
      to: group.multicastMAC, from: MACAddress(bits: 2), 0x86dd,
      NetworkFrame.ip(
        from: source, to: group, 58, hopLimit: 255,
        NetworkFrame.icmpv6(133, code: 0, [0, 0, 0, 0], from: source, to: group)))
    let punt = Punt(router: router, reason: .routerSolicitation, inPort: PortNumber(1), frame: question)
    for _ in 0..<100 { _ = advertiser.handle(punt, now: 1_000_000_000) }
    let second = sent(until: 5_000_000_000, from: 1_000_000_000)
    #expect(second.count == 1)
    #expect(try #require(second.first).at >= 3_000_000_000)
    // Without a wish it ends with a last one, which says so.
    var silent = router
    silent.ports[0].advertisement = nil
    let last = try #require(advertiser.configure([silent], now: 6_000_000_000).frames.first)
    #expect(try #require(IPPacketView(frame: last.frame)).payload.word(6) == 0)
    #expect(advertiser.nextDeadline == nil)
  }

  @Test func aNeighbourThatIsUsedIsAskedAgainAndOneThatIsGoneIsForgotten() throws {
    let router = Self.router()
    var resolver = NeighbourResolver(seed: 5)
    _ = resolver.configure([router], now: 0)
    let host = try Self.address("10.0.10.2")
    let request = NetworkFrame.arp(
      1, sender: (MACAddress(bits: 0x0200_0000_0002), host), target: try Self.address("10.0.10.1"), to: .broadcast)
    let reaction = resolver.handle(
      Punt(router: router, reason: .arp, inPort: PortNumber(1), frame: request), now: 0)
    let rules = try #require(reaction.changes["r1"])
    #expect(rules.contains { $0.table == RouterTable.neighbours.rawValue && $0.flags.contains(.sendFlowRemoved) })
    var questions = 0
    var deletions = 0
    for second in UInt64(1)...60 {
      let reaction = resolver.tick(now: second * 1_000_000_000)
      questions += reaction.frames.count
      deletions += reaction.changes["r1"]?.count { $0.command == .deleteStrict } ?? 0
      for frame in reaction.frames {
        // To the host alone: others need not hear it.
        #expect(Array(frame.frame[..<6]) == MACAddress(bits: 0x0200_0000_0002).octets)
      }
    }
    #expect(questions == NeighbourResolver.probeCount)
    #expect(deletions == rules.count)
    #expect(resolver.neighbours(of: "r1", now: 60_000_000_000).isEmpty)
  }

  @Test func whatDiffersIsChangedAndNothingElse() throws {
    var router = Self.router()
    let first = RouterCompiler.rules(of: router)
    #expect(RouterCompiler.rules(of: router).changes(from: first).isEmpty)
    router.ports[1].mtu = 1400
    #expect(RouterCompiler.rules(of: router).changes(from: first).count == 1)
    router.ports[1].mtu = 1300
    var route = RouterRoute(try #require(IPPrefix("192.0.2.0/24")))
    route.nextHop = try Self.address("10.0.10.9")
    router.routes = [route]
    #expect(RouterCompiler.rules(of: router).changes(from: first).count == 1)
  }
}
