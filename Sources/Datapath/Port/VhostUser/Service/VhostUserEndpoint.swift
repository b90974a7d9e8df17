// One port's socket and connection: listens, or connects again and again; reads messages and lets the session handle them.
//
// Thread: the service's queue. A connection that breaks a rule is closed, its queues are taken from the worker first; the
// next connection starts from nothing. A front-end that is absent is asked for again when something appears in the socket's
// directory, some times shortly after that, as one can't connect yet when it does, and for the rest seldom (RetryPlan), so
// that traffic goes on within a second of both ends being there and nothing is woken up meanwhile. What one connection does costs no other more than its turn on the queue: a turn
// handles a bounded number of messages.

import COFlow
import Dispatch
import Foundation
import Glibc
import VSwitchCore

/// The control side of a vhost-user port.
final class VhostUserEndpoint: @unchecked Sendable {
  /// What the port's configuration says.
  struct Config: Equatable, Sendable {
    enum Mode: String, Sendable {
      /// The switch listens (type vhostuser).
      case server
      /// The switch connects (type vhostuserclient).
      case client
    }
    var name: String
    var mode: Mode
    var socketPath: String
    /// Where the positions of packed rings are kept.
    var recordPath: String
    var mtuRequest: Int?
  }

  /// Messages handled before others on the queue have their turn.
  private static let turnMessageLimit = 64

  let config: Config
  let port: VhostUserPort
  private let slot: UInt16
  private unowned let service: VhostUserService
  /// Of the worker that has the port.
  var mailbox: Mailbox
  private let record: VringRecord?
  private var listener: (any DispatchSourceRead)?
  private var connection: Connection?
  private var isClosed = false
  /// Why the last connection ended, if it broke a rule.
  private var lastFault: VhostUserFault?
  private var connectError: String?
  private var mtuRequest: Int?
  private var connectionCount = 0
  private var retries = RetryPlan()
  /// Number of the last attempt to connect that was planned.
  private var attempt = 0
  private var isWatched = false

  /// - Throws: why the socket can't be had.
  init(_ config: Config, slot: UInt16, mailbox: Mailbox, service: VhostUserService) throws(ConfigError) {
    self.config = config
    mtuRequest = config.mtuRequest
    self.slot = slot
    self.mailbox = mailbox
    self.service = service
    let epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
    guard epoll >= 0 else {
      throw ConfigError(cause: "no descriptor for port \(config.name)", remedy: "raise the limit of open files")
    }
    port = VhostUserPort(slot: slot, descriptor: epoll, notice: service.notice)
    record = VringRecord(path: config.recordPath)
    switch config.mode {
    case .server:
      do throws(ConfigError) { try listen() } catch {
        port.close()
        throw error
      }
    case .client: connect()
    }
  }

  /// Ends connection and socket; the worker has no queue of the port afterwards.
  func close() {
    isClosed = true
    end(nil)
    listener?.cancel()
    if listener != nil { _ = unsafe config.socketPath.withCString { unsafe unlink($0) } }
    listener = nil
  }

  // MARK: sockets

