// Which of a guest's receive queues a packet takes: a flow keeps to one, so that it stays in order. Pure.

import VSwitchCore

enum TransmitSteering {
  /// A number that all packets of a flow share, from the addresses and, for TCP and UDP, the ports.
  static func hash(_ frame: UnsafeRawBufferPointer) -> UInt32 {
    func load<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type, _ offset: Int) -> T {
      offset >= 0 && offset &+ MemoryLayout<T>.size <= frame.count
        ? unsafe frame.loadUnaligned(fromByteOffset: offset, as: T.self) : 0
    }
    var hash: UInt64 = 0
    func mix(_ value: UInt64) {
      hash = (hash ^ value) &* 0x9e37_79b9_7f4a_7c15
      hash ^= hash &>> 32
    }
    var offset = 12
    var type = UInt16(bigEndian: load(UInt16.self, offset))
    for _ in 0..<2 where type == 0x8100 || type == 0x88a8 {
      offset &+= 4
      type = UInt16(bigEndian: load(UInt16.self, offset))
    }
    offset &+= 2
    switch type {
    case 0x0800:
      mix(load(UInt64.self, offset &+ 12))
      let `protocol` = load(UInt8.self, offset &+ 9)
      // Only the first fragment has ports.
      let isFragment = UInt16(bigEndian: load(UInt16.self, offset &+ 6)) & 0x3fff != 0
      if `protocol` == 6 || `protocol` == 17, !isFragment {
        mix(UInt64(load(UInt32.self, offset &+ Int(load(UInt8.self, offset) & 15) &* 4)))
      }
    case 0x86dd:
      for word in 0..<4 { mix(load(UInt64.self, offset &+ 8 &+ word &* 8)) }
      let next = load(UInt8.self, offset &+ 6)
      if next == 6 || next == 17 { mix(UInt64(load(UInt32.self, offset &+ 40))) }
    default:
      mix(load(UInt64.self, 0))
      mix(UInt64(load(UInt32.self, 8)))
    }
    return UInt32(truncatingIfNeeded: hash &>> 32)
  }
}
