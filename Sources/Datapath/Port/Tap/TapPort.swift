// A tap device: what the kernel's stack (or a QEMU with a tap) sends comes in as reads, what is written reaches it.
// Reads and writes go through the worker's engine, with a virtio header, so that 64 KB segments cross whole.
// Standard: Documentation/networking/tuntap.rst.

import Glibc
import VSwitchCore

/// The rx and tx queue of a tap.
final class TapPort: PortIO {
  override func receive(_ worker: Worker) { worker.engine.stageReads(self, count: readTarget, worker) }

  override func transmit(_ worker: Worker, _ queue: TransmitQueue) {
    // A write that has to wait comes back to the queue.
    let count = worker.burst.takeExit(queue, slot: slot, capabilities: capabilities)
    worker.engine.stageWrites(self, count: count, worker)
  }

  override func close() { _ = Glibc.close(descriptor) }
}
