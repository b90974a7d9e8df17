// Memory of the tables, from malloc(3) and ended by free(3). The one place where it may be out: that ends the process, as it
// does everywhere in Swift. So what makes tables grow asks first whether there is enough left (`MemoryHeadroom`).

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

/// Asks now and then whether memory for some more growth could be had, so that what wants to grow is refused before an allocation
/// fails. What it sees are the limits of the process's address space and of the system's commitments (setrlimit(2),
/// vm.overcommit_memory), and whatever `mayTake` knows of.
struct MemoryHeadroom {
  /// Growths between two questions.
  static let interval = 1024
  /// Whether so many bytes could be had; another answer for tests.
  var isAvailable: (Int) -> Bool = MemoryHeadroom.canMap
  /// Whether a limit that is no fault of an allocation, but ends the process, leaves so many bytes.
  var mayTake: (Int) -> Bool = { _ in true }
  private var left = 0

  init() {}

  /// Whether one more rule may be added, or as much else.
  /// - Parameters:
  ///   - ruleCount: rules that there are: arrays that hold them may have to double.
  ///   - growth: how many rules what is to be added is as large as.
  mutating func mayGrow(ruleCount: Int, by growth: Int = 1) -> Bool {
    if left >= growth {
      left -= growth
      return true
    }
    let byteCount = 16 << 20 + 256 * (ruleCount + growth)
    guard isAvailable(byteCount), mayTake(byteCount) else { return false }
    left = MemoryHeadroom.interval
    return true
  }

  private static func canMap(_ byteCount: Int) -> Bool {
    let memory = unsafe mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let memory = unsafe memory, unsafe memory != MAP_FAILED else { return false }
    unsafe munmap(memory, byteCount)
    return true
  }
}
