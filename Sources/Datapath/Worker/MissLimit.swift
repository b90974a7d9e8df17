// How much of a worker's time a port may take for packets that no cached decision is known for: each costs as much as some
// forty others. A port that brings many is asked for fewer packets as long as another one has all that it may be asked for; what
// it brings more waits in its own device. Alone it is asked for as much as ever. Thread: the worker's.

import VSwitchCore

enum MissLimit {
  /// Misses of a port in a round, as many as its packets allow.
  static var missesPerRound: Int { 1 }

  /// Most packets to ask a port for, at least 1.
  /// - Parameters:
  ///   - got: packets that it brought in a round, at least 1.
  ///   - misses: translations that they needed.
  static func packets(got: Int, misses: Int) -> Int {
    // By the share of misses, so that the answer is the same whatever was asked for last.
    guard misses &* Worker.burstLimit > missesPerRound &* got else { return Worker.burstLimit }
    return max(missesPerRound &* got / misses, 1)
  }
}

extension Burst {
  /// Notes that a packet has needed a translation, for the device's port that it came in by.
  @inline(__always)
  func noteMiss(_ index: PacketIndex) {
    let slot = pool[index].patchHops == 0 ? pool[index].inPort : pool[index].device
    unsafe flows.misses[Int(slot)] &+= 1
    unsafe state.pointee.hasMissed = true
  }

  /// Packets that a port has brought in this round, and translations that they needed, which are forgotten.
  func takeMisses(slot: UInt16) -> (got: Int, misses: Int) {
    let misses = unsafe Int(flows.misses[Int(slot)])
    unsafe flows.misses[Int(slot)] = 0
    return unsafe (receivedCounts[Int(slot)], misses)
  }
}
