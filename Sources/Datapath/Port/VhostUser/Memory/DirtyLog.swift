// The log of pages that the switch changed in a guest's memory, which the front-end sends while the guest moves to another
// host: one bit per 4 KB page of guest-physical addresses.
//
// Thread: made by control code; the worker marks. Memory: a mapping of the front-end's file, guarded like a region.
// Standard: QEMU docs/interop/vhost-user.rst, "Migration".

import COFlow

/// A mapped log.
final class DirtyLog: Sendable {
  static let pageByteCountLog2: UInt64 = 12
  let view: DirtyLogView
  private let mapping: GuardedMapping

  /// - Parameters:
  ///   - byteCount: of the log.
  ///   - offset: where it begins in the file.
  init(file: OwnedDescriptor, byteCount: UInt64, offset: UInt64) throws(VhostUserFault) {
    mapping = try GuardedMapping(file, offset: offset, byteCount: byteCount)
    unsafe view = DirtyLogView(bits: mapping.host, byteCount: byteCount)
  }
}

/// Handle of a log: copies name the same bits.
@safe struct DirtyLogView: Sendable {
  fileprivate nonisolated(unsafe) let bits: UnsafeMutableRawPointer
  fileprivate let byteCount: UInt64

  /// Marks the pages that hold `byteCount` bytes from a guest address. What the log does not reach is left out.
  func mark(_ address: UInt64, byteCount count: UInt64) {
    guard count > 0 else { return }
    let (last, overflow) = address.addingReportingOverflow(count - 1)
    guard !overflow else { return }
    // The bytes written are visible before the bit that speaks of them.
    coflow_fence()
    var page = address >> DirtyLog.pageByteCountLog2
    let end = last >> DirtyLog.pageByteCountLog2
    while page <= end, page >> 3 < byteCount {
      unsafe coflow_or_8(bits + Int(truncatingIfNeeded: page >> 3), 1 << UInt8(truncatingIfNeeded: page & 7))
      page += 1
    }
  }
}
