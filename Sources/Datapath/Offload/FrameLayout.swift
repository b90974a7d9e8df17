// Where the transport header of a frame is, for checksums and segmentation only (switching has its own parser).
//
// Thread: worker. Memory: reads the lent frame, keeps offsets only. Invariants: 0 <= networkOffset <= transportOffset
// <= end <= frame length; the walk is bounded: 2 VLAN tags, 8 IPv6 extension headers, 40 bytes of IPv4 options, and
// what lies deeper is payload. No trap from any byte.
// Standards: IEEE 802.1Q §9, RFC 791, RFC 8200 §4, RFC 4302 (AH), RFC 7045.

/// Offsets from the start of a frame.
struct FrameLayout {
  enum Network: UInt8 { case none, ipv4, ipv6 }

  /// Deeper than the limits of the walk, or no IP: the transport is not known.
  static var unknownTransport: UInt8 { 255 }
  static var tagLimit: Int { 2 }
  static var extensionHeaderLimit: Int { 8 }

  var network = Network.none
  /// IP protocol number of what begins at `transportOffset`.
  var transport = FrameLayout.unknownTransport
  /// The innermost EtherType that was read.
  var etherType: UInt16 = 0
  /// The IP header, or what follows the known part of a frame that is not IP.
  var networkOffset = 0
  /// The header after IP and its extensions.
  var transportOffset = 0
  /// The byte that names the transport's protocol: in the IP header, or in the last extension header.
  var protocolOffset = 0
  /// The end of the IP packet; Ethernet padding lies behind it.
  var end = 0
  /// A part of a datagram: more fragments, or not the first.
  var isFragment = false
  /// IPv6 without a length but with hop-by-hop options: a jumbogram (RFC 2675).
  var isJumbogram = false
  /// The addresses of the IP header are those of the pseudo header: no source route still to go, no destination
  /// options (which could hold a home address, RFC 6275 §6.3).
  var hasPlainPseudoHeader = true

  @inline(__always)
  static func word(_ frame: UnsafeRawBufferPointer, _ offset: Int) -> UInt16 {
    UInt16(bigEndian: unsafe frame.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }

  /// Walks the headers.
  /// - Returns: why the frame contradicts itself, or nil and `self` is filled.
  mutating func parse(_ frame: UnsafeRawBufferPointer) -> OffloadFault? {
    let count = frame.count
    guard count >= 14 else { return .frameTooShort }
    var offset = 14
    etherType = unsafe Self.word(frame, 12)
    var tagCount = 0
    while tagCount < Self.tagLimit, etherType == 0x8100 || etherType == 0x88a8 {
      guard count >= offset &+ 4 else { return .frameTooShort }
      etherType = unsafe Self.word(frame, offset &+ 2)
      offset &+= 4
      tagCount &+= 1
    }
    networkOffset = offset
    transportOffset = offset
    end = count
    switch etherType {
    case 0x0800: return unsafe parseIPv4(frame)
    case 0x86dd: return unsafe parseIPv6(frame)
    default: return nil
    }
  }

  private mutating func parseIPv4(_ frame: UnsafeRawBufferPointer) -> OffloadFault? {
    let start = networkOffset
    let available = frame.count &- start
    guard available >= 20 else { return .frameTooShort }
    let first = unsafe frame[start]
    let headerByteCount = Int(first & 0x0f) &* 4
    guard first &>> 4 == 4, headerByteCount >= 20 else { return .headerLengthWrong }
    guard headerByteCount <= available else { return .frameTooShort }
    // 0 is what large-packet senders write whose packet is longer than the field can say.
    let totalByteCount = unsafe Int(Self.word(frame, start &+ 2))
    if totalByteCount != 0 {
      guard totalByteCount >= headerByteCount, totalByteCount <= available else { return .headerLengthWrong }
      end = start &+ totalByteCount
    }
    network = .ipv4
    isFragment = unsafe Self.word(frame, start &+ 6) & 0x3fff != 0
    transport = unsafe frame[start &+ 9]
    protocolOffset = start &+ 9
    transportOffset = start &+ headerByteCount
    if headerByteCount > 20 {
      hasPlainPseudoHeader = unsafe !hasSourceRoute(frame, from: start &+ 20, to: transportOffset)
    }
    return nil
  }

  /// Loose (131) or strict (137) source route whose pointer has not passed its end (RFC 791 §3.1).
  private func hasSourceRoute(_ frame: UnsafeRawBufferPointer, from: Int, to end: Int) -> Bool {
    var offset = from
    while offset < end {
      let kind = unsafe frame[offset]
      if kind == 0 { return false }
      if kind == 1 {
        offset &+= 1
        continue
      }
      guard offset &+ 1 < end else { return false }
      let length = unsafe Int(frame[offset &+ 1])
      guard length >= 2, offset &+ length <= end else { return false }
      if kind == 131 || kind == 137 {
        guard length >= 3 else { return true }
        if unsafe Int(frame[offset &+ 2]) <= length { return true }
      }
      offset &+= length
    }
    return false
  }

  private mutating func parseIPv6(_ frame: UnsafeRawBufferPointer) -> OffloadFault? {
    let start = networkOffset
    let available = frame.count &- start
    guard available >= 40 else { return .frameTooShort }
    guard unsafe frame[start] &>> 4 == 6 else { return .headerLengthWrong }
    let payloadByteCount = unsafe Int(Self.word(frame, start &+ 4))
    if payloadByteCount != 0 {
      guard payloadByteCount &+ 40 <= available else { return .headerLengthWrong }
      end = start &+ 40 &+ payloadByteCount
    }
    network = .ipv6
    protocolOffset = start &+ 6
    var next = unsafe frame[start &+ 6]
    var offset = start &+ 40
    var headerCount = 0
    walk: while headerCount <= Self.extensionHeaderLimit {
      var byteCount = 8
      switch next {
      case 0, 43, 44, 51, 60, 135, 139, 140:
        guard headerCount < Self.extensionHeaderLimit else {
          next = Self.unknownTransport
          break walk
        }
        guard offset &+ 8 <= end else { return .frameTooShort }
        let length = unsafe Int(frame[offset &+ 1])
        switch next {
        case 44:
          if unsafe Self.word(frame, offset &+ 2) & 0xfff9 != 0 { isFragment = true }
        case 51:
          byteCount = (length &+ 2) &* 4
        default:
          byteCount = (length &+ 1) &* 8
        }
        guard offset &+ byteCount <= end else { return .frameTooShort }
        if next == 0, payloadByteCount == 0 { isJumbogram = true }
        if next == 60 { hasPlainPseudoHeader = false }
        if next == 43, unsafe frame[offset &+ 3] != 0 { hasPlainPseudoHeader = false }
      default:
        break walk
      }
      let isLaterFragment = unsafe next == 44 && Self.word(frame, offset &+ 2) & 0xfff8 != 0
      next = unsafe frame[offset]
      protocolOffset = offset
      offset &+= byteCount
      headerCount &+= 1
      // What follows in a later fragment is no header.
      if isLaterFragment {
        next = Self.unknownTransport
        break walk
      }
    }
    transport = next
    transportOffset = offset
    return nil
  }
}
