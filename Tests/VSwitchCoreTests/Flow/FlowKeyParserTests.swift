import TestSupport
import Testing
import VSwitchCore

/// Key and layout of a frame.
func parsed(_ frame: [UInt8], inPort: UInt32 = 1) -> (key: FlowKey, layout: PacketLayout)? {
  var key = FlowKey()
  var layout = PacketLayout()
  // A copy of its own size, so that a read behind it is found by a sanitizer.
  let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: max(frame.count, 1), alignment: 1)
  defer { unsafe bytes.deallocate() }
  unsafe bytes.copyBytes(from: frame)
  guard let base = bytes.baseAddress else { return nil }
  let isParsed = unsafe FlowKeyParser(base, byteCount: frame.count).parse(inPort: inPort, into: &key, &layout)
  return isParsed ? (key, layout) : nil
}

@Suite struct FlowKeyParserTests {
  private let a = FrameBuilder.address(1)
  private let b = FrameBuilder.address(2)

  private func expect(_ frame: [UInt8], _ fields: [(Field, UInt128)], _ comment: Comment) {
    guard let key = parsed(frame)?.key else {
      Issue.record(comment)
      return
    }
    var expected = FlowKey()
    expected.inPort = 1
    expected[.ethernetSource] = 0x0200_0000_0001
    expected[.ethernetDestination] = 0x0200_0000_0002
    for (field, value) in fields { expected[field] = value }
    #expect(key == expected, comment)
  }

  @Test func everyHeaderGivesItsFields() {
    let v4: ([UInt8], [UInt8]) = ([10, 0, 0, 1], [10, 0, 0, 2])
    let v4Fields: [(Field, UInt128)] = [
      (.etherType, 0x0800), (.ipv4Source, 0x0a00_0001), (.ipv4Destination, 0x0a00_0002), (.ipTTL, 64),
    ]
    func ethernet(_ type: UInt16, _ payload: [UInt8], _ tags: [FrameTag] = []) -> [UInt8] {
      FrameBuilder.ethernet(to: b, from: a, tags: tags, etherType: type, payload)
    }
    let tcp = FrameBuilder.tcp(from: v4.0, to: v4.1, sourcePort: 5, destinationPort: 80, flags: 0x12, [1])
    expect(
      ethernet(0x0800, FrameBuilder.ipv4(from: v4.0, to: v4.1, protocol: 6, tcp)),
      v4Fields + [(.ipProtocol, 6), (.tcpSource, 5), (.tcpDestination, 80), (.tcpFlags, 0x012)], "TCP")
    let udp = FrameBuilder.udp(from: v4.0, to: v4.1, sourcePort: 53, destinationPort: 54, [])
    var tagged = FlowKey()
    tagged.vlanType = 0x88a8
    tagged.innerVLANType = 0x8100
    let frame = ethernet(
      0x0800, FrameBuilder.ipv4(from: v4.0, to: v4.1, protocol: 17, udp),
      [FrameTag(10, priority: 3, etherType: 0x88a8), FrameTag(20)])
    let key = parsed(frame)?.key
    #expect(key?.vlanType == 0x88a8 && key?.innerVLANType == 0x8100)
    #expect(key?[.vlanID] == 0x100a && key?[.vlanPriority] == 3 && key?[.innerVLANID] == 0x1014)
    #expect(key?[.udpSource] == 53 && key?[.udpDestination] == 54)
    expect(
      FrameBuilder.arpRequest(from: a, senderIPv4: [10, 0, 0, 1], targetIPv4: [10, 0, 0, 2]),
      [
        (.ethernetDestination, 0xffff_ffff_ffff), (.etherType, 0x0806), (.arpOperation, 1),
        (.arpSenderAddress, 0x0a00_0001), (.arpTargetAddress, 0x0a00_0002), (.arpSenderHardware, 0x0200_0000_0001),
      ], "ARP")
    expect(
      ethernet(0x8847, UInt32(0x12345_3_40).octets + [0x45]),
      [(.etherType, 0x8847), (.mplsLabel, 0x12345), (.mplsTrafficClass, 1), (.mplsBottomOfStack, 1), (.mplsTTL, 0x40)],
      "MPLS")
    expect(ethernet(0x0026, [0x42, 0x42, 3] + Array(repeating: 0, count: 35)), [(.etherType, 0x05ff)], "LLC")
    expect(
      ethernet(0x0010, [0xaa, 0xaa, 3, 0, 0, 0, 0x88, 0xcc, 1, 2, 3, 4, 5, 6, 7, 8]), [(.etherType, 0x88cc)], "SNAP")
  }

