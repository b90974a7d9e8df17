// A port without a device: gives frames that a test or benchmark put in, keeps (or just counts) what is sent.

import VSwitchCore

/// The rx and tx queue of a memory port.
@safe final class MemoryPort: PortIO {
  /// Frames to give, each once, with their metadata.
  var incoming: [(frame: [UInt8], offload: OffloadMetadata)] = []
  /// Frames to give again and again, in turn (benchmarks); not used while empty.
  @exclusivity(unchecked) private var replay: UnsafeMutableRawBufferPointer
  @safe @exclusivity(unchecked) private var replayLength = 0
  @safe @exclusivity(unchecked) private var replayCount = 0
  @safe @exclusivity(unchecked) private var replayNext = 0
  @safe @exclusivity(unchecked) private var replayOffload = OffloadMetadata()
  @safe @exclusivity(unchecked) private var replayBurstCount = 0
  /// Whether sent frames are kept in `outgoing`.
  var keepsFrames = true
  var outgoing: [(frame: [UInt8], offload: OffloadMetadata)] = []

  override var isAskedWithoutSystemCall: Bool { true }

  init(slot: UInt16, capabilities: OffloadCapabilities) {
    unsafe replay = .allocate(byteCount: 0, alignment: 8)
    super.init(slot: slot, descriptor: -1, capabilities: capabilities)
  }

  deinit { unsafe replay.deallocate() }

  /// Has the port give these frames, all of one length and with the same metadata, in turn, `burst` a round. Only the
  /// first 128 bytes are put into the packets: what lies behind costs nothing here and is whatever the buffer had.
  func replay(_ frames: [[UInt8]], offload: OffloadMetadata, burst: Int) {
    replayOffload = offload
    replayBurstCount = burst
    unsafe replay.deallocate()
    replayLength = frames.first?.count ?? 0
    replayCount = frames.count
    unsafe replay = .allocate(byteCount: replayLength * replayCount, alignment: 64)
    for (number, frame) in frames.enumerated() {
      for (position, byte) in frame.prefix(replayLength).enumerated() {
        unsafe replay[number * replayLength + position] = byte
      }
    }
    replayNext = 0
  }

  override func receive(_ worker: Worker) {
    let pool = worker.burst.pool
    if replayCount > 0 {
      replayBurst(worker.burst)
      return
    }
    for (frame, offload) in incoming {
      guard let index = pool.allocate() else { break }
      let room = unsafe pool.room(index)
      for (position, byte) in frame.prefix(room.count).enumerated() { unsafe room[position] = byte }
      pool[index].byteCount = UInt32(min(frame.count, room.count))
      pool[index].offload = offload
      worker.burst.received(index, slot: slot)
    }
    incoming.removeAll()
  }

  private func replayBurst(_ burst: Burst) {
    let frames = unsafe replay
    let length = replayLength
    let count = replayCount
    var next = replayNext
    let copied = min(length, 128)
    let offload = replayOffload
    let wanted = min(replayBurstCount, burstLimit)
    for _ in 0..<wanted {
      guard let index = burst.pool.allocate(), let source = frames.baseAddress else { break }
      unsafe burst.pool.frame(index).copyMemory(from: source + next &* length, byteCount: copied)
      next = next &+ 1 == count ? 0 : next &+ 1
      burst.pool[index].byteCount = UInt32(truncatingIfNeeded: length)
      burst.pool[index].offload = offload
      burst.received(index, slot: slot)
    }
    replayNext = next
  }

  override func transmit(_ worker: Worker, _ queue: TransmitQueue) {
    let burst = worker.burst
    let slot = slot
    let count = burst.takeExit(queue, slot: slot, capabilities: capabilities)
    if keepsFrames {
      for position in 0..<count {
        let index = unsafe burst.exit[position]
        unsafe outgoing.append((Array(burst.pool.bytes(index)), burst.pool[index].offload))
      }
    }
    for position in 0..<count { burst.transmitted(unsafe burst.exit[position], slot: slot) }
  }
}