  private func listen() throws(ConfigError) {
    let descriptor = unsafe config.socketPath.withCString { unsafe coflow_unix_listen($0) }
    guard descriptor >= 0 else {
      let cause = "could not open network device \(config.name) (\(systemText(-descriptor)))"
      switch -descriptor {
      case EADDRINUSE:
        throw ConfigError(cause: cause, remedy: "another program listens on \(config.socketPath): end it")
      case EEXIST: throw ConfigError(cause: cause, remedy: "\(config.socketPath) is no socket: remove it")
      case ENAMETOOLONG: throw ConfigError(cause: cause, remedy: "the path of a socket has at most 107 bytes")
      default: throw ConfigError(cause: cause, remedy: "check the directory of \(config.socketPath)")
      }
    }
    let source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: service.queue)
    source.setEventHandler { [weak self] in
      let accepted = coflow_unix_accept(descriptor)
      guard accepted >= 0 else { return }
      // That the last one has ended may be waiting to be read: who starts again at once must not be turned away.
      if let self, self.connection != nil { self.readMessages() }
      guard let self, self.connection == nil else {
        // One guest has the port; another may try again when it is gone.
        _ = Glibc.close(accepted)
        return
      }
      self.begin(accepted)
    }
    source.setCancelHandler { _ = Glibc.close(descriptor) }
    source.activate()
    listener = source
  }

  private func connect() {
    guard !isClosed, connection == nil else { return }
    let descriptor = unsafe config.socketPath.withCString { unsafe coflow_unix_connect($0) }
    if descriptor >= 0 {
      connectError = nil
      retries = RetryPlan()
      begin(descriptor)
      return
    }
    let text = systemText(-descriptor)
    if connectError != text {
      connectError = text
      service.statusChanged(config.name)
    }
    connectLater()
  }

  private func connectLater() {
    let directory = (config.socketPath as NSString).deletingLastPathComponent
    isWatched = service.watch(directory.isEmpty ? "." : directory, for: slot)
    attempt += 1
    let attempt = attempt
    let delay = retries.next(isWatched: isWatched)
    service.queue.asyncAfter(deadline: .now() + .milliseconds(delay)) { [weak self] in
      // Only the last one that was planned counts.
      if let self, self.attempt == attempt { self.connect() }
    }
  }

  /// Something has appeared in the directory of the socket.
  func socketMayHaveAppeared() {
    guard config.mode == .client, connection == nil else { return }
    retries = RetryPlan()
    connect()
  }

  private func begin(_ descriptor: Int32) {
    connectionCount += 1
    let session = VhostUserSession(device: self, record: record, mtuRequest: mtuRequest)
    let connection = Connection(descriptor, session: session, service.queue)
    connection.source.setEventHandler { [weak self] in self?.readMessages() }
    connection.source.setCancelHandler { _ = Glibc.close(descriptor) }
    self.connection = connection
    connection.source.activate()
    service.statusChanged(config.name)
  }

  /// The connection is over.
  private func end(_ fault: VhostUserFault?) {
    guard let connection else { return }
    lastFault = fault
    connection.session.end()
    connection.source.cancel()
    self.connection = nil
    if config.mode == .client, !isClosed { connectLater() }
    service.statusChanged(config.name)
  }

  // MARK: messages

  private func readMessages() {
    for _ in 0..<VhostUserEndpoint.turnMessageLimit {
      guard let connection else { return }
      do throws(VhostUserFault) {
        guard let message = try connection.receive() else { return }
        let before = connection.session.isUp
        let reply = try connection.session.handle(message)
        if !reply.bytes.isEmpty { try connection.send(reply) }
        if connection.session.isUp != before { service.statusChanged(config.name) }
        askForRings()
      } catch .messageCutShort where !connection.reader.isInsideMessage {
        end(nil)
        return
      } catch {
        end(error)
        return
      }
    }
  }

  /// The worker rang: a queue broke a rule, or wants a translation.
  func readNotices() {
    guard let connection else { return }
    let slot = slot
    let notices = mailbox.perform { worker in (worker.port(slot) as? VhostUserPort)?.notices(now: worker.now) }
    for (queue, fault) in notices?.faults ?? [] { connection.session.queueFailed(queue, fault) }
    if notices?.faults.isEmpty == false { service.statusChanged(config.name) }
    for miss in notices?.misses ?? [] { tellFrontEnd(IOTLBMessage.question(miss)) }
  }

  /// Rings could not start because their own pages are not known.
  private func askForRings() {
    guard let connection else { return }
    for miss in connection.session.takeRingMisses() { tellFrontEnd(IOTLBMessage.question(miss)) }
  }

  /// Sends on the back-end's own channel, if there is one. One that the front-end does not read is full some day: it has lost
  /// the message then.
  private func tellFrontEnd(_ message: [UInt8]) {
    guard let channel = connection?.session.backendRequests else { return }
    _ = unsafe message.withUnsafeBytes { bytes in
      unsafe coflow_send_message(channel.number, bytes.baseAddress, UInt64(bytes.count), -1)
    }
  }

  /// The port's configuration asks for another MTU, which is part of the device's configuration space.
  func setMTURequest(_ mtu: Int?) {
    guard mtu != mtuRequest else { return }
    mtuRequest = mtu
    guard let connection else { return }
    connection.session.mtuRequest = mtu
    if let message = connection.session.configChange { tellFrontEnd(message) }
    service.statusChanged(config.name)
  }

  // MARK: status

  var description: VhostUserDescription {
    var result = VhostUserDescription()
    result.status["mode"] = config.mode.rawValue
    result.status["socket"] = config.socketPath
    result.mtu = mtuRequest ?? 1500
    guard let connection else {
      result.status["status"] = "disconnected"
      if let connectError { result.status["connect_error"] = connectError }
      if let lastFault { result.status["last_fault"] = lastFault.description }
      return result
    }
    let session = connection.session
    result.isConnected = true
    result.isUp = session.isUp
    if let mtu = session.mtu { result.mtu = mtu }
    result.status["status"] = "connected"
    if let fault = session.refusal ?? lastFault { result.status["last_fault"] = fault.description }
    result.status["features"] = hexadecimal(session.features.rawValue)
    result.status["protocol_features"] = hexadecimal(session.protocolFeatures.rawValue)
    result.status["memory_regions"] = "\(session.regionCount)"
    result.status["ring_layout"] = session.features.contains(.packedRing) ? "packed" : "split"
    result.status["num_of_vrings"] = "\(session.ringSizes.count)"
    result.status["running_vrings"] = "\(session.runningQueues.count)"
    for (index, size) in session.ringSizes { result.status["vring_\(index)_size"] = "\(size)" }
    for (index, fault) in session.queueFaults { result.status["vring_\(index)_fault"] = fault.description }
    return result
  }

  private func hexadecimal(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return "0x" + String(repeating: "0", count: 16 - digits.count) + digits
  }
}

