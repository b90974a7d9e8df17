// Memory that starts as zeros. Pages that are never touched cost nothing, so a big limit is cheap until it is used.

import Glibc

/// Memory for `count` values whose zero bytes are a value; ended by `free`. Out of memory ends the process, as
/// everywhere in Swift.
func zeroedMemory<T: ~Copyable>(_ count: Int) -> UnsafeMutablePointer<T> {
  guard let memory = unsafe calloc(max(count, 1), MemoryLayout<T>.stride) else { fatalError("out of memory") }
  return unsafe memory.assumingMemoryBound(to: T.self)
}
