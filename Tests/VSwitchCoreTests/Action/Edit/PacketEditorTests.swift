import TestSupport
import Testing
import VSwitchCore

@Suite struct PacketEditorTests {
  /// Fields that the editor sets, and that a packet may have.
  private let fields: [Field] = [
    .ethernetSource, .ethernetDestination, .vlanID, .vlanPriority, .mplsLabel, .mplsTrafficClass, .mplsTTL, .ipv4Source,
    .ipv4Destination, .ipv6Source, .ipv6Destination, .ipv6Label, .ipDSCP, .ipECN, .ipTTL, .arpOperation,
    .arpSenderAddress, .arpTargetAddress, .arpSenderHardware, .arpTargetHardware, .tcpSource, .tcpDestination,
    .udpSource,
    .udpDestination, .icmpType, .icmpCode, .icmpv6Code, .ndTarget, .ndSourceLinkLayer,
  ]

  private func edited(
    _ frame: [UInt8], _ layout: PacketLayout, isOpen: Bool = false, _ field: Field, _ value: UInt128, _ mask: UInt128
  ) -> [UInt8] {
    var bytes = frame
    unsafe bytes.withUnsafeMutableBytes { buffer in
      guard let base = buffer.baseAddress else { return }
      unsafe PacketEditor(base, byteCount: buffer.count, layout: layout, hasOpenChecksum: isOpen)
        .set(field, value, mask: mask)
    }
    return bytes
  }

  /// The match that a key makes whole, to ask for prerequisites.
  private func match(_ key: FlowKey) -> Match {
    var match = Match()
    for field in [Field.etherType, .ipProtocol, .ipFragment, .icmpv6Type, .icmpv6Code, .vlanTCI] {
      match.set(field, key[field])
    }
    return match
  }

  /// Nil if IPv4 header and transport checksum are right, as far as there are any.
  private func complaint(_ frame: [UInt8], _ layout: PacketLayout, _ key: FlowKey) -> String? {
    guard layout.networkOffset != PacketLayout.none, layout.etherType != 0x0806 else { return nil }
    let start = Int(layout.networkOffset)
    let isIPv4 = layout.etherType == 0x0800
    if isIPv4, FrameBuilder.checksum(Array(frame[start..<start + 20])) != 0 { return "IPv4 header" }
    guard layout.transportOffset != PacketLayout.none else { return nil }
    let transport = Array(frame[Int(layout.transportOffset)...])
    if layout.transportProtocol == 1 { return FrameBuilder.checksum(transport) == 0 ? nil : "ICMP" }
    guard layout.transportProtocol != 132 else { return nil }
    let addresses = isIPv4 ? (12, 4) : (8, 16)
    let source = Array(frame[(start + addresses.0)..<(start + addresses.0 + addresses.1)])
    let destination = Array(frame[(start + addresses.0 + addresses.1)..<(start + addresses.0 + 2 * addresses.1)])
    let isRight = FrameBuilder.hasRightChecksum(
      transport, from: source, to: destination, protocol: layout.transportProtocol)
    return isRight ? nil : "transport \(layout.transportProtocol)"
  }

  @Test(arguments: testSeeds(8))
  func whatIsSetIsParsedAgainAndChecksumsStayRight(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    var changes = 0
    for _ in 0..<400 {
      let frame = RandomFrame.make(using: &random)
      let (key, layout) = try #require(parsed(frame))
      #expect(complaint(frame, layout, key) == nil)
      for field in fields {
        let value = (UInt128(random.next()) << 64 | UInt128(random.next())) & field.fullMask
        let mask = random.next() % 2 == 0 ? field.fullMask : (UInt128(random.next()) << 64 | UInt128(random.next()))
        let after = edited(frame, layout, field, value, mask)
        let hasField = match(key).satisfies(field.prerequisite) && (field != .vlanID || layout.tagCount > 0)
        guard hasField else {
          #expect(after == frame, "\(field) is not there")
          continue
        }
        // Neighbour discovery and type are read by type and code: a change of those changes what is there.
        if [.icmpType, .icmpCode, .icmpv6Code].contains(field) {
          #expect(complaint(after, layout, key) == nil, "\(field)")
          continue
        }
        var expected = key
        expected[field] = key[field] & ~mask | value & mask
        if field == .vlanID { expected[field] |= 0x1000 }
        let again = try #require(parsed(after))
        #expect(again.key == expected, "\(field) \(frame)")
        #expect(complaint(after, layout, again.key) == nil, "\(field) \(frame)")
        changes += 1
      }
    }
    #expect(changes > 1000)
  }

  @Test(arguments: testSeeds(4))
  func anOpenChecksumFollowsTheAddressesAlone(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    var changes = 0
    while changes < 200 {
      var frame = RandomFrame.make(using: &random)
      let (_, layout) = try #require(parsed(frame))
      guard layout.transportProtocol == 6 || layout.transportProtocol == 17 else { continue }
      let checksumOffset = Int(layout.transportOffset) + (layout.transportProtocol == 6 ? 16 : 6)
      let segment = Array(frame[Int(layout.transportOffset)...])
      // What a sender leaves: the sum of the pseudo header, without the segment's own bytes.
      func open(_ frame: [UInt8]) -> UInt16 {
        let start = Int(layout.networkOffset)
        let addresses = layout.etherType == 0x0800 ? start + 12..<start + 20 : start + 8..<start + 40
        let half = (addresses.lowerBound + addresses.upperBound) / 2
        return ~FrameBuilder.transportChecksum(
          Array(repeating: 0, count: segment.count), from: Array(frame[addresses.lowerBound..<half]),
          to: Array(frame[half..<addresses.upperBound]), protocol: layout.transportProtocol)
      }
      frame.replaceSubrange(checksumOffset..<checksumOffset + 2, with: open(frame).octets)
      let field: Field = layout.etherType == 0x0800 ? .ipv4Destination : .ipv6Destination
      let value = UInt128(random.next()) << 64 | UInt128(random.next())
      let moved = edited(frame, layout, isOpen: true, field, value & field.fullMask, field.fullMask)
      let sum = UInt16(moved[checksumOffset]) << 8 | UInt16(moved[checksumOffset + 1])
      #expect(sum == open(moved) || sum == ~open(moved) && (sum == 0 || sum == 0xffff))
      let port = edited(
        frame, layout, isOpen: true, layout.transportProtocol == 6 ? .tcpSource : .udpSource, 7, 0xffff)
      #expect(Array(port[checksumOffset..<checksumOffset + 2]) == open(frame).octets)
      changes += 1
    }
  }

  @Test func shiftsPutTagsInAndTakeThemOut() {
    let frame = Array(UInt8(0)..<60)
    var bytes = [UInt8](repeating: 0xee, count: 4) + frame
    unsafe bytes.withUnsafeMutableBytes { buffer in
      guard let base = buffer.baseAddress else { return }
      let start = unsafe FrameShift.insert(0x8100_0005, at: 12, of: base + 4)
      #expect(unsafe start == base)
      _ = unsafe FrameShift.remove(at: 12, of: start)
    }
    #expect(Array(bytes[4...]) == frame)
    unsafe bytes.withUnsafeMutableBytes { buffer in
      guard let base = buffer.baseAddress else { return }
      _ = unsafe FrameShift.insert(0x8100_0005, at: 12, of: base + 4)
    }
    #expect(bytes == Array(frame[..<12]) + [0x81, 0, 0, 5] + frame[12...])
  }
}
