// Changes header fields of a frame in place and mends the checksums that cover them.
//
// Thread: the worker that has the frame. Memory: the frame is lent; its length does not change here (tags and labels are
// put on and taken off by `FrameShift`). Invariant: writes only inside headers that the parser found whole (`PacketLayout`), so
// no value can trap or reach outside. A field whose header the frame does not have is left alone.
// Checksums: incremental (RFC 1624). One left open by the sender (virtio 1.2 §5.1.6.2) holds the pseudo header's sum only, and
// changes with the addresses alone.

/// Editor of one frame.
@safe public struct PacketEditor {
  let frame: UnsafeMutableRawPointer
  let layout: PacketLayout
  /// The transport checksum is still to be made: see `OffloadMetadata.needsChecksum`.
  let hasOpenChecksum: Bool
  /// Bytes of the frame.
  let byteCount: Int

  /// - Parameters:
  ///   - frame: first byte of the frame that `layout` was parsed from, or of one with the same headers.
  ///   - byteCount: its length.
  public init(_ frame: UnsafeMutableRawPointer, byteCount: Int, layout: PacketLayout, hasOpenChecksum: Bool) {
    unsafe self.frame = frame
    self.byteCount = byteCount
    self.layout = layout
    self.hasOpenChecksum = hasOpenChecksum
  }

