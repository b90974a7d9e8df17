// Between control code and one worker: commands that the worker runs between two bursts, the published forwarding
// tables, and the worker's quiescent counter by which control code knows that old tables are no longer in use (QSBR).
//
// Thread: any thread calls `perform`, `publish`, `waitForGracePeriod`; only the worker calls the rest. The worker takes
// a lock only when there is a command, never per packet.

import COFlow
import Dispatch
import Glibc
import Synchronization
import VSwitchCore

/// Control's way to a worker.
@safe final class Mailbox: Sendable {
  private let commands = Mutex<[@Sendable (Worker) -> Void]>([])
  private let mail = Atomic<Bool>(false)
  private let published = Atomic<UInt>(0)
  /// Odd while the worker sleeps (uses nothing); goes up at each quiescent point.
  private let quiescentCount = Atomic<UInt64>(0)
  /// An eventfd that ends the worker's sleep.
  let bell: Int32

  init() throws(ConfigError) {
    bell = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
    guard bell >= 0 else {
      throw ConfigError(cause: "no descriptor for the worker's wake-up", remedy: "raise the limit of open files")
    }
  }

  deinit { close(bell) }

  // MARK: control's side

  /// Has the worker run `body` between two bursts and waits for its result.
  func perform<R: Sendable>(_ body: @escaping @Sendable (Worker) -> R) -> R {
    let done = DispatchSemaphore(value: 0)
    let result = Mutex<R?>(nil)
    let shared = Shared(result: result)
    commands.withLock { commands in
      commands.append { worker in
        shared.result.withLock { $0 = body(worker) }
        done.signal()
      }
    }
    mail.store(true, ordering: .releasing)
    ring()
    done.wait()
    // The command has run: it signals only after it stored.
    while true { if let value = shared.result.withLock({ $0 }) { return value } }
  }

  private final class Shared<R: Sendable>: Sendable {
    let result: Mutex<R?>
    init(result: consuming sending Mutex<R?>) { self.result = result }
  }

  /// Makes `tables` what the worker forwards by. The old ones may go after `waitForGracePeriod`.
  func publish(_ tables: ForwardingTables) {
    unsafe published.store(UInt(bitPattern: tables.address), ordering: .releasing)
  }

  /// Returns when the worker uses nothing that was published before the latest `publish`.
  func waitForGracePeriod() {
    let mark = graceMark
    if hasPassed(mark) { return }
    ring()
    while !hasPassed(mark) { usleep(20) }
  }

  /// Where the worker is now, for `hasPassed`.
  var graceMark: UInt64 { quiescentCount.load(ordering: .sequentiallyConsistent) }

  /// Whether the worker uses nothing any more that was published before a mark was taken.
  func hasPassed(_ mark: UInt64) -> Bool {
    // Asleep: it will load the new pointer when it wakes.
    mark & 1 == 1 || quiescentCount.load(ordering: .sequentiallyConsistent) != mark
  }

  private func ring() {
    var one: UInt64 = 1
    _ = unsafe write(bell, &one, 8)
  }

  // MARK: the worker's side

  var hasMail: Bool { @inline(__always) get { mail.load(ordering: .relaxed) } }

  /// Runs the commands.
  func deliver(to worker: Worker) {
    mail.store(false, ordering: .sequentiallyConsistent)
    let waiting = commands.withLock { commands in
      let waiting = commands
      commands = []
      return waiting
    }
    for command in waiting { command(worker) }
  }

  /// The tables to forward by; valid until the next quiescent point.
  var forwarding: UnsafePointer<Forwarding>? {
    @inline(__always) get { unsafe UnsafePointer(bitPattern: published.load(ordering: .acquiring)) }
  }

  /// The worker holds nothing of what was published.
  @inline(__always)
  func quiescent() { quiescentCount.wrappingAdd(2, ordering: .releasing) }

  func willSleep() { quiescentCount.wrappingAdd(1, ordering: .sequentiallyConsistent) }
  func didWake() { quiescentCount.wrappingAdd(1, ordering: .sequentiallyConsistent) }

  func drainBell() {
    var count: UInt64 = 0
    _ = unsafe read(bell, &count, 8)
  }
}
