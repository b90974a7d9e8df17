// Tells the control world of link changes, in the switch's own namespace and in those where it has ports.
//
// Thread: one of its own, which sleeps in poll(2) without a timeout: nothing happens while no link changes.
// Memory: a buffer of that thread. One socket of the own namespace hears of all others that have an id there
// (NETLINK_LISTEN_ALL_NSID), so no descriptor of theirs has to be held, which would keep them alive after deletion.
// Invariant: whoever reads until the end of the stream's buffer knows of every change, or finds a `resync` after it.
// States: running from init; stopped once, by `stop` or deinit.

import COFlow
import Glibc
import Synchronization

/// The socket of a subscription to link changes. To hear of other namespaces takes CAP_NET_BROADCAST when it is opened,
/// and not later, so it is opened before privileges are given up. Whoever makes it gives it to one `LinkMonitor`.
package struct LinkMonitorSocket: Sendable {
  fileprivate let descriptor: Int32
  fileprivate let hearsOthers: Bool

  /// - Parameter receiveBufferByteCount: what the kernel keeps until it is read; beyond, messages are lost (`resync`).
  package init(receiveBufferByteCount: Int32 = 1 << 20) throws(LinkError) {
    var hearsOthers: Int32 = 0
    descriptor = unsafe coflow_link_monitor_open(receiveBufferByteCount, &hearsOthers)
    guard descriptor >= 0 else { throw LinkError(errno: -descriptor, action: "listen for link changes") }
    self.hearsOthers = hearsOthers != 0
  }
}

/// A subscription to link changes.
package final class LinkMonitor: Sendable {
  /// What happened, in order. One consumer; ends with `stop`.
  package let events: AsyncStream<LinkEvent>
  private let listener: Listener
  private let thread: Mutex<pthread_t?>
  /// The right to hear other namespaces is asked for once, when the socket is opened.
  private let hearsOthers: Bool

  /// Starts to listen in the namespace of the process.
  /// - Parameters:
  ///   - socket: opened while the process had the right to hear other namespaces; closed by the monitor.
  ///   - eventLimit: what the stream keeps until it is read; beyond, the oldest are replaced by `resync`.
  package init(_ opened: LinkMonitorSocket, eventLimit: Int = 1024) throws(LinkError) {
    let socket = opened.descriptor
    let wake = coflow_link_wake_open()
    guard wake >= 0 else {
      close(socket)
      throw LinkError(errno: -wake, action: "listen for link changes")
    }
    let (events, continuation) = AsyncStream.makeStream(
      of: LinkEvent.self, bufferingPolicy: .bufferingNewest(max(2, eventLimit)))
    self.events = events
    hearsOthers = opened.hearsOthers
    listener = Listener(socket: socket, wake: wake, continuation: continuation)
    let (thread, failure) = startThread(name: "links") { [listener] in listener.run() }
    self.thread = Mutex(failure == 0 ? thread : nil)
    guard failure == 0 else { throw LinkError(errno: failure, action: "start a thread for link changes") }
  }

  deinit { stop() }

  /// Also tells of changes in `namespace`, until it is deleted or `unwatch` is called.
  /// - Returns: the id under which its events come; the same for every name of the namespace.
  package func watch(_ namespace: NetworkNamespace) throws(LinkError) -> Int32 {
    guard hearsOthers else {
      throw LinkError(
        .notPermitted, cause: "could not watch \(namespace) (the switch was started without CAP_NET_BROADCAST)",
        remedy: "start it as root or with that capability")
    }
    let id = try namespace.withDescriptor { coflow_namespace_id($0) }
    guard id >= 0 else {
      if id == -EINVAL {
        throw LinkError(
          .noSuchNamespace, cause: "\(namespace) is no network namespace", remedy: "delete it and create it anew")
      }
      throw LinkError(errno: -id, action: "watch \(namespace)")
    }
    listener.watched.withLock { _ = $0.insert(id) }
    return id
  }

  /// How often the thread woke up: 0 while no link changes.
  package var wakeUpCount: Int { listener.wakeUpCount.load(ordering: .relaxed) }

  /// No more events of that namespace.
  package func unwatch(_ id: Int32) { listener.watched.withLock { _ = $0.remove(id) } }

  /// Ends the thread and the stream.
  package func stop() {
    guard let thread = self.thread.withLock({ $0.take() }) else { return }
    var one: UInt64 = 1
    _ = unsafe write(listener.wake, &one, 8)
    pthread_join(thread, nil)
  }
}

/// What the thread works on. It owns the descriptors, which outlive the thread.
private final class Listener: Sendable {
  let socket: Int32
  let wake: Int32
  let continuation: AsyncStream<LinkEvent>.Continuation
  let watched = Mutex<Set<Int32>>([])
  let wakeUpCount = Atomic<Int>(0)

  /// The kernel's notifications are of a page or two; links with many virtual functions take more.
  static var bufferByteCount: Int { 64 << 10 }

  init(socket: Int32, wake: Int32, continuation: AsyncStream<LinkEvent>.Continuation) {
    self.socket = socket
    self.wake = wake
    self.continuation = continuation
  }

  deinit {
    close(socket)
    close(wake)
  }

  func run() {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.bufferByteCount, alignment: 16)
    defer {
      unsafe buffer.deallocate()
      continuation.finish()
    }
    while true {
      var waiting = [
        pollfd(fd: socket, events: Int16(POLLIN), revents: 0), pollfd(fd: wake, events: Int16(POLLIN), revents: 0),
      ]
      let count = unsafe poll(&waiting, 2, -1)
      wakeUpCount.add(1, ordering: .relaxed)
      if waiting[1].revents != 0 { return }
      if count < 0, errno != EINTR { return }
      if count > 0, unsafe !receiveAll(buffer) { return }
    }
  }

  /// Reads what is there.
  /// - Returns: false if the socket is of no more use.
  private func receiveAll(_ buffer: UnsafeMutableRawBufferPointer) -> Bool {
    while true {
      var id: Int32 = -1
      let received = unsafe coflow_link_monitor_receive(socket, buffer.baseAddress, buffer.count, &id)
      switch received {
      case -Int(EAGAIN): return true
      case -Int(EINTR): continue
      case -Int(ENOBUFS): deliver(.resync)
      case ..<0: return false
      default:
        if id >= 0, !watched.withLock({ $0.contains(id) }) { continue }
        let message = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<received])
        for event in unsafe LinkEvent.parse(message, namespaceID: id >= 0 ? id : nil) {
          if case .namespaceDeleted(let id) = event {
            guard watched.withLock({ $0.remove(id) }) != nil else { continue }
          }
          deliver(event)
        }
      }
    }
  }

  private func deliver(_ event: LinkEvent) {
    // The oldest gave way: the last thing that the reader finds must tell it so.
    if case .dropped = continuation.yield(event), event != .resync { continuation.yield(.resync) }
  }
}