  func word(_ offset: Int) -> UInt16 {
    unsafe UInt16(bigEndian: frame.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }
  func setWord(_ offset: Int, _ value: UInt16) {
    unsafe frame.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
  }

  /// Sets bits of a field.
  /// - Parameters:
  ///   - value: in the low bits, host order.
  ///   - mask: the bits to change.
  public func set(_ field: Field, _ value: UInt128, mask: UInt128) {
    let low = UInt64(truncatingIfNeeded: value)
    let lowMask = UInt64(truncatingIfNeeded: mask)
    switch field {
    case .ethernetDestination: setBytes(0, 6, value, mask, .none)
    case .ethernetSource: setBytes(6, 6, value, mask, .none)
    case .vlanTCI where layout.tagCount > 0: setBits(14, low, lowMask, 0xffff, 0, .none)
    case .vlanID where layout.tagCount > 0: setBits(14, low, lowMask, 0xfff, 0, .none)
    case .vlanPriority where layout.tagCount > 0: setBits(14, low, lowMask, 0x7, 13, .none)
    case .mplsLabel, .mplsTrafficClass, .mplsBottomOfStack, .mplsTTL: setMPLS(field, low, lowMask)
    case .ipv4Source, .ipv4Destination, .ipv6Source, .ipv6Destination, .ipv6Label, .ipDSCP, .ipECN, .ipTTL:
      setNetwork(field, value, mask)
    case .arpOperation, .arpSenderAddress, .arpTargetAddress, .arpSenderHardware, .arpTargetHardware:
      setARP(field, value, mask)
    case .tcpSource: setTransport(6, 0, 2, value, mask)
    case .tcpDestination: setTransport(6, 2, 2, value, mask)
    case .udpSource: setTransport(17, 0, 2, value, mask)
    case .udpDestination: setTransport(17, 2, 2, value, mask)
    case .sctpSource: setTransport(132, 0, 2, value, mask)
    case .sctpDestination: setTransport(132, 2, 2, value, mask)
    case .icmpType: setTransport(1, 0, 1, value, mask)
    case .icmpCode: setTransport(1, 1, 1, value, mask)
    case .icmpv6Type: setTransport(58, 0, 1, value, mask)
    case .icmpv6Code: setTransport(58, 1, 1, value, mask)
    case .ndTarget:
      // The parser reads a target only where all of it is there.
      if layout.transportProtocol == 58, Int(layout.transportOffset) &+ 24 <= byteCount {
        setBytes(Int(layout.transportOffset) &+ 8, 16, value, mask, .transport)
      }
    case .ndSourceLinkLayer:
      if layout.sourceLinkLayerOffset != PacketLayout.none {
        setBytes(Int(layout.sourceLinkLayerOffset), 6, value, mask, .transport)
      }
    case .ndTargetLinkLayer:
      if layout.targetLinkLayerOffset != PacketLayout.none {
        setBytes(Int(layout.targetLinkLayerOffset), 6, value, mask, .transport)
      }
    default: break
    }
  }

  // MARK: headers

  private func setMPLS(_ field: Field, _ value: UInt64, _ mask: UInt64) {
    guard layout.mplsOffset != PacketLayout.none else { return }
    let offset = Int(layout.mplsOffset)
    let shift = UInt64(field.layout.shift)
    let bits = UInt64(truncatingIfNeeded: field.fullMask) & mask
    let old = UInt64(word(offset)) &<< 16 | UInt64(word(offset &+ 2))
    let new = old & ~(bits &<< shift) | (value & bits) &<< shift
    setWord(offset, UInt16(truncatingIfNeeded: new &>> 16))
    setWord(offset &+ 2, UInt16(truncatingIfNeeded: new))
  }

  private func setNetwork(_ field: Field, _ value: UInt128, _ mask: UInt128) {
    guard layout.networkOffset != PacketLayout.none else { return }
    let start = Int(layout.networkOffset)
    let low = UInt64(truncatingIfNeeded: value)
    let lowMask = UInt64(truncatingIfNeeded: mask)
    if layout.etherType == 0x0800 {
      switch field {
      case .ipv4Source: setBytes(start &+ 12, 4, value, mask, .addresses)
      case .ipv4Destination: setBytes(start &+ 16, 4, value, mask, .addresses)
      // Words of the header: version, IHL, TOS; TTL, protocol.
      case .ipDSCP: setBits(start, low, lowMask, 0x3f, 2, .network)
      case .ipECN: setBits(start, low, lowMask, 0x3, 0, .network)
      case .ipTTL: setBits(start &+ 8, low, lowMask, 0xff, 8, .network)
      default: break
      }
    } else if layout.etherType == 0x86dd {
      switch field {
      case .ipv6Source: setBytes(start &+ 8, 16, value, mask, .addresses)
      case .ipv6Destination: setBytes(start &+ 24, 16, value, mask, .addresses)
      case .ipDSCP: setBits(start, low, lowMask, 0x3f, 6, .none)
      case .ipECN: setBits(start, low, lowMask, 0x3, 4, .none)
      case .ipTTL: setBits(start &+ 6, low, lowMask, 0xff, 0, .none)
      case .ipv6Label:
        setBits(start, low &>> 16, lowMask &>> 16, 0xf, 0, .none)
        setBits(start &+ 2, low & 0xffff, lowMask & 0xffff, 0xffff, 0, .none)
      default: break
      }
    }
  }

  private func setARP(_ field: Field, _ value: UInt128, _ mask: UInt128) {
    guard layout.networkOffset != PacketLayout.none, layout.etherType == 0x0806 else { return }
    let start = Int(layout.networkOffset)
    switch field {
    case .arpOperation: setBytes(start &+ 6, 2, value, mask, .none)
    case .arpSenderHardware: setBytes(start &+ 8, 6, value, mask, .none)
    case .arpSenderAddress: setBytes(start &+ 14, 4, value, mask, .none)
    case .arpTargetHardware: setBytes(start &+ 18, 6, value, mask, .none)
    case .arpTargetAddress: setBytes(start &+ 24, 4, value, mask, .none)
    default: break
    }
  }

  private func setTransport(_ transport: UInt8, _ offset: Int, _ count: Int, _ value: UInt128, _ mask: UInt128) {
    guard layout.transportProtocol == transport else { return }
    let start = Int(layout.transportOffset)
    if transport == 132 {
      setBytes(start &+ offset, count, value, mask, .none)
      finishSCTP()
    } else if count == 2 {
      setBytes(start &+ offset, 2, value, mask, .transport)
    } else {
      // A byte: in the word of type and code.
      setBits(
        start, UInt64(truncatingIfNeeded: value), UInt64(truncatingIfNeeded: mask), 0xff, offset == 0 ? 8 : 0,
        .transport)
    }
  }

  // MARK: bytes and what covers them

  private enum Cover {
    case none
    /// The checksum of an IPv4 header.
    case network
    /// The transport's checksum.
    case transport
    /// Addresses: both, by way of the pseudo header.
    case addresses
  }

  /// Changes bits of one word.
  private func setBits(
    _ offset: Int, _ value: UInt64, _ mask: UInt64, _ fieldMask: UInt16, _ shift: UInt16, _ cover: Cover
  ) {
    let bits = UInt16(truncatingIfNeeded: mask) & fieldMask
    setCovered(
      offset, word(offset) & ~(bits &<< shift) | (UInt16(truncatingIfNeeded: value) & bits) &<< shift, cover)
  }

  /// Changes an even number of bytes, highest first.
  private func setBytes(_ offset: Int, _ count: Int, _ value: UInt128, _ mask: UInt128, _ cover: Cover) {
    var position = 0
    while position < count {
      let shift = UInt128((count &- position &- 2) &* 8)
      let bits = UInt16(truncatingIfNeeded: mask &>> shift)
      let new = UInt16(truncatingIfNeeded: value &>> shift)
      let at = offset &+ position
      setCovered(at, word(at) & ~bits | new & bits, cover)
      position &+= 2
    }
  }

  private func setCovered(_ offset: Int, _ new: UInt16, _ cover: Cover) {
    let old = word(offset)
    guard old != new else { return }
    setWord(offset, new)
    switch cover {
    case .none: break
    case .network: mendNetwork(old, new)
    case .transport: if !hasOpenChecksum { mendTransport(old, new) }
    case .addresses:
      if layout.etherType == 0x0800 { mendNetwork(old, new) }
      // ICMP for IPv4 has no pseudo header.
      if layout.transportProtocol != 1 { mendTransport(old, new) }
    }
  }

  private func mendNetwork(_ old: UInt16, _ new: UInt16) {
    let offset = Int(layout.networkOffset) &+ 10
    setWord(offset, InternetChecksum.updating(word(offset), from: old, to: new))
  }

  private func mendTransport(_ old: UInt16, _ new: UInt16) {
    let start = Int(layout.transportOffset)
    let offset: Int
    switch layout.transportProtocol {
    case 6: offset = start &+ 16
    case 17: offset = start &+ 6
    case 1, 58: offset = start &+ 2
    default: return
    }
    let checksum = word(offset)
    if hasOpenChecksum {
      setWord(offset, ~InternetChecksum.updating(~checksum, from: old, to: new))
      return
    }
    // UDP: 0 is no checksum, and one that comes out as 0 is sent as 0xffff (RFC 768).
    if layout.transportProtocol == 17, checksum == 0 { return }
    let mended = InternetChecksum.updating(checksum, from: old, to: new)
    setWord(offset, layout.transportProtocol == 17 && mended == 0 ? 0xffff : mended)
  }

  /// Makes the CRC32c of an SCTP packet anew (RFC 9260 §6.8): it can't be updated by a sum.
  private func finishSCTP() {
    guard !hasOpenChecksum else { return }
    let start = Int(layout.transportOffset)
    let end = networkEnd
    guard end >= start &+ 12 else { return }
    unsafe frame.storeBytes(of: 0, toByteOffset: start &+ 8, as: UInt32.self)
    let packet = unsafe UnsafeRawBufferPointer(start: frame + start, count: end &- start)
    let sum = unsafe CRC32C.value(packet)
    unsafe frame.storeBytes(of: sum.littleEndian, toByteOffset: start &+ 8, as: UInt32.self)
  }

  /// Where the IP packet ends.
  private var networkEnd: Int {
    let start = Int(layout.networkOffset)
    let said = layout.etherType == 0x0800 ? Int(word(start &+ 2)) : Int(word(start &+ 4)) &+ 40
    return min(start &+ said, byteCount)
  }
}
