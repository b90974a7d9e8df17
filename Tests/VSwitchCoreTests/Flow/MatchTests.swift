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
