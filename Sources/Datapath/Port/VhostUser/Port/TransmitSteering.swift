// Which of a guest's receive queues a packet takes: a flow keeps to one, so that it stays in order.
// Thread: one worker. Memory: fixed, made by `init`, freed by `deallocate`.

import VSwitchCore

/// Handle of what a flush to several queues needs: copies name the same arrays.
@safe struct TransmitSteering {
  private static var queueLimit: Int { VhostUserSession.queueLimit / 2 }

  private let order: UnsafeMutablePointer<PacketIndex>
  private let choices: UnsafeMutablePointer<UInt8>
  /// Where each queue's packets end in the exit array, and how far they were sent.
  private let ends: UnsafeMutablePointer<Int>
  private let sents: UnsafeMutablePointer<Int>

  init() {
    unsafe order = .allocate(capacity: Burst.exitLimit)
    unsafe choices = .allocate(capacity: Burst.exitLimit)
    unsafe ends = .allocate(capacity: TransmitSteering.queueLimit)
    unsafe sents = .allocate(capacity: TransmitSteering.queueLimit)
    unsafe ends.initialize(repeating: 0, count: TransmitSteering.queueLimit)
    unsafe sents.initialize(repeating: 0, count: TransmitSteering.queueLimit)
  }

  func deallocate() {
    unsafe order.deallocate()
    unsafe choices.deallocate()
    unsafe ends.deallocate()
    unsafe sents.deallocate()
  }

  func end(_ queue: Int) -> Int { unsafe ends[queue] }
  func sent(_ queue: Int) -> Int { unsafe sents[queue] }
  func setSent(_ queue: Int, _ position: Int) { unsafe sents[queue] = position }

  /// Puts the first `count` packets of `burst.exit` into the order of their queues; those of one stay in order.
  func sort(_ burst: Burst, count: Int, queueCount: Int) {
    for queue in 0..<queueCount { unsafe ends[queue] = 0 }
    for position in 0..<count {
      let index = unsafe burst.exit[position]
      let hash = unsafe TransmitSteering.hash(
        UnsafeRawBufferPointer(start: burst.pool.frame(index), count: burst.pool.linearByteCount(index)))
      let choice = Int((UInt64(hash) &* UInt64(queueCount)) &>> 32)
      unsafe choices[position] = UInt8(truncatingIfNeeded: choice)
      unsafe ends[choice] &+= 1
    }
    // Where each queue begins; it moves to where it ends while packets are put there.
    var start = 0
    for queue in 0..<queueCount {
      let own = unsafe ends[queue]
      unsafe ends[queue] = start
      start &+= own
    }
    for position in 0..<count {
      let choice = unsafe Int(choices[position])
      unsafe order[ends[choice]] = burst.exit[position]
      unsafe ends[choice] &+= 1
    }
    unsafe burst.exit.update(from: order, count: count)
  }

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
