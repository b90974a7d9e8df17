// A guest's memory as tests and benchmarks make it: a file in memory, mapped, from which rings and buffers are cut.
// Thread: any one at a time. Memory: its own.

import CTestSupport
import Glibc

/// Memory with addresses as a guest has them.
@safe package final class GuestRAM {
  /// The file, to be sent to a back-end.
  package let descriptor: Int32
  package let byteCount: Int
  /// Guest-physical address of the first byte.
  package let base: UInt64
  /// Address of the first byte in the front-end's own address space, as it tells it; made up.
  package let userBase: UInt64
  package let host: UnsafeMutableRawPointer
  private var next = 0

  package init(byteCount: Int, base: UInt64 = 0x1_0000_0000, userBase: UInt64 = 0x7f00_0000_0000) {
    descriptor = unsafe ctest_memory_file("guest")
    ftruncate(descriptor, byteCount)
    let mapped = unsafe mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
    unsafe host = mapped ?? UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 4096)
    self.byteCount = byteCount
    self.base = base
    self.userBase = userBase
  }

  deinit {
    unsafe munmap(host, byteCount)
    close(descriptor)
  }

  /// Cuts a piece off.
  /// - Returns: its guest address; 0 when there is no more.
  package func allocate(_ count: Int, alignment: Int = 64) -> UInt64 {
    let start = (next + alignment - 1) / alignment * alignment
    guard start + count <= byteCount else { return 0 }
    next = start + count
    return base + UInt64(start)
  }

  package func pointer(_ address: UInt64) -> UnsafeMutableRawPointer { unsafe host + Int(address &- base) }
  package func userAddress(_ address: UInt64) -> UInt64 { address &- base &+ userBase }

  package func write(_ bytes: [UInt8], at address: UInt64) {
    unsafe bytes.withUnsafeBytes { source in
      if let start = source.baseAddress { unsafe pointer(address).copyMemory(from: start, byteCount: source.count) }
    }
  }

  package func read(_ address: UInt64, _ count: Int) -> [UInt8] {
    unsafe Array(UnsafeRawBufferPointer(start: pointer(address), count: count))
  }
}
