// One worker: receives, forwards and sends for its ports, round after round, and sleeps when there is nothing to do.
//
// A round: run the engine (reads of this round and writes of the last in one system call) → process what came →
// transmit queues. A port that gave packets is asked again in the next round; after some empty rounds it is waited for
// instead, also while others are asked. A spinning worker waits like that, too, for devices, which cost a system call to
// ask, if it has guests beside them: the engine's look at what has come costs none. Thread: everything here is called on the
// worker's own thread (or, in tests and benchmarks, on the one thread that steps it); control code talks to it through
// `Mailbox`. Memory: owns burst, pool, engine.

import Glibc
import Synchronization
import VSwitchCore

/// One datapath worker.
@safe final class Worker {
  /// Empty rounds after which a port is waited for instead of asked.
  static let spinRounds = 24
  /// Most packets asked of a port in a round.
  static let burstLimit = 64

  let burst: Burst
  let engine: IOEngine
  let mailbox: Mailbox
  /// Seconds, monotonic.
  private let clock: () -> UInt32
  // One thread alone uses these, and no access to them lasts beyond a statement: checks of that at run time, some twenty
  // a round, would cost as much as a tenth of the packets' own work.
  @safe @exclusivity(unchecked) private var ports: [PortIO?]
  @safe @exclusivity(unchecked) private var hot: [PortIO] = []
  /// Ports that are not hot and not yet armed.
  @safe @exclusivity(unchecked) private var unarmed: [PortIO] = []
  /// Ports that wait for `finishBurst` in this round.
  @safe @exclusivity(unchecked) private var finishing: [PortIO] = []
  /// What this round's packets were forwarded by; not kept over a quiescent point.
  @exclusivity(unchecked) private var usedForwarding: UnsafePointer<Forwarding>?
  /// Packets asked of a port that last had none: a spinning worker asks for one, to send it before it looks for the next.
  private var leastReadTarget: Int { busyPoll ? 1 : PortIO.fewPackets }
  /// Never sleeps.
  @safe @exclusivity(unchecked) var busyPoll = false { didSet { if busyPoll { heatAll() } } }
  @safe @exclusivity(unchecked) private var isStopping = false
  /// Ports that are asked without a system call.
  @safe @exclusivity(unchecked) private var memoryPortCount = 0

  /// - Parameters:
  ///   - packetCount: size of the packet pool.
  ///   - clock: seconds, monotonic; called once a round.
  ///   - random: where the keys of the connection tracker are from.
  init(
    engine: IOEngine, mailbox: Mailbox, packetCount: Int, clock: @escaping () -> UInt32,
    random: inout some RandomNumberGenerator
  ) throws(ConfigError) {
    let tracker = try ConnectionTracker(
      hashKey: SipHash.Key(low: random.next(), high: random.next()),
      choiceKey: SipHash.Key(low: random.next(), high: random.next()))
    do throws(ConfigError) { burst = try Burst(pool: PacketPool(count: packetCount), tracker: tracker) } catch {
      tracker.deallocate()
      throw error
    }
    self.engine = engine
    self.mailbox = mailbox
    self.clock = clock
    ports = Array(repeating: nil, count: Burst.portLimit)
  }

  deinit { burst.deallocate() }

  /// Seconds, monotonic: the time of this round.
  var now: UInt32 { clock() }

  // MARK: rounds

  /// Rounds until `stop`.
  func loop() {
    while !isStopping { round(maySleep: true) }
    flushAll()
    for port in ports.compactMap({ $0 }) { port.close() }
    engine.close()
  }

  func stop() { isStopping = true }

  /// One round.
  func round(maySleep: Bool) {
    if mailbox.hasMail {
      // Commands see no packet half-way, so that counters add up.
      flushAll()
      mailbox.deliver(to: self)
      if isStopping { return }
    }
    unsafe usedForwarding = nil
    mailbox.quiescent()
    for port in hot {
      port.receive(self)
      // A spinning worker sends what came before it asks the next port: each empty read would add to the latency.
      if busyPoll, unsafe burst.state.pointee.pendingCount > 0 { forwardAtOnce() }
    }
    // A queue that the system had no room for (ENOBUFS) is tried again at once.
    let hasQueued = unsafe burst.state.pointee.dirtyCount > 0
    if !unarmed.isEmpty { armAll() }
    if hot.isEmpty, !hasQueued, maySleep, !busyPoll {
      mailbox.willSleep()
      engine.run(wait: !mailbox.hasMail, self)
      mailbox.didWake()
    } else {
      engine.run(wait: false, self)
    }
    forwardAtOnce()
    if !hot.isEmpty { cool() }
  }

  private func armAll() {
    for port in unarmed where !port.isHot && !port.isArmed && port.descriptor >= 0 {
      port.isArmed = true
      engine.arm(port)
    }
    unarmed.removeAll(keepingCapacity: true)
  }

