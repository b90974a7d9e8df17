// A vhost-user front-end for tests and benchmarks: connects to a back-end's socket, or takes its connection, and says what
// is asked of it, right or wrong. Thread: one at a time. Standard: QEMU docs/interop/vhost-user.rst.

import CTestSupport
import Glibc

package struct FrontEndError: Error, CustomStringConvertible {
  package var description: String
  package init(description: String) { self.description = description }
}

/// One connection to a back-end.
@safe package final class FrontEnd {
  package enum Request: UInt32 {
    case getFeatures = 1
    case setFeatures = 2
    case setOwner = 3
    case setMemoryTable = 5
    case setLogBase = 6
    case setVringSize = 8
    case setVringAddress = 9
    case setVringBase = 10
    case getVringBase = 11
    case setVringKick = 12
    case setVringCall = 13
    case setVringError = 14
    case getProtocolFeatures = 15
    case setProtocolFeatures = 16
    case getQueueCount = 17
    case setVringEnable = 18
    case sendRARP = 19
    case setBackendRequestDescriptor = 21
    case iotlb = 22
    case getConfig = 24
    case getInflightDescriptor = 31
    case setInflightDescriptor = 32
    case addMemoryRegion = 37
    case removeMemoryRegion = 38
  }

  package let descriptor: Int32

  /// Connects, trying again for some seconds.
  package init(connect path: String) throws {
    var attempt = 0
    while true {
      let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
      let code = unsafe FrontEnd.withAddress(path) { unsafe Glibc.connect(descriptor, $0, $1) }
      if code == 0 {
        self.descriptor = descriptor
        return
      }
      close(descriptor)
      attempt += 1
      guard attempt < 500 else { throw FrontEndError(description: "cannot connect to \(path): errno \(errno)") }
      usleep(10_000)
    }
  }

  /// Listens and takes one connection.
  package init(accept path: String) throws {
    unsafe unlink(path)
    let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    defer { close(listener) }
    guard unsafe FrontEnd.withAddress(path, { unsafe bind(listener, $0, $1) }) == 0, listen(listener, 1) == 0 else {
      throw FrontEndError(description: "cannot listen on \(path): errno \(errno)")
    }
    var poll = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
    guard unsafe Glibc.poll(&poll, 1, 10_000) == 1 else {
      throw FrontEndError(description: "nobody connects to \(path)")
    }
    descriptor = Glibc.accept(listener, nil, nil)
  }

  /// Uses a socket that is connected.
  package init(_ descriptor: Int32) { self.descriptor = descriptor }

  deinit {
    // A program that another test is just starting may have a copy for a moment: the connection ends all the same.
    shutdown(descriptor, Int32(SHUT_RDWR))
    close(descriptor)
  }

  private static func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
    var address = [UInt8](repeating: 0, count: 110)
    address[0] = UInt8(AF_UNIX)
    address.replaceSubrange(2..<2 + min(path.utf8.count, 107), with: Array(path.utf8.prefix(107)))
    return unsafe address.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return -1 }
      return unsafe body(base.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
    }
  }

  /// Sends bytes as they are.
  @discardableResult
  package func sendRaw(_ bytes: [UInt8], descriptors: [Int32] = []) -> Int {
    unsafe bytes.withUnsafeBytes { bytes in
      unsafe ctest_send_message(
        descriptor, bytes.baseAddress, UInt64(bytes.count), descriptors, Int32(descriptors.count))
    }
  }

  package static func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    (0..<T.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> T(8 * $0)) }
  }

  package static func message(_ request: UInt32, _ payload: [UInt8], flags: UInt32 = 1) -> [UInt8] {
    bytes(request) + bytes(flags) + bytes(UInt32(payload.count)) + payload
  }

  package func send(_ request: Request, _ payload: [UInt8] = [], descriptors: [Int32] = [], needReply: Bool = false) {
    sendRaw(FrontEnd.message(request.rawValue, payload, flags: needReply ? 9 : 1), descriptors: descriptors)
  }

  package func send(_ request: Request, queue: Int, _ value: UInt32) {
    send(request, FrontEnd.bytes(UInt32(queue)) + FrontEnd.bytes(value))
  }

  /// The payload of the next reply; nil at the connection's end, or if none comes in time.
  package func reply(milliseconds: Int32 = 5000) -> [UInt8]? {
    guard let header = read(12, milliseconds) else { return nil }
    let count = Int(header[8]) | Int(header[9]) << 8
    return count == 0 ? [] : read(count, milliseconds)
  }

  /// The payload of the next reply, which comes in one piece, and its descriptor, which is the caller's; -1: none.
  package func replyWithDescriptor(milliseconds: Int32 = 5000) -> (payload: [UInt8], descriptor: Int32)? {
    var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    guard unsafe Glibc.poll(&poll, 1, milliseconds) == 1 else { return nil }
    var bytes = [UInt8](repeating: 0, count: 512)
    var sent: Int32 = -1
    let count = unsafe bytes.withUnsafeMutableBytes { bytes in
      unsafe ctest_receive_message(descriptor, bytes.baseAddress, UInt64(bytes.count), &sent)
    }
    return count >= 12 ? (Array(bytes[12..<Int(count)]), sent) : nil
  }

  /// The number that a reply holds.
  package func number(_ request: Request, _ payload: [UInt8] = []) -> UInt64? {
    send(request, payload)
    return reply().map { $0.enumerated().reduce(0) { $0 | UInt64($1.element) << UInt64(8 * $1.offset) } }
  }

  private func read(_ count: Int, _ milliseconds: Int32) -> [UInt8]? {
    var result: [UInt8] = []
    while result.count < count {
      var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      guard unsafe Glibc.poll(&poll, 1, milliseconds) == 1 else { return nil }
      var buffer = [UInt8](repeating: 0, count: count - result.count)
      let received = unsafe buffer.withUnsafeMutableBytes { unsafe recv(descriptor, $0.baseAddress, $0.count, 0) }
      guard received > 0 else { return nil }
      result += buffer.prefix(received)
    }
    return result
  }

  /// The back-end has closed the connection.
  package func isClosed(milliseconds: Int32 = 5000) -> Bool {
    var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    guard unsafe Glibc.poll(&poll, 1, milliseconds) == 1 else { return false }
    var byte: UInt8 = 0
    return unsafe recv(descriptor, &byte, 1, Int32(MSG_PEEK)) <= 0
  }

  // MARK: the usual course

  /// Agrees on features and tells of the memory.
  package func begin(_ ram: GuestRAM, features: UInt64, protocolFeatures: UInt64 = 0x9) throws {
    send(.setOwner)
    guard let offered = number(.getFeatures), offered & features == features else {
      throw FrontEndError(description: "features \(String(features, radix: 16)) are not offered")
    }
    if features & 1 << 30 != 0 {
      _ = number(.getProtocolFeatures)
      send(.setProtocolFeatures, FrontEnd.bytes(protocolFeatures))
    }
    send(.setFeatures, FrontEnd.bytes(features))
    sendMemoryTable([ram])
  }

  package func sendMemoryTable(_ rams: [GuestRAM]) {
    var payload = FrontEnd.bytes(UInt32(rams.count)) + FrontEnd.bytes(UInt32(0))
    for ram in rams {
      payload += FrontEnd.bytes(ram.base) + FrontEnd.bytes(UInt64(ram.byteCount)) + FrontEnd.bytes(ram.userBase)
      payload += FrontEnd.bytes(UInt64(0))
    }
    send(.setMemoryTable, payload, descriptors: rams.map(\.descriptor))
  }

  /// Starts a ring.
  /// - Returns: descriptors of its kick and call events, which the caller closes.
  package func start(
    _ queue: any DriverQueue, index: Int, _ ram: GuestRAM, base: UInt32, enable: Bool = true
  ) -> (kick: Int32, call: Int32) {
    let kick = ctest_event()
    let call = ctest_event()
    send(.setVringSize, queue: index, UInt32(queue.size))
    send(.setVringBase, queue: index, base)
    sendAddresses(queue, index: index, ram)
    send(.setVringKick, FrontEnd.bytes(UInt64(index)), descriptors: [kick])
    send(.setVringCall, FrontEnd.bytes(UInt64(index)), descriptors: [call])
    if enable { send(.setVringEnable, queue: index, 1) }
    return (kick, call)
  }

  package func sendAddresses(_ queue: any DriverQueue, index: Int, _ ram: GuestRAM, flags: UInt32 = 0) {
    var payload = FrontEnd.bytes(UInt32(index)) + FrontEnd.bytes(flags)
    payload += FrontEnd.bytes(ram.userAddress(queue.descriptors)) + FrontEnd.bytes(ram.userAddress(queue.deviceArea))
    payload += FrontEnd.bytes(ram.userAddress(queue.driverArea)) + FrontEnd.bytes(queue.deviceArea)
    send(.setVringAddress, payload)
  }
}
