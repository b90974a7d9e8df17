// Writes translated addresses, ports and identifiers into a packet, and mends the checksums that cover them (RFC 1624): of
// large segments and of packets whose checksum is still open only the pseudo header's sum, so that they pass as they are.
// In an ICMP error what it quotes is translated back to what its receiver has sent (RFC 5508 §4.2).
//
// Thread: one worker; the packet is nobody else's. Invariant: writes only into headers that `TrackedPacket` found whole.

import VSwitchCore

enum PacketTranslator {
  /// Gives a packet of a connection the addresses that it leaves with.
  /// - Returns: which of its addresses or ports have been translated.
  static func translate(
    _ packet: borrowing TrackedPacket, _ connection: UnsafeMutablePointer<TrackedConnection>, isReply: Bool
  ) -> ConnectionState {
    let other = unsafe connection.pointee.tuple(isReply: !isReply)
    if packet.kind == .error {
      let own = unsafe connection.pointee.tuple(isReply: isReply)
      return translateError(packet, own: own, other: other)
    }
    let wanted = other.reversed
    var state: ConnectionState = []
    var edits = unsafe Edits(packet.frame)
    // The ports of a later fragment are not in it.
    let now = packet.tuple
    let network = packet.networkOffset
    if wanted.sourceLow != now.sourceLow || wanted.sourceHigh != now.sourceHigh {
      state.insert(.sourceTranslated)
      edits.setAddress(network &+ (now.isIPv6 ? 8 : 12), wanted.sourceHigh, wanted.sourceLow, isIPv6: now.isIPv6)
    }
    if wanted.destinationLow != now.destinationLow || wanted.destinationHigh != now.destinationHigh {
      state.insert(.destinationTranslated)
      edits.setAddress(
        network &+ (now.isIPv6 ? 24 : 16), wanted.destinationHigh, wanted.destinationLow, isIPv6: now.isIPv6)
    }
    let addresses = edits.difference
    edits.difference = 0
    let transport = packet.transportOffset
    if now.hasPorts {
      if wanted.sourcePort != now.sourcePort {
        state.insert(.sourceTranslated)
        if packet.kind != .laterFragment { edits.setWord(transport, wanted.sourcePort) }
      }
      if wanted.destinationPort != now.destinationPort {
        state.insert(.destinationTranslated)
        if packet.kind != .laterFragment { edits.setWord(transport &+ 2, wanted.destinationPort) }
      }
    } else if now.isICMP, wanted.sourcePort != now.sourcePort {
      // The identifier is the end's that is translated.
      state.insert(isReply ? .destinationTranslated : .sourceTranslated)
      if packet.kind != .laterFragment { edits.setWord(transport &+ 4, wanted.sourcePort) }
    }
    if addresses != 0, !now.isIPv6 { edits.mend(network &+ 10, addresses) }
    if packet.kind != .laterFragment {
      mendTransport(packet, &edits, addresses: addresses, ports: edits.difference)
    }
    return state
  }

  @inline(__always)
  private static func mendTransport(
    _ packet: borrowing TrackedPacket, _ edits: inout Edits, addresses: UInt64, ports: UInt64
  ) {
    let transport = packet.transportOffset
    switch packet.tuple.ipProtocol {
    case 6: edits.mend(transport &+ 16, addresses, ports, isOpen: packet.hasOpenChecksum)
    case 17:
      if packet.hasOpenChecksum {
        edits.mend(transport &+ 6, addresses, ports, isOpen: true)
      } else if packet.word(transport &+ 6) != 0 {
        edits.mend(transport &+ 6, addresses, ports, isOpen: false)
        if packet.word(transport &+ 6) == 0 { edits.store(transport &+ 6, 0xffff) }
      }
    case 58: edits.mend(transport &+ 2, addresses, ports, isOpen: packet.hasOpenChecksum)
    case 1: edits.mend(transport &+ 2, 0, ports, isOpen: packet.hasOpenChecksum)
    case 132:
      guard ports != 0, !packet.hasOpenChecksum, packet.kind == .whole else { return }
      unsafe packet.frame.storeBytes(of: 0, toByteOffset: transport &+ 8, as: UInt32.self)
      let sum = unsafe CRC32C.value(
        UnsafeRawBufferPointer(start: packet.frame + transport, count: packet.end &- transport))
      unsafe packet.frame.storeBytes(of: sum.littleEndian, toByteOffset: transport &+ 8, as: UInt32.self)
    default: break
    }
  }

  // MARK: ICMP errors

