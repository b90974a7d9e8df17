import TestSupport
import Testing
import VSwitchCore

@Suite struct FieldTests {
  /// Groups of fields of which no packet has two, or which are views of the same bits.
  private func mayOverlap(_ a: Field, _ b: Field) -> Bool {
    let groups: [Set<Field>] = [
      [.vlanTCI, .vlanID, .vlanPriority], [.innerVLANTCI, .innerVLANID, .innerVLANPriority],
      [.ipv4Source, .arpSenderAddress], [.ipv4Destination, .arpTargetAddress],
      [.tcpSource, .udpSource, .sctpSource, .arpOperation, .icmpType, .icmpv6Type],
      [.tcpDestination, .udpDestination, .sctpDestination, .icmpCode, .icmpv6Code],
      [.arpSenderHardware, .ndSourceLinkLayer], [.arpTargetHardware, .ndTargetLinkLayer],
    ]
    if groups.contains(where: { $0.contains(a) && $0.contains(b) }) { return true }
    let registers = Field.reg0.rawValue...Field.xxreg3.rawValue
    return registers.contains(a.rawValue) && registers.contains(b.rawValue)
  }

  @Test func fieldsOverlapOnlyWhereNoPacketHasBoth() {
    for a in Field.allCases {
      var key = FlowKey()
      key[a] = .max
      for b in Field.allCases where a != b && key[b] != 0 { #expect(mayOverlap(a, b), "\(a) and \(b)") }
    }
  }

  @Test(arguments: testSeeds(4))
  func whatIsSetIsReadAndNothingElseChanges(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    for field in Field.allCases {
      for _ in 0..<20 {
        var key = FlowKey()
        for i in 0..<FlowKey.wordCount { key.words[i] = random.next() }
        let before = key
        let value = (UInt128(random.next() as UInt64) << 64 | UInt128(random.next() as UInt64)) & field.fullMask
        key[field] = value
        #expect(key[field] == value, "\(field)")
        key[field] = before[field]
        #expect(key == before, "\(field)")
      }
    }
  }

  @Test func registersAreViewsOfTheSameBits() {
    var key = FlowKey()
    key[.xxreg0] = 0x0000_0001_0000_0002_0000_0003_0000_0004
    #expect([Field.reg0, .reg1, .reg2, .reg3].map { key[$0] } == [1, 2, 3, 4])
    #expect(key[.xreg0] == 0x0000_0001_0000_0002)
    #expect(key[.xreg1] == 0x0000_0003_0000_0004)
  }

  @Test func accessorsAndFieldsAgree() {
    var key = FlowKey()
    key.inPort = 7
    key.ethernetSource = 0x0200_0000_0001
    key.ethernetDestination = 0x0200_0000_0002
    key.etherType = 0x0800
    key.vlanTCI = 0x700a
    key.ipv4Source = 0x0a00_0001
    key.ipv4Destination = 0x0a00_0002
    key.ipProtocol = 6
    key.ipTOS = 0xb9
    key.ipTTL = 64
    key.ipFragment = 3
    key.ipv6Label = 0xfffff
    key.transportSource = 1
    key.transportDestination = 2
    key.tcpFlags = 0x12
    key.mplsEntry = 0x12345_7_40
    let expected: [(Field, UInt128)] = [
      (.inPort, 7), (.ethernetSource, 0x0200_0000_0001), (.ethernetDestination, 0x0200_0000_0002), (.etherType, 0x0800),
      (.vlanID, 0x100a), (.vlanPriority, 3), (.ipv4Source, 0x0a00_0001), (.ipv4Destination, 0x0a00_0002),
      (.ipProtocol, 6), (.ipDSCP, 0x2e), (.ipECN, 1), (.ipTTL, 64), (.ipFragment, 3), (.ipv6Label, 0xfffff),
      (.tcpSource, 1), (.tcpDestination, 2), (.tcpFlags, 0x12), (.mplsLabel, 0x12345), (.mplsTrafficClass, 3),
      (.mplsBottomOfStack, 1), (.mplsTTL, 0x40),
    ]
    for (field, value) in expected { #expect(key[field] == value, "\(field)") }
  }

  @Test func namesAreUnique() { #expect(Set(Field.allCases.map(\.name)).count == Field.allCases.count) }
}