  /// Forwards what is pending and flushes the queues that have got something.
  private func forwardAtOnce() {
    unsafe burst.state.pointee.now = clock()
    unsafe burst.state.pointee.nanoseconds = 0
    processPending()
    transmitDirty()
    if !finishing.isEmpty {
      for port in finishing { port.finishBurst(self) }
      finishing.removeAll(keepingCapacity: true)
    }
  }

  /// Has `port.finishBurst` called once what it received has been forwarded.
  func finishLater(_ port: PortIO) { finishing.append(port) }

  func processPending() {
    if let forwarding = unsafe mailbox.forwarding {
      // Published since the last burst of this round, whose packets count for rules of the ones before.
      if let before = unsafe usedForwarding, unsafe before != forwarding { countRules() }
      unsafe usedForwarding = forwarding
      unsafe burst.processPending(forwarding.pointee)
      return
    }
    for i in 0..<(unsafe burst.state.pointee.pendingCount) { burst.drop(unsafe burst.pending[i], .noOutput) }
    unsafe burst.state.pointee.pendingCount = 0
  }

  /// Counts what came in, for rules that have not counted it packet by packet.
  private func countRules() {
    guard let forwarding = unsafe usedForwarding else { return }
    for port in hot { unsafe burst.countNormal(port.slot, forwarding.pointee) }
  }

  func transmitDirty() {
    let count = unsafe burst.state.pointee.dirtyCount
    unsafe burst.state.pointee.dirtyCount = 0
    for i in 0..<count {
      let slot = unsafe burst.dirty[i]
      unsafe burst.isDirty[Int(slot)] = false
      guard let queue = unsafe burst.queues[Int(slot)] else { continue }
      if let port = ports[Int(slot)] {
        if !port.isWaitingToSend { port.transmit(self, queue) }
      } else {
        for position in 0..<queue.count { burst.transmitFailed(queue[position], slot: slot, .transmitLinkDown) }
        queue.removeFirst(queue.count)
      }
    }
  }

  /// Until nothing is staged or pending but what waits for a slow receiver.
  private func flushAll() {
    for _ in 0..<4 {
      engine.run(wait: false, self)
      processPending()
      transmitDirty()
    }
    engine.run(wait: false, self)
    countRules()
  }

  /// Adapts how much is asked of each hot port, and lets those go that have nothing.
  private func cool() {
    // One flag a round: most have no misses.
    if unsafe burst.state.pointee.hasMissed { coolByMisses() } else { coolAll() }
  }

  /// The same, where packets have needed translations: ports that take others' time are asked for fewer.
  @inline(never)
  private func coolByMisses() {
    func isFull(_ port: PortIO) -> Bool { port.emptyRounds == 0 && port.readTarget == Worker.burstLimit }
    let fullCount = hot.count(where: isFull)
    var isLimited = false
    for port in hot {
      let isAlone = fullCount == (isFull(port) ? 1 : 0)
      let (got, misses) = burst.takeMisses(slot: port.slot)
      // A round without packets says nothing of those to come.
      if got > 0 { port.burstLimit = isAlone ? Worker.burstLimit : MissLimit.packets(got: got, misses: misses) }
      if port.burstLimit < Worker.burstLimit { isLimited = true }
    }
    coolAll()
    for port in hot { port.readTarget = min(port.readTarget, port.burstLimit) }
    unsafe burst.state.pointee.hasMissed = isLimited
  }

  @inline(__always)
  private func coolAll() {
    var position = 0
    while position < hot.count {
      let port = hot[position]
      let got = unsafe burst.receivedCounts[Int(port.slot)]
      unsafe burst.receivedCounts[Int(port.slot)] = 0
      if got > 0 {
        if let forwarding = unsafe usedForwarding { unsafe burst.countNormal(port.slot, forwarding.pointee) }
        port.emptyRounds = 0
        let isFull = got >= port.readTarget
        port.readTarget = isFull ? min(got &+ max(got &>> 1, 1), Worker.burstLimit) : max(got, leastReadTarget)
      } else {
        port.emptyRounds &+= 1
        port.readTarget = leastReadTarget
        let isCold =
          port.descriptor < 0
          ? port.isAtEnd : port.emptyRounds > Worker.spinRounds && !(busyPoll && isSpunOn(port))
        if isCold, port.prepareToWait(self) {
          port.isHot = false
          hot.swapAt(position, hot.count - 1)
          hot.removeLast()
          unarmed.append(port)
          continue
        }
      }
      position &+= 1
    }
  }

  /// A spinning worker looks at a device all the time, for its latency, unless that would slow down guests.
  private func isSpunOn(_ port: PortIO) -> Bool { port.isAskedWithoutSystemCall || memoryPortCount == 0 }

  private func heat(_ port: PortIO) {
    guard !port.isHot else { return }
    port.isHot = true
    port.emptyRounds = 0
    port.readTarget = leastReadTarget
    hot.append(port)
  }

  private func heatAll() { for port in ports.compactMap({ $0 }) { heat(port) } }

  // MARK: results of the engine and of ports