  /// - Parameters:
  ///   - own: tuple of the direction in which the error goes.
  ///   - other: that of what it quotes, as the receiver of the error has sent it.
  @inline(never)
  private static func translateError(
    _ packet: borrowing TrackedPacket, own: ConnectionTuple, other: ConnectionTuple
  ) -> ConnectionState {
    var state: ConnectionState = []
    let isIPv6 = own.isIPv6
    // The outer header. Who has sent the error stays, unless the connection's far end is hidden: then all behind it is.
    var outer = unsafe Edits(packet.frame)
    if other.source != own.destination {
      state.insert(.destinationTranslated)
      outer.setAddress(packet.networkOffset &+ (isIPv6 ? 24 : 16), other.sourceHigh, other.sourceLow, isIPv6: isIPv6)
    }
    if other.destination != own.source {
      state.insert(.sourceTranslated)
      outer.setAddress(
        packet.networkOffset &+ (isIPv6 ? 8 : 12), other.destinationHigh, other.destinationLow, isIPv6: isIPv6)
    }
    if !isIPv6, outer.difference != 0 { outer.mend(packet.networkOffset &+ 10, outer.difference) }
    // What is quoted, and its own checksums as far as they are there.
    var inner = unsafe Edits(packet.frame)
    let network = packet.innerNetworkOffset
    let transport = packet.innerTransportOffset
    inner.setAddress(network &+ (isIPv6 ? 8 : 12), other.sourceHigh, other.sourceLow, isIPv6: isIPv6)
    inner.setAddress(network &+ (isIPv6 ? 24 : 16), other.destinationHigh, other.destinationLow, isIPv6: isIPv6)
    let addresses = inner.difference
    if !isIPv6, addresses != 0 { inner.mendCounted(network &+ 10, addresses) }
    let before = inner.difference
    if own.hasPorts {
      inner.setWord(transport, other.sourcePort)
      inner.setWord(transport &+ 2, other.destinationPort)
    } else if own.isICMP {
      inner.setWord(transport &+ 4, other.sourcePort)
    }
    let changed = (own.ipProtocol == 1 ? 0 : addresses) &+ (inner.difference &- before)
    let place: Int? =
      switch own.ipProtocol {
      case 6: transport &+ 16
      case 17: transport &+ 6
      case 1, 58: transport &+ 2
      default: nil
      }
    if let place, changed != 0, place &+ 2 <= packet.end {
      // 0 is no checksum.
      let isThere = packet.word(place) != 0
      if isThere || own.ipProtocol != 17 { inner.mendCounted(place, changed) }
    }
    // The error's own checksum covers all of that, and for IPv6 the outer addresses.
    outer.mend(
      packet.transportOffset &+ 2, isIPv6 ? outer.difference : 0, inner.difference, isOpen: packet.hasOpenChecksum)
    return state
  }

  // MARK: bytes

  /// Words that are changed, and the sum of the changes.
  @safe struct Edits {
    private let frame: UnsafeMutableRawPointer
    /// Σ(~old + new) over 16-bit words.
    var difference: UInt64 = 0

    init(_ frame: UnsafeMutableRawPointer) { unsafe self.frame = frame }

    @inline(__always)
    private func word(_ offset: Int) -> UInt16 {
      unsafe UInt16(bigEndian: frame.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }
    @inline(__always)
    func store(_ offset: Int, _ value: UInt16) {
      unsafe frame.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
    }

    @inline(__always)
    mutating func setWord(_ offset: Int, _ value: UInt16) {
      let old = word(offset)
      guard old != value else { return }
      store(offset, value)
      difference &+= UInt64(~old) &+ UInt64(value)
    }

    @inline(__always)
    mutating func setDoubleWord(_ offset: Int, _ value: UInt32) {
      let old = unsafe UInt32(bigEndian: frame.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
      guard old != value else { return }
      unsafe frame.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self)
      let inverted = ~old
      difference &+=
        UInt64(inverted &>> 16) &+ UInt64(inverted & 0xffff) &+ UInt64(value &>> 16) &+ UInt64(value & 0xffff)
    }

    @inline(__always)
    mutating func setAddress(_ offset: Int, _ high: UInt64, _ low: UInt64, isIPv6: Bool) {
      if isIPv6 {
        setDoubleWord(offset, UInt32(truncatingIfNeeded: high &>> 32))
        setDoubleWord(offset &+ 4, UInt32(truncatingIfNeeded: high))
        setDoubleWord(offset &+ 8, UInt32(truncatingIfNeeded: low &>> 32))
        setDoubleWord(offset &+ 12, UInt32(truncatingIfNeeded: low))
      } else {
        setDoubleWord(offset, UInt32(truncatingIfNeeded: low))
      }
    }

    /// Mends a checksum that covers words that have changed.
    @inline(__always)
    func mend(_ offset: Int, _ change: UInt64) {
      guard change != 0 else { return }
      store(offset, ~Edits.fold(UInt64(~word(offset)) &+ change))
    }

    /// - Parameters:
    ///   - addresses: change of the pseudo header.
    ///   - rest: change of what else the checksum covers.
    ///   - isOpen: the place has the sum of the pseudo header alone.
    @inline(__always)
    func mend(_ offset: Int, _ addresses: UInt64, _ rest: UInt64, isOpen: Bool) {
      if isOpen {
        guard addresses != 0 else { return }
        store(offset, Edits.fold(UInt64(word(offset)) &+ addresses))
      } else {
        mend(offset, addresses &+ rest)
      }
    }

    /// Mends a checksum which is itself covered by another one.
    mutating func mendCounted(_ offset: Int, _ change: UInt64) {
      setWord(offset, ~Edits.fold(UInt64(~word(offset)) &+ change))
    }

    @inline(__always)
    static func fold(_ total: UInt64) -> UInt16 {
      var total = (total & 0xffff_ffff) &+ (total &>> 32)
      total = (total & 0xffff) &+ (total &>> 16)
      total = (total & 0xffff) &+ (total &>> 16)
      return UInt16(truncatingIfNeeded: (total & 0xffff) &+ (total &>> 16))
    }
  }
}
