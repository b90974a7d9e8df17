// The positions of a port's packed rings, in a small file that survives the process: QEMU does not know where a packed ring
// stands when its back-end went away without being asked, and the ring alone does not tell (descriptors of a chain that
// was given back keep looking available).
//
// Thread: control code opens and reads; the worker stores a word around each burst (PackedVring.swift). Memory: a shared
// mapping of the file, which nobody but root can reach. A word: bits 0-15 the position before the latest burst was given
// back, 16-31 after it (equal once that is done), bit 63 set. Beside each word are the ring's address and size and what
// the front-end said of its position, so that the record of one ring is never used for another: a front-end whose back-end
// died says the same again, whatever has passed since.

import COFlow
import Glibc

/// A port's record.
@safe final class VringRecord: Sendable {
  static let queueLimit = 32
  private static let entryByteCount = 64
  static let byteCount = queueLimit * entryByteCount
  /// Set in every word that was written.
  static var valid: UInt64 { 1 << 63 }

  private nonisolated(unsafe) let memory: UnsafeMutableRawPointer

  /// Opens or makes the file; nil if it can't be had (the port works without it).
  init?(path: String) {
    let file = unsafe path.withCString { unsafe coflow_open_record($0, UInt64(VringRecord.byteCount)) }
    guard file >= 0 else { return nil }
    defer { close(file) }
    let mapped = unsafe mmap(nil, VringRecord.byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)
    guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else { return nil }
    unsafe memory = mapped
  }

  deinit { unsafe munmap(memory, VringRecord.byteCount) }

  /// The word that the worker stores to.
  func word(queue: Int) -> UnsafeMutableRawPointer { unsafe memory + queue * VringRecord.entryByteCount }

  /// Ties the word to a ring and sets it.
  /// - Parameter base: what the front-end said.
  func begin(queue: Int, ringAddress: UInt64, size: UInt32, base: UInt32, position: VringPosition) {
    let entry = unsafe word(queue: queue)
    unsafe coflow_store_release_64(entry, 0)
    unsafe coflow_store_64(entry + 8, ringAddress)
    unsafe coflow_store_64(entry + 16, UInt64(size) | UInt64(base) << 32)
    let bits = UInt64(position.packedBits)
    unsafe coflow_store_release_64(entry, VringRecord.valid | bits | bits << 16)
  }

  /// The ring was stopped and the front-end told where it stands: who hands it on says that, too.
  func stop(queue: Int, base: UInt32) {
    let entry = unsafe word(queue: queue)
    guard unsafe coflow_load_64(entry) & VringRecord.valid != 0 else { return }
    let size = unsafe UInt32(truncatingIfNeeded: coflow_load_64(entry + 16))
    unsafe coflow_store_64(entry + 16, UInt64(size) | UInt64(base) << 32)
    let bits = UInt64(base >> 16)
    unsafe coflow_store_release_64(entry, VringRecord.valid | bits | bits << 16)
  }

  /// The ring is no more.
  func forget(queue: Int) { unsafe coflow_store_release_64(word(queue: queue), 0) }

  /// Where the ring at `descriptors` stands although the front-end does not know it.
  /// - Returns: nil if that can't be found out.
  func recover(
    queue: Int, ringAddress: UInt64, size: UInt32, base: UInt32, descriptors: UnsafeMutableRawPointer
  ) -> VringPosition? {
    let entry = unsafe word(queue: queue)
    let bits = unsafe coflow_load_64(entry)
    guard bits & VringRecord.valid != 0, unsafe coflow_load_64(entry + 8) == ringAddress,
      unsafe coflow_load_64(entry + 16) == UInt64(size) | UInt64(base) << 32
    else { return nil }
    let before = VringPosition(packedBits: UInt16(truncatingIfNeeded: bits))
    let after = VringPosition(packedBits: UInt16(truncatingIfNeeded: bits >> 16))
    guard UInt32(before.next) < size, UInt32(after.next) < size else { return nil }
    if before == after { return before }
    // Killed while a burst was given back: the one store that decides has happened, or not. If it has, the driver may have
    // taken the descriptor back and made it available in its next lap, which does not look like this lap's.
    let flags = unsafe coflow_load_acquire_16(descriptors + Int(before.next) * 16 + 14)
    return Vring.isAvailable(flags, wrap: before.wrap) ? before : after
  }

  /// Whether some device has given back a descriptor of this ring: none has in a ring that a driver has just made.
  static func isRingUsed(descriptors: UnsafeMutableRawPointer, size: UInt32) -> Bool {
    for slot in 0..<Int(size) where unsafe coflow_load_16(descriptors + slot * 16 + 14) & PackedFlag.used != 0 {
      return true
    }
    return false
  }
}
