// A port without a device: gives frames that a test or benchmark put in, keeps (or just counts) what is sent.

import VSwitchCore

/// The rx and tx queue of a memory port.
@safe final class MemoryPort: PortIO {
  /// Frames to give, each once, with their metadata.
  var incoming: [(frame: [UInt8], offload: OffloadMetadata)] = []
  /// Frames to give again and again, in turn (benchmarks); not used while empty.
  private var replay: UnsafeMutableRawBufferPointer
  private var replayLength = 0
  private var replayCount = 0
  private var replayNext = 0
  /// Whether sent frames are kept in `outgoing`.
  var keepsFrames = true
  var outgoing: [(frame: [UInt8], offload: OffloadMetadata)] = []

  init(slot: UInt16, capabilities: OffloadCapabilities) {
    unsafe replay = .allocate(byteCount: 0, alignment: 8)
    super.init(slot: slot, descriptor: -1, capabilities: capabilities)
  }

  deinit { unsafe replay.deallocate() }

  /// Has the port give these frames, all of one length, in turn.
  func replay(_ frames: [[UInt8]]) {
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
      for _ in 0..<32 {
        guard let index = pool.allocate(), let source = unsafe replay.baseAddress else { return }
        unsafe pool.frame(index).copyMemory(from: source + replayNext &* replayLength, byteCount: replayLength)
        replayNext = replayNext &+ 1 == replayCount ? 0 : replayNext &+ 1
        pool[index].byteCount = UInt32(truncatingIfNeeded: replayLength)
        worker.burst.received(index, slot: slot)
      }
      readCount = 32
      return
    }
    for (frame, offload) in incoming {
      guard let index = pool.allocate() else { break }
      let room = unsafe pool.room(index)
      for (position, byte) in frame.prefix(room.count).enumerated() { unsafe room[position] = byte }
      pool[index].byteCount = UInt32(min(frame.count, room.count))
      pool[index].offload = offload
      worker.burst.received(index, slot: slot)
      readCount += 1
    }
    incoming.removeAll()
  }

  override func transmit(_ worker: Worker, _ queue: TransmitQueue) {
    let pool = worker.burst.pool
    for position in 0..<queue.count {
      worker.forExit(queue[position], self) { index in
        if keepsFrames { unsafe outgoing.append((Array(pool.bytes(index)), pool[index].offload)) }
        worker.burst.transmitted(index, slot: slot)
      }
    }
    queue.removeFirst(queue.count)
  }
}
