// Memory for what is as large as it may ever get, mapped at once: zero until it is written, resident only where it has been, and
// beginning a page. Who maps it unmaps it.

import Glibc

enum LazyPages {
  /// - Returns: so many bytes, all zero; nil if the process may not have them.
  static func map(byteCount: Int) -> UnsafeMutableRawPointer? {
    let mapped = unsafe mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    return unsafe mapped == MAP_FAILED ? nil : mapped
  }

  /// - Parameters:
  ///   - memory: as `map` gave it.
  ///   - byteCount: as it was mapped with.
  static func unmap(_ memory: UnsafeMutableRawPointer, byteCount: Int) { unsafe munmap(memory, byteCount) }
}
