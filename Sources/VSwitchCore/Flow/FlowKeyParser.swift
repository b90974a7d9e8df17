// From a frame's bytes to its flow key, once per packet: Ethernet, two VLAN tags, MPLS, ARP, IPv4, IPv6 with its extension
// headers, TCP, UDP, SCTP, ICMP, neighbour discovery.
//
// A header that is cut off or contradicts itself ends the walk: its fields and those behind it stay 0, as Open vSwitch has
// it, so that no rule matches what is not there. Pure; thread: any. No byte can trap: each header's length is checked before
// it is read; the walk has limits (2 tags, 8 extension headers, 16 options), what lies deeper is payload.
// So no offset exceeds 22 + 8 + 40 + 8 * 2048 + 24 + 16 * 2040 bytes, which 16 bits hold.
// Standards: IEEE 802.3 §3, 802.1Q §9, RFC 3032, RFC 826, RFC 791, RFC 8200 §4, RFC 9293, RFC 768, RFC 9260, RFC 792, RFC 4443,
// RFC 4861 §4.6.

/// Reads flow keys. Holds where the frame is, not the frame.
@safe public struct FlowKeyParser {
  /// IPv6 extension headers that are walked.
  @inlinable public static var extensionHeaderLimit: Int { 8 }
  /// Neighbour discovery options that are looked at.
  @inlinable public static var optionLimit: Int { 16 }
  /// EtherType in a key for a frame with a length and no SNAP header.
  @inlinable public static var notEthernetII: UInt16 { 0x05ff }

  @usableFromInline let frame: UnsafeRawPointer
  @usableFromInline let byteCount: Int

  /// - Parameters:
  ///   - frame: the frame's first byte; it must stay readable while the parser is used.
  ///   - byteCount: its length.
  @inlinable
  public init(_ frame: UnsafeRawPointer, byteCount: Int) {
    unsafe self.frame = frame
    self.byteCount = byteCount
  }

