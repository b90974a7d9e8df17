// io_uring: all reads and writes of a round, and the wait, in one system call.
//
// Reads and writes carry RWF_NOWAIT: they complete inside the call that submits them, with EAGAIN where there is
// nothing to read. So buffers come back at once, and a packet costs a small share of a system call. In flight between
// two calls is only what waits for idle ports: one read each where the port reads by the engine, so that a wake-up
// brings the packet with it, else a poll. (Many reads left in flight are all woken by each packet.)
// Standard: io_uring(7), Linux 6.1 or later.

import COFlow
import CURing
import Glibc
import VSwitchCore

@safe final class URingEngine: IOEngine {
  private static let entries: UInt32 = 1024
  private static let completionBatch = 256

  private let ring: UnsafeMutablePointer<io_uring>
  private let completions: UnsafeMutablePointer<UnsafeMutablePointer<io_uring_cqe>?>
  private let wakeDescriptor: Int32
  private var isWakeArmed = false
  private var isRegistered = false
  /// Where armed reads go; known from the first round on.
  private var pool: PacketPool?

  override var name: String { "io_uring" }

  /// - Parameter wakeDescriptor: an eventfd that ends a wait.
  /// - Returns: nil where the system refuses io_uring.
  init?(wakeDescriptor: Int32) {
    self.wakeDescriptor = wakeDescriptor
    unsafe ring = .allocate(capacity: 1)
    unsafe ring.initialize(to: io_uring())
    unsafe completions = .allocate(capacity: URingEngine.completionBatch)
    super.init()
    let flags = UInt32(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG)
    // The ring belongs to the thread that first enters it; enabled disabled, it is bound by `start`.
    guard unsafe io_uring_queue_init(URingEngine.entries, ring, flags | UInt32(IORING_SETUP_R_DISABLED)) == 0 else {
      unsafe ring.deallocate()
      unsafe completions.deallocate()
      return nil
    }
  }

  /// Binds the ring to the calling thread: the worker's.
  private func register() {
    isRegistered = true
    unsafe _ = coflow_uring_enable(ring.pointee.ring_fd)
    unsafe io_uring_register_ring_fd(ring)
  }

  override func close() {
    unsafe io_uring_queue_exit(ring)
    unsafe ring.deallocate()
    unsafe completions.deallocate()
  }

  @inline(__always)
  private func nextEntry() -> UnsafeMutablePointer<io_uring_sqe>? {
    if let entry = unsafe io_uring_get_sqe(ring) { return unsafe entry }
    if !isRegistered { register() }
    unsafe io_uring_submit(ring)
    return unsafe io_uring_get_sqe(ring)
  }

  override func stageReads(_ port: PortIO, count: Int, _ worker: Worker) {
    let pool = worker.burst.pool
    for _ in 0..<count {
      guard let index = pool.allocate() else { return }
      guard let entry = unsafe nextEntry() else {
        pool.recycle(index)
        return
      }
      let room = unsafe pool.roomWithHeader(index)
      unsafe io_uring_prep_read(entry, port.descriptor, room.baseAddress, UInt32(truncatingIfNeeded: room.count), 0)
      unsafe entry.pointee.rw_flags = __kernel_rwf_t(RWF_NOWAIT)
      unsafe entry.pointee.user_data = IOToken(.read, slot: port.slot, packet: index).bits
    }
  }

  override func stageWrites(_ port: PortIO, count: Int, _ worker: Worker) {
    let burst = worker.burst
    let descriptor = port.descriptor
    let slot = port.slot
    for position in 0..<count {
      let index = unsafe burst.exit[position]
      guard let entry = unsafe nextEntry() else {
        burst.transmitFailed(index, slot: slot, .transmitError)
        continue
      }
      let bytes = unsafe burst.pool.bytesWithHeader(index)
      unsafe io_uring_prep_write(entry, descriptor, bytes.baseAddress, UInt32(truncatingIfNeeded: bytes.count), 0)
      unsafe entry.pointee.rw_flags = __kernel_rwf_t(RWF_NOWAIT)
      unsafe entry.pointee.user_data = IOToken(.write, slot: slot, packet: index).bits
    }
  }

