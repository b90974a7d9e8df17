// A daemon's control socket for the tests, on a plain thread: tests block the few threads of Swift's concurrency pool
// while they wait for a program, and a server that needs the pool to answer that program could wait for them for ever.

import Foundation
import Glibc
import OVSDB
import TestSupport

/// A unix socket that is bound, and listened on only if asked for.
final class UnixSocket: Sendable {
  let descriptor: Int32

  init(path: String, listens: Bool) throws {
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var address = [UInt8](repeating: 0, count: 110)
    unsafe address.withUnsafeMutableBytes { unsafe $0.storeBytes(of: UInt16(AF_UNIX), as: UInt16.self) }
    guard path.utf8.count < 108 else { throw TestFailure("socket path too long: \(path)") }
    address.replaceSubrange(2..<2 + path.utf8.count, with: Array(path.utf8))
    let code = unsafe address.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return Int32(-1) }
      return unsafe bind(descriptor, base.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
    }
    guard code == 0, !listens || listen(descriptor, 16) == 0 else { throw TestFailure("\(path): errno \(errno)") }
  }

  deinit { close(descriptor) }
}

/// Answers each request by `answer`; one client after the other.
final class ControlStub {
  private let socket: UnixSocket

  /// - Parameter answer: the result of a method with its parameters; nil for the error "no such bridge".
  init(path: String, answer: @escaping @Sendable (String, JSONValue) -> JSONValue?) throws {
    let socket = try UnixSocket(path: path, listens: true)
    self.socket = socket
    Thread.detachNewThread {
      while true {
        let client = accept(socket.descriptor, nil, nil)
        guard client >= 0 else { return }
        Self.serve(client, answer)
        close(client)
      }
    }
  }

  /// Ends the thread's accept.
  deinit { shutdown(socket.descriptor, Int32(SHUT_RDWR)) }

  private static func serve(_ client: Int32, _ answer: (String, JSONValue) -> JSONValue?) {
    var parser = JSONParser()
    var bytes = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = unsafe bytes.withUnsafeMutableBytes { unsafe read(client, $0.baseAddress, $0.count) }
      guard count > 0 else { return }
      parser.append(bytes.prefix(count))
      while let request = try? parser.next() {
        let id = request["id"] ?? .null
        let result = answer(request["method"]?.string ?? "", request["params"] ?? [])
        let reply: JSONValue =
          result.map { ["id": id, "result": $0, "error": .null] } ?? ["id": id, "error": "no such bridge\n"]
        let text = reply.serializedBytes()
        let sent = unsafe text.withUnsafeBytes {
          unsafe send(client, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        guard sent == text.count else { return }
      }
    }
  }
}
