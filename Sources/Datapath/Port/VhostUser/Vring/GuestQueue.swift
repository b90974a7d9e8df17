// One virtqueue on its way between control code and worker, with everything that has to live as long as the worker uses it:
// the mapped memory, the log, the event descriptors.
//
// Thread: made by control code, used by one worker from `attach` until `detach` has returned, then control code's again.

import VSwitchCore

/// A virtqueue and what it needs.
@safe final class GuestQueue: @unchecked Sendable {
  /// Number in the protocol: even ones are the guest's receive queues, odd ones its transmit queues.
  let index: Int
  let vring: Vring
  let headerByteCount: Int
  let hasMergeableBuffers: Bool
  /// What the guest takes as it is.
  let capabilities: OffloadCapabilities
  let memory: GuestMemory
  let log: DirtyLog?
  let record: VringRecord?
  let inflight: InflightArea?
  let iotlb: IOTLB?
  /// The front-end has disabled the queue while it runs: what the guest sends is taken and thrown away.
  let isDiscarding: Bool
  /// The guest's kicks; nil: it never kicks and has to be polled.
  let kick: OwnedDescriptor?
  // What changes is the worker's alone, and no access lasts beyond a statement: not checked at run time.
  /// How the guest is told of descriptors given back; nil: it polls.
  @safe @exclusivity(unchecked) var call: OwnedDescriptor?
  /// How the front-end is told of a broken rule.
  @safe @exclusivity(unchecked) var error: OwnedDescriptor?
  /// Worker: the fault was reported.
  @safe @exclusivity(unchecked) var isFaultReported = false
  /// Worker: the chains of the burst under way; a guest's transmit queue has its own.
  let batch: ChainBatch?
  /// Worker: chains of `batch` that are given back at the end of the round, and the packets that use them still.
  @safe @exclusivity(unchecked) var lentCount = 0
  let lent: UnsafeMutablePointer<PacketIndex>

  init(
    index: Int, vring: Vring, features: VirtioFeatures, memory: GuestMemory, log: DirtyLog?, record: VringRecord?,
    inflight: InflightArea?, iotlb: IOTLB?, isDiscarding: Bool, kick: OwnedDescriptor?, call: OwnedDescriptor?,
    error: OwnedDescriptor?
  ) {
    self.index = index
    self.vring = vring
    headerByteCount = features.headerByteCount
    hasMergeableBuffers = features.contains(.mergeableBuffers)
    capabilities = features.receiverCapabilities
    self.memory = memory
    self.log = log
    self.record = record
    self.inflight = inflight
    self.iotlb = iotlb
    self.isDiscarding = isDiscarding
    self.kick = kick
    self.call = call
    self.error = error
    batch = index & 1 == 1 ? ChainBatch() : nil
    unsafe lent = .allocate(capacity: index & 1 == 1 ? ChainBatch.chainLimit : 0)
  }

  deinit {
    vring.deallocate()
    batch?.deallocate()
    unsafe lent.deallocate()
  }

  var isGuestReceive: Bool { index & 1 == 0 }
}