  override func arm(_ port: PortIO) {
    if port.readsByEngine, let pool = pool, let index = pool.allocate() {
      guard let entry = unsafe nextEntry() else {
        pool.recycle(index)
        return
      }
      let room = unsafe pool.roomWithHeader(index)
      unsafe io_uring_prep_read(entry, port.descriptor, room.baseAddress, UInt32(truncatingIfNeeded: room.count), 0)
      unsafe entry.pointee.user_data = IOToken(.armedRead, slot: port.slot, packet: index).bits
      return
    }
    stagePoll(port.descriptor, UInt32(POLLIN), IOToken(.ready, slot: port.slot))
  }

  override func armToSend(_ port: PortIO) {
    stagePoll(port.descriptor, UInt32(POLLOUT), IOToken(.sendReady, slot: port.slot))
  }

  private func stagePoll(_ descriptor: Int32, _ events: UInt32, _ token: IOToken) {
    if !isRegistered { register() }
    guard let entry = unsafe nextEntry() else { return }
    unsafe io_uring_prep_poll_add(entry, descriptor, events)
    unsafe entry.pointee.user_data = token.bits
  }

  override func remove(_ port: PortIO) {
    // What is left waiting would keep the device's file open.
    guard port.descriptor >= 0, let entry = unsafe nextEntry() else { return }
    unsafe io_uring_prep_cancel_fd(entry, port.descriptor, UInt32(IORING_ASYNC_CANCEL_ALL))
    unsafe entry.pointee.user_data = IOToken(.ignore).bits
    if !isRegistered { register() }
    unsafe io_uring_submit_and_get_events(ring)
  }

  override func run(wait: Bool, _ worker: Worker) {
    if !isRegistered { register() }
    if !isWakeArmed {
      isWakeArmed = true
      pool = worker.burst.pool
      stagePoll(wakeDescriptor, UInt32(POLLIN), IOToken(.wake))
    }
    if wait {
      unsafe io_uring_submit_and_wait(ring, 1)
    } else if unsafe io_uring_sq_ready(ring) > 0 {
      unsafe io_uring_submit_and_get_events(ring)
    } else if unsafe ring.pointee.sq.kflags.pointee & UInt32(IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW) != 0 {
      unsafe io_uring_get_events(ring)
    }
    while true {
      let count = unsafe Int(io_uring_peek_batch_cqe(ring, completions, UInt32(URingEngine.completionBatch)))
      if count == 0 { return }
      for i in 0..<count {
        guard let completion = unsafe completions[i] else { continue }
        unsafe handle(IOToken(bits: completion.pointee.user_data), Int(completion.pointee.res), worker)
      }
      unsafe io_uring_cq_advance(ring, UInt32(truncatingIfNeeded: count))
    }
  }

  @inline(__always)
  private func handle(_ token: IOToken, _ result: Int, _ worker: Worker) {
    switch token.operation {
    case IOToken.Operation.read.rawValue: worker.readDone(token.packet, slot: token.slot, result: result)
    case IOToken.Operation.write.rawValue: worker.writeDone(token.packet, slot: token.slot, result: result)
    case IOToken.Operation.armedRead.rawValue:
      if result == -Int(ECANCELED) {
        worker.burst.pool.recycle(token.packet)
      } else {
        worker.isReady(slot: token.slot)
        worker.readDone(token.packet, slot: token.slot, result: result)
      }
    case IOToken.Operation.ready.rawValue: worker.isReady(slot: token.slot)
    case IOToken.Operation.sendReady.rawValue: worker.isReadyToSend(slot: token.slot)
    case IOToken.Operation.wake.rawValue:
      isWakeArmed = false
      worker.isAwake()
    default: break
    }
  }
}
