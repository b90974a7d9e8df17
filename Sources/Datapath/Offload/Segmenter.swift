// Cuts a large TCP segment or a train of UDP datagrams (GSO) into frames that any port can send.
//
// Thread: worker. Memory: reads the lent frame, which must stay until the last segment is made; writes into the
// caller's buffers; allocates nothing. Invariants: every offset is checked once, against the frame's length, and kept
// here, so bytes that change meanwhile can make a wrong segment but no wrong access. The number of segments is bounded.
// Standards: RFC 9293, RFC 3168 §6.1.2 (CWR on the first segment only), RFC 768, RFC 791, RFC 8200; virtio 1.2 §5.1.6.

import VSwitchCore

/// What is to be cut, after all checks.
struct SegmentationPlan {
  /// Out of one frame: 64 KiB at the smallest segment that Linux sends (48 bytes) make 1366.
  static var segmentLimit: Int { 2048 }

  var layout = FrameLayout()
  /// End of all headers, start of the payload.
  var payloadOffset = 0
  var payloadByteCount = 0
  var segmentPayloadByteCount = 1
  var segmentCount = 0
  var isTCP = false

  /// - Returns: why the frame can't be cut, or nil and `self` is filled.
  mutating func make(_ frame: UnsafeRawBufferPointer, _ metadata: OffloadMetadata) -> OffloadFault? {
    let wanted: FrameLayout.Network?
    switch metadata.segmentationType {
    case OffloadMetadata.gsoTCPv4: (wanted, isTCP) = (.ipv4, true)
    case OffloadMetadata.gsoTCPv6: (wanted, isTCP) = (.ipv6, true)
    case OffloadMetadata.gsoUDP: (wanted, isTCP) = (nil, false)
    default: return .segmentTypeUnknown
    }
    if metadata.gsoType & OffloadMetadata.gsoECN != 0, !isTCP { return .segmentTypeMismatch }
    guard metadata.gsoByteCount > 0 else { return .segmentSizeWrong }
    if let fault = unsafe layout.parse(frame) { return fault }
    guard layout.network != .none, wanted == nil || wanted == layout.network else { return .segmentTypeMismatch }
    guard !layout.isFragment else { return .segmentOfFragment }
    guard !layout.isJumbogram else { return .segmentTooLarge }
    guard layout.transport == (isTCP ? 6 : 17) else { return .segmentTypeMismatch }
    guard Int(metadata.headerByteCount) <= frame.count else { return .headerLengthWrong }

    let transportOffset = layout.transportOffset
    var transportHeaderByteCount = 8
    guard transportOffset &+ (isTCP ? 20 : 8) <= layout.end else { return .frameTooShort }
    if isTCP {
      transportHeaderByteCount = unsafe Int(frame[transportOffset &+ 12] &>> 4) &* 4
      guard transportHeaderByteCount >= 20 else { return .headerLengthWrong }
      guard transportOffset &+ transportHeaderByteCount <= layout.end else { return .headerLengthWrong }
      // A SYN takes a sequence number of its own, a RST ends the connection: neither can stand for several segments.
      guard unsafe frame[transportOffset &+ 13] & 0x06 == 0 else { return .segmentFlagsWrong }
    }
    if metadata.flags & OffloadMetadata.needsChecksum != 0 {
      if let fault = metadata.checksumFault(layout, frameByteCount: frame.count) { return fault }
      // A datagram's checksum inside a tunnel would not be this one.
      guard Int(metadata.checksumStart) == transportOffset else { return .checksumOutsideTransport }
    } else if !layout.hasPlainPseudoHeader {
      return .pseudoHeaderUnknown
    }

    payloadOffset = transportOffset &+ transportHeaderByteCount
    payloadByteCount = layout.end &- payloadOffset
    segmentPayloadByteCount = Int(metadata.gsoByteCount)
    let largest = min(segmentPayloadByteCount, payloadByteCount)
    let lengthStart = layout.network == .ipv4 ? layout.networkOffset : layout.networkOffset &+ 40
    guard payloadOffset &- lengthStart &+ largest <= 0xffff else { return .segmentTooLarge }
    // At least one: headers alone are a segment too.
    segmentCount = max(1, (payloadByteCount &+ segmentPayloadByteCount &- 1) / segmentPayloadByteCount)
    return segmentCount <= Self.segmentLimit ? nil : .segmentCountExceeded
  }
}

/// Makes complete frames of one, in order.
package protocol FrameCutter {
  /// How many, at least 1.
  var segmentCount: Int { get }
  /// Bytes of the largest one, Ethernet header included: what a buffer must hold.
  var largestSegmentByteCount: Int { get }
  /// Writes the next one, whose metadata is empty.
  /// - Returns: bytes written; nil after the last one, or if the buffer is too small.
  mutating func next(into buffer: UnsafeMutableRawBufferPointer) -> Int?
}