extension VhostUserEndpoint: VhostUserDevice {
  private func perform(_ body: @escaping @Sendable (Worker, VhostUserPort) -> Void) {
    let port = UncheckedPort(port: port)
    mailbox.perform { worker in body(worker, port.port) }
  }

  func attach(_ queue: GuestQueue) {
    perform { worker, port in
      port.attach(queue)
      // Something may be in the ring already.
      worker.wakeIfOpen(port)
      // What was given back before the guest could be told of it.
      port.call(queue)
    }
  }

  func detach(_ queue: GuestQueue) { perform { worker, port in port.detach(queue, worker) } }

  func pause(_ body: @escaping @Sendable () -> Void) {
    perform { worker, port in
      body()
      worker.wakeIfOpen(port)
    }
  }

  func replace(_ queue: GuestQueue, call: OwnedDescriptor?) { perform { _, _ in queue.call = call } }

  func replace(_ queue: GuestQueue, error: OwnedDescriptor?) { perform { _, _ in queue.error = error } }

  func inject(_ frame: [UInt8]) {
    perform { worker, port in
      port.inject(frame)
      worker.wakeIfOpen(port)
    }
  }
}

/// A port on its way into a command for the worker, which alone uses it.
private struct UncheckedPort: @unchecked Sendable {
  let port: VhostUserPort
}

/// One connection's socket, reader and session.
private final class Connection {
  let descriptor: Int32
  let source: any DispatchSourceRead
  var reader = VhostUserMessageReader()
  var session: VhostUserSession

  init(_ descriptor: Int32, session: VhostUserSession, _ queue: DispatchQueue) {
    self.descriptor = descriptor
    self.session = session
    source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
  }

  /// The next message; nil until more comes.
  /// - Throws: a broken rule; `messageCutShort` at the connection's end.
  func receive() throws(VhostUserFault) -> VhostUserMessage? {
    while true {
      var bytes = [UInt8](repeating: 0, count: reader.wantedByteCount)
      var numbers = [Int32](repeating: -1, count: Int(COFLOW_MESSAGE_DESCRIPTORS))
      var count: Int32 = 0
      let received = unsafe bytes.withUnsafeMutableBytes { room in
        unsafe numbers.withUnsafeMutableBufferPointer { numbers in
          unsafe coflow_receive_message(descriptor, room.baseAddress, UInt64(room.count), numbers.baseAddress, &count)
        }
      }
      // Owned before anything else, so that every way out closes them.
      let descriptors = numbers.prefix(Int(max(count, 0))).map { OwnedDescriptor($0) }
      if received == -Int(EAGAIN) { return nil }
      if received == -Int(EMSGSIZE) { throw .messageDescriptorCountWrong }
      guard received > 0 else { throw .messageCutShort }
      if let message = try reader.take(bytes.prefix(received), descriptors: descriptors) { return message }
    }
  }

  func send(_ reply: VhostUserReply) throws(VhostUserFault) {
    let result = unsafe reply.bytes.withUnsafeBytes { bytes in
      unsafe coflow_send_message(descriptor, bytes.baseAddress, UInt64(bytes.count), reply.descriptor?.number ?? -1)
    }
    if result == -EPIPE || result == -ECONNRESET { return }
    guard result == 0 else { throw .repliesNotRead }
  }
}