  @Test func fragmentsHavePortsInTheFirstOnly() {
    let v4: ([UInt8], [UInt8]) = ([10, 0, 0, 1], [10, 0, 0, 2])
    let udp = FrameBuilder.udp(from: v4.0, to: v4.1, sourcePort: 53, destinationPort: 54, [1, 2, 3])
    for (bits, fragment, hasPorts) in [(UInt16(0x2000), 1, true), (0x0001, 3, false), (0x2001, 3, false)] {
      var packet = FrameBuilder.ipv4(from: v4.0, to: v4.1, protocol: 17, udp)
      packet.replaceSubrange(6..<8, with: bits.octets)
      let key = parsed(FrameBuilder.ethernet(to: b, from: a, etherType: 0x0800, packet))?.key
      #expect(key?[.ipFragment] == UInt128(fragment))
      #expect(key?[.udpSource] == (hasPorts ? 53 : 0))
    }
  }

  @Test func extensionHeadersAreWalkedToALimit() {
    let addresses: ([UInt8], [UInt8]) = (Array(1...16), Array(17...32))
    let udp = FrameBuilder.udp(from: addresses.0, to: addresses.1, sourcePort: 53, destinationPort: 54, [])
    for count in [0, 1, 8, 9, 100] {
      var payload = udp
      var next: UInt8 = 17
      for _ in 0..<count {
        payload = [next, 0, 1, 4, 0, 0, 0, 0] + payload
        next = 60
      }
      let key = parsed(
        FrameBuilder.ethernet(
          to: b, from: a, etherType: 0x86dd,
          FrameBuilder.ipv6(from: addresses.0, to: addresses.1, nextHeader: next, payload)))?.key
      #expect(key?[.udpSource] == (count <= FlowKeyParser.extensionHeaderLimit ? 53 : 0), "\(count)")
      #expect(key?[.ipProtocol] == (count <= FlowKeyParser.extensionHeaderLimit ? 17 : 60), "\(count)")
    }
  }

  @Test(arguments: testSeeds(4))
  func anyPrefixAndAnyChangedByteIsReadWithinItsBounds(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    for _ in 0..<200 {
      var frame = RandomFrame.make(using: &random)
      for count in 0..<frame.count {
        let key = parsed(Array(frame[..<count]))?.key
        #expect((key != nil) == (count >= 14 + 4 * Int(tagCount(frame, upTo: count))))
      }
      for _ in 0..<50 where !frame.isEmpty {
        frame[Int(random.next() % UInt64(frame.count))] = UInt8(truncatingIfNeeded: random.next())
        if let (_, layout) = parsed(frame) {
          for offset in [layout.mplsOffset, layout.networkOffset, layout.transportOffset, layout.sourceLinkLayerOffset]
          where offset != PacketLayout.none { #expect(Int(offset) + 4 <= frame.count) }
        }
      }
      _ = parsed(random.bytes(Int(random.next() % 100)))
    }
  }

  /// Tags whose EtherType lies within the first bytes.
  private func tagCount(_ frame: [UInt8], upTo count: Int) -> Int {
    var tags = 0
    while tags < 2, count >= 14 + 4 * tags,
      [[0x81, 0], [0x88, 0xa8]].contains(Array(frame[(12 + 4 * tags)..<(14 + 4 * tags)]))
    {
      tags += 1
    }
    return tags
  }
}
