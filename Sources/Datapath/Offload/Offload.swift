// Decides what has to be done to a frame before its exit port may have it, and finishes checksums in software.
//
// Thread: worker. Memory: the lent frame. Invariants: metadata is compared with the frame before anything is read or
// written by it, and a checksum is only written into a transport header's checksum field or into what lies behind it:
// else a sender could have an address rewritten after it was filtered.
// Standards: virtio 1.2 §5.1.6.2, RFC 1071.

import VSwitchCore

/// What is to be done with `frame` so that a port with `exit` capabilities can send it.
@inline(__always)
package func classify(
  frame: UnsafeRawBufferPointer, metadata: OffloadMetadata, exit: OffloadCapabilities
) -> OffloadVerdict {
  if metadata.isComplete { return .passThrough }
  return unsafe classifyIncomplete(frame: frame, metadata: metadata, exit: exit)
}

@inline(never)
private func classifyIncomplete(
  frame: UnsafeRawBufferPointer, metadata: OffloadMetadata, exit: OffloadCapabilities
) -> OffloadVerdict {
  if metadata.gsoType == OffloadMetadata.gsoNone {
    var layout = FrameLayout()
    if let fault = unsafe layout.parse(frame) ?? metadata.checksumFault(layout, frameByteCount: frame.count) {
      return .drop(fault)
    }
    return exit.contains(.checksum) ? .passThrough : .finishChecksum
  }
  if metadata.segmentationType == OffloadMetadata.gsoUFO {
    var plan = FragmentationPlan()
    if let fault = unsafe plan.make(frame, metadata) { return .drop(fault) }
    let isPartial = metadata.flags & OffloadMetadata.needsChecksum != 0
    return isPartial && exit.isSuperset(of: [.checksum, .ufo]) ? .passThrough : .segment
  }
  var plan = SegmentationPlan()
  if let fault = unsafe plan.make(frame, metadata) { return .drop(fault) }
  var needed: OffloadCapabilities = .checksum
  switch metadata.segmentationType {
  case OffloadMetadata.gsoTCPv4: needed.insert(.tso4)
  case OffloadMetadata.gsoTCPv6: needed.insert(.tso6)
  default:
    // Kernels refuse datagrams to be cut whose checksum is not partial.
    if metadata.flags & OffloadMetadata.needsChecksum == 0 { return .segment }
    needed.insert(plan.layout.network == .ipv4 ? .uso4 : .uso6)
  }
  if metadata.gsoType & OffloadMetadata.gsoECN != 0 { needed.insert(.tsoECN) }
  return exit.isSuperset(of: needed) ? .passThrough : .segment
}

/// Computes the checksum that the sender left partial, and clears `metadata`.
/// - Returns: false, with nothing changed, if the metadata does not fit the frame or asks for segmentation.
package func finishChecksum(frame: UnsafeMutableRawBufferPointer, metadata: inout OffloadMetadata) -> Bool {
  guard metadata.gsoType == OffloadMetadata.gsoNone else { return false }
  guard metadata.flags & OffloadMetadata.needsChecksum != 0 else { return true }
  let bytes = UnsafeRawBufferPointer(frame)
  var layout = FrameLayout()
  guard unsafe layout.parse(bytes) == nil,
    metadata.checksumFault(layout, frameByteCount: frame.count) == nil
  else { return false }
  let start = Int(metadata.checksumStart)
  var checksum = InternetChecksum()
  unsafe checksum.add(UnsafeRawBufferPointer(rebasing: bytes[start..<layout.end]))
  // Only in UDP has 0 a meaning; in what is not known it might be UDP, and both are right elsewhere.
  let value = layout.transport == 6 ? checksum.value : checksum.udpValue
  let field = start &+ Int(metadata.checksumOffset)
  unsafe frame.storeBytes(of: value.bigEndian, toByteOffset: field, as: UInt16.self)
  metadata = OffloadMetadata()
  return true
}

extension OffloadMetadata {
  /// Why the checksum that is asked for can't be computed; nil if it can.
  func checksumFault(_ layout: FrameLayout, frameByteCount: Int) -> OffloadFault? {
    let start = Int(checksumStart)
    let offset = Int(checksumOffset)
    guard Int(headerByteCount) <= frameByteCount else { return .headerLengthWrong }
    guard start &+ offset &+ 2 <= layout.end else { return .checksumOutsideFrame }
    guard !layout.isFragment else { return .checksumOfFragment }
    let transportOffset = layout.transportOffset
    let isField: Bool
    switch layout.network {
    case .none:
      // What carries IP deeper in: a third tag, MPLS, PPPoE, NSH. Not ARP and the like, whose bytes are looked at.
      switch layout.etherType {
      case 0x8100, 0x88a8, 0x8847, 0x8848, 0x8864, 0x894f: isField = start >= transportOffset
      default: isField = false
      }
    case .ipv4, .ipv6:
      switch layout.transport {
      case 6:
        guard transportOffset &+ 20 <= layout.end else { return .frameTooShort }
        isField = start == transportOffset && offset == 16
      case 17:
        // Or a header inside a tunnel (VXLAN, Geneve).
        guard transportOffset &+ 8 <= layout.end else { return .frameTooShort }
        isField = start == transportOffset ? offset == 6 : start >= transportOffset &+ 8
      case 1, 58:
        isField = start == transportOffset && offset == 2
      default:
        isField = start >= transportOffset
      }
    }
    return isField && offset & 1 == 0 ? nil : .checksumOutsideTransport
  }

  /// Keeps the offsets right when bytes are put in or taken out before them, as a VLAN tag.
  /// - Parameter byteCount: positive for bytes put in.
  @inlinable @inline(__always)
  public mutating func moveHeaders(by byteCount: Int) {
    if flags & Self.needsChecksum != 0 {
      checksumStart = UInt16(clamping: Int(checksumStart) &+ byteCount)
    }
    if headerByteCount != 0 {
      headerByteCount = UInt16(clamping: Int(headerByteCount) &+ byteCount)
    }
  }
}
