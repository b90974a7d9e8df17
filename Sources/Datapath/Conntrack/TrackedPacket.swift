// A packet as the tracker sees it: its tuple, its TCP segment, the packet that an ICMP error quotes; and whether its lengths and
// checksums are right.
//
// Thread: one worker. Memory: the frame is lent. Invariant: every offset kept here lies inside of the frame together with the
// header that it names, so that what reads or writes by them can't reach outside. No byte can trap.
// Standards: RFC 791, RFC 8200, RFC 9293 §3.1, RFC 768, RFC 792, RFC 4443, RFC 9260, RFC 7323 §2 (window scale).

import VSwitchCore

/// A packet on its way through the tracker.
@safe struct TrackedPacket {
  enum Kind: UInt8 {
    /// No IP packet that could belong to a connection, or one whose lengths or checksum are wrong.
    case invalid
    case whole
    /// The first of several fragments: has the ports.
    case firstFragment
    /// A later fragment: has none.
    case laterFragment
    /// An ICMP error; `tuple` is that of the packet which it quotes, reversed.
    case error
  }

  let frame: UnsafeMutableRawPointer
  let byteCount: Int
  var kind = Kind.invalid
  /// With the zone that it is in.
  var tuple = ConnectionTuple()
  /// Of the tuple, if `isHashed`.
  var hash: UInt32 = 0
  var isHashed = false
  var networkOffset = 0
  /// Of the transport header; 0 if there is none.
  var transportOffset = 0
  /// Where the IP packet ends.
  var end = 0
  /// The transport's checksum is still to be made: its place has the sum of the pseudo header.
  var hasOpenChecksum = false
  /// Checksums need not be looked at: who sent the packet is still to make them, or to cut it, or they have been checked.
  var isTrusted = false
  /// Of an error: the IP header that it quotes, and the transport header there.
  var innerNetworkOffset = 0
  var innerTransportOffset = 0
  /// Of a fragment: where its bytes go in the datagram, and whether more follow.
  var fragmentStart = 0
  var fragmentEnd = 0
  var isLastFragment = false
  var fragmentID: UInt32 = 0

  /// - Parameters:
  ///   - layout: of the frame as it is now.
  ///   - ipProtocol: as the flow key has it.
  ///   - fragment: as the flow key has it (`FlowKey.ipFragment`).
  ///   - isChecked: its checksums were found right before.
  init(
    _ frame: UnsafeMutableRawPointer, byteCount: Int, _ layout: PacketLayout, ipProtocol: UInt8, fragment: UInt8,
    _ offload: OffloadMetadata, isChecked: Bool = false
  ) {
    unsafe self.frame = frame
    self.byteCount = byteCount
    guard layout.networkOffset != PacketLayout.none else { return }
    networkOffset = Int(layout.networkOffset)
    // One that begins elsewhere is that of a packet inside of a tunnel.
    hasOpenChecksum =
      offload.flags & OffloadMetadata.needsChecksum != 0 && offload.checksumStart == layout.transportOffset
    isTrusted =
      isChecked || offload.flags & (OffloadMetadata.needsChecksum | OffloadMetadata.dataValid) != 0
      || offload.gsoType != OffloadMetadata.gsoNone
    switch layout.etherType {
    case 0x0800: readIPv4()
    case 0x86dd: readIPv6()
    default: return
    }
    guard end > 0 else { return }
    tuple.ipProtocol = ipProtocol
    if fragment & 1 != 0 {
      guard readFragment(layout) else { return }
      if fragment & 2 != 0 {
        kind = .laterFragment
        return
      }
    }
    let hasHeader = layout.transportOffset != PacketLayout.none
    if hasHeader { transportOffset = Int(layout.transportOffset) }
    switch ipProtocol {
    case 6, 17, 132:
      guard hasHeader, hasRightLength else { return }
      tuple.sourcePort = word(transportOffset)
      tuple.destinationPort = word(transportOffset &+ 2)
    case 1, 58:
      guard hasHeader, end &- transportOffset >= 8, (ipProtocol == 58) == tuple.isIPv6 else { return }
    default: break
    }
    if fragment & 1 != 0 {
      if ipProtocol == 1 || ipProtocol == 58 { tuple.sourcePort = word(transportOffset &+ 4) }
      if tuple.isICMP { tuple.destinationPort = word(transportOffset) }
      kind = tuple.isICMP && isError(byte(transportOffset)) ? .invalid : .firstFragment
      return
    }
    guard isTrusted || hasRightChecksum else { return }
    kind = .whole
    guard tuple.isICMP else { return }
    if isError(byte(transportOffset)) {
      kind = readQuoted() ? .error : .invalid
    } else {
      tuple.sourcePort = word(transportOffset &+ 4)
      tuple.destinationPort = word(transportOffset)
    }
  }

