import Foundation
import Testing
import Transport

@testable import OVSDB

/// Runs what blocks on a thread of its own: the tests' own threads are as few as the processors, and the server's
/// tasks run on them too.
func blocking<Result: Sendable>(_ body: @escaping @Sendable () -> Result) async -> Result {
  await withCheckedContinuation { continuation in
    Thread.detachNewThread { continuation.resume(returning: body()) }
  }
}

/// A unix socket as bytes.
@safe final class RawSocket: Sendable {
  let descriptor: CInt

  init?(_ path: String) {
    descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
    let result = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    if result != 0 { return nil }
  }

  deinit { close(descriptor) }

  func send(_ text: String) async -> Bool { await blocking { self.sendBlocking(text) } }
  func readToEnd(seconds: Int) async -> String? { await blocking { self.readBlocking(seconds) } }

  /// False when the other side has closed, or takes no more for a second.
  private func sendBlocking(_ text: String) -> Bool {
    var timeout = timeval(tv_sec: 1, tv_usec: 0)
    unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let sent = unsafe bytes.withUnsafeBytes {
        unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL))
      }
      if sent <= 0 { return false }
      bytes = bytes.dropFirst(sent)
    }
    return true
  }

  /// What came until the other side closed; nil if it did not within the time.
  /// - Parameter marker: reading ends with the piece that holds this text, too.
  func readBlocking(_ seconds: Int, until marker: String? = nil) -> String? {
    var timeout = timeval(tv_sec: seconds, tv_usec: 0)
    unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    var all: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = unsafe buffer.withUnsafeMutableBytes { unsafe recv(descriptor, $0.baseAddress, $0.count, 0) }
      if count < 0 && errno != ECONNRESET { return nil }
      if count <= 0 { return String(decoding: all, as: UTF8.self) }
      all += buffer[..<count]
      if let marker, String(decoding: all.suffix(30_000), as: UTF8.self).contains(marker) {
        return String(decoding: all, as: UTF8.self)
      }
    }
  }
}

