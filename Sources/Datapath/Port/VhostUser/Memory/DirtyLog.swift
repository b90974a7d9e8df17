// The log of pages that the switch changed in a guest's memory, which the front-end sends while the guest moves to another
// host: one bit per 4 KB page of guest-physical addresses.
//
// Thread: made by control code; the worker marks. Memory: a mapping of the front-end's file, guarded like a region.
// Standard: QEMU docs/interop/vhost-user.rst, "Migration".

import COFlow
import Glibc

/// A mapped log.
@safe final class DirtyLog: Sendable {
  static let pageByteCountLog2: UInt64 = 12
  let view: DirtyLogView
  private nonisolated(unsafe) let mapping: UnsafeMutableRawPointer
  private let mappedByteCount: UInt64
  private let guardNumber: Int32
  private nonisolated(unsafe) let shrunk: UnsafeMutablePointer<UInt32>

  /// - Parameters:
  ///   - byteCount: of the log.
  ///   - offset: where it begins in the file.
  init(file: OwnedDescriptor, byteCount: UInt64, offset: UInt64) throws(VhostUserFault) {
    let (end, overflow) = offset.addingReportingOverflow(byteCount)
    guard byteCount > 0 else { throw .regionEmpty }
    guard !overflow, end <= UInt64(Int64.max) else { throw .regionOverflows }
    let size = coflow_memory_file_size(file.number)
    guard size >= 0 else { throw .regionIsNoMemory }
    guard end <= UInt64(size) else { throw .regionLargerThanFile }
    var mapping: UnsafeMutableRawPointer?
    var mappedByteCount: UInt64 = 0
    var error: Int32 = 0
    let bits = unsafe coflow_map_guest_memory(file.number, offset, byteCount, 1, &mapping, &mappedByteCount, &error)
    guard let bits = unsafe bits, let mapping = unsafe mapping else { throw .regionNotMappable }
    unsafe shrunk = .allocate(capacity: 1)
    unsafe shrunk.initialize(to: 0)
    unsafe self.mapping = mapping
    self.mappedByteCount = mappedByteCount
    unsafe view = DirtyLogView(bits: bits, byteCount: byteCount)
    guardNumber = unsafe coflow_guard_mapping(mapping, mappedByteCount, shrunk)
    if guardNumber < 0 { throw .guardLimitReached }
  }

  deinit {
    coflow_unguard_mapping(guardNumber)
    unsafe munmap(mapping, Int(mappedByteCount))
    unsafe shrunk.deallocate()
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
