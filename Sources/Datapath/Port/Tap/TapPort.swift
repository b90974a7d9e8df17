// A tap device: what the kernel's stack (or a QEMU with a tap) sends comes in as reads, what is written reaches it,
// with a virtio header, so that 64 KB segments cross whole.
//
// Many packets go through the worker's engine, in one system call; a few are read and written directly: in io_uring a
// read that finds nothing costs a microsecond (measured: five times a read(2) that finds nothing).
// Standard: Documentation/networking/tuntap.rst.

import COFlow
import Glibc
import VSwitchCore

/// The rx and tx queue of a tap.
final class TapPort: PortIO {
  override var readsByEngine: Bool { true }

  override func receive(_ worker: Worker) {
    guard readTarget <= PortIO.fewPackets else {
      worker.engine.stageReads(self, count: readTarget, worker)
      return
    }
    let pool = worker.burst.pool
    for _ in 0..<readTarget {
      guard let index = pool.allocate() else { return }
      let room = unsafe pool.roomWithHeader(index)
      let result = unsafe coflow_read(descriptor, room.baseAddress, UInt(room.count))
      worker.readDone(index, slot: slot, result: result)
      if result < 0 { return }
    }
  }

  override func transmit(_ worker: Worker, _ queue: TransmitQueue) {
    // A write that has to wait comes back to the queue.
    let count = worker.burst.takeExit(queue, slot: slot, capabilities: capabilities)
    guard count <= PortIO.fewPackets else {
      worker.engine.stageWrites(self, count: count, worker)
      return
    }
    for position in 0..<count {
      let index = unsafe worker.burst.exit[position]
      let bytes = unsafe worker.burst.pool.bytesWithHeader(index)
      let result = unsafe coflow_write(descriptor, bytes.baseAddress, UInt(bytes.count))
      worker.writeDone(index, slot: slot, result: result)
    }
  }

  override func close() { _ = Glibc.close(descriptor) }
}
