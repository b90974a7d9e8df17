// How the worker reads, writes and waits: io_uring where the system lets us, else epoll with plain reads and writes.
//
// Thread: one worker. The engine batches: reads and writes are staged and done by the next `run`, all without
// blocking; only `run(wait: true)` sleeps. Results go to the worker (`readDone`, `writeDone`, `isReady`).

import VSwitchCore

/// Reads, writes and waiting of one worker.
class IOEngine {
  /// The name that status output shows.
  var name: String { "" }

  /// Stages up to `count` reads of one packet each (virtio header and frame).
  func stageReads(_ port: PortIO, count: Int, _ worker: Worker) {}

  /// Stages writes (virtio header and frame) of the first `count` packets of the burst's `exit`; takes over a reference
  /// of each.
  func stageWrites(_ port: PortIO, count: Int, _ worker: Worker) {}

  /// Has the worker told (once) when packets come for `port`; it may be handed the first packet at once.
  func arm(_ port: PortIO) {}

  /// Has the worker told (once) when `port` can send again.
  func armToSend(_ port: PortIO) {}

  /// Forgets a port and its descriptor.
  func remove(_ port: PortIO) {}

  /// Does what is staged and hands results to the worker.
  /// - Parameter wait: sleep until there is a result or a wake-up.
  func run(wait: Bool, _ worker: Worker) {}

  /// Releases everything.
  func close() {}
}

/// A token tells the engine's results apart.
struct IOToken {
  enum Operation: UInt64 {
    case read = 1
    case write = 2
    case ready = 3
    case sendReady = 4
    case wake = 5
    case ignore = 6
    case armedRead = 7
  }
  /// Operation in bits 56 up, slot in bits 32 to 47, packet below.
  let bits: UInt64

  init(bits: UInt64) { self.bits = bits }
  @inline(__always)
  init(_ operation: Operation, slot: UInt16 = 0, packet: PacketIndex = 0) {
    bits = operation.rawValue &<< 56 | UInt64(slot) &<< 32 | UInt64(packet)
  }
  var operation: UInt64 { @inline(__always) get { bits &>> 56 } }
  var slot: UInt16 { @inline(__always) get { UInt16(truncatingIfNeeded: bits &>> 32) } }
  var packet: PacketIndex { @inline(__always) get { PacketIndex(truncatingIfNeeded: bits) } }
}
