// What the worker knows of a port: something that gives packets when it is ready and takes packets at a flush.
//
// Thread: made by control code, then used by one worker only, until control code has taken it from the worker.
// Calls are per burst, not per packet.

/// One rx queue and tx queue of a port, as the worker drives them. Subclasses: one a folder.
class PortIO {
  /// Up to so many packets a round it is not worth to gather calls.
  static let fewPackets = 4

  /// Index into the worker's arrays and the forwarding tables.
  let slot: UInt16
  /// Descriptor to wait on for packets; -1 if there is nothing to wait for.
  let descriptor: Int32
  /// Packets are read by the worker's engine (virtio header and frame), not by the port itself.
  var readsByEngine: Bool { false }
  /// A look for packets costs no system call: a spinning worker never stops looking.
  var isAskedWithoutSystemCall: Bool { false }
  /// What may be sent as it is.
  let capabilities: OffloadCapabilities

  // MARK: the worker's notes (its thread alone; see Worker)

  /// The worker asks for packets each round; otherwise it waits for the descriptor.
  @safe @exclusivity(unchecked) final var isHot = false
  /// The engine has been asked to tell when packets come.
  @safe @exclusivity(unchecked) final var isArmed = false
  /// The engine has been asked to tell when packets can be sent.
  @safe @exclusivity(unchecked) final var isWaitingToSend = false
  /// Nothing will come any more (a file was read to its end).
  @safe @exclusivity(unchecked) final var isAtEnd = false
  /// Rounds in a row without a packet.
  @safe @exclusivity(unchecked) final var emptyRounds = 0
  /// Packets to ask for in a round: follows what came.
  @safe @exclusivity(unchecked) final var readTarget = PortIO.fewPackets

  init(slot: UInt16, descriptor: Int32, capabilities: OffloadCapabilities) {
    self.slot = slot
    self.descriptor = descriptor
    self.capabilities = capabilities
  }

  /// Most packets to take in a round (MissLimit.swift).
  @safe @exclusivity(unchecked) final var burstLimit = Worker.burstLimit

  /// Takes what has come, at most `readTarget` packets: calls `worker.receive…`, or has the engine do it later.
  func receive(_ worker: Worker) {}

  /// Sends what is in `queue`: each packet taken from it ends in `transmitted` or `transmitFailed`. What stays is
  /// offered again when the descriptor is writable (set `isWaitingToSend` by `worker.waitToSend`).
  func transmit(_ worker: Worker, _ queue: TransmitQueue) {}

  /// What came by `receive` has been forwarded: gives back what was lent for it. Called if the port has asked for it
  /// by `worker.finishLater`.
  func finishBurst(_ worker: Worker) {}

  /// The worker is about to wait for the descriptor instead of asking each round.
  /// - Returns: false if something has come meanwhile for which the descriptor may not become readable.
  func prepareToWait(_ worker: Worker) -> Bool { true }

  /// Releases descriptors and memory; the worker no longer knows the port.
  func close() {}
}
