// A port made of capture files: the frames of one come in, each once; what is sent is written into another. For
// reproducing a fault, feeding a lab, looking at what a port would get. Frames come as fast as they are forwarded.
//
// Thread: the worker's, which does file I/O here; meant for labs, not beside traffic that must not wait.

import Glibc
import VSwitchCore

/// The rx and tx queue of a pcap port.
@safe final class PcapPort: PortIO {
  /// Most bytes that a written capture may have.
  static let byteLimit = 1 << 30

  private var reader: CaptureReader?
  private var writer: CaptureWriter?

  init(slot: UInt16) {
    // A capture has no offload metadata: segments and checksums are finished before they are written.
    super.init(slot: slot, descriptor: -1, capabilities: [])
  }

  /// Takes frames from a file.
  func read(_ name: String, in directory: CaptureDirectory) throws(ConfigError) {
    reader = try CaptureReader(name, in: directory)
  }

  /// Writes what is sent into a file, in place of one that is there.
  func write(_ name: String, in directory: CaptureDirectory) throws(ConfigError) {
    writer = try CaptureWriter(name, in: directory, byteLimit: PcapPort.byteLimit)
  }

  override func receive(_ worker: Worker) {
    let burst = worker.burst
    for _ in 0..<32 {
      guard reader != nil else { break }
      guard let index = burst.pool.allocate() else { return }
      guard let byteCount = unsafe reader?.next(into: burst.pool.room(index)) else {
        burst.pool.recycle(index)
        reader = nil
        break
      }
      burst.pool[index].byteCount = UInt32(truncatingIfNeeded: byteCount)
      burst.received(index, slot: slot)
    }
    // Nothing more will come: don't ask again.
    if reader == nil { worker.retireLater(self) }
  }

  override func transmit(_ worker: Worker, _ queue: TransmitQueue) {
    let burst = worker.burst
    let count = burst.takeExit(queue, slot: slot, capabilities: capabilities)
    for position in 0..<count {
      let index = unsafe burst.exit[position]
      let bytes = unsafe UnsafeRawBufferPointer(burst.pool.bytes(index))
      if unsafe writer?.write(bytes, timestampNanoseconds: realTimeNanoseconds()) == true {
        burst.transmitted(index, slot: slot)
      } else {
        burst.transmitFailed(index, slot: slot, .transmitError)
      }
    }
    _ = writer?.flush()
  }

  override func close() {
    reader = nil
    writer = nil
  }
}

/// Nanoseconds since 1970, for the times in a capture.
private func realTimeNanoseconds() -> UInt64 {
  var now = timespec()
  unsafe clock_gettime(CLOCK_REALTIME, &now)
  return UInt64(now.tv_sec) &* 1_000_000_000 &+ UInt64(now.tv_nsec)
}
