// The memory in which a front-end keeps, for a back-end that may die, which buffers it had taken (INFLIGHT_SHMFD): made here,
// held by the front-end, sent back to whoever serves its rings next.
//
// Thread: made by control code; the worker writes a queue's part. Memory: a guarded mapping of the file; the front-end can
// write it too, so whatever is read is checked. Invariant: a queue's part has room for `capacity` descriptors.
// Standard: QEMU docs/interop/vhost-user.rst, "Inflight I/O tracking".

import COFlow

/// All queues' records.
final class InflightArea: Sendable {
  private static let alignment: UInt64 = 64
  private let mapping: GuardedMapping
  private let queueCount: Int
  /// Bytes from one queue's record to the next one's.
  private let stride: UInt64

  /// Maps what a front-end sent (SET_INFLIGHT_FD).
  init(_ description: InflightDescription, file: OwnedDescriptor) throws(VhostUserFault) {
    queueCount = Int(description.queueCount)
    guard queueCount > 0, queueCount <= VhostUserSession.queueLimit,
      description.fileOffset % InflightArea.alignment == 0
    else { throw .inflightAreaWrong }
    // How large a part is follows from the whole, so that it is the same for whoever made it.
    stride = description.byteCount / UInt64(queueCount) & ~(InflightArea.alignment - 1)
    guard stride >= InflightArea.alignment else { throw .inflightAreaWrong }
    mapping = try GuardedMapping(file, offset: description.fileOffset, byteCount: description.byteCount)
  }

  /// A new, empty area (GET_INFLIGHT_FD).
  static func make(
    _ wish: InflightDescription, isPacked: Bool
  ) throws(VhostUserFault) -> (description: InflightDescription, file: OwnedDescriptor) {
    guard (1...UInt16(VhostUserSession.queueLimit)).contains(wish.queueCount), (1...32768).contains(wish.queueSize)
    else { throw .inflightAreaWrong }
    var description = wish
    let part = InflightRecord.byteCount(size: UInt64(wish.queueSize), isPacked: isPacked)
    description.byteCount = UInt64(wish.queueCount) * ((part + alignment - 1) & ~(alignment - 1))
    description.fileOffset = 0
    let file = coflow_memory_file(description.byteCount)
    guard file >= 0 else { throw .regionNotMappable }
    return (description, OwnedDescriptor(file))
  }

  /// A queue's record; nil if there is none for it.
  func record(queue: Int, isPacked: Bool) -> InflightRecord? {
    guard queue < queueCount else { return nil }
    return unsafe InflightRecord(mapping.host + queue * Int(stride), byteCount: stride, isPacked: isPacked)
  }
}
