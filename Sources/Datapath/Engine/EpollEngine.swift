// epoll with plain reads and writes: for systems that refuse io_uring (seccomp profiles of containers, the
// kernel.io_uring_disabled sysctl). Same behaviour, more system calls.

import COFlow
import Glibc
import VSwitchCore

final class EpollEngine: IOEngine {
  private let epoll: Int32
  private let wakeDescriptor: Int32
  /// Events asked for, by descriptor; absent if epoll does not know it.
  private var interest: [Int32: UInt32] = [:]
  private var roundsWithoutPoll = 0

  override var name: String { "epoll" }

  /// - Parameter wakeDescriptor: an eventfd that ends a wait.
  init(wakeDescriptor: Int32) throws(ConfigError) {
    self.wakeDescriptor = wakeDescriptor
    epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
    super.init()
    guard epoll >= 0, coflow_epoll_add(epoll, wakeDescriptor, EPOLLIN.rawValue, IOToken(.wake).bits) == 0 else {
      throw ConfigError(cause: "cannot wait for packets (epoll)", remedy: "raise the limit of open files")
    }
  }

  override func close() { _ = Glibc.close(epoll) }

  override func stageReads(_ port: PortIO, count: Int, _ worker: Worker) {
    let pool = worker.burst.pool
    for _ in 0..<count {
      guard let index = pool.allocate() else { return }
      let room = unsafe pool.roomWithHeader(index)
      let result = unsafe coflow_read(port.descriptor, room.baseAddress, UInt(room.count))
      worker.readDone(index, slot: port.slot, result: result)
      if result < 0 { return }
    }
  }

  override func stageWrites(_ port: PortIO, count: Int, _ worker: Worker) {
    let burst = worker.burst
    let descriptor = port.descriptor
    for position in 0..<count {
      let index = unsafe burst.exit[position]
      let bytes = unsafe burst.pool.bytesWithHeader(index)
      let result = unsafe coflow_write(descriptor, bytes.baseAddress, UInt(bytes.count))
      worker.writeDone(index, slot: port.slot, result: result)
    }
  }

  override func arm(_ port: PortIO) { want(EPOLLIN.rawValue, port) }
  override func armToSend(_ port: PortIO) { want(EPOLLOUT.rawValue, port) }

  private func want(_ events: UInt32, _ port: PortIO) {
    let token = IOToken(.ready, slot: port.slot).bits
    if let known = interest[port.descriptor] {
      let all = known | events
      interest[port.descriptor] = all
      _ = coflow_epoll_modify(epoll, port.descriptor, all | EPOLLONESHOT.rawValue, token)
    } else {
      interest[port.descriptor] = events
      _ = coflow_epoll_add(epoll, port.descriptor, events | EPOLLONESHOT.rawValue, token)
    }
  }

  override func remove(_ port: PortIO) {
    if interest.removeValue(forKey: port.descriptor) != nil { _ = coflow_epoll_remove(epoll, port.descriptor) }
  }

  override func run(wait: Bool, _ worker: Worker) {
    // Reads find packets of busy ports; idle ones need a look only now and then.
    roundsWithoutPoll += 1
    guard wait || roundsWithoutPoll >= 8 else { return }
    roundsWithoutPoll = 0
    var tokens = InlineArray<64, UInt64>(repeating: 0)
    var events = InlineArray<64, UInt32>(repeating: 0)
    var tokenSpan = tokens.mutableSpan
    var eventSpan = events.mutableSpan
    let count = unsafe tokenSpan.withUnsafeMutableBufferPointer { tokens in
      unsafe eventSpan.withUnsafeMutableBufferPointer { events in
        unsafe coflow_epoll_wait(epoll, tokens.baseAddress, events.baseAddress, 64, wait ? -1 : 0)
      }
    }
    guard count > 0 else { return }
    for i in 0..<Int(count) {
      let token = IOToken(bits: tokens[i])
      if token.operation == IOToken.Operation.wake.rawValue {
        worker.isAwake()
        continue
      }
      guard let port = worker.port(token.slot), let asked = interest[port.descriptor] else { continue }
      // One shot: everything asked for is off now; what did not happen is asked for again.
      interest[port.descriptor] = 0
      let happened = events[i]
      let failed = happened & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0
      if asked & EPOLLIN.rawValue != 0 {
        if failed || happened & EPOLLIN.rawValue != 0 { worker.isReady(slot: token.slot) } else { arm(port) }
      }
      if asked & EPOLLOUT.rawValue != 0 {
        if failed || happened & EPOLLOUT.rawValue != 0 {
          worker.isReadyToSend(slot: token.slot)
        } else {
          armToSend(port)
        }
      }
    }
  }
}
