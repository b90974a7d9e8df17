// The thread of a worker: pinned if asked, named, with every signal left to the daemon's other threads.

import COFlow
import Glibc
import VSwitchCore

/// A running worker, its mailbox, and the rings by which it tells control code of what happens.
@safe final class WorkerThread: @unchecked Sendable {
  /// 0 for the first.
  let number: Int
  let mailbox: Mailbox
  /// "io_uring" or "epoll".
  let engineName: String
  /// Packets for controllers, rules to be learned. One reader.
  let flowEvents: EventRing
  /// What happens to connections, while somebody watches. One reader at a time.
  let connectionEvents: EventRing
  private var thread = pthread_t()

  /// Starts a worker.
  /// - Parameters:
  ///   - cpu: the CPU to run on; nil for any.
  ///   - avoidIOUring: use epoll.
  init(number: Int, cpu: Int?, avoidIOUring: Bool) throws(ConfigError) {
    self.number = number
    let flowEvents = try EventRing(byteCountLog2: WorkerThread.flowEventByteCountLog2)
    self.flowEvents = flowEvents
    do throws(ConfigError) {
      connectionEvents = try EventRing(byteCountLog2: WorkerThread.connectionEventByteCountLog2)
    } catch {
      flowEvents.deallocate()
      throw error
    }
    let mailbox = try Mailbox()
    let engine: IOEngine
    if !avoidIOUring, let ring = URingEngine(wakeDescriptor: mailbox.bell) {
      engine = ring
    } else {
      engine = try EpollEngine(wakeDescriptor: mailbox.bell)
    }
    var random = SystemRandomNumberGenerator()
    let worker = try Worker(
      engine: engine, mailbox: mailbox, packetCount: 2048, clock: monotonicSeconds, random: &random)
    self.mailbox = mailbox
    engineName = engine.name
    let name = "worker-\(number)"
    let start = unsafe Unmanaged.passRetained(Start(worker: worker, name: name, cpu: Int32(cpu ?? -1)))
    // Signals belong to the daemon: the thread starts with all of them blocked but those that it causes itself: when a
    // guest takes memory away (COFlow's handler), which would end the process if it were blocked, and when one has made
    // its event descriptor block.
    var all = sigset_t()
    var before = sigset_t()
    unsafe sigfillset(&all)
    unsafe sigdelset(&all, SIGBUS)
    unsafe sigdelset(&all, coflow_call_signal())
    unsafe pthread_sigmask(SIG_SETMASK, &all, &before)
    let failure = unsafe pthread_create(
      &thread, nil,
      { argument in
        guard let argument = unsafe argument else { return nil }
        let start = unsafe Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
        _ = unsafe coflow_thread_setup(start.name, start.cpu)
        start.worker.loop()
        return nil
      }, start.toOpaque())
    unsafe pthread_sigmask(SIG_SETMASK, &before, nil)
    guard failure == 0 else {
      unsafe start.release()
      throw ConfigError(cause: "cannot start the worker thread", remedy: "raise the limit of threads")
    }
  }

  /// Size of the rings: of events of connections some thousand may wait.
  private static var flowEventByteCountLog2: Int { 20 }
  private static var connectionEventByteCountLog2: Int { 18 }

  /// Has the worker run on one CPU; nil, or one that there is not: on those where the process may.
  func pin(to cpu: Int?) {
    let name = "worker-\(number)"
    mailbox.perform { _ in
      guard unsafe coflow_thread_setup(name, Int32(clamping: cpu ?? -1)) != 0 else { return }
      _ = unsafe coflow_thread_setup(name, -1)
    }
  }

  /// Ends the worker, which closes its ports, and waits for it. Nobody may read its rings any more.
  func stop() {
    mailbox.perform { $0.stop() }
    pthread_join(thread, nil)
    flowEvents.deallocate()
    connectionEvents.deallocate()
  }

  private final class Start {
    let worker: Worker
    let name: String
    let cpu: Int32
    init(worker: Worker, name: String, cpu: Int32) {
      self.worker = worker
      self.name = name
      self.cpu = cpu
    }
  }
}

/// The system's monotonic clock in seconds; cheap enough for every round.
func monotonicSeconds() -> UInt32 {
  var now = timespec()
  unsafe clock_gettime(CLOCK_MONOTONIC_COARSE, &now)
  return UInt32(truncatingIfNeeded: now.tv_sec)
}

/// The system's monotonic clock in nanoseconds.
func monotonicNanoseconds() -> UInt64 {
  var now = timespec()
  unsafe clock_gettime(CLOCK_MONOTONIC, &now)
  return UInt64(truncatingIfNeeded: now.tv_sec) &* 1_000_000_000 &+ UInt64(truncatingIfNeeded: now.tv_nsec)
}
