import TestSupport
import Testing
import VSwitchCore

@Suite struct MatchTests {
  private func random(_ generator: inout SeededGenerator) -> Match {
    var match = Match()
    for field in [Field.inPort, .ethernetSource, .etherType, .ipv4Source, .reg3, .metadata] {
      // Few values and masks, so that matches meet.
      match.set(field, UInt128(generator.next() % 4), mask: UInt128(generator.next() % 4))
    }
    return match
  }

  @Test(arguments: testSeeds(4))
  func withinAndOverlapAgreeWithPackets(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<400 {
      let a = random(&generator)
      let b = random(&generator)
      var common = 0
      for _ in 0..<64 {
        var packet = FlowKey()
        for field in [Field.inPort, .ethernetSource, .etherType, .ipv4Source, .reg3, .metadata] {
          packet[field] = UInt128(generator.next() % 4)
        }
        if a.matches(packet), b.matches(packet) { common += 1 }
        if a.isWithin(b), a.matches(packet) { #expect(b.matches(packet)) }
      }
      if common > 0 { #expect(a.overlaps(b)) }
      if a.isWithin(b) { #expect(a.overlaps(b)) }
      #expect(a.isWithin(a) && a.isWithin(Match()))
    }
  }

  @Test func bitsOutsideTheMaskAreForgotten() {
    var a = Match()
    a.set(.ipv4Source, 0x0a01_0203, mask: 0xff00_0000)
    var b = Match()
    b.set(.ipv4Source, 0x0aff_ffff, mask: 0xff00_0000)
    #expect(a == b)
    a.set(.ipv4Source, 0, mask: 0)
    #expect(a == Match())
  }

  /// Standard and ovs-fields(7) as a table: EtherTypes, protocol, ICMPv6 types.
  private static let conditions:
    [(Prerequisite, etherTypes: Set<UInt128>, ipProtocol: UInt128?, types: Set<UInt128>?)] = [
      (.mpls, [0x8847, 0x8848], nil, nil), (.ipv4, [0x0800], nil, nil), (.ipv6, [0x86dd], nil, nil),
      (.ip, [0x0800, 0x86dd], nil, nil), (.arp, [0x0806, 0x8035], nil, nil), (.tcp, [0x0800, 0x86dd], 6, nil),
      (.udp, [0x0800, 0x86dd], 17, nil), (.sctp, [0x0800, 0x86dd], 132, nil), (.icmp, [0x0800], 1, nil),
      (.icmpv6, [0x86dd], 58, nil), (.neighbourSolicitation, [0x86dd], 58, [135]),
      (.neighbourAdvertisement, [0x86dd], 58, [136]), (.neighbourDiscovery, [0x86dd], 58, [135, 136]),
    ]

  @Test(arguments: testSeeds(4))
  func prerequisitesAreWhatTheTableSays(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var satisfied = 0
    for _ in 0..<2000 {
      var match = Match()
      // Mostly whole, so that what lies behind is reached; sometimes a bit is open, or all are.
      func set(_ field: Field, _ values: [UInt128]) {
        guard generator.next() % 8 != 0, let value = values.randomElement(using: &generator) else { return }
        match.set(field, value, mask: generator.next() % 8 == 0 ? field.fullMask & ~1 : field.fullMask)
      }
      set(.etherType, [0x0800, 0x86dd, 0x86dd, 0x0806, 0x8035, 0x8847, 0x8848, 0x88cc])
      set(.ipProtocol, [1, 6, 17, 58, 58, 58, 132, 2])
      set(.icmpv6Type, [134, 135, 136])
      if generator.next() % 3 == 0 { set(.icmpv6Code, [0, 1]) }
      if generator.next() % 3 == 0 {
        match.set(.ipFragment, UInt128(generator.next() % 4), mask: UInt128(generator.next() % 4))
      }
      func whole(_ field: Field) -> UInt128? {
        for bit in 0..<field.bitCount where match.mask[field] >> UInt128(bit) & 1 == 0 { return nil }
        return match.key[field]
      }
      let isLater = match.key[.ipFragment] & match.mask[.ipFragment] & 2 != 0
      for (prerequisite, etherTypes, ipProtocol, types) in Self.conditions {
        var expected = whole(.etherType).map { etherTypes.contains($0) } ?? false
        if let ipProtocol { expected = expected && whole(.ipProtocol) == ipProtocol && !isLater }
        if let types {
          let type = whole(.icmpv6Type)
          expected = expected && type.map { types.contains($0) } ?? false && match.key[.icmpv6Code] == 0
        }
        #expect(match.satisfies(prerequisite) == expected, "\(prerequisite) of \(match)")
        if expected { satisfied += 1 }
      }
    }
    #expect(satisfied > 500)
  }

  @Test func prerequisitesAreFoundInTheMatch() {
    var match = Match()
    #expect(!match.satisfies(Field.tcpSource.prerequisite))
    match.set(.etherType, 0x0800)
    #expect(match.satisfies(.ipv4) && match.satisfies(.ip) && !match.satisfies(.tcp))
    match.set(.ipProtocol, 6)
    #expect(match.satisfies(.tcp) && !match.satisfies(.udp))
    match.set(.ipFragment, 2, mask: 2)
    #expect(!match.satisfies(.tcp), "later fragments have no ports")
    match.set(.etherType, 0x86dd)
    match.set(.ipFragment, 0, mask: 0)
    match.set(.ipProtocol, 58)
    match.set(.icmpv6Type, 135)
    #expect(match.satisfies(.neighbourSolicitation) && match.satisfies(.neighbourDiscovery))
    #expect(!match.satisfies(.neighbourAdvertisement) && !match.satisfies(.icmp))
    match.set(.vlanID, 0x1005)
    #expect(match.satisfies(.vlan))
  }
}
