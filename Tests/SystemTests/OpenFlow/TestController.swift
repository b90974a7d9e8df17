// A controller in the test's own process, on a unix socket in the daemon's run dir: it greets, sends what the test says, and
// gives back what comes. Thread: one at a time; every wait has a deadline.

import Foundation
import Glibc
import OpenFlow
import TestSupport
import VSwitchCore

/// Waits for switches to connect (`unix:` target).
final class TestController {
  private let descriptor: Int32
  private let path: String

  /// - Parameter path: of the socket.
  init(path: String) throws {
    self.path = path
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    _ = unsafe unlink(path)
    let code = try unsafe withAddress(path) { unsafe bind(descriptor, $0, $1) }
    guard code == 0, listen(descriptor, 8) == 0 else { throw TestFailure("cannot listen on \(path): errno \(errno)") }
  }

  deinit {
    close(descriptor)
    _ = unsafe unlink(path)
  }

  /// The next connection; nil if none comes in time.
  func connection(_ deadline: Duration = .seconds(10)) throws -> TestSession? {
    guard try isReadable(descriptor, deadline) else { return nil }
    let accepted = accept(descriptor, nil, nil)
    guard accepted >= 0 else { throw TestFailure("accept: errno \(errno)") }
    return TestSession(accepted)
  }

  /// The next connection, greeted.
  func session(_ version: OpenFlowVersion, _ deadline: Duration = .seconds(10)) throws -> TestSession {
    guard let session = try connection(deadline) else { throw TestFailure("no switch connects to \(path)") }
    try session.greet(version)
    return session
  }
}

/// One connection with a switch.
final class TestSession {
  private let descriptor: Int32
  private var pending: [UInt8] = []
  private(set) var version = OpenFlowVersion.v13
  private var transaction: UInt32 = 100
  /// What came while something else was waited for.
  private(set) var others: [Message] = []

  init(_ descriptor: Int32) { self.descriptor = descriptor }

  /// Connects to a bridge's management socket or to a passive target.
  convenience init(path: String, _ version: OpenFlowVersion) throws {
    try self.init(rawPath: path)
    try greet(version)
  }

  /// Connects, and says nothing yet.
  init(rawPath path: String) throws {
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    let code = try unsafe withAddress(path) { unsafe connect(descriptor, $0, $1) }
    guard code == 0 else { throw TestFailure("cannot connect to \(path): errno \(errno)") }
  }

  deinit { close(descriptor) }

  func greet(_ version: OpenFlowVersion) throws {
    self.version = version
    try send(.hello(Hello(versions: VersionSet([version]))))
    guard let message = try receive(), case .hello = message.body else { throw TestFailure("the switch did not greet") }
  }

  /// Sends bytes as they are.
  /// - Returns: false if the other end is closed, or takes nothing for 2 s.
  @discardableResult
  func send(_ bytes: [UInt8]) throws -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
      var poller = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
      guard unsafe poll(&poller, 1, 2000) == 1 else { return false }
      let sent = unsafe rest.withUnsafeBytes { bytes in
        unsafe Glibc.send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
      }
      guard sent > 0 else { return false }
      rest = rest.dropFirst(sent)
    }
    return true
  }

  /// - Returns: the message's transaction.
  @discardableResult
  func send(_ body: MessageBody) throws -> UInt32 {
    transaction += 1
    for part in try MessageEncoder().encodeParts(Message(version, xid: transaction, body)) { try send(part) }
    return transaction
  }

  /// The next message; nil if none comes in time or the switch has closed the connection.
  func receive(_ deadline: Duration = .seconds(5)) throws -> Message? {
    let end = ContinuousClock.now + deadline
    while true {
      if let count = try MessageDecoder.messageByteCount(pending), pending.count >= count {
        let bytes = Array(pending[..<count])
        pending.removeFirst(count)
        return try MessageDecoder().decode(bytes)
      }
      guard try isReadable(descriptor, end - .now), try readMore() else { return nil }
    }
  }

  private func readMore() throws -> Bool {
    var buffer = [UInt8](repeating: 0, count: 65536)
    let count = unsafe read(descriptor, &buffer, buffer.count)
    guard count > 0 else { return false }
    pending += buffer[..<count]
    return true
  }

  /// Whether the switch closes the connection in time, whatever it sends before.
  func isClosed(_ deadline: Duration = .seconds(5)) throws -> Bool {
    let end = ContinuousClock.now + deadline
    while ContinuousClock.now < end {
      if try isReadable(descriptor, end - .now), try !readMore() { return true }
    }
    return false
  }

  /// The next message for which `value` gives something; others are kept in `others`, probes are answered.
  func wait<Value>(_ deadline: Duration = .seconds(5), for value: (Message) -> Value?) throws -> Value? {
    if let index = others.firstIndex(where: { value($0) != nil }) { return value(others.remove(at: index)) }
    let end = ContinuousClock.now + deadline
    while ContinuousClock.now < end {
      guard let message = try receive(end - .now) else { return nil }
      if case .echoRequest(let data) = message.body {
        for part in try MessageEncoder().encodeParts(Message(version, xid: message.xid, .echoReply(data))) {
          try send(part)
        }
      } else if let found = value(message) {
        return found
      } else {
        others.append(message)
      }
    }
    return nil
  }

  /// Sends a request and waits for what has its transaction.
  func ask(_ body: MessageBody, _ deadline: Duration = .seconds(5)) throws -> MessageBody {
    let transaction = try send(body)
    guard let answer = try wait(deadline, for: { $0.xid == transaction ? $0.body : nil }) else {
      throw TestFailure("no answer to \(body)")
    }
    return answer
  }

  /// Sends what is not answered, and a barrier behind it.
  /// - Returns: the error, if one comes.
  @discardableResult
  func tell(_ body: MessageBody) throws -> ErrorCode? {
    let transaction = try send(body)
    guard case .barrierReply = try ask(.barrierRequest) else { throw TestFailure("no answer to the barrier") }
    for (index, message) in others.enumerated() where message.xid == transaction {
      if case .error(let error) = message.body, case .known(let code) = error.reason {
        others.remove(at: index)
        return code
      }
    }
    return nil
  }

  func forgetOthers() { others = [] }
}

private func isReadable(_ descriptor: Int32, _ deadline: Duration) throws -> Bool {
  var poller = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
  let (seconds, attoseconds) = deadline.components
  let milliseconds = max(seconds * 1000 + attoseconds / 1_000_000_000_000_000, 0)
  return unsafe poll(&poller, 1, Int32(clamping: milliseconds)) == 1
}

private func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) throws -> Int32 {
  var address = sockaddr_un()
  address.sun_family = sa_family_t(AF_UNIX)
  let bytes = Array(path.utf8)
  guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
    throw TestFailure("socket path too long: \(path)")
  }
  unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
  return unsafe withUnsafePointer(to: &address) { pointer in
    unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      unsafe body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
    }
  }
}

extension Daemon {
  /// A column of the only row of Controller.
  func controllerColumn(_ column: String) throws -> String {
    try configure("--bare --columns=\(column) list controller").trimmingCharacters(in: .whitespacesAndNewlines)
  }

  /// A controller at `<run dir>/NAME`.
  func controller(_ name: String = "controller") throws -> TestController {
    try TestController(path: "\(runDirectory)/\(name)")
  }
}