  // MARK: bytes

  @inline(__always)
  func byte(_ offset: Int) -> UInt8 { unsafe frame.load(fromByteOffset: offset, as: UInt8.self) }
  @inline(__always)
  func word(_ offset: Int) -> UInt16 {
    unsafe UInt16(bigEndian: frame.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }
  @inline(__always)
  func doubleWord(_ offset: Int) -> UInt32 {
    unsafe UInt32(bigEndian: frame.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }
  @inline(__always)
  func quadWord(_ offset: Int) -> UInt64 {
    unsafe UInt64(bigEndian: frame.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }

  // MARK: IP

  /// The parser has seen that the header is whole, and that the length said fits the frame.
  @inline(__always)
  private mutating func readIPv4() {
    let headerByteCount = Int(byte(networkOffset) & 0xf) &* 4
    let said = Int(word(networkOffset &+ 2))
    let last = said == 0 ? byteCount : networkOffset &+ said
    guard last <= byteCount, last >= networkOffset &+ headerByteCount, headerByteCount >= 20 else { return }
    if !isTrusted {
      let header = unsafe UnsafeRawBufferPointer(start: frame + networkOffset, count: headerByteCount)
      guard unsafe InternetChecksum.sum(of: header) == 0xffff else { return }
    }
    tuple.isIPv6 = false
    tuple.sourceLow = UInt64(doubleWord(networkOffset &+ 12))
    tuple.destinationLow = UInt64(doubleWord(networkOffset &+ 16))
    end = last
  }

  @inline(__always)
  private mutating func readIPv6() {
    let said = Int(word(networkOffset &+ 4))
    let last = said == 0 ? byteCount : networkOffset &+ 40 &+ said
    guard last <= byteCount, last >= networkOffset &+ 40 else { return }
    tuple.isIPv6 = true
    tuple.sourceHigh = quadWord(networkOffset &+ 8)
    tuple.sourceLow = quadWord(networkOffset &+ 16)
    tuple.destinationHigh = quadWord(networkOffset &+ 24)
    tuple.destinationLow = quadWord(networkOffset &+ 32)
    end = last
  }

  /// Where a fragment's bytes go.
  private mutating func readFragment(_ layout: PacketLayout) -> Bool {
    let first: Int
    let field: UInt16
    if tuple.isIPv6 {
      guard let header = fragmentHeader() else { return false }
      field = word(header &+ 2)
      fragmentID = doubleWord(header &+ 4)
      fragmentStart = Int(field & 0xfff8)
      isLastFragment = field & 1 == 0
      first = header &+ 8
    } else {
      field = word(networkOffset &+ 6)
      fragmentID = UInt32(word(networkOffset &+ 4))
      fragmentStart = Int(field & 0x1fff) &* 8
      isLastFragment = field & 0x2000 == 0
      first = networkOffset &+ Int(byte(networkOffset) & 0xf) &* 4
    }
    let count = end &- first
    // All but the last have a multiple of 8 bytes (RFC 791 §3.2), and none reaches past the largest packet.
    guard count > 0, isLastFragment || count & 7 == 0, fragmentStart &+ count <= 65_535 else { return false }
    fragmentEnd = fragmentStart &+ count
    return true
  }

  /// The fragment header of an IPv6 packet that the parser has found to have one.
  private func fragmentHeader() -> Int? {
    var next = byte(networkOffset &+ 6)
    var position = networkOffset &+ 40
    for _ in 0...FlowKeyParser.extensionHeaderLimit {
      guard position &+ 8 <= end else { return nil }
      switch next {
      case 44: return position
      case 0, 43, 60:
        next = byte(position)
        position &+= (Int(byte(position &+ 1)) &+ 1) &* 8
      case 51:
        next = byte(position)
        position &+= (Int(byte(position &+ 1)) &+ 2) &* 4
      default: return nil
      }
    }
    return nil
  }

  // MARK: transport

  /// Whether the lengths of TCP, UDP and SCTP headers fit what is there.
  @inline(__always)
  private var hasRightLength: Bool {
    let available = end &- transportOffset
    switch tuple.ipProtocol {
    case 6:
      guard available >= 20 else { return false }
      let headerByteCount = Int(byte(transportOffset &+ 12) &>> 4) &* 4
      return headerByteCount >= 20 && headerByteCount <= available
    case 17:
      guard available >= 8 else { return false }
      let said = Int(word(transportOffset &+ 4))
      // A datagram to be cut into several, or a fragment's, is longer or shorter than what is said.
      return said >= 8 && (said <= available || fragmentEnd > 0) || said == 0
    default: return available >= 12
    }
  }

  /// Whether the checksum of a whole packet is right.
  private var hasRightChecksum: Bool {
    let bytes = unsafe UnsafeRawBufferPointer(start: frame + transportOffset, count: end &- transportOffset)
    var checksum = InternetChecksum()
    switch tuple.ipProtocol {
    case 6, 58: break
    case 17:
      // 0 is none, which IPv6 allows for tunnels only (RFC 6935).
      if word(transportOffset &+ 6) == 0 { return true }
    case 1:
      return unsafe InternetChecksum.sum(of: bytes) == 0xffff
    case 132: return hasRightSCTPChecksum
    default: return true
    }
    let length = UInt32(truncatingIfNeeded: bytes.count)
    if tuple.isIPv6 {
      checksum.addIPv6PseudoHeader(
        source: (tuple.sourceHigh, tuple.sourceLow), destination: (tuple.destinationHigh, tuple.destinationLow),
        transportProtocol: tuple.ipProtocol, byteCount: length)
    } else {
      checksum.addIPv4PseudoHeader(
        source: UInt32(truncatingIfNeeded: tuple.sourceLow),
        destination: UInt32(truncatingIfNeeded: tuple.destinationLow),
        transportProtocol: tuple.ipProtocol, byteCount: length)
    }
    unsafe checksum.add(bytes)
    return checksum.sum == 0xffff
  }

  /// CRC32c over the packet with the checksum's place 0 (RFC 9260 §6.8): that is done in place, and undone.
  private var hasRightSCTPChecksum: Bool {
    let place = transportOffset &+ 8
    let said = unsafe frame.loadUnaligned(fromByteOffset: place, as: UInt32.self)
    unsafe frame.storeBytes(of: 0, toByteOffset: place, as: UInt32.self)
    let found = unsafe CRC32C.value(
      UnsafeRawBufferPointer(start: frame + transportOffset, count: end &- transportOffset))
    unsafe frame.storeBytes(of: said, toByteOffset: place, as: UInt32.self)
    return found.littleEndian == said
  }

  /// The TCP segment at `transportOffset`.
  @inline(__always)
  var segment: TCPSegment {
    let headerByteCount = Int(byte(transportOffset &+ 12) &>> 4) &* 4
    let flags = byte(transportOffset &+ 13) & 0x3f
    return TCPSegment(
      sequence: doubleWord(transportOffset &+ 4), acknowledgement: doubleWord(transportOffset &+ 8),
      window: UInt32(word(transportOffset &+ 14)),
      byteCount: UInt32(truncatingIfNeeded: max(end &- transportOffset &- headerByteCount, 0)), flags: flags,
      scale: flags & TCPSegment.syn != 0 ? windowScale(headerByteCount) : 0)
  }

  /// The window scale option of a SYN (RFC 7323 §2.2).
  private func windowScale(_ headerByteCount: Int) -> UInt8 {
    var position = transportOffset &+ 20
    let last = transportOffset &+ headerByteCount
    while position < last {
      switch byte(position) {
      case 0: return 0
      case 1: position &+= 1
      case let option:
        guard position &+ 1 < last else { return 0 }
        let length = Int(byte(position &+ 1))
        guard length >= 2, position &+ length <= last else { return 0 }
        if option == 3, length == 3 { return TCPPeer.scaleIsKnown | min(byte(position &+ 2), 14) }
        position &+= length
      }
    }
    return 0
  }

  // MARK: ICMP errors

  /// Whether a type of ICMP reports what became of another packet (RFC 792, RFC 4443 §2.1). Redirects do not.
  private func isError(_ type: UInt8) -> Bool {
    tuple.isIPv6 ? type >= 1 && type <= 4 : type == 3 || type == 4 || type == 11 || type == 12
  }

  /// Takes the tuple of the packet that an error quotes, reversed.
  /// - Returns: false if what is quoted names no connection.
  private mutating func readQuoted() -> Bool {
    let start = transportOffset &+ 8
    var inner = ConnectionTuple()
    if tuple.isIPv6 {
      guard end &- start >= 40, byte(start) &>> 4 == 6 else { return false }
      inner.isIPv6 = true
      inner.sourceHigh = quadWord(start &+ 8)
      inner.sourceLow = quadWord(start &+ 16)
      inner.destinationHigh = quadWord(start &+ 24)
      inner.destinationLow = quadWord(start &+ 32)
      inner.ipProtocol = byte(start &+ 6)
      innerTransportOffset = start &+ 40
      // Extension headers that say no more than where the next one is.
      var count = 0
      while inner.ipProtocol == 0 || inner.ipProtocol == 43 || inner.ipProtocol == 60 {
        guard count < FlowKeyParser.extensionHeaderLimit, end &- innerTransportOffset >= 8 else { return false }
        inner.ipProtocol = byte(innerTransportOffset)
        innerTransportOffset &+= (Int(byte(innerTransportOffset &+ 1)) &+ 1) &* 8
        count &+= 1
      }
    } else {
      guard end &- start >= 20, byte(start) &>> 4 == 4 else { return false }
      let headerByteCount = Int(byte(start) & 0xf) &* 4
      // Only the first fragment's error can be told whose it is.
      guard headerByteCount >= 20, end &- start >= headerByteCount, word(start &+ 6) & 0x1fff == 0 else { return false }
      inner.isIPv6 = false
      inner.sourceLow = UInt64(doubleWord(start &+ 12))
      inner.destinationLow = UInt64(doubleWord(start &+ 16))
      inner.ipProtocol = byte(start &+ 9)
      innerTransportOffset = start &+ headerByteCount
    }
    if inner.hasPorts {
      guard end &- innerTransportOffset >= 8 else { return false }
      inner.sourcePort = word(innerTransportOffset)
      inner.destinationPort = word(innerTransportOffset &+ 2)
    } else if inner.isICMP {
      guard end &- innerTransportOffset >= 8, (inner.ipProtocol == 58) == tuple.isIPv6,
        !isError(byte(innerTransportOffset))
      else { return false }
      inner.sourcePort = word(innerTransportOffset &+ 4)
      inner.destinationPort = word(innerTransportOffset)
    }
    // An error goes to who sent what it quotes.
    guard inner.sourceHigh == tuple.destinationHigh, inner.sourceLow == tuple.destinationLow else { return false }
    innerNetworkOffset = start
    tuple = inner.reversed
    return true
  }
}