  @inlinable @inline(__always)
  func byte(_ offset: Int) -> UInt8 { unsafe frame.load(fromByteOffset: offset, as: UInt8.self) }
  @inlinable @inline(__always)
  func word(_ offset: Int) -> UInt16 {
    unsafe UInt16(bigEndian: frame.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }
  @inlinable @inline(__always)
  func doubleWord(_ offset: Int) -> UInt32 {
    unsafe UInt32(bigEndian: frame.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }
  @inlinable @inline(__always)
  func quadWord(_ offset: Int) -> UInt64 {
    unsafe UInt64(bigEndian: frame.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }
  /// 48 bits.
  @inlinable @inline(__always)
  func address(_ offset: Int) -> UInt64 { UInt64(doubleWord(offset)) &<< 16 | UInt64(word(offset &+ 4)) }

  /// Reads the words of a key that a packet decides; the other words stay as they are.
  /// - Parameters:
  ///   - inPort: OpenFlow number of the entry port.
  ///   - key: its packet words are replaced.
  ///   - layout: where the headers were found.
  /// - Returns: false if the frame ends before its Ethernet header or inside a VLAN tag.
  @inlinable
  public func parse(inPort: UInt32, into key: inout FlowKey, _ layout: inout PacketLayout) -> Bool {
    for index in 0..<FlowKey.packetWordCount { key.words[index] = 0 }
    layout = PacketLayout()
    guard byteCount >= 14 else { return false }
    key.words[0] = UInt64(inPort) &<< 32
    key.words[1] = address(0) &<< 16
    key.words[2] = address(6) &<< 16
    var type = word(12)
    var offset = 14
    if EthernetHeader.isTag(type) {
      guard byteCount >= 18 else { return false }
      key.vlanType = type
      key.vlanTCI = word(14) | 0x1000
      layout.tagCount = 1
      type = word(16)
      offset = 18
      if EthernetHeader.isTag(type) {
        guard byteCount >= 22 else { return false }
        key.innerVLANType = type
        key.innerVLANTCI = word(18) | 0x1000
        layout.tagCount = 2
        type = word(20)
        offset = 22
      }
    }
    if type < 0x0600 {
      // LLC with SNAP and a zero organization code carries an EtherType (IEEE 802 §10.5).
      let hasSNAP = byteCount >= offset &+ 8 && doubleWord(offset) == 0xaaaa_0300 && word(offset &+ 4) == 0
      type = hasSNAP ? word(offset &+ 6) : 0
      if type < 0x0600 { type = FlowKeyParser.notEthernetII }
      offset &+= 8
    }
    key.etherType = type
    switch type {
    case 0x0800: parseIPv4(offset, &key, &layout)
    case 0x86dd: parseIPv6(offset, &key, &layout)
    case 0x0806, 0x8035: parseARP(offset, &key, &layout)
    case 0x8847, 0x8848:
      if byteCount >= offset &+ 4 {
        layout.mplsOffset = UInt16(truncatingIfNeeded: offset)
        key.mplsEntry = doubleWord(offset)
      }
    default: break
    }
    return true
  }

  @inlinable
  func parseIPv4(_ offset: Int, _ key: inout FlowKey, _ layout: inout PacketLayout) {
    guard byteCount >= offset &+ 20 else { return }
    let first = byte(offset)
    let headerByteCount = Int(first & 0xf) &* 4
    guard first &>> 4 == 4, headerByteCount >= 20, byteCount >= offset &+ headerByteCount else { return }
    // 0 is what senders of large segments write when the length does not fit.
    let totalByteCount = Int(word(offset &+ 2))
    guard totalByteCount == 0 || totalByteCount >= headerByteCount && totalByteCount <= byteCount &- offset else {
      return
    }
    let end = totalByteCount == 0 ? byteCount : offset &+ totalByteCount
    let fragment = word(offset &+ 6)
    let fragmentBits: UInt8 = fragment & 0x1fff != 0 ? 3 : fragment & 0x2000 != 0 ? 1 : 0
    let transport = byte(offset &+ 9)
    layout.networkOffset = UInt16(truncatingIfNeeded: offset)
    layout.etherType = 0x0800
    key.words[4] = quadWord(offset &+ 12)
    key.words[5] =
      UInt64(transport) &<< 24 | UInt64(byte(offset &+ 1)) &<< 16 | UInt64(byte(offset &+ 8)) &<< 8
      | UInt64(fragmentBits)
    if fragmentBits & 2 == 0 { parseTransport(transport, offset &+ headerByteCount, end, &key, &layout) }
  }

  @inlinable
  func parseIPv6(_ offset: Int, _ key: inout FlowKey, _ layout: inout PacketLayout) {
    guard byteCount >= offset &+ 40 else { return }
    let first = doubleWord(offset)
    guard first &>> 28 == 6 else { return }
    let payloadByteCount = Int(word(offset &+ 4))
    guard payloadByteCount <= byteCount &- offset &- 40 else { return }
    // 0: a jumbogram, or a segment that is longer than the field can say.
    let end = payloadByteCount == 0 ? byteCount : offset &+ 40 &+ payloadByteCount
    layout.networkOffset = UInt16(truncatingIfNeeded: offset)
    layout.etherType = 0x86dd
    key.words[7] = quadWord(offset &+ 8)
    key.words[8] = quadWord(offset &+ 16)
    key.words[9] = quadWord(offset &+ 24)
    key.words[10] = quadWord(offset &+ 32)
    var next = byte(offset &+ 6)
    var position = offset &+ 40
    var fragmentBits: UInt8 = 0
    var isWhole = true
    var count = 0
    walk: while true {
      switch next {
      case 0, 43, 60:  // hop-by-hop, routing, destination options
        guard position &+ 8 <= end, count < FlowKeyParser.extensionHeaderLimit else {
          isWhole = false
          break walk
        }
        next = byte(position)
        position &+= (Int(byte(position &+ 1)) &+ 1) &* 8
      case 51:  // authentication
        guard position &+ 8 <= end, count < FlowKeyParser.extensionHeaderLimit else {
          isWhole = false
          break walk
        }
        next = byte(position)
        position &+= (Int(byte(position &+ 1)) &+ 2) &* 4
      case 44:  // fragment
        guard position &+ 8 <= end, count < FlowKeyParser.extensionHeaderLimit else {
          isWhole = false
          break walk
        }
        next = byte(position)
        let field = word(position &+ 2)
        // A fragment with everything in it (RFC 6946) is none.
        if field & 0xfff9 != 0 { fragmentBits = field & 0xfff8 != 0 ? 3 : 1 }
        position &+= 8
        if fragmentBits & 2 != 0 { break walk }
      default: break walk
      }
      count &+= 1
    }
    key.words[5] =
      UInt64(first & 0xfffff) &<< 32 | UInt64(next) &<< 24 | UInt64(first &>> 20 & 0xff) &<< 16
      | UInt64(byte(offset &+ 7)) &<< 8 | UInt64(fragmentBits)
    if isWhole, fragmentBits & 2 == 0 { parseTransport(next, position, end, &key, &layout) }
  }

  @inlinable
  func parseARP(_ offset: Int, _ key: inout FlowKey, _ layout: inout PacketLayout) {
    // Ethernet and IPv4 addresses only (RFC 826).
    guard byteCount >= offset &+ 28, doubleWord(offset) == 0x0001_0800, word(offset &+ 4) == 0x0604 else { return }
    layout.networkOffset = UInt16(truncatingIfNeeded: offset)
    layout.etherType = 0x0806
    key.transportSource = word(offset &+ 6)
    key.words[4] = UInt64(doubleWord(offset &+ 14)) &<< 32 | UInt64(doubleWord(offset &+ 24))
    key.words[11] = address(offset &+ 8)
    key.words[12] = address(offset &+ 18)
  }

  /// - Parameter end: where the IP packet ends; at most the frame's end.
  @inlinable
  func parseTransport(
    _ transport: UInt8, _ offset: Int, _ end: Int, _ key: inout FlowKey, _ layout: inout PacketLayout
  ) {
    let available = end &- offset
    let needed: Int
    switch transport {
    case 6: needed = 20
    case 17: needed = 8
    case 132: needed = 12
    case 1, 58: needed = 4
    default: return
    }
    guard available >= needed else { return }
    // Type and code of one protocol are no fields of the other IP version.
    if transport == 1, key.etherType != 0x0800 { return }
    if transport == 58, key.etherType != 0x86dd { return }
    layout.transportOffset = UInt16(truncatingIfNeeded: offset)
    layout.transportProtocol = transport
    switch transport {
    case 1, 58:
      key.transportSource = UInt16(byte(offset))
      key.transportDestination = UInt16(byte(offset &+ 1))
      if transport == 58, byte(offset) == 135 || byte(offset) == 136, byte(offset &+ 1) == 0 {
        parseNeighbourDiscovery(offset, end, &key, &layout)
      }
    default:
      key.transportSource = word(offset)
      key.transportDestination = word(offset &+ 2)
      if transport == 6 { key.tcpFlags = word(offset &+ 12) & 0xfff }
    }
  }

  @inlinable
  func parseNeighbourDiscovery(_ offset: Int, _ end: Int, _ key: inout FlowKey, _ layout: inout PacketLayout) {
    guard end &- offset >= 24 else { return }
    key.words[13] = quadWord(offset &+ 8)
    key.words[14] = quadWord(offset &+ 16)
    var position = offset &+ 24
    var count = 0
    while end &- position >= 8, count < FlowKeyParser.optionLimit {
      let length = Int(byte(position &+ 1)) &* 8
      guard length > 0, length <= end &- position else { return }
      // The last of several options of a kind counts.
      if length == 8 {
        switch byte(position) {
        case 1 where byte(offset) == 135:
          key.words[11] = address(position &+ 2)
          layout.sourceLinkLayerOffset = UInt16(truncatingIfNeeded: position &+ 2)
        case 2 where byte(offset) == 136:
          key.words[12] = address(position &+ 2)
          layout.targetLinkLayerOffset = UInt16(truncatingIfNeeded: position &+ 2)
        default: break
        }
      }
      position &+= length
      count &+= 1
    }
  }
}
