// Sends a datagram that is longer than a packet as IP fragments (UFO), for receivers that can't take it whole.
//
// Thread: worker. Memory: reads the lent frame, which must stay until the last fragment was made; writes into the caller's
// buffers; allocates nothing. Invariants: every offset is checked once and kept here; fragments do not overlap, their number
// is bounded, and together they are what the sender wrote.
// Standards: RFC 791 §3.2, RFC 8200 §4.5, RFC 768; virtio 1.2 §5.1.6 (`gso_size` counts what follows the IP header).

import VSwitchCore

/// What is to be fragmented, after all checks.
struct FragmentationPlan {
  /// 64 KiB by the smallest MTU of IPv4.
  static var fragmentLimit: Int { 2048 }

  var layout = FrameLayout()
  /// Of the datagram, its UDP header included.
  var payloadByteCount = 0
  /// Of each fragment but the last: a multiple of 8.
  var fragmentPayloadByteCount = 8
  var fragmentCount = 0

  /// - Returns: why the frame can't be fragmented, or nil and `self` is filled.
  mutating func make(_ frame: UnsafeRawBufferPointer, _ metadata: OffloadMetadata) -> OffloadFault? {
    if metadata.gsoType & OffloadMetadata.gsoECN != 0 { return .segmentTypeMismatch }
    guard metadata.gsoByteCount >= 8 else { return .segmentSizeWrong }
    if let fault = unsafe layout.parse(frame) { return fault }
    guard layout.network != .none, layout.transport == 17 else { return .segmentTypeMismatch }
    guard !layout.isFragment else { return .segmentOfFragment }
    guard !layout.isJumbogram else { return .segmentTooLarge }
    guard Int(metadata.headerByteCount) <= frame.count else { return .headerLengthWrong }
    guard layout.transportOffset &+ 8 <= layout.end else { return .frameTooShort }
    if metadata.flags & OffloadMetadata.needsChecksum != 0 {
      if let fault = metadata.checksumFault(layout, frameByteCount: frame.count) { return fault }
      guard Int(metadata.checksumStart) == layout.transportOffset else { return .checksumOutsideTransport }
    }
    payloadByteCount = layout.end &- layout.transportOffset
    fragmentPayloadByteCount = Int(metadata.gsoByteCount) & ~7
    let headerByteCount = layout.transportOffset &- layout.networkOffset
    guard payloadByteCount &+ headerByteCount <= 0xffff,
      headerByteCount &+ 8 &+ min(fragmentPayloadByteCount, payloadByteCount) <= 0xffff
    else { return .segmentTooLarge }
    fragmentCount = (payloadByteCount &+ fragmentPayloadByteCount &- 1) / fragmentPayloadByteCount
    return fragmentCount <= Self.fragmentLimit ? nil : .segmentCountExceeded
  }
}

/// Makes the fragments of one datagram, in order.
@safe
package struct Fragmenter: FrameCutter {
  private static let fragmentHeaderByteCount = 8

  private let frame: UnsafeRawBufferPointer
  private let plan: FragmentationPlan
  private let identification: UInt32
  /// Of the whole datagram; nil: as the sender wrote it.
  private let checksum: UInt16?
  private var index = 0

  /// Nil if `classify` would drop the frame.
  /// - Parameters:
  ///   - frame: must stay as it is until the last fragment was made.
  ///   - identification: a number that nobody can foresee, for datagrams that have none of their own.
  package init?(frame: UnsafeRawBufferPointer, metadata: OffloadMetadata, identification: UInt32) {
    var plan = FragmentationPlan()
    guard metadata.segmentationType == OffloadMetadata.gsoUFO, unsafe plan.make(frame, metadata) == nil else {
      return nil
    }
    unsafe self.frame = frame
    self.plan = plan
    self.identification = identification
    if metadata.flags & OffloadMetadata.needsChecksum != 0 {
      var sum = InternetChecksum()
      unsafe sum.add(UnsafeRawBufferPointer(rebasing: frame[plan.layout.transportOffset..<plan.layout.end]))
      checksum = sum.udpValue
    } else {
      checksum = nil
    }
  }

  package var segmentCount: Int { plan.fragmentCount }

  private var hasFragmentHeader: Bool { plan.layout.network == .ipv6 && plan.fragmentCount > 1 }

  package var largestSegmentByteCount: Int {
    plan.layout.transportOffset &+ Self.fragmentHeaderByteCount
      &+ min(plan.fragmentPayloadByteCount, plan.payloadByteCount)
  }

  /// Writes the next fragment, a complete frame.
  package mutating func next(into buffer: UnsafeMutableRawBufferPointer) -> Int? {
    guard index < plan.fragmentCount, buffer.count >= largestSegmentByteCount, let output = buffer.baseAddress,
      let input = unsafe frame.baseAddress
    else { return nil }
    let layout = plan.layout
    let consumed = index &* plan.fragmentPayloadByteCount
    let chunk = min(plan.fragmentPayloadByteCount, plan.payloadByteCount &- consumed)
    let isLast = index == plan.fragmentCount &- 1
    let payloadOffset = layout.transportOffset &+ (hasFragmentHeader ? Self.fragmentHeaderByteCount : 0)
    unsafe output.copyMemory(from: input, byteCount: layout.transportOffset)
    unsafe (output + payloadOffset).copyMemory(
      from: input + (layout.transportOffset &+ consumed), byteCount: chunk)
    if index == 0, let checksum { unsafe Self.store(checksum, output, payloadOffset &+ 6) }
    let byteCount = payloadOffset &+ chunk
    if layout.network == .ipv4 {
      unsafe writeIPv4Header(output + layout.networkOffset, consumed, isLast, byteCount &- layout.networkOffset)
    } else {
      unsafe Self.store(
        UInt16(truncatingIfNeeded: byteCount &- layout.networkOffset &- 40), output, layout.networkOffset &+ 4)
      if hasFragmentHeader {
        unsafe output.storeBytes(of: 44, toByteOffset: layout.protocolOffset, as: UInt8.self)
        let header = unsafe output + layout.transportOffset
        unsafe Self.store(17 << 8, header, 0)
        unsafe Self.store(UInt16(truncatingIfNeeded: consumed) | (isLast ? 0 : 1), header, 2)
        unsafe header.storeBytes(of: identification.bigEndian, toByteOffset: 4, as: UInt32.self)
      }
    }
    index &+= 1
    return byteCount
  }

  private func writeIPv4Header(
    _ network: UnsafeMutableRawPointer, _ consumed: Int, _ isLast: Bool, _ packetByteCount: Int
  ) {
    unsafe Self.store(UInt16(truncatingIfNeeded: packetByteCount), network, 2)
    // "Don't fragment" is left out with the fragments; a sender that says it need not number its datagrams (RFC 6864 §4.1).
    if plan.fragmentCount > 1 {
      if unsafe network.loadUnaligned(fromByteOffset: 4, as: UInt16.self) == 0 {
        unsafe Self.store(UInt16(truncatingIfNeeded: identification), network, 4)
      }
      unsafe Self.store(UInt16(truncatingIfNeeded: consumed &>> 3) | (isLast ? 0 : 0x2000), network, 6)
    }
    unsafe Self.store(0, network, 10)
    var sum = InternetChecksum()
    unsafe sum.add(
      UnsafeRawBufferPointer(start: network, count: plan.layout.transportOffset &- plan.layout.networkOffset))
    unsafe Self.store(sum.value, network, 10)
  }

  @inline(__always)
  private static func store(_ value: UInt16, _ base: UnsafeMutableRawPointer, _ offset: Int) {
    unsafe base.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
  }
}
