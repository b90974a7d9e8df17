// A mapping of a file that a peer sent, and may cut short while it is in use: registered with the handler of SIGBUS (COFlow),
// which then puts zeroed pages in its place and sets a flag.
//
// Thread: made by control code; used by whoever has a pointer into it, for as long as somebody holds the object.
// Invariant: the file held every byte when it was mapped.

import COFlow
import Glibc

/// A mapped piece of a peer's file.
@safe final class GuardedMapping: Sendable {
  /// The first byte.
  nonisolated(unsafe) let host: UnsafeMutableRawPointer
  private nonisolated(unsafe) let mapping: UnsafeMutableRawPointer
  private let mappedByteCount: UInt64
  private let guardNumber: Int32
  /// Not 0 once the file was cut short.
  nonisolated(unsafe) let shrunk: UnsafeMutablePointer<UInt32>

  /// Maps `byteCount` bytes from `offset`; the descriptor is not needed afterwards.
  init(_ file: OwnedDescriptor, offset: UInt64, byteCount: UInt64) throws(VhostUserFault) {
    guard byteCount > 0 else { throw .regionEmpty }
    let (end, overflow) = offset.addingReportingOverflow(byteCount)
    guard !overflow, end <= UInt64(Int64.max) else { throw .regionOverflows }
    let size = coflow_memory_file_size(file.number)
    guard size >= 0 else { throw .regionIsNoMemory }
    guard end <= UInt64(size) else { throw .regionLargerThanFile }
    var mapping: UnsafeMutableRawPointer?
    var mappedByteCount: UInt64 = 0
    var error: Int32 = 0
    let host = unsafe coflow_map_guest_memory(file.number, offset, byteCount, 1, &mapping, &mappedByteCount, &error)
    guard let host = unsafe host, let mapping = unsafe mapping else { throw .regionNotMappable }
    unsafe shrunk = .allocate(capacity: 1)
    unsafe shrunk.initialize(to: 0)
    unsafe self.host = host
    unsafe self.mapping = mapping
    self.mappedByteCount = mappedByteCount
    guardNumber = unsafe coflow_guard_mapping(mapping, mappedByteCount, shrunk)
    if guardNumber < 0 { throw .guardLimitReached }
  }

  deinit {
    coflow_unguard_mapping(guardNumber)
    unsafe munmap(mapping, Int(mappedByteCount))
    unsafe shrunk.deallocate()
  }

  /// The file was cut short while it was in use.
  var isShrunk: Bool { unsafe coflow_load_32(shrunk) != 0 }
}