/// Makes the segments of one frame, in order.
@safe
package struct Segmenter: FrameCutter {
  private let frame: UnsafeRawBufferPointer
  private let plan: SegmentationPlan
  /// The partial checksum that the sender left, where the pseudo header can't be told from the frame.
  private let seed: UInt16?
  private var index = 0

  /// Nil if `classify` would drop the frame, or if `metadata` asks for no segmentation.
  /// - Parameter frame: must stay as it is until the last segment was made.
  package init?(frame: UnsafeRawBufferPointer, metadata: OffloadMetadata) {
    var plan = SegmentationPlan()
    guard unsafe plan.make(frame, metadata) == nil else { return nil }
    unsafe self.frame = frame
    self.plan = plan
    if plan.layout.hasPlainPseudoHeader {
      seed = nil
    } else {
      seed = unsafe FrameLayout.word(frame, plan.layout.transportOffset &+ (plan.isTCP ? 16 : 6))
    }
  }

  /// How many segments the frame makes in all, at least 1.
  package var segmentCount: Int { plan.segmentCount }

  /// Bytes of the largest segment's frame, Ethernet header included: what a buffer must hold.
  package var largestSegmentByteCount: Int {
    plan.payloadOffset &+ min(plan.segmentPayloadByteCount, plan.payloadByteCount)
  }

  /// Writes the next segment, a complete frame with valid checksums, whose metadata is empty.
  /// - Parameter buffer: at least `largestSegmentByteCount` bytes, apart from the frame.
  /// - Returns: bytes written; nil after the last one, or if the buffer is too small.
  package mutating func next(into buffer: UnsafeMutableRawBufferPointer) -> Int? {
    guard index < plan.segmentCount else { return nil }
    let consumed = index &* plan.segmentPayloadByteCount
    let chunk = min(plan.segmentPayloadByteCount, plan.payloadByteCount &- consumed)
    let byteCount = plan.payloadOffset &+ chunk
    guard buffer.count >= byteCount, let output = buffer.baseAddress, let input = unsafe frame.baseAddress else {
      return nil
    }
    unsafe output.copyMemory(from: input, byteCount: plan.payloadOffset)
    unsafe (output + plan.payloadOffset).copyMemory(from: input + (plan.payloadOffset &+ consumed), byteCount: chunk)

    let network = unsafe output + plan.layout.networkOffset
    let transport = unsafe output + plan.layout.transportOffset
    let transportByteCount = byteCount &- plan.layout.transportOffset
    unsafe writeNetworkHeader(network, packetByteCount: byteCount &- plan.layout.networkOffset)
    if plan.isTCP {
      unsafe writeTCPHeader(transport, consumed: consumed)
    } else {
      unsafe Self.store(UInt16(truncatingIfNeeded: transportByteCount), transport, 4)
    }
    unsafe writeTransportChecksum(network, transport, byteCount: transportByteCount)
    index &+= 1
    return byteCount
  }

  /// Length and, for IPv4, identification and header checksum.
  private func writeNetworkHeader(_ network: UnsafeMutableRawPointer, packetByteCount: Int) {
    guard plan.layout.network == .ipv4 else {
      unsafe Self.store(UInt16(truncatingIfNeeded: packetByteCount &- 40), network, 4)
      return
    }
    unsafe Self.store(UInt16(truncatingIfNeeded: packetByteCount), network, 2)
    let identification = unsafe Self.load(network, 4) &+ UInt16(truncatingIfNeeded: index)
    unsafe Self.store(identification, network, 4)
    unsafe Self.store(0, network, 10)
    var checksum = InternetChecksum()
    unsafe checksum.add(
      UnsafeRawBufferPointer(start: network, count: plan.layout.transportOffset &- plan.layout.networkOffset))
    unsafe Self.store(checksum.value, network, 10)
  }

  /// Sequence number, flags and urgent pointer.
  private func writeTCPHeader(_ tcp: UnsafeMutableRawPointer, consumed: Int) {
    let sequence = UInt32(bigEndian: unsafe tcp.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    let own = sequence &+ UInt32(truncatingIfNeeded: consumed)
    unsafe tcp.storeBytes(of: own.bigEndian, toByteOffset: 4, as: UInt32.self)
    var flags = unsafe tcp.load(fromByteOffset: 13, as: UInt8.self)
    // CWR answers one congestion event: once.
    if index > 0 { flags &= ~0x80 }
    // FIN and PSH belong to the end of the data.
    if index < plan.segmentCount &- 1 { flags &= ~0x09 }
    // The urgent pointer counts from the segment's own sequence number (RFC 6093 §3).
    if flags & 0x20 != 0, consumed > 0 {
      let urgent = unsafe Int(Self.load(tcp, 18)) &- consumed
      if urgent <= 0 { flags &= ~0x20 }
      unsafe Self.store(UInt16(clamping: urgent), tcp, 18)
    }
    unsafe tcp.storeBytes(of: flags, toByteOffset: 13, as: UInt8.self)
  }

  private func writeTransportChecksum(
    _ network: UnsafeMutableRawPointer, _ transport: UnsafeMutableRawPointer, byteCount: Int
  ) {
    let field = plan.isTCP ? 16 : 6
    var checksum = InternetChecksum()
    if let seed {
      // The seed has the whole frame's length in it (RFC 1624: subtract by adding the complement).
      checksum.add(sum: seed)
      checksum.add(~UInt32(truncatingIfNeeded: plan.layout.end &- plan.layout.transportOffset))
      checksum.add(UInt32(truncatingIfNeeded: byteCount))
    } else {
      let addresses =
        plan.layout.network == .ipv4
        ? unsafe UnsafeRawBufferPointer(start: network + 12, count: 8)
        : unsafe UnsafeRawBufferPointer(start: network + 8, count: 32)
      unsafe checksum.add(addresses)
      checksum.add(UInt16(plan.isTCP ? 6 : 17))
      checksum.add(UInt32(truncatingIfNeeded: byteCount))
    }
    unsafe Self.store(0, transport, field)
    unsafe checksum.add(UnsafeRawBufferPointer(start: transport, count: byteCount))
    unsafe Self.store(plan.isTCP ? checksum.value : checksum.udpValue, transport, field)
  }

  @inline(__always)
  private static func load(_ base: UnsafeMutableRawPointer, _ offset: Int) -> UInt16 {
    UInt16(bigEndian: unsafe base.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }

  @inline(__always)
  private static func store(_ value: UInt16, _ base: UnsafeMutableRawPointer, _ offset: Int) {
    unsafe base.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
  }
}
