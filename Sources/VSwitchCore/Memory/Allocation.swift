// Memory of the tables, from malloc(3) and ended by free(3). The one place where it may be out: that ends the process, as it
// does everywhere in Swift.

import Glibc

/// A block of so many bytes, not initialized; ended by `free`.
func memoryBlock(byteCount: Int) -> UnsafeMutableRawPointer {
  guard let memory = unsafe malloc(byteCount) else { fatalError("out of memory") }
  return unsafe memory
}

/// Memory for `count` values whose zero bytes are a value; ended by `free`. Pages that are never touched cost nothing, so a
/// big limit is cheap until it is used.
func zeroedMemory<T: ~Copyable>(_ count: Int) -> UnsafeMutablePointer<T> {
  guard let memory = unsafe calloc(max(count, 1), MemoryLayout<T>.stride) else { fatalError("out of memory") }
  return unsafe memory.assumingMemoryBound(to: T.self)
}