@Suite(.timeLimit(.minutes(1)), .serialized) struct HostileClientTests {
  static func residentByteCount() -> Int {
    let text = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
    let pages = text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
    return pages * 4096
  }

  @Test(arguments: [
    "x", "[1", "{\"id\":1,}", "}", "\u{0}", "{\"a\":\"\u{1}\"}", "{\"method\":\"echo\",\"id\":1,\"params\":[1e999]}",
    String(repeating: "[", count: 100_000), "{\"id\":nul}",
  ])
  func whatIsNotJSONGetsAnErrorAndIsClosed(_ text: String) async throws {
    let served = try await ServedDatabase()
    let peer = try #require(RawSocket(served.path))
    _ = await peer.send(text)
    if text == "[1" {
      // Only the beginning of a message: the end of input ends it.
      shutdown(peer.descriptor, CInt(SHUT_WR))
      #expect(await peer.readToEnd(seconds: 5) == "")
    } else {
      let answer = try #require(await peer.readToEnd(seconds: 5), "still open")
      #expect(answer.contains("syntax error"), "\(answer)")
    }
    let client = try await OVSDBClient(endpoint: served.endpoint)
    #expect(try await client.call("list_dbs", []) == ["Open_vSwitch", "_Server"])
    await served.server.close()
  }

  @Test func endlessArrayIsCutWithBoundedMemory() async throws {
    let served = try await ServedDatabase()
    let before = Self.residentByteCount()
    let peer = try #require(RawSocket(served.path))
    let chunk = String(repeating: "1,", count: 1 << 19)
    var isCut = await !peer.send("{\"id\":1,\"method\":\"echo\",\"params\":[")
    var sent = 0
    while !isCut && sent < 200 << 20 {
      isCut = await !peer.send(chunk)
      sent += chunk.utf8.count
    }
    #expect(isCut)
    #expect(Self.residentByteCount() - before < 64 << 20)
    await served.server.close()
  }

  @Test func unfinishedMessagesOfAllClientsAreBoundedTogether() async throws {
    var limits = DatabaseServer.defaultLimits
    limits.unfinishedInputByteLimit = 4 << 20
    let served = try await ServedDatabase(limits: limits)
    let client = try await OVSDBClient(endpoint: served.endpoint)
    let before = Self.residentByteCount()
    // Each stays below the limit of one message.
    let text = "{\"id\":1,\"method\":\"echo\",\"params\":[\"" + String(repeating: "x", count: 2 << 20)
    var peers: [RawSocket] = []
    var refused = 0
    for _ in 0..<20 {
      let peer = try #require(RawSocket(served.path))
      if await !peer.send(text) { refused += 1 }
      peers.append(peer)
    }
    #expect(Self.residentByteCount() - before < 32 << 20)
    // Others are served, and a message of ordinary size has its place.
    let ordinary = JSONValue.string(String(repeating: "y", count: 200_000))
    #expect(try await client.call("echo", [ordinary]) == [ordinary])
    var cut = 0
    for peer in peers {
      if await peer.readToEnd(seconds: 1)?.contains("too many unfinished messages") == true { cut += 1 }
    }
    #expect(cut + refused >= 17, "\(cut) told, \(refused) cut while sending")
    // What they held is free again.
    peers = []
    let large = JSONValue.string(String(repeating: "z", count: 3 << 20))
    for attempt in 0..<50 {
      if let answer = try? await OVSDBClient(endpoint: served.endpoint).call("echo", [large]), answer == [large] {
        break
      }
      #expect(attempt < 49)
      try await Task.sleep(for: .milliseconds(20))
    }
    await client.close()
    await served.server.close()
  }

  @Test func neverReaderIsCutOff() async throws {
    let served = try await ServedDatabase()
    for number in 0..<200 {
      let text = JSONValue.string(String(repeating: "x", count: 500) + "\(number)")
      _ = await served.server.transact([Operation.insert("QoS", ["type": text])])
    }
    let before = Self.residentByteCount()
    let peer = try #require(RawSocket(served.path))
    let request =
      #"{"id":1,"method":"transact","params":["Open_vSwitch",{"op":"select","table":"QoS","where":[]}]}"#
    var sent = 0
    while sent < 5000 {
      guard await peer.send(request) else { break }
      sent += 1
    }
    #expect(sent < 5000)
    #expect(Self.residentByteCount() - before < 64 << 20)
    let client = try await OVSDBClient(endpoint: served.endpoint)
    #expect(try await client.call("echo", [1]) == [1])
    await served.server.close()
  }

  @Test func updatesForASlowReaderAreMerged() async throws {
    var limits = DatabaseServer.defaultLimits
    limits.pendingOutputByteLimit = 1 << 20
    let served = try await ServedDatabase(limits: limits)
    _ = await served.server.transact([Operation.insert("QoS", ["type": "a"])])
    let row = try #require(await served.server.snapshot().rows("QoS").first)
    let peer = try #require(RawSocket(served.path))
    #expect(await peer.send(#"{"id":1,"method":"monitor_cond","params":["Open_vSwitch","m",{"QoS":[{}]}]}"#))
    try await Task.sleep(for: .milliseconds(100))
    // 3 MB of updates, three times what may wait.
    for number in 0..<150 {
      let text = String(repeating: "y", count: 20_000) + "\(number)"
      _ = await served.server.transact([Operation.update("QoS", row.uuid, ["type": .string(text)])])
    }
    let output = await blocking { peer.readBlocking(10, until: "y149") } ?? ""
    #expect(output.hasSuffix("]}") && output.contains("y149\""), "\(output.suffix(200))")
    #expect(output.utf8.count < 1 << 20)
    await served.server.close()
  }

  @Test func thousandIdleSocketsKeepNobodyOut() async throws {
    let served = try await ServedDatabase()
    var idle: [RawSocket] = []
    let path = served.path
    for _ in 0..<1000 { if let socket = await blocking({ RawSocket(path) }) { idle.append(socket) } }
    #expect(idle.count == 1000)
    let clock = ContinuousClock()
    let start = clock.now
    let client = try await OVSDBClient(endpoint: served.endpoint)
    #expect(try await client.call("echo", [1]) == [1])
    #expect(clock.now - start < .seconds(1))
    #expect(await served.server.sessionCount <= 64)
    await served.server.close()
  }

  @Test func clientsThatWaitForUpdatesKeepTheirPlace() async throws {
    var limits = DatabaseServer.defaultLimits
    limits.connectionLimit = 4
    let served = try await ServedDatabase(limits: limits)
    var clients: [OVSDBClient] = []
    for _ in 0..<4 {
      let client = try await OVSDBClient(endpoint: served.endpoint)
      try await client.monitor(["QoS": nil])
      clients.append(client)
    }
    let extra = try await OVSDBClient(endpoint: served.endpoint)
    await #expect(throws: (any Error).self) { try await extra.call("echo", []) }
    for client in clients { #expect(try await client.call("echo", [2]) == [2]) }
    await served.server.close()
  }

  @Test func clientThatSaysNothingIsClosed() async throws {
    var limits = DatabaseServer.defaultLimits
    limits.handshakeSeconds = 1
    let served = try await ServedDatabase(limits: limits)
    let peer = try #require(RawSocket(served.path))
    #expect(await peer.send("{\"id\":"))
    #expect(await peer.readToEnd(seconds: 5) == "")
    await served.server.close()
  }

  @Test func socketIsPrivateFromBirthAndGoesWithItsServer() async throws {
    let served = try await ServedDatabase()
    var status = stat()
    #expect(unsafe lstat(served.path, &status) == 0)
    #expect(status.st_mode & 0o777 == 0o600)
    await served.server.close()
    #expect(unsafe lstat(served.path, &status) != 0)
  }

  @Test func livingServerIsNotReplacedButAStaleSocketIs() async throws {
    let served = try await ServedDatabase()
    let other = try await DatabaseServer(store: MemoryStore(), logger: quiet)
    await #expect(throws: TransportError.self) { try await other.listen(on: served.endpoint) }
    #expect(RawSocket(served.path) != nil)
    let stale = served.directory.path + "/stale.sock"
    let listener = try UnixListener(path: stale)
    try listener.publish()
    close(listener.descriptor)
    try await other.listen(on: .unix(path: stale))
    #expect(RawSocket(stale) != nil)
    let file = served.directory.path + "/file"
    #expect(FileManager.default.createFile(atPath: file, contents: Data("x".utf8)))
    await #expect(throws: TransportError.self) { try await other.listen(on: .unix(path: file)) }
    #expect(FileManager.default.contents(atPath: file) == Data("x".utf8))
    await other.close()
    await served.server.close()
  }

  @Test(.enabled(if: geteuid() == 0 && program("setpriv") != nil && program("ovsdb-client") != nil, "needs root"))
  func otherUserIsRefusedEvenIfTheSocketLetsHimIn() async throws {
    let served = try await ServedDatabase()
    let client = try #require(program("ovsdb-client"))
    let arguments = ["--reuid=65534", "--clear-groups", client, "--timeout=3", "list-dbs", "unix:\(served.path)"]
    unsafe chmod(served.directory.path, 0o755)
    let byMode = try await run(try #require(program("setpriv")), arguments)
    #expect(byMode.status != 0 && byMode.errors.contains("Permission denied"), "\(byMode)")
    unsafe chmod(served.path, 0o666)
    let byUser = try await run(try #require(program("setpriv")), arguments)
    #expect(byUser.status != 0 && !byUser.output.contains("Open_vSwitch"), "\(byUser)")
    await served.server.close()
  }
}
