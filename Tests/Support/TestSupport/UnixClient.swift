// A JSON-RPC client in a few lines, for unixctl and OVSDB sockets. Thread: one at a time. JSON-RPC 1.0.

import Foundation
import Glibc

/// One connection to a Unix socket on which JSON objects are exchanged.
package final class UnixClient {
  private let descriptor: Int32
  private var pending: [UInt8] = []
  private var nextID = 0

  package init(path: String) throws {
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var address = [UInt8](repeating: 0, count: 110)
    unsafe address.withUnsafeMutableBytes { unsafe $0.storeBytes(of: UInt16(AF_UNIX), as: UInt16.self) }
    guard path.utf8.count < 108 else { throw TestFailure("socket path too long: \(path)") }
    address.replaceSubrange(2..<2 + path.utf8.count, with: Array(path.utf8))
    let code = unsafe address.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return Int32(-1) }
      return unsafe connect(descriptor, base.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
    }
    guard code == 0 else {
      let cause = errno
      close(descriptor)
      throw TestFailure("cannot connect to \(path): errno \(cause)")
    }
  }

  deinit { close(descriptor) }

  /// Sends bytes as they are.
  package func send(_ bytes: [UInt8]) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let sent = unsafe rest.withUnsafeBytes { bytes in
        unsafe Glibc.send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
      }
      guard sent > 0 else { throw TestFailure("send: errno \(errno)") }
      rest = rest.dropFirst(sent)
    }
  }

  /// Calls a method.
  /// - Returns: the `result`.
  /// - Throws: `TestFailure` with the text of `error`, or if no answer comes in time.
  @discardableResult
  package func call(_ method: String, _ parameters: [Any], deadline: Duration = .seconds(10)) throws -> Any {
    nextID += 1
    let request: [String: Any] = ["id": nextID, "method": method, "params": parameters]
    try send([UInt8](JSONSerialization.data(withJSONObject: request)))
    let end = ContinuousClock.now + deadline
    while ContinuousClock.now < end {
      guard let object = try receive(end - ContinuousClock.now) else { break }
      guard (object["id"] as? Int) == nextID else { continue }
      if let error = object["error"], !(error is NSNull) { throw TestFailure("\(method): \(error)") }
      return object["result"] ?? NSNull()
    }
    throw TestFailure("no answer to \(method)")
  }

  /// The next JSON object; nil if none comes in time or the peer closed.
  package func receive(_ deadline: Duration) throws -> [String: Any]? {
    let end = ContinuousClock.now + deadline
    while true {
      if let object = takeObject() {
        return try JSONSerialization.jsonObject(with: Data(object)) as? [String: Any]
      }
      let left = (end - ContinuousClock.now).components
      let milliseconds = left.seconds * 1000 + left.attoseconds / 1_000_000_000_000_000
      var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      guard unsafe Glibc.poll(&poll, 1, Int32(clamping: max(milliseconds, 0))) > 0 else { return nil }
      var buffer = [UInt8](repeating: 0, count: 1 << 16)
      let count = unsafe buffer.withUnsafeMutableBytes { unsafe recv(descriptor, $0.baseAddress, $0.count, 0) }
      guard count > 0 else { return nil }
      pending += buffer.prefix(count)
    }
  }

  /// The first whole object of what has come in.
  private func takeObject() -> [UInt8]? {
    var depth = 0
    var isInString = false
    var isEscaped = false
    for (index, byte) in pending.enumerated() {
      if isInString {
        if isEscaped {
          isEscaped = false
        } else if byte == UInt8(ascii: "\\") {
          isEscaped = true
        } else if byte == UInt8(ascii: "\"") {
          isInString = false
        }
        continue
      }
      switch byte {
      case UInt8(ascii: "\""): isInString = true
      case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        depth -= 1
        if depth == 0 {
          let object = Array(pending[...index])
          pending.removeFirst(index + 1)
          return object
        }
      default: break
      }
    }
    return nil
  }
}