  /// A read of virtio header and frame has ended.
  @inline(__always)
  func readDone(_ index: PacketIndex, slot: UInt16, result: Int) {
    if result > 0, burst.pool.accept(index, byteCount: result) {
      burst.received(index, slot: slot)
    } else {
      burst.pool.recycle(index)
      if result != -Int(EAGAIN) { readFailed(slot: slot, result: result) }
    }
  }

  /// A read failed for another reason than that nothing had come.
  @inline(never)
  func readFailed(slot: UInt16, result: Int) {
    unsafe burst.counters[Int(slot)].receiveErrors &+= 1
    // A device that is gone answers every read with an error at once: don't ask it again. (A packet socket says ENETDOWN
    // once when its link goes down, or is down when it is opened, and packets come again when the link is up.)
    if result == -Int(EBADFD) || result == -Int(EBADF) || result == -Int(ENODEV) {
      retire(slot: slot)
    }
  }

  /// No longer asks or waits for a port's packets: its device is gone; control code replaces the port.
  func retire(slot: UInt16) {
    guard let port = ports[Int(slot)] else { return }
    port.isHot = false
    port.isArmed = true
    hot.removeAll { $0 === port }
    unarmed.removeAll { $0 === port }
  }

  /// Stops asking a port that has come to its end, from its own `receive`.
  func retireLater(_ port: PortIO) { port.isAtEnd = true }

  /// A write of virtio header and frame has ended.
  @inline(__always)
  func writeDone(_ index: PacketIndex, slot: UInt16, result: Int) {
    if result > 0 { burst.transmitted(index, slot: slot) } else { writeFailed(index, slot: slot, result: result) }
  }

  @inline(never)
  private func writeFailed(_ index: PacketIndex, slot: UInt16, result: Int) {
    if result == -Int(EAGAIN), let port = ports[Int(slot)], let queue = unsafe burst.queues[Int(slot)] {
      // The receiver is slow: keep the packet and go on when there is room.
      guard queue.append(index) else {
        burst.transmitFailed(index, slot: slot, .transmitQueueFull)
        return
      }
      waitToSend(port)
      return
    }
    burst.transmitFailed(index, slot: slot, DropReason(transmitErrno: -result))
  }

  /// Leaves a port's queue alone until its descriptor can be written to.
  func waitToSend(_ port: PortIO) {
    guard !port.isWaitingToSend else { return }
    port.isWaitingToSend = true
    engine.armToSend(port)
  }

  /// Has a port asked each round for a while, for another reason than its descriptor.
  func wake(_ port: PortIO) { heat(port) }

  /// The same for a port that may not have been added yet, or is gone.
  func wakeIfOpen(_ port: PortIO) { if ports[Int(port.slot)] === port { heat(port) } }

  /// Packets have come for an armed port.
  @inline(never)
  func isReady(slot: UInt16) {
    guard let port = ports[Int(slot)] else { return }
    port.isArmed = false
    heat(port)
  }

  /// A port that could not send can again.
  @inline(never)
  func isReadyToSend(slot: UInt16) {
    guard let port = ports[Int(slot)] else { return }
    port.isWaitingToSend = false
    burst.markDirty(slot)
  }

  /// The mailbox rang.
  func isAwake() { mailbox.drainBell() }

  // MARK: ports, from the mailbox

  func port(_ slot: UInt16) -> PortIO? { Int(slot) < ports.count ? ports[Int(slot)] : nil }

  /// Prepares a slot's queue and counters, before the forwarding tables name it.
  func open(slot: UInt16) { burst.openSlot(slot) }

  /// Starts to receive from and send to a port.
  func add(_ port: PortIO) {
    ports[Int(port.slot)] = port
    if port.isAskedWithoutSystemCall { memoryPortCount += 1 }
    // Something may have come already: look once before waiting.
    heat(port)
  }

  /// Takes a port away; nothing of it is used afterwards.
  func remove(slot: UInt16) {
    guard let port = detach(slot: slot) else { return }
    burst.closeSlot(slot)
    port.close()
  }

  /// Takes a port away, for another worker.
  func detach(slot: UInt16) -> PortIO? {
    guard let port = ports[Int(slot)] else { return nil }
    engine.remove(port)
    hot.removeAll { $0 === port }
    unarmed.removeAll { $0 === port }
    ports[Int(slot)] = nil
    if port.isAskedWithoutSystemCall {
      memoryPortCount -= 1
      if busyPoll, memoryPortCount == 0 { heatAll() }
    }
    port.isHot = false
    port.isArmed = false
    port.isWaitingToSend = false
    return port
  }
}

extension DropReason {
  /// The reason behind an error of a send.
  init(transmitErrno error: Int) {
    switch Int32(truncatingIfNeeded: error) {
    case EIO, ENETDOWN, EBADFD, ENXIO: self = .transmitLinkDown
    case EMSGSIZE: self = .transmitTooLong
    case EAGAIN, ENOBUFS: self = .transmitQueueFull
    default: self = .transmitError
    }
  }
}
